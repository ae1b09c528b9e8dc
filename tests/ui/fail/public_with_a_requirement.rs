use actix_web::get;
use oauth2_actix::{public, require_claim};

#[public]
#[get("/")]
#[require_claim("role", "admin")]
async fn handler() -> &'static str {
    "x"
}

fn main() {}
