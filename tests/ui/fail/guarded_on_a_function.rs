use actix_web::get;
use oauth2_actix::guarded;

#[guarded]
#[get("/")]
async fn handler() -> &'static str {
    ""
}

fn main() {}
