use actix_web::get;
use oauth2_actix::public;

#[public]
#[public]
#[get("/")]
async fn handler() -> &'static str {
    "x"
}

fn main() {}
