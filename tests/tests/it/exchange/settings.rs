//! Errors of the configuration, and the form through serde.

use oauth2_actix::{
    ConfigErrorKind,
    tenants::{Tenant, TenantLookup, Tenants},
};
use oauth2_actix_tests::log;

use super::*;

#[test]
fn each_fault_names_its_setting_and_shows_no_secret() {
    use ConfigErrorKind::{Invalid, Missing, OutOfRange};
    let base = || TokenExchange::at("https://idp.test/token").authentication(client());
    let url = |url: &str| TokenExchange::at(url).authentication(client());
    for (exchange, kind, field) in [
        (TokenExchange::discover(), Missing, "token_exchange.client_authentication"),
        (base().max_calls(0), OutOfRange, "token_exchange.max_calls"),
        (base().max_calls(1025), OutOfRange, "token_exchange.max_calls"),
        (base().max_entries(1_000_001), OutOfRange, "token_exchange.max_entries"),
        (url("http://idp.test/token"), Invalid, "token_exchange.endpoint"),
        (url("https://u:p@idp.test/token"), Invalid, "token_exchange.endpoint"),
        (url("https://idp.test/token#x"), Invalid, "token_exchange.endpoint"),
        (url("no URL"), Invalid, "token_exchange.endpoint"),
        (
            base().authentication(ClientAuthentication::basic("", "a-secret")),
            Invalid,
            "token_exchange.client_authentication",
        ),
        (
            base().authentication(ClientAuthentication::private_key_jwt("api", "a-secret")),
            Invalid,
            "token_exchange.client_authentication",
        ),
    ] {
        let provider = issuer().token_exchange(exchange.clone());
        let error = policy::builder().provider("p", provider).build().unwrap_err();
        let text = error.to_string();
        assert_eq!((error.kind(), error.field()), (kind, field), "{exchange:?}: {text}");
        assert!(!format!("{text} {exchange:?}").contains("a-secret"), "{text}");
    }
}

#[test]
fn http_is_for_loopback_hosts_unless_dangerously_allowed() {
    let plain = || TokenExchange::at("http://idp.test/token").authentication(client());
    let allowed = issuer().token_exchange(plain()).dangerous_allow_http(true);
    policy::builder().provider("p", allowed).build().unwrap();
    let loopback = TokenExchange::at("http://127.0.0.1:9/token").authentication(client());
    policy::builder().provider("p", issuer().token_exchange(loopback)).build().unwrap();
}

#[test]
fn spiffe_provider_without_an_issuer_cannot_exchange_tokens() {
    let exchange = TokenExchange::at("https://idp.test/token").authentication(client());
    let provider = Provider::new()
        .spiffe_trust_domain("example.org")
        .audience("api")
        .keys(key(Algorithm::ES256).jwk_set())
        .token_exchange(exchange);
    let error = policy::builder().provider("p", provider).build().unwrap_err();
    assert_eq!((error.kind(), error.field()), (ConfigErrorKind::Missing, "token_exchange"));
}

struct Exchanging;

impl TenantLookup for Exchanging {
    async fn find_by_issuer(
        &self,
        issuer: &str,
    ) -> Result<Option<Tenant>, Box<dyn std::error::Error + Send + Sync>> {
        let exchange = TokenExchange::at("https://idp.test/token").authentication(client());
        let provider = Provider::new()
            .issuer(issuer)
            .audience("api")
            .keys(key(Algorithm::ES256).jwk_set())
            .token_exchange(exchange);
        Ok(Some(Tenant::new("exchanging", provider)))
    }
}

/// Such a tenant is none, which the log says: a tenant is built when its first token is received.
#[tokio::test]
async fn tenant_cannot_exchange_tokens() {
    log::keep();
    let oauth2 = policy::builder().tenants(Tenants::new(Exchanging)).build().unwrap();
    let token = Token::new(ISSUER, "api").sign(key(Algorithm::ES256));
    assert!(oauth2.verify(&token).await.is_err());
    assert!(
        !log::lines_with(&["exchanging", "token_exchange", "is not possible for a tenant"])
            .is_empty()
    );
}

#[tokio::test]
async fn settings_are_read_through_serde() {
    let server = KeyServer::start(issued("one", json!({}))).unwrap();
    let settings = json!({"providers": {"p": {
        "issuer": ISSUER,
        "audience": "api",
        "keys": key(Algorithm::ES256).jwk_set(),
        "token_exchange": {
            "endpoint": server.url_of(PATH),
            "client_authentication": {
                "method": "client_secret_post", "client_id": "orders-api", "client_secret": "a&b",
            },
            "grant": "on_behalf_of",
            "max_calls": 3,
            "max_entries": 5,
        },
    }}});
    let oauth2 = policy::from_json(settings).unwrap().build().unwrap();
    let token = Token::new(ISSUER, "api").sign(key(Algorithm::ES256));
    let claims = oauth2.verify(&token).await.unwrap();
    oauth2.exchange(&claims, "api://stock", ["x"]).await.unwrap();
    let request = server.last_request();
    assert!(request.contains("requested_token_use=on_behalf_of"), "{request}");
    assert!(request.contains("client_secret=a%26b"), "{request}");
}
