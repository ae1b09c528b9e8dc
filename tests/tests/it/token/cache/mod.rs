//! The cache of verified tokens: a hit has the result of a verification.
//!
//! - this file: withdrawn keys, expiry, tenants and races
//! - `bounds`: limits and eviction
//! - `model`: random sequences with and without the cache

mod bounds;
mod model;

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use futures_util::FutureExt;
use oauth2_actix::{
    Algorithm, Claims, ErrorKind, KeySource, Keys, OAuth2, OAuth2Builder, Provider,
    TokenCacheConfig,
    tenants::{Tenant, TenantLookup, Tenants},
    testing::{ManualClock, SigningKey, Token},
};
use oauth2_actix_tests::{
    api::Api,
    client,
    key_server::{Answer, KeyServer},
    keys::key,
    policy,
};
use serde_json::{Value, json};

const ISSUER: &str = "https://idp.test";
const HOUR: Duration = Duration::from_secs(3600);

fn provider(keys: Value) -> Provider {
    Provider::new().issuer(ISSUER).audience("api").keys(keys)
}

fn builder() -> OAuth2Builder {
    policy::builder().token_cache(TokenCacheConfig::new())
}

fn inline() -> OAuth2Builder {
    builder().provider("p", provider(key(Algorithm::ES256).jwk_set()))
}

fn fetched(server: &KeyServer) -> OAuth2Builder {
    let provider = Provider::new().issuer(ISSUER).audience("api").keys(server.url());
    builder().provider("p", provider).key_refresh_minutes(60)
}

fn token() -> Token {
    Token::new(ISSUER, "api").expires_in(30 * 86_400)
}

fn keys(keys: &[&SigningKey]) -> Answer {
    let keys: Vec<Value> = keys.iter().map(|key| key.public_jwk()).collect();
    Answer::json(&json!({"keys": keys}))
}

async fn kind(oauth2: &OAuth2, token: &str) -> Option<ErrorKind> {
    oauth2.verify(token).await.err().map(|error| error.kind().clone())
}

/// Returns whether both are the result of one verification.
fn are_one(one: &Claims, other: &Claims) -> bool {
    std::ptr::eq(one.get("iss").unwrap(), other.get("iss").unwrap())
}

/// Returns whether the token is cached.
async fn hits(oauth2: &OAuth2, token: &str) -> bool {
    let twice = [oauth2.verify(token).await.unwrap(), oauth2.verify(token).await.unwrap()];
    are_one(&twice[0], &twice[1])
}

#[tokio::test]
async fn token_sent_again_is_a_hit() {
    let oauth2 = inline().build().unwrap();
    let good = token().claim("a", json!([1, {"b": null}])).sign(key(Algorithm::ES256));
    let first = oauth2.verify(&good).await.unwrap();
    assert_eq!(oauth2.token_cache_status().entries, 1);
    assert!(oauth2.token_cache_status().bytes > good.len());
    let second = oauth2.verify(&good).await.unwrap();
    assert!(are_one(&first, &second));
    assert_eq!((second.provider(), second.subject()), ("p", Some("user-1")));
    // The same for requests, on any worker.
    let api = Api::start(oauth2.clone());
    for _ in 0..8 {
        assert_eq!(client::get(&api.url("/me"), Some(&good)).await.status, 200);
    }
    assert_eq!(oauth2.token_cache_status().entries, 1);
}

#[tokio::test]
async fn cache_is_disabled_by_option_or_bounds_of_zero() {
    let off = policy::from_json(json!({
        "providers": {"p": {"issuer": ISSUER, "audience": "api", "keys": key(Algorithm::ES256).jwk_set()}},
        "token_cache": false,
    }))
    .unwrap();
    for builder in [
        off,
        inline().token_cache(TokenCacheConfig::disabled()),
        inline().token_cache(TokenCacheConfig::new().max_entries(0)),
        inline().token_cache(TokenCacheConfig::new().max_bytes(0)),
    ] {
        let oauth2 = builder.build().unwrap();
        assert!(!hits(&oauth2, &token().sign(key(Algorithm::ES256))).await);
        assert_eq!(oauth2.token_cache_status().entries, 0);
    }
}

