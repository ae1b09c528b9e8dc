use actix_web::get;
use oauth2_actix::{deny_delegated, public};

#[public]
#[deny_delegated]
#[get("/")]
async fn handler() -> &'static str {
    "x"
}

fn main() {}
