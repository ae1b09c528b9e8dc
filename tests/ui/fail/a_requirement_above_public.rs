use actix_web::get;
use oauth2_actix::{public, require_scope};

#[require_scope("admin")]
#[public]
#[get("/")]
async fn handler() -> &'static str {
    "x"
}

fn main() {}
