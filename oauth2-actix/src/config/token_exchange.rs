//! The settings for token exchange.

use crate::config::{
    client_authentication::ClientAuthentication,
    error::{ConfigError, ConfigErrorKind, Faults},
    limits::{EXCHANGE_CALLS, EXCHANGE_ENTRIES},
    names,
};

/// Exchanges tokens of clients for tokens that this API may send to other services
/// ([RFC 8693](https://www.rfc-editor.org/rfc/rfc8693)). See [`OAuth2::exchange`](crate::OAuth2::exchange).
///
/// ```
/// # use oauth2_actix::{Algorithm, testing::SigningKey};
/// use oauth2_actix::{ClientAuthentication, OAuth2, Provider, exchange::TokenExchange};
///
/// # let keys = SigningKey::generate(Algorithm::ES256, "1").jwk_set();
/// let exchange = TokenExchange::at("https://login.example.com/token")
///     .authentication(ClientAuthentication::basic("orders-api", "a-secret-of-the-deployment"));
/// let provider = Provider::new()
///     .issuer("https://login.example.com")
///     .audience("orders")
///     .keys(keys)
///     .token_exchange(exchange);
/// let oauth2 = OAuth2::builder().provider("login", provider).build()?;
/// # Ok::<(), oauth2_actix::ConfigError>(())
/// ```
///
/// In serde `token_exchange`: a map of `endpoint`, `client_authentication`, `grant`, `requested_token_type`,
/// `max_calls` and `max_entries`.
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use = "it does nothing until it is given to a provider"]
pub struct TokenExchange {
    /// None if the issuer's document names it.
    pub(crate) endpoint: Option<String>,
    pub(crate) authentication: Option<ClientAuthentication>,
    pub(crate) grant: ExchangeGrant,
    pub(crate) requested_token_type: RequestedTokenType,
    pub(crate) max_calls: Option<usize>,
    pub(crate) max_entries: Option<usize>,
}

/// How a token is exchanged: see [`TokenExchange::grant`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExchangeGrant {
    /// Token exchange ([RFC 8693](https://www.rfc-editor.org/rfc/rfc8693)). In serde `token_exchange`.
    #[default]
    TokenExchange,
    /// The on-behalf-of flow of Microsoft Entra ID: a JWT bearer grant
    /// ([RFC 7523 §2.1](https://www.rfc-editor.org/rfc/rfc7523#section-2.1)) with `requested_token_use`. In serde
    /// `on_behalf_of`.
    OnBehalfOf,
}

/// The type of the requested token: see [`TokenExchange::requested_token_type`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestedTokenType {
    /// An access token, `urn:ietf:params:oauth:token-type:access_token`. In serde `access_token`.
    #[default]
    AccessToken,
    /// A JWT, `urn:ietf:params:oauth:token-type:jwt`. In serde `jwt`.
    Jwt,
}

impl TokenExchange {
    /// Sets the URL of the token endpoint. It must be https, or http to a loopback host.
    ///
    /// ```
    /// use oauth2_actix::{ClientAuthentication, exchange::TokenExchange};
    ///
    /// let exchange = TokenExchange::at("https://login.example.com/token")
    ///     .authentication(ClientAuthentication::basic("orders-api", "a-secret-of-the-deployment"));
    /// # drop(exchange);
    /// ```
    ///
    /// # Errors
    ///
    /// `build()` fails if it is not such a URL, or has a user name, a password or a fragment.
    pub fn at(url: impl Into<String>) -> Self {
        Self { endpoint: Some(url.into()), ..Self::default() }
    }

    /// Discovers the endpoint: `token_endpoint` of the issuer's metadata document
    /// ([RFC 8414 §2](https://www.rfc-editor.org/rfc/rfc8414#section-2)). The document is read before the first request and
    /// then once a day. It is read again if the endpoint cannot be reached or responds with 404, 405 or 410, at most once a
    /// minute. If it cannot be read, the last URL stays in use. In serde, no `endpoint`.
    ///
    /// ```
    /// use oauth2_actix::{ClientAuthentication, exchange::TokenExchange};
    ///
    /// let exchange = TokenExchange::discover()
    ///     .authentication(ClientAuthentication::post("orders-api", "a-secret-of-the-deployment"));
    /// # drop(exchange);
    /// ```
    pub fn discover() -> Self {
        Self::default()
    }

