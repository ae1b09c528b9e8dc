//! The rows of handlers, in every form and order of attributes.

use actix_web::{HttpResponse, get, post, route, routes, scope, web};
use oauth2_actix::{
    Claims,
    access::{self, Routes},
    authenticated, guarded, public, require, require_claim, require_policy, require_scope,
};

use super::builder;

fn owner(claims: &Claims) -> bool {
    claims.subject() == Some("owner")
}

const WRITE: &str = "orders:write";

#[public]
#[get("/table/health")]
async fn health() -> HttpResponse {
    HttpResponse::Ok().finish()
}

#[authenticated]
#[get("/table/me")]
async fn me() -> HttpResponse {
    HttpResponse::Ok().finish()
}

#[require_scope(WRITE, "orders:list")]
#[post("/table/orders")]
#[require_claim("role", "admin")]
#[require(owner)]
async fn above_and_below() -> HttpResponse {
    HttpResponse::Ok().finish()
}

#[get("/table/below")]
#[require_policy("back-office")]
async fn below() -> HttpResponse {
    HttpResponse::Ok().finish()
}

#[require_policy("back-office")]
#[route("/table/several", method = "GET", method = "HEAD", name = "other")]
async fn several() -> HttpResponse {
    HttpResponse::Ok().finish()
}

#[require_claim("/realm/roles", any_of("a", "b"))]
#[routes]
#[get("/table/one")]
#[post("/table/two/{id}")]
async fn two_routes() -> HttpResponse {
    HttpResponse::Ok().finish()
}

/// A plain handler, for `.route(…)`.
#[require_scope(any_of("a", "b"))]
async fn plain() -> HttpResponse {
    HttpResponse::Ok().finish()
}

#[guarded]
mod guarded_module {
    use actix_web::{HttpResponse, get, web};
    use oauth2_actix::{authenticated, public, require_claim, require_scope};

    #[get("/table/guarded/below")]
    #[require_scope("guarded")]
    #[require_claim("level", 7)]
    pub(super) async fn below() -> HttpResponse {
        HttpResponse::Ok().finish()
    }

    #[get("/table/guarded/public")]
    #[public]
    pub(super) async fn open() -> HttpResponse {
        HttpResponse::Ok().finish()
    }

    pub(super) mod nested {
        use super::*;

        #[get("/table/guarded/nested")]
        #[authenticated]
        pub(in super::super) async fn inner() -> HttpResponse {
            HttpResponse::Ok().finish()
        }
    }

    pub(super) fn in_a_function(config: &mut web::ServiceConfig) {
        #[get("/table/guarded/function")]
        #[authenticated]
        async fn local() -> HttpResponse {
            HttpResponse::Ok().finish()
        }
        config.service(local);
    }
}

#[guarded]
#[scope("/table/scope-below")]
mod guarded_above_scope {
    use actix_web::{HttpResponse, get};
    use oauth2_actix::authenticated;

    #[get("/x")]
    #[authenticated]
    pub(super) async fn handler() -> HttpResponse {
        HttpResponse::Ok().finish()
    }
}

#[scope("/table/scope-above")]
#[guarded]
mod guarded_below_scope {
    use actix_web::{HttpResponse, get};
    use oauth2_actix::authenticated;

    #[get("/x")]
    #[authenticated]
    pub(super) async fn handler() -> HttpResponse {
        HttpResponse::Ok().finish()
    }
}

fn lines(routes: &Routes) -> Vec<String> {
    routes
        .iter()
        .filter(|route| route.handler().starts_with("access::table::"))
        .map(ToString::to_string)
        .collect()
}

