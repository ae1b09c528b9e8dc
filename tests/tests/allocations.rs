//! Allocations of a request beyond those without the middleware, counted by dhat.
//!
//! This binary has one test, since its allocator counts everything that is allocated.

#![allow(missing_docs, clippy::unwrap_used)]

use actix_web::{
    App, HttpResponse,
    dev::{Service, ServiceResponse},
    test::{TestRequest, init_service},
    web,
};
use dhat::{Alloc, HeapStats, Profiler};
use oauth2_actix::{
    Algorithm, CryptoBackend, OAuth2, Provider, TokenCacheConfig,
    revocation::{DenyList, Revocation},
    testing::{SigningKey, Token},
};
use serde_json::json;

#[global_allocator]
static ALLOCATOR: Alloc = Alloc;

#[actix_web::test]
async fn cache_hit_allocates_the_extension_entry_only() {
    let _profiler = Profiler::builder().testing().build();
    let key = SigningKey::generate(Algorithm::ES256, "k");
    let policy = |cache| {
        let provider =
            Provider::new().issuer("https://idp.test").audience("api").keys(key.jwk_set());
        OAuth2::builder()
            .provider("test", provider)
            .token_cache(cache)
            .crypto_backend(CryptoBackend::AwsLc)
    };
    let token = Token::new("https://idp.test", "api")
        .claim("scope", "orders:read orders:write")
        .claim("realm_access", json!({"roles": ["user"]}))
        .sign(&key);
    let app = || App::new().route("/", web::get().to(HttpResponse::Ok));
    let bare = blocks(&init_service(app()).await, &token).await;
    let hit = policy(TokenCacheConfig::new()).build().unwrap();
    let hit = blocks(&init_service(app().wrap(hit)).await, &token).await;
    let listed = policy(TokenCacheConfig::new()).deny_list(DenyList::new()).build().unwrap();
    // The cached token was not looked up since.
    listed.revoke(Revocation::subject("https://idp.test", "another")).await.unwrap();
    let listed = blocks(&init_service(app().wrap(listed)).await, &token).await;
    let miss = policy(TokenCacheConfig::disabled()).build().unwrap();
    let miss = blocks(&init_service(app().wrap(miss)).await, &token).await;
    println!("blocks per request: {bare} bare, {hit} for a hit, {miss} for a miss");
    // The box in the request's extensions.
    assert_eq!(hit - bare, 1);
    assert_eq!(listed, hit, "with a deny list");
    // Two claims are lists or objects. The bound shows added allocations.
    assert!(miss - bare <= 24, "{}", miss - bare);
}

/// Returns the allocations of one request after others.
async fn blocks<S, B>(service: &S, token: &str) -> u64
where
    S: Service<actix_http::Request, Response = ServiceResponse<B>, Error = actix_web::Error>,
{
    let mut blocks = 0;
    for _ in 0..4 {
        let request = TestRequest::get()
            .insert_header(("authorization", format!("Bearer {token}")))
            .to_request();
        let before = HeapStats::get().total_blocks;
        let response = service.call(request).await.unwrap();
        blocks = HeapStats::get().total_blocks - before;
        assert_eq!(response.status(), 200);
    }
    blocks
}
