//! Who acts for the subject (RFC 8693), and authorization details (RFC 9396).

use actix_web::{
    App, HttpResponse, get, post,
    test::{TestRequest, call_and_read_body_json, init_service},
    web,
};
use oauth2_actix::{
    Claims, access, deny_delegated, guarded, require_actor, require_authorization_detail,
    require_scope, requirement,
};
use serde_json::{Value, json};

use super::{app, builder, policies::from_json, send, token};

const ROBOT: &str = "robot";
const PAYMENT: &str = "payment";

fn is_small(detail: &Value) -> bool {
    detail["amount"].as_u64().is_some_and(|amount| amount <= 100)
}

#[require_actor("agent", ROBOT)]
#[get("/delegation/agent")]
async fn agent(claims: Claims) -> String {
    let chain: Vec<_> = claims.actor_chain().filter_map(|actor| actor.subject()).collect();
    chain.join(" ")
}

#[require_scope("pay")]
#[require_authorization_detail(PAYMENT, is_small)]
#[post("/delegation/payments")]
async fn pay(claims: Claims) -> String {
    claims.authorization_details(PAYMENT).count().to_string()
}

#[guarded]
mod guarded_module {
    use actix_web::{HttpResponse, get};
    use oauth2_actix::{deny_delegated, require_actor, require_authorization_detail};

    #[get("/delegation/guarded/in-person")]
    #[deny_delegated]
    pub(super) async fn in_person() -> HttpResponse {
        HttpResponse::Ok().finish()
    }

    #[get("/delegation/guarded/agent")]
    #[require_actor("agent")]
    pub(super) async fn agent() -> HttpResponse {
        HttpResponse::Ok().finish()
    }

    #[get("/delegation/guarded/detail")]
    #[require_authorization_detail("refund", super::is_small)]
    pub(super) async fn detail() -> HttpResponse {
        HttpResponse::Ok().finish()
    }
}

/// A plain handler, for `.route(…)`.
#[deny_delegated]
async fn plain() -> HttpResponse {
    HttpResponse::Ok().finish()
}

fn configure(config: &mut web::ServiceConfig) {
    config
        .service(agent)
        .service(
            web::resource("/delegation/policy")
                .wrap(requirement::policy("partner"))
                .route(web::get().to(HttpResponse::Ok)),
        )
        .service(pay)
        .service(guarded_module::in_person)
        .service(guarded_module::agent)
        .service(guarded_module::detail)
        .route("/delegation/plain", web::get().to(plain));
}

#[actix_web::test]
async fn attributes_decide_on_the_outermost_actor() {
    let app = app(builder().build().unwrap(), configure).await;
    let by = |act: Value| json!({"sub": "ann", "act": act});
    for (path, claims, status) in [
        ("agent", by(json!({"sub": "agent"})), 200),
        ("agent", by(json!({"sub": "robot", "act": {"sub": "other"}})), 200),
        ("agent", by(json!({"sub": "other", "act": {"sub": "agent"}})), 403),
        ("agent", by(json!({"sub": "agent", "iss": "https://partner.test"})), 403),
        ("agent", json!({"sub": "agent"}), 403),
        ("guarded/agent", by(json!({"sub": "agent"})), 200),
        ("guarded/agent", by(json!({"sub": "robot"})), 403),
        ("guarded/in-person", json!({"sub": "ann"}), 200),
        ("guarded/in-person", by(json!({"sub": "agent"})), 403),
        ("guarded/in-person", by(json!(null)), 403),
        ("plain", json!({"sub": "ann"}), 200),
        ("plain", by(json!({})), 403),
        ("policy", by(json!({"sub": "robot", "iss": "https://partner.test"})), 200),
        ("policy", by(json!({"sub": "robot"})), 403),
    ] {
        let token = token(claims.clone());
        let answer = send(&app, "GET", &format!("/delegation/{path}"), Some(&token)).await;
        assert_eq!(answer.status, status, "{path} {claims}");
        assert_eq!(answer.challenge.contains("error=\"insufficient_scope\""), status == 403);
        if path == "agent" && status == 200 {
            assert!(["agent", "robot other"].contains(&answer.body.as_str()), "{}", answer.body);
        }
    }
}

#[actix_web::test]
async fn scopes_and_authorization_details_must_both_hold() {
    let app = app(builder().build().unwrap(), configure).await;
    let small = json!({"type": PAYMENT, "amount": 100});
    let large = json!({"type": PAYMENT, "amount": 101});
    let elsewhere = json!({"type": PAYMENT, "amount": 1, "locations": ["https://other.test"]});
    for (details, scope, status, body) in [
        (json!([small]), "pay", 200, "1"),
        (json!([large, small]), "pay", 200, "2"),
        (json!([small, elsewhere]), "pay", 200, "1"),
        (json!([small]), "", 403, ""),
        (json!([large]), "pay", 403, ""),
        (json!([elsewhere]), "pay", 403, ""),
        (json!([small, {"type": 1}]), "pay", 403, ""),
        (json!(small), "pay", 403, ""),
    ] {
        let token = token(json!({"scope": scope, "authorization_details": details}));
        let answer = send(&app, "POST", "/delegation/payments", Some(&token)).await;
        assert_eq!(answer.status, status, "{details} {scope}");
        // A scope that the token has is not asked for.
        let asks = status == 403 && scope.is_empty();
        assert_eq!(answer.scope(), asks.then_some("pay"), "{details}");
        if status == 200 {
            assert_eq!(answer.body, body, "{details}");
        }
    }
}

