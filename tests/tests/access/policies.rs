//! Named policies and the scope hierarchy, in code and through serde.

use actix_web::{HttpResponse, get, web};
use oauth2_actix::{
    Claims, ConfigErrorKind, OAuth2Builder, require_policy, require_scope, requirement,
};
use serde_json::{Value, json};

use super::{app, builder, scoped, send, token};

const BACK_OFFICE: &str = "back-office";

#[require_policy(BACK_OFFICE)]
#[get("/policies/constant")]
async fn constant() -> HttpResponse {
    HttpResponse::Ok().finish()
}

#[require_scope("a")]
#[get("/policies/scope")]
async fn scoped_route(claims: Claims) -> HttpResponse {
    assert!(claims.has_scope("a") && claims.satisfies(&requirement::scopes(["a"])));
    HttpResponse::Ok().body(claims.scopes().collect::<Vec<_>>().join(" "))
}

fn configure(config: &mut web::ServiceConfig) {
    config.service(constant).service(scoped_route).service(
        web::resource("/policies/wrapped")
            .wrap(requirement::any([requirement::policy("reports"), requirement::scopes(["root"])]))
            .route(web::get().to(HttpResponse::Ok)),
    );
}

#[actix_web::test]
async fn policy_decides_in_attributes_values_and_other_policies() {
    let app = app(builder().build().unwrap(), configure).await;
    for (path, claims, status) in [
        ("constant", json!({"role": "staff", "scope": "reports:read"}), 200),
        ("constant", json!({"role": "staff"}), 403),
        ("constant", json!({"scope": "reports:read"}), 403),
        ("wrapped", json!({"scope": "reports:read"}), 200),
        ("wrapped", json!({"scope": "root"}), 200),
        ("wrapped", json!({"scope": "reports"}), 403),
    ] {
        let token = token(claims.clone());
        let answer = send(&app, "GET", &format!("/policies/{path}"), Some(&token)).await;
        assert_eq!(answer.status, status, "{path} {claims}");
    }
}

#[actix_web::test]
async fn implied_scopes_count_everywhere_and_are_not_listed() {
    let oauth2 = builder().scope_implies("c", ["b"]).scope_implies("b", ["a"]).build().unwrap();
    let app = app(oauth2, configure).await;
    for scope in ["a", "b", "c", "x c"] {
        let answer = send(&app, "GET", "/policies/scope", Some(&scoped(scope))).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, scope));
    }
    for scope in ["", "aa", "A", "x", "b,c"] {
        assert_eq!(send(&app, "GET", "/policies/scope", Some(&scoped(scope))).await.status, 403);
    }
}

#[test]
fn claims_that_no_policy_accepted_have_no_hierarchy() {
    let claims = oauth2_actix::testing::claims(json!({"scope": "c"}));
    assert!(claims.has_scope("c") && !claims.has_scope("a"));
    assert!(!claims.satisfies(&requirement::policy("reports")));
}

fn faults(builder: OAuth2Builder) -> Vec<(ConfigErrorKind, String, String)> {
    let error = builder.build().unwrap_err();
    error
        .faults()
        .map(|fault| (fault.kind(), fault.field().to_owned(), fault.message().to_owned()))
        .collect()
}

