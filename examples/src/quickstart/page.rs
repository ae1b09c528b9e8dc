//! The page on which a person tries it all. Three files, no build step, nothing from outside.

use actix_web::{
    HttpResponse,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    get,
    http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, ContentType, HeaderValue},
    middleware::Next,
    web,
};
use oauth2_actix::public;

#[derive(Clone)]
pub(crate) struct Page {
    html: String,
    /// The page may talk to this machine only.
    policy: &'static str,
}

impl Page {
    pub(crate) fn new(issuer: &str) -> Self {
        Self {
            html: include_str!("page.html").replace("__ISSUER__", issuer),
            policy: "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; \
                     connect-src http://127.0.0.1:* http://localhost:* ws://127.0.0.1:* ws://localhost:*; \
                     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        }
    }
}

pub(crate) fn configure(config: &mut web::ServiceConfig) {
    config.service(html).service(script).service(style);
}

#[public]
#[get("/")]
async fn html(page: web::Data<Page>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(ContentType::html())
        .insert_header((CONTENT_SECURITY_POLICY, page.policy))
        .body(page.html.clone())
}

#[public]
#[get("/page.js")]
async fn script() -> HttpResponse {
    HttpResponse::Ok().content_type("text/javascript").body(include_str!("page.js"))
}

#[public]
#[get("/page.css")]
async fn style() -> HttpResponse {
    HttpResponse::Ok().content_type("text/css").body(include_str!("page.css"))
}

/// Nothing that an identity provider says is to be kept by a browser.
pub(crate) async fn no_store(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> actix_web::Result<ServiceResponse<impl MessageBody>> {
    let mut response = next.call(request).await?;
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
