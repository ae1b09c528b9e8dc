use actix_web::get;
use oauth2_actix::require_auth_age;

#[get("/")]
#[require_auth_age(-300)]
async fn handler() -> &'static str {
    "x"
}

fn main() {}
