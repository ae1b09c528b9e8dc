//! What an operator may know of each provider's keys.

use std::time::Duration;

use serde::Serialize;

use crate::{
    clock::Clock,
    key_engine::EngineHandle,
    provider_policy::{ProviderKeys, ProviderPolicy},
    remote_keys::{Refresh, RemoteKeys},
};

/// What is known of one provider's keys, for health checks and dashboards: see
/// [`OAuth2::status`](crate::OAuth2::status). Holds nothing secret, but is not for strangers: it says
/// when which provider fails.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct KeyStatus {
    /// The provider's name.
    pub provider: String,
    /// Whether it was looked up, by [`Tenants`](crate::Tenants).
    pub tenant: bool,
    /// Where its keys come from: a URL without its query, a file, `inline`, …
    pub source: String,
    /// Where the issuer's own document said that they are, if it was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discovered: Option<String>,
    /// Whether tokens can be checked now.
    pub state: KeyState,
    /// The keys that are used.
    pub keys: Vec<KeyInfo>,
    /// Seconds since the last successful fetch began, by the monotonic clock.
    pub age_seconds: Option<u64>,
    /// When the last successful fetch ended, in seconds since the Unix epoch.
    pub last_success: Option<u64>,
    /// The last failed fetch. It may be older than the last success.
    pub last_error: Option<FetchFailure>,
    /// Seconds until the next fetch in the background. None where none is planned, or one is under way.
    pub next_refresh_seconds: Option<u64>,
    /// Seconds until the keys may no longer be used, if no fetch succeeds. None: never, or there are none.
    pub stale_in_seconds: Option<u64>,
    /// How many fetches there were.
    pub fetches: FetchCounts,
}

impl KeyStatus {
    /// Whether tokens of this provider can be checked now, without a fetch. Not so before the first
    /// fetch, and never with a refresh of zero.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(self.state, KeyState::Inline | KeyState::Fresh | KeyState::Failing)
    }

    pub(crate) fn of(
        provider: &ProviderPolicy,
        engine: Option<&EngineHandle>,
        clock: &Clock,
    ) -> Self {
        let mut status = match &provider.keys {
            ProviderKeys::Inline(keys) => Self {
                provider: provider.name.as_ref().to_owned(),
                tenant: provider.is_tenant,
                source: "inline".to_owned(),
                discovered: None,
                state: KeyState::Inline,
                keys: keys.info(),
                age_seconds: None,
                last_success: None,
                last_error: None,
                next_refresh_seconds: None,
                stale_in_seconds: None,
                fetches: FetchCounts::default(),
            },
            ProviderKeys::Remote(remote) => Self::of_remote(provider.is_tenant, remote, clock),
        };
        if status.state != KeyState::Inline && !engine.is_some_and(EngineHandle::is_alive) {
            if status.state == KeyState::Fresh {
                status.state = KeyState::Failing;
            }
            status.next_refresh_seconds = None;
            let cause = "the thread that fetches keys has ended".to_owned();
            status.last_error = Some(FetchFailure { at: clock.unix_time().as_secs(), cause });
        }
        status
    }

    fn of_remote(tenant: bool, remote: &RemoteKeys, clock: &Clock) -> Self {
        let now = clock.monotonic();
        let until = |moment: Duration| moment.saturating_sub(now).as_secs();
        let gate = *remote.gate();
        let report = remote.report().clone();
        let snapshot = remote.snapshot();
        let state = match &snapshot {
            _ if remote.timing.refresh == Refresh::Always => KeyState::PerRequest,
            None if gate.failing => KeyState::Unavailable,
            None => KeyState::NotFetched,
            Some(snapshot) if snapshot.stale_at.is_some_and(|moment| now >= moment) => {
                KeyState::Unavailable
            }
            Some(_) if gate.failing => KeyState::Failing,
            Some(_) => KeyState::Fresh,
        };
        let last_error =
            report.last_failure.map(|(at, cause)| FetchFailure { at: at.as_secs(), cause });
        Self {
            provider: remote.provider.as_ref().to_owned(),
            tenant,
            source: remote.source.shown(),
            discovered: report.discovered,
            state,
            keys: snapshot.as_ref().map(|snapshot| snapshot.keys.info()).unwrap_or_default(),
            age_seconds: snapshot
                .as_ref()
                .map(|snapshot| now.saturating_sub(snapshot.fetched_at).as_secs()),
            last_success: report.last_success.map(|at| at.as_secs()),
            last_error,
            next_refresh_seconds: report.due.map(until),
            stale_in_seconds: snapshot.and_then(|snapshot| snapshot.stale_at).map(until),
            fetches: FetchCounts {
                fetched: report.fetched,
                unchanged: report.unchanged,
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
    /// The keys were given inline: always.
    Inline,
    /// There are keys, and the last fetch succeeded.
    Fresh,
    /// There are keys, but the last fetch failed: they serve until they are stale.
    Failing,
    /// There are no keys that may be used, since fetches fail: requests get 503.
    Unavailable,
    /// Nothing needed the keys yet, so they were not fetched.
    NotFetched,
    /// A refresh of zero: each request fetches.
    PerRequest,
}

/// A key that is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct KeyInfo {
    /// Its id, if it has one: of long ones, the beginning.
    pub kid: Option<String>,
    /// The algorithms that it is used with.
    pub algorithms: Vec<&'static str>,
}

impl KeyInfo {
    pub(crate) fn new(kid: Option<&str>, algorithms: Vec<&'static str>) -> Self {
        // The provider chose it.
        let kid = kid.map(|kid| kid.chars().take(64).collect());
        Self { kid, algorithms }
    }
}

/// A fetch that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FetchFailure {
    /// When it ended, in seconds since the Unix epoch.
    pub at: u64,
    /// Why, as in the log.
    pub cause: String,
}

/// How many fetches there were, by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FetchCounts {
    /// Brought keys.
    pub fetched: u64,
    /// The provider said that nothing has changed (304).
    pub unchanged: u64,
    /// Brought nothing.
    pub failed: u64,
}
