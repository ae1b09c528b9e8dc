//! Public paths are decided on the path that the router sees.

use oauth2_actix::{Algorithm, OAuth2, Provider};
use oauth2_actix_tests::{
    api::Api,
    client::{raw, raw_get},
    keys::key,
};

fn start(paths: &[&str]) -> Api {
    let keys = key(Algorithm::ES256).jwk_set();
    Api::start(
        OAuth2::builder()
            .provider("test", Provider::new().issuer("https://idp.test").audience("api").keys(keys))
            .public_paths(paths.iter().copied())
            .build()
            .unwrap(),
    )
}

fn status(api: &Api, method: &str, path: &str) -> u16 {
    let request = String::from_utf8(raw_get(path, &[])).unwrap().replacen("GET", method, 1);
    raw(api.server().address(), request.as_bytes()).status
}

#[test]
fn exact_paths_and_patterns_for_every_method() {
    let api = start(&["/", "/public", "/docs/{tail:.*}"]);
    for path in ["/", "/public", "/docs/", "/docs/a/b", "/public?x=/me", "/%70ublic"] {
        for method in ["GET", "POST", "DELETE"] {
            assert_eq!(status(&api, method, path), 200, "{method} {path}");
        }
    }
    assert_eq!(status(&api, "GET", "/docs/../me"), 200, "the router serves this as a document");
    assert_eq!(api.private_calls(), 0);
}

#[test]
fn whatever_else_needs_a_token() {
    let api = start(&["/", "/public", "/docs/{tail:.*}"]);
    for path in [
        "/me",
        "/publications",
        "/public/",
        "/public/x",
        "/PUBLIC",
        "//public",
        "/docs",
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
        assert_eq!(status(&api, "GET", path), 400, "{path}");
    }
    assert_eq!(api.private_calls(), 0);
}

#[test]
fn a_private_route_spelled_like_a_public_pattern_is_private() {
    let api = start(&["/users/{id:[^m].*}"]);
    assert_eq!(status(&api, "GET", "/users/x"), 200);
    for path in ["/users/me", "/users/%6de", "/users/%6d%65", "/%75sers/me"] {
        assert_eq!(status(&api, "GET", path), 400, "{path}");
    }
    assert_eq!(api.private_calls(), 0);
}

#[test]
fn headers_and_upgrades_open_nothing() {
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
        assert_eq!(answer.status, 400, "{line}");
    }
    for method in ["OPTIONS", "TRACE", "get", "FOO"] {
        assert_eq!(status(&api, method, "/me"), 400, "{method}");
    }
    assert_eq!(api.private_calls(), 0);
}
