//! Defects that were found in other crates of this kind.

use std::{
    sync::{Arc, Barrier},
    time::Duration,
};

use actix_web::{App, HttpResponse, HttpServer, get, web};
use oauth2_actix::{
    Algorithm, Claims, Provider, require, require_claim, require_scope,
    testing::{LocalServer, ManualClock, SigningKey},
};
use oauth2_actix_tests::{
    client::raw,
    forge::{self, b64, by, forge, sealed},
    key_server::{Answer, KeyServer},
    keys::{EVERY, key},
    policy,
    wait::advance_until,
};
use serde_json::{Value, json};

use crate::target::{
    AUDIENCE, ISSUER, Rejection, Target, bearer, builder, es256, good, is_rejection, jwk_set,
    payload, request, with_payload,
};

fn always(_: &Claims) -> bool {
    true
}

fn is_alice(claims: &Claims) -> bool {
    claims.has_claim("name", "alice")
}

#[get("/and-any")]
#[require_claim("a", "x")]
#[require_claim("b", any_of("x", "y"))]
async fn and_any() -> &'static str {
    "permitted"
}

#[get("/and-function")]
#[require_claim("a", "x")]
#[require(always)]
async fn and_function() -> &'static str {
    "permitted"
}

#[get("/three")]
#[require_claim("a", any_of("x", "y"))]
#[require_claim("b", all_of("x", "y"))]
#[require_scope(any_of("s", "t"))]
#[require(is_alice)]
async fn three() -> &'static str {
    "permitted"
}

/// AG: a condition is written without parentheses, so that `"A" && any("B", expr = "x")` becomes `A && B ||
/// x`. This test has the attributes; `truth_tables` has the values.
#[test]
fn ag_precedence_of_conditions_permits_no_bypass() {
    let oauth2 = builder().build().unwrap();
    let server = LocalServer::start(move |listener| {
        let app = move || {
            App::new().service(and_any).service(and_function).service(three).wrap(oauth2.clone())
        };
        Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
    })
    .unwrap();
    let values = [Value::Null, json!("x"), json!("y"), json!(["x", "y"])];
    for a in &values {
        for b in &values {
            for scope in ["", "s", "t u"] {
                for name in ["alice", "bob"] {
                    let mut token = good().claim("scope", scope).claim("name", name);
                    for (claim, value) in [("a", a), ("b", b)] {
                        if !value.is_null() {
                            token = token.claim(claim, value.clone());
                        }
                    }
                    let lines = [bearer(&token.sign(es256()))];
                    let has = |claim: &Value, text: &str| {
                        claim == text
                            || claim.as_array().is_some_and(|list| list.contains(&json!(text)))
                    };
                    let (ax, any_a) = (has(a, "x"), has(a, "x") || has(a, "y"));
                    let (any_b, all_b) = (has(b, "x") || has(b, "y"), has(b, "x") && has(b, "y"));
                    for (path, permitted) in [
                        ("/and-any", ax && any_b),
                        ("/and-function", ax),
                        ("/three", any_a && all_b && !scope.is_empty() && name == "alice"),
                    ] {
                        let answer = raw(server.address(), &request("GET", path, &lines));
                        let expected = if permitted { 200 } else { 403 };
                        assert_eq!(answer.status, expected, "{path} {a} {b} {scope} {name}");
                    }
                }
            }
        }
    }
}

/// T: a payload with `-`, `_` or garbage panics; `iss` is not checked where the keys have a URL; one invalid
/// key drops the set. (Unverified claims in the log: see `leaks`.)
#[test]
fn t_malformed_payloads_and_other_issuers_are_rejected() {
    let server = KeyServer::start(Answer::json(&{
        let mut set = jwk_set();
        set["keys"].as_array_mut().unwrap().insert(0, json!({"kty": "EC", "crv": "P-256"}));
        set
    }))
    .unwrap();
    let provider = Provider::new().issuer(ISSUER).audience(AUDIENCE).keys(server.url());
    let oauth2 =
        policy::builder().provider("fetched", provider).key_refresh_minutes(60).build().unwrap();
    let target = Target::behind(oauth2);
    // Text whose base64url has `-` and `_` in it.
    let text = payload().replacen('{', "{\"x\":\"\u{3ff}\u{fbff}\u{ffff}>>>???\",", 1);
    let token = with_payload(&text);
    assert!(forge::parts(&token)[1].contains(['-', '_']));
    target.accepts("letters of base64url", &token);
    let header = b64(forge::header(es256()).to_string());
    for garbage in ["-", "_", "--", "____", "-_-_-_", "~", "+/+/", "A", "AAAAA", "e30", "bnVsbA"] {
        target.rejects(garbage, &sealed(&header, garbage, by(es256())), Rejection::Malformed);
        target.rejects(garbage, &format!("{garbage}.{garbage}.{garbage}"), Rejection::Malformed);
    }
    for bytes in [&b"\xff\xfe"[..], b"\x00", b"{\"iss\":\"\xff\"}", b"{\"iss\":"] {
        target.rejects("garbage", &with_payload(bytes), Rejection::Malformed);
    }
    let elsewhere = good().claim("iss", "https://canary.test").sign(es256());
    target.rejects("another issuer", &elsewhere, Rejection::WrongResource);
}

