use actix_web::get;
use oauth2_actix::require_scope;

#[get("/")]
#[require_scope(7, orders)]
async fn handler() -> &'static str {
    "x"
}

fn main() {}
