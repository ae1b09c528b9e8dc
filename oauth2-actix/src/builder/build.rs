//! The checks of all settings, and the assembly of the policy.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    fmt,
    sync::{Arc, atomic::AtomicBool},
};

use crate::{
    access::report::ScopeCounts,
    api_keys::{ApiKeySets, Parts},
    builder::{
        OAuth2Builder, deserialize::nearest, exchange_settings, introspection_settings,
        oauth2::OAuth2, startup,
    },
    config::{
        error::{ConfigError, ConfigErrorKind, Faults},
        limits::{
            CHECK_TIMEOUT, COOLDOWN, FETCH_TIMEOUT, KEY_REFRESH, LEEWAY, MAX_TOKEN_LENGTH,
            PRINCIPAL_LIFETIME, STALE_WINDOW, TOKEN_AGE,
        },
        missing_token::MissingToken,
        names::{self, PROVIDERS},
    },
    error::{challenge::SEARCHED, response::DEFAULT_REALM},
    outbound::thread::CallThread,
    policy::{
        Policy, in_order,
        principal::{DEFAULT_PRINCIPAL_LIFETIME, PrincipalSource},
    },
    provider::{
        Defaults, ResolvedProvider,
        background::{self, KeyThread},
    },
    public::{HiddenRoutes, PublicPaths},
    request::token_source::TokenSources,
    token::{cache::VerifiedTokens, lifetime::TimeLimits},
    util::telemetry,
};

impl OAuth2Builder {
    /// Checks all settings and builds the middleware. Does not wait for keys, and needs no async runtime.
    ///
    /// If a [refresh](Self::key_refresh), [initial keys](crate::Provider::initial_keys) or a
    /// [snapshot](Self::key_snapshot) is set, the first fetch starts now, in the background;
    /// otherwise when keys are first needed. A first fetch that fails is retried until it succeeds. If there
    /// is anything to fetch, a thread is started for it; it ends with the last clone.
    ///
    /// Call it once, outside the closure of `HttpServer::new`: that closure runs on each worker, and each
    /// would have its own keys and cache.
    ///
    /// Logs one line at info (target `oauth2_actix`) with the providers and the number of public
    /// paths and `#[public]` routes, and one for each provider whose id_tokens would be accepted as
    /// access tokens.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with every fault, each with the provider and the setting: something missing, empty,
    /// contradictory or duplicate; a value outside its range; a key URL that is not https; keys of which none
    /// is usable; a public path that can never match; no system resources for the thread or the HTTP client.
    pub fn build(self) -> Result<OAuth2, ConfigError> {
        let mut faults = Faults::default();
        if self.providers.is_empty() && self.tenants.is_none() && self.api_keys.is_empty() {
            let problem = "at least one provider is required, or `api_keys`";
            faults
                .push(ConfigError::of_policy(PROVIDERS, problem).of_kind(ConfigErrorKind::Missing));
        }
        faults.push_all(self.faults());
        let builder = self.with_defaults_of_fapi2();
        builder.assemble(faults)
    }

