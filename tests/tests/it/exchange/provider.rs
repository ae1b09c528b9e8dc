//! The embedded provider, and a service that gets the issued token.

use oauth2_actix::{
    ErrorKind,
    testing::{IdentityProvider, RunningIdentityProvider},
};

use super::*;

/// Returns the policy of an API that exchanges tokens, and that of the service that it calls.
fn policies(idp: &IdentityProvider) -> (OAuth2, OAuth2) {
    let authentication = ClientAuthentication::basic("orders-api", idp.client_secret("orders-api"));
    let provider = |audience: &str| {
        Provider::new().issuer(idp.issuer()).audience(audience).keys(idp.jwks_url())
    };
    let exchange = TokenExchange::discover().authentication(authentication);
    let build = |provider: Provider| {
        policy::builder().provider("idp", provider).key_refresh_minutes(5).build().unwrap()
    };
    (build(provider("orders").token_exchange(exchange)), build(provider("stock")))
}

fn start() -> RunningIdentityProvider {
    IdentityProvider::start("orders").unwrap()
}

#[tokio::test]
async fn service_accepts_the_issued_token_and_rejects_that_of_the_client() {
    let idp = start();
    let (orders, stock) = policies(&idp);
    let token = idp
        .token()
        .claim("sub", "ann")
        .claim("scope", "orders:read stock:read stock:write")
        .sign(&idp.key());
    let claims = orders.verify(&token).await.unwrap();
    let exchanged = orders.exchange(&claims, "stock", ["stock:read"]).await.unwrap();
    let at_stock = stock.verify(exchanged.expose_token()).await.unwrap();
    assert_eq!(at_stock.subject(), Some("ann"));
    assert_eq!(at_stock.client_id(), Some("orders-api"));
    assert!(at_stock.has_scope("stock:read") && !at_stock.has_scope("stock:write"));
    assert!(at_stock.expires_at() <= claims.expires_at());

    let error = stock.verify(&token).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::AudienceMismatch { .. }), "{error}");
    let error = orders.verify(exchanged.expose_token()).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::AudienceMismatch { .. }), "{error}");
}

#[tokio::test]
async fn token_cannot_gain_scopes_or_targets() {
    let idp = start();
    idp.set_protected_resources(["stock"]);
    let (orders, _) = policies(&idp);
    let token = idp.token().claim("scope", "stock:read").sign(&idp.key());
    let claims = orders.verify(&token).await.unwrap();
    orders.exchange(&claims, "stock", ["stock:read"]).await.unwrap();
    for (audience, scope, expected) in
        [("stock", "stock:write", "invalid_scope"), ("billing", "stock:read", "invalid_target")]
    {
        let error = orders.exchange(&claims, audience, [scope]).await.unwrap_err();
        let ExchangeErrorKind::Rejected { code, .. } = error.kind() else { panic!("{error}") };
        assert_eq!(code, expected);
    }
    assert_eq!(idp.exchange_requests(), 3);
}

#[tokio::test]
async fn actor_is_named_and_those_before_are_below_it() {
    let idp = start();
    let (orders, stock) = policies(&idp);
    let token = idp.token().claim("act", json!({"sub": "first"})).sign(&idp.key());
    let claims = orders.verify(&token).await.unwrap();
    let agent = idp.token().claim("sub", "agent").sign(&idp.key());
    let target = ExchangeTarget::audience("stock").actor_token(agent);
    let exchanged = orders.exchange_for(&claims, &target).await.unwrap();
    let claims = stock.verify(exchanged.expose_token()).await.unwrap();
    let act = &claims.to_map()["act"];
    assert_eq!(act, &json!({"sub": "agent", "act": {"sub": "first"}}));

    let forged = Token::new(idp.issuer(), "orders").sign(key(Algorithm::ES256));
    let claims = orders.verify(&token).await.unwrap();
    let target = ExchangeTarget::audience("stock").actor_token(forged);
    let error = orders.exchange_for(&claims, &target).await.unwrap_err();
    assert!(matches!(error.kind(), ExchangeErrorKind::Rejected { .. }), "{error}");
}

#[tokio::test]
async fn client_with_a_wrong_secret_exchanges_nothing() {
    let idp = start();
    let exchange = TokenExchange::discover()
        .authentication(ClientAuthentication::post("quickstart", "not its secret"));
    let provider = Provider::new().issuer(idp.issuer()).audience("orders").keys(idp.jwks_url());
    let orders = policy::builder()
        .provider("idp", provider.token_exchange(exchange))
        .key_refresh_minutes(5)
        .build()
        .unwrap();
    let claims = orders.verify(&idp.token().sign(&idp.key())).await.unwrap();
    let (_, text) = unavailable(orders.exchange(&claims, "stock", ["x"]).await);
    assert!(text.contains("invalid_client"), "{text}");
}
