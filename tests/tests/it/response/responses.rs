//! The responses to rejected requests, over real HTTP.

use actix_web::{
    App, HttpResponse, HttpServer,
    body::BoxBody,
    dev::Service,
    middleware::{DefaultHeaders, Next, from_fn},
    web,
};
use oauth2_actix::{
    Algorithm, Claims, Error, ErrorKind, MissingToken, OAuth2Builder, Provider,
    testing::{LocalServer, SigningKey, Token},
};
use oauth2_actix_tests::{
    api::{self, Api, PUBLIC_PATHS},
    client::{self, Answer, get, raw, raw_get},
    key_server::{Answer as Script, KeyServer},
    keys::key,
    log, policy,
};
use serde_json::json;

const ISSUER: &str = "https://idp.test";
const AUDIENCE: &str = "api";

pub(crate) fn builder() -> OAuth2Builder {
    let keys = key(Algorithm::ES256).jwk_set();
    policy::builder()
        .provider("test", Provider::new().issuer(ISSUER).audience(AUDIENCE).keys(keys))
        .public_paths(PUBLIC_PATHS)
        .realm("orders")
}

pub(crate) fn start() -> Api {
    log::keep();
    Api::start(builder().build().unwrap())
}

pub(crate) fn good() -> Token {
    Token::new(ISSUER, AUDIENCE)
}

pub(crate) fn sign(token: &Token) -> String {
    token.sign(key(Algorithm::ES256))
}

/// Asserts status, challenge and body, and that a valid token is still accepted.
pub(crate) async fn assert_rejected(
    api: &Api,
    answer: &Answer,
    status: u16,
    error: &str,
    description: &str,
) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(
        answer.challenge(),
        format!(r#"Bearer realm="orders", error="{error}", error_description="{description}""#)
    );
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(body, json!({"error": error, "error_description": description}));
    let before = api.private_calls();
    assert_eq!(get(&api.url("/me"), Some(&sign(&good()))).await.status, 200);
    assert_eq!(api.private_calls(), before + 1);
}

