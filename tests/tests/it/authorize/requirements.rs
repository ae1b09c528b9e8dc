//! The require attributes and the requirements that wrap scopes, over real HTTP and WebSocket.

#![deny(warnings, clippy::pedantic)]
// Handlers are `pub` as in many applications, although nothing reaches them here.
#![allow(unreachable_pub)]

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use actix_web::{App, FromRequest, HttpRequest, HttpResponse, HttpServer, get, post, web};
use futures_util::StreamExt;
use oauth2_actix::{
    Algorithm, Claims, Provider, require, require_claim, require_scope,
    requirement::{self, ClaimValue, ClaimValues},
    testing::{LocalServer, Token},
};
use oauth2_actix_tests::{
    client::{Answer, client, get, send},
    keys::key,
    log, policy,
};
use serde_json::{Value, json};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{Message, client::IntoClientRequest},
};

type Runs = web::Data<Arc<AtomicUsize>>;

fn run(runs: &Runs) -> HttpResponse {
    runs.fetch_add(1, Ordering::SeqCst);
    HttpResponse::Ok().finish()
}

#[get("/below")]
#[require_claim("role", "admin")]
async fn below(runs: Runs) -> HttpResponse {
    run(&runs)
}

#[require_claim("role", "admin")]
#[get("/above")]
async fn above(runs: Runs) -> HttpResponse {
    run(&runs)
}

#[require_claim("role", "admin")]
async fn plain(runs: Runs) -> HttpResponse {
    run(&runs)
}

#[get("/present")]
#[require_claim("email")]
async fn present(runs: Runs) -> HttpResponse {
    run(&runs)
}

#[get("/numbers")]
#[require_claim("level", any_of(7, -8, -9223372036854775808))]
#[require_claim("active", true)]
async fn numbers(runs: Runs) -> HttpResponse {
    run(&runs)
}

#[get("/any")]
#[require_claim("role", any_of("admin", "support"))]
async fn one_of(runs: Runs) -> HttpResponse {
    run(&runs)
}

#[get("/all")]
#[require_claim("/realm_access/roles", all_of("a", "b"))]
async fn all_of(runs: Runs) -> HttpResponse {
    run(&runs)
}

mod roles {
    pub const ADMIN: &str = "admin";
}

mod constants {
    use super::{ClaimValue, HttpResponse, Runs, get, require_claim, require_scope, run};

    /// A name that the output of the attributes could use.
    pub const REQUIREMENT: &str = "admin";
    pub const ORDERS_READ: &str = "orders:read";
    const ROLES: &str = "/realm_access/roles";
    const LEVEL: u8 = 7;
    const LOWEST: i64 = i64::MIN;
    const HIGHEST: u64 = u64::MAX;
    const ACTIVE: bool = true;

    pub struct Scopes;

    impl Scopes {
        pub const WRITE: &'static str = "orders:write";
    }

    #[derive(Clone, Copy, Debug)]
    pub enum Role {
        Support,
        Owner,
    }

    impl From<Role> for ClaimValue {
        fn from(role: Role) -> Self {
            Self::from(match role {
                Role::Support => "support",
                Role::Owner => "owner",
            })
        }
    }

    #[get("/constants")]
    #[require_claim("role", REQUIREMENT)]
    #[require_claim("active", ACTIVE)]
    pub async fn one(runs: Runs) -> HttpResponse {
        run(&runs)
    }

    #[get("/constants-mixed")]
    #[require_claim(ROLES, any_of(REQUIREMENT, "root", Role::Support, Role::Owner))]
    #[require_claim("level", any_of(LEVEL, LOWEST, HIGHEST, -8))]
    pub async fn mixed(runs: Runs) -> HttpResponse {
        run(&runs)
    }

    #[get("/constants-all")]
    #[require_claim(ROLES, all_of(["a", super::roles::ADMIN]))]
    #[require_claim(ROLES)]
    pub async fn all(runs: Runs) -> HttpResponse {
        run(&runs)
    }

    #[require_scope(ORDERS_READ, Scopes::WRITE, "orders:list")]
    pub async fn scopes(runs: Runs) -> HttpResponse {
        run(&runs)
    }

    #[get("/constants-any-scope")]
    #[require_scope(any_of([ORDERS_READ, "orders:admin"]))]
    pub async fn any_scope(runs: Runs) -> HttpResponse {
        run(&runs)
    }

