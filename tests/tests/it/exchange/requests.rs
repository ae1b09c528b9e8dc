//! The parameters of requests, and whose tokens are exchanged.

use oauth2_actix::{
    exchange::{ExchangeGrant, RequestedTokenType},
    testing,
};
use reqwest::Url;

use super::*;

/// Returns the parameters of the last request.
fn form(server: &KeyServer) -> Vec<(String, String)> {
    let request = server.last_request();
    let (_, body) = request.split_once("\r\n\r\n").unwrap();
    let url = Url::parse(&format!("http://x/?{body}")).unwrap();
    url.query_pairs().into_owned().collect()
}

fn values<'a>(form: &'a [(String, String)], name: &str) -> Vec<&'a str> {
    form.iter().filter(|(found, _)| found == name).map(|(_, value)| value.as_str()).collect()
}

#[tokio::test]
async fn request_has_the_parameters_of_rfc_8693() {
    let setup = Setup::with(issued("one", json!({"scope": "b"})), |exchange| {
        exchange.requested_token_type(RequestedTokenType::Jwt)
    });
    let token = setup.token("ann", 60);
    let claims = setup.claims_of(&token).await;
    let target = ExchangeTarget::audience("stock")
        .and_audience("billing")
        .and_resource("https://stock.example/api?x=1")
        .scopes(["b", "a"])
        .actor_token("the.actors.token");
    let exchanged = setup.oauth2.exchange_for(&claims, &target).await.unwrap();
    assert!(exchanged.scopes().eq(["b"]), "those that were granted");
    assert_eq!(exchanged.issued_token_type(), Some(ACCESS_TOKEN));
    let request = setup.server.last_request().to_ascii_lowercase();
    assert!(request.starts_with("post /token "), "{request}");
    assert!(request.contains("authorization: basic "));
    let form = form(&setup.server);
    for (name, expected) in [
        ("grant_type", &["urn:ietf:params:oauth:grant-type:token-exchange"][..]),
        ("subject_token", &[token.as_str()]),
        ("subject_token_type", &[ACCESS_TOKEN]),
        ("requested_token_type", &["urn:ietf:params:oauth:token-type:jwt"]),
        ("audience", &["stock", "billing"]),
        ("resource", &["https://stock.example/api?x=1"]),
        ("scope", &["a b"]),
        ("actor_token", &["the.actors.token"]),
        ("actor_token_type", &[ACCESS_TOKEN]),
    ] {
        assert_eq!(values(&form, name), expected, "{name}");
    }
    assert_eq!(form.len(), 10);
}

#[tokio::test]
async fn scopes_are_the_requested_ones_if_the_response_has_none() {
    let setup = Setup::start(issued("one", json!({})));
    let claims = setup.claims("ann").await;
    let exchanged = setup.oauth2.exchange(&claims, "stock", ["b", "a", "b"]).await.unwrap();
    assert!(exchanged.scopes().eq(["a", "b"]));
    // Their order has no meaning.
    setup.oauth2.exchange(&claims, "stock", ["a", "b"]).await.unwrap();
    assert_eq!(setup.server.requests(), 1);
}

#[tokio::test]
async fn audience_cannot_add_a_parameter() {
    for audience in
        ["stock&scope=admin", "stock&subject_token=x", "a=b", "a;b", "a+b", "a%26b", "ä b"]
    {
        let setup = Setup::start(issued("one", json!({})));
        let claims = setup.claims("ann").await;
        setup.oauth2.exchange(&claims, audience, ["x"]).await.unwrap();
        let form = form(&setup.server);
        assert_eq!(values(&form, "audience"), [audience]);
        assert_eq!(values(&form, "scope"), ["x"]);
        assert_eq!(values(&form, "subject_token").len(), 1);
    }
}

#[tokio::test]
async fn invalid_target_is_500_and_causes_no_request() {
    let setup = Setup::start(issued("one", json!({})));
    let claims = setup.claims("ann").await;
    for target in [
        ExchangeTarget::audience(""),
        ExchangeTarget::audience("a\r\nb"),
        ExchangeTarget::audience("a").scopes(["a b"]),
        ExchangeTarget::audience("a").scopes(["a\nb"]),
        ExchangeTarget::resource("stock"),
        ExchangeTarget::resource("https://stock.example/#x"),
    ] {
        let error = setup.oauth2.exchange_for(&claims, &target).await.unwrap_err();
        assert!(matches!(error.kind(), ExchangeErrorKind::InvalidTarget { .. }), "{target:?}");
        assert_eq!(actix_web::ResponseError::status_code(&error), 500);
    }
    assert_eq!(setup.server.requests(), 0);
}

