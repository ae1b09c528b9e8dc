//! `#[public]` in difficult layouts: public wherever it is mounted, and nothing else is. Every layout asserts
//! by a counter that no private handler ran.
//!
//! - `access`: scopes and resources that `PublicAccess` opens
//! - `behaviour`: public handlers, their claims and their table
//! - `layouts`: public routes in scopes, with guards, beside private ones
//! - `middleware`: public routes inside other middleware

mod access;
mod behaviour;
mod layouts;
mod middleware;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer, Resource, Responder,
    body::MessageBody,
    delete,
    dev::{Service, ServiceRequest, ServiceResponse},
    get,
    guard::{self, GuardContext},
    http::Method,
    middleware::{Condition, Next, NormalizePath, TrailingSlash, from_fn},
    post, query, route, routes,
    web::{self, Data, ServiceConfig},
};
use oauth2_actix::{
    Algorithm, Claims, OAuth2, OptionalClaims, Provider, public, require_claim, requirement,
    testing::{LocalServer, SigningKey, Token},
};
use oauth2_actix_tests::{
    client::{Answer, client, raw, raw_get, send},
    key_server::{Answer as Script, KeyServer},
    keys::key,
    log, policy,
};

#[derive(Default)]
struct Runs(AtomicUsize);

/// The private handler of every layout.
async fn private(runs: Data<Arc<Runs>>) -> &'static str {
    runs.0.fetch_add(1, Ordering::SeqCst);
    "private"
}

#[public]
#[get("/health")]
async fn health() -> &'static str {
    "public"
}

#[get("/health")]
async fn private_health(runs: Data<Arc<Runs>>) -> &'static str {
    private(runs).await
}

#[post("/health")]
async fn post_health(runs: Data<Arc<Runs>>) -> &'static str {
    private(runs).await
}

#[public]
#[get("/items/{id}")]
async fn item(request: HttpRequest) -> String {
    format!("public {}", request.match_info().query("id"))
}

#[public]
#[delete("/items/{id}")]
async fn delete_item() -> &'static str {
    "public"
}

#[public]
#[get("/items/{kind}/{id}")]
async fn two_segments(path: web::Path<(String, String)>) -> String {
    format!("public {} {}", path.0, path.1)
}

#[public]
#[get("/files/{tail:.*}")]
async fn file(tail: web::Path<String>) -> String {
    format!("public {tail}")
}

#[public]
#[get("")]
async fn empty() -> &'static str {
    "public"
}

#[public]
#[get("/")]
async fn slash() -> &'static str {
    "public"
}

fn has_flag(context: &GuardContext<'_>) -> bool {
    context.head().headers().contains_key("x-flag")
}

#[public]
#[get("/guarded", guard = "has_flag")]
async fn guarded() -> &'static str {
    "public"
}

#[public]
#[get("/guarded")]
async fn unguarded() -> &'static str {
    "public"
}

#[public]
#[get("/{id}")]
async fn id_only(request: HttpRequest) -> String {
    let matched = request.match_info();
    format!("public {} of {}", matched.query("id"), matched.query("dir"))
}

#[public]
#[get("/{org}/{repo}")]
async fn org_and_repo() -> &'static str {
    "public"
}

#[public]
#[routes]
#[get("/one")]
#[post("/two")]
async fn several() -> &'static str {
    "public"
}

#[public]
#[query("/search")]
async fn search() -> &'static str {
    "public"
}

#[public]
#[routes]
#[get("/find")]
#[query("/find")]
async fn find() -> &'static str {
    "public"
}

#[public]
#[route("/either", method = "GET", method = "HEAD", name = "either-name")]
async fn either() -> &'static str {
    "public"
}

#[actix_web::scope("/module")]
mod module {
    use super::{get, public};

    #[public]
    #[get("/inside")]
    pub(super) async fn inside() -> &'static str {
        "public"
    }
}

#[public]
#[get("/ws")]
async fn ws(request: HttpRequest, body: web::Payload) -> actix_web::Result<HttpResponse> {
    let (response, session, _) = actix_ws::handle(&request, body)?;
    actix_web::rt::spawn(async move {
        let _ = session.close(None).await;
    });
    Ok(response)
}

#[public]
#[get("/busy")]
async fn busy() -> HttpResponse {
    HttpResponse::TooManyRequests().finish()
}

#[public]
#[get("/number/{n}")]
async fn number(n: web::Path<u8>) -> String {
    n.to_string()
}

#[public]
#[get("/who")]
async fn who(OptionalClaims(claims): OptionalClaims) -> String {
    claims.as_ref().and_then(Claims::subject).unwrap_or("anonymous").to_owned()
}

#[public]
#[get("/claims")]
async fn with_required_claims(claims: Claims) -> String {
    claims.provider().to_owned()
}

const ID: &str = "of the developer";

#[public]
#[get("/own-constant")]
async fn own_constant() -> &'static str {
    ID
}