    #[get("/scope-array")]
    #[require_scope(["a", "b"])]
    pub async fn array(runs: Runs) -> HttpResponse {
        run(&runs)
    }
}

#[require_scope("orders:read")]
#[get("/stacked")]
#[require_scope("orders:write")]
#[require_claim("role", "admin")]
async fn stacked(runs: Runs) -> HttpResponse {
    run(&runs)
}

#[get("/scopes")]
#[require_scope("orders:read", "orders:write")]
async fn scopes(runs: Runs) -> HttpResponse {
    run(&runs)
}

#[get("/any-scope")]
#[require_scope(any_of("orders:read", "orders:admin"))]
async fn any_scope(runs: Runs) -> HttpResponse {
    run(&runs)
}

/// An extractor that reads the whole body, and must not be polled before a rejection.
struct Body;

impl FromRequest for Body {
    type Error = actix_web::Error;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Self, actix_web::Error>>>>;

    fn from_request(request: &HttpRequest, payload: &mut actix_web::dev::Payload) -> Self::Future {
        let bytes = web::Bytes::from_request(request, payload);
        let polled = request.app_data::<web::Data<Polled>>().cloned();
        Box::pin(async move {
            if let Some(polled) = polled {
                polled.0.fetch_add(1, Ordering::SeqCst);
            }
            bytes.await.map(|_| Self)
        })
    }
}

#[derive(Default)]
struct Polled(AtomicUsize);

#[post("/body")]
#[require_scope("upload")]
async fn upload(_: Body, runs: Runs) -> HttpResponse {
    run(&runs)
}

#[require_scope("chat")]
async fn chat(
    request: HttpRequest,
    body: web::Payload,
    runs: Runs,
) -> actix_web::Result<HttpResponse> {
    run(&runs);
    let (response, mut session, _) = actix_ws::handle(&request, body)?;
    actix_web::rt::spawn(async move {
        let _ = session.text("welcome").await;
    });
    Ok(response)
}

fn ours(claims: &Claims) -> bool {
    claims.has_claim("tenant", "ours")
}

fn owner(claims: &Claims, request: &HttpRequest) -> Result<(), String> {
    let user = request.match_info().get("user");
    if claims.subject() == user { Ok(()) } else { Err(format!("{user:?} is another user")) }
}

mod named {
    /// A function with the name of an argument of the expansion.
    #[allow(clippy::unnecessary_wraps)]
    pub fn claims(_: &oauth2_actix::Claims) -> Result<(), &'static str> {
        Ok(())
    }
}
use named::claims;

#[get("/users/{user}")]
#[require(ours)]
#[require(owner)]
#[require(claims)]
async fn profile(runs: Runs) -> HttpResponse {
    run(&runs)
}

#[require_claim("role", "admin")]
async fn generic<T: Default + 'static>(
    _: web::Query<Vec<(String, String)>>,
    runs: Runs,
) -> HttpResponse {
    drop(T::default());
    run(&runs)
}

/// The maximum of actix, 16, less one for the attribute.
#[allow(clippy::too_many_arguments)]
#[require_claim("role", "admin")]
async fn fifteen(
    _: HttpRequest,
    _: HttpRequest,
    _: HttpRequest,
    _: HttpRequest,
    _: HttpRequest,
    _: HttpRequest,
    _: HttpRequest,
    _: HttpRequest,
    _: HttpRequest,
    _: HttpRequest,
    _: HttpRequest,
    _: HttpRequest,
    _: HttpRequest,
    _: HttpRequest,
    runs: Runs,
) -> HttpResponse {
    run(&runs)
}

#[actix_web::scope("/module")]
mod module {
    use super::{HttpResponse, Runs, get, require_claim, run};

    #[get("/inside")]
    #[require_claim("role", "admin")]
    pub async fn inside(runs: Runs) -> HttpResponse {
        run(&runs)
    }
}

/// Names of the prelude may be shadowed in the module of a handler.
mod shadowed {
    #![allow(dead_code, non_camel_case_types)]
    use super::Runs;
    pub struct Result;
    pub struct Option;
    pub struct String;
    pub struct Ok;
    pub struct Some;
    pub struct bool;
    pub struct i64;
    pub mod std {}
    pub mod core {}

