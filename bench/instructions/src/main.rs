//! Runs one kind of request many times: `instructions APP KIND COUNT`. Callgrind counts the instructions.

#![allow(unused_imports)] // With COST_ROUTES=0.

use actix_http::Request;
use actix_web::{
    App, HttpResponse,
    dev::{Service, ServiceResponse},
    get,
    test::{TestRequest, call_service, init_service},
    web,
};
use oauth2_actix::{
    Algorithm, ClientAuthentication, OAuth2, Provider, TokenCacheConfig, guarded,
    introspection::Introspection,
    public, require_claim, requirement,
    revocation::{DenyList, MemoryRevocationStore},
    testing::{SigningKey, Token},
};

use serde_json::json;

include!(concat!(env!("OUT_DIR"), "/routes.rs"));

/// Returns a token of about 800 bytes with 12 claims, as providers issue them.
fn sample() -> Token {
    Token::new("https://idp.test", "api")
        .claim("nbf", 1_700_000_000)
        .claim("jti", "6c1f2d9e-7a54-4b0e-9d5e-3f0c8a1b2c3d")
        .claim("azp", "0oa1b2c3d4e5f6g7h8i9")
        .claim("scope", "openid profile email orders:read orders:write")
        .claim("role", "admin")
        .claim("email", "jane.doe@customer.example.com")
        .claim("sid", "0f9e8d7c-6b5a-4c3d-2e1f-0a9b8c7d6e5f")
        .claim("realm_access", json!({"roles": ["user", "offline_access", "default-roles"]}))
}

async fn last() -> HttpResponse {
    HttpResponse::Ok().finish()
}

#[require_claim("role", "admin")]
async fn required() -> HttpResponse {
    HttpResponse::Ok().finish()
}

/// A policy, and a scope that another one implies.
#[guarded]
mod by_attributes {
    use actix_web::{HttpResponse, get};
    use oauth2_actix::{require_policy, require_scope};

    #[require_policy("staff")]
    #[require_scope("orders:list")]
    #[get("/checked")]
    pub(super) async fn checked() -> HttpResponse {
        HttpResponse::Ok().finish()
    }
}

/// The same check in the handler.
mod by_hand {
    use actix_web::{HttpResponse, get};
    use oauth2_actix::Claims;

    #[get("/checked")]
    pub(super) async fn checked(claims: Claims) -> HttpResponse {
        let is_staff = match claims.get("role") {
            Some(serde_json::Value::String(role)) => role == "admin",
            Some(serde_json::Value::Array(roles)) => roles.iter().any(|role| role == "admin"),
            _ => false,
        };
        let has = |scope: &str| claims.scopes().any(|other| other == scope);
        if is_staff && (has("orders:list") || has("orders:write")) {
            HttpResponse::Ok().finish()
        } else {
            HttpResponse::Forbidden().finish()
        }
    }
}

#[actix_web::main]
async fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [app, kind, count] = words.as_slice() else { panic!("APP KIND COUNT") };
    let count: usize = count.parse().expect("a count");
    let configure = match app.as_str() {
        "marked" => marked::configure,
        "crud" | "bare-crud" => crud,
        "by-attributes" => |config: &mut web::ServiceConfig| {
            config.service(by_attributes::checked);
        },
        "by-hand" => |config: &mut web::ServiceConfig| {
            config.service(by_hand::checked);
        },
        _ => plain::configure,
    };
    // HMAC, so that the check of a signature does not hide the cost of everything else.
    let key = SigningKey::from_secret(Algorithm::HS256, "k", &[7; 32]);
    let mut provider = Provider::new()
        .issuer("https://idp.test")
        .audience("api")
        .algorithms([Algorithm::HS256])
        .keys(key.jwk_set());
    if app == "introspected" {
        let client = ClientAuthentication::basic("api", "a-secret");
        let introspection =
            Introspection::at("http://127.0.0.1:9/introspect").authentication(client);
        provider = provider.introspection(introspection);
    }
    let cache = if kind == "miss" { TokenCacheConfig::disabled() } else { TokenCacheConfig::new() };
    let mut builder = OAuth2::builder();
    if app == "resource" {
        builder = builder.resource("https://api.example.com/mcp");
    }
    if app == "deny-list" {
        builder = builder.deny_list(DenyList::new());
    }
    if app == "shared-deny-list" {
        builder = builder.revocation_store(MemoryRevocationStore::new());
    }
    let oauth2 = builder
        .provider("test", provider)
        .token_cache(cache)
        .scope_implies("orders:write", ["orders:list"])
        .policy("staff", requirement::claim("role", "admin"))
        .build()
        .expect("a policy");
    while !oauth2.is_ready() {
        actix_web::rt::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let token = sample().sign(&key);
    let app = App::new()
        .configure(configure)
        .route("/last", web::get().to(last))
        .route("/required", web::get().to(required))
        .route("/private/{id}", web::get().to(last))
        .service(oauth2.resource_metadata());
    let is_bare = words[0].starts_with("bare");
    if is_bare {
        run(&init_service(app).await, kind, count, &token, is_bare).await;
    } else {
        run(&init_service(app.wrap(oauth2)).await, kind, count, &token, is_bare).await;
    }
}

async fn run<S, B>(service: &S, kind: &str, count: usize, token: &str, is_bare: bool)
where
    S: Service<Request, Response = ServiceResponse<B>, Error = actix_web::Error>,
{
    let bearer = ("authorization", format!("Bearer {token}"));
    let public = format!("/r{}/x", (ROUTES.saturating_sub(1)) & !1);
    // The first rejections look up routes for the log. They are not counted.
    let warm_up = if ["alike", "module"].contains(&kind) { 1_100 } else { 0 };
    for _ in 0..count + warm_up {
        let request = TestRequest::get();
        let (request, status) = match kind {
            "hit" | "miss" => (request.uri("/last").insert_header(bearer.clone()), 200),
            "checked" => (request.uri("/checked").insert_header(bearer.clone()), 200),
            "required" => (request.uri("/required").insert_header(bearer.clone()), 200),
            "anonymous" => (request.uri(&public), 200),
            "rejected" => (request.uri("/last"), 400),
            // A path in the shape of the public routes that is none of them.
            "alike" => (request.uri("/x/r0/x"), if is_bare { 404 } else { 400 }),
            // A path that the router must search for in each module.
            "module" => (request.uri("/private/7"), if is_bare { 200 } else { 400 }),
            kind => panic!("{kind}"),
        };
        assert_eq!(call_service(service, request.to_request()).await.status(), status);
    }
}
