//! Public routes in random layouts: a request without a token is served if, and only if, the router of actix
//! selects a public handler. No other handler, extractor or body is read for it.
//!
//!     LAYOUTS=25000 cargo test --release -p oauth2-actix-tests --test layouts -- --nocapture

#![allow(missing_docs, clippy::unwrap_used)]

mod generator;

use actix_web::{
    HttpRequest, HttpResponse, delete, get,
    guard::GuardContext,
    middleware::{DefaultHeaders, from_fn},
    post, query, route, routes,
    web::ServiceConfig,
};
use generator::{Handlers, public_answer, wait_within};
use oauth2_actix::public;

macro_rules! handlers {
    ($($(#[$attribute:meta])* $name:ident $pattern:literal;)*) => {
        $(
            $(#[$attribute])*
            async fn $name(request: HttpRequest) -> HttpResponse {
                public_answer(&request)
            }
        )*

        static HANDLERS: Handlers = Handlers {
            patterns: &[$($pattern),*],
            register: |config: &mut ServiceConfig, index| {
                let all: &[fn(&mut ServiceConfig)] = &[$(|config| { config.service($name); }),*];
                all[index](config);
            },
        };
    };
}

fn has_flag(context: &GuardContext<'_>) -> bool {
    context.head().headers().contains_key("x-flag")
}

handlers! {
    #[public] #[get("/health")] health "/health";
    #[public] #[get("/health")] health_twin "/health";
    #[public] #[post("/health")] post_health "/health";
    #[public] #[get("/items/{id}")] item "/items/{id}";
    #[public] #[delete("/items/{id}")] delete_item "/items/{id}";
    #[public] #[get("/items/{kind}/{id}")] two_segments "/items/{kind}/{id}";
    #[public] #[get("/files/{tail:.*}")] file "/files/{tail:.*}";
    #[public] #[get("")] empty "";
    #[public] #[get("/")] slash "/";
    #[public] #[get("/{id}")] one_segment "/{id}";
    #[public] #[get("/{org}/{repo}")] org_and_repo "/{org}/{repo}";
    #[public] #[get("bare")] bare "bare";
    #[public] #[get("/n/{n:\\d+}")] number "/n/{n:\\d+}";
    #[public] #[get("/guarded", guard = "has_flag")] guarded "/guarded";
    #[public] #[route("/either", method = "GET", method = "HEAD", name = "either-name")] either "/either";
    #[public] #[routes] #[get("/one")] #[post("/two")] several "/one";
    #[public] #[query("/search")] search "/search";
    #[public] #[get("/wrapped", wrap = "from_fn(wait_within)")] wrapped "/wrapped";
    #[public] #[get("/headers", wrap = "DefaultHeaders::new()", guard = "has_flag")] headers "/headers";
}

#[actix_web::test]
async fn request_without_a_token_is_served_if_the_router_selects_a_public_handler() {
    generator::run(&HANDLERS).await;
}