#[tokio::test]
async fn valid_token_reaches_the_handler() {
    let api = start();
    let token = sign(&good().claim("scope", "a b").claim("sub", "alice"));
    let answer = get(&api.url("/me"), Some(&token)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(
        body,
        json!({"provider": "test", "subject": "alice", "issuer": ISSUER, "scopes": ["a", "b"]})
    );
    assert_eq!(answer.header("www-authenticate"), None);
}

#[tokio::test]
async fn missing_token_is_400_with_a_bare_challenge() {
    let api = start();
    for request in [
        client::client().get(api.url("/me")),
        client::client().post(api.url("/me")).body("x".repeat(100_000)),
        client::client().put(api.url("/no-such-route")),
    ] {
        let answer = client::send(request).await;
        assert_eq!(answer.status, 400);
        assert_eq!(answer.challenge(), r#"Bearer realm="orders""#);
        assert_eq!(answer.error(), "invalid_request");
    }
    assert_eq!(api.private_calls(), 0);
}

#[tokio::test]
async fn missing_token_is_401_by_option_and_malformed_header_is_not() {
    let api =
        Api::start(builder().missing_token_status(MissingToken::Unauthorized).build().unwrap());
    let answer = get(&api.url("/me"), None).await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.challenge(), r#"Bearer realm="orders""#);
    assert_eq!(answer.error(), "invalid_request");
    let answer = get(&api.url("/claims-on-public"), None).await;
    assert_eq!(answer.status, 401, "the same for an extractor");
    // Credentials of another scheme are not a bearer token (RFC 6750 §3.1).
    for credentials in ["Basic YTpi", "Negotiate abc", "DPoP a.b.c", "a.b.c"] {
        let other = raw_get("/me", &[&format!("Authorization: {credentials}")]);
        let answer = raw(api.server().address(), &other);
        assert_eq!(answer.status, 401, "{credentials}");
        assert_eq!(answer.challenge(), r#"Bearer realm="orders""#);
    }
    for malformed in ["Bearer", "Bearer a b", "Bearer: a.b.c", "\"a.b.c\""] {
        let request = raw_get("/me", &[&format!("Authorization: {malformed}")]);
        let answer = raw(api.server().address(), &request);
        assert_eq!((answer.status, answer.error().as_str()), (400, "invalid_request"));
        assert!(answer.challenge().contains("error=\"invalid_request\""), "{malformed}");
    }
}

#[tokio::test]
async fn rejected_token_is_401_with_a_fixed_text() {
    let api = start();
    let meant = "The token is not meant for this resource.";
    let shape = "The token is not an acceptable JWT.";
    let signature = "The token's signature is not accepted.";
    let attacker = SigningKey::generate(Algorithm::ES256, "ES256");
    let mut tampered = sign(&good());
    let last = tampered.pop().unwrap();
    tampered.insert(30, if last == 'A' { 'B' } else { 'A' });
    let huge = sign(&good().claim("filler", "x".repeat(16 * 1024)));
    for (token, description) in [
        (sign(&good().expires_in(-1)), "The token has expired."),
        (sign(&good().without("exp")), shape),
        (sign(&good().claim("exp", "2100-01-01")), shape),
        (sign(&good().claim("exp", 1e300)), shape),
        (sign(&good().claim("exp", -5)), shape),
        (sign(&good().claim("nbf", 4_000_000_000_u64)), "The token is not valid yet."),
        (sign(&good().claim("iss", "https://other.test")), meant),
        (sign(&good().claim("iss", "https://idp.test/")), meant),
        (sign(&good().claim("iss", json!(["https://idp.test"]))), shape),
        (sign(&good().without("iss")), shape),
        (sign(&good().claim("aud", "other")), meant),
        (sign(&good().claim("aud", json!([]))), meant),
        (sign(&good().without("aud")), meant),
        (sign(&good().claim("sub", 7)), shape),
        (sign(&good().header("typ", "id_token+jwt")), shape),
        (sign(&good().header("crit", json!(["x"]))), shape),
        (sign(&good().header("alg", "none")), signature),
        (sign(&good().header("alg", "HS256")), signature),
        (sign(&good().header("alg", "ES384")), signature),
        (sign(&good().header("kid", "other")), signature),
        (good().sign(&attacker), signature),
        (tampered, shape),
        (huge, shape),
        ("x.y.z".to_owned(), shape),
        ("opaque".to_owned(), shape),
        (".".repeat(10_000), shape),
    ] {
        let answer = get(&api.url("/me"), Some(&token)).await;
        assert_rejected(&api, &answer, 401, "invalid_token", description).await;
    }
}

#[tokio::test]
async fn missing_scopes_and_claims_are_403() {
    let api = start();
    let answer = get(&api.url("/scope"), Some(&sign(&good().claim("scope", "orders")))).await;
    assert_eq!(answer.status, 403);
    assert_eq!(
        answer.challenge(),
        "Bearer scope=\"orders:read\", realm=\"orders\", error=\"insufficient_scope\", \
         error_description=\"The token does not permit this.\""
    );
    assert_eq!(answer.error(), "insufficient_scope");
    let token = sign(&good().claim("scope", "x orders:read"));
    assert_eq!(get(&api.url("/scope"), Some(&token)).await.status, 200);

    let user = sign(&good().claim("realm_access", json!({"roles": ["user"]})));
    let answer = get(&api.url("/role"), Some(&user)).await;
    assert_rejected(&api, &answer, 403, "insufficient_scope", "The token does not permit this.")
        .await;
    let admin = sign(&good().claim("realm_access", json!({"roles": ["user", "admin"]})));
    assert_eq!(get(&api.url("/role"), Some(&admin)).await.status, 200);
}

#[tokio::test]
async fn unavailable_keys_are_503_with_retry_after() {
    let server = KeyServer::start(Script::status(500)).unwrap();
    let provider = Provider::new().issuer(ISSUER).audience(AUDIENCE).keys(server.url());
    let api = Api::start(policy::builder().provider("down", provider).build().unwrap());
    let answer = get(&api.url("/me"), Some(&sign(&good()))).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(answer.header("www-authenticate"), None);
    assert_eq!(answer.error(), "temporarily_unavailable");
    assert_eq!(api.private_calls(), 0);
    // Rejections that need no keys do not change.
    assert_eq!(get(&api.url("/me"), Some(&sign(&good().expires_in(-1)))).await.status, 401);
    assert_eq!(get(&api.url("/me"), None).await.status, 400);
}

#[tokio::test]
async fn claims_without_the_middleware_are_500_and_an_error_in_the_log() {
    log::keep();
    let server = LocalServer::start(|listener| {
        let app = || App::new().configure(api::routes);
        Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
    })
    .unwrap();
    for path in ["/me", "/optional", "/typed"] {
        let answer = get(&server.url(path), Some(&sign(&good()))).await;
        assert_eq!(answer.status, 500, "{path}");
        assert_eq!(answer.body, "");
        assert_eq!(answer.header("www-authenticate"), None);
    }
    assert!(!log::lines_with(&["ERROR", ".wrap(oauth2)"]).is_empty());
}

#[tokio::test]
async fn hook_writes_the_response_and_outer_middleware_reads_the_reason() {
    let (sender, reasons) = std::sync::mpsc::channel();
    let oauth2 = builder()
        .on_rejection(|request, error, answer| {
            assert!(answer.headers().contains_key("www-authenticate"));
            HttpResponse::build(answer.status()).body(format!(
                "{} {}",
                request.path(),
                error.description()
            ))
        })
        .build()
        .unwrap();
    let server = LocalServer::start(move |listener| {
        let app = move || {
            let sender = sender.clone();
            App::new().configure(api::routes).wrap(oauth2.clone()).wrap_fn(
                move |request, service| {
                    let sender = sender.clone();
                    let answer = service.call(request);
                    async move {
                        // Rejections are responses, never errors, so that outer middleware sees them.
                        let answer = answer.await.expect("an answer");
                        if let Some(error) = answer.response().extensions().get::<Error>() {
                            sender.send(error.kind().clone()).unwrap();
                        }
                        Ok(answer)
                    }
                },
            )
        };
        Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
    })
    .unwrap();
    let answer = get(&server.url("/me"), None).await;
    assert_eq!((answer.status, answer.body.as_str()), (400, "/me A bearer token is required."));
    assert_eq!(reasons.recv().unwrap(), ErrorKind::TokenMissing);
    // The rejection by an extractor is the same.
    let answer = get(&server.url("/scope"), Some(&sign(&good()))).await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (403, "/scope The token does not permit this.")
    );
    assert_eq!(
        reasons.recv().unwrap(),
        ErrorKind::InsufficientScope { required: "orders:read".into() }
    );
    assert_eq!(get(&server.url("/me"), Some(&sign(&good()))).await.status, 200);
    assert!(reasons.try_recv().is_err(), "an accepted request has no reason");
}

#[tokio::test]
async fn rejection_with_a_status_set_inside_is_left_unchanged() {
    let oauth2 = builder().build().unwrap();
    let server = LocalServer::start(move |listener| {
        let app = move || {
            App::new()
                .route(
                    "/scope",
                    web::get().to(|claims: Claims| async move {
                        claims.require_scope("none").map(|()| "never")
                    }),
                )
                .wrap_fn(|request, service| {
                    let answer = service.call(request);
                    async move {
                        let mut answer = answer.await?;
                        *answer.response_mut().status_mut() =
                            actix_web::http::StatusCode::NOT_FOUND;
                        Ok(answer.map_body(|_, _| BoxBody::new("nothing here")))
                    }
                })
                .wrap(oauth2.clone())
        };
        Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
    })
    .unwrap();
    let answer = get(&server.url("/scope"), Some(&sign(&good()))).await;
    assert_eq!((answer.status, answer.body.as_str()), (404, "nothing here"));
}

#[tokio::test]
async fn responses_and_logs_hold_no_part_of_a_token() {
    let api = start();
    let mut tokens = vec![
        sign(&good()),
        sign(&good().expires_in(-1)),
        sign(&good().claim("iss", "https://spy.test/marker-iss")),
        sign(&good().header("kid", "marker-kid")),
        sign(&good().header("typ", "marker-typ")),
        sign(&good().claim("aud", "marker-aud")),
        good().sign(&SigningKey::generate(Algorithm::ES256, "ES256")),
        "markermarker.markermarker.markermarker".to_owned(),
    ];
    tokens.push(tokens[0][..tokens[0].len() - 4].to_owned());
    for token in &tokens {
        let answer = get(&api.url("/me"), Some(token)).await;
        let text = format!("{answer:?}");
        for part in token.split('.') {
            assert!(!text.contains(part), "{text}");
        }
        assert!(!text.contains("marker"), "{text}");
    }
    for token in &tokens {
        for part in token.split('.') {
            assert!(log::lines_with(&[part]).is_empty(), "{part}");
        }
    }
    assert!(log::lines_with(&["marker"]).is_empty(), "{:?}", log::lines_with(&["marker"]));
    // The reasons are logged.
    assert!(!log::lines_with(&["DEBUG", "request rejected", "expired"]).is_empty());
}

#[tokio::test]
async fn error_of_inner_middleware_gets_the_response_of_a_handler_error() {
    let oauth2 = builder().missing_token_status(MissingToken::Unauthorized).build().unwrap();
    let server = LocalServer::start(move |listener| {
        let app = move || {
            App::new()
                .configure(api::routes)
                .wrap(from_fn(|claims: Claims, request, next: Next<_>| async move {
                    claims.require_scope("inner")?;
                    next.call(request).await
                }))
                .wrap(oauth2.clone())
                .wrap(actix_cors::Cors::default().allowed_origin("https://app.test"))
        };
        Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
    })
    .unwrap();
    let token = sign(&good());
    let request =
        |path: &str| client::client().get(server.url(path)).header("origin", "https://app.test");
    let answer = client::send(request("/me").bearer_auth(&token)).await;
    assert_eq!((answer.status, answer.error()), (403, "insufficient_scope".into()));
    assert!(answer.challenge().contains(r#"realm="orders""#), "{answer:?}");
    assert!(answer.challenge().contains(r#"scope="inner""#), "{answer:?}");
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.test"));
    assert_eq!(
        answer.header("access-control-expose-headers"),
        Some("WWW-Authenticate, Retry-After")
    );
    let absent = client::send(request("/public")).await;
    assert_eq!((absent.status, absent.challenge()), (401, r#"Bearer realm="orders""#));

    let bearer = format!("Authorization: Bearer {token}");
    let lines = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        bearer.as_str(),
    ];
    let mut connection = client::Connection::open(server.address());
    connection.send(&raw_get("/ws", &lines));
    assert_eq!(connection.answer().status, 101);
    assert_eq!(connection.rest(), b"\x88\x14\x03\xf0insufficient scope");
}

#[tokio::test]
async fn headers_of_inner_middleware_stay_on_a_rejection() {
    let oauth2 = builder().build().unwrap();
    let server = LocalServer::start(move |listener| {
        let app = move || {
            App::new()
                .configure(api::routes)
                .wrap(
                    DefaultHeaders::new()
                        .add(("strict-transport-security", "max-age=1"))
                        .add(("content-security-policy", "default-src 'none'")),
                )
                .wrap(oauth2.clone())
        };
        Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
    })
    .unwrap();
    let answer = get(&server.url("/scope"), Some(&sign(&good()))).await;
    assert_eq!(
        (answer.status, answer.header("strict-transport-security")),
        (403, Some("max-age=1"))
    );
    assert_eq!(answer.header("content-security-policy"), Some("default-src 'none'"));
    assert!(answer.challenge().contains("orders:read"));
    assert_eq!(answer.headers.iter().filter(|(name, _)| name == "content-length").count(), 1);
}
