//! The providers with introspection.

use std::{collections::HashMap, sync::Arc};

use crate::{
    builder::{OAuth2Builder, endpoints::EndpointSettings},
    config::{
        error::{ConfigError, ConfigErrorKind, Faults},
        names,
        provider::Provider,
    },
    introspection::{Introspector, Introspectors, Parts},
    keys::{discovery::IssuerEndpoint, fetcher::Fetchers},
    outbound::{endpoint::Endpoint, thread::CallThread},
    provider::ResolvedProvider,
    revocation::Revocations,
    token::lifetime::TimeLimits,
};

impl OAuth2Builder {
    /// Returns the faults of providers with introspection: it must be certain which one introspects a token.
    pub(super) fn introspection_faults(&self) -> Faults {
        let mut faults = Faults::default();
        let mut by_prefix: HashMap<Option<&str>, &str> = HashMap::new();
        for (name, provider) in &self.providers {
            let Some(introspection) = &provider.introspection else { continue };
            let prefix = introspection.token_prefix.as_deref();
            if let Some(earlier) = by_prefix.insert(prefix, name) {
                let problem = match prefix {
                    None => format!(
                        "provider {earlier:?} has no prefix either, so that an opaque token could be of both; expected \
                         the prefixes of their tokens"
                    ),
                    Some(prefix) => {
                        format!(
                            "{prefix:?} is also the prefix of provider {earlier:?}; expected another"
                        )
                    }
                };
                let error = ConfigError::of_provider(name, names::INTROSPECTION_PREFIX, problem);
                faults.push(error.of_kind(ConfigErrorKind::Conflict));
            }
        }
        for (name, provider) in self.providers.iter().filter(|(_, it)| it.introspects_every_token())
        {
            let shares = |other: &Provider| {
                provider.issuers.iter().any(|issuer| other.issuers.contains(issuer))
            };
            let namesake = self.providers.iter().find(|(other, it)| other != name && shares(it));
            if let Some((other, _)) = namesake {
                let problem = format_args!(
                    "provider {other:?} has the same issuer, so that it is not certain how its JWTs are validated; expected \
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

    /// Returns the providers with introspection.
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
                introspects_every_token: provider.introspects_every_token(),
                time_limits,
                revocations: revocations.cloned(),
                thread: Arc::clone(thread),
                fetchers: fetchers.cloned(),
                clock: self.clock.clone(),
            };
            all.push(Arc::new(Introspector::new(settings, parts)));
        }
        let are_alone = self.tenants.is_none()
            && self.providers.iter().all(|(_, it)| it.introspects_every_token());
        (!all.is_empty()).then(|| Introspectors::new(all, are_alone))
    }
}

/// Returns what a provider says of its introspection endpoint.
pub(super) fn endpoint_settings(provider: &Provider) -> Option<EndpointSettings<'_>> {
    let introspection = provider.introspection.as_ref()?;
    Some(EndpointSettings {
        url: introspection.endpoint.as_deref(),
        authentication: introspection.authentication.as_ref(),
        endpoint: IssuerEndpoint::Introspection,
        url_field: names::INTROSPECTION_ENDPOINT,
        authentication_field: names::INTROSPECTION_AUTHENTICATION,
    })
}
