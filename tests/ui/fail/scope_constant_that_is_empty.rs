use actix_web::get;
use oauth2_actix::require_scope;

const ORDERS: &str = "";

#[get("/")]
#[require_scope(any_of(ORDERS))]
async fn handler() -> &'static str {
    "x"
}

fn main() {}
