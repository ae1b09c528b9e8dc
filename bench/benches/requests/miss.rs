//! A new token: 800 bytes, 12 claims, each algorithm.

use std::cell::Cell;

use divan::Bencher;
use oauth2_actix::{Algorithm, TokenCacheConfig};
use oauth2_actix_bench as kit;

use crate::api::{app, bearer, bench, builder, key};

/// Without a cache, so that one token is new in each request.
#[divan::bench(args = ALGORITHMS)]
fn uncached(bencher: Bencher<'_, '_>, algorithm: Algorithm) {
    let key = key(algorithm);
    let token = kit::padded(kit::token(), &key, 800).sign(&key);
    let app = app(&builder(&key).token_cache(TokenCacheConfig::disabled()).build().unwrap());
    bench(bencher, &app, "/", Some(&bearer(&token)), 200);
}

/// With a full cache. Few of the tokens are cached when they are sent again: these are the fastest, and the
/// median is a new token.
#[divan::bench(args = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA])]
fn full_cache(bencher: Bencher<'_, '_>, algorithm: Algorithm) {
    let key = key(algorithm);
    let token = kit::padded(kit::token(), &key, 800);
    let tokens: Vec<String> =
        (0..DISTINCT).map(|index| bearer(&kit::numbered(&token, index).sign(&key))).collect();
    let cache = TokenCacheConfig::new().max_entries(DISTINCT / 4);
    let app = app(&builder(&key).token_cache(cache).build().unwrap());
    let next = Cell::new(0);
    let request = || kit::authorized("/", Some(&tokens[next.replace(next.get() + 1) % DISTINCT]));
    for _ in 0..DISTINCT {
        assert_eq!(app.call(request()), 200);
    }
    bencher.with_inputs(request).bench_local_values(|request| app.call(request));
}

const ALGORITHMS: [Algorithm; 14] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::ES512,
    Algorithm::ES256K,
    Algorithm::EdDSA,
    Algorithm::Ed25519,
    Algorithm::Ed448,
    Algorithm::HS256,
];
const DISTINCT: usize = 2000;
