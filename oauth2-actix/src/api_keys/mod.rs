//! API keys by prefix, alongside tokens: for services that migrate to OAuth2.
//!
//! ```
//! use oauth2_actix::{OAuth2, api_keys::{ApiKey, ApiKeys}};
//! use serde_json::json;
//!
//! # #[actix_web::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Once, for example with the command `oauth2-actix api-key new --prefix shop_live_`:
//! let generated = ApiKey::generate("shop_live_")?;
//!
//! // The configuration has the hash only.
//! let key = ApiKey::new("billing-job", [generated.hash()]).claims(json!({"scope": "invoices:read"}));
//! let oauth2 = OAuth2::builder().api_keys("shop-keys", ApiKeys::new("shop_live_").key(key)).build()?;
//!
//! let claims = oauth2.verify(generated.expose_text()).await?;
//! assert_eq!((claims.provider(), claims.subject()), ("shop-keys", Some("billing-job")));
//! assert!(claims.has_scope("invoices:read"));
//! # Ok(())
//! # }
//! ```
//!
//! See [`OAuth2Builder::api_keys`](crate::OAuth2Builder::api_keys), and the page `docs/api-keys.md` of the repository.

// Owns what an API key is, how it is found, and its claims. It imports `authorize`, `config`, `error`, `jose`, `json`,
// `outbound`, `revocation`, `token` and `util`.
//
// - this file: the keys at run time, by prefix, and the calls of their sources
// - `generate.rs`: new keys, their checksums and hashes
// - `settings.rs`: the settings
//
// A key is found by the SHA-256 of its text. Lookups are not constant-time: timing can reveal parts of stored hashes, but a
// key cannot be derived from its hash.

mod generate;
mod settings;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};

use self::{generate::has_checksum, settings::Source};
pub use self::{
    generate::{ApiKeyHash, GeneratedApiKey, InvalidApiKeyHash},
    settings::{ApiKey, ApiKeyClaims, ApiKeys},
};
use crate::{
    authorize::requirement::Requirement,
    error::{Error, ErrorKind},
    json::object::Object,
    outbound::{
        breaker::{Breaker, Pass},
        failure::Severity,
        rejections::Rejections,
        shared_calls::{SharedCallError, SharedCalls},
        thread::CallThread,
    },
    revocation::Revocations,
    token::{
        claims::Claims,
        lifetime::{self, TimeLimits},
        revocable::revocable,
        rules::Rules,
        verified::{
            AcceptedBy, Introspected, ProviderId, Revalidate, VerifiedApiKey, VerifiedBy,
            VerifiedToken,
        },
    },
    util::{
        clock::Clock,
        log_rate::Throttle,
        telemetry::{self, AcceptedRequests},
        units::Unit,
    },
};

/// The API keys of a policy. No prefix is the beginning of another one.
#[derive(Debug, Default)]
pub(crate) struct ApiKeySets(Vec<Arc<ApiKeySet>>);

/// The API keys with one prefix.
pub(crate) struct ApiKeySet {
    by: AcceptedBy,
    prefix: String,
    requires_checksum: bool,
    /// The claims of each configured key.
    keys: HashMap<ApiKeyHash, Object>,
    source: Option<SourceCalls>,
    requirements: Vec<Requirement>,
    time_limits: TimeLimits,
    revocations: Option<Arc<Revocations>>,
    clock: Clock,
}

/// A source, and the limits of its calls.
struct SourceCalls {
    source: Source,
    cache: Duration,
    calls: SharedCalls<Result<Claims, Error>>,
    unknown: Rejections<Error>,
    failed_calls: Rejections<Error>,
    breaker: Breaker,
    thread: Arc<CallThread>,
    warnings: Throttle,
    /// Called with the claims of each key that was found.
    on_found: OnceLock<OnFound>,
}

/// A function that keeps the claims of a key.
type OnFound = Arc<dyn Fn(&Claims) + Send + Sync>;

