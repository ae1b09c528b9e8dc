//! The status of each provider's keys and of the token cache, for operators.

use std::time::Duration;

use serde::Serialize;

use crate::{
    introspection::Introspector,
    jose::{jwk::Key, key_set::KeySet},
    keys::{
        fetcher::Fetchers,
        remote::{Refresh, RemoteKeySet, SnapshotOrigin},
    },
    provider::{INLINE, ProviderKeys, ResolvedProvider},
    util::clock::Clock,
};

pub use crate::token::cache::TokenCacheStatus;

/// The status of the keys of one source, for health checks and dashboards: see
/// [`OAuth2::key_status`](crate::OAuth2::key_status). A provider with several sources has one for each.
/// Contains no secrets, but is not for the public: it shows which provider fails, and when.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct KeyStatus {
    /// The provider's name.
    pub provider: String,
    /// Whether the provider was looked up, by [`Tenants`](crate::tenants::Tenants).
    pub tenant: bool,
    /// The source of the keys: a URL without its query, a file, `inline`, …
    pub source: String,
    /// The `jwks_uri` of the issuer's discovery document, if it was fetched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discovered: Option<String>,
    /// Whether tokens can be checked now.
    pub state: KeyState,
    /// The keys that are used.
    pub keys: Vec<KeyInfo>,
    /// Seconds since the last successful fetch began, including that of a snapshot. None before the first
    /// fetch.
    pub age_seconds: Option<u64>,
    /// The time at which the last successful fetch of this process ended, in seconds since the Unix epoch.
    pub last_success: Option<u64>,
    /// The last failed fetch. It may be older than the last success.
    pub last_error: Option<FetchFailure>,
    /// Seconds until the next fetch in the background. None if no fetch is planned, or one is in progress.
    pub next_refresh_seconds: Option<u64>,
    /// Seconds until the keys may no longer be used, if no fetch succeeds. None if they never become stale,
    /// or if there are none.
    pub stale_in_seconds: Option<u64>,
    /// The number of fetches.
    pub fetches: FetchCounts,
}

impl KeyStatus {
    /// Returns whether this source has keys that tokens can be checked with now, without a fetch. False
    /// before the first fetch, unless there are initial keys or a snapshot, and always with a refresh of
    /// zero.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(
            self.state,
            KeyState::Inline
                | KeyState::Initial
                | KeyState::Snapshot
                | KeyState::Fresh
                | KeyState::Failing
        )
    }

    /// Returns the status of each source of a provider.
    pub(crate) fn of(
        provider: &ResolvedProvider,
        fetchers: Option<&Fetchers>,
        clock: &Clock,
    ) -> Vec<Self> {
        let is_alive = fetchers.is_some_and(Fetchers::is_alive);
        let of_source = |keys: &ProviderKeys| match keys {
            ProviderKeys::Inline(keys) => Self::of_inline(provider, keys),
            ProviderKeys::Remote(remote) => Self::of_remote(remote, is_alive, clock),
        };
        provider.keys.iter().map(of_source).collect()
    }

    fn of_inline(provider: &ResolvedProvider, keys: &KeySet) -> Self {
        Self {
            provider: provider.name.as_ref().to_owned(),
            tenant: provider.is_tenant(),
            source: INLINE.to_owned(),
            discovered: None,
            state: KeyState::Inline,
            keys: KeyInfo::of(keys),
            age_seconds: None,
            last_success: None,
            last_error: None,
            next_refresh_seconds: None,
            stale_in_seconds: None,
            fetches: FetchCounts::default(),
        }
    }

    fn of_remote(remote: &RemoteKeySet, is_alive: bool, clock: &Clock) -> Self {
        let mut status = Self::of_live_remote(remote, clock);
        if !is_alive {
            if status.state == KeyState::Fresh {
                status.state = KeyState::Failing;
            }
            status.next_refresh_seconds = None;
            let cause = "the thread that fetches keys has ended".to_owned();
            status.last_error = Some(FetchFailure { at: clock.unix_time().as_secs(), cause });
        }
        status
    }

    fn of_live_remote(remote: &RemoteKeySet, clock: &Clock) -> Self {
        let now = clock.monotonic();
        let until = |moment: Duration| moment.saturating_sub(now).as_secs();
        let (gate, report) = {
            let state = remote.state();
            (state.gate, state.report.clone())
        };
        let snapshot = remote.snapshot();
        let state = match &snapshot {
            _ if remote.timing.refresh == Refresh::Always => KeyState::PerRequest,
            None if gate.failing => KeyState::Unavailable,
            None => KeyState::NotFetched,
            Some(snapshot) if snapshot.stale_at.is_some_and(|moment| now >= moment) => {
                KeyState::Unavailable
            }
            Some(snapshot) => match snapshot.origin {
                SnapshotOrigin::Configuration => KeyState::Initial,
                SnapshotOrigin::Disk { .. } => KeyState::Snapshot,
                SnapshotOrigin::Fetch { .. } if gate.failing => KeyState::Failing,
                SnapshotOrigin::Fetch { .. } => KeyState::Fresh,
            },
        };
        let last_error =
            report.last_failure.map(|(at, cause)| FetchFailure { at: at.as_secs(), cause });
        Self {
            provider: remote.provider.as_ref().to_owned(),
            tenant: remote.is_tenant,
            source: remote.shown.as_ref().to_owned(),
            discovered: report.discovered,
            state,
            keys: snapshot.as_ref().map(|snapshot| KeyInfo::of(&snapshot.keys)).unwrap_or_default(),
            age_seconds: snapshot
                .as_ref()
                .and_then(|snapshot| snapshot.age(clock))
                .map(|age| age.as_secs()),
            last_success: report.last_success.map(|at| at.as_secs()),
            last_error,
            next_refresh_seconds: report.due.map(until),
            stale_in_seconds: snapshot.and_then(|snapshot| snapshot.stale_at).map(until),
            fetches: FetchCounts {
                succeeded: report.succeeded,
                not_modified: report.not_modified,
                failed: report.failed,
            },
        }
    }
}