macro_rules! modules {
    ($($name:ident),*) => {
        $(mod $name {
            use super::{get, public, web};

            #[public]
            #[get("")]
            async fn list() -> &'static str {
                concat!("public list of ", stringify!($name))
            }

            #[public]
            #[get("/{id}")]
            async fn one(id: web::Path<u32>) -> String {
                format!("public {id} of {}", stringify!($name))
            }

            pub(super) fn configure(config: &mut web::ServiceConfig) {
                config.service(web::scope(concat!("/", stringify!($name))).service(list).service(one));
            }
        })*

        fn all_modules(config: &mut ServiceConfig) {
            $($name::configure(config);)*
            config.service(at("/private")).service(at("/private/{tail:.*}"));
        }

        const MODULES: &[&str] = &[$(stringify!($name)),*];
    };
}

modules!(m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19);

#[public]
#[get("/twin")]
async fn twin_a() -> &'static str {
    "public a"
}

#[public]
#[get("/twin")]
async fn twin_b() -> &'static str {
    "public b"
}

/// A middleware that waits before it calls the next service.
async fn wait(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    actix_web::rt::task::yield_now().await;
    next.call(request).await
}

struct Setup {
    server: LocalServer,
    runs: Arc<Runs>,
}

fn provider() -> Provider {
    let keys = key(Algorithm::ES256).jwk_set();
    Provider::new().issuer("https://idp.test").audience("api").keys(keys)
}

fn oauth2() -> OAuth2 {
    log::keep();
    policy::builder().provider("test", provider()).build().unwrap()
}

impl Setup {
    fn new(configure: fn(&mut ServiceConfig)) -> Self {
        Self::normalizing(configure, None, None)
    }

    fn normalizing(
        configure: fn(&mut ServiceConfig),
        inside: Option<TrailingSlash>,
        outside: Option<TrailingSlash>,
    ) -> Self {
        let oauth2 = oauth2();
        let runs = Arc::new(Runs::default());
        let data = Data::new(Arc::clone(&runs));
        let normalize = |mode: Option<TrailingSlash>| {
            let mode_or_any = mode.unwrap_or(TrailingSlash::Trim);
            Condition::new(mode.is_some(), NormalizePath::new(mode_or_any))
        };
        let server = LocalServer::start(move |listener| {
            let app = move || {
                App::new()
                    .app_data(data.clone())
                    .configure(configure)
                    .wrap(normalize(inside))
                    .wrap(oauth2.clone())
                    .wrap(normalize(outside))
            };
            Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
        })
        .unwrap();
        Self { server, runs }
    }

    fn send(&self, method: &str, path: &str, lines: &[&str]) -> Answer {
        let request = String::from_utf8(raw_get(path, lines)).unwrap().replacen("GET", method, 1);
        raw(self.server.address(), request.as_bytes())
    }

    fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[])
    }

    fn private_runs(&self) -> usize {
        self.runs.0.load(Ordering::SeqCst)
    }

    /// Asserts that the request with a valid token reaches the private handler.
    #[track_caller]
    fn private_with_a_token(&self, method: &str, path: &str, lines: &[&str]) {
        let before = self.private_runs();
        let bearer = format!("Authorization: Bearer {}", token());
        let lines = [lines, &[bearer.as_str()]].concat();
        let answer = self.send(method, path, &lines);
        assert_eq!((answer.status, answer.body.as_str()), (200, "private"), "{method} {path}");
        assert_eq!(self.private_runs(), before + 1);
    }
}

fn token() -> String {
    Token::new("https://idp.test", "api").sign(key(Algorithm::ES256))
}

/// Asserts that the public requests get 200 and a body `public…`, that the private ones get 400, and that no
/// private handler ran.
#[track_caller]
fn check(
    layout: &str,
    configure: fn(&mut ServiceConfig),
    public: &[&str],
    private: &[&str],
) -> Setup {
    let setup = Setup::new(configure);
    let split = |request: &str| {
        let mut words = request.split(' ').map(str::to_owned);
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        (method, path, words.map(|word| word.replace('=', ": ")).collect::<Vec<_>>())
    };
    for request in public {
        let (method, path, lines) = split(request);
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let answer = setup.send(&method, &path, &lines);
        assert_eq!(answer.status, 200, "{layout}: {request} is public: {answer:?}");
        assert!(answer.body.starts_with("public"), "{layout}: {request}: {answer:?}");
    }
    for request in private {
        let (method, path, lines) = split(request);
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let answer = setup.send(&method, &path, &lines);
        assert_eq!(answer.status, 400, "{layout}: {request} is not public: {answer:?}");
        assert_eq!(answer.error(), "invalid_request", "{layout}: {request}");
    }
    assert_eq!(setup.private_runs(), 0, "{layout}: a private handler ran");
    setup
}

fn at(path: &str) -> Resource {
    web::resource(path).route(web::to(private))
}

fn host(name: &'static str) -> impl guard::Guard {
    guard::Host(name)
}
