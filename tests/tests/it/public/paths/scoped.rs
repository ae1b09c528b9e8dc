//! Entries of `public_paths` without the prefix of the scope that their routes are in.

use actix_web::{App, HttpResponse, HttpServer, middleware::Condition, web};
use oauth2_actix::{
    Algorithm, OAuth2,
    testing::{LocalServer, Token},
};
use oauth2_actix_tests::{
    client::{raw, raw_get},
    keys::key,
    log,
};

use super::policy;

/// An API under a scope, with the middleware around the App or around the scope only.
fn serve(oauth2: OAuth2, is_around_the_scope: bool) -> LocalServer {
    let answer = || web::to(HttpResponse::Ok);
    LocalServer::start(move |listener| {
        let app = move || {
            let routes = move |config: &mut web::ServiceConfig| {
                config
                    .route("/scoped-exact", answer())
                    .route("/scoped-docs/{page}", answer())
                    .route("/scoped-users/{name}", answer())
                    .route("/right", answer())
                    .route("/rights/{id}", answer());
            };
            let scope = web::scope("/api/{version}").configure(routes);
            App::new()
                .service(scope.wrap(Condition::new(is_around_the_scope, oauth2.clone())))
                .route("/right", answer())
                .route("/rights/{id}", answer())
                .wrap(Condition::new(!is_around_the_scope, oauth2.clone()))
        };
        Ok(HttpServer::new(app).workers(2).listen(listener)?.run())
    })
    .unwrap()
}

fn status(server: &LocalServer, path: &str) -> u16 {
    raw(server.address(), &raw_get(path, &[])).status
}

#[test]
fn log_names_the_pattern_with_the_prefix_once_for_each_entry() {
    log::keep();
    for (name, is_around_the_scope) in [("app", false), ("scope", true)] {
        let oauth2 = policy(&[
            "/scoped-exact",
            "/scoped-docs/{tail:.*}",
            "/scoped-users/{id}",
            "/right",
            "/rights/{id}",
        ])
        .unwrap();
        let server = serve(oauth2, is_around_the_scope);
        let warnings = || {
            log::lines_with(&["WARN", "with the prefix of every scope", "right"]).len()
                + log::lines_with(&["WARN", "with the prefix of every scope", "scoped-"]).len()
        };
        let before = warnings();
        // No route, or one that the entry does not match: the entry opens another route.
        for path in ["/x/scoped-exact", "/api/scoped-exact", "/api/v1/right", "/api/v1/rights/7"] {
            assert!([400, 404].contains(&status(&server, path)), "{name} {path}");
        }
        assert_eq!(warnings(), before, "{name}");
        for number in 0..20 {
            for path in ["scoped-exact", "scoped-docs/intro", "scoped-users/7"] {
                let path = format!("/api/v{number}/{path}");
                assert_eq!(status(&server, &path), 400, "{name} {path}");
            }
        }
        assert_eq!(warnings(), before + 3, "{name}");
    }
    for (entry, add) in [
        ("/scoped-exact", "/api/{version}/scoped-exact"),
        ("/scoped-docs/{tail:.*}", "/api/{version}/scoped-docs/{tail:.*}"),
        ("/scoped-users/{id}", "/api/{version}/scoped-users/{id}"),
    ] {
        let words = [&*format!("entry={entry:?}"), &*format!("add={add:?}"), "WARN"];
        assert_eq!(log::lines_with(&words).len(), 2, "{entry}");
        // The pattern that the log names opens the route.
        let server = serve(policy(&[add]).unwrap(), false);
        let path = add.replace("{version}", "v1").replace("{tail:.*}", "a").replace("{id}", "7");
        assert_eq!(status(&server, &path), 200, "{path}");
    }
}

#[test]
fn log_names_no_pattern_for_a_token_that_fails() {
    log::keep();
    let server = serve(policy(&["/scoped-exact"]).unwrap(), false);
    let words = ["WARN", "with the prefix of every scope"];
    let token = Token::new("https://idp.test", "api").expires_in(-60).sign(key(Algorithm::ES256));
    let header = format!("Authorization: Bearer {token}");
    let answer = raw(server.address(), &raw_get("/api/v1/scoped-exact", &[&header]));
    assert_eq!(answer.status, 401);
    assert!(log::lines_with(&words).iter().all(|line| !line.contains(&*token)));
}
