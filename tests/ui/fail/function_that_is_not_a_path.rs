use actix_web::get;
use oauth2_actix::require;

#[get("/")]
#[require(|_| true)]
async fn handler() -> &'static str {
    "x"
}

fn main() {}