#[test]
fn wrong_policies_and_hierarchies_are_build_errors() {
    use ConfigErrorKind::{Conflict, Duplicate, Empty, Invalid, Unknown};
    let any = || requirement::scopes(["a"]);
    for (builder, kind, field, message) in [
        (
            super::policy::builder()
                .provider(
                    "p",
                    oauth2_actix::Provider::new().issuer("i").audience("a").keys(
                        oauth2_actix_tests::keys::key(oauth2_actix::Algorithm::ES256).jwk_set(),
                    ),
                )
                .policy("back-ofice", any())
                .policy("reports", any()),
            Unknown,
            "policies",
            "\"back-office\" is used by handler access::challenges::policy and not defined, did you mean \"back-ofice\"?",
        ),
        (
            builder().policy("other", requirement::any([any(), requirement::policy("none")])),
            Unknown,
            "policies",
            "\"none\" is used by policy \"other\" and not defined",
        ),
        (
            builder().policy("loop", requirement::all([requirement::policy("loop"), any()])),
            Conflict,
            "policies",
            "\"loop\" refers to itself; expected policies without cycles",
        ),
        (
            builder().policy("x", requirement::policy("y")).policy("y", requirement::policy("x")),
            Conflict,
            "policies",
            "\"x\" refers to itself; expected policies without cycles",
        ),
        (
            builder().policy("reports", any()),
            Duplicate,
            "policies",
            "\"reports\" is defined twice; expected one definition",
        ),
        (builder().policy("", any()), Empty, "policies", "the name of a policy must not be empty"),
        (
            builder().scope_implies("a", ["b"]).scope_implies("b", ["a"]),
            Conflict,
            "scope_implies",
            "",
        ),
        (
            builder().scope_implies("a b", ["c"]),
            Invalid,
            "scope_implies",
            "\"a b\" is not a scope; expected printable ASCII without spaces, quotes and backslashes",
        ),
        (builder().scope_implies("a", ["\"c"]), Invalid, "scope_implies", ""),
    ] {
        let faults = faults(builder);
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert_eq!((faults[0].0, faults[0].1.as_str()), (kind, field));
        assert!(message.is_empty() || faults[0].2 == message, "{faults:?}");
    }
}

pub(super) fn from_json(settings: Value) -> Result<OAuth2Builder, String> {
    let mut whole = json!({"providers": {"test": {
        "issuer": "https://idp.test", "audience": "api",
        "keys": oauth2_actix_tests::keys::key(oauth2_actix::Algorithm::ES256).jwk_set(),
    }}});
    whole.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    super::policy::from_json(whole).map_err(|error| error.to_string())
}

#[actix_web::test]
async fn policies_and_hierarchy_are_read_through_serde() {
    let oauth2 = from_json(json!({
        "scope_implies": {"c": ["b"], "b": "a"},
        "policies": {
            "reports": {"any_scope": ["a", "reports:read"]},
            "back-office": {"all": [
                {"claim": "role", "any_of": ["staff", "admin"]},
                {"any": [{"policy": "reports"}, {"claim": "level", "value": 7}]},
                {"claim": "email"},
            ]},
        },
    }))
    .unwrap()
    .build()
    .unwrap();
    let app = app(oauth2, configure).await;
    for (claims, status) in [
        (json!({"role": "admin", "email": "e", "scope": "c"}), 200),
        (json!({"role": "admin", "email": "e", "level": 7}), 200),
        (json!({"role": "admin", "email": "e", "level": "7"}), 403),
        (json!({"role": "admin", "scope": "c"}), 403),
        (json!({"email": "e", "scope": "c"}), 403),
    ] {
        let token = token(claims.clone());
        let answer = send(&app, "GET", "/policies/constant", Some(&token)).await;
        assert_eq!(answer.status, status, "{claims}");
    }
}

#[test]
fn wrong_requirements_are_errors_that_name_the_policy() {
    for (requirement, problem) in [
        (json!("reports"), "must be a map with one of `claim`"),
        (json!({}), "must be a map with one of `claim`"),
        (json!({"scopes": ["a"], "any": []}), "must be a map with one of `claim`"),
        (json!({"scopes": []}), "the list is empty"),
        (json!({"any": [{"all": []}]}), "the list is empty"),
        (json!({"any": {"scopes": ["a"]}}), "must be a list of requirements"),
        (json!({"claim": ""}), "must not be empty"),
        (json!({"claim": "a", "any_of": []}), "must be a list of values, and not empty"),
        (json!({"claim": "a", "value": null}), ""),
        (json!({"claim": "a", "value": [1]}), "a value must be text, an integer, true or false"),
        (json!({"claim": "a", "value": 1, "all_of": [1]}), "expected one of `value`"),
        (json!({"claim": "a", "equals": 1}), "unknown member \"equals\" beside \"claim\""),
    ] {
        match from_json(json!({"policies": {"x": requirement}})) {
            Ok(_) => assert!(problem.is_empty(), "{requirement}"),
            Err(error) => {
                assert!(error.contains("policies.x: ") && error.contains(problem), "{error}");
                assert!(!problem.is_empty(), "{error}");
            }
        }
    }
    let deep = (0..20).fold(json!({"scopes": ["a"]}), |inner, _| json!({"any": [inner]}));
    assert!(from_json(json!({"policies": {"x": deep}})).is_err());
}
