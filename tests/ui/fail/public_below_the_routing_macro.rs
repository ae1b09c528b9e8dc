use actix_web::get;
use oauth2_actix::public;

#[get("/")]
#[public]
async fn handler() -> &'static str {
    "x"
}

fn main() {}