/// What the keys of a policy are made of, besides their settings.
pub(crate) struct Parts {
    pub(crate) rules: Arc<Rules>,
    pub(crate) requirements: Vec<Requirement>,
    pub(crate) time_limits: TimeLimits,
    pub(crate) revocations: Option<Arc<Revocations>>,
    pub(crate) thread: Option<Arc<CallThread>>,
    pub(crate) clock: Clock,
}

/// What is known of a key without waiting.
pub(crate) enum Found {
    Claims(Claims),
    /// Its source must be called.
    NotYet(Lookup),
}

/// A key that is looked up in a source.
pub(crate) struct Lookup {
    keys: Arc<ApiKeySet>,
    hash: ApiKeyHash,
    token: Box<[u8]>,
}

impl ApiKeySets {
    /// Resolves settings without faults.
    pub(crate) fn new(all: &[(String, ApiKeys)], parts: &Parts) -> Self {
        let all = all.iter().enumerate();
        Self(
            all.map(|(index, (name, keys))| Arc::new(ApiKeySet::new(index, name, keys, parts)))
                .collect(),
        )
    }

    /// Returns the API keys that a token is one of, by its prefix. A token with a prefix in another case is rejected: it
    /// is a mistyped key, which must not be sent to a provider of opaque tokens.
    pub(crate) fn of_token(&self, token: &str) -> Result<Option<&Arc<ApiKeySet>>, Error> {
        if let Some(keys) = self.0.iter().find(|keys| token.starts_with(&keys.prefix)) {
            return Ok(Some(keys));
        }
        let is_other_case = |keys: &&Arc<ApiKeySet>| {
            let start = token.get(..keys.prefix.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(&keys.prefix))
        };
        match self.0.iter().find(is_other_case) {
            // A JWT has dots.
            Some(keys) if !token.contains('.') => Err(keys.unknown().with_hint(OTHER_CASE)),
            _ => Ok(None),
        }
    }

    /// Returns whether what has verified a key may be relied on now. `index`: that of its [`ProviderId`].
    pub(crate) fn still_verifies(
        &self,
        index: usize,
        verified_by: &VerifiedBy,
        clock: &Clock,
    ) -> bool {
        let VerifiedBy::ApiKey(key) = verified_by else { return false };
        index < self.0.len() && key.found.as_ref().is_none_or(|found| found.is_usable(clock))
    }

    /// Sets the function that keeps the claims of each key that is found, also if no request waits for them.
    pub(crate) fn on_found(&self, keep: impl Fn(&Claims) + Send + Sync + 'static) {
        let keep: OnFound = Arc::new(keep);
        for source in self.0.iter().filter_map(|keys| keys.source.as_ref()) {
            // It is set once, when the policy is built.
            let _ = source.on_found.set(Arc::clone(&keep));
        }
    }
}

impl ApiKeySet {
    fn new(index: usize, name: &str, settings: &ApiKeys, parts: &Parts) -> Self {
        let name: Arc<str> = name.into();
        let mut keys = HashMap::new();
        for key in &settings.keys {
            // The settings have no faults.
            if let Ok(claims) = key.claims.resolve() {
                for hash in key.hashes.iter().flatten() {
                    keys.insert(*hash, claims.clone());
                }
            }
        }
        let source = settings.source.clone().zip(parts.thread.clone());
        let source = source.map(|(source, thread)| SourceCalls {
            source,
            cache: settings.cache.unwrap_or(DEFAULT_CACHE),
            calls: SharedCalls::new(settings.max_calls.unwrap_or(DEFAULT_CALLS), &parts.clock),
            unknown: Rejections::new(settings.negative_cache.unwrap_or(DEFAULT_NEGATIVE_CACHE)),
            failed_calls: Rejections::new(FAILED_CALL_LIFETIME),
            breaker: Breaker::new(&parts.clock),
            thread,
            warnings: Throttle::new(parts.clock.clone()),
            on_found: OnceLock::new(),
        });
        Self {
            by: AcceptedBy {
                provider: ProviderId::ApiKeys(index),
                requests: AcceptedRequests::of(&name),
                name,
                rules: Arc::clone(&parts.rules),
            },
            prefix: settings.prefix.clone(),
            requires_checksum: settings.require_checksum,
            keys,
            source,
            requirements: parts.requirements.clone(),
            time_limits: parts.time_limits,
            revocations: parts.revocations.clone(),
            clock: parts.clock.clone(),
        }
    }

