//! Defects and pitfalls of the libraries that this one uses.

use std::{
    sync::{Arc, Barrier},
    time::Duration,
};

use actix_cors::Cors;
use actix_web::{App, HttpResponse, HttpServer, web};
use oauth2_actix::{
    Algorithm, Provider,
    testing::{LocalServer, ManualClock, SigningKey},
};
use oauth2_actix_tests::{
    api,
    client::{Connection, raw},
    forge::{self, b64, forge},
    key_server::{Answer, KeyServer},
    keys::key,
    policy,
    wait::PATIENCE,
};
use serde_json::{Value, json};

use crate::{
    keys::padded_digest,
    target::{
        AUDIENCE, ISSUER, Rejection, Target, bearer, builder, es256, good, is_rejection, payload,
        request, with_header, with_payload,
    },
};

/// josekit's `JwtPayloadValidator` accepts a missing `aud` and `exp`, supports only one `aud` and no leeway,
/// and rejects an `iat` in the future; its `expires_at()` panics on huge values. None of it is used.
#[test]
fn josekit_payload_validator_and_its_panics_are_not_reached() {
    let target = Target::behind(builder().leeway(Duration::from_secs(30)).build().unwrap());
    target.rejects("no aud", &good().without("aud").sign(es256()), Rejection::WrongResource);
    target.rejects("no exp", &good().without("exp").sign(es256()), Rejection::Malformed);
    target.accepts("several aud", &good().claim("aud", json!(["x", AUDIENCE, "y"])).sign(es256()));
    target.accepts("leeway", &good().expires_in(-20).sign(es256()));
    target.rejects("beyond it", &good().expires_in(-31).sign(es256()), Rejection::Expired);
    target.accepts("iat ahead", &good().claim("iat", 4_000_000_000_u64).sign(es256()));
    for name in ["exp", "nbf", "iat"] {
        for value in ["1e300", "1.7976931348623157e308", "-1e300", "18446744073709551615", "1e19"] {
            let text = payload().replacen('{', &format!("{{\"{name}\":{value},"), 1);
            target.rejects(value, &with_payload(text), Rejection::Malformed);
            let alone = format!(
                "{{\"iss\":\"{ISSUER}\",\"aud\":\"api\",{}\"{name}\":{value}}}",
                if name == "exp" { "" } else { "\"exp\":4000000000," }
            );
            target.rejects(value, &with_payload(alone), Rejection::Malformed);
        }
    }
    for name in ["iss", "sub", "jti"] {
        for value in [json!(1), json!(["x"]), Value::Null, json!({})] {
            target.rejects(name, &good().claim(name, value).sign(es256()), Rejection::Malformed);
        }
    }
}

/// josekit's `JwkSet::from_bytes` fails on one malformed key, its verifiers reject tokens without a kid,
/// `remove_key` leaves a stale `kid_map`, and of two JSON members of one name it uses the last one.
#[test]
fn josekit_key_set_with_invalid_entries_or_without_kids_still_verifies() {
    let first = SigningKey::generate(Algorithm::ES256, "first");
    let second = SigningKey::generate(Algorithm::ES256, "second");
    let set = |key: &SigningKey| {
        json!({"keys": [
            null, 7, "canary", [], {}, {"kty": 7}, {"kty": "EC", "crv": "P-256", "kid": "first"},
            {"kty": "unheard-of", "kid": "canary"}, {"kty": "RSA", "n": "?", "e": "AQAB"},
            key.public_jwk(),
        ]})
    };
    let server = KeyServer::start(Answer::json(&set(&first))).unwrap();
    let provider = Provider::new().issuer(ISSUER).audience(AUDIENCE).keys(server.url());
    let clock = ManualClock::new();
    let oauth2 = policy::builder()
        .provider("fetched", provider)
        .key_refresh_minutes(60)
        .clock(clock.clone())
        .build()
        .unwrap();
    let long = |key: &SigningKey| good().expires_in(86_400).sign(key);
    let target = Target::with_good(oauth2, long(&first));
    target.accepts("no kid", &good().header("kid", Value::Null).sign(&first));
    target.rejects(
        "no kid",
        &good().header("kid", Value::Null).sign(&second),
        Rejection::Signature,
    );
    // A key that is removed from the set is not found by its kid.
    server.answer(Answer::json(&set(&second)));
    clock.advance(Duration::from_secs(11));
    let after = long(&second);
    assert_eq!(target.send("/me", &[bearer(&after)]).status, 200);
    let answer = target.send("/me", &[bearer(&long(&first))]);
    is_rejection("a key that was removed", &answer, Rejection::Signature);
    // A key with a duplicate member is unusable, and does not affect others.
    let twice = first.public_jwk().to_string().replacen('{', "{\"kid\":\"canary\",", 1);
    let document = format!("{{\"keys\":[{twice},{}]}}", es256().public_jwk());
    let provider = Provider::new().issuer(ISSUER).audience(AUDIENCE).keys(document);
    let target = Target::behind(policy::builder().provider("p", provider).build().unwrap());
    for kid in [json!("first"), json!("canary"), Value::Null] {
        let token = good().header("kid", kid).sign(&first);
        target.rejects("a key with two names", &token, Rejection::Signature);
    }
}

