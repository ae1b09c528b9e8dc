use actix_web::get;
use oauth2_actix::require;

fn long(name: String) -> bool {
    name.len() > 9
}

#[get("/")]
#[require(long)]
async fn handler() -> &'static str {
    "x"
}

fn main() {}
