//! Middleware inside `OAuth2` that changes the path after the decision.

use std::{
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use actix_web::{
    HttpMessage, HttpRequest,
    dev::{Service, ServiceRequest},
    get,
    http::Uri,
    middleware::{Condition, NormalizePath, TrailingSlash},
    web::{Data, ServiceConfig},
};
use futures_util::future::Either;
use oauth2_actix::public;
use oauth2_actix_tests::log;

use super::*;

/// The number of calls of private handlers.
#[derive(Default)]
struct Runs(AtomicUsize);

/// The routes of every layout.
const ROUTES: [&str; 8] =
    ["/docs", "/docs/", "/docs/x", "/docs/x/", "/docs/x/y", "/users/me", "/users/me/", "/health/"];

const SETTINGS: [&[&str]; 8] = [
    &["/docs/{tail:.*}"],
    &["/docs"],
    &["/docs", "/docs/"],
    &["/docs", "/docs/{tail}*"],
    &["/docs/{id}"],
    &["/docs/{id}", "/docs/{id}/"],
    &["/users/{id:[^m].*}"],
    &["/health", "/{all}"],
];

/// Returns whether the text of these settings opens a route.
fn opens(settings: &[&str], route: &str) -> bool {
    settings.iter().any(|setting| match setting.split_once('{') {
        None => *setting == route,
        Some((before, inside)) => {
            let Some(rest) = route.strip_prefix(before) else { return false };
            match inside {
                "tail:.*}" | "tail}*" => true,
                "id:[^m].*}" => !rest.is_empty() && !rest.starts_with('m'),
                "id}/" => rest.len() > 1 && rest.find('/') == Some(rest.len() - 1),
                "id}" | "all}" => !rest.is_empty() && !rest.contains('/'),
                other => panic!("{other}"),
            }
        }
    })
}

fn serve(
    settings: &'static [&'static str],
    mode: Option<TrailingSlash>,
    on_scope: bool,
) -> (LocalServer, Arc<Runs>) {
    let oauth2 = policy(settings).unwrap();
    let runs = Arc::new(Runs::default());
    let data = Data::from(Arc::clone(&runs));
    let server = LocalServer::start(move |listener| {
        let app = move || {
            let configure = |config: &mut ServiceConfig| {
                for route in ROUTES {
                    let runs = data.clone();
                    let handler = move |_: HttpRequest| {
                        if !opens(settings, route) {
                            runs.0.fetch_add(1, Ordering::SeqCst);
                        }
                        ready(route)
                    };
                    config.route(route, web::to(handler));
                }
            };
            let normalize = |enabled: bool| {
                let any = mode.unwrap_or(TrailingSlash::Trim);
                Condition::new(enabled && mode.is_some(), NormalizePath::new(any))
            };
            App::new()
                .service(web::scope("").configure(configure).wrap(normalize(on_scope)))
                .wrap(normalize(!on_scope))
                .wrap(oauth2.clone())
        };
        Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
    });
    (server.unwrap(), runs)
}

#[test]
fn inner_normalize_path_runs_no_private_handler() {
    let modes = [
        None,
        Some(TrailingSlash::Trim),
        Some(TrailingSlash::MergeOnly),
        Some(TrailingSlash::Always),
    ];
    for settings in SETTINGS {
        let mut public_runs = 0;
        for (mode, on_scope) in modes.iter().flat_map(|mode| [(*mode, false), (*mode, true)]) {
            let (server, runs) = serve(settings, mode, on_scope);
            for path in [
                "/docs",
                "/docs/",
                "/docs//",
                "//docs",
                "//docs//",
                "/docs/x",
                "/docs/x/",
                "/docs//x",
                "//docs//x//",
                "/docs/x/y",
                "/docs/x//y",
                "/docs/%2F",
                "/users/me",
                "/users//me",
                "/users//me//",
                "/users/%6de/",
                "/users/me/",
                "/health",
                "/health/",
                "/health//",
                "/",
                "//",
            ] {
                let answer = raw(server.address(), &raw_get(path, &[]));
                let what = format!("{settings:?} {mode:?} {path}: {answer:?}");
                assert_eq!(runs.0.load(Ordering::SeqCst), 0, "{what}: a private handler ran");
                public_runs += usize::from(answer.status == 200);
            }
        }
        assert!(
            public_runs > 0 || !ROUTES.iter().any(|route| opens(settings, route)),
            "{settings:?}"
        );
    }
}

#[test]
fn path_that_is_public_in_every_form_stays_public_with_inner_normalize_path() {
    let settings: &[&str] = &["/docs", "/docs/{tail}*"];
    for (mode, path, handler) in [
        (None, "/docs/x", "/docs/x"),
        (None, "/docs/", "/docs/"),
        (Some(TrailingSlash::Trim), "/docs/", "/docs"),
        (Some(TrailingSlash::Trim), "/docs//x//", "/docs/x"),
        (Some(TrailingSlash::MergeOnly), "/docs//x", "/docs/x"),
        (Some(TrailingSlash::MergeOnly), "/docs//", "/docs/"),
        (Some(TrailingSlash::Always), "/docs", "/docs/"),
        (Some(TrailingSlash::Always), "/docs/x", "/docs/x/"),
    ] {
        for on_scope in [false, true] {
            let (server, _) = serve(settings, mode, on_scope);
            let answer = raw(server.address(), &raw_get(path, &[]));
            assert_eq!((answer.status, answer.body.as_str()), (200, handler), "{mode:?} {path}");
        }
    }
}

