//! Public paths are decided on the path that the router sees.
//!
//! - this file: exact paths, patterns, and their normal forms
//! - `rewritten`: middleware that changes a public path
//! - `scoped`: entries with and without the prefix of a scope

mod rewritten;
mod scoped;

use actix_web::{App, HttpResponse, HttpServer, web};
use oauth2_actix::{Algorithm, ConfigError, OAuth2, Provider, testing::LocalServer};
use oauth2_actix_tests::{
    api::Api,
    client::{Answer, raw, raw_get},
    keys::key,
    policy,
};

fn policy(paths: &[&str]) -> Result<OAuth2, ConfigError> {
    let keys = key(Algorithm::ES256).jwk_set();
    policy::builder()
        .provider("test", Provider::new().issuer("https://idp.test").audience("api").keys(keys))
        .public_paths(paths.iter().copied())
        .build()
}

fn start(paths: &[&str]) -> Api {
    Api::start(policy(paths).unwrap())
}

fn send(api: &Api, method: &str, path: &str) -> Answer {
    let request = String::from_utf8(raw_get(path, &[])).unwrap().replacen("GET", method, 1);
    raw(api.server().address(), request.as_bytes())
}

fn status(api: &Api, method: &str, path: &str) -> u16 {
    send(api, method, path).status
}

/// Asserts that the middleware rejected the request, rather than actix.
#[track_caller]
fn assert_rejected(answer: &Answer, what: &str) {
    assert_eq!((answer.status, answer.error()), (400, "invalid_request".into()), "{what}");
}

#[test]
fn public_paths_need_no_token_for_every_method() {
    let api = start(&["/", "/public", "/docs", "/docs/{tail:.*}"]);
    for path in ["/", "/public", "/docs/", "/docs/a/b", "/public?x=/me", "/%70ublic"] {
        for method in ["GET", "POST", "DELETE"] {
            assert_eq!(status(&api, method, path), 200, "{method} {path}");
        }
    }
    assert_eq!(api.private_calls(), 0);
}

#[test]
fn other_paths_need_a_token() {
    let api = start(&["/", "/public", "/docs/{tail:.*}"]);
    for path in [
        "/me",
        "/docs/../me",
        "/docs/%2e%2e/me",
        "/docs/a/..%2fb",
        "/docs/..",
        "/publications",
        "/public/",
        "/public/x",
        "/PUBLIC",
        "//public",
        "/docs",
        "/docs/",
        "/docs//",
        "/xdocs/a",
        "/me?/public",
        "/me%3F/public",
        "/public%2F..%2Fme",
        "/public;/me",
        "/public%23",
        "/me;x=/docs/",
        "/public%00",
        "/public%0a",
        "/./public",
        "/x/../public",
        "/me#/docs/",
    ] {
        assert_rejected(&send(&api, "GET", path), path);
    }
    assert_eq!(api.private_calls(), 0);
}

#[test]
fn private_route_in_the_form_of_a_public_pattern_stays_private() {
    let api = start(&["/users/{id:[^m].*}"]);
    assert_eq!(status(&api, "GET", "/users/x"), 200);
    for path in ["/users/me", "/users/%6de", "/users/%6d%65", "/%75sers/me"] {
        assert_rejected(&send(&api, "GET", path), path);
    }
    assert_eq!(api.private_calls(), 0);
}

#[test]
fn headers_methods_and_upgrades_open_no_private_path() {
    let api = start(&["/public"]);
    for line in [
        "X-Forwarded-Uri: /public",
        "X-Original-URL: /public",
        "X-Rewrite-URL: /public",
        "x-middleware-subrequest: middleware",
        "X-HTTP-Method-Override: OPTIONS",
        "Upgrade: websocket",
    ] {
        let answer = raw(api.server().address(), &raw_get("/me", &[line]));
        assert_rejected(&answer, line);
    }
    for method in ["OPTIONS", "TRACE", "get", "FOO"] {
        assert_rejected(&send(&api, method, "/me"), method);
    }
    assert_eq!(api.private_calls(), 0);
}

#[test]
fn files_beside_a_public_pattern_stay_private() {
    let oauth2 = policy(&["/src/{tail:.*}"]).unwrap();
    let server = LocalServer::start(move |listener| {
        let app = move || {
            App::new()
                .service(actix_files::Files::new("/", env!("CARGO_MANIFEST_DIR")))
                .wrap(oauth2.clone())
        };
        Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
    })
    .unwrap();
    let get = |path: &str| raw(server.address(), &raw_get(path, &[]));
    assert_eq!(get("/src/lib.rs").status, 200);
    for path in [
        "/Cargo.toml",
        "/src/../Cargo.toml",
        "/src/%2e%2e/Cargo.toml",
        "/src/./../Cargo.toml",
        "/src/..%2fCargo.toml",
        "/src/%2e%2e%2fCargo.toml",
        "/src/x/../../Cargo.toml",
    ] {
        assert_rejected(&get(path), path);
    }
}

/// Patterns that actix reads differently, each with its error.
#[test]
fn pattern_that_would_open_other_paths_is_a_build_error() {
    for (pattern, expected) in [
        ("/files/{id}/thumb*", "`*` is not a wildcard in actix"),
        ("/{v}/docs*", "`*` is not a wildcard in actix"),
        ("/static*", "`*` is not a wildcard in actix"),
        ("/api/v1/*", "`*` is not a wildcard in actix"),
        ("/a/{x}*/b", "`*` is not a wildcard in actix"),
        ("/a/{x:\\d+}*", "a segment with an expression takes no `*`"),
        ("/{x:a)|(?P<y>.*}", "its parentheses are not balanced"),
        ("/{a:[}/secret/{b:]}", "unclosed character class"),
        ("/users/id}", "a `}` without a matching `{`"),
        ("/docs/", "it can never match, since NormalizePath turns it into \"/docs\""),
    ] {
        let error = policy(&["/ok", pattern]).unwrap_err();
        assert_eq!((error.provider(), error.field()), (None, "public_paths"), "{pattern}");
        let text = error.to_string();
        assert!(text.contains(&format!("{pattern:?}: ")), "{text}");
        assert!(text.contains(expected), "{pattern}: {text}");
    }
}

#[test]
fn tail_pattern_in_either_form_opens_its_paths_only() {
    let oauth2 = policy(&["/a/{x}*", "/b/{x:.*}"]).unwrap();
    let server = LocalServer::start(move |listener| {
        let app = move || {
            App::new()
                .route("/a/{x}*", web::get().to(HttpResponse::Ok))
                .route("/b/{x:.*}", web::get().to(HttpResponse::Ok))
                .default_service(web::to(HttpResponse::Ok))
                .wrap(oauth2.clone())
        };
        Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
    })
    .unwrap();
    let get = |path: &str| raw(server.address(), &raw_get(path, &[]));
    for path in ["/a/x", "/a/x/y", "/b/x", "/b/x/y"] {
        assert_eq!(get(path).status, 200, "{path}");
    }
    for path in ["/a", "/a/", "/b", "/b/", "/c/x", "/x/a/y", "/a/../c"] {
        assert_rejected(&get(path), path);
    }
}
