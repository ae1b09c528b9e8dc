//! The attributes beside those of other crates, in any order.

use actix_web::{App, HttpServer, dev::HttpServiceFactory, get, routes, web};
use oauth2_actix::{
    Algorithm, Provider, public, require, require_claim, require_scope,
    testing::{LocalServer, Token},
};
use oauth2_actix_tests::{
    client::{Answer, raw, raw_get},
    keys::key,
    log, policy,
};
use tracing::instrument;
use utoipa::OpenApi;

/// Returns the name of the span that `#[instrument]` creates.
fn span() -> String {
    tracing::Span::current().metadata().map_or("none", |span| span.name()).to_owned()
}

fn verified(claims: &oauth2_actix::Claims) -> bool {
    claims.has_claim("email_verified", true)
}

#[public]
#[utoipa::path(responses((status = 200)))]
#[instrument(target = "oauth2_actix_tests")]
#[get("/public-0")]
async fn public_0() -> String {
    span()
}

#[public]
#[instrument(target = "oauth2_actix_tests")]
#[utoipa::path(responses((status = 200)))]
#[get("/public-1")]
async fn public_1() -> String {
    span()
}

#[utoipa::path(responses((status = 200)))]
#[public]
#[instrument(target = "oauth2_actix_tests")]
#[get("/public-2")]
async fn public_2() -> String {
    span()
}

#[utoipa::path(responses((status = 200)))]
#[instrument(target = "oauth2_actix_tests")]
#[public]
#[get("/public-3")]
async fn public_3() -> String {
    span()
}

#[instrument(target = "oauth2_actix_tests")]
#[public]
#[utoipa::path(responses((status = 200)))]
#[get("/public-4")]
async fn public_4() -> String {
    span()
}

#[instrument(target = "oauth2_actix_tests")]
#[utoipa::path(responses((status = 200)))]
#[public]
#[get("/public-5")]
async fn public_5() -> String {
    span()
}

#[public]
#[utoipa::path(responses((status = 200)))]
#[get("/public-below")]
#[instrument(target = "oauth2_actix_tests")]
async fn public_below() -> String {
    span()
}

/// Conditions, lints and documentation between the attributes.
#[public]
#[cfg(not(any()))]
#[cfg_attr(not(any()), utoipa::path(responses((status = 200))))]
#[allow(clippy::unused_async)]
#[rustfmt::skip]
#[must_use]
#[get("/public-amid")]
#[cfg_attr(not(any()), instrument(target = "oauth2_actix_tests"))]
async fn public_amid() -> String {
    span()
}

#[public]
#[cfg(any())]
#[utoipa::path(responses((status = 200)))]
#[get("/absent")]
async fn public_absent() -> String {
    span()
}

#[public]
#[instrument(target = "oauth2_actix_tests")]
#[routes]
#[get("/public-one")]
#[get("/public-two")]
async fn public_routes() -> String {
    span()
}

/// A handler without a routing macro.
#[utoipa::path(get, path = "/plain", responses((status = 200)))]
#[require_scope("read")]
#[instrument(target = "oauth2_actix_tests")]
async fn plain() -> String {
    span()
}

#[require_scope("read")]
#[utoipa::path(responses((status = 200)))]
#[instrument(target = "oauth2_actix_tests")]
#[get("/required-0")]
async fn required_0() -> String {
    span()
}

#[require_scope("read")]
#[utoipa::path(responses((status = 200)))]
#[get("/required-1")]
#[instrument(target = "oauth2_actix_tests")]
async fn required_1() -> String {
    span()
}

#[require_scope("read")]
#[instrument(target = "oauth2_actix_tests")]
#[utoipa::path(responses((status = 200)))]
#[get("/required-2")]
async fn required_2() -> String {
    span()
}

#[utoipa::path(responses((status = 200)))]
#[require_scope("read")]
#[instrument(target = "oauth2_actix_tests")]
#[get("/required-3")]
async fn required_3() -> String {
    span()
}

#[utoipa::path(responses((status = 200)))]
#[require_scope("read")]
#[get("/required-4")]
#[instrument(target = "oauth2_actix_tests")]
async fn required_4() -> String {
    span()
}

#[utoipa::path(responses((status = 200)))]
#[instrument(target = "oauth2_actix_tests")]
#[require_scope("read")]
#[get("/required-5")]
async fn required_5() -> String {
    span()
}

#[utoipa::path(responses((status = 200)))]
#[instrument(target = "oauth2_actix_tests")]
#[get("/required-6")]
#[require_scope("read")]
async fn required_6() -> String {
    span()
}

#[utoipa::path(responses((status = 200)))]
#[get("/required-7")]
#[require_scope("read")]
#[instrument(target = "oauth2_actix_tests")]
async fn required_7() -> String {
    span()
}

#[utoipa::path(responses((status = 200)))]
#[get("/required-8")]
#[instrument(target = "oauth2_actix_tests")]
#[require_scope("read")]
async fn required_8() -> String {
    span()
}

#[instrument(target = "oauth2_actix_tests")]
#[require_scope("read")]
#[utoipa::path(responses((status = 200)))]
#[get("/required-9")]
async fn required_9() -> String {
    span()
}

#[instrument(target = "oauth2_actix_tests")]
#[utoipa::path(responses((status = 200)))]
#[require_scope("read")]
#[get("/required-10")]
async fn required_10() -> String {
    span()
}

#[instrument(target = "oauth2_actix_tests")]
#[utoipa::path(responses((status = 200)))]
#[get("/required-11")]
#[require_scope("read")]
async fn required_11() -> String {
    span()
}

