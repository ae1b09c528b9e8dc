//! Looks tokens up in the lists with which their issuer revokes them: Token Status List
//! ([draft-ietf-oauth-status-list-21](https://datatracker.ietf.org/doc/html/draft-ietf-oauth-status-list-21)).
//!
//! See [`Provider::status_list`](crate::Provider::status_list), [`StatusList`], and the page `docs/revocation.md` of the
//! repository.

// Owns the lists of a provider: which may be fetched, and for how long each is used. It imports `config`, `error`, `http`,
// `jose`, `json`, `keys`, `outbound`, `provider`, `token` and `util`.
//
// - this file: the lists of a provider
// - `entry.rs`: the status of one token
// - `list.rs`: the content of a list

mod entry;
mod list;

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use aws_lc_rs::digest::{SHA256, digest};
use serde_json::Value;
use tokio::sync::watch;

use self::{
    entry::Entry,
    list::{Expected, Problem, Statuses},
};
pub use crate::config::status_list::StatusList;
use crate::{
    config::status_list::authority,
    error::{Error, ErrorKind},
    http::{
        client::Clients,
        fetch::{self, GetError},
        url::KeyUrl,
    },
    json::object::Object,
    keys::fetcher::Fetchers,
    outbound::{
        breaker::Breaker,
        failure::Severity,
        shared_calls::{CallKey, SharedCallError, SharedCalls},
        thread::CallThread,
    },
    provider::ResolvedProvider,
    token::status::TokenStatus,
    util::{clock::Clock, log_rate::Throttle, telemetry},
};

/// The lists of one provider.
pub(crate) struct StatusLists {
    parts: Parts,
    hosts: Vec<String>,
    required: bool,
    max_age: Duration,
    max_bytes: usize,
    lists: Mutex<HashMap<Box<str>, Arc<List>>>,
    calls: SharedCalls<Result<(), Error>>,
    warnings: Throttle,
}

/// What the lists of a provider share with the rest of the policy.
pub(crate) struct Parts {
    pub(crate) provider: Arc<ResolvedProvider>,
    pub(crate) issuers: Vec<String>,
    pub(crate) dangerous_allow_http: bool,
    pub(crate) timeout: Duration,
    pub(crate) clients: Arc<Clients>,
    pub(crate) thread: Arc<CallThread>,
    /// The fetchers of the keys that verify lists. None if all keys are inline.
    pub(crate) fetchers: Option<Fetchers>,
    pub(crate) clock: Clock,
}

/// One list.
struct List {
    uri: Box<str>,
    url: KeyUrl,
    id: CallKey,
    current: ArcSwapOption<Current>,
    /// The monotonic time, in milliseconds, at which a list that may be used is fetched again.
    refresh_at: AtomicU64,
    changes: watch::Sender<()>,
    breaker: Breaker,
    /// Whether the list was removed from memory for another one.
    is_removed: AtomicBool,
}

/// The content of a list, and how long it may be used.
struct Current {
    statuses: Statuses,
    /// The `iat`.
    issued_at: f64,
    /// A monotonic time.
    usable_until: Duration,
}

impl StatusLists {
    pub(crate) fn new(settings: &StatusList, parts: Parts) -> Self {
        Self {
            hosts: settings.hosts.clone(),
            required: settings.required,
            max_age: settings.max_age.unwrap_or(DEFAULT_MAX_AGE),
            max_bytes: settings.max_bytes.unwrap_or(DEFAULT_MAX_BYTES),
            lists: Mutex::default(),
            calls: SharedCalls::new(MAX_CALLS, &parts.clock),
            warnings: Throttle::new(parts.clock.clone()),
            parts,
        }
    }

    /// Returns the status of a token that was just verified, which is not known yet. None if the token references no list,
    /// and none is required.
    pub(crate) fn status_of(
        self: &Arc<Self>,
        claims: &Object,
    ) -> Result<Option<Arc<dyn TokenStatus>>, Error> {
        let invalid = || Error::from(ErrorKind::ClaimInvalid { claim: "status" });
        let named = match claims.get("status") {
            None if self.required => {
                return Err(self.of_provider(invalid().with_expected("a status list")));
            }
            None => return Ok(None),
            // A status that is published in another way cannot be checked.
            Some(status) => status.get("status_list").and_then(Value::as_object),
        };
        let index = named.and_then(|named| named.get("idx")?.as_u64());
        let uri = named.and_then(|named| named.get("uri")?.as_str());
        let (Some(index), Some(uri)) = (index, uri) else {
            return Err(self.of_provider(invalid()));
        };
        let list = self.list(uri)?;
        Ok(Some(Arc::new(Entry { lists: Arc::clone(self), list, index })))
    }

