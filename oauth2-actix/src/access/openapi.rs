//! The access rules in an OpenAPI document, for the crate `utoipa`.

use serde_json::json;
use utoipa::{
    Modify,
    openapi::{
        ContentBuilder, HeaderBuilder, ObjectBuilder, OpenApi, RefOr, Response, ResponseBuilder,
        path::{Operation, PathItem},
        schema::{SchemaType, Type},
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

use crate::{
    authorize::rule::{AccessRule, RULED_ROUTES},
    public,
    token::rules::Rules,
};

/// A modifier of `utoipa` that adds the access rules of the program to an OpenAPI document. Needs the feature
/// `utoipa`.
///
/// ```
/// use actix_web::{get, post};
/// use oauth2_actix::{access::OpenApiSecurity, public, require_scope};
/// use utoipa::OpenApi;
///
/// #[public]
/// #[utoipa::path(responses((status = 200, description = "up")))]
/// #[get("/health")]
/// async fn health() -> &'static str {
///     "up"
/// }
///
/// #[require_scope("refunds:write")]
/// #[utoipa::path(responses((status = 200, description = "done")))]
/// #[post("/refunds")]
/// async fn refund() -> &'static str {
///     "done"
/// }
///
/// #[derive(OpenApi)]
/// #[openapi(paths(health, refund), modifiers(&OpenApiSecurity))]
/// struct Document;
///
/// # fn main() {
/// let document = serde_json::to_value(Document::openapi()).unwrap();
/// let operation = &document["paths"]["/refunds"]["post"];
/// assert_eq!(operation["security"], serde_json::json!([{"bearer": ["refunds:write"]}]));
/// assert!(operation["responses"].get("403").is_some());
/// assert_eq!(document["paths"]["/health"]["get"]["security"], serde_json::json!([]));
/// # }
/// ```
///
/// It adds the security scheme `bearer`, and to each operation what its route requires: no token for a public
/// route, otherwise a bearer token with the scopes of its rule, and the responses 400, 401, 403 and 503 unless the
/// document has them. An operation that the table does not know requires a token without scopes, as every route
/// inside `OAuth2` does. Alternatives such as `any_of` are alternatives in the document.
///
/// An operation is found by its method, its path, which may have the prefix of a scope, and its `operationId` if
/// several handlers have that path. `#[utoipa::path]` is above the routing macro, and an access rule above both.
/// [`OAuth2::add_security_to`](crate::OAuth2::add_security_to) also knows the scopes of named policies.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::exhaustive_structs)] // Written as a value.
pub struct OpenApiSecurity;

impl Modify for OpenApiSecurity {
    fn modify(&self, document: &mut OpenApi) {
        add_security(document, &Rules::default());
    }
}

/// Adds the security scheme, and the requirements and responses of each operation.
pub(crate) fn add_security(document: &mut OpenApi, rules: &Rules) {
    let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
    document
        .components
        .get_or_insert_default()
        .add_security_scheme(SCHEME, SecurityScheme::Http(scheme));
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            let access = find(method, path, operation.operation_id.as_deref());
            set_access(operation, access, rules);
        }
    }
}

