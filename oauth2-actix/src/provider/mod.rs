//! The providers at run time: their settings, their keys, the tenants, and the thread that fetches keys.
//!
//! Owns the step from a configured provider to one that can check tokens: it resolves key sources and
//! intervals, parses inline keys and reads snapshots. It imports `config`, `error`, `http`, `jose`, `json`, `keys`,
//! `token` and `util`.
//!
//! - this file: a resolved provider, and the settings of a policy for all of them.
//! - `allowed`: the algorithms that the keys of a provider may be used with.
//! - `background`: the thread that fetches keys and looks tenants up.
//! - `checks`: which tokens a provider accepts: audience, `cnf`, allowed algorithms, type and trust domain before
//!   the signature is checked; clients, subjects and requirements afterwards.
//! - `message`: signed messages of an issuer that are no access tokens.
//! - `tenants`: providers that are looked up by issuer at run time.
//! - `timing`: when the keys of a provider are fetched.

mod allowed;
pub(crate) mod background;
mod checks;
mod message;
pub(crate) mod tenants;
mod timing;

pub(crate) use self::checks::{NO_AUTH_AGE, check_requirements};

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;

use self::{allowed::Allowed, timing::timing};
use crate::{
    authorize::requirement::Requirement,
    config::{
        binding::Binding,
        error::{ConfigError, ConfigErrorKind},
        keys::{self, Form, Keys},
        limits::MAX_SOURCES,
        names,
        provider::Provider,
        resource_uri::ResourceUri,
    },
    http::{client::Clients, fetch::GetError, url::KeyUrl},
    jose::{
        algorithm::AlgorithmSet,
        key_document::{KeyDocument, Skipped},
        key_policy::{Budget, CryptoBackend, KeyPolicy, Origin},
        key_set::{KeySet, KeySetId},
    },
    keys::{
        discovery::Issuer,
        remote::{Refresh, RemoteKeySet, Settings, Source},
        snapshot::SnapshotDirectory,
        source::{KeyFile, TokenFile},
    },
    token::{
        rules::Rules,
        verified::{AcceptedBy, ProviderId, VerifiedBy},
    },
    util::{
        clock::Clock,
        log_rate::Warnings,
        telemetry::{AcceptedRequests, SourceMetrics},
    },
};

/// One provider of the policy.
#[derive(Debug)]
pub(crate) struct ResolvedProvider {
    pub(crate) name: Arc<str>,
    pub(crate) audiences: Vec<String>,
    /// The identifiers of the protected resources, which are audiences too. Empty if the audience is in another
    /// claim than `aud`.
    pub(crate) resources: Arc<[ResourceUri]>,
    pub(crate) audience_claim: String,
    pub(crate) algorithms: AlgorithmSet,
    require_at_jwt: bool,
    clients: Option<Vec<String>>,
    subjects: Option<Vec<String>>,
    /// What is required of every token: of the provider, and of all providers.
    requirements: Vec<Requirement>,
    /// The SPIFFE trust domain of all its tokens, if they are JWT-SVIDs.
    trust_domain: Option<String>,
    /// Whether its tokens are bound to a DPoP key or a client certificate.
    pub(crate) dpop: Binding,
    pub(crate) certificate_bound: Binding,
    /// Whether a token must be bound to one or the other.
    must_be_bound: bool,
    dangerous_accept_bound_tokens: bool,
    pub(crate) id: ProviderId,
    /// The keys of each source, in the order of the configuration.
    pub(crate) keys: Vec<ProviderKeys>,
    pub(crate) accepted_requests: AcceptedRequests,
    rules: Arc<Rules>,
    /// Notifies of every change of its fetched keys.
    changes: Arc<watch::Sender<()>>,
}

/// The keys of one source.
#[derive(Debug)]
pub(crate) enum ProviderKeys {
    /// Keys that are given inline.
    Inline(KeySet),
    Remote(Arc<RemoteKeySet>),
}

/// The settings of a policy for the keys of all its providers.
#[derive(Clone, Debug)]
pub(crate) struct Defaults {
    pub(crate) key_refresh: Option<Duration>,
    pub(crate) stale_window: Option<Duration>,
    pub(crate) cooldown: Duration,
    pub(crate) timeout: Duration,
    pub(crate) clients: Arc<Clients>,
    pub(crate) crypto: CryptoBackend,
    pub(crate) clock: Clock,
    pub(crate) snapshots: Option<Arc<SnapshotDirectory>>,
    /// The identifiers of the protected resources.
    pub(crate) resources: Arc<[ResourceUri]>,
    /// The scope hierarchy and the named policies.
    pub(crate) rules: Arc<Rules>,
    /// What is required of every token of every provider.
    pub(crate) requirements: Vec<Requirement>,
    /// Whether all providers follow the FAPI 2.0 profile.
    pub(crate) fapi2: bool,
    /// The rate limit of warnings about tenants. All tenants share it, since clients cause lookups of many
    /// tenants.
    pub(crate) tenant_warnings: Arc<Warnings>,
}