#[test]
fn log_names_the_pattern_to_add_once() {
    log::keep();
    let (server, _) = serve(&["/once/{tail:.*}"], Some(TrailingSlash::Trim), false);
    for path in ["/once/", "/once/", "/once//"] {
        assert_rejected(&raw(server.address(), &raw_get(path, &[])), path);
    }
    let lines = log::lines_with(&["WARN", "pattern=\"/once/{tail:.*}\"", "add=\"/once\""]);
    assert_eq!(lines.len(), 1, "{lines:?}");
    let (server, _) = serve(&["/docs"], Some(TrailingSlash::Always), false);
    assert_rejected(&raw(server.address(), &raw_get("/docs", &[])), "/docs");
    let lines = log::lines_with(&["WARN", "because a middleware inside OAuth2 changed its path"]);
    assert!(!lines.is_empty());
}

/// Inner middleware that keeps the path, or drops the request.
#[test]
fn inner_middleware_that_responds_itself_responds_for_a_public_path() {
    let oauth2 = policy(&["/health"]).unwrap();
    let server = LocalServer::start(move |listener| {
        let app = move || {
            App::new()
                .route("/health", web::to(|| async { "up" }))
                .wrap_fn(|request: ServiceRequest, service| {
                    match request.headers().get("x-answer").map(|value| value.to_str().unwrap()) {
                        Some("ok") => {
                            let answer = HttpResponse::TooManyRequests().finish();
                            Either::Left(ready(Ok(request.into_response(answer))))
                        }
                        Some(_) => {
                            drop(request);
                            Either::Left(ready(Err(actix_web::error::ErrorTooManyRequests(
                                "later",
                            ))))
                        }
                        None => Either::Right(service.call(request)),
                    }
                })
                .wrap(oauth2.clone())
        };
        Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
    })
    .unwrap();
    let get = |path: &str, lines: &[&str]| raw(server.address(), &raw_get(path, lines));
    let up = get("/health?x=%20", &[]);
    assert_eq!((up.status, up.body.as_str()), (200, "up"));
    assert_eq!(get("/health", &["X-Answer: ok"]).status, 429);
    assert_eq!(get("/health", &["X-Answer: err"]).status, 429);
}

#[test]
fn inner_middleware_that_rewrites_a_public_path_runs_no_private_handler() {
    let oauth2 = policy(&["/health", "/caf\u{e9}"]).unwrap();
    let runs = Arc::new(Runs::default());
    let data = Data::from(Arc::clone(&runs));
    let server = LocalServer::start(move |listener| {
        let app = move || {
            let runs = data.clone();
            let private = move || {
                runs.0.fetch_add(1, Ordering::SeqCst);
                ready("private")
            };
            App::new()
                .route("/health", web::to(|| async { "up" }))
                .route(
                    "/caf\u{e9}",
                    web::to(|request: HttpRequest| async move { request.uri().to_string() }),
                )
                .route("/me", web::to(private))
                .wrap_fn(|mut request: ServiceRequest, service| {
                    if request.headers().contains_key("x-clear") {
                        request.extensions_mut().clear();
                    }
                    let target = request.headers().get("x-original-url");
                    let target = target.map(|path| path.to_str().unwrap().parse::<Uri>().unwrap());
                    if let Some(target) = target {
                        request.match_info_mut().get_mut().update(&target);
                    }
                    service.call(request)
                })
                .wrap(oauth2.clone())
        };
        Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
    })
    .unwrap();
    let get = |path: &str, lines: &[&str]| raw(server.address(), &raw_get(path, lines));
    assert_eq!(get("/health", &[]).body, "up");
    assert_eq!(get("/caf%C3%A9?q=%C3%A9", &[]).body, "/caf%C3%A9?q=%C3%A9");
    assert_eq!(get("/health", &["X-Clear: 1"]).body, "up");
    assert_rejected(&get("/health", &["X-Original-URL: /me"]), "rewritten");
    assert_rejected(
        &get("/health", &["X-Original-URL: /me", "X-Clear: 1"]),
        "without its extensions",
    );
    assert_eq!(runs.0.load(Ordering::SeqCst), 0);
}

#[public]
#[get("/health")]
async fn marked_health() -> &'static str {
    "public"
}

#[test]
fn inner_policy_under_a_public_path_opens_its_public_routes() {
    let outer = policy(&["/api/health", "/api/open", "/api/private"]).unwrap();
    let inner = policy(&["/api/open"]).unwrap();
    let server = LocalServer::start(move |listener| {
        let app = move || {
            App::new()
                .service(
                    web::scope("/api")
                        .service(marked_health)
                        .route("/open", web::to(|| async { "open" }))
                        .route("/private", web::to(|| async { "private" }))
                        .wrap(inner.clone()),
                )
                .wrap(outer.clone())
        };
        Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
    })
    .unwrap();
    let get = |path: &str| raw(server.address(), &raw_get(path, &[]));
    assert_eq!(get("/api/health").body, "public");
    assert_eq!(get("/api/open").body, "open");
    assert_rejected(&get("/api/private"), "the inner policy's");
}
