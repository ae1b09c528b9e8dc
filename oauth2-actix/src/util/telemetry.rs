//! The metrics, which are recorded if the feature `metrics` is enabled.

use std::{sync::Arc, time::Duration};

use crate::error::Error;

/// Describes the metrics to a recorder that was installed before a policy is built.
pub(crate) fn describe() {
    #[cfg(feature = "metrics")]
    {
        use metrics::Unit;
        metrics::describe_counter!(
            REQUESTS,
            "Requests by outcome and provider, and rejected requests by reason"
        );
        metrics::describe_counter!(CACHE_LOOKUPS, "Tokens by whether they were in the token cache");
        metrics::describe_counter!(
            KEY_LOOKUPS,
            "Lookups of a token's key among the cached keys of a source, by result, for tokens that are not in the token cache"
        );
        metrics::describe_counter!(FETCHES, "Fetches of keys by provider, source and outcome");
        metrics::describe_gauge!(
            FETCHED_AT,
            Unit::Seconds,
            "Unix time of the last successful fetch, 0 before the first"
        );
        metrics::describe_gauge!(USABLE, "1 while the source has keys that may be used, else 0");
        metrics::describe_gauge!(
            STALE_AT,
            Unit::Seconds,
            "Unix time at which the keys become stale unless a fetch succeeds, infinity if never, 0 without keys"
        );
        metrics::describe_histogram!(DURATION, Unit::Seconds, "How long fetches of keys took");
        metrics::describe_counter!(
            REVOCATIONS,
            "Entries that were to be added to the deny list, by outcome"
        );
        metrics::describe_gauge!(DENY_LIST_ENTRIES, "Entries of the deny list");
        metrics::describe_gauge!(
            DENY_LIST_LOADED_AT,
            Unit::Seconds,
            "Unix time of the last successful load of a shared deny list, 0 before the first"
        );
        metrics::describe_counter!(
            INTROSPECTIONS,
            "Introspection requests, by provider and outcome"
        );
        metrics::describe_counter!(
            API_KEY_LOOKUPS,
            "Lookups of API keys in a source, by set of keys and outcome"
        );
        metrics::describe_counter!(
            STATUS_LIST_FETCHES,
            "Fetches of status lists, by provider and outcome"
        );
        metrics::describe_counter!(
            LOGOUT_MESSAGES,
            "Logout tokens and security event tokens, by receiver and outcome"
        );
        metrics::describe_counter!(EXCHANGES, "Token exchanges, by provider and outcome");
        metrics::describe_histogram!(
            EXCHANGE_DURATION,
            Unit::Seconds,
            "Duration of token exchange requests"
        );
        metrics::describe_histogram!(
            INTROSPECTION_DURATION,
            Unit::Seconds,
            "Duration of introspection requests"
        );
    }
}

/// The counter of requests with an accepted token of one provider. Empty without the feature `metrics`.
#[derive(Clone, Debug)]
pub(crate) struct AcceptedRequests {
    #[cfg(feature = "metrics")]
    key: Arc<metrics::Key>,
}

impl AcceptedRequests {
    #[cfg_attr(not(feature = "metrics"), allow(unused_variables))]
    pub(crate) fn of(provider: &Arc<str>) -> Self {
        Self {
            // Created once, so that a request allocates nothing for it.
            #[cfg(feature = "metrics")]
            key: Arc::new(metrics::Key::from_parts(
                REQUESTS,
                vec![
                    metrics::Label::new("outcome", "accepted"),
                    metrics::Label::new("reason", ""),
                    metrics::Label::new("provider", Arc::clone(provider)),
                ],
            )),
        }
    }
}

/// The reason why a request passed.
#[derive(Clone, Debug)]
pub(crate) enum Passed {
    /// Its token was accepted.
    Accepted(AcceptedRequests),
    /// It needs no token.
    Public,
}