/// Whether a provider's tokens can be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum KeyState {
    /// The keys are given inline, so tokens can always be checked.
    Inline,
    /// The [initial keys](crate::Provider::initial_keys) of the configuration: no fetch has succeeded yet.
    Initial,
    /// The keys of a [snapshot](crate::OAuth2Builder::key_snapshot) that an earlier process wrote: no fetch
    /// has succeeded yet.
    Snapshot,
    /// There are keys, and the last fetch succeeded.
    Fresh,
    /// There are keys, but the last fetch failed: they are used until they are stale.
    Failing,
    /// There are no usable keys, since fetches fail: requests get 503.
    Unavailable,
    /// No fetch has ended yet: none was needed, or the first one is in progress.
    NotFetched,
    /// The refresh interval is zero: each request fetches.
    PerRequest,
}

/// A key that is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct KeyInfo {
    /// Its id, if it has one; long ids are shortened.
    pub kid: Option<String>,
    /// The algorithms that the key is used with.
    pub algorithms: Vec<&'static str>,
}

impl KeyInfo {
    /// Returns the keys of a set.
    pub(crate) fn of(keys: &KeySet) -> Vec<Self> {
        let of_key = |key: &Key| Self {
            // The provider chooses the length of a `kid`.
            kid: key.kid.as_deref().map(|kid| kid.chars().take(64).collect()),
            algorithms: key.algorithms().collect(),
        };
        keys.iter().map(of_key).collect()
    }
}

/// The introspection status of one provider: see
/// [`OAuth2::introspection_status`](crate::OAuth2::introspection_status).
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct IntrospectionStatus {
    /// The provider's name.
    pub provider: String,
    /// The endpoint: its URL without the query, or the issuer whose metadata document contains it.
    pub endpoint: String,
    /// Seconds until the next introspection request is sent, after failures: at most 60. None if requests are sent now.
    pub retry_in_seconds: Option<f64>,
    /// The number of introspection requests in progress.
    pub in_progress: usize,
    /// The last failed introspection request. Later requests may have succeeded.
    pub last_error: Option<FetchFailure>,
}

impl IntrospectionStatus {
    pub(crate) fn of(introspector: &Introspector) -> Self {
        let breaker = introspector.breaker();
        Self {
            provider: introspector.provider().to_owned(),
            endpoint: introspector.shown(),
            retry_in_seconds: breaker.wait().map(|wait| wait.as_secs_f64()),
            in_progress: introspector.in_progress(),
            last_error: breaker
                .last_failure()
                .map(|(at, cause)| FetchFailure { at: at.as_secs(), cause }),
        }
    }

    /// Returns whether introspection requests are sent now. False after failures, until the next attempt.
    ///
    /// ```
    /// # use oauth2_actix::testing;
    /// # #[actix_web::main]
    /// # async fn main() {
    /// # let oauth2 = testing::policy();
    /// let fails = oauth2.introspection_status().iter().any(|provider| !provider.is_available());
    /// # drop(fails);
    /// # }
    /// ```
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.retry_in_seconds.is_none()
    }
}

/// A failed fetch or introspection request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FetchFailure {
    /// The time at which it ended, in seconds since the Unix epoch.
    pub at: u64,
    /// The cause, as in the log.
    pub cause: String,
}

/// The number of fetches by result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FetchCounts {
    /// Fetches that returned keys.
    pub succeeded: u64,
    /// Fetches that the provider answered with 304 Not Modified.
    pub not_modified: u64,
    /// Fetches that failed.
    pub failed: u64,
}
