//! A single-page client in plain JavaScript that keeps its access token fresh. It calls the API of the
//! quickstart.

use actix_web::{HttpResponse, get, web};
use oauth2_actix::public;

use crate::pages::{self, Issuer};

/// Registers the page and its scripts.
pub fn configure(config: &mut web::ServiceConfig) {
    config.service(page).service(script).service(fresh_token).service(api);
}

#[public]
#[get("/app")]
async fn page(issuer: web::Data<Issuer>) -> HttpResponse {
    pages::html(include_str!("page.html"), &issuer)
}

#[public]
#[get("/app/page.js")]
async fn script() -> HttpResponse {
    pages::script(include_str!("page.js"))
}

#[public]
#[get("/app/fresh-token.js")]
async fn fresh_token() -> HttpResponse {
    pages::script(include_str!("fresh-token.js"))
}

#[public]
#[get("/app/api.js")]
async fn api() -> HttpResponse {
    pages::script(include_str!("api.js"))
}
