//! Which requests reach the receivers, and the responses.

use actix_web::{App, HttpResponse, http::StatusCode, test, web};
use oauth2_actix::{Claims, logout::BackchannelLogout};
use oauth2_actix_tests::{
    client::{client, send},
    policy,
};

use super::{Api, CLIENT, builder, form, logout, sign};

#[tokio::test]
async fn receiver_needs_no_access_token_and_opens_nothing_else() {
    let api = Api::start(builder());
    let token = sign(&api.logout_token());
    for authorization in [None, Some("Bearer x"), Some("Bearer"), Some("Basic YTpi")] {
        let mut request = client().post(api.server.url("/backchannel-logout"));
        if let Some(value) = authorization {
            request = request.header("authorization", value);
        }
        let answer = send(form(request, &[("logout_token", &token)])).await;
        assert_eq!(answer.status, 200, "{authorization:?}");
    }
    for path in ["/", "/x", "/backchannel-logout/x", "/x/backchannel-logout", "/Backchannel-Logout"]
    {
        let answer =
            send(form(client().post(api.server.url(path)), &[("logout_token", "x")])).await;
        assert_eq!(answer.status, 400, "{path}");
        assert!(answer.header("www-authenticate").is_some(), "{path}: {}", answer.body);
    }
}

#[tokio::test]
async fn other_methods_are_not_allowed() {
    let api = Api::start(builder());
    for path in ["/backchannel-logout", "/security-events"] {
        let answer = send(client().get(api.server.url(path))).await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")), "{path}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
    }
}

#[actix_web::test]
async fn receiver_in_a_scope_is_at_the_prefix_of_the_scope() {
    let oauth2 = builder().backchannel_logout(logout().path("/logout")).build().unwrap();
    let hooks = web::scope("/hooks")
        .service(oauth2.logout_receivers())
        .route("/private", web::post().to(|_: Claims| async { HttpResponse::Ok().finish() }));
    let app = test::init_service(App::new().service(hooks).wrap(oauth2)).await;
    let status = async |path: &str| {
        let request = test::TestRequest::post().uri(path).to_request();
        test::call_service(&app, request)
            .await
            .response()
            .headers()
            .contains_key("www-authenticate")
    };
    assert!(!status("/hooks/logout").await);
    assert!(status("/hooks/private").await);
    assert!(status("/logout").await);
}

#[actix_web::test]
async fn policy_without_receivers_mounts_nothing() {
    let api = Api::start(builder());
    let provider = oauth2_actix::Provider::new().issuer("https://idp.test").audience("api");
    let keys = oauth2_actix_tests::keys::key(oauth2_actix::Algorithm::ES256).jwk_set();
    let oauth2 = policy::builder().provider("idp", provider.keys(keys)).build().unwrap();
    let routes = oauth2.access_routes().to_string();
    assert!(!routes.contains("backchannel"), "{routes}");
    let app = App::new().service(oauth2.logout_receivers()).wrap(oauth2);
    let app = test::init_service(app).await;
    let form = [("logout_token", sign(&api.logout_token()))];
    let request = test::TestRequest::post().uri("/backchannel-logout").set_form(form).to_request();
    assert_eq!(test::call_service(&app, request).await.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn table_of_routes_shows_the_receivers_as_public() {
    let oauth2 = builder().build().unwrap();
    let table = oauth2.access_routes().to_string();
    for line in [
        "POST /backchannel-logout public (oauth2_actix::logout::backchannel_logout)",
        "POST /security-events public (oauth2_actix::logout::security_events)",
    ] {
        assert!(table.lines().any(|it| it == line), "{table}");
    }
}

#[tokio::test]
async fn rejection_is_logged_without_the_token_and_at_a_bounded_rate() {
    oauth2_actix_tests::log::keep();
    let path = "/logged-logout";
    let logout = BackchannelLogout::new().client("idp", CLIENT).path(path);
    let api = Api::start(builder().backchannel_logout(logout));
    let token = sign(&api.logout_token().claim("nonce", "canary-nonce").claim("sub", "canary-sub"));
    for _ in 0..20 {
        let request = client().post(api.server.url(path));
        let answer = send(form(request, &[("logout_token", &token)])).await;
        assert_eq!(answer.status, 400);
    }
    let lines = oauth2_actix_tests::log::lines_with(&[path]);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("WARN") && lines[0].contains("it has a `nonce`"), "{}", lines[0]);
    let all = oauth2_actix_tests::log::text();
    assert!(!all.contains("canary") && !all.contains(&token[token.len() - 20..]));
}
