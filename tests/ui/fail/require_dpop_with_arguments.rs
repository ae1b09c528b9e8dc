use actix_web::get;
use oauth2_actix::require_dpop;

#[get("/")]
#[require_dpop("key")]
async fn handler() -> &'static str {
    "x"
}

fn main() {}
