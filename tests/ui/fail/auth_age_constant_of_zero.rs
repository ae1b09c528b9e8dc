use actix_web::get;
use oauth2_actix::require_auth_age;

const AGE: u64 = 0;

#[get("/")]
#[require_auth_age(AGE)]
async fn handler() -> &'static str {
    "x"
}

fn main() {}