    #[super::get("/shadowed")]
    #[super::require_claim("role", any_of("admin", "x"))]
    #[super::require_scope("a")]
    #[super::require_claim("level", 7)]
    pub async fn shadowed(runs: Runs) -> super::HttpResponse {
        super::run(&runs)
    }
}

/// actix makes a handler a struct, so that a local variable of its name is a pattern of that struct.
mod named_like_locals {
    use super::{HttpResponse, Runs, get, require, require_claim, run};
    use oauth2_actix::public;

    fn yes(_: &oauth2_actix::Claims) -> bool {
        true
    }

    #[get("/claims")]
    #[require_claim("role", "admin")]
    #[require(yes)]
    pub async fn claims(runs: Runs) -> HttpResponse {
        run(&runs)
    }

    #[get("/request")]
    #[require(yes)]
    pub async fn request(runs: Runs) -> HttpResponse {
        run(&runs)
    }

    #[public]
    #[get("/config")]
    pub async fn config(runs: Runs) -> HttpResponse {
        run(&runs)
    }
}

fn configure(config: &mut web::ServiceConfig) {
    config
        .service(below)
        .service(above)
        .route("/plain", web::get().to(plain))
        .service(present)
        .service(numbers)
        .service(one_of)
        .service(all_of)
        .service(stacked)
        .service(scopes)
        .service(any_scope)
        .service(upload)
        .service(profile)
        .route("/generic", web::get().to(generic::<u8>))
        .route("/fifteen", web::get().to(fifteen))
        .route("/chat", web::get().to(chat))
        .route("/public-admin", web::get().to(plain))
        .service(module::inside)
        .service(shadowed::shadowed)
        .service(named_like_locals::claims)
        .service(named_like_locals::request)
        .service(named_like_locals::config)
        .service(constants::one)
        .service(constants::mixed)
        .service(constants::all)
        .service(constants::any_scope)
        .service(constants::array)
        .route("/constants-scopes", web::get().to(constants::scopes))
        .service(
            web::scope("/wrapped")
                .wrap(requirement::all([
                    requirement::any([
                        requirement::claim("role", ClaimValues::any_of(["admin", "support"])),
                        requirement::scopes(["staff"]),
                    ]),
                    requirement::claim("active", true),
                ]))
                .route("", web::get().to(|runs: Runs| async move { run(&runs) })),
        )
        .service(
            web::resource("/wrapped-resource")
                .wrap(requirement::predicate(ours))
                .route(web::get().to(|runs: Runs| async move { run(&runs) })),
        );
}

struct Setup {
    server: LocalServer,
    runs: Arc<AtomicUsize>,
    polled: web::Data<Polled>,
}

impl Setup {
    fn new(mounted: bool) -> Self {
        log::keep();
        let keys = key(Algorithm::ES256).jwk_set();
        let oauth2 = policy::builder()
            .provider("test", Provider::new().issuer("https://idp.test").audience("api").keys(keys))
            .public_paths(["/public-admin"])
            .build()
            .unwrap();
        let runs = Arc::new(AtomicUsize::new(0));
        let polled = web::Data::new(Polled::default());
        let (data, polled_data) = (web::Data::new(Arc::clone(&runs)), polled.clone());
        let server = LocalServer::start(move |listener| {
            let app = move || {
                App::new()
                    .app_data(data.clone())
                    .app_data(polled_data.clone())
                    .configure(configure)
                    .wrap(actix_web::middleware::Condition::new(mounted, oauth2.clone()))
            };
            Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
        })
        .unwrap();
        Self { server, runs, polled }
    }

    async fn send(&self, path: &str, claims: Value) -> Answer {
        get(&self.server.url(path), Some(&token(claims))).await
    }
}

fn token(claims: Value) -> String {
    let Value::Object(claims) = claims else { panic!("an object") };
    Token::new("https://idp.test", "api").claims(claims).sign(key(Algorithm::ES256))
}

