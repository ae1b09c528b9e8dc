use actix_web::get;
use oauth2_actix::require_claim;

#[get("/")]
#[require_claim("level", 9223372036854775808)]
async fn handler() -> &'static str {
    "x"
}

fn main() {}