    /// Builds the policy of settings whose faults were looked for.
    fn assemble(self, mut faults: Faults) -> Result<OAuth2, ConfigError> {
        telemetry::describe();
        let defaults = self.defaults(&mut faults);
        let cache = faults.take(self.token_cache.unwrap_or_default().limits());
        if self.tenants.is_some() {
            faults.take(defaults.check_for_tenants());
        }
        let (providers, by_issuer) = self.resolve(&defaults, &mut faults);
        let by_trust_domain = self.by_trust_domain();
        let dpop = self.dpop_checks(&defaults, &mut faults);
        let certificate_proxy = self
            .forwarded_certificate
            .as_ref()
            .and_then(|forwarded| faults.take(forwarded.resolve()));
        let endpoints =
            self.endpoints(introspection_settings::endpoint_settings, &defaults, &mut faults);
        let exchange_endpoints =
            self.endpoints(exchange_settings::endpoint_settings, &defaults, &mut faults);
        faults.into_result()?;
        let public = self.public().unwrap_or_default();
        let (resources, comparison) = self.protected_resources(&defaults);
        let rules = Arc::clone(&defaults.rules);
        let token_sources = TokenSources { dpop: dpop.is_some(), ..self.token_sources.clone() };
        let principal = self.principal.clone().map(|callback| PrincipalSource {
            callback,
            lifetime: self.principal_lifetime.unwrap_or(DEFAULT_PRINCIPAL_LIFETIME),
        });

        let (clients, timeout) = (Arc::clone(&defaults.clients), defaults.timeout);
        background::warn_on_worker();
        let calls = self.needs_calls().then(CallThread::start).transpose().map_err(|error| {
            let problem = format_args!("the thread that calls providers cannot start: {error}");
            ConfigError::of_policy(PROVIDERS, problem).of_kind(ConfigErrorKind::System)
        })?;
        let calls = calls.map(Arc::new);
        let revocations = self.revocations()?;
        let has_remote = providers.iter().any(|provider| provider.remotes().next().is_some());
        let keys = if has_remote || self.tenants.is_some() {
            let of_keys = self.api_keys.iter().map(|(name, _)| name.clone());
            let names =
                self.providers.iter().map(|(name, _)| name.clone()).chain(of_keys).collect();
            let tenants = self.tenants.clone().map(|tenants| (tenants, names));
            Some(KeyThread::start(defaults, tenants, self.clock.clone()).map_err(|error| {
                let problem = format_args!("the thread that fetches keys cannot start: {error}");
                ConfigError::of_policy(PROVIDERS, problem).of_kind(ConfigErrorKind::System)
            })?)
        } else {
            None
        };
        let receivers = self.receivers(&providers, revocations.as_ref(), keys.as_ref());
        if let Some(keys) = &keys {
            providers.iter().for_each(|provider| keys.start_fetching(provider));
        }
        let time_limits = TimeLimits { leeway: self.leeway, max_age: self.max_token_age };
        let introspectors = self.introspectors(
            endpoints,
            &providers,
            time_limits,
            revocations.as_ref(),
            calls.as_ref(),
            keys.as_ref().map(|keys| &keys.fetchers),
        );
        let api_keys = (!self.api_keys.is_empty()).then(|| {
            let parts = Parts {
                rules: Arc::clone(&rules),
                requirements: self.requirements.clone(),
                time_limits,
                revocations: revocations.clone(),
                thread: calls.clone(),
                clock: self.clock.clone(),
            };
            ApiKeySets::new(&self.api_keys, &parts)
        });
        let fetchers = keys.as_ref().map(|keys| &keys.fetchers);
        let status_lists =
            self.status_lists(&providers, &clients, timeout, calls.as_ref(), fetchers);
        let exchangers = self.exchangers(exchange_endpoints, calls.as_ref());
        startup::log(&self.providers, &self.public_paths, self.tenants.is_some());
        if self.fapi2 && !self.verifies_revocation_status() {
            startup::warn_of_revocation_status();
        }
        let policy = Arc::new(Policy {
            providers,
            issuers: in_order(&by_issuer),
            by_issuer,
            by_trust_domain,
            time_limits,
            max_token_length: self.max_token_length.unwrap_or(DEFAULT_MAX_TOKEN_LENGTH),
            token_sources: token_sources.if_configured(),
            realm: self.realm.unwrap_or_else(|| DEFAULT_REALM.to_owned()),
            missing_token: self.missing_token.unwrap_or(if resources.is_empty() && !self.fapi2 {
                MissingToken::BadRequest
            } else {
                MissingToken::Unauthorized
            }),
            public,
            decides_further: principal.is_some() || resources.are_several() || dpop.is_some(),
            certificate_proxy,
            dpop,
            resources,
            comparison,
            rules,
            principal,
            api_keys,
            introspectors,
            exchangers,
            scope_counts: self.access_report.then(ScopeCounts::default),
            verified: cache.flatten().map(|(entries, bytes)| VerifiedTokens::new(entries, bytes)),
            revocations,
            receivers,
            status_lists,
            on_rejection: self.on_rejection,
            clock: self.clock,
            keys,
            preflight_warned: AtomicBool::new(false),
            documents_checked: AtomicBool::new(false),
            hidden_routes: HiddenRoutes::default(),
            routes_all: self.route_before_rejection,
        });
        if let Some(introspectors) = &policy.introspectors {
            // The policy owns them.
            let policy = Arc::downgrade(&policy);
            introspectors.on_active(move |claims| {
                if let Some(policy) = policy.upgrade() {
                    policy.remember(claims);
                }
            });
        }
        if let Some(api_keys) = &policy.api_keys {
            let policy = Arc::downgrade(&policy);
            api_keys.on_found(move |claims| {
                if let Some(policy) = policy.upgrade() {
                    policy.remember(claims);
                }
            });
        }
        Ok(OAuth2(policy))
    }