#[test]
fn every_handler_is_listed_with_its_rule() {
    assert_eq!(
        lines(&access::routes()),
        [
            "handler access::table::below policy back-office",
            "handler access::table::plain any scope of a b",
            "GET /table/guarded/below scope guarded and claim level = 7 (access::table::guarded_module::below)",
            "GET /table/guarded/function authenticated (access::table::guarded_module::local)",
            "GET /table/guarded/nested authenticated (access::table::guarded_module::nested::inner)",
            "GET /table/guarded/public public (access::table::guarded_module::open)",
            "GET /table/health public (access::table::health)",
            "GET /table/me authenticated (access::table::me)",
            "GET /table/one claim /realm/roles is any of \"a\", \"b\" (access::table::two_routes)",
            "POST /table/orders scope orders:write and scope orders:list and claim role = \"admin\" and predicate owner (access::table::above_and_below)",
            "GET /table/scope-above/x authenticated (access::table::guarded_below_scope::handler)",
            "GET /table/scope-below/x authenticated (access::table::guarded_above_scope::handler)",
            "GET,HEAD /table/several policy back-office (access::table::several)",
            "POST /table/two/{id} claim /realm/roles is any of \"a\", \"b\" (access::table::two_routes)",
        ]
    );
}

#[test]
fn table_of_a_policy_shows_what_its_policies_mean() {
    let oauth2 = builder().build().unwrap();
    let lines = lines(&oauth2.access_routes());
    assert_eq!(
        lines[0],
        "handler access::table::below policy back-office: (claim role = \"staff\" and policy reports: scope reports:read)"
    );
}

#[test]
fn json_is_read_as_it_was_written_and_has_no_lines() {
    let routes = access::routes();
    let json = routes.to_json();
    let read = Routes::from_json(&json).unwrap();
    assert_eq!(read.to_json(), json);
    assert_eq!(read.changes_since(&routes), []);
    assert!(!json.contains("table.rs"), "a file name changes with edits");
    let route = routes.iter().find(|route| route.handler().ends_with("::health")).unwrap();
    let (file, line) = route.location().unwrap();
    assert!(file.ends_with("table.rs") && line > 1, "{file}:{line}");
    assert!(route.is_public());
    assert_eq!(
        (route.methods(), route.pattern()),
        (&["GET".to_owned()][..], Some("/table/health"))
    );
}

#[test]
fn tables_with_unknown_or_empty_members_are_errors() {
    for json in [
        "{}",
        "[1]",
        r#"[{"handler": "h", "methods": [], "pattern": null, "access": ["public"], "x": 1}]"#,
        r#"[{"handler": "h", "methods": [], "pattern": null, "access": []}]"#,
    ] {
        assert!(Routes::from_json(json).is_err(), "{json}");
    }
}

#[actix_web::test]
async fn guarded_and_merged_handlers_serve_what_they_permit() {
    let app = super::app(builder().build().unwrap(), |config| {
        config
            .service(health)
            .service(me)
            .service(above_and_below)
            .service(below)
            .service(several)
            .service(two_routes)
            .service(guarded_module::below)
            .service(guarded_module::open)
            .service(guarded_module::nested::inner)
            .configure(guarded_module::in_a_function)
            .service(guarded_above_scope::handler)
            .service(guarded_below_scope::handler)
            .route("/table/plain", web::get().to(plain));
    })
    .await;
    let any = super::token(serde_json::json!({}));
    let full = super::token(serde_json::json!({
        "sub": "owner", "role": ["admin", "staff"], "scope": "orders:write orders:list guarded b reports:read",
        "level": 7, "realm": {"roles": ["b"]},
    }));
    for (method, path, public, authenticated) in [
        ("GET", "/table/health", true, true),
        ("GET", "/table/me", false, true),
        ("POST", "/table/orders", false, false),
        ("GET", "/table/below", false, false),
        ("HEAD", "/table/several", false, false),
        ("GET", "/table/one", false, false),
        ("POST", "/table/two/7", false, false),
        ("GET", "/table/guarded/below", false, false),
        ("GET", "/table/guarded/public", true, true),
        ("GET", "/table/guarded/nested", false, true),
        ("GET", "/table/guarded/function", false, true),
        ("GET", "/table/scope-above/x", false, true),
        ("GET", "/table/scope-below/x", false, true),
        ("GET", "/table/plain", false, false),
    ] {
        let status =
            async |token: Option<&str>| super::send(&app, method, path, token).await.status;
        assert_eq!(status(None).await, if public { 200 } else { 400 }, "{path}");
        assert_eq!(status(Some(&any)).await, if authenticated { 200 } else { 403 }, "{path}");
        assert_eq!(status(Some(&full)).await, 200, "{path}");
    }
}