#[test]
fn invalid_cache_settings_are_rejected() {
    let error =
        inline().token_cache(TokenCacheConfig::new().max_entries(10_000_001)).build().unwrap_err();
    assert!(error.to_string().contains("token_cache"), "{error}");
    for (value, named) in [
        (json!("on"), "token_cache: must be true, false or a map of limits, not \"on\""),
        (json!({"max_entires": 1}), "token_cache.max_entires"),
        (json!({"max_bytes": -1}), "token_cache.max_bytes"),
    ] {
        let error = serde_json::from_value::<OAuth2Builder>(json!({"token_cache": value}))
            .err()
            .map(|error| error.to_string())
            .unwrap();
        assert!(error.contains(named), "{error}");
    }
    let few = json!({"token_cache": {"max_entries": 10, "max_bytes": 1000}});
    assert!(serde_json::from_value::<OAuth2Builder>(few).is_ok());
}

#[tokio::test]
async fn changed_token_is_no_hit() {
    let oauth2 = inline().build().unwrap();
    let good = token().sign(key(Algorithm::ES256));
    assert!(hits(&oauth2, &good).await);
    for index in 0..good.len() {
        for other in ["A", "B", ".", "-", ""] {
            let mut spoiled = good.clone();
            spoiled.replace_range(index..=index, other);
            if spoiled != good {
                assert!(kind(&oauth2, &spoiled).await.is_some(), "{index} {other}");
            }
        }
    }
    for spoiled in [
        good.to_uppercase(),
        format!("{good}A"),
        format!("A{good}"),
        format!("{good}="),
        format!("{good}."),
        // The end of the token, which is hashed.
        good[good.len() - 32..].to_owned(),
        format!("x.y.{}", &good[good.len() - 32..]),
        String::new(),
    ] {
        assert!(kind(&oauth2, &spoiled).await.is_some(), "{spoiled}");
    }
    assert!(hits(&oauth2, &good).await);
    assert_eq!(oauth2.token_cache_status().entries, 1);
}

#[tokio::test]
async fn hit_ends_at_exp_plus_leeway() {
    let clock = ManualClock::new();
    let oauth2 = inline().leeway(Duration::from_secs(5)).clock(clock.clone()).build().unwrap();
    let now = clock.unix_seconds();
    let good = token().claim("nbf", now - 10).claim("exp", now + 60).sign(key(Algorithm::ES256));
    assert!(hits(&oauth2, &good).await);
    clock.advance(Duration::from_secs(64));
    assert!(hits(&oauth2, &good).await);
    clock.advance(Duration::from_secs(1));
    assert!(matches!(kind(&oauth2, &good).await, Some(ErrorKind::Expired { .. })));
}

#[tokio::test]
async fn hit_ends_at_the_maximum_age() {
    let clock = ManualClock::new();
    let oauth2 = inline()
        .leeway(Duration::from_secs(5))
        .max_token_age(Duration::from_secs(60))
        .clock(clock.clone())
        .build()
        .unwrap();
    let good = token().claim("iat", clock.unix_seconds()).sign(key(Algorithm::ES256));
    assert!(hits(&oauth2, &good).await);
    clock.advance(Duration::from_secs(64));
    assert!(hits(&oauth2, &good).await);
    clock.advance(Duration::from_secs(1));
    assert!(matches!(kind(&oauth2, &good).await, Some(ErrorKind::TokenTooOld { .. })));
}

