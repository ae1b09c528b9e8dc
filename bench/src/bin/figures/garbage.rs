//! The cost of a rejection: each kind of garbage against a good token of the same length and shape.
//!
//! Run it without `RUST_BACKTRACE`: with it, errors of libraries capture backtraces, which are not to be
//! measured.

use std::time::{Duration, Instant};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::FutureExt;
use oauth2_actix::{
    Algorithm, OAuth2, TokenCacheConfig,
    testing::{SigningKey, Token},
};
use oauth2_actix_bench::{self as kit, AUDIENCE, ISSUER, statistics::median};
use serde_json::{Map, Value, json};

use crate::{report::Report, turns::micros};

pub(crate) fn run(report: &mut Report, _: &[String]) {
    for algorithm in [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA] {
        let keys: Vec<SigningKey> = (0..KEYS)
            .map(|index| SigningKey::generate(algorithm, &format!("key-{index}")))
            .collect();
        for length in [800, 16 * 1024] {
            measure(report, algorithm, &keys, length);
        }
    }
}

fn measure(report: &mut Report, algorithm: Algorithm, keys: &[SigningKey], length: usize) {
    report.heading(format_args!("{algorithm}, tokens of about {length} bytes"));
    let named: Vec<Value> = keys.iter().map(SigningKey::public_jwk).collect();
    let bare: Vec<Value> = keys.iter().map(SigningKey::bare_jwk).collect();
    let (named, bare) = (policy(json!({"keys": named})), policy(json!({"keys": bare})));
    let key = &keys[KEYS - 1];
    let attacker = SigningKey::generate(algorithm, key.kid());
    let good = padded(token(), key, length);
    // The cost of JSON depends on its shape: many small members cost more than one long text.
    let fill = length * 3 / 4 - length / 8;
    let many_members = token().claims(members(fill)).sign(key);
    let many_numbers = token().claim("fill", vec![7; fill / 2]).sign(key);
    let bad_members = token().claim("iss", "x").claims(members(fill)).sign(key);
    let bad_numbers = token().claim("iss", "x").claim("fill", vec![7; fill / 2]).sign(key);
    let goods: [(&str, &str); 3] = [
        ("good", &good),
        ("good, many members", &many_members),
        ("good, many numbers", &many_numbers),
    ];
    let kinds: Vec<(&str, &OAuth2, String, usize, f64)> = vec![
        ("bad signature, known kid", &named, padded(token(), &attacker, length), 0, 1.05),
        (
            "bad signature, unknown kid",
            &named,
            padded(token().header("kid", "made-up"), &attacker, length),
            0,
            1.1,
        ),
        (
            "bad signature, no kid, 20 keys that fit",
            &bare,
            padded(token().header("kid", Value::Null), &attacker, length),
            0,
            16.0,
        ),
        (
            "bad signature, no kid, 20 keys with kids",
            &named,
            padded(token().header("kid", Value::Null), &attacker, length),
            0,
            16.0,
        ),
        ("expired", &named, padded(token().expires_in(-60), key, length), 0, 1.1),
        ("other issuer", &named, padded(token().claim("iss", "x"), key, length), 0, 1.1),
        ("other issuer, many members", &named, bad_members, 1, 1.1),
        ("other issuer, many numbers", &named, bad_numbers, 2, 1.1),
        ("other audience", &named, padded(token().claim("aud", "x"), key, length), 0, 1.1),
        ("`crit`", &named, padded(token().header("crit", json!(["x"])), key, length), 0, 1.1),
        ("not base64url at its end", &named, spoiled(&good), 0, 1.1),
        ("a member twice, at its end", &named, raw_payload(&twice(length)), 0, 1.1),
        ("nested deeply", &named, raw_payload(&"{\"a\":".repeat(length / 8)), 0, 1.1),
        ("nothing but dots", &named, ".".repeat(length), 0, 1.1),
        ("too long by one", &named, "a".repeat(16 * 1024 + 1), 0, 1.1),
    ];
    // The arms take turns, and the median of many rounds counts, so that other load on the machine affects
    // all alike.
    let arms: Vec<(&OAuth2, &str)> = goods
        .iter()
        .map(|(_, token)| (&named, *token))
        .chain(kinds.iter().map(|(_, policy, token, ..)| (*policy, token.as_str())))
        .collect();
    let times = times(&arms, goods.len());
    for ((what, token), time) in goods.iter().zip(&times) {
        report.figure(what, format_args!("{:.1} us, {} bytes", micros(*time), token.len()));
    }
    for ((what, _, token, like, bound), time) in kinds.iter().zip(&times[goods.len()..]) {
        let ratio = time.as_secs_f64() / times[*like].as_secs_f64();
        let value = format!("{:.1} us, {} bytes, ratio {ratio:.3}", micros(*time), token.len());
        report.bound(what, value, format_args!("at most {bound}"), ratio <= *bound);
    }
}

/// Returns the median time of each arm. The first `good` tokens are accepted, the others are rejected.
fn times(arms: &[(&OAuth2, &str)], good: usize) -> Vec<Duration> {
    let mut times = vec![Vec::new(); arms.len()];
    for _ in 0..ROUNDS {
        for (index, (policy, token)) in arms.iter().enumerate() {
            let start = Instant::now();
            let answer = policy.verify(token).now_or_never();
            times[index].push(start.elapsed());
            let answer = answer.expect("no keys are fetched");
            assert_eq!(answer.is_ok(), index < good, "{index}: {answer:?}");
        }
    }
    times.into_iter().map(median).collect()
}

fn policy(keys: Value) -> OAuth2 {
    // So that a good token is new in each round.
    OAuth2::builder()
        .provider("idp", kit::provider(keys))
        .token_cache(TokenCacheConfig::disabled())
        .build()
        .unwrap()
}

fn token() -> Token {
    Token::new(ISSUER, AUDIENCE).expires_in(3600)
}

fn padded(token: Token, key: &SigningKey, length: usize) -> String {
    kit::padded(token, key, length).sign(key)
}

fn spoiled(token: &str) -> String {
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    parts[1].pop();
    parts[1].push('=');
    parts.join(".")
}

/// Returns a token with this payload and an invalid signature.
fn raw_payload(payload: &str) -> String {
    let payload = &payload[..payload.len().min(12_000)];
    format!(
        "{}.{}.AAAA",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256","kid":"key-0"}"#),
        URL_SAFE_NO_PAD.encode(payload)
    )
}

fn twice(length: usize) -> String {
    format!(r#"{{"fill":"{}","iss":"{ISSUER}","fill":1}}"#, "x".repeat(length * 3 / 4))
}

/// Returns claims of about this number of bytes.
fn members(bytes: usize) -> Map<String, Value> {
    (0..bytes / 8).map(|index| (format!("{index:x}"), json!(0))).collect()
}

const KEYS: usize = 20;
const ROUNDS: usize = 301;
