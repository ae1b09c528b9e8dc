//! The log line of a rejected request: the request, the reason, and what was expected.

use oauth2_actix::{
    Algorithm, Difference, ErrorKind, OAuth2Builder, Provider, TypedClaims, require, require_claim,
    testing::{LocalServer, Token},
};
use oauth2_actix_tests::{api::Api, client, keys::key, log, policy};

use std::time::{SystemTime, UNIX_EPOCH};

use actix_web::{App, HttpResponse, HttpServer, get, web};
use serde::Deserialize;
use serde_json::json;

const ISSUER: &str = "https://idp.test/realms/shop";

fn provider() -> Provider {
    Provider::new().issuer(ISSUER).audience("orders").keys(key(Algorithm::ES256).jwk_set())
}

fn builder(name: &str) -> OAuth2Builder {
    log::keep();
    policy::builder().provider(name, provider())
}

fn token() -> Token {
    Token::new(ISSUER, "orders")
}

fn signed(token: &Token) -> String {
    token.sign(key(Algorithm::ES256))
}

/// Returns the line of the only request for this path.
fn line(path: &str) -> String {
    let lines = log::lines_with(&["request rejected", &format!("path=\"{path}\"")]);
    assert_eq!(lines.len(), 1, "{path}: {lines:?}");
    lines[0].clone()
}

#[track_caller]
fn assert_has(line: &str, parts: &[&str]) {
    for part in parts {
        assert!(line.contains(part), "{part} is not in {line}");
    }
}

#[tokio::test]
async fn rejection_names_request_provider_and_what_was_expected() {
    let api = Api::start(builder("logged").build().unwrap());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    for (path, token, parts) in [
        (
            "/log/audience",
            signed(&Token::new(ISSUER, "billing")),
            &["provider=\"logged\"", "another audience", "expected=\"orders\""][..],
        ),
        (
            "/log/audience-slash",
            signed(&Token::new(ISSUER, "orders/")),
            &["only a trailing slash differs", "expected=\"orders\""],
        ),
        (
            "/log/issuer",
            signed(&Token::new("https://other.example", "orders")),
            &["no configured provider has the token's issuer ", "https://idp.test/realms/shop"],
        ),
        (
            "/log/issuer-slash",
            signed(&Token::new("https://idp.test/realms/shop/", "orders")),
            &["only a trailing slash differs"],
        ),
        (
            "/log/issuer-host",
            signed(&Token::new("https://localhost/realms/shop", "orders")),
            &["only the host differs"],
        ),
        (
            "/log/issuer-scheme",
            signed(&Token::new("http://idp.test/realms/shop", "orders")),
            &["only the scheme differs"],
        ),
        (
            "/log/expired",
            signed(&token().expires_in(-5)),
            &["provider=\"logged\"", "expired", "the leeway is 0 s; see leeway_seconds"],
        ),
        (
            "/log/early",
            signed(&token().claim("nbf", now + 5)),
            &[
                "provider=\"logged\"",
                "not valid for another",
                "the leeway is 0 s; see leeway_seconds",
            ],
        ),
        ("/log/long-early", signed(&token().claim("nbf", now + 500)), &["not valid for another"]),
        (
            "/log/typ",
            signed(&token().header("typ", "logout+jwt")),
            &["`typ` is not accepted", "expected=\"JWT, at+jwt or none\""],
        ),
        (
            "/log/jose",
            signed(&token().header("typ", "JOSE")),
            &["provider=\"logged\"", "expected=\"JWT, at+jwt or none\""],
        ),
        ("/log/long-expired", signed(&token().expires_in(-500)), &["the token expired 50"]),
        ("/log/algorithm", token().sign(key(Algorithm::HS256)), &["expected=\"ES256"]),
        ("/log/opaque", "opaque".to_owned(), &["it is opaque, not a JWT"]),
        ("/log/encrypted", "a.b.c.d.e".to_owned(), &["encrypted JWT (JWE, five parts)"]),
        ("/log/two-parts", "a.b".to_owned(), &["two parts"]),
        ("/log/padded", "YQ==.YQ==.YQ==".to_owned(), &["padded with `=`", "RFC 7515"]),
        ("/log/padded-end", format!("{}==", signed(&token())), &["padded with `=`"]),
        ("/log/quoted", "\"a.b.c\"".to_owned(), &["in quotes"]),
    ] {
        let answer = client::get(&api.url(path), Some(&token)).await;
        assert!(matches!(answer.status, 400 | 401), "{path}");
        let line = line(path);
        assert_has(&line, &["method=\"GET\""]);
        assert_has(&line, parts);
        assert!(!line.contains("user-1"), "a claim of the token: {line}");
    }
    // The lines hold settings of the policy, but no part of the token.
    assert!(!line("/log/audience").contains("billing"));
    assert!(!line("/log/issuer").contains("other.example"));
    assert!(!line("/log/long-expired").contains("leeway"));
    assert!(!line("/log/long-early").contains("leeway"));
    assert!(!line("/log/typ").contains("logout"));
}

