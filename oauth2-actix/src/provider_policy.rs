//! One provider of the finished policy: what was configured, checked, and its keys.

use std::{fmt, sync::Arc, time::Duration};

use crate::{
    BuildError, Keys, Provider,
    algorithm::AlgorithmSet,
    clock::Clock,
    discovery::Issuer,
    fetch::causes,
    http_client::Clients,
    jwk::{Budget, KeyPolicy, Origin},
    key_form::{KeyDocument, Skipped},
    key_set::{Generation, KeySet},
    key_source::KeyFile,
    key_url::KeyUrl,
    keys::Form,
    object::Object,
    remote_keys::{Refresh, RemoteKeys, Source, Timing},
    throttle::Warnings,
    validation,
    verifier::CryptoLibrary,
};

/// One provider of the policy.
#[derive(Debug)]
pub(crate) struct ProviderPolicy {
    pub(crate) name: Arc<str>,
    pub(crate) audiences: Vec<String>,
    pub(crate) audience_claim: String,
    pub(crate) algorithms: AlgorithmSet,
    pub(crate) require_at_jwt: bool,
    /// Whether it was looked up.
    pub(crate) is_tenant: bool,
    pub(crate) keys: ProviderKeys,
}

#[derive(Debug)]
pub(crate) enum ProviderKeys {
    /// Given inline.
    Inline(KeySet),
    Remote(Arc<RemoteKeys>),
}

/// What a policy sets for the keys of all its providers.
#[derive(Clone, Debug)]
pub(crate) struct Defaults {
    pub(crate) key_refresh: Option<Duration>,
    pub(crate) stale_window: Option<Duration>,
    pub(crate) cooldown: Duration,
    pub(crate) timeout: Duration,
    pub(crate) clients: Arc<Clients>,
    pub(crate) crypto: CryptoLibrary,
    /// Strangers cause lookups, and providers that come and go would each have a rate of their own.
    pub(crate) tenant_warnings: Arc<Warnings>,
}

impl Defaults {
    /// What tenants will need is seen when the policy is built, not when they come.
    pub(crate) fn check_for_tenants(&self) -> Result<(), BuildError> {
        let timing = timing("tenants", &Provider::new(), self)?;
        if timing.refresh == Refresh::Never {
            tracing::warn!(target: "oauth2_actix", provider = "tenants", "{NO_REFRESH}");
        }
        self.clients.prepare().map_err(|error| {
            let causes = causes(&error);
            BuildError::of_policy("tenants", format_args!("no HTTP client for them: {causes}"))
        })
    }
}

impl ProviderPolicy {
    /// Checks a provider that is known from the start. Nothing is fetched yet.
    pub(crate) fn new(
        name: &str,
        provider: &Provider,
        defaults: &Defaults,
    ) -> Result<Self, BuildError> {
        let policy = Self::build(name, provider, defaults, Arc::new(Warnings::new()), false)?;
        // The other sources say themselves when their keys change, or may.
        if let Some(remote) = policy.remote()
            && remote.timing.refresh == Refresh::Never
            && !matches!(remote.source, Source::Custom(_))
        {
            tracing::warn!(target: "oauth2_actix", provider = name, "{NO_REFRESH}");
        }
        Ok(policy)
    }

    /// Checks a provider that was looked up.
    pub(crate) fn of_tenant(
        name: &str,
        provider: &Provider,
        defaults: &Defaults,
    ) -> Result<Self, BuildError> {
        Self::build(name, provider, defaults, Arc::clone(&defaults.tenant_warnings), true)
    }

    fn build(
        name: &str,
        provider: &Provider,
        defaults: &Defaults,
        warnings: Arc<Warnings>,
        is_tenant: bool,
    ) -> Result<Self, BuildError> {
        provider.check(name)?;
        let fault = |problem: &dyn fmt::Display| BuildError::of_provider(name, "keys", problem);
        let algorithms = provider.algorithm_set();
        let budget = if is_tenant { Budget::Tenant } else { Budget::Provider };
        let key_policy = |origin| {
            let (allowed, crypto) = (algorithms, defaults.crypto);
            KeyPolicy { allowed, origin, crypto, spiffe: false, budget }
        };
        let Some(Keys(form)) = &provider.keys else { return Err(fault(&"they are missing")) };
        let keys = match form {
            Form::Inline(document) => {
                if provider.key_refresh.is_some() {
                    return Err(BuildError::of_provider(
                        name,
                        "key_refresh_minutes",
                        "its keys are given inline, so there is nothing to refresh",
                    ));
                }
                let policy = key_policy(Origin::Inline);
                let KeyDocument { keys, skipped } =
                    KeyDocument::parse(document.as_bytes(), policy).map_err(|e| fault(&e))?;
                Skipped::log(&skipped, name, &warnings.skipped);
                ProviderKeys::Inline(keys)
            }
            form => {
                if let Some(hmac) = algorithms.iter().find(|algorithm| algorithm.is_symmetric()) {
                    return Err(BuildError::of_provider(
                        name,
                        "algorithms",
                        format_args!("{hmac} needs an inline secret, not keys from elsewhere"),
                    ));
                }
                let source = source(form, provider).map_err(|problem| fault(&problem))?;
                let policy = key_policy(Origin::Fetched);
                let timing = timing(name, provider, defaults)?;
                // Not at the first request: what is wrong with a client is seen at once.
                let asked = match &source {
                    Source::Url(url) => Some(url),
                    Source::Issuer(issuer) => Some(issuer.url()),
                    Source::Custom(_) => None,
                };
                if let Some(url) = asked {
                    defaults.clients.client(url).map_err(|error| {
                        fault(&format_args!("no HTTP client for them: {}", causes(&error)))
                    })?;
                }
                ProviderKeys::Remote(Arc::new(RemoteKeys::new(
                    name.into(),
                    source,
                    policy,
                    timing,
                    warnings,
                )))
            }
        };
        Ok(Self {
            name: name.into(),
            audiences: provider.audiences.clone(),
            audience_claim: provider.audience_claim_name().to_owned(),
            algorithms,
            require_at_jwt: provider.require_at_jwt,
            is_tenant,
            keys,
        })
    }

