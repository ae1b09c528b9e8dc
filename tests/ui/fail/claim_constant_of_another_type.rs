use actix_web::get;
use oauth2_actix::require_claim;

const LEVEL: f64 = 7.5;

#[get("/")]
#[require_claim("level", LEVEL)]
async fn handler() -> &'static str {
    "x"
}

fn main() {}