#[tokio::test]
async fn token_that_satisfies_the_requirement_runs_the_handler() {
    let setup = Setup::new(true);
    let admin = json!({"role": "admin"});
    let mut expected = 0;
    for (path, claims) in [
        ("/below", admin.clone()),
        ("/below", json!({"role": ["user", "admin"]})),
        ("/above", admin.clone()),
        ("/plain", admin.clone()),
        ("/generic", admin.clone()),
        ("/claims", admin.clone()),
        ("/request", admin.clone()),
        ("/config", admin.clone()),
        ("/fifteen", admin.clone()),
        ("/module/inside", admin.clone()),
        ("/shadowed", json!({"role": "admin", "scope": "a", "level": 7})),
        ("/present", json!({"email": ""})),
        ("/numbers", json!({"level": 7, "active": true})),
        ("/numbers", json!({"level": -8, "active": true})),
        ("/numbers", json!({"level": i64::MIN, "active": true})),
        ("/any", json!({"role": "support"})),
        ("/all", json!({"realm_access": {"roles": ["b", "a", "c"]}})),
        ("/stacked", json!({"role": "admin", "scope": "orders:read orders:write"})),
        ("/scopes", json!({"scp": ["orders:write", "orders:read"]})),
        ("/any-scope", json!({"scope": "orders:admin"})),
        ("/users/alice", json!({"sub": "alice", "tenant": "ours"})),
        ("/wrapped", json!({"role": "support", "active": true})),
        ("/wrapped", json!({"scope": "staff", "active": true})),
        ("/wrapped-resource", json!({"tenant": "ours"})),
        ("/public-admin", admin.clone()),
        ("/constants", json!({"role": "admin", "active": true})),
        ("/constants-mixed", json!({"realm_access": {"roles": ["admin"]}, "level": 7})),
        ("/constants-mixed", json!({"realm_access": {"roles": "root"}, "level": i64::MIN})),
        ("/constants-mixed", json!({"realm_access": {"roles": ["owner"]}, "level": u64::MAX})),
        ("/constants-mixed", json!({"realm_access": {"roles": ["x", "support"]}, "level": -8})),
        ("/constants-all", json!({"realm_access": {"roles": ["admin", "a"]}})),
        ("/constants-scopes", json!({"scope": "orders:list orders:read orders:write"})),
        ("/constants-any-scope", json!({"scope": "orders:read"})),
        ("/constants-any-scope", json!({"scope": "orders:admin"})),
        ("/scope-array", json!({"scope": "b a"})),
    ] {
        let answer = setup.send(path, claims).await;
        assert_eq!(answer.status, 200, "{path} {answer:?}");
        expected += 1;
        assert_eq!(setup.runs.load(Ordering::SeqCst), expected, "{path}");
    }
}

#[tokio::test]
async fn token_that_does_not_satisfy_the_requirement_is_403_and_runs_nothing() {
    let setup = Setup::new(true);
    let plain = r#"Bearer realm="api", error="insufficient_scope", error_description="The token does not permit this.""#;
    for (path, claims, scope) in [
        ("/below", json!({}), ""),
        ("/below", json!({"role": "administrator"}), ""),
        ("/below", json!({"role": {"admin": true}}), ""),
        ("/above", json!({"role": "user"}), ""),
        ("/plain", json!({"role": "user"}), ""),
        ("/generic", json!({}), ""),
        ("/fifteen", json!({}), ""),
        ("/module/inside", json!({}), ""),
        ("/shadowed", json!({"role": "admin", "level": 7}), "a"),
        ("/shadowed", json!({"scope": "a", "level": 7}), ""),
        ("/present", json!({"email": null}), ""),
        ("/present", json!({}), ""),
        ("/numbers", json!({"level": "7", "active": true}), ""),
        ("/numbers", json!({"level": 8, "active": true}), ""),
        ("/numbers", json!({"level": 7, "active": "true"}), ""),
        ("/any", json!({"role": "admin,support"}), ""),
        ("/all", json!({"realm_access": {"roles": ["a"]}}), ""),
        ("/all", json!({"realm_access.roles": ["a", "b"]}), ""),
        ("/stacked", json!({"scope": "orders:read orders:write"}), ""),
        ("/stacked", json!({"role": "admin", "scope": "orders:write"}), "orders:read orders:write"),
        ("/stacked", json!({"role": "admin", "scope": "orders:read"}), "orders:read orders:write"),
        ("/scopes", json!({"scope": "orders:read"}), "orders:read orders:write"),
        ("/any-scope", json!({"scope": "orders"}), "orders:read orders:admin"),
        ("/users/alice", json!({"sub": "bob", "tenant": "ours"}), ""),
        ("/users/alice", json!({"sub": "alice"}), ""),
        ("/wrapped", json!({"role": "support"}), ""),
        ("/wrapped", json!({"active": true}), "staff"),
        ("/wrapped-resource", json!({}), ""),
        ("/public-admin", json!({}), ""),
        ("/constants", json!({"role": "REQUIREMENT", "active": true}), ""),
        ("/constants", json!({"role": "admin", "active": false}), ""),
        ("/constants-mixed", json!({"realm_access": {"roles": ["x"]}, "level": 7}), ""),
        ("/constants-mixed", json!({"realm_access": {"roles": "root"}, "level": "7"}), ""),
        ("/constants-all", json!({"realm_access": {"roles": ["a"]}}), ""),
        (
            "/constants-scopes",
            json!({"scope": "orders:read orders:write"}),
            "orders:read orders:write orders:list",
        ),
        ("/constants-any-scope", json!({"scope": "orders:list"}), "orders:read orders:admin"),
        ("/scope-array", json!({"scope": "a"}), "a b"),
    ] {
        let answer = setup.send(path, claims.clone()).await;
        assert_eq!(answer.status, 403, "{path} {claims}");
        assert_eq!(answer.error(), "insufficient_scope");
        let challenge = match scope {
            "" => plain.to_owned(),
            scope => plain.replacen("Bearer ", &format!("Bearer scope=\"{scope}\", "), 1),
        };
        assert_eq!(answer.challenge(), challenge, "{path} {claims}");
    }
    assert_eq!(setup.runs.load(Ordering::SeqCst), 0);
    assert!(
        !log::lines_with(&["request rejected", "is another user"]).is_empty(),
        "the log has the reason"
    );
}

