//! A developer's crate that denies every lint and depends on `oauth2-actix` under another name. The output of
//! the attribute macros must compile in it without warnings.

#![forbid(unsafe_code)]
#![deny(warnings, missing_docs, missing_debug_implementations, unreachable_pub, clippy::pedantic)]
// The one line that a renamed dependency needs.
extern crate auth as oauth2_actix;

use actix_web::{HttpResponse, get, routes, web};
use auth::{
    Claims, authenticated, deny_delegated, guarded, public, require, require_acr, require_actor,
    require_auth_age, require_authorization_detail, require_claim, require_dpop, require_policy,
    require_scope,
};

/// Public, and documented.
#[public]
#[get("/health")]
async fn health() -> &'static str {
    "up"
}

/// Public, with several routes.
#[public]
#[routes]
#[get("/one/{id}")]
#[delete("/two/{id}")]
async fn several(id: web::Path<u32>) -> String {
    id.to_string()
}

// Private, as the routing macros of actix-web leave it, so that `missing_docs` does not apply.
#[public]
#[get("/undocumented")]
async fn undocumented() -> &'static str {
    "up"
}

/// Asks something that takes time.
async fn in_time(claims: Claims) -> Result<bool, std::convert::Infallible> {
    Ok(std::future::ready(claims.subject().is_some()).await)
}

/// Requires a policy, a function that is asynchronous, and a valid token.
#[authenticated]
#[require_policy("renamed")]
#[require(in_time)]
#[get("/stacked")]
async fn stacked() -> &'static str {
    "stacked"
}

#[guarded]
mod api {
    use actix_web::{get, post};
    use auth::{authenticated, require_scope};

    #[get("/guarded")]
    #[authenticated]
    pub(crate) async fn below() -> &'static str {
        "guarded"
    }

    #[require_scope("a")]
    #[post("/guarded")]
    #[require_scope("b")]
    pub(crate) async fn around() -> &'static str {
        "guarded"
    }
}

const OTP: &str = "urn:otp";

/// Requires an authentication, a subject in person and an authorization detail.
#[require_acr("urn:key", OTP)]
#[require_auth_age(300)]
#[require_dpop]
#[deny_delegated]
#[require_authorization_detail("payment", is_small)]
#[get("/stepped-up")]
async fn stepped_up() -> &'static str {
    "stepped up"
}

/// Requires an actor.
#[require_actor("agent", OTP)]
#[get("/actor")]
async fn by_an_agent() -> &'static str {
    "by an agent"
}

fn is_small(detail: &serde_json::Value) -> bool {
    detail["amount"] == 1
}

const ADMIN: &str = "admin";

/// Requires values that are constants, among literals.
#[require_scope(any_of(ADMIN, "root"))]
#[get("/constants")]
#[require_claim("role", any_of("admin", ADMIN, "root"))]
async fn constants() -> HttpResponse {
    HttpResponse::NoContent().finish()
}

/// Public, beside an attribute of another tool.
#[public]
#[rustfmt::skip]
#[must_use]
#[get("/amid")]
async fn amid() -> &'static str {
    "up"
}

/// For administrators.
#[get("/admin")]
#[require_claim("role", any_of("admin", "root"))]
#[require_scope("admin")]
async fn admin() -> HttpResponse {
    HttpResponse::NoContent().finish()
}

fn verified(claims: &Claims) -> bool {
    claims.has_claim("email_verified", true)
}

#[require(verified)]
pub(crate) async fn plain() -> HttpResponse {
    HttpResponse::NoContent().finish()
}

/// Registers all handlers.
pub fn configure(config: &mut web::ServiceConfig) {
    config
        .service(health)
        .service(stacked)
        .service(stepped_up)
        .service(by_an_agent)
        .service(api::below)
        .service(api::around)
        .service(undocumented)
        .service(several)
        .service(admin)
        .service(constants)
        .service(amid)
        .route("/plain", web::get().to(plain));
}

#[cfg(test)]
mod tests {
    use actix_web::{App, test};
    use auth::{Algorithm, OAuth2, Provider, public, testing};

    #[actix_web::test]
    async fn requests_are_decided_by_the_attributes() {
        let key = testing::SigningKey::generate(Algorithm::ES256, "k");
        let provider = Provider::new().issuer("i").audience("a").keys(key.jwk_set());
        let oauth2 = OAuth2::builder()
            .policy("renamed", auth::requirement::scopes(["admin"]))
            .provider("p", provider)
            .build()
            .expect("a policy");
        let app = test::init_service(App::new().configure(super::configure).wrap(oauth2)).await;
        let token = testing::Token::new("i", "a")
            .claim("role", "root")
            .claim("scope", "admin")
            .claim("email_verified", true)
            .sign(&key);
        for (path, anonymous, with_token) in [
            ("/health", 200, 200),
            ("/one/7", 200, 200),
            ("/two/7", 400, 404),
            ("/admin", 400, 204),
            ("/constants", 400, 204),
            ("/amid", 200, 200),
            ("/plain", 400, 204),
            ("/guarded", 400, 200),
            ("/stepped-up", 400, 401),
            ("/actor", 400, 403),
        ] {
            let request = test::TestRequest::get().uri(path);
            assert_eq!(test::call_service(&app, request.to_request()).await.status(), anonymous);
            let request = test::TestRequest::get()
                .uri(path)
                .insert_header(("authorization", format!("Bearer {token}")));
            let status = test::call_service(&app, request.to_request()).await.status();
            assert_eq!(status, with_token, "{path}");
        }
    }

    /// An example of how a program checks the list of its public routes.
    #[::core::prelude::v1::test]
    fn the_public_surface_is_as_reviewed() {
        let routes: Vec<String> = public::routes()
            .map(|r| format!("{} {} {}", r.methods().join(","), r.pattern(), r.handler()))
            .collect();
        assert_eq!(
            routes,
            [
                "GET /amid oauth2_actix_tests_renamed::amid",
                "GET /health oauth2_actix_tests_renamed::health",
                "GET /one/{id} oauth2_actix_tests_renamed::several",
                "DELETE /two/{id} oauth2_actix_tests_renamed::several",
                "GET /undocumented oauth2_actix_tests_renamed::undocumented",
            ]
        );
    }
}
