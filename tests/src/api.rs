//! A real actix server around a policy, with a route for each way in which a handler uses claims.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    web::{self, Data},
};
use oauth2_actix::{
    Claims, Error, OAuth2, OptionalClaims, TypedClaims,
    requirement::{self, Requirement},
    testing::LocalServer,
};
use serde::Deserialize;
use serde_json::{Value, json};

/// A running API.
#[derive(Debug)]
pub struct Api {
    server: LocalServer,
    calls: Arc<Calls>,
}

/// The number of calls of handlers.
#[derive(Debug, Default)]
pub struct Calls {
    private: AtomicUsize,
}

impl Api {
    /// Serves [`routes`] behind this policy.
    #[must_use]
    pub fn start(oauth2: OAuth2) -> Self {
        let calls = Arc::new(Calls::default());
        let data = Data::from(Arc::clone(&calls));
        let server = LocalServer::start(move |listener| {
            let app =
                move || App::new().wrap(oauth2.clone()).app_data(data.clone()).configure(routes);
            Ok(HttpServer::new(app).workers(2).listen(listener)?.run())
        })
        .unwrap();
        Self { server, calls }
    }

    /// Returns the server.
    #[must_use]
    pub fn server(&self) -> &LocalServer {
        &self.server
    }

    /// Returns the URL of a path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        self.server.url(path)
    }

    /// Returns how often a private handler ran.
    #[must_use]
    pub fn private_calls(&self) -> usize {
        self.calls.private.load(Ordering::SeqCst)
    }
}

/// Registers private routes, whose handlers count their calls, and public ones.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/", web::to(public))
        .route("/public", web::to(public))
        .route("/docs/{tail:.*}", web::to(public))
        .route("/optional", web::get().to(optional))
        .route("/claims-on-public", web::get().to(me))
        .route("/me", web::to(me))
        .route("/typed", web::get().to(typed))
        .route("/scope", web::get().to(scope))
        .route("/role", web::get().to(role))
        .route("/authenticated-by", web::get().to(authenticated_by))
        .route("/authenticated-recently", web::get().to(authenticated_recently))
        .route("/actor", web::get().to(actor))
        .route("/in-person", web::get().to(in_person))
        .route("/payment", web::get().to(payment))
        .route("/users/me", web::get().to(me))
        .route("/users/{id}", web::get().to(public))
        .route("/bare", web::to(bare))
        .route("/ws", web::get().to(ws))
        .route("/ws-bare", web::get().to(ws_bare))
        .route("/ws-role", web::get().to(ws_role));
}

/// The paths of [`routes`] that need no token.
pub const PUBLIC_PATHS: [&str; 5] =
    ["/", "/public", "/docs/{tail:.*}", "/optional", "/claims-on-public"];

async fn public() -> &'static str {
    "public"
}

async fn me(claims: Claims, calls: Option<Data<Calls>>) -> HttpResponse {
    count(calls);
    HttpResponse::Ok().json(json!({
        "provider": claims.provider(),
        "subject": claims.subject(),
        "issuer": claims.issuer(),
        "scopes": claims.scopes().collect::<Vec<_>>(),
    }))
}

async fn optional(OptionalClaims(claims): OptionalClaims) -> String {
    claims.as_ref().and_then(|claims| claims.subject()).unwrap_or("anonymous").to_owned()
}

#[derive(Deserialize)]
struct Employee {
    sub: String,
    department: Department,
}

#[derive(Deserialize)]
struct Department {
    floor: u8,
}

async fn typed(employee: TypedClaims<Employee>, calls: Option<Data<Calls>>) -> String {
    count(calls);
    format!("{} on floor {}", employee.sub, employee.department.floor)
}

async fn scope(claims: Claims, calls: Option<Data<Calls>>) -> Result<&'static str, Error> {
    claims.require_scope("orders:read")?;
    count(calls);
    Ok("orders")
}

async fn role(claims: Claims, calls: Option<Data<Calls>>) -> Result<&'static str, Error> {
    claims.require_claim("/realm_access/roles", "admin")?;
    count(calls);
    Ok("admin")
}

/// Requires `acr` to be `urn:otp`.
async fn authenticated_by(claims: Claims, calls: Option<Data<Calls>>) -> Result<String, Error> {
    permitted(&claims, &requirement::acr(["urn:otp"]), calls)
}

/// Requires an authentication of the last five minutes.
async fn authenticated_recently(
    claims: Claims,
    calls: Option<Data<Calls>>,
) -> Result<String, Error> {
    permitted(&claims, &requirement::auth_age(Duration::from_secs(300)), calls)
}

/// Requires the actor `agent`.
async fn actor(claims: Claims, calls: Option<Data<Calls>>) -> Result<String, Error> {
    permitted(&claims, &requirement::actor(["agent"]), calls)
}

async fn in_person(claims: Claims, calls: Option<Data<Calls>>) -> Result<String, Error> {
    permitted(&claims, &requirement::not_delegated(), calls)
}

/// Requires a detail `payment` of at most 100.
async fn payment(claims: Claims, calls: Option<Data<Calls>>) -> Result<String, Error> {
    let is_small = |detail: &Value| detail["amount"].as_u64().is_some_and(|amount| amount <= 100);
    permitted(&claims, &requirement::authorization_detail("payment", is_small), calls)
}

fn permitted(
    claims: &Claims,
    requirement: &Requirement,
    calls: Option<Data<Calls>>,
) -> Result<String, Error> {
    claims.require(requirement)?;
    count(calls);
    Ok(requirement.to_string())
}

async fn ws(
    claims: Claims,
    request: HttpRequest,
    body: web::Payload,
    calls: Option<Data<Calls>>,
) -> actix_web::Result<HttpResponse> {
    count(calls);
    let (response, mut session, mut messages) = actix_ws::handle(&request, body)?;
    actix_web::rt::spawn(async move {
        while let Some(Ok(message)) = messages.recv().await {
            if let actix_ws::Message::Text(text) = message {
                let answer = format!("{} says {text}", claims.subject().unwrap_or("anonymous"));
                if session.text(answer).await.is_err() {
                    return;
                }
            }
        }
    });
    Ok(response)
}

async fn ws_role(
    claims: Claims,
    request: HttpRequest,
    body: web::Payload,
    calls: Option<Data<Calls>>,
) -> actix_web::Result<HttpResponse> {
    claims.require_claim("role", "admin")?;
    ws(claims, request, body, calls).await
}

/// Extracts no claims, so that only the middleware can reject a request.
async fn bare(calls: Option<Data<Calls>>) -> &'static str {
    count(calls);
    "bare"
}

async fn ws_bare(
    request: HttpRequest,
    body: web::Payload,
    calls: Option<Data<Calls>>,
) -> actix_web::Result<HttpResponse> {
    count(calls);
    let (response, session, _) = actix_ws::handle(&request, body)?;
    // The session ends at once: the test needs no more than that it began.
    let _ = session.close(None).await;
    Ok(response)
}

fn count(calls: Option<Data<Calls>>) {
    if let Some(calls) = calls {
        calls.private.fetch_add(1, Ordering::SeqCst);
    }
}
