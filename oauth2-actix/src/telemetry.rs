//! What is counted and measured, where the feature `metrics` is on.

use std::{sync::Arc, time::Duration};

use crate::Error;

/// Says what the names mean, to a recorder that is installed before a policy is built.
pub(crate) fn describe() {
    #[cfg(feature = "metrics")]
    {
        use metrics::Unit;
        metrics::describe_counter!(REQUESTS, "Requests by outcome, and refused ones by reason");
        metrics::describe_counter!(RECALLS, "Tokens by whether the cache knew them");
        metrics::describe_counter!(LOOKUPS, "Other tokens by how the keys at hand answered");
        metrics::describe_counter!(FETCHES, "Fetches of keys by provider and outcome");
        metrics::describe_gauge!(FETCHED_AT, Unit::Seconds, "Unix time of the last good fetch");
        metrics::describe_histogram!(DURATION, Unit::Seconds, "How long fetches of keys took");
    }
}

/// How a request was let in.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Passed {
    /// With claims.
    Accepted,
    /// As one that needs none.
    Public,
}

pub(crate) fn request_passed(outcome: Passed) {
    // Literal labels are laid out at compile time, others are allocated each time.
    #[cfg(feature = "metrics")]
    match outcome {
        Passed::Accepted => {
            metrics::counter!(REQUESTS, "outcome" => "accepted", "reason" => "")
        }
        Passed::Public => metrics::counter!(REQUESTS, "outcome" => "public", "reason" => ""),
    }
    .increment(1);
    #[cfg(not(feature = "metrics"))]
    let _ = outcome;
}

pub(crate) fn request_refused(why: &Error) {
    #[cfg(feature = "metrics")]
    metrics::counter!(REQUESTS, "outcome" => "refused", "reason" => why.reason()).increment(1);
    #[cfg(not(feature = "metrics"))]
    let _ = why;
}

/// Whether a token was remembered, and still good.
pub(crate) fn token_recalled(hit: bool) {
    #[cfg(feature = "metrics")]
    if hit {
        metrics::counter!(RECALLS, "result" => "hit").increment(1);
    } else {
        metrics::counter!(RECALLS, "result" => "miss").increment(1);
    }
    #[cfg(not(feature = "metrics"))]
    let _ = hit;
}

/// How the keys at hand answered a token.
pub(crate) fn keys_looked_up(result: &'static str) {
    #[cfg(feature = "metrics")]
    metrics::counter!(LOOKUPS, "result" => result).increment(1);
    #[cfg(not(feature = "metrics"))]
    let _ = result;
}

pub(crate) fn keys_fetched(provider: &Arc<str>, unix_time: Duration, unchanged: bool) {
    #[cfg(feature = "metrics")]
    {
        let outcome = if unchanged { "unchanged" } else { "fetched" };
        metrics::counter!(FETCHES, "provider" => Arc::clone(provider), "outcome" => outcome)
            .increment(1);
        metrics::gauge!(FETCHED_AT, "provider" => Arc::clone(provider))
            .set(unix_time.as_secs_f64());
    }
    #[cfg(not(feature = "metrics"))]
    let _ = (provider, unix_time, unchanged);
}

pub(crate) fn keys_not_fetched(provider: &Arc<str>) {
    #[cfg(feature = "metrics")]
    metrics::counter!(FETCHES, "provider" => Arc::clone(provider), "outcome" => "failed")
        .increment(1);
    #[cfg(not(feature = "metrics"))]
    let _ = provider;
}

pub(crate) fn fetch_took(provider: &Arc<str>, duration: Duration) {
    #[cfg(feature = "metrics")]
    metrics::histogram!(DURATION, "provider" => Arc::clone(provider))
        .record(duration.as_secs_f64());
    #[cfg(not(feature = "metrics"))]
    let _ = (provider, duration);
}

#[cfg(feature = "metrics")]
use names::*;

#[cfg(feature = "metrics")]
mod names {
    pub(super) const REQUESTS: &str = "oauth2_requests_total";
    pub(super) const RECALLS: &str = "oauth2_token_cache_lookups_total";
    pub(super) const LOOKUPS: &str = "oauth2_key_lookups_total";
    pub(super) const FETCHES: &str = "oauth2_key_fetches_total";
    pub(super) const FETCHED_AT: &str = "oauth2_keys_fetched_timestamp_seconds";
    pub(super) const DURATION: &str = "oauth2_key_fetch_duration_seconds";
}