/// The access to an operation.
#[derive(Clone, Copy)]
enum Access {
    Public,
    /// Any valid token, or what the rule requires.
    Token(Option<&'static AccessRule>),
}

impl Access {
    /// Returns whether both are the same in words.
    fn is(self, other: Self) -> bool {
        let parts = |access| match access {
            Self::Public => None,
            Self::Token(rule) => Some(rule.map(|rule: &AccessRule| rule.parts(None))),
        };
        parts(self) == parts(other)
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    [
        ("GET", item.get.as_mut()),
        ("PUT", item.put.as_mut()),
        ("POST", item.post.as_mut()),
        ("DELETE", item.delete.as_mut()),
        ("OPTIONS", item.options.as_mut()),
        ("HEAD", item.head.as_mut()),
        ("PATCH", item.patch.as_mut()),
        ("TRACE", item.trace.as_mut()),
        ("QUERY", item.query.as_mut()),
    ]
    .into_iter()
    .filter_map(|(method, operation)| Some((method, operation?)))
}

/// Returns the access to the route of an operation. A route that is not in the table, or one of several that
/// cannot be told apart, needs a token.
fn find(method: &str, path: &str, operation_id: Option<&str>) -> Access {
    let public = public::ROUTES
        .iter()
        .map(|route| (route.methods(), Some(route.pattern()), route.handler(), Access::Public));
    let ruled = RULED_ROUTES
        .iter()
        .map(|row| (row.methods, row.pattern, row.handler, Access::Token(Some((row.rule)()))));
    let has_id =
        |handler: &str| operation_id.is_some_and(|id| handler.rsplit("::").next() == Some(id));
    let mut found: Vec<(&str, usize, Access)> = public
        .chain(ruled)
        .filter(|(methods, ..)| methods.contains(&method))
        .filter_map(|(_, pattern, handler, access)| {
            let (own, whole) = (shape(pattern?), shape(path));
            let is_whole = own == whole;
            // The end of a path is also that of routes which the table does not know: only the handler's name
            // makes such a route public.
            let is_found = is_whole
                || (ends_with(&whole, &own)
                    && (has_id(handler) || !(own.is_empty() || matches!(access, Access::Public))));
            is_found.then_some((handler, own.len(), access))
        })
        .collect();
    if found.iter().any(|(handler, ..)| has_id(handler)) {
        found.retain(|(handler, ..)| has_id(handler));
    }
    // The longest pattern is the most specific one.
    let longest = found.iter().map(|(_, length, _)| *length).max().unwrap_or_default();
    found.retain(|(_, length, _)| *length == longest);
    match &found[..] {
        [(_, _, first), others @ ..] if others.iter().all(|(_, _, other)| other.is(*first)) => {
            *first
        }
        _ => Access::Token(None),
    }
}

/// Returns the segments of a path, in which each dynamic part is `{}`.
fn shape(path: &str) -> Vec<String> {
    let segments = path.split('/').filter(|segment| !segment.is_empty());
    let mut shapes = Vec::new();
    let mut depth = 0_usize;
    for segment in segments {
        // A regular expression may contain a slash.
        let is_continued = depth > 0;
        let mut shape = String::new();
        for character in segment.chars() {
            match character {
                '{' => {
                    if depth == 0 {
                        shape.push_str("{}");
                    }
                    depth += 1;
                }
                '}' => depth = depth.saturating_sub(1),
                // The tail `{tail}*`.
                '*' => {}
                character if depth == 0 => shape.push(character),
                _ => {}
            }
        }
        if !is_continued || !shape.is_empty() {
            shapes.push(shape);
        }
    }
    shapes
}

fn ends_with(path: &[String], own: &[String]) -> bool {
    path.ends_with(own)
}

fn set_access(operation: &mut Operation, access: Access, rules: &Rules) {
    let rule = match access {
        Access::Public => {
            operation.security = Some(Vec::new());
            return;
        }
        Access::Token(rule) => rule,
    };
    let requirement = rule.and_then(AccessRule::requirement);
    let alternatives = requirement
        .and_then(|requirement| requirement.scope_alternatives(rules))
        // A requirement that no token meets has none.
        .filter(|alternatives| !alternatives.is_empty())
        .unwrap_or_else(|| vec![Vec::new()]);
    let security =
        alternatives.iter().map(|scopes| SecurityRequirement::new(SCHEME, scopes.clone()));
    operation.security = Some(security.collect());
    let needs_authentication =
        requirement.is_some_and(|requirement| requirement.needs_authentication(rules));
    let unauthorized = if needs_authentication {
        "The access token is not accepted, or another or a more recent authentication is required."
    } else {
        "The access token is not accepted."
    };
    let may_be_forbidden = rule.is_some_and(|rule| !rule.is_any_token());
    for (status, description) in [
        ("400", "The access token is missing, or the Authorization header is malformed."),
        ("401", unauthorized),
        ("403", "The access token does not permit this."),
        ("503", "Tokens cannot be checked at the moment."),
    ] {
        if status != "403" || may_be_forbidden {
            let responses = &mut operation.responses.responses;
            responses
                .entry(status.to_owned())
                .or_insert_with(|| RefOr::T(rejection(status, description)));
        }
    }
}

fn rejection(status: &str, description: &str) -> Response {
    let text = || ObjectBuilder::new().schema_type(SchemaType::new(Type::String));
    let body = ObjectBuilder::new()
        .property("error", text())
        .property("error_description", text())
        .required("error")
        .required("error_description")
        .examples([json!({"error": code(status), "error_description": description})]);
    let header = if status == "503" { "Retry-After" } else { "WWW-Authenticate" };
    ResponseBuilder::new()
        .description(description)
        .header(header, HeaderBuilder::new().schema(Some(text())).build())
        .content("application/json", ContentBuilder::new().schema(Some(body)).build())
        .build()
}

fn code(status: &str) -> &'static str {
    match status {
        "400" => "invalid_request",
        "401" => "invalid_token",
        "403" => "insufficient_scope",
        _ => "temporarily_unavailable",
    }
}

/// The name of the security scheme.
const SCHEME: &str = "bearer";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authorize::requirement;

    #[test]
    fn operation_that_requires_an_authentication_says_so_in_401() {
        static STEP_UP: AccessRule =
            AccessRule::new(|| Some(requirement::acr(["urn:otp"])), || &[], &[]);
        static SCOPE: AccessRule =
            AccessRule::new(|| Some(requirement::scopes(["a"])), || &[], &[]);
        for (rule, is_named) in [(&STEP_UP, true), (&SCOPE, false)] {
            let mut operation = Operation::new();
            set_access(&mut operation, Access::Token(Some(rule)), &Rules::default());
            let operation = serde_json::to_value(operation).expect("JSON");
            let description = operation["responses"]["401"]["description"].as_str();
            let description = description.expect("a description");
            assert_eq!(description.contains("a more recent authentication"), is_named);
        }
    }

    #[test]
    fn pattern_of_a_route_is_the_end_of_a_documented_path() {
        for (pattern, path) in [
            ("/orders", "/orders"),
            ("/orders", "/api/v1/orders"),
            ("/orders/{id}", "/api/orders/{order_id}"),
            ("/orders/{id:\\d{2,4}}", "/orders/{id}"),
            ("/files/{tail:a/b}", "/files/{tail}"),
            ("/files/{tail}*", "/files/{tail}"),
            ("/v{n}/x", "/v{version}/x"),
            ("", "/anything"),
        ] {
            assert!(ends_with(&shape(path), &shape(pattern)), "{pattern} {path}");
        }
        for (pattern, path) in [
            ("/orders", "/reorders"),
            ("/orders", "/orders/{id}"),
            ("/orders/{id}", "/orders/all"),
            ("/api/orders", "/orders"),
        ] {
            assert!(!ends_with(&shape(path), &shape(pattern)), "{pattern} {path}");
        }
    }
}