impl Passed {
    pub(crate) fn count(&self) {
        #[cfg(feature = "metrics")]
        match self {
            Self::Accepted(AcceptedRequests { key }) => {
                static METADATA: metrics::Metadata<'static> =
                    metrics::Metadata::new("oauth2_actix", metrics::Level::INFO, None);
                metrics::with_recorder(|recorder| recorder.register_counter(key, &METADATA))
                    .increment(1);
            }
            // Literal labels are constants. Other labels are allocated for each request.
            Self::Public => {
                metrics::counter!(REQUESTS, "outcome" => "public", "reason" => "", "provider" => "")
                    .increment(1);
            }
        }
    }
}

/// Counts a rejected request.
pub(crate) fn request_rejected(error: &Error) {
    #[cfg(feature = "metrics")]
    metrics::counter!(
        REQUESTS, "outcome" => "rejected", "reason" => error.kind_name(),
        "provider" => error.provider().unwrap_or_default().to_owned()
    )
    .increment(1);
    #[cfg(not(feature = "metrics"))]
    let _ = error;
}

/// Counts a lookup in the token cache. A hit is an entry that is still valid.
pub(crate) fn token_cache_lookup(hit: bool) {
    #[cfg(feature = "metrics")]
    if hit {
        metrics::counter!(CACHE_LOOKUPS, "result" => "hit").increment(1);
    } else {
        metrics::counter!(CACHE_LOOKUPS, "result" => "miss").increment(1);
    }
    #[cfg(not(feature = "metrics"))]
    let _ = hit;
}

/// The outcome of an introspection request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Introspected {
    Active,
    Inactive,
    /// The token is active, and not accepted here.
    Rejected,
    Failed,
}

/// Counts an introspection request.
pub(crate) fn introspected(provider: &Arc<str>, outcome: Introspected) {
    #[cfg(feature = "metrics")]
    {
        let outcome = match outcome {
            Introspected::Active => "active",
            Introspected::Inactive => "inactive",
            Introspected::Rejected => "rejected",
            Introspected::Failed => "failed",
        };
        metrics::counter!(INTROSPECTIONS, "provider" => Arc::clone(provider), "outcome" => outcome)
            .increment(1);
    }
    #[cfg(not(feature = "metrics"))]
    let _ = (provider, outcome);
}

/// Records the duration of an introspection request.
pub(crate) fn introspection_took(provider: &Arc<str>, duration: Duration) {
    #[cfg(feature = "metrics")]
    metrics::histogram!(INTROSPECTION_DURATION, "provider" => Arc::clone(provider))
        .record(duration.as_secs_f64());
    #[cfg(not(feature = "metrics"))]
    let _ = (provider, duration);
}

/// The outcome of a token exchange.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Exchanged {
    Cached,
    Issued,
    Rejected,
    Failed,
}

/// Counts a token exchange.
pub(crate) fn exchanged(provider: &Arc<str>, outcome: Exchanged) {
    #[cfg(feature = "metrics")]
    {
        let outcome = match outcome {
            Exchanged::Cached => "cached",
            Exchanged::Issued => "exchanged",
            Exchanged::Rejected => "rejected",
            Exchanged::Failed => "failed",
        };
        metrics::counter!(EXCHANGES, "provider" => Arc::clone(provider), "outcome" => outcome)
            .increment(1);
    }
    #[cfg(not(feature = "metrics"))]
    let _ = (provider, outcome);
}

/// Records how long the provider took to exchange a token.
pub(crate) fn exchange_took(provider: &Arc<str>, duration: Duration) {
    #[cfg(feature = "metrics")]
    metrics::histogram!(EXCHANGE_DURATION, "provider" => Arc::clone(provider))
        .record(duration.as_secs_f64());
    #[cfg(not(feature = "metrics"))]
    let _ = (provider, duration);
}