#[tokio::test]
async fn missing_token_is_logged_with_method_and_path_without_the_query() {
    let api = Api::start(builder("logged-path").build().unwrap());
    let request = client::client().delete(api.url("/log/missing?access_token=secret-text"));
    assert_eq!(client::send(request).await.status, 400);
    assert_has(&line("/log/missing"), &["method=\"DELETE\"", "the request has no bearer token"]);
    assert!(log::lines_with(&["secret-text"]).is_empty());
    let request = client::client().get(api.url("/log/basic")).basic_auth("user", Some("word"));
    assert_eq!(client::send(request).await.status, 400);
    assert_has(&line("/log/basic"), &["a scheme other than Bearer"]);
    let bare = signed(&token());
    let request = client::client().get(api.url("/log/bare")).header("authorization", &bare);
    assert_eq!(client::send(request).await.status, 400);
    assert_has(&line("/log/bare"), &["expected `Bearer`, a space and the token"]);
    assert!(log::lines_with(&[&bare]).is_empty());
}

#[derive(Deserialize)]
#[allow(dead_code)]
struct Employee {
    sub: String,
    email: String,
    level: u8,
    verified: Option<bool>,
}

#[get("/log/typed/{id}")]
async fn typed(_: TypedClaims<Employee>) -> HttpResponse {
    HttpResponse::Ok().finish()
}

#[get("/log/role")]
#[require_claim("role", "admin")]
async fn role() -> HttpResponse {
    HttpResponse::Ok().finish()
}

#[get("/log/roles")]
#[require_claim("/realm_access/roles", any_of("manager", "owner"))]
async fn roles() -> HttpResponse {
    HttpResponse::Ok().finish()
}

#[get("/log/dotted")]
#[require_claim("realm_access.roles", "manager")]
async fn dotted() -> HttpResponse {
    HttpResponse::Ok().finish()
}

#[get("/log/predicate")]
#[require(may_refund)]
async fn predicate() -> HttpResponse {
    HttpResponse::Ok().finish()
}

fn may_refund(_: &oauth2_actix::Claims) -> bool {
    false
}

#[tokio::test]
async fn insufficient_claims_are_named() {
    let oauth2 = builder("logged-403").build().unwrap();
    let server = LocalServer::start(move |listener| {
        let app = move || {
            App::new()
                .wrap(oauth2.clone())
                .service(typed)
                .service(role)
                .service(roles)
                .service(dotted)
                .service(predicate)
                .route("/log/scope", web::get().to(scope))
        };
        Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
    })
    .unwrap();
    async fn scope(claims: oauth2_actix::Claims) -> Result<&'static str, oauth2_actix::Error> {
        claims.require_scope("orders:read")?;
        Ok("orders")
    }
    let plain = token().claim("realm_access", json!({"roles": ["clerk"]}));
    let secret = |name: &str, value: serde_json::Value| {
        token().claim("email", "a@b.example").claim("level", 3).claim(name, value)
    };
    for (path, token, parts) in [
        ("/log/role", plain.clone(), &["claim role = \\\"admin\\\""][..]),
        (
            "/log/roles",
            plain.clone(),
            &["claim /realm_access/roles is any of \\\"manager\\\", \\\"owner\\\""],
        ),
        ("/log/dotted", plain.clone(), &["JSON pointer: \\\"/realm_access/roles\\\""]),
        ("/log/predicate", plain.clone(), &["rejection_log::may_refund"]),
        ("/log/scope", plain.clone(), &["lacks a required scope: orders:read"]),
        ("/log/typed/1", plain.clone(), &["missing field `email`", "Employee"]),
        (
            "/log/typed/2",
            secret("level", json!("hidden-text")),
            &["claim `level`: expected u8", "Employee"],
        ),
        ("/log/typed/3", secret("level", json!(4711)), &["claim `level`: expected u8"]),
        (
            "/log/typed/4",
            secret("verified", json!("hidden-text")),
            &["claim `verified`: expected a boolean"],
        ),
    ] {
        let answer = client::get(&server.url(path), Some(&signed(&token))).await;
        assert_eq!(answer.status, 403, "{path}");
        let line = line(path);
        assert_has(&line, &["provider=\"logged-403\""]);
        assert_has(&line, parts);
        for value in ["hidden-text", "4711", "clerk", "a@b.example"] {
            assert!(!line.contains(value), "{line}");
        }
    }
}

#[tokio::test]
async fn error_carries_what_the_log_shows() {
    let oauth2 = policy::builder()
        .provider("one", provider())
        .provider(
            "two",
            provider().audience("billing").issuer("https://b.test").audience_claim("azp"),
        )
        .build()
        .unwrap();
    let error = oauth2.verify(&signed(&Token::new("https://b.test", "x"))).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::AudienceMismatch { difference: None });
    assert_eq!(error.provider(), Some("two"));
    assert_eq!(error.expected(), Some("orders, billing"));
    let error = oauth2.verify(&signed(&Token::new("https://B.test", "x"))).await.unwrap_err();
    let difference = Some(Difference::LetterCase);
    assert_eq!(error.kind(), &ErrorKind::UnknownIssuer { difference });
    assert_eq!(error.expected(), Some("https://idp.test/realms/shop, https://b.test"));
}