    /// Returns every fault of the settings that can be found without the keys and the system: first those of
    /// the policy, then those of the providers in turn.
    pub(crate) fn faults(&self) -> Faults {
        use ConfigErrorKind::{Conflict, Duplicate, Empty, Unknown};
        let mut faults = Faults::default();
        if let Err(unusable) = self.public() {
            for (path, problem) in unusable {
                let problem = format_args!("{path:?}: {problem}");
                faults.push(ConfigError::of_policy(names::PUBLIC_PATHS, problem));
            }
        }
        for (limit, value) in [
            (KEY_REFRESH, self.key_refresh),
            (LEEWAY, Some(self.leeway)),
            (TOKEN_AGE, self.max_token_age),
            (STALE_WINDOW, self.stale_window),
            (COOLDOWN, self.unknown_key_cooldown),
            (FETCH_TIMEOUT, self.fetch_timeout),
            (CHECK_TIMEOUT, self.check_timeout),
            (PRINCIPAL_LIFETIME, self.principal_lifetime),
        ] {
            faults.take(limit.check_if_set(None, value));
        }
        match self.realm.as_deref() {
            Some("") => {
                faults
                    .push(ConfigError::of_policy(names::REALM, "must not be empty").of_kind(Empty));
            }
            Some(realm) if !realm.bytes().all(|byte| (b' '..=b'~').contains(&byte)) => {
                faults.push(ConfigError::of_policy(names::REALM, "must be printable ASCII"));
            }
            Some(realm) => {
                let realm = realm.to_ascii_lowercase();
                if let Some(name) = SEARCHED.iter().find(|name| realm.contains(*name)) {
                    let problem = format_args!(
                        "must not contain `{name}`, since some clients search the challenge for it"
                    );
                    faults.push(ConfigError::of_policy(names::REALM, problem));
                }
            }
            None => {}
        }
        faults.take(MAX_TOKEN_LENGTH.check_if_set(None, self.max_token_length));
        faults.push_all(self.access_faults());
        faults.push_all(self.resource_faults());
        faults.push_all(self.possession_faults());
        faults.push_all(self.introspection_faults());
        faults.push_all(self.fapi2_faults());
        faults.push_all(self.revocation_faults());
        faults.push_all(self.logout_faults());
        faults.push_all(self.api_key_faults());
        faults.take(self.token_sources.check());
        if let Some(tenants) = &self.tenants {
            faults.take(tenants.check());
        }
        for (name, interval) in &self.key_refresh_of {
            let of_provider = |problem: &dyn fmt::Display| {
                ConfigError::of_provider(name, names::KEY_REFRESH_MINUTES, problem)
            };
            match self.providers.iter().find(|(known, _)| known == name) {
                Some((_, provider)) if provider.key_refresh.is_some() => {
                    let problem = "is set twice: inside the provider and beside `providers`";
                    faults.push(of_provider(&problem).of_kind(Conflict));
                }
                Some(_) => {
                    faults.take(KEY_REFRESH.check(Some(name), *interval));
                }
                None => {
                    let names = self.providers.iter().map(|(name, _)| name.as_str());
                    let hint = nearest(name, names)
                        .map(|meant| format!(", did you mean {meant:?}?"))
                        .unwrap_or_default();
                    let problem = format_args!("no provider has this name{hint}");
                    faults.push(of_provider(&problem).of_kind(Unknown));
                }
            }
        }
        let mut names = HashSet::new();
        let mut accepted = HashMap::new();
        let mut trust_domains = HashMap::new();
        for (name, provider) in &self.providers {
            if !names.insert(name) {
                let error = ConfigError::of_provider(name, PROVIDERS, "duplicate provider name");
                faults.push(error.of_kind(Duplicate));
                continue;
            }
            let mut own = provider.faults(Some(name), !self.resources.is_empty());
            let namesake = self
                .providers
                .iter()
                .map(|(other, _)| other)
                .find(|other| *other != name && other.eq_ignore_ascii_case(name));
            if let Some(other) = namesake {
                own.explain_missing(format_args!(
                    "provider {other:?} differs in case only; names from environment variables are in \
                     lower case"
                ));
            }
            faults.push_all(own);
            if let Some(trust_domain) = &provider.spiffe_trust_domain
                && let Some(earlier) = trust_domains.insert(trust_domain, name)
            {
                let problem = format_args!(
                    "{trust_domain:?} is the trust domain of provider {earlier:?} already: give one \
                     provider both audiences, and both sources as a list in `keys`"
                );
                let error = ConfigError::of_provider(name, names::SPIFFE_TRUST_DOMAIN, problem);
                faults.push(error.of_kind(Conflict));
            }
            let pairs = provider.issuers.iter().flat_map(|issuer| {
                provider.audiences.iter().map(move |audience| (issuer, audience))
            });
            for (issuer, audience) in pairs {
                let claim = provider.audience_claim_name();
                let Some(earlier) = accepted.insert((issuer, audience, claim), name) else {
                    continue;
                };
                let error = |problem: &dyn fmt::Display| {
                    ConfigError::of_provider(name, names::AUDIENCE, problem)
                };
                faults.push(if earlier == name {
                    let problem =
                        format_args!("{audience:?} or the issuer {issuer:?} is listed twice");
                    error(&problem).of_kind(Duplicate)
                } else {
                    let problem = format_args!(
                        "tokens of {issuer:?} for {audience:?} are accepted by provider {earlier:?} \
                         already: give one provider both sources, as a list in `keys`"
                    );
                    error(&problem).of_kind(Conflict)
                });
            }
        }
        faults
    }

