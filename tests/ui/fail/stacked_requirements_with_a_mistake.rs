use actix_web::get;
use oauth2_actix::{authenticated, public, require_claim, require_scope};

#[require_scope("a")]
#[get("/a")]
#[require_claim("role", 1.5)]
async fn one_mistake() -> &'static str {
    ""
}

#[authenticated]
#[public]
#[get("/b")]
async fn two_rules() -> &'static str {
    ""
}

fn main() {}
