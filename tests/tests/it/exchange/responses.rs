//! The responses for the client of this API.

use actix_web::{
    App, HttpResponse, HttpServer, ResponseError, http::header::WWW_AUTHENTICATE, web,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use oauth2_actix::{
    api_keys::{ApiKey, ApiKeys},
    exchange::ExchangeGrant,
    revocation::{DenyList, Revocation},
    tenants::{Tenant, TenantLookup, Tenants},
    testing::LocalServer,
};
use oauth2_actix_tests::client;

use super::*;

#[tokio::test]
async fn rejection_is_403_and_shows_the_client_nothing_of_the_provider() {
    for code in ["invalid_request", "invalid_target", "invalid_grant", "invalid_scope"] {
        let setup = Setup::start(refused(400, code));
        let error = setup.exchange(&setup.claims("ann").await).await.unwrap_err();
        let ExchangeErrorKind::Rejected { code: found, description } = error.kind() else {
            panic!("{error}")
        };
        assert_eq!((found.as_str(), description.as_deref()), (code, Some("Why.")));
        assert_eq!(error.provider(), "p");
        let response = error.error_response();
        assert_eq!(response.status(), 403);
        let body = actix_web::body::to_bytes(response.into_body()).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert!(body.contains("access_denied"), "{body}");
        assert!(!body.contains(code) && !body.contains("Why"), "{body}");
    }
}

/// The client has chosen its credential, so that this is no fault of the program.
#[tokio::test]
async fn api_key_and_token_of_a_tenant_are_403() {
    struct Lookup;
    impl TenantLookup for Lookup {
        async fn find_by_issuer(
            &self,
            issuer: &str,
        ) -> Result<Option<Tenant>, Box<dyn std::error::Error + Send + Sync>> {
            let provider = Provider::new()
                .issuer(issuer)
                .audience("api")
                .keys(key(Algorithm::ES256).jwk_set());
            Ok(Some(Tenant::new("t", provider)))
        }
    }
    let setup = Setup::start(issued("one", json!({})));
    let generated = ApiKey::generate("shop_live_").unwrap();
    let api_key = ApiKey::new("billing-job", [generated.hash()]);
    let oauth2 = builder(&setup.clock)
        .provider("p", issuer().token_exchange(at(&setup.server)))
        .api_keys("shop-keys", ApiKeys::new("shop_live_").key(api_key))
        .tenants(Tenants::new(Lookup))
        .build()
        .unwrap();
    let of_tenant = Token::new("https://tenant.test", "api").sign(key(Algorithm::ES256));
    for token in [generated.expose_text(), &of_tenant] {
        let claims = oauth2.verify(token).await.unwrap();
        let error = oauth2.exchange(&claims, "stock", ["x"]).await.unwrap_err();
        assert!(matches!(error.kind(), ExchangeErrorKind::NotExchangeable), "{error}");
        assert_eq!(error.error_response().status(), 403);
    }
    assert_eq!(setup.server.requests(), 0);
}

/// The user must satisfy conditional access: the client of this API gets the challenge.
#[tokio::test]
async fn claims_challenge_is_401_with_the_challenge() {
    let claims = r#"{"access_token":{"capolids":{"essential":true,"values":["3f9a"]}}}"#;
    let answer = |claims: Value| {
        let body = json!({
            "error": "interaction_required", "error_description": "AADSTS50076", "claims": claims,
        });
        let json_type = &[("content-type", "application/json")];
        Answer::body(400, json_type, body.to_string().as_bytes())
    };
    let setup =
        Setup::with(answer(json!(claims)), |exchange| exchange.grant(ExchangeGrant::OnBehalfOf));
    let subject = setup.claims("ann").await;
    let error = setup.exchange(&subject).await.unwrap_err();
    assert!(matches!(error.kind(), ExchangeErrorKind::Rejected { .. }), "{error}");
    assert_eq!(error.claims_challenge(), Some(claims));
    let response = error.error_response();
    assert_eq!(response.status(), 401);
    let expected =
        format!("Bearer error=\"insufficient_claims\", claims=\"{}\"", STANDARD.encode(claims));
    assert_eq!(response.headers().get(WWW_AUTHENTICATE).unwrap(), expected.as_str());
    // Other members do not become a challenge.
    let large = format!("{{\"x\":\"{}\"}}", "x".repeat(5000));
    for claims in [json!("x"), json!("[]"), json!(""), json!({"x": 1}), json!(large), Value::Null] {
        let setup = Setup::start(answer(claims.clone()));
        let error = setup.exchange(&setup.claims("ann").await).await.unwrap_err();
        assert_eq!(error.claims_challenge(), None, "{claims}");
        assert_eq!(error.error_response().status(), 403);
    }
}

/// A token that is revoked while its request is handled gets the 401 of the policy, with the URL of the metadata.
#[actix_web::test]
async fn token_that_is_no_longer_accepted_gets_the_401_of_the_policy() {
    const RESOURCE: &str = "https://api.test/orders";
    async fn stock(
        claims: Claims,
        oauth2: web::Data<OAuth2>,
    ) -> Result<HttpResponse, ExchangeError> {
        oauth2.revoke(Revocation::token(&claims)).await.unwrap();
        oauth2.exchange(&claims, "stock", ["stock:read"]).await?;
        Ok(HttpResponse::Ok().finish())
    }
    let setup = Setup::start(issued("one", json!({})));
    let provider = Provider::new()
        .issuer(ISSUER)
        .audience("api")
        .keys(key(Algorithm::ES256).jwk_set())
        .token_exchange(at(&setup.server));
    let oauth2 = builder(&setup.clock)
        .provider("p", provider)
        .deny_list(DenyList::new())
        .resource(RESOURCE)
        .build()
        .unwrap();
    let server = LocalServer::start(move |listener| {
        let app = move || {
            App::new()
                .app_data(web::Data::new(oauth2.clone()))
                .route("/orders", web::get().to(stock))
                .wrap(oauth2.clone())
        };
        Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
    })
    .unwrap();
    let request = client::client().get(server.url("/orders"));
    let response = request.bearer_auth(setup.token("ann", 3600)).send().await.unwrap();
    assert_eq!(response.status().as_u16(), 401);
    let challenge = response.headers()["www-authenticate"].to_str().unwrap().to_owned();
    assert!(challenge.contains("resource_metadata=\"https://api.test/"), "{challenge}");
    assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
    assert_eq!(setup.server.requests(), 0);
}