/// K: never checks `iss`; a rotated key starts no refresh; bad JSON is a 500; no challenge.
#[test]
fn k_issuer_is_checked_rotation_is_followed_and_bad_json_is_401() {
    let old = SigningKey::generate(Algorithm::ES256, "old");
    let new = SigningKey::generate(Algorithm::ES256, "new");
    let server = KeyServer::start(Answer::json(&old.jwk_set())).unwrap();
    let provider = Provider::new().issuer(ISSUER).audience(AUDIENCE).keys(server.url());
    let oauth2 =
        policy::builder().provider("fetched", provider).key_refresh_minutes(60).build().unwrap();
    let target = Target::with_good(oauth2, good().sign(&old));
    let elsewhere = good().claim("iss", "https://canary.test").sign(&old);
    target.rejects("another issuer", &elsewhere, Rejection::WrongResource);
    for text in ["", "{", "nonsense", "{\"exp\":}", "[1,2", "\u{0}"] {
        let token = forge(forge::header(&old).to_string(), text, by(&old));
        target.rejects("bad JSON", &token, Rejection::Malformed);
        target.rejects("bad JSON", &forge(text, payload(), by(&old)), Rejection::Malformed);
    }
    // A forged signature of a known key causes no fetch.
    target.rejects("forged", &good().header("kid", "old").sign(&new), Rejection::Signature);
    assert_eq!(server.requests(), 1);
    server.answer(Answer::json(&json!({"keys": [old.public_jwk(), new.public_jwk()]})));
    target.accepts("the new key, at once", &good().sign(&new));
    assert_eq!(server.requests(), 2);
}

/// W: one request at a time in the whole process; the service of the handler is called before the token is
/// checked; several headers are joined; a missing or unknown kid, no keys, or a header that is not ASCII
/// panics; a failed refresh drops the keys.
#[test]
fn w_requests_run_concurrently_and_only_after_the_check() {
    let server = KeyServer::start(Answer::json(&es256().jwk_set())).unwrap();
    let clock = ManualClock::new();
    let provider = Provider::new().issuer(ISSUER).audience(AUDIENCE).keys(server.url());
    let oauth2 = policy::builder()
        .provider("fetched", provider)
        .key_refresh_minutes(60)
        .stale_window(Duration::from_secs(30 * 86_400))
        .clock(clock.clone())
        .build()
        .unwrap();
    let together = Arc::new(Barrier::new(4));
    let called = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = Arc::clone(&called);
    let policy = oauth2.clone();
    let api = LocalServer::start(move |listener| {
        let app = move || {
            let (together, called) = (Arc::clone(&together), Arc::clone(&counted));
            App::new()
                .route(
                    "/together",
                    web::get().to(move || {
                        let together = Arc::clone(&together);
                        async move {
                            // Blocks until four requests run at once.
                            let _ = web::block(move || together.wait()).await;
                            HttpResponse::Ok().finish()
                        }
                    }),
                )
                // The synchronous part of the inner service must not run before the check either.
                .wrap_fn(move |request, service| {
                    use actix_web::dev::Service;
                    called.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    service.call(request)
                })
                .wrap(policy.clone())
        };
        Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
    })
    .unwrap();
    let long = good().expires_in(90 * 86_400);
    let token = bearer(&long.sign(es256()));
    let send = |lines: &[Vec<u8>]| raw(api.address(), &request("GET", "/together", lines)).status;
    for lines in [
        vec![],
        vec![bearer("canary")],
        vec![bearer(&long.clone().header("kid", "unknown").sign(es256()))],
        vec![bearer(&long.clone().expires_in(-1).sign(es256()))],
        vec![token.clone(), token.clone()],
        vec![b"Authorization: Bearer \xff\xfe".to_vec()],
        vec![b"Authorization: \xc3\xa9".to_vec()],
    ] {
        assert!([400, 401].contains(&send(&lines)));
    }
    assert_eq!(called.load(std::sync::atomic::Ordering::SeqCst), 0, "called before the check");
    std::thread::scope(|scope| {
        let all: Vec<_> =
            (0..4).map(|_| scope.spawn(|| send(std::slice::from_ref(&token)))).collect();
        for one in all {
            assert_eq!(one.join().unwrap(), 200);
        }
    });
    let target = Target::with_good(oauth2, long.sign(es256()));
    target.accepts("no kid", &long.clone().header("kid", Value::Null).sign(es256()));
    let attacker = SigningKey::generate(Algorithm::ES256, "x");
    let nameless = long.clone().header("kid", Value::Null).sign(&attacker);
    // An unknown kid was searched for before. This one is searched for after the cooldown.
    target.rejects("no kid, another key", &nameless, Rejection::Unavailable);
    clock.advance(Duration::from_secs(10));
    target.rejects("no kid, another key", &nameless, Rejection::Signature);
    // Failed refreshes keep the keys.
    server.answer(Answer::status(500));
    let before = server.requests();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for round in 1..=3 {
        runtime.block_on(advance_until(&clock, Duration::from_secs(61), "a refresh", || {
            server.requests() >= before + round
        }));
        target.still_works("a failed refresh");
    }
}

