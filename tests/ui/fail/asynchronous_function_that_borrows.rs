use actix_web::get;
use oauth2_actix::{Claims, require};

async fn active(_: &Claims) -> bool {
    true
}

#[require(active)]
#[get("/")]
async fn handler() -> &'static str {
    ""
}

fn main() {}
