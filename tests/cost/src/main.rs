//! Runs one kind of request many times: `cost APP KIND COUNT`. Counted from outside, by callgrind.

#![allow(unused_imports)] // Without any routes.

use actix_web::{
    App, HttpResponse, get,
    test::{TestRequest, call_service, init_service},
    web,
};
use oauth2_actix::{
    Algorithm, OAuth2, Provider, public, require_claim,
    testing::{SigningKey, Token},
};

include!(concat!(env!("OUT_DIR"), "/routes.rs"));

async fn last() -> HttpResponse {
    HttpResponse::Ok().finish()
}

#[require_claim("role", "admin")]
async fn demanded() -> HttpResponse {
    HttpResponse::Ok().finish()
}

#[actix_web::main]
async fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [app, kind, count] = words.as_slice() else { panic!("APP KIND COUNT") };
    let count: usize = count.parse().expect("a count");
    let configure = match app.as_str() {
        "marked" => marked::configure,
        _ => plain::configure,
    };
    // HMAC, so that the signature's cost does not hide the router's.
    let key = SigningKey::from_secret(Algorithm::HS256, "k", &[7; 32]);
    let provider = Provider::new()
        .issuer("https://idp.test")
        .audience("api")
        .algorithms([Algorithm::HS256])
        .keys(key.jwk_set());
    let oauth2 = OAuth2::builder().provider("test", provider).build().expect("a policy");
    let token = Token::new("https://idp.test", "api").claim("role", "admin").sign(&key);
    let service = init_service(
        App::new()
            .configure(configure)
            .route("/last", web::get().to(last))
            .route("/demanded", web::get().to(demanded))
            .wrap(oauth2),
    )
    .await;
    let bearer = ("authorization", format!("Bearer {token}"));
    let public = format!("/r{}/x", (ROUTES.saturating_sub(1)) & !1);
    for _ in 0..count {
        let request = TestRequest::get();
        let (request, status) = match kind.as_str() {
            "token" => (request.uri("/last").insert_header(bearer.clone()), 200),
            "demanded" => (request.uri("/demanded").insert_header(bearer.clone()), 200),
            "anonymous" => (request.uri(&public), 200),
            "refused" => (request.uri("/last"), 400),
            // Of the shape of the public routes, and none of them.
            "alike" => (request.uri("/r1/"), 400),
            kind => panic!("{kind}"),
        };
        assert_eq!(call_service(&service, request.to_request()).await.status(), status);
    }
}
