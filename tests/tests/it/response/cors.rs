//! CORS outside: preflights pass, and a script can read every rejection.

use actix_cors::Cors;
use actix_web::{
    App, HttpResponse, HttpServer,
    http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE},
    web,
};
use oauth2_actix::{
    Algorithm, OAuth2, Provider,
    testing::{LocalServer, Token},
};
use oauth2_actix_tests::{
    api,
    client::{Answer, client, send},
    key_server::{Answer as Script, KeyServer},
    keys::key,
    log, policy,
};

const ORIGIN: &str = "https://app.test";

fn oauth2(keys: &str) -> OAuth2 {
    policy::builder()
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
async fn preflights_pass_and_rejections_are_readable() {
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
async fn rejection_without_an_origin_exposes_no_headers() {
    let server = serve(oauth2(&good_keys()), true);
    let answer = send(client().get(server.url("/me"))).await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.header("access-control-expose-headers"), None);
}

#[tokio::test]
async fn cors_inside_the_policy_is_logged_once() {
    log::keep();
    let explained =
        || log::lines_with(&["WARN", "CORS preflight", ".wrap(oauth2).wrap(cors)"]).len();
    let server = serve(oauth2(&good_keys()), false);
    // An OPTIONS that is not a preflight needs a token, and is not logged.
    let plain = client().request("OPTIONS".parse().unwrap(), server.url("/me"));
    assert_eq!(send(plain).await.status, 400);
    let before = explained();
    for _ in 0..3 {
        assert_eq!(preflight(&server).await.status, 400);
    }
    assert_eq!(explained(), before + 1);
}

/// The recipe of `docs/cors.md`, with a header of the API.
fn recipe() -> Cors {
    Cors::default()
        .allowed_origin(ORIGIN)
        .allowed_methods(["GET", "POST"])
        .allowed_headers([AUTHORIZATION, CONTENT_TYPE])
        .expose_headers([WWW_AUTHENTICATE, RETRY_AFTER, TOTAL])
        .supports_credentials()
        .max_age(600)
}

fn serve_behind(oauth2: OAuth2, cors: fn() -> Cors) -> LocalServer {
    LocalServer::start(move |listener| {
        let app = move || {
            App::new()
                .configure(api::routes)
                .route("/total", web::get().to(total))
                .route("/broken", web::get().to(broken))
                .wrap(oauth2.clone())
                .wrap(cors())
        };
        Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
    })
    .unwrap()
}

async fn total() -> HttpResponse {
    HttpResponse::Ok().insert_header((TOTAL, "7")).finish()
}

async fn broken() -> actix_web::Result<HttpResponse> {
    Err(actix_web::error::ErrorInternalServerError("a failure of the handler"))
}

fn names(answer: &Answer, header: &str) -> Vec<String> {
    let text = answer.header(header).unwrap_or_default().to_ascii_lowercase();
    let mut names: Vec<_> = text.split(',').map(|name| name.trim().to_owned()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn recipe_accepts_preflights_of_its_origin_only() {
    let server = serve_behind(oauth2(&good_keys()), recipe);
    let answer = preflight(&server).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), Some(ORIGIN));
    assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
    assert_eq!(answer.header("access-control-max-age"), Some("600"));
    assert_eq!(names(&answer, "access-control-allow-headers"), ["authorization", "content-type"]);
    assert_eq!(names(&answer, "access-control-allow-methods"), ["get", "post"]);

    for (origin, method, headers) in [
        ("https://evil.test", "GET", "authorization"),
        ("null", "GET", "authorization"),
        ("https://app.test.evil.test", "GET", "authorization"),
        ("http://app.test", "GET", "authorization"),
        (ORIGIN, "DELETE", "authorization"),
        (ORIGIN, "GET", "authorization, x-other"),
    ] {
        let request = client()
            .request("OPTIONS".parse().unwrap(), server.url("/me"))
            .header("origin", origin)
            .header("access-control-request-method", method)
            .header("access-control-request-headers", headers);
        let answer = send(request).await;
        assert_eq!(answer.status, 400, "{origin} {method} {headers}");
        assert_eq!(
            answer.header("access-control-allow-origin"),
            None,
            "{origin} {method} {headers}"
        );
    }
}

#[tokio::test]
async fn responses_behind_the_recipe_are_readable() {
    let server = serve_behind(oauth2(&good_keys()), recipe);
    let down = KeyServer::start(Script::status(500)).unwrap();
    let unavailable = serve_behind(oauth2(&down.url()), recipe);
    let good = Token::new("https://idp.test", "api").sign(key(Algorithm::ES256));
    let good = Some(good.as_str());
    for (answer, status, header) in [
        (cross_origin(&server, "/total", good).await, 200, "x-total"),
        (cross_origin(&server, "/me", None).await, 400, "www-authenticate"),
        (cross_origin(&server, "/me", Some("x.y.z")).await, 401, "www-authenticate"),
        (cross_origin(&server, "/scope", good).await, 403, "www-authenticate"),
        (cross_origin(&server, "/nowhere", good).await, 404, ""),
        (cross_origin(&server, "/broken", good).await, 500, ""),
        (cross_origin(&unavailable, "/me", good).await, 503, "retry-after"),
    ] {
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("access-control-allow-origin"), Some(ORIGIN), "{status}");
        assert_eq!(answer.header("access-control-allow-credentials"), Some("true"), "{status}");
        assert!(header.is_empty() || answer.header(header).is_some(), "{status}");
        let exposed = names(&answer, "access-control-expose-headers");
        assert_eq!(exposed, ["retry-after", "www-authenticate", "x-total"], "{status}");
    }
}

#[tokio::test]
async fn page_of_another_origin_reads_no_response() {
    let server = serve_behind(oauth2(&good_keys()), recipe);
    for (origin, token) in [("https://evil.test", None), ("null", Some("x.y.z"))] {
        let mut request = client().get(server.url("/me")).header("origin", origin);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = send(request).await;
        assert!(matches!(answer.status, 400 | 401), "{}", answer.status);
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
}

#[tokio::test]
async fn exposing_other_headers_hides_the_challenge() {
    let server = serve_behind(oauth2(&good_keys()), || cors().expose_headers([TOTAL]));
    let answer = cross_origin(&server, "/me", None).await;
    assert_eq!(names(&answer, "access-control-expose-headers"), ["x-total"]);

    let server = serve_behind(oauth2(&good_keys()), || cors().expose_any_header());
    let answer = cross_origin(&server, "/me", None).await;
    let exposed = names(&answer, "access-control-expose-headers");
    assert!(exposed.contains(&"www-authenticate".to_owned()), "{exposed:?}");
}

const TOTAL: HeaderName = HeaderName::from_static("x-total");