#[require_claim("role", "admin")]
#[utoipa::path(responses((status = 200)))]
#[get("/required-claim-0")]
async fn required_claim_0(id: web::Query<Vec<(String, u32)>>) -> String {
    drop(id);
    span()
}

#[utoipa::path(responses((status = 200)))]
#[require_claim("role", "admin")]
#[get("/required-claim-1")]
async fn required_claim_1(id: web::Query<Vec<(String, u32)>>) -> String {
    drop(id);
    span()
}

#[require(verified)]
#[utoipa::path(responses((status = 200)))]
#[get("/required-function-0")]
async fn required_function_0(id: web::Query<Vec<(String, u32)>>) -> String {
    drop(id);
    span()
}

#[utoipa::path(responses((status = 200)))]
#[require(verified)]
#[get("/required-function-1")]
async fn required_function_1(id: web::Query<Vec<(String, u32)>>) -> String {
    drop(id);
    span()
}

#[derive(OpenApi)]
#[openapi(paths(
    public_0,
    public_1,
    public_2,
    public_3,
    public_4,
    public_5,
    public_below,
    public_amid,
    required_0,
    required_1,
    required_2,
    required_3,
    required_4,
    required_5,
    required_6,
    required_7,
    required_8,
    required_9,
    required_10,
    required_11,
    required_claim_0,
    required_claim_1,
    required_function_0,
    required_function_1,
    plain,
))]
struct Api;

const PUBLIC: [&str; 10] = [
    "/public-0",
    "/public-1",
    "/public-2",
    "/public-3",
    "/public-4",
    "/public-5",
    "/public-below",
    "/public-amid",
    "/public-one",
    "/public-two",
];

const REQUIRED: [&str; 17] = [
    "/required-0",
    "/required-1",
    "/required-2",
    "/required-3",
    "/required-4",
    "/required-5",
    "/required-6",
    "/required-7",
    "/required-8",
    "/required-9",
    "/required-10",
    "/required-11",
    "/required-claim-0",
    "/required-claim-1",
    "/required-function-0",
    "/required-function-1",
    "/plain",
];

fn services() -> impl HttpServiceFactory {
    web::scope("")
        .service(public_0)
        .service(public_1)
        .service(public_2)
        .service(public_3)
        .service(public_4)
        .service(public_5)
        .service(public_below)
        .service(public_amid)
        .service(required_0)
        .service(required_1)
        .service(required_2)
        .service(required_3)
        .service(required_4)
        .service(required_5)
        .service(required_6)
        .service(required_7)
        .service(required_8)
        .service(required_9)
        .service(required_10)
        .service(required_11)
        .service(required_claim_0)
        .service(required_claim_1)
        .service(required_function_0)
        .service(required_function_1)
        .service(public_routes)
        .route("/plain", web::get().to(plain))
}

struct Setup(LocalServer);

impl Setup {
    fn new() -> Self {
        log::keep();
        let keys = key(Algorithm::ES256).jwk_set();
        let provider = Provider::new().issuer("https://idp.test").audience("api").keys(keys);
        let oauth2 = policy::builder().provider("test", provider).build().unwrap();
        let server = LocalServer::start(move |listener| {
            let app = move || App::new().service(services()).wrap(oauth2.clone());
            Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
        });
        Self(server.unwrap())
    }

    fn get(&self, path: &str, token: Option<&str>) -> Answer {
        let lines = token.map(|token| format!("Authorization: Bearer {token}"));
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        raw(self.0.address(), &raw_get(path, &lines))
    }
}

#[test]
fn public_beside_other_attributes_in_any_order_is_public_and_keeps_their_effects() {
    let setup = Setup::new();
    let token = Token::new("https://idp.test", "api").sign(key(Algorithm::ES256));
    for path in PUBLIC {
        let span = if path.ends_with("-one") || path.ends_with("-two") {
            "public_routes".to_owned()
        } else {
            path[1..].replace('-', "_")
        };
        for token in [None, Some(token.as_str())] {
            let answer = setup.get(path, token);
            assert_eq!((answer.status, answer.body.as_str()), (200, span.as_str()), "{path}");
        }
    }
    assert_eq!(setup.get("/absent", None).status, 400);
    let listed =
        public::routes().filter(|route| route.handler().contains("::attribute_order::")).count();
    assert_eq!(listed, PUBLIC.len());
}

#[test]
fn requirement_beside_other_attributes_in_any_order_is_checked_and_keeps_their_effects() {
    let setup = Setup::new();
    let token = |scope: &str, role: &str| {
        Token::new("https://idp.test", "api")
            .claim("scope", scope)
            .claim("role", role)
            .claim("email_verified", scope == "read")
            .sign(key(Algorithm::ES256))
    };
    let (good, bad) = (token("read", "admin"), token("write", "user"));
    for path in REQUIRED {
        let answer = setup.get(path, Some(&good));
        assert_eq!((answer.status, answer.body), (200, span_of(path)), "{path}");
        assert_eq!(setup.get(path, Some(&bad)).status, 403, "{path}");
        assert_eq!(setup.get(path, None).status, 400, "{path}");
    }
}

fn span_of(path: &str) -> String {
    if path.starts_with("/required-claim") || path.starts_with("/required-function") {
        "none".to_owned()
    } else {
        path[1..].replace('-', "_")
    }
}

#[test]
fn handler_with_utoipa_path_is_in_the_document() {
    let document = Api::openapi();
    for path in PUBLIC.iter().chain(&REQUIRED) {
        let is_described = !path.ends_with("-one") && !path.ends_with("-two");
        assert_eq!(document.paths.paths.contains_key(*path), is_described, "{path}");
    }
}
