//! The settings of a provider for calls to it that requests cause: introspection and token exchange.

use crate::config::{
    error::{ConfigError, ConfigErrorKind, Faults},
    introspection::Introspection,
    names,
    provider::Provider,
    token_exchange::TokenExchange,
};

impl Provider {
    /// Introspects tokens at this provider ([RFC 7662](https://www.rfc-editor.org/rfc/rfc7662)). In serde `introspection`: a
    /// map. Default: none.
    ///
    /// A provider with [`keys`](Self::keys) introspects tokens that are not JWTs. A provider without keys introspects every
    /// token: JWTs whose `iss` is one of its issuers, and tokens that are not JWTs. A token is never validated in both ways.
    /// For the checks and limits, see [`introspection`](crate::introspection).
    ///
    /// ```
    /// # #[actix_web::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use oauth2_actix::{
    ///     ClientAuthentication, ErrorKind, OAuth2, Provider, introspection::Introspection,
    ///     testing::IdentityProvider,
    /// };
    ///
    /// let idp = IdentityProvider::start("orders")?;
    /// let authentication = ClientAuthentication::basic("orders-api", idp.client_secret("orders-api"));
    /// let provider = Provider::new()
    ///     .issuer(idp.issuer())
    ///     .audience("orders")
    ///     .introspection(Introspection::discover().authentication(authentication));
    /// let oauth2 = OAuth2::builder().provider("idp", provider).build()?;
    ///
    /// let token = idp.opaque_token(idp.token().claim("scope", "orders:read"));
    /// assert!(oauth2.verify(&token).await?.has_scope("orders:read"));
    /// let unknown = oauth2.verify("an-unknown-token").await.unwrap_err();
    /// assert!(matches!(unknown.kind(), ErrorKind::TokenInactive));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// `build()` fails without a [client authentication](Introspection::authentication); if it cannot be used; if two
    /// providers have introspection and no [prefix](Introspection::token_prefix), or the same one; if a provider that
    /// introspects every token shares its issuer with another one; and with a
    /// [`spiffe_trust_domain`](Self::spiffe_trust_domain). A tenant that is looked up cannot have introspection.
    pub fn introspection(mut self, introspection: Introspection) -> Self {
        self.introspection = Some(introspection);
        self
    }

    /// Lets this API exchange tokens of this provider for tokens that it may send to other services
    /// ([RFC 8693](https://www.rfc-editor.org/rfc/rfc8693)), by [`OAuth2::exchange`](crate::OAuth2::exchange). In serde
    /// `token_exchange`: a map. Default: none.
    ///
    /// ```
    /// # #[actix_web::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use oauth2_actix::{
    ///     ClientAuthentication, OAuth2, Provider, exchange::TokenExchange, testing::IdentityProvider,
    /// };
    ///
    /// let idp = IdentityProvider::start("orders")?;
    /// let authentication = ClientAuthentication::basic("orders-api", idp.client_secret("orders-api"));
    /// let provider = Provider::new()
    ///     .issuer(idp.issuer())
    ///     .audience("orders")
    ///     .keys(idp.jwks_url())
    ///     .token_exchange(TokenExchange::discover().authentication(authentication));
    /// let oauth2 = OAuth2::builder().provider("idp", provider).key_refresh_minutes(30).build()?;
    ///
    /// let token = idp.token().claim("scope", "stock:read orders:read").sign(&idp.key());
    /// let claims = oauth2.verify(&token).await?;
    /// let exchanged = oauth2.exchange(&claims, "stock", ["stock:read"]).await?;
    /// assert!(exchanged.scopes().eq(["stock:read"]));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// `build()` fails without an [issuer](Self::issuer) or a
    /// [client authentication](TokenExchange::authentication), and if the authentication or the URL cannot be used. A
    /// tenant that is looked up cannot have it.
    pub fn token_exchange(mut self, exchange: TokenExchange) -> Self {
        self.token_exchange = Some(exchange);
        self
    }

    /// Returns the faults of introspection that can be found without the other providers.
    pub(crate) fn introspection_faults(&self, name: Option<&str>) -> Faults {
        let Some(introspection) = &self.introspection else { return Faults::default() };
        let mut faults = introspection.faults(name, !self.keys.is_empty());
        if self.spiffe_trust_domain.is_some() {
            let problem = "contradicts `spiffe_trust_domain`: JWT-SVIDs are verified by their signature; expected another \
                           provider with `introspection`";
            let error = ConfigError::new(name, names::INTROSPECTION, problem);
            faults.push(error.of_kind(ConfigErrorKind::Conflict));
        }
        faults
    }

    /// Returns whether the provider introspects every token.
    pub(crate) fn introspects_every_token(&self) -> bool {
        self.introspection
            .as_ref()
            .is_some_and(|introspection| introspection.every_token || self.keys.is_empty())
    }
}
