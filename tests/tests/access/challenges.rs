//! Which scopes a 401 and a 403 name.

use actix_web::{HttpResponse, get, web};
use oauth2_actix::{
    MissingToken, public, public::PublicAccess, require_claim, require_policy, require_scope,
};
use serde_json::json;

use super::{app, builder, scoped, send, token};

#[require_scope("orders:read")]
#[require_scope("orders:write")]
#[require_claim("role", "admin")]
#[get("/challenges/stacked")]
async fn stacked() -> HttpResponse {
    HttpResponse::Ok().finish()
}

#[require_policy("back-office")]
#[get("/challenges/policy")]
async fn policy() -> HttpResponse {
    HttpResponse::Ok().finish()
}

#[require_scope(any_of("orders:read", "orders:write"))]
#[get("/challenges/any")]
async fn any() -> HttpResponse {
    HttpResponse::Ok().finish()
}

#[get("/challenges/below")]
#[require_scope("orders:read")]
async fn below() -> HttpResponse {
    HttpResponse::Ok().finish()
}

/// Has the form of the private routes, so that requests for them are routed.
#[public]
#[get("/challenges/{public}")]
async fn alike() -> HttpResponse {
    HttpResponse::Ok().finish()
}

fn configure(config: &mut web::ServiceConfig) {
    config.service(stacked).service(policy).service(any).service(below);
}

#[actix_web::test]
async fn rejection_of_a_token_names_all_scopes_of_the_route() {
    let app = app(builder().build().unwrap(), configure).await;
    for (path, claims, scope) in [
        ("stacked", json!({"role": "admin"}), Some("orders:read orders:write")),
        (
            "stacked",
            json!({"role": "admin", "scope": "orders:read"}),
            Some("orders:read orders:write"),
        ),
        ("stacked", json!({"scope": "orders:read"}), Some("orders:read orders:write")),
        // With all scopes, a client must not ask for them again.
        ("stacked", json!({"scope": "orders:read orders:write"}), None),
        ("policy", json!({"role": "staff"}), Some("reports:read")),
        ("policy", json!({"scope": "reports:read"}), None),
        ("any", json!({}), Some("orders:read orders:write")),
    ] {
        let answer = send(&app, "GET", &format!("/challenges/{path}"), Some(&token(claims))).await;
        assert_eq!((answer.status, answer.scope()), (403, scope), "{path} {}", answer.challenge);
        assert!(answer.challenge.contains("error=\"insufficient_scope\""));
    }
}

/// What a policy knows of the route of a request without a valid token.
async fn assert_401_names(
    app: &impl actix_web::dev::Service<
        actix_http::Request,
        Response = actix_web::dev::ServiceResponse<impl actix_web::body::MessageBody>,
        Error = actix_web::Error,
    >,
    path: &str,
    scope: Option<&str>,
) {
    let expired = oauth2_actix::testing::Token::new("https://idp.test", "api")
        .claim("exp", 1)
        .sign(oauth2_actix_tests::keys::key(oauth2_actix::Algorithm::ES256));
    for token in [None, Some("a.b.c"), Some(expired.as_str())] {
        let answer = send(app, "GET", path, token).await;
        assert_eq!((answer.status, answer.scope()), (401, scope), "{path} {}", answer.challenge);
        assert_eq!(answer.challenge.contains("error="), token.is_some());
    }
}

#[actix_web::test]
async fn rejection_of_a_missing_or_invalid_token_names_the_scopes_of_a_routed_request() {
    let unauthorized = || builder().missing_token_status(MissingToken::Unauthorized);
    let both = Some("orders:read orders:write");
    let all = [("stacked", both), ("policy", Some("reports:read")), ("any", both), ("below", None)];

    let oauth2 = unauthorized().route_before_rejection(true).build().unwrap();
    let routed = app(oauth2, configure).await;
    for (path, scope) in all {
        assert_401_names(&routed, &format!("/challenges/{path}"), scope).await;
    }
    assert_401_names(&routed, "/challenges/none", None).await;

    // A public route of the same form is in the app.
    let among_public = app(unauthorized().build().unwrap(), |config| {
        config.configure(configure).service(alike);
    })
    .await;
    for (path, scope) in all {
        assert_401_names(&among_public, &format!("/challenges/{path}"), scope).await;
    }

    let with_public_access = app(unauthorized().build().unwrap(), |config| {
        config.configure(configure).service(
            web::resource("/other").wrap(PublicAccess).route(web::get().to(HttpResponse::Ok)),
        );
    })
    .await;
    for (path, scope) in all {
        assert_401_names(&with_public_access, &format!("/challenges/{path}"), scope).await;
    }
}

#[actix_web::test]
async fn public_path_without_a_token_names_the_scopes_of_its_handler() {
    let oauth2 = builder()
        .missing_token_status(MissingToken::Unauthorized)
        .public_paths(["/challenges/stacked", "/challenges/below"])
        .build()
        .unwrap();
    let app = app(oauth2, configure).await;
    assert_401_names(&app, "/challenges/stacked", Some("orders:read orders:write")).await;
    assert_401_names(&app, "/challenges/below", Some("orders:read")).await;
}

#[actix_web::test]
async fn implied_scope_is_not_named_beside_the_one_that_implies_it() {
    let oauth2 = builder()
        .missing_token_status(MissingToken::Unauthorized)
        .route_before_rejection(true)
        .scope_implies("orders:write", ["orders:read"])
        .build()
        .unwrap();
    let app = app(oauth2, configure).await;
    let rejected = send(&app, "GET", "/challenges/stacked", Some(&scoped("other"))).await;
    assert_eq!((rejected.status, rejected.scope()), (403, Some("orders:write")));
    assert_401_names(&app, "/challenges/stacked", Some("orders:write")).await;
    // One of both would do, and the lesser one is enough.
    let rejected = send(&app, "GET", "/challenges/any", Some(&scoped("other"))).await;
    assert_eq!((rejected.status, rejected.scope()), (403, Some("orders:read orders:write")));
    let write = token(json!({"scope": "orders:write", "role": "admin"}));
    for path in ["/challenges/stacked", "/challenges/any", "/challenges/below"] {
        assert_eq!(send(&app, "GET", path, Some(&write)).await.status, 200, "{path}");
    }
}
