//! Attacks on an API that accepts API keys beside tokens: keys that resemble a valid one, and floods of invented ones.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use oauth2_actix::api_keys::{ApiKey, ApiKeyClaims, ApiKeyHash, ApiKeys};
use oauth2_actix_tests::alone;

use crate::target::{CANARY, Rejection, Target, builder, es256, good};

const KEY: &str = "shop_live_canary0123456789canary0123456789";
const TEST_KEY: &str = "shop_test_canary0123456789canary0123456789";

fn keys(prefix: &str, text: &str) -> ApiKeys {
    let key = ApiKey::new("canary-subject", [ApiKeyHash::of(text)]);
    ApiKeys::new(prefix).key(key)
}

/// A policy with two sets of keys, beside a provider of JWTs.
fn target() -> Target {
    let oauth2 = builder()
        .api_keys("live-keys", keys("shop_live_", KEY))
        .api_keys("test-keys", keys("shop_test_", TEST_KEY))
        .build()
        .unwrap();
    let target = Target::with_good(oauth2, KEY.to_owned());
    target.accepts("a key of the other set", TEST_KEY);
    target.accepts("a JWT", &good().sign(es256()));
    target
}

#[test]
fn key_that_resembles_a_valid_one_is_rejected() {
    let target = target();
    for key in [
        "shop_live_",
        &KEY[..KEY.len() - 1],
        &format!("{KEY}0"),
        &format!("{KEY}="),
        &format!("{KEY}.canary.canary"),
        &format!("shop_live_{KEY}"),
        // The other set has a key with this end.
        "shop_live_test_canary0123456789canary0123456789",
        &KEY.replace("canary", "CANARY"),
        // The prefix in another case.
        &KEY.replace("shop_live_", "SHOP_LIVE_"),
        &KEY.replace("shop", "Shop"),
        // The hash is no key.
        &format!("shop_live_{}", ApiKeyHash::of(KEY)),
    ] {
        target.rejects("a key that resembles a valid one", key, Rejection::Inactive);
    }
    target.rejects("a key without its prefix", &KEY["shop_live_".len()..], Rejection::Malformed);
    target.rejects("a hash", &ApiKeyHash::of(KEY).to_string(), Rejection::Malformed);
    let long = format!("{KEY}{}", CANARY.repeat(3_000));
    target.rejects("a key over the limit", &long, Rejection::Malformed);
}

#[test]
fn valid_jwt_behind_the_prefix_of_keys_is_rejected() {
    let target = target();
    let jwt = good().sign(es256());
    let (_, rest) = jwt.split_once('.').unwrap();
    for token in [format!("shop_live_{jwt}"), format!("shop_live_.{rest}")] {
        target.rejects("a JWT behind the prefix", &token, Rejection::Inactive);
    }
}

#[test]
fn flood_of_invented_api_keys_does_not_grow_memory() {
    alone::run(module_path!(), "alone_flood_of_invented_api_keys_does_not_grow_memory");
}

/// Returns the resident memory of this process in bytes.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[test]
#[ignore = "in a process of its own, started by `flood_of_invented_api_keys_does_not_grow_memory`"]
fn alone_flood_of_invented_api_keys_does_not_grow_memory() {
    const FIRST: usize = 20_000;
    const ALL: usize = 100_000;
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let known = ApiKeyHash::of(KEY);
    let find = move |hash: ApiKeyHash| {
        counted.fetch_add(1, Ordering::SeqCst);
        let found = (hash == known).then(|| ApiKeyClaims::new("canary-subject"));
        async move { Ok::<_, Infallible>(found) }
    };
    let keys = ApiKeys::new("shop_live_").source(find);
    let oauth2 = builder().api_keys("live-keys", keys).build().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let filler = "x".repeat(200);
    let flood = |numbers: std::ops::Range<usize>| {
        for number in numbers {
            let error = runtime
                .block_on(oauth2.verify(&format!("shop_live_{number}{filler}")))
                .unwrap_err();
            assert_eq!(error.kind_name(), "api_key_unknown");
        }
    };
    // The 10,000 unknown keys that are remembered are there after this.
    flood(0..FIRST);
    let before = resident();
    flood(FIRST..ALL);
    let grown = resident().saturating_sub(before);
    // 80,000 entries of a memory without a bound would take more.
    assert!(grown < 4 << 20, "{grown} bytes more, {before} before");
    assert_eq!(calls.load(Ordering::SeqCst), ALL);
    assert!(runtime.block_on(oauth2.verify(KEY)).is_ok());
}
