use actix_web::get;
use oauth2_actix::deny_delegated;

#[get("/")]
#[deny_delegated("agent")]
async fn handler() -> &'static str {
    "x"
}

fn main() {}