/// josekit inflates JWE without bound, compares HMAC with `!=`, and reads "critical" for "crit" in the JSON
/// serialisation. No entry point for these is called: such tokens are rejected. (No response shows that HMAC
/// is compared in constant time.)
#[test]
fn josekit_jwe_hmac_and_json_serialisation_are_never_reached() {
    let secret = key(Algorithm::HS256);
    let provider = Provider::new()
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .algorithms([Algorithm::HS256])
        .keys(secret.jwk_set());
    let oauth2 = policy::builder().provider("hmac", provider).build().unwrap();
    let target = Target::with_good(oauth2, good().sign(secret));
    let token = good().sign(secret);
    let [header, claims, signature] = forge::parts(&token);
    // Every shorter code, and every other byte.
    let code = secret.sign(format!("{header}.{claims}").as_bytes());
    for length in 1..code.len() {
        let cut = format!("{header}.{claims}.{}", b64(&code[..length]));
        is_rejection("a shorter code", &target.send("/me", &[bearer(&cut)]), Rejection::Signature);
        let mut wrong = code.clone();
        wrong[length] ^= 1;
        let wrong = format!("{header}.{claims}.{}", b64(wrong));
        is_rejection("another code", &target.send("/me", &[bearer(&wrong)]), Rejection::Signature);
    }
    let jwe = format!(
        "{}..{}.{}.AAAA",
        b64(r#"{"alg":"dir","enc":"A256GCM","zip":"DEF"}"#),
        b64([1; 12]),
        b64([0; 999])
    );
    target.rejects("JWE", &jwe, Rejection::Malformed);
    let json =
        json!({"protected": header, "payload": claims, "signature": signature, "critical": []});
    target.rejects("JSON serialisation", &json.to_string(), Rejection::MalformedHeader);
    let critical = forge(
        json!({"alg": "HS256", "crit": ["canary"], "canary": 1}).to_string(),
        payload(),
        forge::by(secret),
    );
    target.rejects("crit", &critical, Rejection::Malformed);
}

/// Checks of josekit that must not be lost: `crit` and `b64` are rejected, the `alg` of the header is that of
/// the verifier, RSA has 2048 bits, `use`, `key_ops`, `crv` and the length of ECDSA signatures are checked.
#[test]
fn josekit_checks_are_kept() {
    let target = Target::start();
    target.rejects("crit", &with_header(&json!({"crit": ["exp"]})), Rejection::Malformed);
    target.rejects("b64", &with_header(&json!({"b64": false})), Rejection::Malformed);
    target.rejects("alg", &with_header(&json!({"alg": "ES384"})), Rejection::Signature);
    for length in [0, 1, 63, 65, 70, 72, 128] {
        let token = forge(forge::header(es256()).to_string(), payload(), |_| vec![1; length]);
        let rejection = if length == 0 { Rejection::Malformed } else { Rejection::Signature };
        target.rejects("length", &token, rejection);
    }
    for (name, value) in
        [("use", json!("enc")), ("key_ops", json!(["sign"])), ("crv", json!("P-384"))]
    {
        let mut jwk = es256().public_jwk();
        jwk[name] = value;
        let keys = json!({"keys": [jwk, key(Algorithm::RS256).public_jwk()]});
        let provider = Provider::new().issuer(ISSUER).audience(AUDIENCE).keys(keys);
        let oauth2 = policy::builder().provider("p", provider).build().unwrap();
        let target = Target::with_good(oauth2, good().sign(key(Algorithm::RS256)));
        target.rejects(name, &good().sign(es256()), Rejection::Signature);
    }
}

/// actix-cors adds no headers to errors (its PR #809): rejections are responses, and have the CORS headers,
/// and those that expose the challenge to a script.
#[test]
fn actix_cors_outside_adds_its_headers_to_rejections() {
    let oauth2 = builder().build().unwrap();
    let server = LocalServer::start(move |listener| {
        let app = move || {
            let cors = Cors::default()
                .allowed_origin("https://app.test")
                .allowed_header("authorization")
                .allowed_methods(["GET"]);
            App::new().configure(api::routes).wrap(oauth2.clone()).wrap(cors)
        };
        Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
    })
    .unwrap();
    let origin = b"Origin: https://app.test".to_vec();
    let expired = bearer(&good().expires_in(-9).sign(es256()));
    let role = bearer(&good().sign(es256()));
    for (path, lines, status) in [
        ("/me", vec![origin.clone()], 400),
        ("/me", vec![origin.clone(), expired], 401),
        ("/role", vec![origin.clone(), role], 403),
    ] {
        let answer = raw(server.address(), &request("GET", path, &lines));
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.test"));
        let exposed = answer.header("access-control-expose-headers");
        assert_eq!(exposed, Some("WWW-Authenticate, Retry-After"));
    }
    let preflight = [origin, b"Access-Control-Request-Method: GET".to_vec()];
    assert_eq!(raw(server.address(), &request("OPTIONS", "/me", &preflight)).status, 200);
    let attacker =
        [b"Origin: https://canary.test".to_vec(), b"Access-Control-Request-Method: GET".to_vec()];
    let answer = raw(server.address(), &request("OPTIONS", "/me", &attacker));
    assert_eq!(answer.header("access-control-allow-origin"), None);
}

/// `req.path()` is the raw path, while the router matches a path with `%6d` decoded; `match_pattern()` at the
/// App is the raw path again; `NormalizePath` merges slashes only. The path of the router decides what is
/// public.
#[test]
fn actix_router_path_decides_what_is_public() {
    let oauth2 = policy::builder()
        .provider("test", crate::target::provider())
        .public_paths(["/users/{id:[^m].*}", "/files/{tail:.*}"])
        .build()
        .unwrap();
    let target = Target::behind(oauth2.clone());
    for path in ["/users/%6de", "/users/m%65", "/%75sers/%6d%65"] {
        is_rejection(path, &target.send(path, &[]), Rejection::NoToken);
        let token = good().sign(es256());
        assert_eq!(
            target.send(path, &[bearer(&token)]).status,
            200,
            "the router takes it to /users/me"
        );
    }
    assert_eq!(target.send("/users/%78", &[]).status, 200);
    // The path that an outer middleware rewrites is the one that counts.
    let server = LocalServer::start(move |listener| {
        use actix_web::middleware::NormalizePath;
        let app = move || {
            App::new()
                .route("/files", web::to(|| async { "private" }))
                .route("/files/{tail:.*}", web::to(|| async { "public" }))
                .route("/secret/x", web::to(|| async { "private" }))
                .wrap(oauth2.clone())
                .wrap(NormalizePath::trim())
        };
        Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
    })
    .unwrap();
    for path in ["/files", "/files/", "//files", "/secret//x", "/secret/x/", "/files/..//secret/x"]
    {
        let answer = raw(server.address(), &request("GET", path, &[]));
        assert_ne!(answer.body, "private", "{path}");
    }
    for path in ["/files", "/files/", "/secret//x"] {
        is_rejection(path, &raw(server.address(), &request("GET", path, &[])), Rejection::NoToken);
    }
    assert_eq!(raw(server.address(), &request("GET", "//files//x", &[])).body, "public");
}

/// actix-ws' `handle()` echoes no subprotocol, and a browser that offered one then reports 1006: a rejection
/// selects one.
#[test]
fn actix_ws_rejection_selects_a_subprotocol() {
    let target = Target::start();
    let lines = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Protocol: v12.stomp, v11.stomp",
    ]
    .map(|line| line.as_bytes().to_vec());
    let mut connection = Connection::open(target.api.server().address());
    connection.send(&request("GET", "/ws", &lines));
    let answer = connection.answer();
    assert_eq!(answer.header("sec-websocket-protocol"), Some("v12.stomp"));
    assert_eq!(connection.read(17), b"\x88\x0f\x03\xf0token missing");
    target.still_works("a subprotocol");
}

