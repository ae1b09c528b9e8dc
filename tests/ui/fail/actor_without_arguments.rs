use actix_web::get;
use oauth2_actix::require_actor;

#[get("/")]
#[require_actor]
async fn handler() -> &'static str {
    "x"
}

fn main() {}
