//! Many different tokens in rotation: the cost of the cache where few tokens are found, and its bounds.

use std::time::{Duration, Instant};

use oauth2_actix::{Algorithm, OAuth2, TokenCacheConfig, testing::SigningKey};
use oauth2_actix_bench::{self as kit, statistics::median};

use crate::{
    memory::resident,
    policies::{distinct, numbered, policy, verify},
    report::Report,
    turns::micros,
};

pub(crate) fn run(report: &mut Report, _: &[String]) {
    // First, before the allocator has free memory to reuse.
    a_million(report);
    report.heading("10,000 tokens, RS256, 800 bytes, 12 claims");
    let key = SigningKey::generate(Algorithm::RS256, "key-1");
    let tokens = distinct(&key, 10_000);
    compare(report, "all of them fit", &key, TokenCacheConfig::new(), &tokens, None);
    for entries in [5000, 1000] {
        let cache = TokenCacheConfig::new().max_entries(entries);
        compare(report, &format!("{entries} of them fit"), &key, cache, &tokens, Some(1.05));
    }
}

fn a_million(report: &mut Report) {
    report.heading("1,000,000 tokens, EdDSA, 400 bytes, 7 claims");
    let key = SigningKey::generate(Algorithm::EdDSA, "key-1");
    let token = kit::padded(kit::token_of(6).claim("jti", "00000000"), &key, 400);
    let tokens = numbered(&token, &key, 1_000_000);
    let before = resident();
    let cache = TokenCacheConfig::new();
    let on = compare(report, "as many fit as by default", &key, cache, &tokens, Some(1.05));
    let taken = resident().saturating_sub(before) / 1024;
    report.figure("the cache counts", on.token_cache_status());
    report.bound(
        "memory",
        format_args!("{taken} MiB"),
        format_args!("at most `max_bytes` and 4 MiB for the table: {MOST_MIB} MiB"),
        taken <= MOST_MIB,
    );
}

/// Measures all tokens in turn, with a cache and without.
fn compare(
    report: &mut Report,
    what: &str,
    key: &SigningKey,
    cache: TokenCacheConfig,
    tokens: &[String],
    bound: Option<f64>,
) -> OAuth2 {
    let policies = [policy(key, TokenCacheConfig::disabled()), policy(key, cache)];
    for token in tokens {
        verify(&policies[1], token).unwrap();
    }
    let [off, on] = times(&policies, tokens);
    let ratio = on.div_duration_f64(off);
    let value = format!("{:.2} us, without {:.2} us, ratio {ratio:.3}", micros(on), micros(off));
    match bound {
        Some(bound) => report.bound(what, value, format_args!("at most {bound}"), ratio <= bound),
        None => report.figure(what, value),
    }
    let [_, on] = policies;
    on
}

/// Returns the median time of one token for each policy. The policies take turns, a block of tokens each, so
/// that both start with similar CPU caches.
fn times(policies: &[OAuth2; 2], tokens: &[String]) -> [Duration; 2] {
    let mut times = [(); 2].map(|()| Vec::new());
    let rounds = LEAST_TIMED.div_ceil(tokens.len());
    let blocks = (0..rounds).flat_map(|_| tokens.chunks_exact(BLOCK));
    for (index, block) in blocks.enumerate() {
        for turn in 0..2 {
            let arm = (index + turn) % 2;
            let start = Instant::now();
            for token in block {
                verify(&policies[arm], token).unwrap();
            }
            times[arm].push(start.elapsed() / BLOCK as u32);
        }
    }
    times.map(median)
}

const BLOCK: usize = 50;
const LEAST_TIMED: usize = 50_000;
const MOST_MIB: u64 = 64 + 4;
