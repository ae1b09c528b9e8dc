//! The settings in code for API keys.

use crate::{
    api_keys::{ApiKeyClaims, ApiKeyHash, ApiKeys},
    builder::OAuth2Builder,
    config::{
        binding::Binding,
        error::{ConfigError, ConfigErrorKind, Faults},
        names,
    },
};

impl OAuth2Builder {
    /// Accepts API keys with a prefix, wherever a token may be sent, under a name of your choice that no provider has. Default:
    /// none.
    ///
    /// A token with the prefix is one of these keys or is rejected: it is neither validated as a JWT nor introspected.
    /// An unknown key is 401 `invalid_token`. [`Claims::provider`](crate::Claims::provider) returns the name; the claims
    /// are those of the key, and have no `iss`. Attributes, requirements, principals, WebSocket sessions, the cache and
    /// the [`deny_list`](Self::deny_list) work as with tokens. A policy may have API keys and no provider. In serde
    /// `api_keys`: a map of names to [`ApiKeys`].
    ///
    /// ```
    /// use oauth2_actix::{OAuth2Builder, api_keys::ApiKeyHash};
    ///
    /// let hash = ApiKeyHash::of("shop_live_4kHfY9yDTwq1bFQn0XqzNw3cE7sVJmR8aPdLgU2tKo5BiWxZ");
    /// let builder: OAuth2Builder = serde_json::from_value(serde_json::json!({
    ///     "api_keys": {
    ///         "shop-keys": {
    ///             "prefix": "shop_live_",
    ///             "keys": {
    ///                 "billing-job": {"hashes": [hash.to_string()], "claims": {"scope": "invoices:read"}},
    ///             },
    ///         },
    ///     },
    /// }))?;
    /// let oauth2 = builder.build()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `build()` fails if a name is given twice or is that of a provider; if a prefix is the beginning of another one, or
    /// of a [`token_prefix`](crate::introspection::Introspection::token_prefix), or the reverse, in any case; with
    /// [`fapi2`](Self::fapi2); where every provider requires bound tokens, unless
    /// [`dangerous_without_binding`](ApiKeys::dangerous_without_binding) is set; and with
    /// [`max_token_age`](Self::max_token_age), since keys are older than tokens.
    pub fn api_keys(mut self, name: impl Into<String>, keys: ApiKeys) -> Self {
        self.api_keys.push((name.into(), keys));
        self
    }

    /// Sets the [`source`](ApiKeys::source) of the API keys of this name, and keeps their other settings, which may be
    /// from serde.
    ///
    /// ```
    /// use std::convert::Infallible;
    /// use oauth2_actix::{OAuth2Builder, api_keys::ApiKeyHash};
    ///
    /// let builder: OAuth2Builder = toml::from_str(r#"api_keys.shop-keys.prefix = "shop_live_""#)?;
    /// let find = |_hash: ApiKeyHash| async { Ok::<_, Infallible>(None) };
    /// let oauth2 = builder.api_key_source("shop-keys", find).build()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `build()` fails if no API keys have this name: then the prefix is missing.
    pub fn api_key_source<F, A, E>(mut self, name: &str, find: F) -> Self
    where
        F: Fn(ApiKeyHash) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Option<ApiKeyClaims>, E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        match self.api_keys.iter_mut().find(|(known, _)| known == name) {
            Some((_, keys)) => *keys = std::mem::take(keys).source(find),
            None => self.api_keys.push((name.to_owned(), ApiKeys::default().source(find))),
        }
        self
    }

    /// Returns the faults of API keys: what a token is must be certain, and they are bound to nothing.
    pub(super) fn api_key_faults(&self) -> Faults {
        use ConfigErrorKind::{Conflict, Duplicate, Empty};
        let mut faults = Faults::default();
        let introspected = self.providers.iter().filter_map(|(name, provider)| {
            Some((name.as_str(), provider.introspection.as_ref()?.token_prefix.as_deref()?))
        });
        let introspected: Vec<_> = introspected.collect();
        for (index, (name, keys)) in self.api_keys.iter().enumerate() {
            let earlier = &self.api_keys[..index];
            if name.is_empty() {
                let problem = "the name of API keys is empty; expected one";
                faults.push(ConfigError::of_policy(names::API_KEYS, problem).of_kind(Empty));
            }
            let of_providers = self.providers.iter().map(|(name, _)| name);
            if earlier.iter().map(|(name, _)| name).chain(of_providers).any(|other| other == name) {
                let problem =
                    format_args!("{name:?} is the name of a provider or of other API keys already");
                faults.push(ConfigError::of_policy(names::API_KEYS, problem).of_kind(Duplicate));
            }
            faults.push_all(keys.faults(name));
            let earlier = earlier.iter().map(|(name, keys)| (name.as_str(), keys.prefix.as_str()));
            let other = earlier.chain(introspected.iter().copied()).find(|(_, other)| {
                !other.is_empty() && !keys.prefix.is_empty() && overlap(other, &keys.prefix)
            });
            let mut fault = |field: String, problem: &str| {
                faults.push(ConfigError::of_policy(field, problem).of_kind(Conflict));
            };
            if let Some((other, prefix)) = other {
                let problem = format!(
                    "{:?} and the prefix {prefix:?} of {other:?} begin alike, so that it is not certain what a token is: \
                     expected prefixes of which none is the beginning of another one",
                    keys.prefix
                );
                fault(format!("{}.{name}.{}", names::API_KEYS, names::PREFIX), &problem);
            }
            if self.requires_binding() && !keys.dangerous_without_binding {
                fault(
                    format!("{}.{name}", names::API_KEYS),
                    "each provider requires tokens that are bound to their client, and an API key is bound to nothing: \
                     expected no API keys, or `dangerous_without_binding`",
                );
            }
        }
        if !self.api_keys.is_empty() {
            let mut fault = |problem: &str| {
                faults.push(ConfigError::of_policy(names::API_KEYS, problem).of_kind(Conflict));
            };
            if self.fapi2 {
                fault(
                    "API keys are bearer tokens, and FAPI 2.0 §5.3.4 (5) has sender-constrained ones only: expected \
                     no API keys",
                );
            }
            if self.max_token_age.is_some() {
                fault(
                    "`max_token_age_seconds` would reject every API key, which has no `iat`: expected only one of both",
                );
            }
        }
        faults
    }

    /// Returns whether each provider requires tokens that are bound to their client.
    fn requires_binding(&self) -> bool {
        let is_required = [Binding::Required];
        !self.providers.is_empty()
            && self.tenants.is_none()
            && self.providers.iter().all(|(_, provider)| {
                is_required.contains(&provider.dpop)
                    || is_required.contains(&provider.certificate_bound)
            })
    }

    /// Returns whether API keys have a source, which is called on a thread of its own.
    pub(super) fn has_api_key_source(&self) -> bool {
        self.api_keys.iter().any(|(_, keys)| keys.source.is_some())
    }
}

/// Returns whether a prefix is the beginning of the other one, in any case.
fn overlap(one: &str, other: &str) -> bool {
    let length = one.len().min(other.len());
    match (one.get(..length), other.get(..length)) {
        (Some(one), Some(other)) => one.eq_ignore_ascii_case(other),
        // They are not ASCII, which is an error of its own.
        _ => false,
    }
}