#[tokio::test]
async fn result_of_one_subject_is_never_given_to_another() {
    let setup = Setup::start(issued("for-ann", json!({})));
    let (ann, bob) = (setup.claims("ann").await, setup.claims("bob").await);
    assert_eq!(setup.exchange(&ann).await.unwrap().expose_token(), "for-ann");
    setup.server.answer(issued("for-bob", json!({})));
    assert_eq!(setup.exchange(&bob).await.unwrap().expose_token(), "for-bob");
    assert_eq!(setup.exchange(&ann).await.unwrap().expose_token(), "for-ann");
    // Another target of the same subject causes another request, also if the values are the same together.
    setup.server.answer(issued("other", json!({})));
    for target in [
        ExchangeTarget::audience("stocks").scopes(["tock:read"]),
        ExchangeTarget::audience("stock"),
        ExchangeTarget::audience("stock").scopes(["stock:read", "stock:write"]),
        ExchangeTarget::resource("urn:stock").scopes(["stock:read"]),
        ExchangeTarget::audience("stock").scopes(["stock:read"]).actor_token("a"),
    ] {
        let exchanged = setup.oauth2.exchange_for(&ann, &target).await.unwrap();
        assert_eq!(exchanged.expose_token(), "other", "{target:?}");
    }
    assert_eq!(setup.server.requests(), 7);
}

#[tokio::test]
async fn token_is_sent_to_its_own_provider_only() {
    let setup = Setup::start(issued("one", json!({})));
    let other = Provider::new()
        .issuer("https://other.test")
        .audience("api")
        .keys(key(Algorithm::ES256).jwk_set());
    let first = issuer().token_exchange(at(&setup.server));
    let oauth2 = builder(&setup.clock)
        .provider("p", first)
        .provider("other", other.clone())
        .build()
        .unwrap();
    let token = Token::new("https://other.test", "api").sign(key(Algorithm::ES256));
    let claims = oauth2.verify(&token).await.unwrap();
    let error = oauth2.exchange(&claims, "stock", ["x"]).await.unwrap_err();
    assert!(matches!(error.kind(), ExchangeErrorKind::NotConfigured), "{error}");
    assert_eq!(error.provider(), "other");
    // Claims of another policy, whose provider has the same index, and even the same name.
    for name in ["p", "q"] {
        let elsewhere = builder(&setup.clock).provider(name, other.clone()).build().unwrap();
        let claims = elsewhere.verify(&token).await.unwrap();
        let error = setup.exchange(&claims).await.unwrap_err();
        assert!(matches!(error.kind(), ExchangeErrorKind::NotConfigured), "{error}");
    }
    assert_eq!(setup.server.requests(), 0);
}

#[tokio::test]
async fn claims_without_a_token_are_not_exchanged() {
    let setup = Setup::start(issued("one", json!({})));
    let claims = testing::claims(json!({"iss": ISSUER}));
    let error = setup.exchange(&claims).await.unwrap_err();
    // Their provider is `test`.
    assert!(matches!(error.kind(), ExchangeErrorKind::NotConfigured), "{error}");
    let oauth2 = builder(&setup.clock)
        .provider("test", issuer().token_exchange(at(&setup.server)))
        .build()
        .unwrap();
    let error = oauth2.exchange(&claims, "stock", ["x"]).await.unwrap_err();
    assert!(matches!(error.kind(), ExchangeErrorKind::NoToken), "{error}");
    assert_eq!(setup.server.requests(), 0);
}

#[tokio::test]
async fn entra_gets_an_on_behalf_of_request() {
    let answer = issued("one", json!({"issued_token_type": null, "expires_in": "3599"}));
    let setup = Setup::with(answer, |exchange| exchange.grant(ExchangeGrant::OnBehalfOf));
    let token = setup.token("ann", 3600);
    let claims = setup.claims_of(&token).await;
    let exchanged = setup.oauth2.exchange(&claims, "api://stock", ["Stock.Read"]).await.unwrap();
    assert_eq!(exchanged.time_left(), Some(seconds(3599)));
    let form = form(&setup.server);
    for (name, expected) in [
        ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
        ("assertion", &token),
        ("requested_token_use", "on_behalf_of"),
        ("scope", "api://stock/Stock.Read"),
    ] {
        assert_eq!(values(&form, name), [expected]);
    }
    assert_eq!(form.len(), 4);
}

/// Entra compares the URI before `/.default` with that of the service, so that a slash at its end stays.
#[tokio::test]
async fn default_scope_of_entra_keeps_the_slash_of_its_audience() {
    for (audience, scopes, expected) in [
        ("api://stock", &[][..], "api://stock/.default"),
        ("https://stock.test/", &[], "https://stock.test//.default"),
        ("https://stock.test/", &["Read"], "https://stock.test/Read"),
        ("https://stock.test", &["https://stock.test/Read"], "https://stock.test/Read"),
    ] {
        let answer = issued("one", json!({"issued_token_type": null}));
        let setup = Setup::with(answer, |exchange| exchange.grant(ExchangeGrant::OnBehalfOf));
        let claims = setup.claims("ann").await;
        setup.oauth2.exchange(&claims, audience, scopes.iter().copied()).await.unwrap();
        assert_eq!(values(&form(&setup.server), "scope"), [expected]);
    }
}
