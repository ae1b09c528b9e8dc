//! The settings for proofs.

use std::{fmt, sync::Arc, time::Duration};

use url::Url;

use crate::{
    config::{
        error::{ConfigError, ConfigErrorKind, Faults},
        limits::{DPOP_CLOCK_SKEW, DPOP_MAX_AGE, DPOP_NONCE_LIFETIME, DPOP_NONCE_SECRET},
        names,
        resource_uri::ResourceUri,
    },
    dpop::{
        client_key::ClientKeys,
        nonce::Nonces,
        proof::ProofChecker,
        replay::{ReplayStore, memory::MemoryReplayStore},
        target::Targets,
    },
    jose::{
        algorithm::{Algorithm, AlgorithmSet},
        key_policy::CryptoBackend,
    },
};

/// The settings for DPoP proofs: see [`OAuth2Builder::dpop`](crate::OAuth2Builder::dpop). Which providers' tokens
/// need a proof is set by [`Provider::dpop`](crate::Provider::dpop).
///
/// ```
/// use oauth2_actix::dpop::{Dpop, MemoryReplayStore};
///
/// let dpop = Dpop::new()
///     .base_url("https://api.example.com")
///     .replay_store(MemoryReplayStore::new().max_bytes(16 << 20));
/// # drop(dpop);
/// ```
///
/// In serde `dpop`: a map of `base_urls`, `algorithms`, `max_age_seconds`, `clock_skew_seconds`, `nonce_secret`,
/// `previous_nonce_secret` and `nonce_lifetime_seconds`. The store is code.
#[derive(Clone, Default)]
#[must_use = "it does nothing until it is given to a builder"]
pub struct Dpop {
    pub(crate) base_urls: Vec<String>,
    algorithms: Option<Vec<Algorithm>>,
    /// The names given to `algorithms` that no algorithm has.
    unknown_algorithms: Vec<String>,
    /// Whether `EdDSA` is for Ed25519 keys only.
    without_ed448: bool,
    max_age: Option<Duration>,
    clock_skew: Option<Duration>,
    nonce_secret: Option<Box<[u8]>>,
    previous_nonce_secret: Option<Box<[u8]>>,
    nonce_lifetime: Option<Duration>,
    replay_store: Option<Arc<dyn ReplayStore>>,
}

