//! The bounds of the cache, and what it evicts.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use futures_util::FutureExt;
use oauth2_actix::{
    Algorithm, Claims, OAuth2, OAuth2Builder, TokenCacheConfig,
    testing::{ManualClock, SigningKey},
};
use oauth2_actix_tests::{key_server::KeyServer, keys::key, policy};
use serde_json::json;

use super::{are_one, fetched, keys, provider, token};

/// Verifies a token without waiting.
fn accepts(oauth2: &OAuth2, token: &str) -> Option<Claims> {
    oauth2.verify(token).now_or_never().unwrap().ok()
}

/// A policy of HMAC tokens, which are cheap to sign.
fn hmac(cache: TokenCacheConfig) -> OAuth2Builder {
    let secret = key(Algorithm::HS256);
    let provider = provider(secret.jwk_set()).algorithms([Algorithm::HS256]);
    policy::builder().provider("p", provider).token_cache(cache)
}

fn numbered(number: usize) -> String {
    token().claim("jti", number.to_string()).sign(key(Algorithm::HS256))
}

#[test]
fn bounds_hold_under_concurrent_inserts() {
    for (entries, bytes) in [(100, 1 << 30), (1_000_000, 100_000), (50, 20_000)] {
        let cache = TokenCacheConfig::new().max_entries(entries).max_bytes(bytes);
        let oauth2 = &hmac(cache).build().unwrap();
        let most = &AtomicUsize::new(0);
        thread::scope(|scope| {
            for thread in 0..4 {
                scope.spawn(move || {
                    for number in 0..1_500 {
                        // Some tokens are repeated, and some are long.
                        let token = match number % 3 {
                            0 => numbered(number % 100),
                            1 => numbered(10_000 * (thread + 1) + number / 2),
                            _ => token()
                                .claim("x", "y".repeat(number % 5_000))
                                .sign(key(Algorithm::HS256)),
                        };
                        assert!(accepts(oauth2, &token).is_some());
                        let status = oauth2.token_cache_status();
                        assert!(status.entries <= entries && status.bytes <= bytes, "{status}");
                        most.fetch_max(status.entries, Ordering::Relaxed);
                    }
                });
            }
        });
        // A few of the long tokens take all bytes of the smallest cache, so that the last count may be low.
        let most = most.load(Ordering::Relaxed);
        assert!(most > 5, "{entries} {bytes}: {most}");
    }
}

#[test]
fn tokens_used_once_evict_no_frequent_token() {
    // So few that no bucket overflows, whatever the hash.
    let oauth2 = hmac(TokenCacheConfig::new().max_entries(200)).build().unwrap();
    let often: Vec<String> = (0..50).map(numbered).collect();
    let known: Vec<Claims> = often.iter().map(|token| accepts(&oauth2, token).unwrap()).collect();
    for number in 1_000..6_000 {
        assert!(accepts(&oauth2, &numbered(number)).is_some());
        // Each frequent token is sent again from time to time.
        accepts(&oauth2, &often[number % 50]).unwrap();
    }
    let still = often
        .iter()
        .zip(&known)
        .filter(|(token, claims)| are_one(claims, &accepts(&oauth2, token).unwrap()))
        .count();
    assert_eq!(still, often.len());
}

#[test]
fn token_that_does_not_fit_evicts_nothing() {
    let oauth2 = hmac(TokenCacheConfig::new().max_bytes(30_000)).build().unwrap();
    let small: Vec<String> = (0..5).map(numbered).collect();
    let known: Vec<Claims> = small.iter().map(|token| accepts(&oauth2, token).unwrap()).collect();
    let before = oauth2.token_cache_status();
    let large = token().claim("x", json!(vec![json!({"": {}}); 300])).sign(key(Algorithm::HS256));
    for _ in 0..20 {
        assert!(accepts(&oauth2, &large).is_some());
    }
    assert_eq!(oauth2.token_cache_status(), before);
    for (token, claims) in small.iter().zip(&known) {
        assert!(are_one(claims, &accepts(&oauth2, token).unwrap()));
    }
}

#[test]
fn token_verified_again_after_a_refresh_keeps_its_entry() {
    let (old, new) = (key(Algorithm::ES256), SigningKey::generate(Algorithm::ES256, "new"));
    let server = KeyServer::start(keys(&[old])).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let tokens: Vec<String> =
        (0..20).map(|number| token().claim("jti", number.to_string()).sign(old)).collect();
    let all_kept = |oauth2: &OAuth2| {
        tokens.iter().all(|token| {
            are_one(&accepts(oauth2, token).unwrap(), &accepts(oauth2, token).unwrap())
        })
    };
    // A full table without an overflowing bucket: one try in twenty has it.
    let full = (0..20).find_map(|_| {
        let cache = TokenCacheConfig::new().max_entries(20);
        let oauth2 = fetched(&server).token_cache(cache).build().unwrap();
        runtime.block_on(oauth2.warm_up()).unwrap();
        tokens.iter().for_each(|token| drop(accepts(&oauth2, token)));
        (oauth2.token_cache_status().entries == 20).then_some(oauth2)
    });
    let oauth2 = full.unwrap();
    assert!(all_kept(&oauth2));
    server.answer(keys(&[old, &new]));
    runtime.block_on(oauth2.refresh_keys()).unwrap();
    assert!(all_kept(&oauth2));
}

