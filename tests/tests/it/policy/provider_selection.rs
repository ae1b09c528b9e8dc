//! Which of several providers a token is verified for: by issuer, by audience, by key.

use oauth2_actix::{
    Algorithm, Provider,
    testing::{SigningKey, Token},
};
use oauth2_actix_tests::{keys::key, policy};
use serde_json::{Value, json};

const ISSUER: &str = "https://idp.test";

#[tokio::test]
async fn same_kid_at_two_providers_names_two_keys() {
    let (one, two) = (
        SigningKey::generate(Algorithm::ES256, "shared"),
        SigningKey::generate(Algorithm::ES256, "shared"),
    );
    let of = |issuer: &str, key: &SigningKey| {
        Provider::new().issuer(issuer).audience("api").keys(key.jwk_set())
    };
    let oauth2 = policy::builder()
        .provider("one", of("https://one.test", &one))
        .provider("two", of("https://two.test", &two))
        .build()
        .unwrap();
    for (issuer, key, name) in
        [("https://one.test", &one, "one"), ("https://two.test", &two, "two")]
    {
        let claims = oauth2.verify(&Token::new(issuer, "api").sign(key)).await.unwrap();
        assert_eq!(claims.provider(), name);
    }
    assert!(oauth2.verify(&Token::new("https://one.test", "api").sign(&two)).await.is_err());
    assert!(oauth2.verify(&Token::new("https://two.test", "api").sign(&one)).await.is_err());
}

#[tokio::test]
async fn audiences_of_one_issuer_select_the_provider() {
    let (one, two) = (key(Algorithm::ES256), key(Algorithm::RS256));
    let of = |audience: &str, key: &SigningKey| {
        Provider::new().issuer(ISSUER).audience(audience).keys(key.jwk_set())
    };
    let oauth2 = policy::builder()
        .provider("one", of("one-api", one))
        .provider("two", of("two-api", two))
        .build()
        .unwrap();
    let provider = async |audience: Value, key: &SigningKey| {
        let token = Token::new(ISSUER, "").claim("aud", audience).sign(key);
        oauth2.verify(&token).await.map(|claims| claims.provider().to_owned()).ok()
    };
    assert_eq!(provider(json!("one-api"), one).await.as_deref(), Some("one"));
    assert_eq!(provider(json!("two-api"), two).await.as_deref(), Some("two"));
    assert_eq!(provider(json!(["one-api", "two-api"]), two).await.as_deref(), Some("two"));
    assert_eq!(provider(json!("one-api"), two).await, None);
    assert_eq!(provider(json!(["x", "two-api"]), one).await, None);
}

#[tokio::test]
async fn audience_claim_setting_selects_the_claim() {
    let key = key(Algorithm::ES256);
    // Cognito, Clerk, and WorkOS, whose issuer names the client.
    for (claim, own, other) in [
        ("client_id", "client-1", "client-2"),
        ("azp", "https://app.example.com", "https://other.example.com"),
        ("iss", ISSUER, "https://other.test"),
    ] {
        let provider = Provider::new()
            .issuer(ISSUER)
            .issuer("https://other.test")
            .audience(own)
            .audience_claim(claim)
            .keys(key.jwk_set());
        let oauth2 = policy::builder().provider("p", provider).build().unwrap();
        let token = Token::new(ISSUER, "x").without("aud");
        let accepts = async |token: Token| oauth2.verify(&token.sign(key)).await.is_ok();
        assert!(accepts(token.clone().claim(claim, own)).await, "{claim}");
        assert!(accepts(token.clone().claim("aud", "other").claim(claim, own)).await, "{claim}");
        assert!(!accepts(token.clone().claim(claim, other)).await, "{claim}");
        assert!(!accepts(token.clone().claim(claim, Value::Null)).await, "{claim}");
        if claim != "iss" {
            assert!(!accepts(token.clone().claim("aud", own)).await, "{claim}");
            assert!(!accepts(token.clone()).await, "{claim}");
        }
    }
}

#[tokio::test]
async fn keys_of_each_matching_provider_are_tried() {
    let bare: Vec<Value> =
        (0..4).map(|_| SigningKey::generate(Algorithm::ES256, "x").bare_jwk()).collect();
    let right = key(Algorithm::ES256);
    let of =
        |audience: &str, keys: Value| Provider::new().issuer(ISSUER).audience(audience).keys(keys);
    let oauth2 = policy::builder()
        .provider("a", of("a", json!({"keys": bare})))
        .provider("b", of("b", right.jwk_set()))
        .build()
        .unwrap();
    let token = Token::new(ISSUER, "").claim("aud", json!(["a", "b"])).sign(right);
    assert_eq!(oauth2.verify(&token).await.unwrap().provider(), "b");
}
