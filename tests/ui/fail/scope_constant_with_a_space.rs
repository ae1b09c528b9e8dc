use actix_web::get;
use oauth2_actix::require_scope;

const ORDERS: &str = "orders:read orders:write";

#[get("/")]
#[require_scope("admin", ORDERS)]
async fn handler() -> &'static str {
    "x"
}

fn main() {}