impl Dpop {
    /// Returns the default settings.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a URL under which clients reach the API: scheme, host, port, and a path prefix if a proxy removes one.
    /// The `htu` of a proof must be one of these URLs and the path of the request
    /// ([RFC 9449 §4.3](https://www.rfc-editor.org/rfc/rfc9449#section-4.3)). `Host` and forwarded headers are never
    /// used, since clients choose them.
    ///
    /// In serde `base_urls`: a list, or one text. Default: the hosts of the
    /// [`resource`s](crate::OAuth2Builder::resource). With a `base_url`, these are not used.
    ///
    /// ```
    /// use oauth2_actix::dpop::Dpop;
    ///
    /// // The proxy sends https://example.com/orders-api/items as /items.
    /// let dpop = Dpop::new().base_url("https://example.com/orders-api");
    /// # drop(dpop);
    /// ```
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.base_urls.push(url.into());
        self
    }

    /// Adds several URLs, as [`base_url`](Self::base_url) adds one.
    ///
    /// ```
    /// # use oauth2_actix::dpop::Dpop;
    /// let dpop = Dpop::new().base_urls(["https://api.example.com", "https://api.example.org"]);
    /// # drop(dpop);
    /// ```
    pub fn base_urls<U: Into<String>>(mut self, urls: impl IntoIterator<Item = U>) -> Self {
        self.base_urls.extend(urls.into_iter().map(Into::into));
        self
    }

    /// Sets the algorithms of proofs, as values or names. Default `ES256`, `ES384`, `PS256`, `EdDSA` and `Ed25519`.
    /// HMAC is an error ([RFC 9449 §4.2](https://www.rfc-editor.org/rfc/rfc9449#section-4.2)).
    ///
    /// The client chooses among them, so each costs what the most expensive one does: `bench/README.md` has the times.
    ///
    /// ```
    /// use oauth2_actix::{Algorithm, dpop::Dpop};
    ///
    /// let dpop = Dpop::new().algorithms([Algorithm::ES256, Algorithm::RS256]);
    /// # drop(dpop);
    /// ```
    pub fn algorithms<A>(mut self, algorithms: impl IntoIterator<Item = A>) -> Self
    where
        A: TryInto<Algorithm> + fmt::Display + Clone,
    {
        let (known, unknown) = Algorithm::known_and_unknown(algorithms);
        (self.algorithms, self.unknown_algorithms) = (Some(known), unknown);
        self
    }

    /// Sets how old a proof may be, by its `iat`
    /// ([RFC 9449 §11.1](https://www.rfc-editor.org/rfc/rfc9449#section-11.1)). Default 60 s; from 1 s to 10 minutes.
    /// In serde `max_age_seconds`.
    ///
    /// It also covers clients whose clocks are behind. The store of used proofs grows with it.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Sets how far the `iat` of a proof may be in the future, for clients whose clocks are ahead. Default 10 s; at
    /// most 5 minutes. In serde `clock_skew_seconds`. The leeway for tokens is another setting.
    pub fn clock_skew(mut self, skew: Duration) -> Self {
        self.clock_skew = Some(skew);
        self
    }

    /// Requires a nonce of this service in each proof
    /// ([RFC 9449 §9](https://www.rfc-editor.org/rfc/rfc9449#section-9)), so that an attacker who could use a client's
    /// key for a while cannot have made proofs for later. Default: none is required. In serde `nonce_secret`: text of
    /// at least 32 bytes.
    ///
    /// A nonce is a time with a MAC under this secret, so that no process has to remember it. All processes of a
    /// service must have the same secret. A client without a nonce gets 401 `use_dpop_nonce` with one in `DPoP-Nonce`,
    /// and a fresh one on a response once its nonce is past half of its life. The age of a proof is then that of its
    /// nonce, and `iat` is not compared with the clock, so that the clocks of clients do not matter.
    ///
    /// ```
    /// use oauth2_actix::dpop::Dpop;
    /// # fn secret(_: &str) -> [u8; 32] { std::array::from_fn(|index| index as u8) }
    ///
    /// let dpop = Dpop::new()
    ///     .base_url("https://api.example.com")
    ///     .nonce_secret(secret("dpop-nonces-2026-11"))
    ///     .previous_nonce_secret(secret("dpop-nonces-2026-10"));
    /// # drop(dpop);
    /// ```
    pub fn nonce_secret(mut self, secret: impl AsRef<[u8]>) -> Self {
        self.nonce_secret = Some(secret.as_ref().into());
        self
    }

    /// Sets the secret that [`nonce_secret`](Self::nonce_secret) was before, whose nonces are still accepted while
    /// the processes of a service get the new one. Default: none. In serde `previous_nonce_secret`.
    pub fn previous_nonce_secret(mut self, secret: impl AsRef<[u8]>) -> Self {
        self.previous_nonce_secret = Some(secret.as_ref().into());
        self
    }

    /// Sets how long a nonce is accepted. Default 120 s; from 10 s to 1 hour. In serde `nonce_lifetime_seconds`.
    pub fn nonce_lifetime(mut self, lifetime: Duration) -> Self {
        self.nonce_lifetime = Some(lifetime);
        self
    }

    /// Sets the store of used proofs. Default: a [`MemoryReplayStore`], which serves one process. Several processes
    /// need a store that they share, or a proof could be used once at each.
    ///
    /// ```
    /// use oauth2_actix::dpop::{Dpop, MemoryReplayStore};
    ///
    /// let dpop = Dpop::new().replay_store(MemoryReplayStore::new().max_bytes(256 << 20));
    /// # drop(dpop);
    /// ```
    pub fn replay_store(mut self, store: impl ReplayStore) -> Self {
        self.replay_store = Some(Arc::new(store));
        self
    }

    /// Returns the store, which requests share.
    pub(crate) fn store(&self) -> Arc<dyn ReplayStore> {
        self.replay_store.clone().unwrap_or_else(|| Arc::new(MemoryReplayStore::new()))
    }

    pub(crate) fn algorithm_set(&self) -> AlgorithmSet {
        use Algorithm as A;
        let set: AlgorithmSet = match &self.algorithms {
            Some(algorithms) => algorithms.iter().copied().collect(),
            None => [A::ES256, A::ES384, A::PS256, A::EdDSA, A::Ed25519].into_iter().collect(),
        };
        if self.without_ed448 { set.without_ed448() } else { set }
    }

    /// Returns the algorithms that were named.
    pub(crate) fn named_algorithms(&self) -> &[Algorithm] {
        self.algorithms.as_deref().unwrap_or_default()
    }

    /// Returns the settings as FAPI 2.0 has them: its algorithms are the default.
    pub(crate) fn under_fapi2(mut self) -> Self {
        self.algorithms.get_or_insert_with(|| AlgorithmSet::of_fapi2().iter().collect());
        self.without_ed448 = true;
        self
    }

    pub(crate) fn requires_nonce(&self) -> bool {
        self.nonce_secret.is_some()
    }

    /// Returns the faults that can be found without the rest of the configuration.
    pub(crate) fn faults(&self) -> Faults {
        use ConfigErrorKind::{Conflict, Empty, Unknown};
        let mut faults = Faults::default();
        for url in &self.base_urls {
            if let Err(problem) = Targets::new(std::slice::from_ref(url)) {
                faults.push(ConfigError::of_policy(names::DPOP_BASE_URLS, problem));
            }
        }
        let mut of_algorithms = |kind, problem: &dyn fmt::Display| {
            faults.push(ConfigError::of_policy(names::DPOP_ALGORITHMS, problem).of_kind(kind));
        };
        if self.algorithms.as_ref().is_some_and(Vec::is_empty) && self.unknown_algorithms.is_empty()
        {
            of_algorithms(Empty, &"the list is empty, so no proof could be accepted");
        }
        for name in &self.unknown_algorithms {
            of_algorithms(Unknown, &format_args!("{name:?} is not supported"));
        }
        for algorithm in self.algorithms.iter().flatten().filter(|one| one.is_symmetric()) {
            let problem = format_args!("{algorithm} is symmetric; a proof is signed by a key pair");
            of_algorithms(ConfigErrorKind::Invalid, &problem);
        }
        for algorithm in self.algorithms.iter().flatten().filter(|one| one.is_ml_dsa()) {
            let problem = format_args!(
                "{algorithm} is for access tokens only: a proof with its key and signature would be too long for a \
                 header; expected an algorithm of RFC 7518 or EdDSA"
            );
            of_algorithms(ConfigErrorKind::Invalid, &problem);
        }
        for (limit, value) in [
            (DPOP_MAX_AGE, self.max_age),
            (DPOP_CLOCK_SKEW, self.clock_skew),
            (DPOP_NONCE_LIFETIME, self.nonce_lifetime),
        ] {
            faults.take(limit.check_if_set(None, value));
        }
        for secret in [&self.nonce_secret, &self.previous_nonce_secret] {
            faults.take(DPOP_NONCE_SECRET.check_if_set(None, secret.as_deref().map(<[u8]>::len)));
        }
        if self.nonce_secret.is_none()
            && (self.previous_nonce_secret.is_some() || self.nonce_lifetime.is_some())
        {
            let problem = "is missing, so no nonce is required; expected a secret beside the other settings of \
                           nonces";
            let error = ConfigError::of_policy(names::DPOP_NONCE_SECRET, problem);
            faults.push(error.of_kind(Conflict));
        }
        faults
    }

    /// Returns the checker of proofs. The settings were checked.
    pub(crate) fn checker(
        &self,
        resources: &[ResourceUri],
        crypto: CryptoBackend,
    ) -> Result<ProofChecker, ConfigError> {
        let base_urls = if self.base_urls.is_empty() {
            resources.iter().filter_map(|uri| origin(&uri.text())).collect()
        } else {
            self.base_urls.clone()
        };
        if base_urls.is_empty() {
            let problem = "missing: the URL of this API is mandatory, since each proof names it; set a base URL or a \
                           `resource`";
            let error = ConfigError::of_policy(names::DPOP_BASE_URLS, problem);
            return Err(error.of_kind(ConfigErrorKind::Missing));
        }
        let targets = Targets::new(&base_urls)
            .map_err(|problem| ConfigError::of_policy(names::DPOP_BASE_URLS, problem))?;
        let nonces = self.nonce_secret.as_ref().map(|secret| {
            let lifetime = self.nonce_lifetime.unwrap_or(DEFAULT_NONCE_LIFETIME);
            Nonces::new(secret, self.previous_nonce_secret.as_deref(), lifetime)
                .map_err(|problem| ConfigError::of_policy(names::DPOP_NONCE_SECRET, problem))
        });
        let nonces = nonces.transpose()?;
        Ok(ProofChecker {
            algorithms: self.algorithm_set(),
            max_age: self.max_age.unwrap_or(DEFAULT_MAX_AGE),
            clock_skew: self.clock_skew.unwrap_or(DEFAULT_CLOCK_SKEW),
            targets,
            nonces,
            keys: ClientKeys::default(),
            crypto,
        })
    }
}