    /// Returns the index of the provider of each SPIFFE trust domain.
    fn by_trust_domain(&self) -> HashMap<String, usize> {
        let providers = self.providers.iter().enumerate();
        providers
            .filter_map(|(index, (_, provider))| {
                Some((provider.spiffe_trust_domain.clone()?, index))
            })
            .collect()
    }

    fn public(&self) -> Result<PublicPaths, Vec<(&str, Cow<'static, str>)>> {
        PublicPaths::new(self.public_paths.iter().map(String::as_str))
    }

    /// Resolves the providers and their keys, and the indexes of the providers of each issuer.
    fn resolve(
        &self,
        defaults: &Defaults,
        faults: &mut Faults,
    ) -> (Vec<Arc<ResolvedProvider>>, HashMap<String, Vec<usize>>) {
        let mut providers = Vec::new();
        let mut by_issuer: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, (name, provider)) in self.providers.iter().enumerate() {
            let mut provider = provider.clone();
            provider.key_refresh =
                provider.key_refresh.or_else(|| self.key_refresh_of.get(name).copied());
            // The location of discovery depends on the issuer.
            if !faults.concern(name, names::ISSUER) {
                match ResolvedProvider::new(index, name, &provider, defaults) {
                    Ok(policy) => providers.push(Arc::new(policy)),
                    Err(error) => faults.push_uncovered(error.into()),
                }
            }
            for issuer in provider.issuers {
                by_issuer.entry(issuer).or_default().push(index);
            }
        }
        (providers, by_issuer)
    }
}

const DEFAULT_MAX_TOKEN_LENGTH: usize = 16 * 1024;
