//! Attacks on APIs that ask their provider about tokens.

use oauth2_actix::{
    Algorithm, ClientAuthentication, OAuth2, Provider,
    introspection::Introspection,
    testing::{SigningKey, Token},
};
use oauth2_actix_tests::{
    key_server::{Answer, KeyServer},
    policy,
};
use serde_json::{Value, json};

use crate::target::{AUDIENCE, ISSUER, Rejection, Target, es256, good, provider};

const OTHER: &str = "https://other.test";

fn at(server: &KeyServer) -> Introspection {
    Introspection::at(server.url_of("/introspect"))
        .authentication(ClientAuthentication::basic("api", "canary-secret"))
}

fn introspected(issuer: &str, introspection: Introspection) -> Provider {
    Provider::new().issuer(issuer).audience(AUDIENCE).introspection(introspection)
}

fn active(members: Value) -> Answer {
    let mut answer = json!({"active": true, "aud": AUDIENCE, "sub": "canary-subject"});
    answer.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    Answer::json(&answer)
}

fn inactive() -> Answer {
    Answer::json(&json!({"active": false}))
}

/// A server whose provider verifies JWTs by their signature and introspects other tokens.
fn target(answer: Answer) -> (KeyServer, Target) {
    let server = KeyServer::start(answer).unwrap();
    let provider = provider().introspection(at(&server));
    (server, Target::behind(policy::builder().provider("test", provider).build().unwrap()))
}

/// An attacker sends a forged JWT to learn from the response whether the issuer knows it.
#[test]
fn forged_jwt_is_not_introspected() {
    let (server, target) = target(active(json!({})));
    let forged = SigningKey::generate(Algorithm::ES256, es256().kid());
    target.rejects("another key", &good().sign(&forged), Rejection::Signature);
    target.rejects(
        "another issuer",
        &Token::new(OTHER, AUDIENCE).sign(es256()),
        Rejection::WrongResource,
    );
    target.rejects(
        "another audience",
        &Token::new(ISSUER, "canary").sign(es256()),
        Rejection::WrongResource,
    );
    target.rejects("expired", &good().claim("exp", 1).sign(es256()), Rejection::Expired);
    let token = good().sign(es256());
    target.rejects("no signature", &token[..=token.rfind('.').unwrap()], Rejection::Malformed);
    assert_eq!(server.requests(), 0);
}

/// RFC 7662 §4: the response must not tell apart tokens that are unknown and those that are active elsewhere.
#[test]
fn token_of_another_api_and_an_unknown_one_get_the_same_response() {
    for (attack, answer) in [
        ("unknown", inactive()),
        ("another audience", active(json!({"aud": "canary"}))),
        ("no audience", active(json!({"aud": []}))),
        ("another issuer", active(json!({"iss": OTHER}))),
        ("expired", active(json!({"exp": 1}))),
        ("a refresh token", active(json!({"token_type": "refresh_token"}))),
        ("an id_token", active(json!({"typ": "ID"}))),
        ("a bound token", active(json!({"cnf": {"jkt": "canary"}}))),
        ("a bound token without its key", active(json!({"token_type": "DPoP"}))),
    ] {
        let (_server, target) = target(answer);
        target.rejects(attack, "canary-opaque-token", Rejection::Inactive);
    }
}

