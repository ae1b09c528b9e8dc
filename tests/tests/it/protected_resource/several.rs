//! Several resources of one policy.

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, middleware::NormalizePath, web};
use oauth2_actix::{
    Algorithm, ConfigErrorKind, OAuth2, Provider, requirement,
    testing::{LocalServer, Token},
    ws,
};
use oauth2_actix_tests::{
    client::{get, raw},
    keys::key,
    policy,
    socket::Socket,
};

use super::{ISSUER, builder, start, token};

const A: &str = "https://api.example.com/a";
const AB: &str = "https://api.example.com/a/b";
const C: &str = "https://other.example.com/c";

#[actix_web::test]
async fn token_is_accepted_for_the_resource_that_the_path_is_in() {
    let oauth2 = builder().resource(A).resource(AB).resource(C).build().unwrap();
    let server = start(oauth2);
    for (path, accepted) in [
        ("/a", Some(A)),
        ("/a/x", Some(A)),
        ("/a/bx", Some(A)),
        ("/a/b", Some(AB)),
        ("/a/b/x", Some(AB)),
        ("/a/%62/x", Some(AB)),
        ("/c", Some(C)),
        ("/ax", None),
        ("/", None),
    ] {
        for audience in [A, AB, C] {
            // Twice, so that the second token is cached.
            for _ in 0..2 {
                let status = get(&server.url(path), Some(&token(audience))).await.status;
                let expected = if accepted == Some(audience) { 200 } else { 401 };
                assert_eq!(status, expected, "{path} {audience}");
            }
        }
        let all = Token::new(ISSUER, "x").claim("aud", vec![A, AB, C]).sign(key(Algorithm::ES256));
        let status = get(&server.url(path), Some(&all)).await.status;
        assert_eq!(status, if accepted.is_some() { 200 } else { 401 }, "{path}");
    }
}

#[actix_web::test]
async fn path_that_an_inner_middleware_normalizes_is_in_the_resource_of_its_normal_form() {
    let oauth2 = builder().resource(A).resource(AB).build().unwrap();
    let server = LocalServer::start(move |listener| {
        let app = move || {
            App::new()
                .route("/a/b", web::get().to(HttpResponse::Ok))
                .wrap(NormalizePath::trim())
                .wrap(oauth2.clone())
        };
        Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
    })
    .unwrap();
    for path in ["/a/b", "/a//b", "//a/b/", "/a/b//"] {
        let status = |audience| {
            let request = format!(
                "GET {path} HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer {}\r\n\r\n",
                token(audience)
            );
            raw(server.address(), request.as_bytes()).status
        };
        // With `//`, a handler of A could see the path too.
        let expected = if path.contains("//") { (401, 401) } else { (401, 200) };
        assert_eq!((status(A), status(AB)), expected, "{path}");
    }
}

#[actix_web::test]
async fn path_that_a_handler_may_resolve_to_another_resource_needs_a_token_for_all() {
    let server = start(builder().resource(A).resource(AB).resource(C).build().unwrap());
    let both = Token::new(ISSUER, "x").claim("aud", vec![A, AB, C]).sign(key(Algorithm::ES256));
    for path in [
        "/a/../c/x",
        "/a/%2e%2e/c/x",
        "/a/./b",
        "/a%2Fb",
        "/a%2fb/x",
        "/a%5Cb",
        "/a/x%2Bb",
        "/a/%252e",
        "/a//b",
        "/a\\b",
    ] {
        let status = |token: &str| {
            let request = format!(
                "GET {path} HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer {token}\r\n\r\n"
            );
            raw(server.address(), request.as_bytes()).status
        };
        for audience in [A, AB, C] {
            let status = status(&token(audience));
            assert!([400, 401].contains(&status), "{path} {audience} {status}");
        }
        assert!([200, 400].contains(&status(&both)), "{path}");
    }
}

