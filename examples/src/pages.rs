//! Pages of three files each, without a build step and without external resources.

use actix_web::{
    HttpResponse,
    http::header::{CONTENT_SECURITY_POLICY, ContentType},
};

/// The URL of the identity provider, from which pages get tokens.
#[derive(Clone, Debug)]
pub struct Issuer(pub String);

/// Returns a page with its issuer. Its content security policy allows only connections to this machine.
#[must_use]
pub fn html(template: &str, issuer: &Issuer) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(ContentType::html())
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        .body(template.replace("__ISSUER__", &issuer.0))
}

/// Returns a script of a page.
#[must_use]
pub fn script(text: &'static str) -> HttpResponse {
    HttpResponse::Ok().content_type("text/javascript").body(text)
}

/// Returns a style sheet of a page.
#[must_use]
pub fn style(text: &'static str) -> HttpResponse {
    HttpResponse::Ok().content_type("text/css").body(text)
}

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; \
     connect-src http://127.0.0.1:* http://localhost:* ws://127.0.0.1:* ws://localhost:*; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
