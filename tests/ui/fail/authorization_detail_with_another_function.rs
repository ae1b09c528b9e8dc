use actix_web::get;
use oauth2_actix::{Claims, require_authorization_detail};

fn of_the_claims(claims: &Claims) -> bool {
    claims.has_scope("pay")
}

#[get("/")]
#[require_authorization_detail("payment", of_the_claims)]
async fn handler() -> &'static str {
    "x"
}

fn main() {}
