//! What challenges say of a resource, and which tokens it accepts.

use actix_web::{App, HttpResponse, HttpServer, get, web};
use oauth2_actix::{
    Algorithm, ConfigErrorKind, MissingToken, OAuth2Builder, Provider, Resource, mcp,
    require_scope, requirement,
    tenants::{Tenant, TenantLookup, Tenants},
    testing::{LocalServer, Token},
};
use oauth2_actix_tests::{
    client::{get, raw, raw_get},
    keys::key,
    log,
};

use super::{ISSUER, MCP, builder, start, token};

const METADATA: &str =
    r#"resource_metadata="https://api.example.com/.well-known/oauth-protected-resource/mcp""#;

#[get("/refunds")]
#[require_scope("refunds:write")]
async fn refunds() -> &'static str {
    "refunds"
}

#[actix_web::test]
async fn request_without_a_token_gets_401_and_the_url_of_the_document() {
    let server = start(builder().resource(MCP).build().unwrap());
    let answer = get(&server.url("/mcp"), None).await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.challenge(), format!(r#"Bearer {METADATA}, realm="api""#));
    let without = start(
        builder().resource(MCP).missing_token_status(MissingToken::BadRequest).build().unwrap(),
    );
    let answer = get(&without.url("/mcp"), None).await;
    assert_eq!(answer.status, 400);
    assert!(answer.challenge().contains(METADATA));
}

#[actix_web::test]
async fn rejection_by_middleware_around_a_route_has_the_url_and_the_realm() {
    let oauth2 = builder().resource(MCP).realm("orders").build().unwrap();
    let server = LocalServer::start(move |listener| {
        let app = move || {
            let required = requirement::scopes(["refunds:write"]);
            let access = mcp::Access::builder().require(required.clone()).build().unwrap();
            let endpoint = || web::get().to(HttpResponse::Ok);
            App::new()
                .service(web::resource("/requirement").wrap(required).route(endpoint()))
                .service(web::resource("/access").wrap(access).route(endpoint()))
                .wrap(oauth2.clone())
        };
        Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
    })
    .unwrap();
    for path in ["/requirement", "/access"] {
        let answer = get(&server.url(path), Some(&token(MCP))).await;
        assert_eq!(answer.status, 403);
        let challenge = answer.challenge();
        let expected = format!(r#"Bearer {METADATA}, scope="refunds:write", realm="orders""#);
        assert!(challenge.starts_with(&expected), "{path}: {challenge}");
    }
}

#[actix_web::test]
async fn every_rejection_with_a_challenge_has_the_url_before_free_text() {
    let oauth2 = builder().resource(Resource::new(MCP).challenge_scopes(["orders:read", "x"]));
    let oauth2 = oauth2.build().unwrap();
    let server = LocalServer::start(move |listener| {
        let app = move || App::new().service(refunds).wrap(oauth2.clone());
        Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
    })
    .unwrap();
    let url = server.url("/refunds");
    let expired = Token::new(ISSUER, MCP).expires_in(-1).sign(key(Algorithm::ES256));
    for (token, status, scope) in [
        (None, 401, r#"scope="orders:read x""#),
        (Some(expired.as_str()), 401, r#"scope="orders:read x""#),
        (Some(token("other").as_str()), 401, r#"scope="orders:read x""#),
        (Some(token(MCP).as_str()), 403, r#"scope="refunds:write""#),
    ] {
        let answer = get(&url, token).await;
        assert_eq!(answer.status, status);
        let challenge = answer.challenge();
        assert!(challenge.starts_with(&format!("Bearer {METADATA}, ")), "{challenge}");
        let at = |text: &str| challenge.find(text);
        assert!(at(scope).is_some(), "{challenge}");
        assert_eq!(challenge.matches("scope=").count(), 1, "{challenge}");
        assert_eq!(challenge.matches("resource_metadata=").count(), 1, "{challenge}");
        assert!(at("error_description").is_none_or(|text| at("resource_metadata") < Some(text)));
    }
    let malformed = raw(server.address(), &raw_get("/refunds", &["Authorization: Bearer a b"]));
    assert_eq!(malformed.status, 400);
    assert!(malformed.challenge().contains(METADATA), "{malformed:?}");
    assert!(!malformed.challenge().contains("scope="), "{malformed:?}");
}

#[actix_web::test]
async fn step_up_of_an_accepted_token_names_no_scopes_of_a_first_login() {
    let oauth2 = builder().resource(Resource::new(MCP).challenge_scopes(["orders:read"]));
    let oauth2 = oauth2.build().unwrap();
    let server = LocalServer::start(move |listener| {
        let app = move || {
            let strong = requirement::acr(["urn:example:otp"]);
            let scope = web::scope("/mcp").wrap(strong).default_service(web::to(HttpResponse::Ok));
            App::new().service(scope).wrap(oauth2.clone())
        };
        Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
    })
    .unwrap();
    let answer = get(&server.url("/mcp"), Some(&token(MCP))).await;
    assert_eq!((answer.status, answer.error().as_str()), (401, "insufficient_user_authentication"));
    assert!(answer.challenge().contains(METADATA), "{answer:?}");
    assert!(!answer.challenge().contains("scope="), "{answer:?}");
    assert!(get(&server.url("/mcp"), None).await.challenge().contains("scope=\"orders:read\""));
}

#[actix_web::test]
async fn token_for_the_resource_is_accepted_and_no_other() {
    log::keep();
    let server = start(builder().resource(MCP).build().unwrap());
    for audience in [MCP, "HTTPS://API.Example.com/mcp"] {
        assert_eq!(
            get(&server.url("/mcp"), Some(&token(audience))).await.status,
            200,
            "{audience}"
        );
    }
    let list = Token::new(ISSUER, "x").claim("aud", vec!["x", MCP]).sign(key(Algorithm::ES256));
    assert_eq!(get(&server.url("/mcp"), Some(&list)).await.status, 200);
    for audience in ["https://api.example.com/mcp/", "https://api.example.com", "mcp", ""] {
        assert_eq!(
            get(&server.url("/mcp"), Some(&token(audience))).await.status,
            401,
            "{audience}"
        );
    }
    let mixed = Token::new(ISSUER, "x").claim("aud", serde_json::json!([MCP, 1]));
    let mixed = mixed.sign(key(Algorithm::ES256));
    assert_eq!(get(&server.url("/mcp"), Some(&mixed)).await.status, 401);
    assert!(!log::lines_with(&["trailing slash differs", MCP]).is_empty());
}

#[actix_web::test]
async fn audience_of_the_provider_is_still_accepted() {
    let keys = key(Algorithm::ES256).jwk_set();
    let provider = Provider::new().issuer(ISSUER).audience("client-id").keys(keys);
    let oauth2 = oauth2_actix_tests::policy::builder().provider("idp", provider);
    let server = start(oauth2.resource(MCP).build().unwrap());
    for (audience, status) in [("client-id", 200), (MCP, 200), ("other", 401)] {
        assert_eq!(get(&server.url("/mcp"), Some(&token(audience))).await.status, status);
    }
}

#[test]
fn settings_that_would_accept_other_tokens_or_stop_clients_are_rejected() {
    use ConfigErrorKind::{Conflict, Duplicate, Invalid, Missing};
    let fault = |builder: OAuth2Builder| {
        let error = builder.build().expect_err("a fault");
        (error.kind(), error.field().to_owned(), error.to_string())
    };
    let keys = || key(Algorithm::ES256).jwk_set();
    let empty = || oauth2_actix_tests::policy::builder();
    let provider = || Provider::new().issuer(ISSUER).keys(keys());
    for (builder, kind, field, part) in [
        (builder().resource("https://h/mcp#a"), Invalid, "resource", "has a fragment"),
        (builder().resource("http://api.example.com/mcp"), Invalid, "resource", "is http"),
        (builder().resource(ISSUER), Conflict, "resource", "issuer of a provider"),
        (builder().resource(MCP).resource(MCP), Duplicate, "resource", "set twice"),
        (
            builder().resource(MCP).require(requirement::scopes(["offline_access"])),
            Invalid,
            "resource",
            "an access rule requires `offline_access`",
        ),
        (
            empty().provider("idp", provider().audience("x").audience_claim("iss")).resource(MCP),
            Conflict,
            "audience_claim",
            "every token of the issuer",
        ),
        (
            empty().provider("idp", provider().audience_claim("client_id")).resource(MCP),
            Missing,
            "audience",
            "mandatory",
        ),
        (
            empty().provider("idp", Provider::new().issuer("accounts").keys(keys())).resource(MCP),
            Missing,
            "resource",
            "authorization_servers",
        ),
        (
            empty().tenants(Tenants::new(NoTenant)).resource(MCP),
            Missing,
            "resource",
            "authorization_servers",
        ),
        (builder(), Missing, "audience", "mandatory"),
    ] {
        let (found_kind, found_field, text) = fault(builder);
        assert_eq!((found_kind, found_field.as_str()), (kind, field), "{text}");
        assert!(text.contains(part), "{text}");
    }
}

struct NoTenant;

impl TenantLookup for NoTenant {
    async fn find_by_issuer(
        &self,
        _: &str,
    ) -> Result<Option<Tenant>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(None)
    }
}