#[test]
fn settings_that_would_accept_a_token_for_another_resource_are_rejected() {
    let keys = || key(Algorithm::ES256).jwk_set();
    let provider = || Provider::new().issuer(ISSUER).keys(keys());
    let as_audience = policy::builder().provider("idp", provider().audience(A));
    let error = as_audience.clone().resource(A).resource(C).build().unwrap_err();
    assert_eq!((error.kind(), error.field()), (ConfigErrorKind::Conflict, "audience"), "{error}");
    assert!(as_audience.resource(A).build().is_ok(), "one resource is no conflict");
    let two = policy::builder()
        .provider("admin", provider().audience("x").require(requirement::claim("role", "admin")))
        .provider("web", provider().audience("y"));
    let error = two.clone().resource(A).build().unwrap_err();
    assert_eq!((error.kind(), error.field()), (ConfigErrorKind::Conflict, "resource"), "{error}");
    assert!(two.build().is_ok());
}

#[actix_web::test]
async fn challenge_names_the_document_of_the_path() {
    let server = start(builder().resource(A).resource(AB).resource(C).build().unwrap());
    for (path, url) in [
        ("/a/x", "https://api.example.com/.well-known/oauth-protected-resource/a\""),
        ("/a/b/x", "https://api.example.com/.well-known/oauth-protected-resource/a/b\""),
        ("/c", "https://other.example.com/.well-known/oauth-protected-resource/c\""),
        ("/x", "https://api.example.com/.well-known/oauth-protected-resource/a\""),
    ] {
        let answer = get(&server.url(path), None).await;
        assert!(answer.challenge().contains(url), "{path} {answer:?}");
    }
    for path in ["/a", "/a/b", "/c"] {
        let path = format!("/.well-known/oauth-protected-resource{path}");
        assert_eq!(get(&server.url(&path), None).await.status, 200, "{path}");
    }
    // It would be the document of one of them.
    assert_eq!(get(&server.url("/.well-known/oauth-protected-resource"), None).await.status, 401);
}

#[actix_web::test]
async fn hosts_with_the_same_path_are_one_resource() {
    let other = "https://internal.example.com/a";
    let server = start(builder().resource(A).resource(other).build().unwrap());
    for audience in [A, other] {
        assert_eq!(get(&server.url("/a"), Some(&token(audience))).await.status, 200);
    }
}

#[actix_web::test]
async fn audience_of_the_provider_is_for_all_resources() {
    let keys = key(Algorithm::ES256).jwk_set();
    let provider = Provider::new().issuer(ISSUER).audience("client-id").keys(keys);
    let oauth2 = policy::builder().provider("idp", provider).resource(A).resource(C);
    let server = start(oauth2.build().unwrap());
    for path in ["/a", "/c", "/"] {
        assert_eq!(get(&server.url(path), Some(&token("client-id"))).await.status, 200);
    }
}

#[actix_web::test]
async fn session_is_not_renewed_by_a_token_for_another_resource() {
    async fn session(
        request: HttpRequest,
        body: web::Payload,
        oauth2: web::Data<OAuth2>,
    ) -> actix_web::Result<HttpResponse> {
        let (response, mut session, mut messages) = ws::upgrade(&request, body).start()?;
        actix_web::rt::spawn(async move {
            while let Some(Ok(ws::Message::Text(token))) = messages.recv().await {
                let answer = match session.renew(&oauth2, &token).await {
                    Ok(_) => "renewed",
                    Err(error) => error.kind_name(),
                };
                if session.text(answer).await.is_err() {
                    break;
                }
            }
        });
        Ok(response)
    }
    let keys = key(Algorithm::ES256).jwk_set();
    let provider = Provider::new().issuer(ISSUER).audience("client-id").keys(keys);
    let oauth2 = policy::builder().provider("idp", provider).resource(A).resource(C);
    let oauth2 = oauth2.build().unwrap();
    let server = LocalServer::start(move |listener| {
        let app = move || {
            App::new()
                .app_data(web::Data::new(oauth2.clone()))
                .default_service(web::get().to(session))
                .wrap(oauth2.clone())
        };
        Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
    })
    .unwrap();
    for (opened_by, renewed_by, result) in [
        (A, C, "subject_mismatch"),
        (A, A, "renewed"),
        (A, "client-id", "renewed"),
        ("client-id", A, "subject_mismatch"),
        ("client-id", "client-id", "renewed"),
    ] {
        let authorization = format!("Bearer {}", token(opened_by));
        let headers = [("authorization", authorization.as_str())];
        let mut socket = Socket::open(&server.url("/a"), &headers).await;
        socket.send(&token(renewed_by)).await;
        assert_eq!(socket.receive().await, result, "{opened_by} {renewed_by}");
    }
}