/// A misbehaving endpoint makes no token good, and takes none from clients.
#[test]
fn misbehaving_endpoint_causes_503_and_never_401() {
    for (attack, answer) in [
        ("text", Answer::json(&json!({"active": "true", "aud": AUDIENCE}))),
        ("number", Answer::json(&json!({"active": 1, "aud": AUDIENCE}))),
        ("list", Answer::json(&json!([{"active": true, "aud": AUDIENCE}]))),
        (
            "twice",
            Answer::body(
                200,
                &[("content-type", "application/json")],
                br#"{"active":false,"active":true,"aud":"api"}"#,
            ),
        ),
        ("500 with an active body", Answer::body(500, &[], br#"{"active":true,"aud":"api"}"#)),
        ("redirect", Answer::redirect(307, "http://127.0.0.1:9/")),
        ("HTML", Answer::body(200, &[("content-type", "text/html")], b"<html>canary</html>")),
        ("reset", Answer::reset()),
    ] {
        let (_server, target) = target(answer);
        target.rejects(attack, "canary-opaque-token", Rejection::Unavailable);
    }
}

/// Two providers: the response of one is never used for a token of the other.
#[test]
fn response_of_one_provider_is_never_used_for_a_token_of_another() {
    let evil = KeyServer::start(active(json!({"iss": ISSUER}))).unwrap();
    let honest = KeyServer::start(inactive()).unwrap();
    let oauth2 = policy::builder()
        .provider("evil", introspected(OTHER, at(&evil).token_prefix("evil_")))
        .provider("honest", introspected("https://honest.test", at(&honest)))
        .provider("test", provider())
        .build()
        .unwrap();
    let target = Target::behind(oauth2);
    // The provider of the prefix names another issuer, also that of another provider.
    target.rejects("the issuer of another provider", "evil_canary-token", Rejection::Inactive);
    assert_eq!((evil.requests() > 0, honest.requests()), (true, 0));
    // With its own issuer, its tokens are its own.
    evil.answer(active(json!({"iss": OTHER})));
    target.accepts("its own", "evil_canary-second");
    // Neither the same text without the prefix nor in another case was introspected there.
    let before = evil.requests();
    for token in
        ["canary-second", "EVIL_canary-second", "Evil_canary-second", "xevil_canary-second"]
    {
        target.rejects(token, token, Rejection::Inactive);
    }
    assert_eq!(evil.requests(), before);
}

/// A client that invents tokens causes a bounded number of introspection requests, and their cache is bounded.
#[test]
fn flood_of_invented_tokens_is_bounded_and_good_tokens_pass() {
    let server = KeyServer::start(inactive()).unwrap();
    let provider = provider().introspection(at(&server).max_calls(4));
    let oauth2: OAuth2 = policy::builder().provider("test", provider).build().unwrap();
    let target = Target::behind(oauth2.clone());
    for round in 0..3 {
        for index in 0..200 {
            let answer = target.send("/bare", &[crate::target::bearer(&format!("canary-{index}"))]);
            assert!(matches!(answer.status, 401 | 503), "{}", answer.status);
        }
        target.still_works(&format!("round {round}"));
    }
    // The second and third round had cached responses, unless the machine took longer than 5 s.
    assert!(server.requests() < 600, "{}", server.requests());
    // What cannot be a token is not introspected.
    let before = server.requests();
    let long = "x".repeat(17_000);
    for token in ["canary token", "canary\u{e9}", "\"canary\"", "canary=x", "", long.as_str()] {
        let answer = target.send("/bare", &[crate::target::bearer(token)]);
        assert!(matches!(answer.status, 400 | 401), "{token}: {}", answer.status);
    }
    assert_eq!(server.requests(), before);
}

/// A token is one parameter of the form, whatever it contains.
#[test]
fn token_cannot_inject_form_parameters() {
    let (server, target) = target(inactive());
    target.rejects("padding", "canary+token/with~chars==", Rejection::Inactive);
    let request = server.last_request();
    let (_, body) = request.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, "token=canary%2Btoken%2Fwith%7Echars%3D%3D&token_type_hint=access_token");
}

/// The document of an issuer leads to plain http at an address of the internal network.
#[test]
fn discovered_endpoint_over_http_elsewhere_is_not_called() {
    let server = KeyServer::start(inactive()).unwrap();
    let document = json!({
        "issuer": server.url_of(""),
        "introspection_endpoint": "http://10.0.0.1/introspect",
    });
    server.answer_at("/.well-known/openid-configuration", Answer::json(&document));
    let introspection = Introspection::discover()
        .authentication(ClientAuthentication::post("api", "canary-secret"));
    let provider = introspected(&server.url_of(""), introspection);
    let oauth2 = policy::builder().provider("idp", provider).provider("test", self::provider());
    let target = Target::behind(oauth2.build().unwrap());
    target.rejects("http to another host", "canary-opaque-token", Rejection::Unavailable);
    assert_eq!(server.requests_at("/introspect"), 0);
}
