use actix_web::get;
use oauth2_actix::require_claim;

#[get("/")]
#[require_claim("", any_of(1.5, 'x'), "more")]
async fn handler() -> &'static str {
    "x"
}

fn main() {}