/// Counts a lookup of an API key in a source: `found`, `unknown` or `failed`.
pub(crate) fn api_key_looked_up(api_keys: &Arc<str>, outcome: &'static str) {
    #[cfg(feature = "metrics")]
    metrics::counter!(API_KEY_LOOKUPS, "api_keys" => Arc::clone(api_keys), "outcome" => outcome)
        .increment(1);
    #[cfg(not(feature = "metrics"))]
    let _ = (api_keys, outcome);
}

/// Counts a fetch of a status list: `fetched` or `failed`.
pub(crate) fn status_list_fetched(provider: &Arc<str>, outcome: &'static str) {
    #[cfg(feature = "metrics")]
    metrics::counter!(STATUS_LIST_FETCHES, "provider" => Arc::clone(provider), "outcome" => outcome)
        .increment(1);
    #[cfg(not(feature = "metrics"))]
    let _ = (provider, outcome);
}

/// Counts a message to a receiver: `accepted`, `rejected` or `failed`.
pub(crate) fn logout_message(receiver: &'static str, outcome: &'static str) {
    #[cfg(feature = "metrics")]
    metrics::counter!(LOGOUT_MESSAGES, "receiver" => receiver, "outcome" => outcome).increment(1);
    #[cfg(not(feature = "metrics"))]
    let _ = (receiver, outcome);
}

/// Counts an entry that was to be added to the deny list: `added`, `full` or `not_stored`.
pub(crate) fn revocation(outcome: &'static str) {
    #[cfg(feature = "metrics")]
    metrics::counter!(REVOCATIONS, "outcome" => outcome).increment(1);
    #[cfg(not(feature = "metrics"))]
    let _ = outcome;
}

/// Records the size of the deny list.
pub(crate) fn deny_list_entries(entries: usize) {
    #[cfg(feature = "metrics")]
    metrics::gauge!(DENY_LIST_ENTRIES).set(entries as f64);
    #[cfg(not(feature = "metrics"))]
    let _ = entries;
}

/// Records the time of the last successful load of the deny list, since the Unix epoch.
pub(crate) fn deny_list_loaded(at: Duration) {
    #[cfg(feature = "metrics")]
    metrics::gauge!(DENY_LIST_LOADED_AT).set(at.as_secs_f64());
    #[cfg(not(feature = "metrics"))]
    let _ = at;
}

/// Counts a lookup of a token's key among the keys in memory.
pub(crate) fn keys_looked_up(result: &'static str) {
    #[cfg(feature = "metrics")]
    metrics::counter!(KEY_LOOKUPS, "result" => result).increment(1);
    #[cfg(not(feature = "metrics"))]
    let _ = result;
}

/// The metrics of one source of keys. Empty without the feature `metrics`.
#[derive(Clone, Debug)]
pub(crate) struct SourceMetrics {
    #[cfg(feature = "metrics")]
    provider: Arc<str>,
    #[cfg(feature = "metrics")]
    source: Arc<str>,
    /// Tenants have no gauges: those of a removed tenant would keep their last values.
    #[cfg(feature = "metrics")]
    has_gauges: bool,
}

#[cfg_attr(not(feature = "metrics"), allow(unused_variables, clippy::unused_self))]
impl SourceMetrics {
    pub(crate) fn of(provider: &Arc<str>, source: &Arc<str>, is_tenant: bool) -> Self {
        Self {
            #[cfg(feature = "metrics")]
            provider: Arc::clone(provider),
            #[cfg(feature = "metrics")]
            source: Arc::clone(source),
            #[cfg(feature = "metrics")]
            has_gauges: !is_tenant,
        }
    }

    /// Creates the series of a source that is fetched.
    pub(crate) fn announce(&self) {
        #[cfg(feature = "metrics")]
        {
            for outcome in ["fetched", "unchanged", "failed"] {
                self.count(outcome, 0);
            }
            self.gauge(FETCHED_AT, 0.0);
            self.gauge(STALE_AT, 0.0);
            self.unusable();
        }
    }