impl Defaults {
    /// Checks the settings that tenants need when the policy is built, and not at the first lookup.
    pub(crate) fn check_for_tenants(&self) -> Result<(), ConfigError> {
        let timing = timing(names::TENANTS, &Provider::new(), self)?;
        if timing.refresh == Refresh::Never {
            tracing::warn!(target: "oauth2_actix", provider = "tenants", "{NO_REFRESH}");
        }
        self.clients
            .prepare()
            .map_err(|error| ConfigError::of_policy(names::TENANTS, GetError::Client(error)))
    }
}

impl ResolvedProvider {
    /// Checks the keys of a configured provider, after the builder has checked all else, and reads its
    /// snapshots. Fetches nothing.
    pub(crate) fn new(
        index: usize,
        name: &str,
        provider: &Provider,
        defaults: &Defaults,
    ) -> Result<Self, ConfigError> {
        let warnings = Arc::new(Warnings::new(&defaults.clock));
        let id = ProviderId::Configured(index);
        let resolved = Self::build(id, name, provider, defaults, warnings)?;
        // Custom sources report changes of their keys themselves.
        if resolved.remotes().any(|remote| {
            remote.timing.refresh == Refresh::Never && !matches!(remote.source, Source::Custom(_))
        }) {
            tracing::warn!(target: "oauth2_actix", provider = name, "{NO_REFRESH}");
        }
        resolved.restore(&defaults.clock);
        for keys in &resolved.keys {
            match keys {
                ProviderKeys::Inline(_) => {
                    SourceMetrics::of(&resolved.name, &INLINE.into(), false).inline();
                }
                ProviderKeys::Remote(remote) => {
                    remote.metrics.announce();
                    if let Some(snapshot) = remote.snapshot() {
                        let stale_at = snapshot.stale_at;
                        remote.metrics.usable(stale_at.map(|at| defaults.clock.unix_time_of(at)));
                    }
                }
            }
        }
        Ok(resolved)
    }

    /// Checks a provider that was looked up. Its snapshots are not read yet.
    pub(crate) fn of_tenant(
        name: &str,
        provider: &Provider,
        defaults: &Defaults,
    ) -> Result<Self, ConfigError> {
        let mut faults = provider.faults(Some(name), !defaults.resources.is_empty());
        for (field, is_set) in [
            (names::INTROSPECTION, provider.introspection.is_some()),
            (names::STATUS_LIST, provider.status_list.is_some()),
            (names::TOKEN_EXCHANGE, provider.token_exchange.is_some()),
        ] {
            if is_set {
                let problem =
                    "is not possible for a tenant that is looked up: configure the provider";
                let error = ConfigError::of_provider(name, field, problem);
                faults.push(error.of_kind(ConfigErrorKind::Conflict));
            }
        }
        if defaults.fapi2 {
            faults.push_all(provider.fapi2_faults(Some(name)));
        }
        faults.into_result()?;
        check_requirements(name, &provider.requirements, &defaults.rules)?;
        static NEXT_ID: AtomicU64 = AtomicU64::new(0);
        let id = ProviderId::Tenant(NEXT_ID.fetch_add(1, Ordering::Relaxed));
        let warnings = Arc::clone(&defaults.tenant_warnings);
        if defaults.fapi2 {
            return Self::build(id, name, &provider.clone().under_fapi2(), defaults, warnings);
        }
        Self::build(id, name, provider, defaults, warnings)
    }

