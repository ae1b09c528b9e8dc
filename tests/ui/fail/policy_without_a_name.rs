use actix_web::get;
use oauth2_actix::require_policy;

#[require_policy]
#[get("/a")]
async fn a() -> &'static str {
    ""
}

#[require_policy("")]
#[get("/b")]
async fn b() -> &'static str {
    ""
}

#[require_policy("one", "two")]
#[get("/c")]
async fn c() -> &'static str {
    ""
}

const EMPTY: &str = "";

#[require_policy(EMPTY)]
#[get("/d")]
async fn d() -> &'static str {
    ""
}

fn main() {}