    /// Finds a key, or says that its source must be called.
    pub(crate) fn find(self: &Arc<Self>, token: &str) -> Result<Found, Error> {
        if self.requires_checksum && !has_checksum(token) {
            return Err(self.unknown().with_hint(NO_CHECKSUM));
        }
        let hash = ApiKeyHash::of(token);
        if let Some(claims) = self.keys.get(&hash) {
            let key = VerifiedApiKey { hash: *hash.as_bytes(), found: None };
            return self.accept(claims.clone(), token.as_bytes().into(), key).map(Found::Claims);
        }
        let Some(source) = &self.source else { return Err(self.unknown()) };
        let now = self.clock.monotonic();
        if let Some(unknown) = source.unknown.find(hash.as_bytes(), now) {
            return Err(unknown);
        }
        if source.breaker.wait().is_some() {
            return Err(self.unavailable());
        }
        if let Some(failed) = source.failed_calls.find(hash.as_bytes(), now) {
            return Err(failed);
        }
        let token = token.as_bytes().into();
        Ok(Found::NotYet(Lookup { keys: Arc::clone(self), hash, token }))
    }

    /// Checks the claims of a key, as those of a token.
    fn accept(
        &self,
        claims: Object,
        token: Box<[u8]>,
        key: VerifiedApiKey,
    ) -> Result<Claims, Error> {
        let now = self.clock.unix_time();
        let lifetime = lifetime::check_times_of_answer(&claims, now, self.time_limits)
            .map_err(|error| error.with_provider(&self.by.name))?;
        let verified_by = VerifiedBy::ApiKey(Arc::new(key));
        let revocable = self.revocations.as_ref().map(|list| {
            list.note_lifetime(lifetime.remaining(now));
            revocable(list, &claims, &token, &verified_by)
        });
        let claims = Claims::new(VerifiedToken {
            by: self.by.clone(),
            verified_by,
            lifetime,
            claims,
            token,
            confirmation: None,
            principal: OnceLock::new(),
            revocable,
            status: None,
            clock: self.clock.clone(),
        });
        match self.requirements.iter().find(|requirement| !requirement.is_met(&claims)) {
            None => Ok(claims),
            Some(unmet) => {
                let required = unmet.to_string();
                let error =
                    Error::from(ErrorKind::RequirementNotMet { required: required.clone() });
                Err(error.with_expected(required).with_provider(&self.by.name))
            }
        }
    }

    /// Calls the source, and validates the response.
    async fn call(self: Arc<Self>, hash: ApiKeyHash, token: Box<[u8]>) -> Result<Claims, Error> {
        let Some(source) = &self.source else { return Err(self.unknown()) };
        let Ok(pass) = source.breaker.enter() else { return Err(self.unavailable()) };
        let requested_at = (self.clock.unix_time(), self.clock.monotonic());
        let limit = self.by.rules.check_timeout;
        let found = match tokio::time::timeout(limit, (source.source)(hash)).await {
            Ok(Ok(found)) => found.map(|claims| claims.resolve()).transpose(),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no response within {}", Unit(limit))),
        };
        telemetry::api_key_looked_up(
            &self.by.name,
            match &found {
                Ok(Some(_)) => "found",
                Ok(None) => "unknown",
                Err(_) => "failed",
            },
        );
        let result = match found {
            Err(cause) => return Err(self.failed(source, pass, &hash, cause)),
            Ok(None) => {
                source.breaker.succeeded(pass);
                Err(self.unknown())
            }
            Ok(Some(claims)) => {
                source.breaker.succeeded(pass);
                let issuer: Arc<dyn Revalidate> = Arc::new(SourceOfSession(Arc::clone(&self)));
                let found = Some(Introspected::new(requested_at, source.cache, issuer));
                self.accept(claims, token, VerifiedApiKey { hash: *hash.as_bytes(), found })
            }
        };
        match (&result, source.on_found.get()) {
            (Ok(claims), Some(keep)) => keep(claims),
            (Ok(_), None) => {}
            (Err(error), _) => {
                source.unknown.add(*hash.as_bytes(), error.clone(), self.clock.monotonic());
            }
        }
        result
    }

