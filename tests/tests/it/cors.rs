//! CORS outside: preflights pass, and a script may read every refusal.

use actix_cors::Cors;
use actix_web::{App, HttpServer};
use oauth2_actix::{
    Algorithm, OAuth2, Provider,
    testing::{Answer as Script, KeyServer, LocalServer, Token},
};
use oauth2_actix_tests::{
    api,
    client::{Answer, client, send},
    keys::key,
    log,
};

const ORIGIN: &str = "https://app.test";

fn oauth2(keys: &str) -> OAuth2 {
    OAuth2::builder()
        .provider("test", Provider::new().issuer("https://idp.test").audience("api").keys(keys))
        .build()
        .unwrap()
}

fn good_keys() -> String {
    key(Algorithm::ES256).jwk_set().to_string()
}

fn cors() -> Cors {
    Cors::default().allowed_origin(ORIGIN).allowed_methods(["GET"]).allowed_header("authorization")
}

fn serve(oauth2: OAuth2, cors_outside: bool) -> LocalServer {
    LocalServer::start(move |listener| {
        let server = if cors_outside {
            HttpServer::new(move || {
                App::new().configure(api::routes).wrap(oauth2.clone()).wrap(cors())
            })
            .workers(1)
            .listen(listener)?
            .run()
        } else {
            HttpServer::new(move || {
                App::new().configure(api::routes).wrap(cors()).wrap(oauth2.clone())
            })
            .workers(1)
            .listen(listener)?
            .run()
        };
        Ok(server)
    })
    .unwrap()
}

async fn preflight(server: &LocalServer) -> Answer {
    send(
        client()
            .request("OPTIONS".parse().unwrap(), server.url("/me"))
            .header("origin", ORIGIN)
            .header("access-control-request-method", "GET")
            .header("access-control-request-headers", "authorization"),
    )
    .await
}

async fn cross_origin(server: &LocalServer, path: &str, token: Option<&str>) -> Answer {
    let mut request = client().get(server.url(path)).header("origin", ORIGIN);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    send(request).await
}

#[tokio::test]
async fn preflights_pass_and_refusals_are_readable() {
    let server = serve(oauth2(&good_keys()), true);
    let answer = preflight(&server).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), Some(ORIGIN));

    let down = KeyServer::start(Script::status(500)).unwrap();
    let unavailable = serve(oauth2(&down.url()), true);
    let good = Token::new("https://idp.test", "api").sign(key(Algorithm::ES256));
    for (answer, status) in [
        (cross_origin(&server, "/me", None).await, 400),
        (cross_origin(&server, "/me", Some("x.y.z")).await, 401),
        (cross_origin(&server, "/scope", Some(&good)).await, 403),
        (cross_origin(&unavailable, "/me", Some(&good)).await, 503),
        (cross_origin(&server, "/me", Some(&good)).await, 200),
    ] {
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("access-control-allow-origin"), Some(ORIGIN), "{status}");
        let exposed = answer.header("access-control-expose-headers");
        let expected = (status != 200).then_some("WWW-Authenticate, Retry-After");
        assert_eq!(exposed, expected, "{status}");
    }
}

#[tokio::test]
async fn without_an_origin_nothing_is_exposed() {
    let server = serve(oauth2(&good_keys()), true);
    let answer = send(client().get(server.url("/me"))).await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.header("access-control-expose-headers"), None);
}

#[tokio::test]
async fn the_wrong_order_is_explained_once() {
    log::keep();
    let explained =
        || log::lines_with(&["WARN", "CORS preflight", ".wrap(oauth2).wrap(cors)"]).len();
    let server = serve(oauth2(&good_keys()), false);
    // An OPTIONS that is no preflight needs a token like anything else, and explains nothing.
    let plain = client().request("OPTIONS".parse().unwrap(), server.url("/me"));
    assert_eq!(send(plain).await.status, 400);
    let before = explained();
    for _ in 0..3 {
        assert_eq!(preflight(&server).await.status, 400);
    }
    assert_eq!(explained(), before + 1);
}
