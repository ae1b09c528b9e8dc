//! Rejected requests, one for each reason, with tokens of 800 bytes and 12 claims.

use divan::Bencher;
use oauth2_actix::{
    Algorithm,
    testing::{SigningKey, Token},
};
use oauth2_actix_bench as kit;

use crate::api::{app, bearer, bench, builder, key};

#[divan::bench(args = [
    "no token",
    "other scheme",
    "malformed header",
    "malformed token",
    "too long",
    "wrong issuer",
    "wrong audience",
    "expired",
    "algorithm not allowed",
    "unknown key",
    "bad signature",
])]
fn rejection(bencher: Bencher<'_, '_>, what: &str) {
    let (key, attacker) = (key(Algorithm::RS256), key(Algorithm::RS256));
    let signed = |token: Token, key: &SigningKey| {
        let text = kit::padded(token, key, 800).sign(key);
        Some(bearer(&text))
    };
    let token = kit::token();
    let authorization = match what {
        "no token" => None,
        "other scheme" => Some("Basic dXNlcjpwYXNzd29yZA==".to_owned()),
        "malformed header" => Some("Bearer not a token".to_owned()),
        "malformed token" => Some(bearer(&"x".repeat(800))),
        "too long" => Some(bearer(&"x".repeat(16 * 1024 + 1))),
        "wrong issuer" => signed(token.claim("iss", "https://other.test"), &key),
        "wrong audience" => signed(token.claim("aud", "other"), &key),
        "expired" => signed(token.expires_in(-60), &key),
        "algorithm not allowed" => signed(token.header("alg", "RS512"), &key),
        "unknown key" => signed(token.header("kid", "other"), &key),
        "bad signature" => signed(token, &attacker),
        other => panic!("{other}"),
    };
    let status = match what {
        "no token" | "other scheme" | "malformed header" => 400,
        _ => 401,
    };
    let app = app(&builder(&key).build().unwrap());
    bench(bencher, &app, "/", authorization.as_deref(), status);
}