    /// Its keys, if they are fetched.
    pub(crate) fn remote(&self) -> Option<&Arc<RemoteKeys>> {
        match &self.keys {
            ProviderKeys::Inline(_) => None,
            ProviderKeys::Remote(remote) => Some(remote),
        }
    }

    /// Whether the token is for one of its audiences.
    pub(crate) fn names_audience(&self, claims: &Object) -> bool {
        validation::names_audience(claims, &self.audience_claim, &self.audiences)
    }

    /// Whether no keys at hand are fresh enough for it.
    pub(crate) fn wants_fresh_keys(&self) -> bool {
        self.remote().is_some_and(|remote| remote.is_always_fetched())
    }

    /// Whether its keys are these, and may be used now.
    pub(crate) fn verifies_with(&self, generation: Generation, clock: &Clock) -> bool {
        match &self.keys {
            ProviderKeys::Inline(keys) => keys.generation() == generation,
            ProviderKeys::Remote(remote) => match remote.usable(clock).as_deref() {
                Some(Some(snapshot)) => snapshot.keys.generation() == generation,
                _ => false,
            },
        }
    }
}

fn source(form: &Form, provider: &Provider) -> Result<Source, String> {
    let allow_http = provider.dangerous_allow_http;
    Ok(match form {
        Form::Url(url) => {
            Source::Url(KeyUrl::parse(url, allow_http).map_err(|error| error.to_string())?)
        }
        Form::Discover => {
            // `check` has seen that there is one.
            let issuer = provider.issuers.first().map(String::as_str).unwrap_or_default();
            Source::Issuer(Issuer::parse(issuer, allow_http).map_err(|error| error.to_string())?)
        }
        Form::File(path) => Source::Custom(KeyFile::new(path.clone())),
        Form::Source(source) => Source::Custom(Arc::clone(source)),
        Form::Inline(_) => return Err("they are given inline".to_owned()),
    })
}

fn timing(name: &str, provider: &Provider, defaults: &Defaults) -> Result<Timing, BuildError> {
    let refresh = match provider.key_refresh.or(defaults.key_refresh) {
        None => Refresh::Never,
        Some(Duration::ZERO) => Refresh::Always,
        Some(interval) if (MIN_REFRESH..=MAX_REFRESH).contains(&interval) => {
            Refresh::Every(interval)
        }
        Some(_) => {
            return Err(BuildError::of_provider(
                name,
                "key_refresh_minutes",
                "it is neither 0 (for every request) nor between 1 s and 365 days",
            ));
        }
    };
    let interval = match refresh {
        Refresh::Every(interval) => interval,
        Refresh::Never | Refresh::Always => Duration::ZERO,
    };
    let stale_window = match defaults.stale_window {
        None => DEFAULT_STALE_WINDOW.max(interval * 2),
        Some(window) if window >= interval => window,
        Some(_) => {
            return Err(BuildError::of_provider(
                name,
                "stale_window_minutes",
                "it is shorter than the refresh interval, so keys would go stale before they are \
                 fetched again",
            ));
        }
    };
    Ok(Timing { refresh, stale_window, cooldown: defaults.cooldown, timeout: defaults.timeout })
}

const NO_REFRESH: &str = "no key refresh is set: the keys fetched first stay for good, and the \
                          provider's next rotation ends all access until a restart";
const MIN_REFRESH: Duration = Duration::from_secs(1);
const MAX_REFRESH: Duration = Duration::from_secs(365 * 24 * 60 * 60);
const DEFAULT_STALE_WINDOW: Duration = Duration::from_secs(24 * 60 * 60);
