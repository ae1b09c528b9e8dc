use actix_web::get;
use oauth2_actix::require_scope;

#[get("/")]
#[require_scope("orders:read orders:write")]
async fn handler() -> &'static str {
    "x"
}

fn main() {}
