use actix_web::get;
use oauth2_actix::require_claim;

#[get("/")]
#[require_claim("role", ["admin", "root"])]
async fn handler() -> &'static str {
    "x"
}

fn main() {}
