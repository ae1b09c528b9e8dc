use actix_web::get;
use oauth2_actix::require_acr;

const ACR: &str = "urn:key urn:otp";

#[get("/")]
#[require_acr("urn:key", ACR)]
async fn handler() -> &'static str {
    "x"
}

fn main() {}
