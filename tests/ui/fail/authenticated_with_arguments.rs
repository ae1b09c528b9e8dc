use actix_web::get;
use oauth2_actix::authenticated;

#[authenticated("orders:read")]
#[get("/")]
async fn handler() -> &'static str {
    ""
}

fn main() {}
