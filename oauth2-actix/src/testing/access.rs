//! Assertions on the access rules of an application.

use std::{fmt::Write as _, fs, path::Path};

use actix_web::{
    Error,
    dev::{Service, ServiceResponse},
    http::Method,
    test::TestRequest,
};

use super::resource_map::{Resource, resources, with_slash};
use crate::access::{self, Route, Routes};

/// Asserts that every route of an app has an access rule: that the router knows no resource that
/// [`access::routes`] lacks. [`guarded`](macro@crate::guarded) finds the same at compile time, for handlers with
/// routing macros.
///
/// ```
/// use actix_web::{App, get, test};
/// use oauth2_actix::{authenticated, testing};
///
/// #[authenticated]
/// #[get("/me")]
/// async fn me() -> &'static str {
///     "a valid token"
/// }
///
/// # #[actix_web::main]
/// # async fn main() {
/// let app = test::init_service(App::new().service(me)).await;
/// testing::assert_every_route_has_an_access_rule(&app).await;
/// # }
/// ```
///
/// A rule counts if its attribute is above the routing macro of the handler, or if `guarded` has put it there. For
/// `.route(…)`, `Files`, scopes with a `Requirement` around them, and `public_paths`, use
/// [`assert_every_route_has_an_access_rule_except`].
///
/// Resources are compared by name and by the pattern of the routing macro. Handlers of one name and one pattern in
/// several scopes count as one: `guarded` tells them apart. Default services are not resources, and are not seen.
///
/// # Panics
///
/// Panics with a list of the routes without a rule, and if the app's resource map cannot be read: the app routes
/// each request before rejecting it (`PublicAccess`, `route_before_rejection`). Leave `OAuth2` out of the app of
/// this test then.
pub async fn assert_every_route_has_an_access_rule<S, B>(app: &S)
where
    S: Service<actix_http::Request, Response = ServiceResponse<B>, Error = Error>,
{
    assert_every_route_has_an_access_rule_except(app, &[]).await;
}

/// Asserts what [`assert_every_route_has_an_access_rule`] does, except for resources with one of these patterns,
/// such as `/docs/{tail:.*}`. A pattern that no resource has is an error too.
///
/// # Panics
///
/// As [`assert_every_route_has_an_access_rule`].
pub async fn assert_every_route_has_an_access_rule_except<S, B>(app: &S, patterns: &[&str])
where
    S: Service<actix_http::Request, Response = ServiceResponse<B>, Error = Error>,
{
    // No public route has this method, so that the request is not routed.
    let method = Method::from_bytes(b"LIST-ROUTES").expect("a token");
    let request = TestRequest::default().method(method).to_request();
    let response = app.call(request).await.unwrap_or_else(|error| {
        panic!("the app returned an error instead of a response: {error}");
    });
    let resources = resources(response.request().resource_map());
    assert!(
        !resources.is_empty(),
        "the app has no routes, or routes each request before it is rejected; leave OAuth2 out of the app of this \
         test"
    );
    let routes = access::routes();
    let mut problems = String::new();
    for pattern in patterns {
        if !resources.iter().any(|resource| resource.pattern == *pattern) {
            let _ = writeln!(problems, "no route has the pattern {pattern}, which is excepted");
        }
    }
    for resource in &resources {
        let is_excepted = patterns.contains(&resource.pattern.as_str());
        if !is_excepted && !routes.iter().any(|route| is_rule_of(route, resource)) {
            let _ = writeln!(problems, "{}", problem(resource, &routes));
        }
    }
    assert!(problems.is_empty(), "routes without an access rule:\n{problems}");
}

/// Returns whether a row of the table is for a resource, wherever it is mounted.
fn is_rule_of(route: &Route, resource: &Resource) -> bool {
    let Some(own) = route.pattern() else { return false };
    let name = resource.name.as_deref().map(|name| name.strip_prefix("r#").unwrap_or(name));
    name == Some(route.resource_name()) && resource.own == with_slash(own)
}

fn problem(resource: &Resource, routes: &Routes) -> String {
    let Resource { pattern, name, .. } = resource;
    let Some(name) = name else {
        return format!(
            "{pattern}: registered without a routing macro; use one with an attribute such as \
             `#[authenticated]`, or name the pattern as an exception"
        );
    };
    let is_below =
        routes.iter().any(|route| route.pattern().is_none() && route.resource_name() == name);
    if is_below {
        format!(
            "{pattern} ({name}): write the attribute above the routing macro, or use `#[guarded]`"
        )
    } else {
        format!(
            "{pattern} ({name}): add `#[public]`, `#[authenticated]`, or a requirement such as \
             `#[require_scope(\"…\")]`"
        )
    }
}

/// Asserts that a table of access rules is the one of a snapshot, a JSON file in the repository. The path is
/// relative to the package, since tests run there.
///
/// ```no_run
/// # fn test() {
/// oauth2_actix::testing::assert_access_snapshot("tests/access.json", &oauth2_actix::access::routes());
/// # }
/// ```
///
/// # Panics
///
/// Panics with the changes in words if the table differs or the file is missing, and writes the table beside the
/// file, with `.new` at the end of its name. If the change is intended, rename that file.
#[track_caller]
pub fn assert_access_snapshot(path: impl AsRef<Path>, routes: &Routes) {
    let path = path.as_ref();
    let old = match fs::read_to_string(path) {
        Ok(text) => Routes::from_json(&text).unwrap_or_else(|error| {
            panic!("{} is not a table of access rules: {error}", path.display())
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Routes::default(),
        Err(error) => panic!("{}: {error}", path.display()),
    };
    let changes: Vec<String> = routes.changes_since(&old).iter().map(ToString::to_string).collect();
    if changes.is_empty() && path.exists() {
        return;
    }
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = Path::new(&new);
    if let Err(error) = fs::write(new, routes.to_json()) {
        panic!("{}: {error}", new.display());
    }
    panic!(
        "the access rules are not those of {}:\n{}\nif this is intended, rename {} to it",
        path.display(),
        changes.join("\n"),
        new.display()
    );
}