    /// Sets how this API authenticates at the endpoint. Mandatory: without client authentication, anyone with a
    /// stolen token could exchange it ([RFC 8693 §5](https://www.rfc-editor.org/rfc/rfc8693#section-5)).
    pub fn authentication(mut self, authentication: ClientAuthentication) -> Self {
        self.authentication = Some(authentication);
        self
    }

    /// Sets how a token is exchanged. Default [`ExchangeGrant::TokenExchange`].
    ///
    /// ```
    /// # use oauth2_actix::{Algorithm, testing::SigningKey};
    /// use oauth2_actix::{
    ///     ClientAuthentication, OAuth2, Provider,
    ///     exchange::{ExchangeGrant, TokenExchange},
    /// };
    ///
    /// # let keys = SigningKey::generate(Algorithm::RS256, "1").jwk_set();
    /// let tenant = "72f988bf-86f1-41af-91ab-2d7cd011db47";
    /// let authentication = ClientAuthentication::post("11111111-2222-3333-4444-555555555555", "a-secret");
    /// let entra = Provider::new()
    ///     .issuer(format!("https://login.microsoftonline.com/{tenant}/v2.0"))
    ///     .audience("11111111-2222-3333-4444-555555555555")
    ///     .keys(keys)
    ///     .token_exchange(
    ///         TokenExchange::discover()
    ///             .grant(ExchangeGrant::OnBehalfOf)
    ///             .authentication(authentication),
    ///     );
    /// let oauth2 = OAuth2::builder().provider("entra", entra).build()?;
    /// # Ok::<(), oauth2_actix::ConfigError>(())
    /// ```
    pub fn grant(mut self, grant: ExchangeGrant) -> Self {
        self.grant = grant;
        self
    }

    /// Sets the type of the requested token
    /// ([RFC 8693 §2.1](https://www.rfc-editor.org/rfc/rfc8693#section-2.1)). Default
    /// [`RequestedTokenType::AccessToken`]. It has no effect on [`ExchangeGrant::OnBehalfOf`].
    ///
    /// ```
    /// use oauth2_actix::exchange::{RequestedTokenType, TokenExchange};
    ///
    /// let exchange = TokenExchange::discover().requested_token_type(RequestedTokenType::Jwt);
    /// # drop(exchange);
    /// ```
    pub fn requested_token_type(mut self, requested: RequestedTokenType) -> Self {
        self.requested_token_type = requested;
        self
    }

    /// Sets the maximum number of concurrent token requests. Default 64; from 1 to 1,024. Further ones wait in a queue of
    /// 1,024, for at most 5 s. An exchange beyond the queue or this time fails with
    /// [`ExchangeErrorKind::Unavailable`](crate::exchange::ExchangeErrorKind::Unavailable).
    pub fn max_calls(mut self, calls: usize) -> Self {
        self.max_calls = Some(calls);
        self
    }

    /// Sets the maximum number of cached tokens. Default 10,000; at most 1,000,000. With 0, no token is cached. When the
    /// cache is full, the oldest entry is evicted. A token takes its own length and about 300 bytes.
    ///
    /// ```
    /// use oauth2_actix::exchange::TokenExchange;
    ///
    /// let exchange = TokenExchange::discover().max_entries(1_000).max_calls(16);
    /// # drop(exchange);
    /// ```
    pub fn max_entries(mut self, entries: usize) -> Self {
        self.max_entries = Some(entries);
        self
    }

    /// Returns the faults that can be found without the rest of the configuration. `lacks_issuer`: the provider has none,
    /// and needs none for its tokens.
    pub(crate) fn faults(&self, provider: Option<&str>, lacks_issuer: bool) -> Faults {
        use ConfigErrorKind::Missing;
        let mut faults = Faults::default();
        let mut fault = |field: &'static str, kind, problem: &str| {
            faults.push(ConfigError::new(provider, field, problem).of_kind(kind));
        };
        if self.authentication.is_none() {
            let problem = "missing; expected how this API authenticates at the endpoint";
            fault(names::EXCHANGE_AUTHENTICATION, Missing, problem);
        }
        if lacks_issuer {
            let problem = "the provider has no `issuer`; expected one for token exchange";
            fault(names::TOKEN_EXCHANGE, Missing, problem);
        }
        faults.take(EXCHANGE_CALLS.check_if_set(provider, self.max_calls));
        faults.take(EXCHANGE_ENTRIES.check_if_set(provider, self.max_entries));
        faults
    }
}