    fn build(
        id: ProviderId,
        name: &str,
        provider: &Provider,
        defaults: &Defaults,
        warnings: Arc<Warnings>,
    ) -> Result<Self, ConfigError> {
        let fault =
            |problem: &dyn fmt::Display| ConfigError::of_provider(name, names::KEYS, problem);
        let sources = &provider.keys;
        if sources.is_empty() && provider.introspection.is_none() {
            return Err(fault(&"missing").of_kind(ConfigErrorKind::Missing));
        }
        for source in sources {
            if let Form::Unreadable(problem) = &source.form {
                return Err(fault(problem));
            }
        }
        if sources.len() > MAX_SOURCES {
            let count = sources.len();
            let problem = format_args!("there are {count} sources, more than {MAX_SOURCES}");
            return Err(fault(&problem).of_kind(ConfigErrorKind::OutOfRange));
        }
        let name: Arc<str> = name.into();
        let mut allowed = Allowed::check(&name, provider, defaults.crypto)?;
        if defaults.fapi2 {
            allowed = allowed.without_ed448();
        }
        let mut resolved = Self {
            audiences: provider.audiences.clone(),
            resources: match provider.audience_claim_name() {
                "aud" => Arc::clone(&defaults.resources),
                _ => [].into(),
            },
            audience_claim: provider.audience_claim_name().to_owned(),
            algorithms: provider.algorithm_set(),
            require_at_jwt: provider.require_at_jwt,
            clients: provider.clients.clone(),
            subjects: provider.subjects.clone(),
            requirements: [&defaults.requirements[..], &provider.requirements[..]].concat(),
            trust_domain: provider.spiffe_trust_domain.clone(),
            dpop: provider.dpop,
            certificate_bound: provider.certificate_bound,
            must_be_bound: defaults.fapi2,
            dangerous_accept_bound_tokens: provider.dangerous_accept_bound_tokens,
            id,
            keys: Vec::new(),
            accepted_requests: AcceptedRequests::of(&name),
            rules: Arc::clone(&defaults.rules),
            changes: Arc::new(watch::Sender::new(())),
            name,
        };
        let budget = if resolved.is_tenant() { Budget::Tenant } else { Budget::Provider };
        let key_policy = |allowed, origin| KeyPolicy {
            allowed,
            binds_keys: provider.algorithms.is_none(),
            origin,
            crypto: defaults.crypto,
            spiffe: provider.spiffe_trust_domain.is_some(),
            budget,
        };
        let inline = key_policy(allowed.inline, Origin::Inline);
        let fetched = key_policy(allowed.fetched, Origin::Fetched);
        for (index, source) in sources.iter().enumerate() {
            if sources[..index].contains(source) {
                let problem = format_args!("the source {:?} is listed twice", source.form);
                return Err(fault(&problem).of_kind(ConfigErrorKind::Duplicate));
            }
            let keys = match &source.form {
                Form::Inline(_) if source.bearer_token_file.is_some() => {
                    return Err(fault(&NO_TOKEN_FILE));
                }
                Form::Inline(document) => {
                    let keys = parse_inline(document, &resolved.name, inline, &warnings);
                    ProviderKeys::Inline(keys.map_err(|problem| fault(&problem))?)
                }
                _ => {
                    let remote = resolved
                        .remote_keys(source, index, provider, fetched, defaults, &warnings)?;
                    ProviderKeys::Remote(Arc::new(remote))
                }
            };
            resolved.keys.push(keys);
        }
        if provider.key_refresh.is_some() && resolved.remotes().next().is_none() {
            return Err(ConfigError::of_provider(
                &resolved.name,
                names::KEY_REFRESH_MINUTES,
                if sources.is_empty() {
                    "the provider has no keys, so there is nothing to refresh"
                } else {
                    "the keys are given inline, so there is nothing to refresh"
                },
            )
            .of_kind(ConfigErrorKind::Conflict));
        }
        resolved.set_initial_keys(provider, fetched, defaults, &warnings)?;
        Ok(resolved)
    }

