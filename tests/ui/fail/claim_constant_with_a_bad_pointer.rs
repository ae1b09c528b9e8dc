use actix_web::get;
use oauth2_actix::require_claim;

const ROLES: &str = "/realm~access/roles";

#[get("/")]
#[require_claim(ROLES, "admin")]
async fn handler() -> &'static str {
    "x"
}

fn main() {}