/// JA: the kid of the token is sent to the key server as `?kid=`; one slow provider stops every request, also
/// with known keys.
#[test]
fn ja_kid_is_not_sent_and_a_slow_provider_delays_no_other() {
    let slow = KeyServer::start(Answer::hang()).unwrap();
    let clock = ManualClock::new();
    let provider = Provider::new().issuer("https://slow.test").audience(AUDIENCE).keys(slow.url());
    let oauth2 = builder()
        .provider("slow", provider)
        .key_refresh_minutes(60)
        .clock(clock.clone())
        .build()
        .unwrap();
    let target = Target::behind(oauth2);
    let of_slow =
        good().claim("iss", "https://slow.test").header("kid", "canary-kid").sign(es256());
    std::thread::scope(|scope| {
        let waiting: Vec<_> =
            (0..8).map(|_| scope.spawn(|| target.send("/me", &[bearer(&of_slow)]))).collect();
        slow.wait_for_requests(1);
        for _ in 0..20 {
            target.still_works("a provider that hangs");
        }
        assert!(waiting.iter().all(|one| !one.is_finished()));
        clock.advance(Duration::from_secs(5));
        for one in waiting {
            is_rejection("a provider that hangs", &one.join().unwrap(), Rejection::Unavailable);
        }
    });
    assert_eq!(slow.requests(), 1);
    let sent = slow.last_request();
    assert!(sent.starts_with("GET /jwks.json HTTP/1.1\r\n"), "{sent}");
    assert!(!sent.contains("canary") && !sent.to_lowercase().contains("authorization"), "{sent}");
}

/// 4: keys are loaded only once, RS256 only, a claim of another type panics. L: an empty list of algorithms,
/// documented to accept nothing, accepts any.
#[test]
fn four_and_l_claim_types_are_rejected_and_empty_lists_are_errors() {
    let target = Target::start();
    for key in EVERY.iter().filter(|key| !key.algorithm().is_symmetric()) {
        target.accepts(key.kid(), &good().sign(key));
    }
    for name in ["sub", "jti", "aud", "iss", "exp", "nbf", "iat"] {
        for value in [json!({"x": [1]}), json!([[]]), json!(false), Value::Null] {
            target.rejects(name, &good().claim(name, value).sign(es256()), Rejection::Malformed);
        }
    }
    for name in ["scope", "scp", "role", "client_id", "azp", "department"] {
        for value in [json!(7), json!({"x": [1]}), json!([[]]), json!(false), Value::Null] {
            let token = good().claim(name, value).sign(es256());
            target.accepts(name, &token);
            for path in ["/scope", "/role", "/typed"] {
                let status = target.send(path, &[bearer(&token)]).status;
                assert!(status == 403 || status == 401 && path == "/typed", "{path} {status}");
            }
        }
    }
    for list in [&[][..], &[Algorithm::RS256]] {
        let provider = Provider::new()
            .issuer(ISSUER)
            .audience(AUDIENCE)
            .keys(jwk_set())
            .algorithms(list.iter().copied());
        let built = policy::builder().provider("p", provider).build();
        if list.is_empty() {
            assert!(built.is_err());
            continue;
        }
        let target = Target::with_good(built.unwrap(), good().sign(key(Algorithm::RS256)));
        for key in EVERY.iter().filter(|key| key.algorithm() != Algorithm::RS256) {
            target.rejects(key.kid(), &good().sign(key), Rejection::Signature);
        }
    }
}

/// actix-web-httpauth 0.8.3 writes a challenge without commas, and requires `Bearer` in this case.
#[test]
fn actix_web_httpauth_challenge_has_commas_and_scheme_ignores_case() {
    let target = Target::start();
    let token = good().sign(es256());
    for scheme in ["bearer", "BEARER", "bEARER"] {
        let line = format!("Authorization: {scheme} {token}").into_bytes();
        assert_eq!(target.send("/me", &[line]).status, 200, "{scheme}");
    }
    let answer = target.send("/scope", &[bearer(&token)]);
    let challenge = answer.challenge();
    let parameters: Vec<&str> = challenge.strip_prefix("Bearer ").unwrap().split(", ").collect();
    let names: Vec<&str> = parameters.iter().map(|one| one.split_once('=').unwrap().0).collect();
    assert_eq!(names, ["scope", "realm", "error", "error_description"]);
    for parameter in parameters {
        let value = parameter.split_once('=').unwrap().1;
        assert!(value.starts_with('"') && value.ends_with('"') && value.len() > 2, "{parameter}");
    }
    assert_eq!(answer.headers.iter().filter(|(name, _)| name == "www-authenticate").count(), 1);
}