    /// Returns the list at a URI of an allowed host. It may not have been fetched yet.
    fn list(&self, uri: &str) -> Result<Arc<List>, Error> {
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(list) = lists.get(uri) {
            return Ok(Arc::clone(list));
        }
        let url = KeyUrl::parse(uri, self.parts.dangerous_allow_http).ok();
        let url = url.filter(|_| uri.len() <= MAX_URI).filter(|url| {
            url.url().fragment().is_none() && self.hosts.contains(&authority(url.url()))
        });
        let Some(url) = url else {
            let error = Error::from(ErrorKind::ClaimInvalid { claim: "status" });
            let expected = format!("a list at {}", self.hosts.join(" or "));
            return Err(self.of_provider(error.with_expected(expected)));
        };
        if lists.len() >= MAX_LISTS {
            // No token in use references it, or no request has kept it up to date.
            let now = self.parts.clock.monotonic();
            let is_unused =
                |list: &Arc<List>| Arc::strong_count(list) == 1 || list.has_expired(now);
            let unused = lists.iter().find(|(_, list)| is_unused(list));
            let unused = unused.map(|(uri, _)| uri.clone());
            match unused.and_then(|unused| lists.remove(&unused)) {
                // Tokens in the cache may reference it: they are verified again.
                Some(unused) => {
                    unused.is_removed.store(true, Ordering::Relaxed);
                    unused.current.store(None);
                }
                None => {
                    return Err(self.unavailable(
                        "the provider has too many status lists in use; expected at most 64",
                    ));
                }
            }
        }
        let list = Arc::new(List {
            uri: uri.into(),
            url,
            id: id_of(uri),
            current: ArcSwapOption::empty(),
            refresh_at: AtomicU64::new(0),
            changes: watch::Sender::new(()),
            breaker: Breaker::new(&self.parts.clock),
            is_removed: AtomicBool::new(false),
        });
        lists.insert(uri.into(), Arc::clone(&list));
        Ok(list)
    }

    /// Waits until a list may be used.
    async fn wait_for(self: &Arc<Self>, list: &Arc<List>) -> Result<(), Error> {
        if list.is_usable(self.parts.clock.monotonic()) {
            return Ok(());
        }
        if let Some(error) = self.recent_failure(list) {
            return Err(error);
        }
        let call = || Arc::clone(self).fetch(Arc::clone(list));
        match self.calls.result(&self.parts.thread, list.id, call).await {
            Ok(result) => result,
            Err(SharedCallError::TooMany) => {
                Err(self
                    .unavailable("too many fetches of status lists in progress and in the queue"))
            }
            Err(SharedCallError::Cancelled) => {
                Err(self.unavailable("the fetch of the status list was cancelled"))
            }
        }
    }

    /// Starts to fetch a list, unless it has just failed.
    fn start(self: &Arc<Self>, list: &Arc<List>) {
        if list.breaker.wait().is_none() {
            let call = || Arc::clone(self).fetch(Arc::clone(list));
            // Too many fetches: a later request starts one.
            let _ = self.calls.start(&self.parts.thread, list.id, call);
        }
    }

    /// Starts to fetch a list that may be used, once it is time for it.
    fn refresh(self: &Arc<Self>, list: &Arc<List>, now: Duration) {
        let due = list.refresh_at.load(Ordering::Relaxed);
        if millis(now) < due {
            return;
        }
        // One of the requests starts it. It sets the next time.
        let later = millis(now.saturating_add(self.parts.timeout)).saturating_add(1);
        let (relaxed, at) = (Ordering::Relaxed, &list.refresh_at);
        if at.compare_exchange(due, later, relaxed, relaxed).is_ok() {
            self.start(list);
        }
    }

    /// Fetches a list. Its result is in the list.
    async fn fetch(self: Arc<Self>, list: Arc<List>) -> Result<(), Error> {
        let Ok(pass) = list.breaker.enter() else {
            return Err(self.unavailable(
                "the last fetch of its status list has failed, and the next one waits",
            ));
        };
        let began = self.parts.clock.monotonic();
        let loaded = self.load(&list, began).await;
        let outcome = if loaded.is_ok() { "fetched" } else { "failed" };
        telemetry::status_list_fetched(&self.parts.provider.name, outcome);
        match loaded {
            Ok(()) => {
                list.breaker.succeeded(pass);
                Ok(())
            }
            Err(failure) => {
                let cause = failure.to_string();
                let after = failure.retry_after();
                let wait = list.breaker.failed(pass, Severity::Endpoint, after, &cause);
                let next = self.parts.clock.monotonic().saturating_add(wait);
                list.refresh_at.store(millis(next), Ordering::Relaxed);
                self.warn(&list, &cause, wait);
                Err(self.unavailable(cause))
            }
        }
    }