#[test]
fn tokens_used_once_evict_no_frequent_token_when_bytes_are_full() {
    // Most of the table is empty, but the bytes are used up.
    let cache = TokenCacheConfig::new().max_entries(10_000).max_bytes(150_000);
    let oauth2 = hmac(cache).build().unwrap();
    let first: Vec<String> = (0..200).map(numbered).collect();
    let known: Vec<Claims> = first.iter().map(|token| accepts(&oauth2, token).unwrap()).collect();
    let entries = oauth2.token_cache_status().entries;
    assert!((20..180).contains(&entries), "{entries}");
    for number in 1_000..4_000 {
        assert!(accepts(&oauth2, &numbered(number)).is_some());
    }
    let still = first
        .iter()
        .zip(&known)
        .filter(|(token, claims)| are_one(claims, &accepts(&oauth2, token).unwrap()))
        .count();
    assert!(still + 2 >= entries, "{still} of {entries}");
}

#[test]
fn rejected_tokens_evict_nothing() {
    let oauth2 = hmac(TokenCacheConfig::new().max_entries(500)).build().unwrap();
    let often: Vec<String> = (0..50).map(numbered).collect();
    let known: Vec<Claims> = often.iter().map(|token| accepts(&oauth2, token).unwrap()).collect();
    let before = oauth2.token_cache_status();
    let attacker = SigningKey::from_secret(Algorithm::HS256, key(Algorithm::HS256).kid(), &[1; 32]);
    for number in 0..3_000 {
        let forged = token().claim("jti", (number / 2).to_string()).sign(&attacker);
        assert!(accepts(&oauth2, &forged).is_none());
        // With the end, which is hashed, of a cached token.
        let good = &often[number % 50];
        let other_head = format!("{}A{}", &good[..10], &good[11..]);
        assert!(accepts(&oauth2, &other_head).is_none());
        assert!(accepts(&oauth2, &numbered_expired(number)).is_none());
    }
    assert_eq!(oauth2.token_cache_status(), before);
    for (token, claims) in often.iter().zip(&known) {
        assert!(are_one(claims, &accepts(&oauth2, token).unwrap()));
    }
}

fn numbered_expired(number: usize) -> String {
    token().claim("jti", number.to_string()).expires_in(-60).sign(key(Algorithm::HS256))
}

#[test]
fn used_tokens_evict_unused_tokens() {
    // The hash of each policy differs. In one of twenty, so many of these tokens share a bucket that its
    // doorkeeper remembers none of them until it is sent again: the figure is that of ten policies.
    let known: usize = (0..10).map(|_| admitted_newcomers()).sum();
    assert!(known >= 450, "{known} of 500");
}

/// Fills a cache with 100 tokens that are used once, then sends 50 others in turn, and returns how many of these
/// are cached.
fn admitted_newcomers() -> usize {
    let oauth2 = hmac(TokenCacheConfig::new().max_entries(100)).build().unwrap();
    for number in 0..100 {
        accepts(&oauth2, &numbered(number)).unwrap();
    }
    assert!(oauth2.token_cache_status().entries > 90);
    let newcomers: Vec<String> = (100..150).map(numbered).collect();
    for _ in 0..4 {
        for token in &newcomers {
            accepts(&oauth2, token).unwrap();
        }
    }
    let known = newcomers
        .iter()
        .filter(|token| {
            are_one(&accepts(&oauth2, token).unwrap(), &accepts(&oauth2, token).unwrap())
        })
        .count();
    assert!(oauth2.token_cache_status().entries <= 100);
    known
}

#[test]
fn used_entries_outlive_unused_entries() {
    let oauth2 = hmac(TokenCacheConfig::new().max_entries(400)).build().unwrap();
    let tokens: Vec<String> = (0..400).map(numbered).collect();
    let known: Vec<Claims> = tokens.iter().map(|token| accepts(&oauth2, token).unwrap()).collect();
    for number in 1_000..1_150 {
        // Every second token is used between two new ones.
        tokens.iter().step_by(2).for_each(|token| drop(accepts(&oauth2, token)));
        let newcomer = numbered(number);
        accepts(&oauth2, &newcomer).unwrap();
        accepts(&oauth2, &newcomer).unwrap();
    }
    let mut still = [0; 2];
    for (index, (token, claims)) in tokens.iter().zip(&known).enumerate() {
        still[index % 2] += usize::from(are_one(claims, &accepts(&oauth2, token).unwrap()));
    }
    let [used, unused] = still;
    assert!(used > 150 && unused < 100, "{used} {unused}");
}

#[test]
fn expired_entries_are_replaced_first() {
    let clock = ManualClock::new();
    let oauth2 =
        hmac(TokenCacheConfig::new().max_entries(300)).clock(clock.clone()).build().unwrap();
    let lived = |number: usize, until: u64| {
        token().claim("jti", number.to_string()).claim("exp", until).sign(key(Algorithm::HS256))
    };
    let now = clock.unix_seconds();
    for number in 0..300 {
        let token = lived(number, now + 60);
        // Used, so that only their expiry makes them replaceable.
        accepts(&oauth2, &token).unwrap();
        accepts(&oauth2, &token).unwrap();
    }
    clock.advance(Duration::from_secs(60));
    let later: Vec<String> = (0..300).map(|number| lived(number, now + 600)).collect();
    let first: Vec<Claims> = later.iter().map(|token| accepts(&oauth2, token).unwrap()).collect();
    let known = later
        .iter()
        .zip(&first)
        .filter(|(token, claims)| are_one(claims, &accepts(&oauth2, token).unwrap()))
        .count();
    // Cached at the first use, since expired entries were replaced.
    assert!(known > 60, "{known}");
}
