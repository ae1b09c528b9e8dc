//! Tokens of several lengths, and with several numbers of claims. ES256: the signature has 86 bytes.

use divan::Bencher;
use oauth2_actix::{Algorithm, TokenCacheConfig, testing::Token};
use oauth2_actix_bench as kit;

use crate::api::{app, bearer, bench, builder, key};

/// A token with 6 claims, one of which fills it up to the length.
#[divan::bench(args = LENGTHS)]
fn length_hit(bencher: Bencher<'_, '_>, length: usize) {
    measure(bencher, kit::token_of(6), length, TokenCacheConfig::new());
}

#[divan::bench(args = LENGTHS)]
fn length_miss(bencher: Bencher<'_, '_>, length: usize) {
    measure(bencher, kit::token_of(6), length, TokenCacheConfig::disabled());
}

/// A token of 4,000 bytes.
#[divan::bench(args = CLAIMS)]
fn claims_hit(bencher: Bencher<'_, '_>, claims: usize) {
    measure(bencher, kit::token_of(claims), 4000, TokenCacheConfig::new());
}

#[divan::bench(args = CLAIMS)]
fn claims_miss(bencher: Bencher<'_, '_>, claims: usize) {
    measure(bencher, kit::token_of(claims), 4000, TokenCacheConfig::disabled());
}

fn measure(bencher: Bencher<'_, '_>, token: Token, length: usize, cache: TokenCacheConfig) {
    let key = key(Algorithm::ES256);
    let token = kit::padded(token, &key, length).sign(&key);
    let app = app(&builder(&key).token_cache(cache).build().unwrap());
    bench(bencher, &app, "/", Some(&bearer(&token)), 200);
}

const LENGTHS: [usize; 4] = [400, 800, 4000, 16_000];
const CLAIMS: [usize; 3] = [6, 12, 100];