    async fn load(&self, list: &List, began: Duration) -> Result<(), Failure> {
        let client = self.parts.clients.client(&list.url).map_err(GetError::Client)?;
        // Base64 twice, and what else a list says.
        let limit = self.max_bytes.saturating_mul(2).saturating_add(64 * 1024);
        let get = fetch::get_as(&client, &list.url, MEDIA_TYPE, limit);
        let response = tokio::time::timeout(self.parts.timeout, get).await;
        let response = response.map_err(|_| Failure::Timeout(self.parts.timeout))??;
        if response.status != reqwest::StatusCode::OK {
            return Err(Failure::Status(response.status, response.retry_after));
        }
        if response.content_type.as_deref() != Some(MEDIA_TYPE) {
            return Err(Failure::List(
                format!("its content type is wrong; expected {MEDIA_TYPE}").into(),
            ));
        }
        let text = std::str::from_utf8(&response.body);
        let text = text.map_err(|_| Failure::List("it is not UTF-8".into()))?;
        let Parts { provider, fetchers, clock, issuers, .. } = &self.parts;
        let claims = provider
            .verify_message(text.trim_ascii(), list::TYPE, fetchers.as_ref(), clock)
            .await
            .map_err(Failure::Signature)?;
        let expected = Expected {
            uri: &list.uri,
            issuers,
            max_bytes: self.max_bytes,
            max_age: self.max_age,
            now: clock.unix_time(),
        };
        let read = list::StatusList::read(&claims, &expected).map_err(Failure::List)?;
        // Such as a cache of the host that has not been updated. What was revoked since then stays revoked.
        let is_older = |known: &Current| read.issued_at < known.issued_at;
        if list.current.load().as_deref().is_some_and(is_older) {
            return Err(Failure::List(
                "its `iat` is earlier than that of the list in memory".into(),
            ));
        }
        let lifetime = read.lifetime.max(LEAST_LIFETIME);
        list.refresh_at.store(millis(began + lifetime.mul_f64(REFRESH_AT)), Ordering::Relaxed);
        let usable_until = began.saturating_add(lifetime);
        let current = Current { statuses: read.statuses, issued_at: read.issued_at, usable_until };
        list.current.store(Some(Arc::new(current)));
        list.changes.send_replace(());
        Ok(())
    }

    fn recent_failure(&self, list: &List) -> Option<Error> {
        list.breaker.wait()?;
        Some(
            self.unavailable(
                "the last fetch of its status list has failed, and the next one waits",
            ),
        )
    }

    fn unavailable(&self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        self.of_provider(Error::from(ErrorKind::RevocationStatusUnavailable).with_source(cause))
    }

    fn of_provider(&self, error: Error) -> Error {
        error.with_provider(&self.parts.provider.name)
    }

    fn warn(&self, list: &List, cause: &str, wait: Duration) {
        let (provider, list) = (&self.parts.provider.name, list.url.shown());
        // Tokens reference lists, so the warning has a rate.
        if self.warnings.allows() {
            tracing::warn!(
                target: "oauth2_actix", %provider, list, cause, next_try_seconds = wait.as_secs_f64(),
                "a status list cannot be used: requests with tokens that reference it get 503 once the last one has expired"
            );
        }
    }
}

impl List {
    fn is_usable(&self, now: Duration) -> bool {
        self.current.load().as_ref().is_some_and(|current| now < current.usable_until)
    }

    /// Returns whether it was fetched, and may not be used any longer.
    fn has_expired(&self, now: Duration) -> bool {
        self.current.load().as_ref().is_some_and(|current| now >= current.usable_until)
    }
}

/// Why a list was not loaded.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Get(#[from] GetError),
    #[error("no response within {} s", .0.as_secs_f64())]
    Timeout(Duration),
    #[error("the status is {0}; expected 200")]
    Status(reqwest::StatusCode, Option<Duration>),
    #[error("its signature cannot be verified: {0}")]
    Signature(Error),
    #[error("{0}")]
    List(Problem),
}

impl Failure {
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status(_, retry_after) => *retry_after,
            _ => None,
        }
    }
}

impl fmt::Debug for StatusLists {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("StatusLists")
            .field("provider", &self.parts.provider.name)
            .field("hosts", &self.hosts)
            .finish_non_exhaustive()
    }
}

fn id_of(uri: &str) -> CallKey {
    let mut id = [0; 32];
    id.copy_from_slice(digest(&SHA256, uri.as_bytes()).as_ref());
    id
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The media type of a list (§8.1).
const MEDIA_TYPE: &str = "application/statuslist+jwt";

const DEFAULT_MAX_AGE: Duration = Duration::from_secs(300);
const DEFAULT_MAX_BYTES: usize = 1 << 20;

/// The maximum number of lists of a provider in memory.
const MAX_LISTS: usize = 64;

/// The maximum number of fetches of lists of a provider at the same time.
const MAX_CALLS: usize = 8;

/// The longest URI of a list in bytes.
const MAX_URI: usize = 2048;

/// The shortest time for which a list is used. Without it, a list could be fetched for every request.
const LEAST_LIFETIME: Duration = Duration::from_secs(1);

/// The part of its lifetime after which a list is fetched again.
const REFRESH_AT: f64 = 0.8;
