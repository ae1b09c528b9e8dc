//! `#[require_dpop]`, and providers that require bound tokens.

use actix_web::{App, HttpResponse, HttpServer, get, web};
use oauth2_actix::{
    Algorithm, Binding, Claims, OAuth2, Provider, access, require_dpop, requirement,
    testing::LocalServer,
};
use oauth2_actix_tests::{
    client::{client, get, send},
    keys::key,
};

use super::{Client, builder, challenges, token};

#[require_dpop]
#[get("/dpop/transfers")]
async fn transfers(claims: Claims) -> String {
    claims.dpop_thumbprint().unwrap_or_default()
}

fn start(oauth2: OAuth2) -> LocalServer {
    LocalServer::start(move |listener| {
        let app = move || {
            App::new()
                .service(transfers)
                .service(
                    web::resource("/wrapped")
                        .wrap(requirement::policy("bound"))
                        .route(web::get().to(HttpResponse::Ok)),
                )
                .default_service(web::to(HttpResponse::Ok))
                .wrap(oauth2.clone())
        };
        Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
    })
    .unwrap()
}

#[actix_web::test]
async fn route_that_requires_dpop_rejects_a_bearer_token_and_asks_for_a_bound_one() {
    let policy = builder(Binding::Allowed).policy("bound", requirement::dpop());
    let server = start(policy.build().unwrap());
    let (bound, plain) = (Client::new(), token().sign(key(Algorithm::ES256)));
    for path in ["/dpop/transfers", "/wrapped"] {
        let answer = get(&server.url(path), Some(&plain)).await;
        assert_eq!((answer.status, answer.error().as_str()), (401, "invalid_token"), "{path}");
        let challenges = challenges(&answer);
        assert_eq!(challenges.len(), 1, "{challenges:?}");
        assert!(challenges[0].starts_with("DPoP realm=\"api\", algs=\"ES256"));
        assert!(challenges[0].contains("error=\"invalid_token\""));
        assert_eq!(bound.get(&server.url(path)).await.status, 200, "{path}");
    }
    assert_eq!(bound.get(&server.url("/dpop/transfers")).await.body, bound.key.thumbprint());
    assert_eq!(get(&server.url("/other"), Some(&plain)).await.status, 200);
    assert!(
        access::routes()
            .to_string()
            .lines()
            .any(|line| { line.contains("/dpop/transfers") && line.contains("dpop") })
    );
}

#[actix_web::test]
async fn provider_that_requires_bound_tokens_rejects_others() {
    let server = start(builder(Binding::Required).build().unwrap());
    let plain = token().sign(key(Algorithm::ES256));
    for scheme in ["Bearer", "DPoP"] {
        let request =
            client().get(server.url("/other")).header("authorization", format!("{scheme} {plain}"));
        let answer = send(request).await;
        assert_eq!((answer.status, answer.error().as_str()), (401, "invalid_token"));
        assert!(challenges(&answer)[0].starts_with("DPoP "));
    }
    assert_eq!(Client::new().get(&server.url("/other")).await.status, 200);
}

#[actix_web::test]
async fn binding_of_each_provider_is_its_own() {
    let other = Provider::new()
        .issuer("https://other.test")
        .audience("api")
        .keys(key(Algorithm::ES384).jwk_set());
    let server = start(builder(Binding::Required).provider("other", other).build().unwrap());
    let of_other = oauth2_actix::testing::Token::new("https://other.test", "api");
    let plain = of_other.clone().sign(key(Algorithm::ES384));
    assert_eq!(get(&server.url("/other"), Some(&plain)).await.status, 200);
    // Its bound tokens are not checked, so that they are rejected with either scheme.
    let client_key = Client::new().key;
    let token = of_other.bound_to(&client_key).sign(key(Algorithm::ES384));
    let client = Client { key: client_key, token };
    assert_eq!(get(&server.url("/other"), Some(&client.token)).await.status, 401);
    assert_eq!(client.get(&server.url("/other")).await.status, 401);
}

#[actix_web::test]
async fn token_without_a_request_is_rejected_if_it_is_bound() {
    let oauth2 = builder(Binding::Allowed).build().unwrap();
    let error = oauth2.verify(&Client::new().token).await.unwrap_err();
    assert_eq!(error.kind_name(), "sender_constrained");
    assert!(oauth2.verify(&token().sign(key(Algorithm::ES256))).await.is_ok());
}
