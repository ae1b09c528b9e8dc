//! The settings for introspection.

use std::time::Duration;

use crate::config::{
    client_authentication::ClientAuthentication,
    error::{ConfigError, ConfigErrorKind, Faults},
    limits::{INTROSPECTION_CACHE, INTROSPECTION_CALLS, INTROSPECTION_NEGATIVE_CACHE},
    names,
};
use crate::jose::compact::may_begin_a_jwt;

/// Token introspection: requests to the provider that ask whether a token is active
/// ([RFC 7662](https://www.rfc-editor.org/rfc/rfc7662)). For opaque tokens, and for APIs that must reject a revoked token
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
    /// Sets the URL of the introspection endpoint. It must be https, or http to a loopback host.
    ///
    /// ```
    /// use oauth2_actix::{ClientAuthentication, introspection::Introspection};
    ///
    /// let introspection = Introspection::at("https://login.example.com/introspect")
    ///     .authentication(ClientAuthentication::basic("orders-api", "a-secret-of-the-deployment"));
    /// # drop(introspection);
    /// ```
    ///
    /// # Errors
    ///
    /// `build()` fails if it is not such a URL, or has a user name, a password or a fragment.
    pub fn at(url: impl Into<String>) -> Self {
        Self { endpoint: Some(url.into()), ..Self::default() }
    }

    /// Discovers the endpoint: `introspection_endpoint` of the issuer's metadata document
    /// ([RFC 8414 §2](https://www.rfc-editor.org/rfc/rfc8414#section-2)). The document is read before the first request and
    /// then once a day. It is read again if the endpoint cannot be reached or responds with 404, 405 or 410, at most once a
    /// minute. If it cannot be read, the last URL stays in use. In serde, no `endpoint`.
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

    /// Sets how this API authenticates at the endpoint. Mandatory: an unauthenticated endpoint would let attackers
    /// scan for valid tokens ([RFC 7662 §2.1](https://www.rfc-editor.org/rfc/rfc7662#section-2.1)).
    pub fn authentication(mut self, authentication: ClientAuthentication) -> Self {
        self.authentication = Some(authentication);
        self
    }

    /// Sets the prefix of the opaque tokens of this provider. Default: none. If several providers have introspection, all
    /// but one need a prefix, since no token is sent to a provider that has not issued it. If several prefixes match, the
    /// longest is used. A JWT never counts as an opaque token.
    ///
    /// ```
    /// use oauth2_actix::introspection::Introspection;
    ///
    /// let introspection = Introspection::discover().token_prefix("acme_at_");
    /// # drop(introspection);
    /// ```
    ///
    /// # Errors
    ///
    /// `build()` fails if it is empty, has a character that no bearer token has, or may be the beginning of a JWT.
    pub fn token_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.token_prefix = Some(prefix.into());
        self
    }

    /// Introspects JWTs of this issuer too, although the provider has keys. Default false: their signature is verified,
    /// and a revoked JWT is accepted until it expires. A provider without keys introspects every token in any case.
    ///
    /// ```
    /// use oauth2_actix::introspection::Introspection;
    ///
    /// let introspection = Introspection::discover().every_token(true);
    /// # drop(introspection);
    /// ```
    pub fn every_token(mut self, every_token: bool) -> Self {
        self.every_token = every_token;
        self
    }

    /// Requires signed introspection responses ([RFC 9701](https://www.rfc-editor.org/rfc/rfc9701)). Default false. For
    /// providers that sign responses, for example for non-repudiation. Encrypted responses are not supported.
    ///
    /// The signature is verified with the keys of the provider. `aud` must be the client id of this API. `iat` may differ
    /// from the time of this process by the [leeway](crate::OAuth2Builder::leeway), or by 60 s if that is longer.
    ///
    /// # Errors
    ///
    /// `build()` fails if the provider has no [`keys`](crate::Provider::keys).
    pub fn signed(mut self, signed: bool) -> Self {
        self.signed = signed;
        self
    }

    /// Sets how long the response for an active token is cached. In serde `cache_seconds`. Default 60 s; at most 1 hour,
    /// and never beyond the token's `exp` ([RFC 7662 §4](https://www.rfc-editor.org/rfc/rfc7662#section-4)).
    ///
    /// A revoked token is accepted for this long, plus the duration of the introspection request. With zero, responses are
    /// not cached: concurrent requests with the same token still share one introspection request, and a live session or
    /// stream is introspected every 8 to 10 s.
    pub fn cache(mut self, lifetime: Duration) -> Self {
        self.cache = Some(lifetime);
        self
    }

    /// Sets how long the rejection of a token is cached. In serde `negative_cache_seconds`. Default 5 s; at most 60 s. At
    /// most 10,000 rejections are cached. A token that becomes active is still rejected for up to this time.
    ///
    /// ```
    /// use std::time::Duration;
    /// use oauth2_actix::introspection::Introspection;
    ///
    /// let introspection = Introspection::discover().negative_cache(Duration::from_secs(2));
    /// # drop(introspection);
    /// ```
    pub fn negative_cache(mut self, lifetime: Duration) -> Self {
        self.negative_cache = Some(lifetime);
        self
    }

    /// Sets the maximum number of concurrent introspection requests. Default 64; from 1 to 1,024. Further ones wait in a
    /// queue of 1,024, for at most 5 s. A request beyond the queue or this time gets 503. It bounds the load that clients
    /// with invented tokens can cause at the provider.
    ///
    /// ```
    /// use oauth2_actix::introspection::Introspection;
    ///
    /// let introspection = Introspection::discover().max_calls(16);
    /// # drop(introspection);
    /// ```
    pub fn max_calls(mut self, calls: usize) -> Self {
        self.max_calls = Some(calls);
        self
    }

    /// Accepts tokens whose introspection response has no audience.
    ///
    /// Dangerous: a token that the provider issued for another API is accepted here. Use it only where the provider has
    /// no other API. A response with audiences must still contain one of the provider's. Default false.
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
                "missing; expected how this API authenticates at the endpoint",
            );
        }
        match self.token_prefix.as_deref() {
            Some("") => {
                fault(
                    names::INTROSPECTION_PREFIX,
                    Empty,
                    "is empty; expected a prefix, or no such setting",
                );
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
            Some(prefix) if may_begin_a_jwt(prefix) => fault(
                names::INTROSPECTION_PREFIX,
                Invalid,
                "may be the beginning of a JWT; expected the prefix of opaque tokens, or `every_token` for JWTs",
            ),
            _ => {}
        }
        if self.every_token && !has_keys {
            fault(
                names::INTROSPECTION_EVERY_TOKEN,
                Conflict,
                "has no effect on a provider without keys, which introspects every token; expected no such setting",
            );
        }
        if self.signed && !has_keys {
            fault(
                names::INTROSPECTION_SIGNED,
                Conflict,
                "the provider has no `keys`, which verify signed responses; expected keys, and `every_token` to introspect \
                 JWTs too",
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
