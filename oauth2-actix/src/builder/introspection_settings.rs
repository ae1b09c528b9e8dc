//! The providers that are asked about tokens.

use std::{collections::HashMap, sync::Arc};

use crate::{
    builder::OAuth2Builder,
    config::{
        error::{ConfigError, ConfigErrorKind, Faults},
        keys::Form,
        names,
        provider::Provider,
    },
    http::{client::Clients, url::KeyUrl},
    introspection::{Introspection, Introspector, Introspectors, Parts},
    keys::{
        discovery::{Issuer, IssuerEndpoint},
        fetcher::Fetchers,
    },
    outbound::{
        authentication::Authenticator,
        endpoint::{Endpoint, Location},
        thread::CallThread,
    },
    provider::{Defaults, ResolvedProvider},
    revocation::Revocations,
    token::lifetime::TimeLimits,
};

impl OAuth2Builder {
    /// Returns the faults of providers that are asked about tokens: which one is asked must be certain.
    pub(super) fn introspection_faults(&self) -> Faults {
        let mut faults = Faults::default();
        let mut by_prefix: HashMap<Option<&str>, &str> = HashMap::new();
        for (name, provider) in &self.providers {
            let Some(introspection) = &provider.introspection else { continue };
            let prefix = introspection.token_prefix.as_deref();
            if let Some(earlier) = by_prefix.insert(prefix, name) {
                let problem = match prefix {
                    None => format!(
                        "provider {earlier:?} has no prefix either, so that an opaque token could be of both: expected \
                         the prefixes of their tokens"
                    ),
                    Some(prefix) => {
                        format!("{prefix:?} is the prefix of provider {earlier:?} already")
                    }
                };
                let error = ConfigError::of_provider(name, names::INTROSPECTION_PREFIX, problem);
                faults.push(error.of_kind(ConfigErrorKind::Conflict));
            }
        }
        for (name, provider) in self.providers.iter().filter(|(_, it)| it.is_always_asked()) {
            let shares = |other: &Provider| {
                provider.issuers.iter().any(|issuer| other.issuers.contains(issuer))
            };
            let namesake = self.providers.iter().find(|(other, it)| other != name && shares(it));
            if let Some((other, _)) = namesake {
                let problem = format_args!(
                    "provider {other:?} has the same issuer, so that it is not certain how its JWTs are checked: expected \
                     one provider with all audiences"
                );
                let error = ConfigError::of_provider(name, names::ISSUER, problem);
                faults.push(error.of_kind(ConfigErrorKind::Conflict));
            }
        }
        faults
    }

    /// Returns whether requests can cause calls other than fetches of keys.
    pub(super) fn needs_calls(&self) -> bool {
        self.has_api_key_source()
            || self.providers.iter().any(|(_, provider)| {
                provider.introspection.is_some()
                    || provider.token_exchange.is_some()
                    || provider.status_list.is_some()
            })
    }

    /// Returns the endpoints of the providers that are asked about tokens, by the index of the provider.
    pub(super) fn introspection_endpoints(
        &self,
        defaults: &Defaults,
        faults: &mut Faults,
    ) -> HashMap<usize, Endpoint> {
        let mut endpoints = HashMap::new();
        for (index, (name, provider)) in self.providers.iter().enumerate() {
            let Some(introspection) = &provider.introspection else { continue };
            if faults.concern(name, names::ISSUER) {
                continue;
            }
            let endpoint = endpoint_of(name, provider, introspection, defaults);
            if let Some(Some(endpoint)) = faults.take(endpoint) {
                endpoints.insert(index, endpoint);
            }
        }
        endpoints
    }

    /// Returns the providers that are asked about tokens.
    pub(super) fn introspectors(
        &self,
        mut endpoints: HashMap<usize, Endpoint>,
        providers: &[Arc<ResolvedProvider>],
        time_limits: TimeLimits,
        revocations: Option<&Arc<Revocations>>,
        thread: Option<&Arc<CallThread>>,
        fetchers: Option<&Fetchers>,
    ) -> Option<Introspectors> {
        let thread = thread?;
        let mut all = Vec::new();
        for (index, (_, provider)) in self.providers.iter().enumerate() {
            let (Some(settings), Some(endpoint), Some(resolved)) =
                (&provider.introspection, endpoints.remove(&index), providers.get(index))
            else {
                continue;
            };
            let parts = Parts {
                provider: Arc::clone(resolved),
                issuers: provider.issuers.clone(),
                endpoint,
                is_always_asked: provider.is_always_asked(),
                time_limits,
                revocations: revocations.cloned(),
                thread: Arc::clone(thread),
                fetchers: fetchers.cloned(),
                clock: self.clock.clone(),
            };
            all.push(Arc::new(Introspector::new(settings, parts)));
        }
        let are_alone =
            self.tenants.is_none() && self.providers.iter().all(|(_, it)| it.is_always_asked());
        (!all.is_empty()).then(|| Introspectors::new(all, are_alone))
    }
}

/// Returns the endpoint of a provider. None without an authentication, which was reported.
fn endpoint_of(
    name: &str,
    provider: &Provider,
    introspection: &Introspection,
    defaults: &Defaults,
) -> Result<Option<Endpoint>, ConfigError> {
    let (Some(authentication), Some(issuer)) =
        (&introspection.authentication, provider.issuers.first())
    else {
        return Ok(None);
    };
    let of =
        |field: &'static str| move |problem: String| ConfigError::of_provider(name, field, problem);
    let location = match &introspection.endpoint {
        Some(url) => {
            Location::Url(url_of(provider, url).map_err(of(names::INTROSPECTION_ENDPOINT))?)
        }
        None => discovered(provider, issuer, IssuerEndpoint::Introspection)
            .map_err(of(names::INTROSPECTION_ENDPOINT))?,
    };
    let authenticator = Authenticator::new(authentication, issuer)
        .map_err(of(names::INTROSPECTION_AUTHENTICATION))?;
    let timeout = provider.fetch_timeout.unwrap_or(defaults.timeout);
    let clients: &Arc<Clients> = &defaults.clients;
    Endpoint::new(location, clients, authenticator, timeout, &defaults.clock)
        .map(Some)
        .map_err(of(names::INTROSPECTION_AUTHENTICATION))
}

/// Returns the URL of an endpoint that secrets are sent to.
pub(super) fn url_of(provider: &Provider, url: &str) -> Result<KeyUrl, String> {
    let url =
        KeyUrl::parse(url, provider.dangerous_allow_http).map_err(|error| error.to_string())?;
    if url.url().fragment().is_some() {
        return Err("the URL has a fragment".to_owned());
    }
    Ok(url)
}

/// Returns where the document of an issuer is that names an endpoint: where that of its keys is, or else below the
/// issuer.
pub(super) fn discovered(
    provider: &Provider,
    issuer: &str,
    endpoint: IssuerEndpoint,
) -> Result<Location, String> {
    let at = provider.keys.iter().find_map(|source| match &source.form {
        Form::Discover(Some(at)) => Some(at),
        _ => None,
    });
    let allow_http = provider.dangerous_allow_http;
    let issuer = match at {
        None => Issuer::parse(issuer, allow_http),
        Some(at) => Issuer::at(issuer, at, allow_http),
    };
    let issuer =
        issuer.map_err(|error| format!("discovery is not possible at the issuer: {error}"))?;
    Ok(Location::Discovered { issuer, endpoint, known: Default::default() })
}
