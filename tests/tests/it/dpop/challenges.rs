//! Challenges, CORS headers and the metadata document.

use actix_web::{App, HttpServer, get};
use oauth2_actix::{
    Binding, OAuth2Builder, Resource, dpop::Dpop, require_scope, testing::LocalServer,
};
use oauth2_actix_tests::{api::Api, client::get};
use serde_json::{Value, json};

use super::{Client, builder, challenges, provider};

const ALGS: &str = r#"algs="ES256 ES384 Ed25519 EdDSA PS256""#;

#[get("/refunds")]
#[require_scope("refunds:write")]
async fn refunds() -> &'static str {
    "refunds"
}

fn start(builder: OAuth2Builder) -> LocalServer {
    let oauth2 = builder.build().unwrap();
    LocalServer::start(move |listener| {
        let app = move || {
            App::new().service(oauth2.resource_metadata()).service(refunds).wrap(oauth2.clone())
        };
        Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
    })
    .unwrap()
}

#[actix_web::test]
async fn request_without_a_token_gets_both_challenges_and_bearer_is_first() {
    let api = Api::start(builder(Binding::Allowed).realm("orders").build().unwrap());
    let answer = get(&api.url("/me"), None).await;
    assert_eq!(answer.status, 400);
    let dpop = format!(r#"DPoP realm="orders", {ALGS}"#);
    assert_eq!(challenges(&answer), [r#"Bearer realm="orders""#, &dpop]);
}

#[actix_web::test]
async fn challenge_is_dpop_alone_where_every_token_must_be_bound() {
    let api = Api::start(builder(Binding::Required).build().unwrap());
    let answer = get(&api.url("/me"), None).await;
    assert_eq!(challenges(&answer), [format!(r#"DPoP realm="api", {ALGS}"#)]);
    let both = builder(Binding::Required).provider(
        "other",
        oauth2_actix::Provider::new()
            .issuer("https://other.test")
            .audience("api")
            .keys(oauth2_actix_tests::keys::key(oauth2_actix::Algorithm::ES384).jwk_set()),
    );
    let answer = get(&Api::start(both.build().unwrap()).url("/me"), None).await;
    assert_eq!(challenges(&answer).len(), 2, "another provider has bearer tokens");
}

#[actix_web::test]
async fn error_is_in_the_challenge_of_the_scheme_that_was_used() {
    let resource = Resource::new("https://api.test/refunds").challenge_scopes(["refunds:write"]);
    let server = start(
        oauth2_actix_tests::policy::builder()
            .provider("idp", provider().dpop(Binding::Allowed))
            .resource(resource),
    );
    let client = Client::new();
    let url = server.url("/refunds");
    let metadata =
        r#"resource_metadata="https://api.test/.well-known/oauth-protected-resource/refunds""#;
    let answer = client.get(&url).await;
    assert_eq!(answer.status, 403, "{answer:?}");
    assert_eq!(
        challenges(&answer),
        [format!(
            r#"DPoP {metadata}, scope="refunds:write", realm="api", {ALGS}, error="insufficient_scope", error_description="The token does not permit this.""#
        )]
    );
    let answer = client.get_with(&url, "no-proof").await;
    let bearer = format!(r#"Bearer {metadata}, realm="api""#);
    let dpop = format!(
        r#"DPoP {metadata}, realm="api", {ALGS}, error="invalid_dpop_proof", error_description="The DPoP proof is not accepted.""#
    );
    assert_eq!((answer.status, challenges(&answer)), (401, vec![&*bearer, &*dpop]));
    let answer = get(&url, Some(&client.token)).await;
    assert!(challenges(&answer)[0].contains("error=\"invalid_token\""));
    assert!(!challenges(&answer)[1].contains("error"));
}

#[actix_web::test]
async fn scripts_of_other_origins_can_read_challenge_and_nonce() {
    let dpop = Dpop::new()
        .base_url(super::BASE)
        .nonce_secret([7; 32])
        .nonce_lifetime(std::time::Duration::from_secs(10));
    let clock = oauth2_actix::testing::ManualClock::new();
    let policy = oauth2_actix_tests::policy::builder()
        .provider("idp", provider().dpop(Binding::Allowed))
        .dpop(dpop)
        .clock(clock.clone());
    let api = Api::start(policy.build().unwrap());
    let client = Client::new();
    let answer = client.get(&api.url("/me")).await;
    assert_eq!(answer.error(), "use_dpop_nonce");
    let exposed = answer.header("access-control-expose-headers");
    assert_eq!(exposed, Some("WWW-Authenticate, Retry-After, DPoP-Nonce"));
    let nonce = answer.header("dpop-nonce").unwrap().to_owned();
    let with_nonce = || {
        oauth2_actix::testing::DpopProof::new("GET", "https://api.test/me", &client.token)
            .claim("nonce", nonce.as_str())
            .sign(&client.key)
    };
    let answer = client.get_with(&api.url("/me"), &with_nonce()).await;
    assert_eq!((answer.status, answer.header("access-control-expose-headers")), (200, None));
    clock.advance(std::time::Duration::from_secs(6));
    let answer = client.get_with(&api.url("/me"), &with_nonce()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-expose-headers"), Some("DPoP-Nonce"));
    assert_ne!(answer.header("dpop-nonce"), Some(&*nonce));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

#[actix_web::test]
async fn metadata_document_says_what_proofs_are_accepted() {
    for (binding, required, methods) in [
        (Binding::Allowed, json!(null), json!(["header"])),
        (Binding::Required, json!(true), json!([])),
    ] {
        let policy = oauth2_actix_tests::policy::builder()
            .provider("idp", provider().dpop(binding).certificate_bound(Binding::Allowed))
            .dpop(Dpop::new().algorithms(["ES256", "EdDSA"]))
            .resource("https://api.test");
        let server = start(policy);
        let answer = get(&server.url("/.well-known/oauth-protected-resource"), None).await;
        let document: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(document["dpop_signing_alg_values_supported"], json!(["ES256", "EdDSA"]));
        assert_eq!(document["dpop_bound_access_tokens_required"], required);
        assert_eq!(document["bearer_methods_supported"], methods);
        assert_eq!(document["tls_client_certificate_bound_access_tokens"], true);
    }
}
