//! Claims in handlers.

use std::time::{Duration, Instant};

use actix_web::{App, HttpMessage, HttpServer, dev::Service};
use oauth2_actix::{
    Algorithm, Claims, OAuth2, Provider,
    testing::{LocalServer, SigningKey, Token},
};
use oauth2_actix_tests::{
    api::{self, Api, PUBLIC_PATHS},
    client::get,
    key_server::{Answer as Script, KeyServer},
    keys::key,
    policy,
    wait::PATIENCE,
};
use serde_json::json;

fn oauth2() -> OAuth2 {
    policy::builder()
        .provider(
            "test",
            Provider::new()
                .issuer("https://idp.test")
                .audience("api")
                .keys(key(Algorithm::ES256).jwk_set()),
        )
        .public_paths(PUBLIC_PATHS)
        .build()
        .unwrap()
}

fn good() -> Token {
    Token::new("https://idp.test", "api")
}

fn sign(token: &Token) -> String {
    token.sign(key(Algorithm::ES256))
}

#[tokio::test]
async fn typed_claims_that_do_not_deserialize_are_403() {
    let api = Api::start(oauth2());
    let token = sign(&good().claim("department", json!({"floor": 3})));
    let answer = get(&api.url("/typed"), Some(&token)).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "user-1 on floor 3"));
    for floor in [json!("3"), json!(300), json!(null)] {
        let token = sign(&good().claim("department", json!({"floor": floor})));
        let answer = get(&api.url("/typed"), Some(&token)).await;
        assert_eq!((answer.status, answer.error()), (403, "insufficient_scope".into()));
    }
}

#[tokio::test]
async fn optional_claims_on_a_public_path_are_none_without_a_valid_token() {
    let api = Api::start(oauth2());
    let url = api.url("/optional");
    assert_eq!(get(&url, Some(&sign(&good()))).await.body, "user-1");
    assert_eq!(get(&url, None).await.body, "anonymous");
    assert_eq!(get(&url, Some("x.y.z")).await.body, "anonymous");
    assert_eq!(get(&url, Some(&sign(&good().expires_in(-1)))).await.body, "anonymous");
}

