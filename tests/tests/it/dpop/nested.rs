//! Several middlewares around one handler.

use actix_web::{App, HttpResponse, HttpServer, web};
use oauth2_actix::{Binding, OAuth2, dpop::Dpop, testing::LocalServer};

use super::{Client, builder, provider};

/// Two middlewares around `/inner`, where `/public` of the outer one is in the inner one too.
fn start(outer: OAuth2, inner: OAuth2) -> LocalServer {
    LocalServer::start(move |listener| {
        let app = move || {
            App::new()
                .service(
                    web::scope("/inner")
                        .route("/item", web::get().to(HttpResponse::Ok))
                        .wrap(inner.clone()),
                )
                .wrap(outer.clone())
        };
        Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
    })
    .unwrap()
}

#[actix_web::test]
async fn one_proof_is_enough_for_two_middlewares_with_one_store() {
    let oauth2 = builder(Binding::Required).build().unwrap();
    let server = start(oauth2.clone(), oauth2);
    let (client, url) = (Client::new(), server.url("/inner/item"));
    let proof = client.proof("GET", "/inner/item");
    assert_eq!(client.get_with(&url, &proof).await.status, 200);
    assert_eq!(client.get_with(&url, &proof).await.error(), "invalid_dpop_proof");
}

#[actix_web::test]
async fn replay_that_an_outer_middleware_lets_pass_as_public_is_rejected_by_an_inner_one() {
    let dpop = Dpop::new()
        .base_url(super::BASE)
        .replay_store(oauth2_actix::dpop::MemoryReplayStore::new());
    let policy = || {
        oauth2_actix_tests::policy::builder()
            .provider("idp", provider().dpop(Binding::Required))
            .dpop(dpop.clone())
    };
    let outer = policy().public_paths(["/inner/{tail:.*}"]).build().unwrap();
    let server = start(outer, policy().build().unwrap());
    let (client, url) = (Client::new(), server.url("/inner/item"));
    let proof = client.proof("GET", "/inner/item");
    assert_eq!(client.get_with(&url, &proof).await.status, 200);
    let answer = client.get_with(&url, &proof).await;
    assert_eq!((answer.status, answer.error().as_str()), (401, "invalid_dpop_proof"));
}

#[actix_web::test]
async fn public_path_has_no_claims_of_a_replayed_proof() {
    let policy = builder(Binding::Allowed).public_paths(["/optional"]);
    let api = oauth2_actix_tests::api::Api::start(policy.build().unwrap());
    let (client, url) = (Client::new(), api.url("/optional"));
    let proof = client.proof("GET", "/optional");
    assert_eq!(client.get_with(&url, &proof).await.body, "user-1");
    assert_eq!(client.get_with(&url, &proof).await.body, "anonymous");
}