#[tokio::test]
async fn hit_ends_when_the_key_is_withdrawn() {
    let (old, new) = (key(Algorithm::ES256), SigningKey::generate(Algorithm::ES256, "new"));
    let server = KeyServer::start(keys(&[old])).unwrap();
    let oauth2 = fetched(&server).build().unwrap();
    let good = token().sign(old);
    assert!(hits(&oauth2, &good).await);

    // An added key: the token is verified again, and cached again.
    let before = oauth2.verify(&good).await.unwrap();
    server.answer(keys(&[old, &new]));
    oauth2.refresh_keys().await.unwrap();
    assert!(!are_one(&before, &oauth2.verify(&good).await.unwrap()));
    assert!(hits(&oauth2, &good).await);
    assert_eq!(oauth2.token_cache_status().entries, 1);

    server.answer(keys(&[&new]));
    oauth2.refresh_keys().await.unwrap();
    assert_eq!(kind(&oauth2, &good).await, Some(ErrorKind::UnknownKey));

    // Another key of the same name.
    server.answer(keys(&[&SigningKey::generate(Algorithm::ES256, old.kid())]));
    oauth2.refresh_keys().await.unwrap();
    assert_eq!(kind(&oauth2, &good).await, Some(ErrorKind::SignatureInvalid));

    // The same key, which is no longer for signatures.
    let mut other_use = old.public_jwk();
    other_use["alg"] = json!("ES256");
    other_use["use"] = json!("enc");
    server.answer(Answer::json(&json!({"keys": [other_use, new.public_jwk()]})));
    oauth2.refresh_keys().await.unwrap();
    assert_eq!(kind(&oauth2, &good).await, Some(ErrorKind::UnknownKey));
}

#[tokio::test]
async fn key_with_changed_parameters_is_another_key() {
    let rsa = key(Algorithm::RS256);
    let with = |name: &str, value: &str| {
        let mut jwk = rsa.public_jwk();
        jwk["alg"] = json!("RS256");
        jwk[name] = json!(value);
        Answer::json(&json!({"keys": [jwk]}))
    };
    let server = KeyServer::start(with("alg", "RS256")).unwrap();
    let oauth2 = fetched(&server).build().unwrap();
    let good = token().sign(rsa);
    for (answer, why) in [
        (with("alg", "PS256"), ErrorKind::AlgorithmNotAllowed),
        (with("kid", "renamed"), ErrorKind::UnknownKey),
        (keys(&[&SigningKey::generate(Algorithm::RS256, rsa.kid())]), ErrorKind::SignatureInvalid),
    ] {
        server.answer(with("alg", "RS256"));
        oauth2.refresh_keys().await.unwrap();
        assert!(hits(&oauth2, &good).await);
        // Without another refresh in between.
        server.answer(answer);
        oauth2.refresh_keys().await.unwrap();
        assert_eq!(kind(&oauth2, &good).await, Some(why));
    }
}

#[tokio::test]
async fn unchanged_refresh_keeps_entries() {
    let (one, other) = (key(Algorithm::ES256), key(Algorithm::EdDSA));
    let server = KeyServer::start(keys(&[one, other])).unwrap();
    let oauth2 = fetched(&server).build().unwrap();
    let good = token().sign(one);
    let before = oauth2.verify(&good).await.unwrap();
    let mut spaced = one.public_jwk();
    spaced["ext"] = json!("unread");
    for answer in [
        keys(&[one, other]),
        keys(&[other, one]),
        Answer::json(&json!({"keys": [{"kty": "new"}, other.public_jwk(), spaced]})),
    ] {
        server.answer(answer);
        oauth2.refresh_keys().await.unwrap();
        assert!(are_one(&before, &oauth2.verify(&good).await.unwrap()));
    }
    // A failed fetch keeps the entries too.
    server.answer(Answer::status(500));
    oauth2.refresh_keys().await.unwrap_err();
    assert!(are_one(&before, &oauth2.verify(&good).await.unwrap()));
}

#[tokio::test]
async fn hit_ends_at_the_stale_window() {
    let server = KeyServer::start(keys(&[key(Algorithm::ES256)])).unwrap();
    let clock = ManualClock::new();
    let oauth2 = fetched(&server).stale_window(2 * HOUR).clock(clock.clone()).build().unwrap();
    let good = token().sign(key(Algorithm::ES256));
    assert!(hits(&oauth2, &good).await);
    server.answer(Answer::status(500));
    clock.advance(HOUR + HOUR / 2);
    assert!(hits(&oauth2, &good).await);
    clock.advance(HOUR / 2);
    assert!(matches!(kind(&oauth2, &good).await, Some(ErrorKind::KeysUnavailable { .. })));
}

#[tokio::test]
async fn refresh_of_zero_bypasses_the_cache() {
    let server = KeyServer::start(keys(&[key(Algorithm::ES256)])).unwrap();
    let oauth2 = fetched(&server).key_refresh(Duration::ZERO).build().unwrap();
    let good = token().sign(key(Algorithm::ES256));
    for count in 1..=3 {
        oauth2.verify(&good).await.unwrap();
        assert_eq!(server.requests(), count);
    }
    assert_eq!(oauth2.token_cache_status().entries, 0);
    server.answer(Answer::status(500));
    assert!(matches!(kind(&oauth2, &good).await, Some(ErrorKind::KeysUnavailable { .. })));
}