    /// Records that the source has usable keys, until this time since the Unix epoch if they become stale.
    pub(crate) fn usable(&self, stale_at: Option<Duration>) {
        #[cfg(feature = "metrics")]
        if self.has_gauges {
            self.gauge(USABLE, 1.0);
            self.gauge(STALE_AT, stale_at.map_or(f64::INFINITY, |at| at.as_secs_f64()));
        }
    }

    /// Records that the source has keys that never become stale.
    pub(crate) fn inline(&self) {
        #[cfg(feature = "metrics")]
        if self.has_gauges {
            self.gauge(USABLE, 1.0);
        }
    }

    pub(crate) fn unusable(&self) {
        #[cfg(feature = "metrics")]
        if self.has_gauges {
            self.gauge(USABLE, 0.0);
        }
    }

    pub(crate) fn fetched(&self, at: Duration, unchanged: bool, stale_at: Option<Duration>) {
        #[cfg(feature = "metrics")]
        {
            self.count(if unchanged { "unchanged" } else { "fetched" }, 1);
            self.gauge(FETCHED_AT, at.as_secs_f64());
            self.usable(stale_at);
        }
    }

    pub(crate) fn not_fetched(&self) {
        #[cfg(feature = "metrics")]
        self.count("failed", 1);
    }

    pub(crate) fn fetch_took(&self, duration: Duration) {
        #[cfg(feature = "metrics")]
        metrics::histogram!(
            DURATION, "provider" => Arc::clone(&self.provider), "source" => Arc::clone(&self.source)
        )
        .record(duration.as_secs_f64());
    }

    #[cfg(feature = "metrics")]
    fn count(&self, outcome: &'static str, count: u64) {
        metrics::counter!(
            FETCHES, "provider" => Arc::clone(&self.provider), "source" => Arc::clone(&self.source),
            "outcome" => outcome
        )
        .increment(count);
    }

    #[cfg(feature = "metrics")]
    fn gauge(&self, name: &'static str, value: f64) {
        metrics::gauge!(
            name, "provider" => Arc::clone(&self.provider), "source" => Arc::clone(&self.source)
        )
        .set(value);
    }
}

#[cfg(feature = "metrics")]
use names::*;

#[cfg(feature = "metrics")]
mod names {
    pub(super) const REQUESTS: &str = "oauth2_requests_total";
    pub(super) const CACHE_LOOKUPS: &str = "oauth2_token_cache_lookups_total";
    pub(super) const KEY_LOOKUPS: &str = "oauth2_key_lookups_total";
    pub(super) const REVOCATIONS: &str = "oauth2_revocations_total";
    pub(super) const DENY_LIST_ENTRIES: &str = "oauth2_deny_list_entries";
    pub(super) const DENY_LIST_LOADED_AT: &str = "oauth2_deny_list_loaded_timestamp_seconds";
    pub(super) const FETCHES: &str = "oauth2_key_fetches_total";
    pub(super) const FETCHED_AT: &str = "oauth2_keys_fetched_timestamp_seconds";
    pub(super) const USABLE: &str = "oauth2_keys_usable";
    pub(super) const STALE_AT: &str = "oauth2_keys_stale_timestamp_seconds";
    pub(super) const API_KEY_LOOKUPS: &str = "oauth2_api_key_lookups_total";
    pub(super) const STATUS_LIST_FETCHES: &str = "oauth2_status_list_fetches_total";
    pub(super) const LOGOUT_MESSAGES: &str = "oauth2_logout_messages_total";
    pub(super) const EXCHANGES: &str = "oauth2_token_exchanges_total";
    pub(super) const EXCHANGE_DURATION: &str = "oauth2_token_exchange_duration_seconds";
    pub(super) const INTROSPECTIONS: &str = "oauth2_introspections_total";
    pub(super) const INTROSPECTION_DURATION: &str = "oauth2_introspection_duration_seconds";
    pub(super) const DURATION: &str = "oauth2_key_fetch_duration_seconds";
}