/// josekit accepts RSA keys of 2041 to 2047 bits, and any signature under an exponent of 1; a modulus with a
/// leading zero byte, which aws-lc-rs rejects, is valid.
#[test]
fn josekit_rsa_of_2041_bits_or_exponent_of_one_is_rejected() {
    let policy = |keys: Value| {
        let all = Provider::new().issuer(ISSUER).audience(AUDIENCE).keys(keys);
        policy::builder().provider("p", all).build()
    };
    for bits in [2041, 2047] {
        let rsa = openssl::rsa::Rsa::generate(bits).unwrap();
        let jwk = json!({
            "kty": "RSA", "n": b64(rsa.n().to_vec()), "e": b64(rsa.e().to_vec()), "kid": "short",
        });
        let pair = openssl::pkey::PKey::from_rsa(rsa).unwrap();
        assert!(policy(jwk.clone()).is_err());
        let target = Target::behind(policy(json!({"keys": [jwk, es256().public_jwk()]})).unwrap());
        for kid in [json!({"alg": "RS256", "kid": "short"}), json!({"alg": "RS256"})] {
            let token = forge(kid.to_string(), payload(), |message| {
                let digest = openssl::hash::MessageDigest::sha256();
                let mut signer = openssl::sign::Signer::new(digest, &pair).unwrap();
                signer.sign_oneshot_to_vec(message).unwrap()
            });
            target.rejects(&format!("{bits} bits"), &token, Rejection::Signature);
        }
        let pem = String::from_utf8(pair.public_key_to_pem().unwrap()).unwrap();
        let provider = Provider::new().issuer(ISSUER).audience(AUDIENCE).keys(pem);
        assert!(policy::builder().provider("p", provider).build().is_err());
    }
    let rsa = key(Algorithm::RS256);
    let mut one = rsa.public_jwk();
    one["e"] = json!("AQ");
    assert!(policy(one.clone()).is_err());
    let target = Target::behind(policy(json!({"keys": [one, es256().public_jwk()]})).unwrap());
    for alg in ["RS256", "PS256"] {
        let header = json!({"alg": alg, "kid": rsa.kid()}).to_string();
        let token = forge(header, payload(), |message| padded_digest(message, 256));
        target.rejects("an exponent of 1", &token, Rejection::Signature);
    }
    let mut zero = rsa.public_jwk();
    let modulus = base64::Engine::decode(
        &base64::engine::general_purpose::URL_SAFE_NO_PAD,
        zero["n"].as_str().unwrap(),
    );
    zero["n"] = json!(b64([vec![0], modulus.unwrap()].concat()));
    let target = Target::with_good(policy(zero).unwrap(), good().sign(rsa));
    target.accepts("a leading zero", &good().sign(rsa));
}