    fn unknown(&self) -> Error {
        Error::from(ErrorKind::ApiKeyUnknown).with_provider(&self.by.name)
    }

    fn unavailable(&self) -> Error {
        Error::from(ErrorKind::ApiKeysUnavailable).with_provider(&self.by.name)
    }

    /// Notes and logs that a call of the source has failed.
    fn failed(&self, source: &SourceCalls, pass: Pass, hash: &ApiKeyHash, cause: String) -> Error {
        source.breaker.failed(pass, Severity::Call, None, &cause);
        let api_keys = &self.by.name;
        // Clients cause calls, so the warning has a rate.
        if source.warnings.allows() {
            tracing::warn!(
                target: "oauth2_actix", %api_keys, cause,
                "API keys cannot be loaded from the source: requests with uncached keys get 503"
            );
        } else {
            tracing::debug!(
                target: "oauth2_actix", %api_keys, cause,
                "API keys cannot be loaded from the source: requests with uncached keys get 503"
            );
        }
        let error = self.unavailable().with_source(cause);
        source.failed_calls.add(*hash.as_bytes(), error.clone(), self.clock.monotonic());
        error
    }
}

impl Lookup {
    /// Waits for the response, which concurrent requests with the same key share.
    pub(crate) async fn response(self) -> Result<Claims, Error> {
        let Self { keys, hash, token } = self;
        let Some(source) = &keys.source else { return Err(keys.unknown()) };
        let call = || Arc::clone(&keys).call(hash, token);
        match source.calls.result(&source.thread, *hash.as_bytes(), call).await {
            Ok(result) => result,
            Err(SharedCallError::TooMany) => Err(keys
                .unavailable()
                .with_source("too many calls of the source in progress and in the queue")),
            Err(SharedCallError::Cancelled) => {
                Err(keys.unavailable().with_source("the call of the source was cancelled"))
            }
        }
    }

    /// Calls the source without waiting for the response. Returns the error for the request of the client.
    pub(crate) fn start_in_background(&self) -> Error {
        if let Some(source) = &self.keys.source {
            let call = || Arc::clone(&self.keys).call(self.hash, self.token.clone());
            // At the limit, a later request starts it.
            let _ = source.calls.start(&source.thread, *self.hash.as_bytes(), call);
        }
        self.undecided()
    }

    /// Returns the error for a request of a client that must not wait.
    pub(crate) fn undecided(&self) -> Error {
        self.keys.unavailable()
    }
}

/// Looks up the key of a session again.
struct SourceOfSession(Arc<ApiKeySet>);

impl Revalidate for SourceOfSession {
    fn revalidate(&self, token: &[u8]) -> BoxFuture<'static, Result<Duration, Error>> {
        let keys = Arc::clone(&self.0);
        let token = String::from_utf8_lossy(token).into_owned();
        async move {
            let claims = match keys.find(&token)? {
                Found::Claims(claims) => claims,
                Found::NotYet(lookup) => lookup.response().await?,
            };
            let found = claims.verified().verified_by.introspected();
            Ok(found.map_or(Duration::ZERO, |found| found.until_monotonic))
        }
        .boxed()
    }
}

impl fmt::Debug for ApiKeySet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ApiKeySet")
            .field("name", &self.by.name)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

const OTHER_CASE: &str = "the token begins with the prefix of API keys in another case; expected the prefix as it is configured";
const NO_CHECKSUM: &str = "the API key does not end with its checksum; expected a key that `ApiKey::generate` has made, \
     not mistyped and not cut";

const DEFAULT_CACHE: Duration = Duration::from_secs(60);
const DEFAULT_NEGATIVE_CACHE: Duration = Duration::from_secs(5);
const DEFAULT_CALLS: usize = 64;

/// How long a failed call is not repeated for the same key.
const FAILED_CALL_LIFETIME: Duration = Duration::from_secs(1);
