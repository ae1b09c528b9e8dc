//! Mistakes in mounting the middleware, which are logged once in a process.

use actix_http::Request;
use actix_web::{
    App, HttpResponse, HttpServer,
    dev::{Service, ServiceResponse},
    get,
    http::StatusCode,
    routes,
    test::{TestRequest, call_service, init_service},
    web,
};
use oauth2_actix::{
    Algorithm, Provider, public,
    testing::{LocalServer, SigningKey, Token},
};
use oauth2_actix_tests::{alone, client, keys::key, log, policy};

const ISSUER: &str = "https://idp.test";

fn signing_key() -> &'static SigningKey {
    key(Algorithm::ES256)
}

fn token() -> String {
    Token::new(ISSUER, "api").expires_in(90 * 86_400).sign(signing_key())
}

/// Lines that are logged once in a process are searched for in processes of their own.
#[test]
fn mounting_mistakes_are_logged_once() {
    for test in [
        "alone_policy_built_on_a_worker_is_logged_once",
        "alone_public_route_outside_of_any_policy_is_logged_once",
    ] {
        alone::run(module_path!(), test);
    }
}

#[tokio::test]
#[ignore = "in a process of its own, started by `mounting_mistakes_are_logged_once`"]
async fn alone_policy_built_on_a_worker_is_logged_once() {
    log::keep();
    let inline = || {
        let provider = Provider::new().issuer(ISSUER).audience("api");
        policy::builder().provider("p", provider.keys(signing_key().jwk_set())).build().unwrap()
    };
    let lines = || log::lines_with(&["WARN", "built on a worker of actix-server"]).len();
    let once = inline();
    let good = LocalServer::start(move |listener| {
        let app = move || App::new().wrap(once.clone()).route("/", web::get().to(HttpResponse::Ok));
        Ok(HttpServer::new(app).workers(2).listen(listener)?.run())
    })
    .unwrap();
    assert_eq!(client::get(&good.url("/"), Some(&token())).await.status, 200);
    assert_eq!(lines(), 0);
    let wrong = LocalServer::start(move |listener| {
        let app = move || App::new().wrap(inline()).route("/", web::get().to(HttpResponse::Ok));
        Ok(HttpServer::new(app).workers(2).listen(listener)?.run())
    })
    .unwrap();
    assert_eq!(
        client::get(&wrong.url("/"), Some(&token())).await.status,
        200,
        "the request is accepted"
    );
    assert_eq!(lines(), 1);
}

#[public]
#[get("/probe")]
async fn probe() -> &'static str {
    "up"
}

#[public]
#[routes]
#[get("/probes/{name}")]
#[get("/probe-too")]
async fn probes() -> &'static str {
    "up"
}

async fn send<S, B>(app: &S, path: &str, token: Option<&str>) -> StatusCode
where
    S: Service<Request, Response = ServiceResponse<B>, Error = actix_web::Error>,
{
    let mut request = TestRequest::get().uri(path);
    if let Some(token) = token {
        request = request.insert_header(("authorization", format!("Bearer {token}")));
    }
    call_service(app, request.to_request()).await.status()
}

#[actix_web::test]
#[ignore = "in a process of its own, started by `mounting_mistakes_are_logged_once`"]
async fn alone_public_route_outside_of_any_policy_is_logged_once() {
    log::keep();
    let oauth2 = || {
        let provider = Provider::new().issuer(ISSUER).audience("api");
        policy::builder().provider("p", provider.keys(signing_key().jwk_set())).build().unwrap()
    };
    let lines = || log::lines_with(&["WARN", "no OAuth2 middleware is mounted around"]);
    let wrapped = init_service(App::new().service(probe).service(probes).wrap(oauth2())).await;
    for path in ["/probe", "/probes/x", "/probe-too"] {
        for token in [None, Some(token()), Some("garbage".to_owned())] {
            assert_eq!(send(&wrapped, path, token.as_deref()).await, 200, "{path}");
        }
    }
    assert_eq!(lines().len(), 0);
    // Around one scope, with the public route outside.
    let partly = App::new()
        .service(web::scope("/api").wrap(oauth2()).route("/x", web::get().to(HttpResponse::Ok)))
        .service(probes);
    let partly = init_service(partly).await;
    assert_eq!(send(&partly, "/api/x", Some(&token())).await, 200);
    assert_eq!(lines().len(), 0);
    for path in ["/probe-too", "/probes/x", "/probe-too"] {
        assert_eq!(send(&partly, path, Some(&token())).await, 200);
    }
    let forgotten = init_service(App::new().service(probe)).await;
    assert_eq!(send(&forgotten, "/probe", None).await, 200);
    assert_eq!(lines().len(), 1);
    assert!(lines()[0].contains("/probe-too"), "{:?}", lines());
}
