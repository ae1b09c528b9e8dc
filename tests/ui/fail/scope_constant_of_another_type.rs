use actix_web::get;
use oauth2_actix::require_scope;

const ORDERS: u8 = 7;

#[get("/")]
#[require_scope(ORDERS)]
async fn handler() -> &'static str {
    "x"
}

fn main() {}
