//! The same as `layouts` in a program whose public patterns all begin with a literal segment, so that most
//! requests for other paths are rejected without being routed.

#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../layouts/generator/mod.rs"]
mod generator;

use actix_web::{HttpRequest, HttpResponse, get, middleware::from_fn, post, web::ServiceConfig};
use generator::{Handlers, public_answer, wait_within};
use oauth2_actix::public;

#[public]
#[get("/health")]
async fn health(request: HttpRequest) -> HttpResponse {
    public_answer(&request)
}

#[public]
#[post("/items/{id}")]
async fn item(request: HttpRequest) -> HttpResponse {
    public_answer(&request)
}

#[public]
#[get("/api/{a}/x", wrap = "from_fn(wait_within)")]
async fn deep(request: HttpRequest) -> HttpResponse {
    public_answer(&request)
}

#[public]
#[get("/")]
async fn slash(request: HttpRequest) -> HttpResponse {
    public_answer(&request)
}

static HANDLERS: Handlers = Handlers {
    patterns: &["/health", "/items/{id}", "/api/{a}/x", "/"],
    register: |config: &mut ServiceConfig, index| {
        match index {
            0 => config.service(health),
            1 => config.service(item),
            2 => config.service(deep),
            _ => config.service(slash),
        };
    },
};

#[actix_web::test]
async fn request_that_resembles_no_public_route_is_rejected() {
    generator::run(&HANDLERS).await;
}