#[actix_web::test]
async fn detail_with_locations_counts_at_its_own_resource_only() {
    let oauth2 = builder().resource("https://api.test/pay").build().unwrap();
    let app = app(oauth2, configure).await;
    for (locations, status) in [
        (json!(["https://api.test/pay"]), 200),
        (json!(["https://other.test", "https://api.test/pay"]), 200),
        (json!(["https://other.test"]), 403),
        (json!(["https://api.test"]), 403),
        (json!(["https://api.test/payments"]), 403),
        (json!(["https://api.test/pay", 7]), 403),
        (json!("https://api.test/pay"), 403),
        (json!([]), 403),
        (json!(null), 403),
    ] {
        let detail = json!({"type": PAYMENT, "amount": 1, "locations": locations});
        let token = token(json!({"scope": "pay", "authorization_details": [detail]}));
        let answer = send(&app, "POST", "/delegation/payments", Some(&token)).await;
        assert_eq!(answer.status, status, "{locations}");
    }
}

#[test]
fn rows_name_actors_and_details() {
    let lines: Vec<String> = access::routes()
        .iter()
        .filter(|route| route.handler().starts_with("access::delegation::"))
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        lines,
        [
            "handler access::delegation::plain not delegated",
            "GET /delegation/agent actor is any of \"agent\", \"robot\" (access::delegation::agent)",
            "GET /delegation/guarded/agent actor = \"agent\" (access::delegation::guarded_module::agent)",
            "GET /delegation/guarded/detail authorization detail refund that super::is_small accepts (access::delegation::guarded_module::detail)",
            "GET /delegation/guarded/in-person not delegated (access::delegation::guarded_module::in_person)",
            "POST /delegation/payments scope pay and authorization detail payment that is_small accepts (access::delegation::pay)",
        ]
    );
}

#[actix_web::test]
async fn metadata_document_lists_the_types_of_authorization_details() {
    let oauth2 = builder().resource("https://api.example.com").build().unwrap();
    let app = init_service(App::new().service(oauth2.resource_metadata()).wrap(oauth2)).await;
    let path = "/.well-known/oauth-protected-resource";
    let request = TestRequest::get().uri(path).to_request();
    let document: Value = call_and_read_body_json(&app, request).await;
    assert_eq!(document["authorization_details_types_supported"], json!([PAYMENT, "refund"]));
}

#[actix_web::test]
async fn requirements_are_read_through_serde() {
    let settings = |requirement: Value| {
        json!({"policies": {
            "reports": {"scopes": ["reports:read"]}, "back-office": {"policy": "reports"},
            "stepped-up": {"acr": "x"}, "partner": requirement,
        }})
    };
    let own_agent = json!({"act": {"sub": "agent"}});
    let of_partner = json!({"act": {"sub": "agent", "iss": "https://partner.test"}});
    for (requirement, met, unmet) in [
        (json!({"actor": ["agent", "robot"]}), own_agent.clone(), of_partner.clone()),
        (
            json!({"actor": "agent", "issuer": "https://partner.test"}),
            of_partner,
            own_agent.clone(),
        ),
        (json!({"not_delegated": true}), json!({}), own_agent),
    ] {
        let oauth2 = from_json(settings(requirement)).unwrap().build().unwrap();
        let app = app(oauth2, configure).await;
        for (claims, status) in [(met, 200), (unmet, 403)] {
            let token = token(claims.clone());
            let answer = send(&app, "GET", "/delegation/policy", Some(&token)).await;
            assert_eq!(answer.status, status, "{claims}");
        }
    }
    for (requirement, problem) in [
        (json!({"actor": []}), "the list is empty"),
        (json!({"actor": ["a", ""]}), "must not be empty"),
        (json!({"actor": ["a"], "iss": "x"}), "unknown member \"iss\" beside \"actor\""),
        (json!({"actor": ["a"], "issuer": ["x", "y"]}), "must be text"),
        (json!({"not_delegated": false}), "`not_delegated` must be true"),
        (json!({"not_delegated": "yes"}), "must be true or false"),
        (json!({"authorization_detail": "payment"}), "must be a map with one of"),
    ] {
        let error = from_json(settings(requirement)).unwrap_err();
        assert!(error.contains("policies.partner: ") && error.contains(problem), "{error}");
    }
}
