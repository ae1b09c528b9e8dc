//! The providers at which tokens are exchanged, and the methods that exchange one.

use std::{collections::HashMap, sync::Arc};

use crate::{
    builder::{OAuth2Builder, endpoints::EndpointSettings, oauth2::OAuth2},
    config::{names, provider::Provider},
    exchange::{ExchangeError, ExchangeTarget, ExchangedToken, Exchanger, Exchangers, Parts},
    keys::discovery::IssuerEndpoint,
    outbound::{endpoint::Endpoint, thread::CallThread},
    token::claims::Claims,
};

impl OAuth2Builder {
    /// Returns the providers at which tokens are exchanged.
    pub(super) fn exchangers(
        &self,
        mut endpoints: HashMap<usize, Endpoint>,
        thread: Option<&Arc<CallThread>>,
    ) -> Exchangers {
        let exchanger = |(index, (name, provider)): (usize, &(String, Provider))| {
            let parts = Parts {
                provider: name.as_str().into(),
                issuers: provider.issuers.clone(),
                endpoint: endpoints.remove(&index)?,
                thread: Arc::clone(thread?),
                clock: self.clock.clone(),
            };
            Some(Arc::new(Exchanger::new(provider.token_exchange.as_ref()?, parts)))
        };
        Exchangers::new(self.providers.iter().enumerate().map(exchanger).collect())
    }
}

impl OAuth2 {
    /// Exchanges the token of a request for a token that this API may send to another service
    /// ([RFC 8693](https://www.rfc-editor.org/rfc/rfc8693)): for the same subject, with this audience and these scopes. The
    /// provider that has issued the token must have a [`token_exchange`](crate::Provider::token_exchange).
    ///
    /// Never send the token of a request to another service: it is for this API alone, and the other service could use
    /// it here.
    ///
    /// ```
    /// # #[actix_web::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use oauth2_actix::{
    /// #     ClientAuthentication, OAuth2, Provider, exchange::TokenExchange, testing::IdentityProvider,
    /// # };
    /// # let idp = IdentityProvider::start("orders")?;
    /// # let authentication = ClientAuthentication::basic("orders-api", idp.client_secret("orders-api"));
    /// # let provider = Provider::new()
    /// #     .issuer(idp.issuer())
    /// #     .audience("orders")
    /// #     .keys(idp.jwks_url())
    /// #     .token_exchange(TokenExchange::discover().authentication(authentication));
    /// # let oauth2 = OAuth2::builder().provider("idp", provider).key_refresh_minutes(30).build()?;
    /// # let token = idp.token().claim("scope", "stock:read").sign(&idp.key());
    /// let claims = oauth2.verify(&token).await?;
    /// let for_stock = oauth2.exchange(&claims, "stock", ["stock:read"]).await?;
    ///
    /// let request = reqwest::Client::new()
    ///     .get("https://stock.example.com/items")
    ///     .bearer_auth(for_stock.expose_token());
    /// # drop(request);
    /// # let again = oauth2.exchange(&claims, "stock", ["stock:read"]).await?;
    /// # assert_eq!(again.expose_token(), for_stock.expose_token());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The result is cached, by token and target: until a tenth of its life is left, or 30 s if that is less, and never
    /// beyond the end of the token that is exchanged. Without `expires_in` in the answer, it is not cached. All requests
    /// that ask for the same at once share one call, which takes at most the
    /// [fetch timeout](OAuth2Builder::fetch_timeout), 5 s by default. Each call of this method checks that the token is
    /// still valid. The other service must check the token that it gets, as this API does.
    ///
    /// For a `resource`, several audiences or an actor, see [`exchange_for`](Self::exchange_for).
    ///
    /// # Errors
    ///
    /// [`ExchangeErrorKind`](crate::exchange::ExchangeErrorKind) has the reasons and their responses.
    pub async fn exchange<S: Into<String>>(
        &self,
        claims: &Claims,
        audience: &str,
        scopes: impl IntoIterator<Item = S>,
    ) -> Result<ExchangedToken, ExchangeError> {
        let target = ExchangeTarget::audience(audience).scopes(scopes);
        self.exchange_for(claims, &target).await
    }

    /// Exchanges the token of a request for one with any target, as [`exchange`](Self::exchange) does.
    ///
    /// ```
    /// use oauth2_actix::{
    ///     Claims, OAuth2,
    ///     exchange::{ExchangeError, ExchangeTarget, ExchangedToken},
    /// };
    ///
    /// async fn for_stock(oauth2: &OAuth2, claims: &Claims) -> Result<ExchangedToken, ExchangeError> {
    ///     let target = ExchangeTarget::resource("https://stock.example.com/api").scopes(["stock:read"]);
    ///     oauth2.exchange_for(claims, &target).await
    /// }
    /// # drop(for_stock);
    /// ```
    ///
    /// # Errors
    ///
    /// As [`exchange`](Self::exchange).
    pub async fn exchange_for(
        &self,
        claims: &Claims,
        target: &ExchangeTarget,
    ) -> Result<ExchangedToken, ExchangeError> {
        self.0.exchangers.exchange(claims, target).await
    }
}

/// Returns what a provider says of its token endpoint.
pub(super) fn endpoint_settings(provider: &Provider) -> Option<EndpointSettings<'_>> {
    let exchange = provider.token_exchange.as_ref()?;
    Some(EndpointSettings {
        url: exchange.endpoint.as_deref(),
        authentication: exchange.authentication.as_ref(),
        endpoint: IssuerEndpoint::Token,
        url_field: names::EXCHANGE_ENDPOINT,
        authentication_field: names::EXCHANGE_AUTHENTICATION,
    })
}