/// A clone of `HttpRequest` that is held across `service.call` panics in actix: none is held, also where a
/// request waits for keys, is accepted, or is rejected with a hook.
#[test]
fn actix_request_clones_are_not_held_across_the_call() {
    let server = KeyServer::start(Answer::json(&es256().jwk_set())).unwrap();
    let provider = Provider::new().issuer(ISSUER).audience(AUDIENCE).keys(server.url());
    let oauth2 = policy::builder()
        .provider("fetched", provider)
        .public_paths(api::PUBLIC_PATHS)
        .key_refresh(Duration::ZERO)
        .on_rejection(|request, _, answer| {
            let _held = request.clone();
            answer
        })
        .build()
        .unwrap();
    let target = Target::behind(oauth2);
    for _ in 0..5 {
        target.accepts("one that waits", &good().sign(es256()));
        target.rejects(
            "one that waits",
            &good().header("kid", "x").sign(es256()),
            Rejection::Signature,
        );
        assert_eq!(target.send("/optional", &[bearer(&good().sign(es256()))]).status, 200);
    }
}

/// A `reqwest::Client` that workers share stalls with the worker that drives its connection: keys are fetched
/// on a separate thread, so that a handler that blocks its worker delays no other.
#[test]
fn reqwest_client_does_not_stall_with_a_worker() {
    let server = KeyServer::start(Answer::json(&es256().jwk_set())).unwrap();
    let provider = Provider::new().issuer(ISSUER).audience(AUDIENCE).keys(server.url());
    let oauth2 =
        policy::builder().provider("p", provider).key_refresh(Duration::ZERO).build().unwrap();
    let barrier = Arc::new(Barrier::new(2));
    let held = Arc::clone(&barrier);
    let api = LocalServer::start(move |listener| {
        let app = move || {
            let held = Arc::clone(&held);
            let block = move || {
                let held = Arc::clone(&held);
                async move {
                    held.wait();
                    held.wait();
                    HttpResponse::Ok().finish()
                }
            };
            App::new()
                .route("/block", web::get().to(block))
                .route("/me", web::get().to(HttpResponse::Ok))
                .wrap(oauth2.clone())
        };
        Ok(HttpServer::new(app).workers(2).listen(listener)?.run())
    })
    .unwrap();
    let token = bearer(&good().sign(es256()));
    let send =
        |path| raw(api.address(), &request("GET", path, std::slice::from_ref(&token))).status;
    assert_eq!(send("/me"), 200);
    std::thread::scope(|scope| {
        let blocked = scope.spawn(|| send("/block"));
        barrier.wait();
        // One worker is blocked in a handler. Connections alternate between the workers, so that half of
        // these wait for it, and the other worker serves the rest, each with a fetch.
        let requested: Vec<_> = (0..4).map(|_| scope.spawn(|| send("/me"))).collect();
        let deadline = std::time::Instant::now() + PATIENCE;
        while requested.iter().filter(|one| one.is_finished()).count() < 2 {
            assert!(std::time::Instant::now() < deadline, "the other worker stalls too");
            std::thread::yield_now();
        }
        barrier.wait();
        assert_eq!(blocked.join().unwrap(), 200);
        for one in requested {
            assert_eq!(one.join().unwrap(), 200);
        }
    });
}

/// `Compress` around an `Upgrade` that is not a handshake sends invalid chunks (actix does so for any
/// response). A rejection has its length, for any `Upgrade` and `Accept-Encoding`.
#[test]
fn actix_compress_rejection_of_an_invalid_upgrade_has_its_length() {
    let target = Target::start();
    for upgrade in ["websocket", "h2c", "TLS/1.0", "canary"] {
        let lines = [
            b"Accept-Encoding: gzip, br".to_vec(),
            b"Connection: Upgrade".to_vec(),
            format!("Upgrade: {upgrade}").into_bytes(),
        ];
        let answer = target.send("/me", &lines);
        is_rejection(upgrade, &answer, Rejection::NoToken);
        assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()));
    }
    target.still_works("upgrades");
}
