//! The settings for introspection.

use std::time::Duration;

use crate::config::{
    client_authentication::ClientAuthentication,
    error::{ConfigError, ConfigErrorKind, Faults},
    limits::{INTROSPECTION_CACHE, INTROSPECTION_CALLS, INTROSPECTION_NEGATIVE_CACHE},
    names,
};

/// Asks the provider whether a token is active
/// ([RFC 7662](https://www.rfc-editor.org/rfc/rfc7662)): for opaque tokens, and where a revoked token must be rejected
/// before it expires. See [`Provider::introspection`](crate::Provider::introspection).
///
/// ```
/// use std::time::Duration;
/// use oauth2_actix::{ClientAuthentication, OAuth2, Provider, introspection::Introspection};
///
/// let introspection = Introspection::at("https://login.example.com/introspect")
///     .authentication(ClientAuthentication::basic("orders-api", "a-secret-of-the-deployment"))
///     .cache(Duration::from_secs(30));
/// let provider = Provider::new()
///     .issuer("https://login.example.com")
///     .audience("orders")
///     .introspection(introspection);
/// let oauth2 = OAuth2::builder().provider("login", provider).build()?;
/// # Ok::<(), oauth2_actix::ConfigError>(())
/// ```
///
/// In serde `introspection`: a map of `endpoint`, `client_authentication`, `token_prefix`, `every_token`, `signed`,
/// `cache_seconds`, `negative_cache_seconds`, `max_calls` and `dangerous_without_audience`.
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use = "it does nothing until it is given to a provider"]
pub struct Introspection {
    /// None if the issuer's document names it.
    pub(crate) endpoint: Option<String>,
    pub(crate) authentication: Option<ClientAuthentication>,
    pub(crate) token_prefix: Option<String>,
    pub(crate) every_token: bool,
    pub(crate) signed: bool,
    pub(crate) cache: Option<Duration>,
    pub(crate) negative_cache: Option<Duration>,
    pub(crate) max_calls: Option<usize>,
    pub(crate) dangerous_without_audience: bool,
}

impl Introspection {
    /// Asks at this URL. It must be https, or http to a loopback host.
    pub fn at(url: impl Into<String>) -> Self {
        Self { endpoint: Some(url.into()), ..Self::default() }
    }

    /// Asks at the `introspection_endpoint` of the issuer's metadata document
    /// ([RFC 8414 §2](https://www.rfc-editor.org/rfc/rfc8414#section-2)), which is read before the first question, once a
    /// day, and after a failure. In serde, no `endpoint`.
    ///
    /// ```
    /// use oauth2_actix::{ClientAuthentication, introspection::Introspection};
    ///
    /// let introspection = Introspection::discover()
    ///     .authentication(ClientAuthentication::post("orders-api", "a-secret-of-the-deployment"));
    /// # drop(introspection);
    /// ```
    pub fn discover() -> Self {
        Self::default()
    }

    /// Sets how this API authenticates at the endpoint. Mandatory: an endpoint that answers anyone lets attackers
    /// try tokens ([RFC 7662 §2.1](https://www.rfc-editor.org/rfc/rfc7662#section-2.1)).
    pub fn authentication(mut self, authentication: ClientAuthentication) -> Self {
        self.authentication = Some(authentication);
        self
    }