#[tokio::test]
async fn cached_token_is_rejected_by_another_policy() {
    let of = |audience: &str| {
        let provider = provider(key(Algorithm::ES256).jwk_set()).audience(audience);
        builder().provider("p", provider).build().unwrap()
    };
    let strict = Provider::new().issuer(ISSUER).audience("b").keys(key(Algorithm::ES256).jwk_set());
    let (one, other) = (of("a"), builder().provider("p", strict).build().unwrap());
    let good = token().claim("aud", "a").sign(key(Algorithm::ES256));
    assert!(hits(&one, &good).await);
    assert_eq!(kind(&other, &good).await, Some(ErrorKind::AudienceMismatch { difference: None }));
}

/// A tenant that exists until the flag is cleared.
struct Customer(Arc<AtomicBool>);

impl TenantLookup for Customer {
    async fn find_by_issuer(
        &self,
        issuer: &str,
    ) -> Result<Option<Tenant>, Box<dyn Error + Send + Sync>> {
        let keys = key(Algorithm::ES256).jwk_set();
        let tenant =
            Tenant::new("customer", Provider::new().issuer(issuer).audience("api").keys(keys));
        Ok(self.0.load(Ordering::SeqCst).then_some(tenant))
    }
}

#[tokio::test]
async fn hit_ends_when_the_tenant_is_removed() {
    let exists = Arc::new(AtomicBool::new(true));
    let clock = ManualClock::new();
    let oauth2 = builder()
        .tenants(Tenants::new(Customer(Arc::clone(&exists))).lifetime(HOUR))
        .key_refresh_minutes(60)
        .clock(clock.clone())
        .build()
        .unwrap();
    let good = token().claim("iss", "https://customer.test").sign(key(Algorithm::ES256));
    assert!(hits(&oauth2, &good).await);
    exists.store(false, Ordering::SeqCst);
    clock.advance(HOUR);
    assert!(matches!(kind(&oauth2, &good).await, Some(ErrorKind::UnknownIssuer { .. })));
    exists.store(true, Ordering::SeqCst);
    clock.advance(HOUR);
    assert!(hits(&oauth2, &good).await);
}

#[tokio::test]
async fn hit_names_the_provider_that_verification_would_name() {
    let (late, soon) = (KeyServer::start(Answer::status(500)).unwrap(), key(Algorithm::ES256));
    let of =
        |audience: &str, keys: Keys| Provider::new().issuer(ISSUER).audience(audience).keys(keys);
    let oauth2 = builder()
        .provider("late", of("a", late.url().into()))
        .provider("soon", of("b", soon.jwk_set().into()))
        .key_refresh_minutes(60)
        .build()
        .unwrap();
    let both = token().claim("aud", json!(["a", "b"])).sign(soon);
    let one = token().claim("aud", "b").sign(soon);
    oauth2.warm_up().await.unwrap_err();
    assert_eq!(oauth2.verify(&both).await.unwrap().provider(), "soon");
    assert!(hits(&oauth2, &one).await);
    late.answer(keys(&[soon]));
    oauth2.refresh_keys().await.unwrap();
    assert_eq!(oauth2.verify(&both).await.unwrap().provider(), "late");
    assert!(hits(&oauth2, &both).await);
    assert_eq!(oauth2.verify(&one).await.unwrap().provider(), "soon");
}

#[tokio::test]
async fn order_of_keys_after_a_refresh_decides_which_are_tried() {
    let keys: Vec<SigningKey> =
        (0..18).map(|_| SigningKey::generate(Algorithm::ES256, "k")).collect();
    let mut jwks: Vec<Value> = keys.iter().map(SigningKey::public_jwk).collect();
    let server = KeyServer::start(Answer::json(&json!({"keys": jwks}))).unwrap();
    let oauth2 = fetched(&server).build().unwrap();
    let (first, last) = (token().sign(&keys[0]), token().sign(&keys[17]));
    let untried = Some(ErrorKind::KeysUntried { tried: 16, fitting: 18 });
    assert!(hits(&oauth2, &first).await);
    assert_eq!(kind(&oauth2, &last).await, untried);
    jwks.reverse();
    server.answer(Answer::json(&json!({"keys": jwks})));
    oauth2.refresh_keys().await.unwrap();
    assert!(hits(&oauth2, &last).await);
    assert_eq!(kind(&oauth2, &first).await, untried);
}