    fn remote_keys(
        &self,
        source: &keys::Source,
        index: usize,
        provider: &Provider,
        policy: KeyPolicy,
        defaults: &Defaults,
        warnings: &Arc<Warnings>,
    ) -> Result<RemoteKeySet, ConfigError> {
        let fault =
            |problem: &dyn fmt::Display| ConfigError::of_provider(&self.name, names::KEYS, problem);
        let token_file = source.bearer_token_file.clone().map(TokenFile::new);
        let (source, identity) =
            resolve(&source.form, index, provider).map_err(|problem| fault(&problem))?;
        match source.url() {
            // The client is built now and not at the first request, so that its errors are reported at once.
            Some(url) => {
                let client = defaults.clients.client(url);
                client.map_err(|error| fault(&GetError::Client(error)))?;
                if token_file.is_some() && !url.is_confidential() {
                    return Err(fault(
                        &"a bearer token is sent only over https or to a loopback host",
                    ));
                }
            }
            None if token_file.is_some() => return Err(fault(&NO_TOKEN_FILE)),
            None => {}
        }
        let timing = timing(&self.name, provider, defaults)?;
        // Queries are not shown, and custom sources have no names, so two sources may have the same text.
        let shown = source.shown();
        let is_namesake = |remote: &&Arc<RemoteKeySet>| {
            remote
                .shown
                .strip_prefix(&*shown)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(" ("))
        };
        let shown: Arc<str> = match self.remotes().filter(is_namesake).count() {
            0 => shown.into(),
            namesakes => format!("{shown} ({})", namesakes + 1).into(),
        };
        // A key file is on disk itself, and with a fetch for each request no other keys are ever used.
        let snapshot_file = match (&defaults.snapshots, identity) {
            (Some(directory), Some(identity)) if timing.refresh != Refresh::Always => {
                let identity: Vec<&str> = identity.iter().map(String::as_str).collect();
                Some(directory.file(&self.name, &shown, &identity))
            }
            _ => None,
        };
        Ok(RemoteKeySet::new(Settings {
            metrics: SourceMetrics::of(&self.name, &shown, self.is_tenant()),
            provider: Arc::clone(&self.name),
            is_tenant: self.is_tenant(),
            source,
            token_file,
            policy,
            timing,
            shown,
            warnings: Arc::clone(warnings),
            changes: Arc::clone(&self.changes),
            snapshot_file,
        }))
    }

    /// Sets the configured keys that are used until a fetch succeeds. They stand in for fetched keys, so the
    /// same rules apply.
    fn set_initial_keys(
        &self,
        provider: &Provider,
        policy: KeyPolicy,
        defaults: &Defaults,
        warnings: &Warnings,
    ) -> Result<(), ConfigError> {
        let Some(Keys(initial)) = &provider.initial_keys else { return Ok(()) };
        let fault = |problem: &dyn fmt::Display| {
            Err(ConfigError::of_provider(&self.name, names::INITIAL_KEYS, problem))
        };
        let conflict = |problem: &str| {
            let error = ConfigError::of_provider(&self.name, names::INITIAL_KEYS, problem);
            Err(error.of_kind(ConfigErrorKind::Conflict))
        };
        let [keys::Source { form: Form::Inline(document), bearer_token_file: None }] =
            initial.as_slice()
        else {
            return fault(
                &"the initial keys are not inline; expected keys in one of the forms of text or JSON",
            );
        };
        if self.remotes().next().is_none() {
            return conflict("all keys are given inline, so there is nothing to wait for");
        }
        if self.remotes().any(|remote| remote.is_always_fetched()) {
            return conflict(
                "with a refresh of 0 every request fetches keys, so initial keys are never used",
            );
        }
        let keys = match parse_inline(document, &self.name, policy, warnings) {
            Ok(keys) => Arc::new(keys),
            Err(problem) => return fault(&problem),
        };
        for remote in self.remotes() {
            remote.begin_with(Arc::clone(&keys), &defaults.clock);
        }
        Ok(())
    }

    /// Returns whether the provider is a tenant.
    pub(crate) fn is_tenant(&self) -> bool {
        matches!(self.id, ProviderId::Tenant(_))
    }

    /// Returns the part of the provider that the claims of its tokens keep. It owns neither settings nor
    /// keys.
    pub(crate) fn accepted_by(&self) -> AcceptedBy {
        AcceptedBy {
            provider: self.id,
            name: Arc::clone(&self.name),
            requests: self.accepted_requests.clone(),
            rules: Arc::clone(&self.rules),
        }
    }

    /// Loads the keys that earlier processes have saved. Blocks.
    pub(crate) fn restore(&self, clock: &Clock) {
        self.remotes().for_each(|remote| remote.restore(clock));
    }

    /// Returns whether [`ResolvedProvider::restore`] has anything to read.
    pub(crate) fn has_snapshots(&self) -> bool {
        self.remotes().any(|remote| remote.snapshot_file.is_some())
    }

    /// Returns the sources whose keys are fetched.
    pub(crate) fn remotes(&self) -> impl Iterator<Item = &Arc<RemoteKeySet>> {
        self.keys.iter().filter_map(|keys| match keys {
            ProviderKeys::Inline(_) => None,
            ProviderKeys::Remote(remote) => Some(remote),
        })
    }

    /// Returns a receiver of key changes. None if the keys never change, or are fetched for every request, so
    /// that each request would be a change.
    #[cfg(feature = "websocket")]
    pub(crate) fn changes(&self) -> Option<watch::Receiver<()>> {
        let changes = self.remotes().any(|remote| !remote.is_always_fetched());
        changes.then(|| self.changes.subscribe())
    }

    /// Returns whether what has verified a token may be relied on now.
    pub(crate) fn still_verifies(&self, verified_by: &VerifiedBy, clock: &Clock) -> bool {
        match verified_by {
            VerifiedBy::Keys(key_set_id) => self.verifies_with(*key_set_id, clock),
            VerifiedBy::Introspection(introspected) => introspected.is_usable(clock),
            VerifiedBy::ApiKey(_) => false,
        }
    }

    /// Returns whether one of its sources has these keys, and they may be used now.
    fn verifies_with(&self, key_set_id: KeySetId, clock: &Clock) -> bool {
        self.keys.iter().any(|keys| match keys {
            ProviderKeys::Inline(keys) => keys.id() == key_set_id,
            ProviderKeys::Remote(remote) => match remote.usable(clock).as_deref() {
                Some(Some(snapshot)) => snapshot.keys.id() == key_set_id,
                _ => false,
            },
        })
    }

    /// Returns whether its tokens can be checked now without a fetch: a fetch of every source was attempted,
    /// and at least one has keys.
    pub(crate) fn is_ready(&self, clock: &Clock) -> bool {
        // A provider without keys introspects its tokens.
        let mut has_keys = self.keys.is_empty();
        let mut all_attempted = true;
        for keys in &self.keys {
            let (is_usable, was_attempted) = match keys {
                ProviderKeys::Inline(_) => (true, true),
                ProviderKeys::Remote(remote) if remote.is_always_fetched() => (false, false),
                ProviderKeys::Remote(remote) => {
                    let is_usable = remote.usable(clock).is_some();
                    (is_usable, is_usable || remote.state().gate.failing)
                }
            };
            has_keys |= is_usable;
            all_attempted &= was_attempted;
        }
        has_keys && all_attempted
    }
}

