use oauth2_actix::{
    Claims, OAuth2,
    exchange::{ExchangeError, ExchangedToken},
};

/// Returns a token for the API `stock`, on behalf of the caller.
async fn for_stock(claims: &Claims, oauth2: &OAuth2) -> Result<ExchangedToken, ExchangeError> {
    oauth2.exchange(claims, "stock", ["stock:read"]).await
}

mod tests {
    use oauth2_actix::{
        ClientAuthentication, Provider, exchange::TokenExchange, testing::IdentityProvider,
    };

    use super::*;

    #[actix_web::test]
    async fn token_for_the_other_api_has_its_audience() {
        let idp = IdentityProvider::start("orders").expect("a port");
        let provider =
            |audience| Provider::new().issuer(idp.issuer()).audience(audience).keys(idp.jwks_url());
        let build = |provider| {
            let builder = OAuth2::builder().provider("idp", provider).key_refresh_minutes(30);
            builder.build().expect("a policy")
        };
        let authentication = ClientAuthentication::basic("orders", idp.client_secret("orders"));
        let exchange = TokenExchange::discover().authentication(authentication);
        let orders = build(provider("orders").token_exchange(exchange));
        let stock = build(provider("stock"));

        let token = idp.token().claim("scope", "stock:read").sign(&idp.key());
        let claims = orders.verify(&token).await.expect("claims");
        let exchanged = for_stock(&claims, &orders).await.expect("a token");
        let at_stock = stock.verify(exchanged.expose_token()).await.expect("an accepted token");
        assert_eq!(at_stock.subject(), claims.subject());
        assert!(stock.verify(&token).await.is_err());
    }
}
