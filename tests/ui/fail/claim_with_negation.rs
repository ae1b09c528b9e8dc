use actix_web::get;
use oauth2_actix::require_claim;

#[get("/")]
#[require_claim("role", not("guest"))]
async fn handler() -> &'static str {
    "x"
}

fn main() {}