#[tokio::test]
async fn claims_extractor_on_a_public_path_rejects_as_on_a_private_path() {
    let api = Api::start(oauth2());
    let url = api.url("/claims-on-public");
    assert_eq!(get(&url, Some(&sign(&good()))).await.status, 200);
    let absent = get(&url, None).await;
    assert_eq!((absent.status, absent.challenge()), (400, r#"Bearer realm="api""#));
    let expired = get(&url, Some(&sign(&good().expires_in(-1)))).await;
    assert_eq!((expired.status, expired.error()), (401, "invalid_token".into()));
}

#[tokio::test]
async fn claims_are_in_the_extensions_for_inner_middleware() {
    let oauth2 = oauth2();
    let server = LocalServer::start(move |listener| {
        let app = move || {
            App::new()
                .configure(api::routes)
                .wrap_fn(|request, service| {
                    let provider = request
                        .extensions()
                        .get::<Claims>()
                        .map(|claims| claims.provider().to_owned());
                    assert_eq!(provider.as_deref(), Some("test"));
                    service.call(request)
                })
                .wrap(oauth2.clone())
        };
        Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
    })
    .unwrap();
    assert_eq!(get(&server.url("/me"), Some(&sign(&good()))).await.status, 200);
}

#[tokio::test]
async fn inner_policy_replaces_claims_of_the_outer_policy() {
    let inner = policy::builder()
        .provider(
            "inner",
            Provider::new()
                .issuer("https://idp.test")
                .audience("inner-api")
                .keys(key(Algorithm::ES256).jwk_set()),
        )
        .public_paths(["/optional"])
        .build()
        .unwrap();
    let outer = oauth2();
    let server = LocalServer::start(move |listener| {
        let app = move || App::new().configure(api::routes).wrap(inner.clone()).wrap(outer.clone());
        Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
    })
    .unwrap();
    let both = sign(&good().claim("aud", json!(["api", "inner-api"])));
    assert!(get(&server.url("/me"), Some(&both)).await.body.contains(r#""provider":"inner""#));
    let outer_only = sign(&good());
    assert_eq!(get(&server.url("/me"), Some(&outer_only)).await.status, 401);
    // The inner policy rejects this token, so that the claims of the outer one are removed.
    assert_eq!(get(&server.url("/optional"), Some(&outer_only)).await.body, "anonymous");
}

#[tokio::test]
async fn unknown_key_on_a_public_path_is_401_and_causes_a_fetch() {
    let (old, new) = (
        SigningKey::generate(Algorithm::ES256, "old"),
        SigningKey::generate(Algorithm::ES256, "new"),
    );
    let server = KeyServer::start(Script::json(&old.jwk_set())).unwrap();
    let of = |refresh| {
        policy::builder()
            .provider(
                "p",
                Provider::new().issuer("https://idp.test").audience("api").keys(server.url()),
            )
            .public_paths(PUBLIC_PATHS)
            .key_refresh(refresh)
            .build()
            .unwrap()
    };
    let oauth2 = of(Duration::from_secs(600));
    let api = Api::start(oauth2.clone());
    assert!(oauth2.verify(&good().sign(&old)).await.is_ok());
    let made_up = SigningKey::generate(Algorithm::ES256, "made-up");
    let answer = get(&api.url("/claims-on-public"), Some(&good().sign(&made_up))).await;
    assert_eq!((answer.status, answer.error()), (401, "invalid_token".into()));
    server.wait_for_requests(2);

    // Requests for public paths alone cause the fetch after a rotation.
    let oauth2 = of(Duration::from_secs(600));
    let api = Api::start(oauth2.clone());
    assert!(oauth2.verify(&good().sign(&old)).await.is_ok());
    server.answer(Script::json(&new.jwk_set()));
    let deadline = Instant::now() + PATIENCE;
    while get(&api.url("/optional"), Some(&good().sign(&new))).await.body != "user-1" {
        assert!(Instant::now() < deadline);
    }

    // With a refresh of zero, a request that does not wait has no keys.
    let api = Api::start(of(Duration::ZERO));
    let token = good().sign(&new);
    assert_eq!(get(&api.url("/me"), Some(&token)).await.status, 200);
    assert_eq!(get(&api.url("/optional"), Some(&token)).await.body, "anonymous");
    assert_eq!(get(&api.url("/claims-on-public"), Some(&token)).await.status, 503);
}

#[tokio::test]
async fn claims_expose_header_token_and_json() {
    let token = sign(
        &good()
            .claim("jti", "id-1")
            .claim("nbf", 1_700_000_000)
            .claim("cid", "okta-client")
            .header("typ", "application/at+jwt"),
    );
    for cached in [false, true] {
        let oauth2 = oauth2();
        if cached {
            oauth2.verify(&token).await.unwrap();
        }
        let claims = oauth2.verify(&token).await.unwrap();
        let header = claims.jose_header();
        assert_eq!(header.algorithm, Some(Algorithm::ES256));
        assert_eq!(header.key_id.as_deref(), Some("ES256"));
        assert_eq!(header.token_type.as_deref(), Some("application/at+jwt"));
        assert!(!format!("{header:?}").contains("at+jwt"), "text of the token");
        assert_eq!(claims.expose_token(), token);
        assert!(!format!("{claims:?}").contains(&token));
        assert_eq!(claims.jwt_id(), Some("id-1"));
        let begin = std::time::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        assert_eq!(claims.not_before(), Some(begin));
        assert_eq!(claims.client_id(), Some("okta-client"));
        let json = serde_json::to_value(&claims).unwrap();
        assert_eq!(json, serde_json::Value::Object(claims.to_map()));
        assert_eq!(json["jti"], "id-1");
    }
}

#[test]
fn client_id_is_read_from_the_claim_of_each_provider() {
    for (claims, expected) in [
        (json!({"client_id": "a", "azp": "b"}), Some("a")),
        (json!({"azp": "b", "appid": "c"}), Some("b")),
        (json!({"appid": "c", "cid": "d"}), Some("c")),
        (json!({"cid": "d"}), Some("d")),
        (json!({"client_id": 7, "cid": "d"}), Some("d")),
        (json!({}), None),
    ] {
        assert_eq!(oauth2_actix::testing::claims(claims).client_id(), expected);
    }
}