/// Returns scheme, host and port of a URL.
fn origin(url: &str) -> Option<String> {
    Url::parse(url).ok().map(|url| url.origin().ascii_serialization())
}

/// Two settings are equal if all that can be compared is: a store is equal only to itself.
impl PartialEq for Dpop {
    fn eq(&self, other: &Self) -> bool {
        let is_same_store = match (&self.replay_store, &other.replay_store) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            _ => false,
        };
        is_same_store
            && self.base_urls == other.base_urls
            && self.algorithms == other.algorithms
            && self.unknown_algorithms == other.unknown_algorithms
            && self.without_ed448 == other.without_ed448
            && self.max_age == other.max_age
            && self.clock_skew == other.clock_skew
            && self.nonce_secret == other.nonce_secret
            && self.previous_nonce_secret == other.previous_nonce_secret
            && self.nonce_lifetime == other.nonce_lifetime
    }
}

/// Shows no secret.
impl fmt::Debug for Dpop {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Dpop")
            .field("base_urls", &self.base_urls)
            .field("algorithms", &self.algorithms)
            .field("max_age", &self.max_age)
            .field("clock_skew", &self.clock_skew)
            .field("requires_nonce", &self.requires_nonce())
            .field("nonce_lifetime", &self.nonce_lifetime)
            .finish_non_exhaustive()
    }
}

const DEFAULT_MAX_AGE: Duration = Duration::from_secs(60);
const DEFAULT_CLOCK_SKEW: Duration = Duration::from_secs(10);
const DEFAULT_NONCE_LIFETIME: Duration = Duration::from_secs(120);
