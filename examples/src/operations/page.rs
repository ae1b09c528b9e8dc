//! A page that shows the state of all keys. The page is public and contains no data: its script gets a token
//! and fetches `/status`.

use actix_web::{HttpResponse, get, web};
use oauth2_actix::public;
use oauth2_actix_examples::pages::{self, Issuer};

pub(crate) fn configure(config: &mut web::ServiceConfig) {
    config.service(html).service(script).service(style);
}

#[public]
#[get("/")]
async fn html(issuer: web::Data<Issuer>) -> HttpResponse {
    pages::html(include_str!("page.html"), &issuer)
}

#[public]
#[get("/page.js")]
async fn script() -> HttpResponse {
    pages::script(include_str!("page.js"))
}

#[public]
#[get("/page.css")]
async fn style() -> HttpResponse {
    pages::style(include_str!("../quickstart/page.css"))
}
