//! The page of the quickstart.

use actix_web::{
    HttpResponse,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    get,
    http::header::{CACHE_CONTROL, HeaderValue},
    middleware::Next,
    web,
};
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
    pages::style(include_str!("page.css"))
}

/// Forbids browsers to store responses of the identity provider.
pub(crate) async fn no_store(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> actix_web::Result<ServiceResponse<impl MessageBody>> {
    let mut response = next.call(request).await?;
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
