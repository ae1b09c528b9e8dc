//! The memory of 100,000 cached tokens, measured in a process of its own, and whether the tokens are found
//! again.

use std::time::{Duration, Instant};

use oauth2_actix::{Algorithm, OAuth2, TokenCacheConfig, testing::SigningKey};
use oauth2_actix_bench::{self as kit, statistics::median};

use crate::{
    child,
    memory::resident,
    policies::{numbered, policy, verify},
    report::Report,
    turns::micros,
};

pub(crate) fn run(report: &mut Report, _: &[String]) {
    for shape in ["flat", "nested"] {
        measure(report, shape);
    }
}

/// The shape of the claims matters as much as the length of the token: an object takes more memory than a
/// text.
fn measure(report: &mut Report, shape: &str) {
    report.heading(format_args!(
        "100,000 tokens of 800 bytes with 12 claims, {}",
        if shape == "flat" { "all texts and numbers" } else { "one of them an object with a list" }
    ));
    let [before, built, full, entries, bytes, found, verified_ns, found_ns] =
        child::numbers(&[CHILD, shape]);
    let mib = |kib: u64| kib as f64 / 1024.0;
    let micros = |nanos: u64| micros(Duration::from_nanos(nanos));
    report.figure(
        "the empty table for 120,000 tokens",
        format_args!("{:.1} MiB", mib(built - before)),
    );
    let taken = (full - before) as f64 * 1024.0 / 1e6;
    let value = format_args!("{taken:.1} MB");
    if shape == "flat" {
        report.bound("in total", value, "at most 250 MB", taken <= 250.0);
    } else {
        report.figure("in total", value);
    }
    report.figure(
        "for each token",
        format_args!("{:.0} bytes", (full - built) as f64 * 1024.0 / COUNT as f64),
    );
    report
        .figure("the cache counts", format_args!("{entries} tokens, {:.1} MiB", mib(bytes / 1024)));
    // With less, `max_bytes` would not bound the memory.
    let counted = (bytes / 1024) as f64 / (full - built) as f64;
    report.bound(
        "counted bytes, as a share of the memory with the table",
        format_args!("{counted:.3}"),
        "at least 0.95",
        counted >= 0.95,
    );
    let share = found as f64 / COUNT as f64;
    report.figure("median time of a new token", format_args!("{:.2} us", micros(verified_ns)));
    report.figure("median time of a cached token", format_args!("{:.2} us", micros(found_ns)));
    report.bound(
        "found again, in less than half the time",
        format_args!("{:.2} %", share * 100.0),
        "at least 99 %",
        share >= 0.99,
    );
}

/// Runs in the child process. The tokens are signed before anything is measured.
pub(crate) fn child(arguments: &[String]) {
    let key = SigningKey::generate(Algorithm::RS256, "key-1");
    let token = match arguments {
        [shape] if shape == "flat" => kit::token().claim("realm_access", "admin"),
        _ => kit::token(),
    };
    let tokens = numbered(&kit::padded(token, &key, 800), &key, COUNT);
    // Makes the allocations that are made only once.
    round(&policy(&key, TokenCacheConfig::disabled()), &tokens);
    let before = resident();
    let cache = TokenCacheConfig::new().max_entries(120_000).max_bytes(400 << 20);
    let oauth2 = policy(&key, cache);
    let built = resident();
    let verified = median(round(&oauth2, &tokens));
    let full = resident();
    let times = round(&oauth2, &tokens);
    let found = times.iter().filter(|time| **time < verified / 2).count();
    let status = oauth2.token_cache_status();
    println!(
        "{before} {built} {full} {} {} {found} {} {}",
        status.entries,
        status.bytes,
        verified.as_nanos(),
        median(times).as_nanos()
    );
}

/// Returns the time of each token.
fn round(oauth2: &OAuth2, tokens: &[String]) -> Vec<Duration> {
    tokens
        .iter()
        .map(|token| {
            let start = Instant::now();
            let answer = verify(oauth2, token);
            let time = start.elapsed();
            answer.unwrap();
            time
        })
        .collect()
}

pub(crate) const CHILD: &str = "cached-memory-child";
const COUNT: usize = 100_000;