/// A tenant whose provider is a new one at each lookup, and the number of those that are alive.
struct ChangingTenant(Arc<()>);

struct Keeper(#[expect(dead_code, reason = "it is counted")] Arc<()>);

impl KeySource for Keeper {
    async fn load(&self) -> Result<String, Box<dyn Error + Send + Sync>> {
        Ok(key(Algorithm::ES256).jwk_set().to_string())
    }
}

impl TenantLookup for ChangingTenant {
    async fn find_by_issuer(
        &self,
        issuer: &str,
    ) -> Result<Option<Tenant>, Box<dyn Error + Send + Sync>> {
        let keys = Keys::source(Keeper(Arc::clone(&self.0)));
        let provider = Provider::new().issuer(issuer).audience("api").keys(keys);
        Ok(Some(Tenant::new("customer", provider)))
    }
}

#[tokio::test]
async fn cached_tokens_do_not_keep_removed_tenants_alive() {
    let (count, clock) = (Arc::new(()), ManualClock::new());
    let oauth2 = builder()
        .tenants(Tenants::new(ChangingTenant(Arc::clone(&count))).lifetime(HOUR))
        .key_refresh_minutes(60)
        .clock(clock.clone())
        .build()
        .unwrap();
    for number in 0..20 {
        let good = token()
            .claim("iss", "https://customer.test")
            .claim("jti", number.to_string())
            .sign(key(Algorithm::ES256));
        let claims = oauth2.verify(&good).await.unwrap();
        assert_eq!(claims.provider(), "customer");
        assert!(are_one(&claims, &oauth2.verify(&good).await.unwrap()));
        clock.advance(HOUR);
    }
    assert_eq!(oauth2.token_cache_status().entries, 20);
    // The lookup, and a few more, since the thread may still hold the last one.
    assert!(Arc::strong_count(&count) <= 5, "{}", Arc::strong_count(&count));
}

#[test]
fn withdrawn_key_is_rejected_under_concurrent_requests() {
    let old = key(Algorithm::ES256);
    let server = KeyServer::start(keys(&[old])).unwrap();
    let oauth2 = fetched(&server).build().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(oauth2.warm_up()).unwrap();
    let good = token().sign(old);
    for round in 0..20 {
        server.answer(keys(&[old]));
        runtime.block_on(oauth2.refresh_keys()).unwrap();
        let (withdrawn, done) = (AtomicBool::new(false), AtomicBool::new(false));
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !done.load(Ordering::SeqCst) {
                        let too_late = withdrawn.load(Ordering::SeqCst);
                        let answer = oauth2.verify(&good).now_or_never();
                        let accepted = matches!(answer, Some(Ok(_)));
                        assert!(!(too_late && accepted), "accepted after its key was withdrawn");
                    }
                });
            }
            server.answer(keys(&[&SigningKey::generate(Algorithm::ES256, &format!("{round}"))]));
            runtime.block_on(oauth2.refresh_keys()).unwrap();
            withdrawn.store(true, Ordering::SeqCst);
            for _ in 0..100 {
                assert!(!matches!(oauth2.verify(&good).now_or_never(), Some(Ok(_))));
            }
            done.store(true, Ordering::SeqCst);
        });
    }
}

#[tokio::test]
async fn debug_output_holds_no_part_of_a_token() {
    let oauth2 = inline().build().unwrap();
    let good = token().claim("email", "ann@example.com").sign(key(Algorithm::ES256));
    let claims = oauth2.verify(&good).await.unwrap();
    let shown = format!("{oauth2:?} {claims:?} {:?}", oauth2.token_cache_status());
    assert!(!shown.contains("ann@"));
    for part in good.split('.') {
        assert!(!shown.contains(part));
    }
}
