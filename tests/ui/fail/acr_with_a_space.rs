use actix_web::get;
use oauth2_actix::require_acr;

#[get("/")]
#[require_acr("urn:key urn:otp")]
async fn handler() -> &'static str {
    "x"
}

fn main() {}
