use actix_web::get;
use oauth2_actix::{public, require_scope};

#[public]
#[tracing::instrument]
#[require_scope("admin")]
#[get("/")]
async fn handler() -> &'static str {
    "x"
}

fn main() {}