fn parse_inline(
    document: &str,
    provider: &str,
    policy: KeyPolicy,
    warnings: &Warnings,
) -> Result<KeySet, String> {
    let KeyDocument { keys, skipped } = KeyDocument::parse(document.as_bytes(), policy)
        .map_err(|error| error.with_hint_for(document).to_string())?;
    Skipped::log(&skipped, provider, &warnings.skipped);
    Ok(keys)
}

/// Returns the source to fetch from, and the identity that distinguishes its snapshot from those of the
/// provider's other sources. None: the source has no snapshot.
fn resolve(
    form: &Form,
    index: usize,
    provider: &Provider,
) -> Result<(Source, Option<Vec<String>>), String> {
    let allow_http = provider.dangerous_allow_http;
    let issuer = provider.issuers.first().map(String::as_str);
    Ok(match form {
        Form::Url(url) => {
            let url = KeyUrl::parse(url, allow_http).map_err(|error| error.to_string())?;
            let identity = vec!["url".to_owned(), url.url().to_string()];
            (Source::Url(url), Some(identity))
        }
        Form::Discover(at) => {
            // A provider of a SPIFFE trust domain may have no issuer.
            let issuer = issuer.ok_or(
                "discovery needs an `issuer`, which the document must name: set it, or give the URL of \
                 the trust domain's bundle",
            )?;
            let issuer = match at {
                None => Issuer::parse(issuer, allow_http).map_err(|error| {
                    format!(
                        "discovery is not possible at the issuer (see Keys::discover_at): {error}"
                    )
                }),
                Some(at) => Issuer::at(issuer, at, allow_http)
                    .map_err(|error| format!("discovery is not possible at this URL: {error}")),
            }?;
            let identity = vec![
                "discovery".to_owned(),
                issuer.as_str().to_owned(),
                issuer.url().url().to_string(),
            ];
            (Source::Issuer(issuer), Some(identity))
        }
        Form::File(path) => (Source::Custom(KeyFile::new(path.clone())), None),
        Form::Custom(source) => {
            let identity = vec!["custom".to_owned(), index.to_string()];
            (Source::Custom(Arc::clone(source)), Some(identity))
        }
        Form::Unreadable(problem) => return Err(problem.clone()),
        Form::Inline(_) => return Err("the keys are given inline".to_owned()),
    })
}

const NO_REFRESH: &str = "no key refresh is set: the first keys that are fetched stay in use permanently, and \
                          the provider's next rotation ends all access until a restart";

const NO_TOKEN_FILE: &str =
    "a bearer token file belongs to keys that are fetched by URL or discovery";

/// The name of inline keys in status and metrics.
pub(crate) const INLINE: &str = "inline";