    /// Sets the text that the opaque tokens of this provider begin with. Default: none. If several providers have
    /// introspection, all but one need a prefix, since no token is sent to a provider that has not issued it. The
    /// longest prefix that fits decides.
    ///
    /// ```
    /// use oauth2_actix::introspection::Introspection;
    ///
    /// let introspection = Introspection::discover().token_prefix("acme_at_");
    /// # drop(introspection);
    /// ```
    pub fn token_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.token_prefix = Some(prefix.into());
        self
    }

    /// Asks about JWTs of this issuer too, although the provider has keys. Default false: their signature is checked,
    /// and a revoked one is accepted until it expires. A provider without keys is asked about every token in any case.
    pub fn every_token(mut self, every_token: bool) -> Self {
        self.every_token = every_token;
        self
    }

    /// Requires signed answers ([RFC 9701](https://www.rfc-editor.org/rfc/rfc9701)). Default false. They are verified
    /// with the keys of the provider; `aud` must be the client id of this API, and `iat` at most 5 minutes old. For
    /// providers that sign what they answer for, such as under contract. Encrypted answers are not supported.
    pub fn signed(mut self, signed: bool) -> Self {
        self.signed = signed;
        self
    }

    /// Sets how long an answer for an active token is used. In serde `cache_seconds`. Default 60 s; at most 1 hour, and
    /// never beyond the token's `exp` ([RFC 7662 §4](https://www.rfc-editor.org/rfc/rfc7662#section-4)).
    ///
    /// A revoked token is accepted for this long, plus the time of the question. With zero, each request asks.
    pub fn cache(mut self, lifetime: Duration) -> Self {
        self.cache = Some(lifetime);
        self
    }

    /// Sets how long the rejection of a token is remembered. In serde `negative_cache_seconds`. Default 5 s; at most
    /// 60 s. At most 10,000 rejections are remembered. Long: a token that becomes active is rejected for this long.
    pub fn negative_cache(mut self, lifetime: Duration) -> Self {
        self.negative_cache = Some(lifetime);
        self
    }

    /// Sets how many questions may be under way at once. Default 64; from 1 to 1,024. Requests with other tokens get
    /// 503 meanwhile, and so do those beyond 1,024 that wait. It bounds what clients with invented tokens can cause at
    /// the provider.
    pub fn max_calls(mut self, calls: usize) -> Self {
        self.max_calls = Some(calls);
        self
    }

    /// Accepts tokens for which the answer names no audience.
    ///
    /// Dangerous: a token that the provider issued for another API is accepted here. Use it only where the provider has
    /// no other API. An answer that names audiences must still name one of the provider's. Default false.
    pub fn dangerous_without_audience(mut self, accept: bool) -> Self {
        self.dangerous_without_audience = accept;
        self
    }

    /// Returns the faults that can be found without the rest of the configuration. `has_keys`: the provider has keys.
    pub(crate) fn faults(&self, provider: Option<&str>, has_keys: bool) -> Faults {
        use ConfigErrorKind::{Conflict, Empty, Invalid, Missing};
        let mut faults = Faults::default();
        let mut fault = |field: &'static str, kind, problem: &str| {
            faults.push(ConfigError::new(provider, field, problem).of_kind(kind));
        };
        if self.authentication.is_none() {
            fault(
                names::INTROSPECTION_AUTHENTICATION,
                Missing,
                "missing: how this API authenticates at the endpoint is mandatory",
            );
        }
        match self.token_prefix.as_deref() {
            Some("") => {
                fault(names::INTROSPECTION_PREFIX, Empty, "must not be empty; expected no prefix");
            }
            Some(prefix)
                if !prefix
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte)) =>
            {
                fault(
                    names::INTROSPECTION_PREFIX,
                    Invalid,
                    "has a character that no token has; expected letters, digits and `-._~+/`",
                );
            }
            Some(prefix) if prefix.starts_with("ey") => fault(
                names::INTROSPECTION_PREFIX,
                Invalid,
                "begins as a JWT does; expected the prefix of opaque tokens, or `every_token` for JWTs",
            ),
            _ => {}
        }
        if self.every_token && !has_keys {
            fault(
                names::INTROSPECTION_EVERY_TOKEN,
                Conflict,
                "has no effect on a provider without keys, which is asked about every token: expected it to be left out",
            );
        }
        if self.signed && !has_keys {
            fault(
                names::INTROSPECTION_SIGNED,
                Conflict,
                "needs `keys` of the provider, which verify the answers: expected keys, and `every_token` if JWTs are \
                 to be asked about too",
            );
        }
        for (limit, value) in
            [(INTROSPECTION_CACHE, self.cache), (INTROSPECTION_NEGATIVE_CACHE, self.negative_cache)]
        {
            faults.take(limit.check_if_set(provider, value));
        }
        faults.take(INTROSPECTION_CALLS.check_if_set(provider, self.max_calls));
        faults
    }
}