#[tokio::test]
async fn request_without_a_token_is_rejected_on_a_public_path_too() {
    let setup = Setup::new(true);
    for path in ["/below", "/plain", "/wrapped", "/public-admin"] {
        let absent = get(&setup.server.url(path), None).await;
        assert_eq!((absent.status, absent.challenge()), (400, r#"Bearer realm="api""#), "{path}");
        let bad = get(&setup.server.url(path), Some("x.y.z")).await;
        assert_eq!((bad.status, bad.error()), (401, "invalid_token".into()), "{path}");
    }
    assert_eq!(setup.runs.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn requirement_without_the_middleware_is_500() {
    let setup = Setup::new(false);
    for path in ["/below", "/above", "/plain", "/scopes", "/users/x", "/wrapped", "/public-admin"] {
        let answer = setup.send(path, json!({"role": "admin"})).await;
        assert_eq!((answer.status, answer.body.as_str()), (500, ""), "{path}");
    }
    assert_eq!(setup.runs.load(Ordering::SeqCst), 0);
    assert!(!log::lines_with(&["ERROR", ".wrap(oauth2)"]).is_empty());
}

#[tokio::test]
async fn rejection_precedes_reading_the_body() {
    let setup = Setup::new(true);
    let request = |claims| {
        client().post(setup.server.url("/body")).bearer_auth(token(claims)).body(vec![0; 200_000])
    };
    assert_eq!(send(request(json!({}))).await.status, 403);
    assert_eq!(setup.polled.0.load(Ordering::SeqCst), 0);
    assert_eq!(send(request(json!({"scope": "upload"}))).await.status, 200);
    assert_eq!(setup.polled.0.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn rejected_handshake_is_closed_with_1008() {
    let setup = Setup::new(true);
    for (claims, rejected) in [(json!({"scope": "chat"}), false), (json!({}), true)] {
        let url = setup.server.url("/chat").replace("http://", "ws://");
        let mut request = url.into_client_request().unwrap();
        let bearer = format!("Bearer {}", token(claims)).parse().unwrap();
        request.headers_mut().insert("authorization", bearer);
        let (mut socket, _) = connect_async(request).await.unwrap();
        let message = socket.next().await.unwrap().unwrap();
        if rejected {
            let Message::Close(Some(frame)) = message else { panic!("{message:?}") };
            assert_eq!(
                (u16::from(frame.code), frame.reason.as_str()),
                (1008, "insufficient scope")
            );
        } else {
            assert_eq!(message, Message::text("welcome"));
        }
    }
    assert_eq!(setup.runs.load(Ordering::SeqCst), 1);
}
