//! The access rules of the service: a snapshot, the coverage of its routes, its document, and some requests.

#![allow(clippy::unwrap_used)]

use actix_web::{
    App,
    test::{self, TestRequest},
    web,
};
use oauth2_actix::{OAuth2, access, testing};
use orders::{AUDIENCE, configure, database::Database, policy};
use serde_json::{Value, json};

const ISSUER: &str = "http://127.0.0.1:1";

fn oauth2(database: &Database) -> OAuth2 {
    policy(ISSUER, "http://127.0.0.1:1/jwks.json", database).unwrap()
}

/// A change of an access rule changes this file, so that it is seen in review.
#[actix_web::test]
async fn access_rules_are_those_of_the_snapshot() {
    let oauth2 = oauth2(&Database::new().unwrap());
    testing::assert_access_snapshot("tests/access.json", &oauth2.access_routes());
}

#[actix_web::test]
async fn every_route_has_an_access_rule() {
    let app = test::init_service(App::new().configure(configure)).await;
    testing::assert_every_route_has_an_access_rule(&app).await;
    assert_eq!(access::routes().iter().count(), 12);
}

#[actix_web::test]
async fn document_has_the_scopes_and_responses_of_each_operation() {
    let database = Database::new().unwrap();
    let oauth2 = oauth2(&database);
    let app = App::new()
        .app_data(web::Data::new(database))
        .app_data(web::Data::new(oauth2.clone()))
        .configure(configure)
        .wrap(oauth2);
    let app = test::init_service(app).await;
    let request = TestRequest::get().uri("/openapi.json").to_request();
    let document: Value = test::call_and_read_body_json(&app, request).await;
    for (path, method, security, is_forbidden) in [
        ("/health", "get", json!([]), false),
        ("/me", "get", json!([{"bearer": []}]), false),
        ("/users", "get", json!([{"bearer": []}]), true),
        ("/users/{subject}", "get", json!([{"bearer": []}]), true),
        ("/orders", "get", json!([{"bearer": ["orders:read"]}]), true),
        ("/orders/{id}", "get", json!([{"bearer": ["orders:read"]}]), true),
        ("/orders/{id}", "delete", json!([{"bearer": ["orders:write", "orders:delete"]}]), true),
        ("/refunds", "get", json!([{"bearer": ["refunds"]}]), true),
        ("/orders/{id}/refunds", "post", json!([{"bearer": ["refunds"]}]), true),
    ] {
        let operation = &document["paths"][path][method];
        assert_eq!(operation["security"], security, "{method} {path}");
        let has = |status: &str| operation["responses"].get(status).is_some();
        let needs_token = security != json!([]);
        assert_eq!((has("401"), has("503")), (needs_token, needs_token), "{method} {path}");
        assert_eq!(has("403"), is_forbidden, "{method} {path}");
    }
    assert_eq!(document["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
}

#[actix_web::test]
async fn users_roles_and_scopes_decide() {
    let idp = testing::IdentityProvider::start(AUDIENCE).unwrap();
    let database = Database::new().unwrap();
    let oauth2 = policy(idp.issuer(), &idp.jwks_url(), &database).unwrap();
    let app = App::new()
        .app_data(web::Data::new(database))
        .app_data(web::Data::new(oauth2.clone()))
        .configure(configure)
        .wrap(oauth2);
    let app = test::init_service(app).await;
    let finance = json!({"department": "finance", "scope": "refunds"});
    for (method, path, subject, claims, status) in [
        ("GET", "/me", "ann", json!({}), 200),
        // Blocked in the database.
        ("GET", "/me", "eve", json!({}), 403),
        ("GET", "/me", "unknown", json!({}), 401),
        ("GET", "/orders", "ann", json!({"scope": "orders:write"}), 200),
        ("GET", "/orders", "ann", json!({"scope": "refunds"}), 403),
        ("DELETE", "/orders/2", "ann", json!({"scope": "orders:write"}), 403),
        ("DELETE", "/orders/2", "ann", json!({"scope": "orders:write orders:delete"}), 204),
        ("GET", "/users/ann", "ann", json!({}), 200),
        ("GET", "/users/bob", "ann", json!({}), 403),
        ("GET", "/users/bob", "ann", json!({"role": "admin"}), 200),
        // The role is in the database, not in the token.
        ("POST", "/orders/1/refunds", "ann", finance.clone(), 204),
        ("POST", "/orders/1/refunds", "bob", finance, 403),
        ("POST", "/orders/1/refunds", "ann", json!({"scope": "refunds"}), 403),
    ] {
        let Value::Object(claims) = claims else { unreachable!() };
        let token = idp.token().claims(claims).claim("sub", subject).sign(&idp.key());
        let request = TestRequest::default()
            .method(method.parse().unwrap())
            .uri(path)
            .insert_header(("authorization", format!("Bearer {token}")))
            .to_request();
        let response = test::call_service(&app, request).await;
        assert_eq!(response.status(), status, "{method} {path} {subject}");
    }
}
