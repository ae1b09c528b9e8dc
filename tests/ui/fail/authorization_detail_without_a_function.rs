use actix_web::get;
use oauth2_actix::require_authorization_detail;

#[get("/")]
#[require_authorization_detail("payment")]
async fn handler() -> &'static str {
    "x"
}

fn main() {}
