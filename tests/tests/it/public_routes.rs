//! `#[public]` under hostile layouts: public wherever it is mounted, and never open by accident.
//! Every layout asserts by a counter that no private handler ran.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer, Resource, Responder, delete, get,
    guard::{self, GuardContext},
    middleware::{Condition, NormalizePath, TrailingSlash, from_fn},
    post, route, routes,
    web::{self, Data, ServiceConfig},
};
use oauth2_actix::{
    Algorithm, Claims, OAuth2, OptionalClaims, Provider, public, public_routes, require_claim,
    testing::{Answer as Script, KeyServer, LocalServer, SigningKey, Token},
};
use oauth2_actix_tests::{
    client::{Answer, client, raw, raw_get, send},
    keys::key,
    log,
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
    assert!(!request.match_info().as_str().contains("~public~"), "the mark is taken out");
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
#[routes]
#[get("/one")]
#[post("/two")]
async fn several() -> &'static str {
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
    async fn inside() -> &'static str {
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
    claims.as_ref().and_then(Claims::subject).unwrap_or("stranger").to_owned()
}

#[public]
#[get("/claims")]
async fn demands(claims: Claims) -> String {
    claims.provider().to_owned()
}

const ID: &str = "the user's own";

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

struct Setup {
    server: LocalServer,
    runs: Arc<Runs>,
}

fn oauth2() -> OAuth2 {
    log::keep();
    let keys = key(Algorithm::ES256).jwk_set();
    OAuth2::builder()
        .provider("test", Provider::new().issuer("https://idp.test").audience("api").keys(keys))
        .build()
        .unwrap()
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

    fn ask(&self, method: &str, path: &str, lines: &[&str]) -> Answer {
        let request = String::from_utf8(raw_get(path, lines)).unwrap().replacen("GET", method, 1);
        raw(self.server.address(), request.as_bytes())
    }

    fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[])
    }

    fn private_runs(&self) -> usize {
        self.runs.0.load(Ordering::SeqCst)
    }

    /// The same request with a valid token reaches the private handler.
    #[track_caller]
    fn private_with_a_token(&self, method: &str, path: &str, lines: &[&str]) {
        let before = self.private_runs();
        let bearer = format!("Authorization: Bearer {}", token());
        let lines = [lines, &[bearer.as_str()]].concat();
        let answer = self.ask(method, path, &lines);
        assert_eq!((answer.status, answer.body.as_str()), (200, "private"), "{method} {path}");
        assert_eq!(self.private_runs(), before + 1);
    }
}

fn token() -> String {
    Token::new("https://idp.test", "api").sign(key(Algorithm::ES256))
}

/// Opened: 200 with "public…". Refused: 400, and no private handler ran.
#[track_caller]
fn check(
    layout: &str,
    configure: fn(&mut ServiceConfig),
    opened: &[&str],
    refused: &[&str],
) -> Setup {
    let setup = Setup::new(configure);
    let split = |request: &str| {
        let mut words = request.split(' ').map(str::to_owned);
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        (method, path, words.map(|word| word.replace('=', ": ")).collect::<Vec<_>>())
    };
    for request in opened {
        let (method, path, lines) = split(request);
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let answer = setup.ask(&method, &path, &lines);
        assert_eq!(answer.status, 200, "{layout}: {request} is public: {answer:?}");
        assert!(answer.body.starts_with("public"), "{layout}: {request}: {answer:?}");
    }
    for request in refused {
        let (method, path, lines) = split(request);
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let answer = setup.ask(&method, &path, &lines);
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

#[test]
fn mounted_anywhere_it_is_public_for_its_methods() {
    check(
        "root",
        |app| {
            app.service(health);
        },
        &["GET /health", "GET /health?x=1", "GET /%68ealth"],
        &[
            "POST /health",
            "OPTIONS /health",
            "PUT /health",
            "GET /health/",
            "GET /healthy",
            "GET /Health",
            "GET /",
            "GET //health",
        ],
    );
    check(
        "scopes",
        |app| {
            app.service(web::scope("/api").service(
                web::scope("/v1").service(web::scope("/{tenant}").service(health).service(item)),
            ));
        },
        &["GET /api/v1/acme/health", "GET /api/v1/acme/items/7", "GET /api/v1/a%20b/items/%37"],
        &[
            "GET /health",
            "GET /api/health",
            "GET /api/v1/health",
            "GET /api/v1/acme/x/health",
            "GET /api/v1/acme/items/",
        ],
    );
    check(
        "service config",
        |app| {
            app.service(web::scope("/api").configure(|config| {
                config.service(health);
            }));
        },
        &["GET /api/health"],
        &["GET /health"],
    );
    check(
        "scope macro",
        |app| {
            app.service(module::inside);
        },
        &["GET /module/inside"],
        &["GET /inside"],
    );
    check(
        "empty and slash",
        |app| {
            app.service(slash)
                .service(web::scope("/a").service(empty))
                .service(web::scope("/b").service(slash))
                .service(web::scope("/c/{x}").service(empty));
        },
        &["GET /", "GET /a", "GET /b/", "GET /c/d"],
        &["GET /a/", "GET /b", "GET /c", "GET /c/d/"],
    );
    check(
        "routes",
        |app| {
            app.service(several).service(either);
        },
        &["GET /one", "POST /two", "GET /either"],
        &["POST /one", "GET /two", "POST /either"],
    );
    check(
        "twice",
        |app| {
            app.service(web::scope("/a").service(health))
                .service(web::scope("/b").service(health))
                .service(health);
        },
        &["GET /a/health", "GET /b/health", "GET /health"],
        &["GET /c/health"],
    );
    check(
        "tail",
        |app| {
            app.service(web::scope("/s").service(file));
        },
        &["GET /s/files/a", "GET /s/files/a/b/c", "GET /s/files/", "GET /s/files/a%2Fb"],
        &["GET /s/files"],
    );
    check(
        "many in one scope",
        |app| {
            app.service(
                web::scope("/s")
                    .service(health)
                    .service(item)
                    .service(two_segments)
                    .service(delete_item)
                    .service(guarded),
            );
        },
        &[
            "GET /s/health",
            "GET /s/items/1",
            "GET /s/items/a/1",
            "DELETE /s/items/1",
            "GET /s/guarded x-flag=1",
        ],
        &["GET /s/guarded", "PUT /s/items/1", "DELETE /s/items/a/1"],
    );
}

#[test]
fn a_private_literal_and_a_public_dynamic_segment() {
    let setup = check(
        "literal first",
        |app| {
            app.service(at("/items/me")).service(item);
        },
        &["GET /items/7"],
        &["GET /items/me", "GET /items/%6de", "GET /items/%6d%65", "POST /items/me"],
    );
    setup.private_with_a_token("GET", "/items/me", &[]);
    setup.private_with_a_token("GET", "/items/%6de", &[]);
    // As the router has it: what is registered first takes it, and that is public.
    check(
        "literal after",
        |app| {
            app.service(item).service(at("/items/me"));
        },
        &["GET /items/7", "GET /items/me", "GET /items/%6de"],
        &["POST /items/me"],
    );
    let setup = check(
        "deeper",
        |app| {
            app.service(at("/items/{id}/{rev}")).service(item);
        },
        &["GET /items/7"],
        &["GET /items/7/8", "GET /items/7/"],
    );
    setup.private_with_a_token("GET", "/items/7/8", &[]);
    check(
        "same shape, private first",
        |app| {
            app.service(at("/items/{other}")).service(item);
        },
        &[],
        &["GET /items/7", "DELETE /items/7"],
    );
}

#[test]
fn a_private_pattern_that_would_take_the_marked_path() {
    // Registered first it would take the mark for its first segment: refused, to be safe.
    let setup = check(
        "one segment more, first",
        |app| {
            app.service(at("/{a}/{b}")).service(health);
        },
        &[],
        &["GET /health", "GET /x/health"],
    );
    setup.private_with_a_token("GET", "/x/health", &[]);
    check(
        "one segment more, after",
        |app| {
            app.service(health).service(at("/{a}/{b}"));
        },
        &["GET /health"],
        &["GET /x/health", "POST /health"],
    );
    // A scope with a dynamic prefix takes the path itself, with or without a mark.
    check(
        "dynamic scope first",
        |app| {
            app.service(web::scope("/{tenant}").service(at("/health"))).service(health);
        },
        &[],
        &["GET /health", "GET /x/health"],
    );
    check(
        "a demand around a public route",
        |app| {
            app.service(web::scope("/s").wrap(require_claim("role", "admin")).service(health));
        },
        &[],
        &["GET /s/health"],
    );
}

#[test]
fn many_modules_with_the_same_patterns() {
    let setup = Setup::new(all_modules);
    for name in MODULES {
        assert_eq!(setup.get(&format!("/{name}")).body, format!("public list of {name}"));
        assert_eq!(setup.get(&format!("/{name}/7")).body, format!("public 7 of {name}"));
        assert_eq!(setup.get(&format!("/{name}/7/8")).status, 400);
    }
    for path in ["/private", "/private/", "/private/7", "/private/m0/7"] {
        assert_eq!(setup.get(path).status, 400, "{path}");
        setup.private_with_a_token("GET", path, &[]);
    }
}

#[test]
fn of_public_twins_everybody_gets_the_first_registered() {
    for (configure, body) in [
        (
            (|app| {
                app.service(twin_a).service(twin_b);
            }) as fn(&mut ServiceConfig),
            "public a",
        ),
        (
            |app| {
                app.service(twin_a);
            },
            "public a",
        ),
    ] {
        let setup = Setup::new(configure);
        let bearer = format!("Authorization: Bearer {}", token());
        assert_eq!(setup.get("/twin").body, body);
        assert_eq!(setup.ask("GET", "/twin", &[&bearer]).body, body);
    }
}

#[tokio::test]
async fn a_valid_token_waits_for_keys_on_a_private_route_beside_public_ones() {
    let (old, new) = (
        SigningKey::generate(Algorithm::ES256, "old"),
        SigningKey::generate(Algorithm::ES256, "new"),
    );
    let keys = KeyServer::start(Script::json(&old.jwk_set())).unwrap();
    let provider = Provider::new().issuer("https://idp.test").audience("api").keys(keys.url());
    let oauth2 = OAuth2::builder().provider("p", provider).key_refresh_minutes(30).build().unwrap();
    let runs = Data::new(Arc::new(Runs::default()));
    let server = LocalServer::start(move |listener| {
        let app = move || {
            App::new()
                .app_data(runs.clone())
                .service(at("/c/{tail:.*}"))
                .service(web::scope("/d").service(empty).service(item))
                .wrap(oauth2.clone())
        };
        Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
    })
    .unwrap();
    let get = async |path: &str, key: &SigningKey| {
        let token = Token::new("https://idp.test", "api").sign(key);
        oauth2_actix_tests::client::get(&server.url(path), Some(&token)).await.status
    };
    assert_eq!(get("/c/items/7", &old).await, 200, "the first keys are waited for");
    keys.answer(Script::json(&new.jwk_set()));
    assert_eq!(get("/c/items/7", &new).await, 200, "and so are new ones");
}

#[test]
fn what_a_stranger_can_ask_the_map_is_bounded() {
    let setup = check(
        "long",
        |app| {
            app.service(web::scope("/s").service(file));
        },
        &["GET /s/files/a"],
        &[],
    );
    let long = format!("/s/files/{}", "a/".repeat(40));
    assert_eq!(setup.get(&long).status, 200);
    let too_long = format!("/s/files/{}", "a".repeat(4096));
    assert_eq!(setup.get(&too_long).status, 400);
    assert_eq!(setup.get(&"/".repeat(20_000)).status, 400);
}

#[test]
fn the_users_names_stay_his() {
    let setup = Setup::new(|app| {
        app.service(own_constant);
    });
    assert_eq!(setup.get("/own-constant").body, "the user's own");
}

#[test]
fn tail_patterns_on_both_sides() {
    let setup = check(
        "private tail first",
        |app| {
            app.service(at("/{tail:.*}")).service(file).service(health);
        },
        &[],
        &["GET /files/a", "GET /health", "GET /x"],
    );
    setup.private_with_a_token("GET", "/files/a", &[]);
    let setup = check(
        "private tail after",
        |app| {
            app.service(file).service(health).service(at("/{tail:.*}"));
        },
        &["GET /files/a", "GET /health"],
        &["POST /files/a", "POST /health", "HEAD2 /health", "GET /x", "GET /files"],
    );
    setup.private_with_a_token("POST", "/health", &[]);
    check(
        "private file under a public tail",
        |app| {
            app.service(file).service(at("/files"));
        },
        &["GET /files/"],
        &["GET /files"],
    );
    check(
        "guarded route before a catch-all",
        |app| {
            app.service(guarded).service(at("/{tail:.*}"));
        },
        &["GET /guarded x-flag=1"],
        &["GET /guarded", "POST /guarded x-flag=1"],
    );
}

#[test]
fn the_same_path_with_other_methods_or_twice() {
    for configure in [
        (|app| {
            app.service(post_health).service(health);
        }) as fn(&mut ServiceConfig),
        |app| {
            app.service(health).service(post_health);
        },
    ] {
        let setup =
            check("methods", configure, &["GET /health"], &["POST /health", "DELETE /health"]);
        setup.private_with_a_token("POST", "/health", &[]);
    }
    // One pattern and method twice: a token reaches the first, a stranger the public one.
    let setup = check(
        "twin, private first",
        |app| {
            app.service(private_health).service(health);
        },
        &["GET /health"],
        &["POST /health"],
    );
    setup.private_with_a_token("GET", "/health", &[]);
    check(
        "twin, public first",
        |app| {
            app.service(health).service(private_health);
        },
        &["GET /health"],
        &["POST /health"],
    );
    let setup = check(
        "multi-pattern",
        |app| {
            app.service(
                web::resource(["/health", "/secret", "/items/{id}"]).route(web::to(private)),
            )
            .service(health)
            .service(item);
        },
        &["GET /health"],
        &["GET /secret", "GET /items/7"],
    );
    setup.private_with_a_token("GET", "/secret", &[]);
}

#[test]
fn scopes_and_guards() {
    let setup = check(
        "two scopes, one public",
        |app| {
            app.service(web::scope("/a").service(health))
                .service(web::scope("/b").service(private_health));
        },
        &["GET /a/health"],
        &["GET /b/health"],
    );
    setup.private_with_a_token("GET", "/b/health", &[]);

    let setup = check(
        "two scopes of one prefix by host, public first",
        |app| {
            app.service(web::scope("/api").guard(host("open.test")).service(health))
                .service(web::scope("/api").guard(host("closed.test")).service(private_health));
        },
        &[],
        &[],
    );
    let by_host = |setup: &Setup, name: &str| {
        let request = format!("GET /api/health HTTP/1.1\r\nHost: {name}\r\n\r\n");
        raw(setup.server.address(), request.as_bytes()).status
    };
    assert_eq!(by_host(&setup, "open.test"), 200);
    assert_eq!(by_host(&setup, "closed.test"), 400);
    assert_eq!(setup.private_runs(), 0);

    let setup = check(
        "two scopes of one prefix by host, private first",
        |app| {
            app.service(web::scope("/api").guard(host("closed.test")).service(private_health))
                .service(web::scope("/api").guard(host("open.test")).service(health));
        },
        &[],
        &[],
    );
    assert_eq!(by_host(&setup, "closed.test"), 400);
    // The map knows the private scope only: refused, to be safe.
    assert_eq!(by_host(&setup, "open.test"), 400);
    assert_eq!(setup.private_runs(), 0);

    for configure in [
        // A guarded scope that falls through to a catch-all.
        (|app| {
            app.service(web::scope("/api").guard(guard::Header("x-open", "1")).service(health))
                .service(at("/{tail:.*}"));
        }) as fn(&mut ServiceConfig),
        // … by a function …
        |app| {
            app.service(
                web::scope("/api")
                    .guard(guard::fn_guard(|context| {
                        context.head().headers().get("x-open").is_some_and(|value| value == "1")
                    }))
                    .service(health),
            )
            .service(web::scope("").default_service(web::to(private)));
        },
        // … to the default service of the app.
        |app| {
            app.service(web::scope("/api").guard(guard::Header("x-open", "1")).service(health))
                .default_service(web::to(private));
        },
        // … to the default service of a scope around it.
        |app| {
            app.service(
                web::scope("/api")
                    .service(web::scope("").guard(guard::Header("x-open", "1")).service(health))
                    .default_service(web::to(private)),
            );
        },
    ] {
        let setup = check(
            "guarded scope",
            configure,
            &["GET /api/health x-open=1"],
            &["GET /api/health", "GET /api/other", "POST /api/health x-open=1"],
        );
        setup.private_with_a_token("GET", "/api/health", &[]);
    }
    assert!(
        !log::lines_with(&["ERROR", "did not take it there"]).is_empty()
            || !log::lines_with(&["ERROR", "#[public] route was refused"]).is_empty()
    );
}

#[test]
fn default_services_files_redirects_and_external_resources() {
    let setup = check(
        "default service",
        |app| {
            app.service(health).default_service(web::to(private));
        },
        &["GET /health"],
        &["POST /health", "GET /x"],
    );
    setup.private_with_a_token("GET", "/x", &[]);
    check(
        "scope default",
        |app| {
            app.service(web::scope("/s").service(health).default_service(web::to(private)));
        },
        &["GET /s/health"],
        &["POST /s/health", "GET /s/x", "GET /s"],
    );
    check(
        "files before",
        |app| {
            app.service(actix_files::Files::new("/", env!("CARGO_MANIFEST_DIR"))).service(health);
        },
        &[],
        &["GET /health", "GET /Cargo.toml"],
    );
    check(
        "files after",
        |app| {
            app.service(health).service(
                actix_files::Files::new("/", env!("CARGO_MANIFEST_DIR")).index_file("Cargo.toml"),
            );
        },
        &["GET /health"],
        &["POST /health", "GET /Cargo.toml", "GET /"],
    );
    check(
        "redirect",
        |app| {
            app.service(web::redirect("/health", "/elsewhere")).service(health);
        },
        &["GET /health"],
        &["POST /health", "GET /elsewhere"],
    );
    check(
        "external",
        |app| {
            app.external_resource("health", "https://x.test/{id}").service(health);
        },
        &["GET /health"],
        &["GET /https://x.test/1"],
    );
}

#[test]
fn paths_are_rewritten_outside_or_refused_inside() {
    let layout: fn(&mut ServiceConfig) = |app| {
        app.service(at("/files")).service(file).service(health);
    };
    for mode in [TrailingSlash::Trim, TrailingSlash::MergeOnly, TrailingSlash::Always] {
        for (inside, outside) in [(Some(mode), None), (None, Some(mode))] {
            let setup = Setup::normalizing(layout, inside, outside);
            for path in [
                "/files",
                "/files/",
                "//files",
                "/files//",
                "/health",
                "/health/",
                "//health",
                "/files/a/",
                "/files//a",
            ] {
                let answer = setup.get(path);
                assert!(
                    matches!(answer.status, 200 | 400 | 404),
                    "{mode:?} {inside:?} {path}: {answer:?}"
                );
                assert!(!answer.body.contains("private"));
            }
            assert_eq!(setup.private_runs(), 0, "inside {inside:?}, outside {outside:?}");
            // What needs no rewriting is public either way.
            let needs_none =
                if matches!(mode, TrailingSlash::Always) { "/files/a/" } else { "/health" };
            assert_eq!(setup.get(needs_none).status, 200, "{mode:?} {inside:?}");
        }
        let setup = Setup::normalizing(layout, None, Some(mode));
        if matches!(mode, TrailingSlash::Trim) {
            assert_eq!(setup.get("/health/").body, "public");
            assert_eq!(setup.get("//health").body, "public");
        }
    }
}

#[test]
fn middleware_that_waits_inside_refuses_and_says_why() {
    let setup = Setup::new(|app| {
        app.service(
            web::scope("/slow")
                .wrap(from_fn(|request, next: actix_web::middleware::Next<_>| async move {
                    actix_web::rt::task::yield_now().await;
                    next.call(request).await
                }))
                .service(health),
        )
        .service(
            web::scope("/quick")
                .wrap(actix_web::middleware::Logger::default())
                .wrap(actix_web::middleware::DefaultHeaders::new().add(("x-seen", "1")))
                .service(health),
        );
    });
    assert_eq!(setup.get("/slow/health").status, 400);
    let quick = setup.get("/quick/health");
    assert_eq!((quick.status, quick.header("x-seen")), (200, Some("1")));
    assert!(!log::lines_with(&["ERROR", "#[public] route", "waits before it calls on"]).is_empty());
}

#[test]
fn marks_in_a_clients_path_open_nothing() {
    let setup = check(
        "marks",
        |app| {
            app.service(health)
                .service(web::scope("/api").service(item).service(at("/secret")))
                .service(at("/{tail:.*}"));
        },
        &["GET /health"],
        &[
            "GET /~public~/health",
            "GET /~public~x/health",
            "GET /api/~public~x/secret",
            "GET /%7Epublic~x/health",
        ],
    );
    // With its exact text, which a stranger may know.
    let route = public_routes()
        .find(|route| route.pattern() == "/items/{id}" && route.methods() == ["GET"])
        .unwrap();
    let id = route.handler().rsplit_once("::").unwrap();
    for line in route.line().saturating_sub(3)..route.line() + 4 {
        for column in 0..3 {
            let path = format!("/api/~public~{}-{}-{line}-{column}/items/7", id.0, id.1);
            assert_eq!(setup.get(&path).status, 400, "{path}");
            let bearer = format!("Authorization: Bearer {}", token());
            let answer = setup.ask("GET", &path, &[&bearer]);
            assert!(matches!(answer.body.as_str(), "private" | ""), "{path} {answer:?}");
        }
    }
}

#[test]
fn answers_of_public_handlers_are_their_own() {
    let setup = Setup::new(|app| {
        app.service(busy).service(number).service(who).service(demands);
    });
    assert_eq!(setup.get("/busy").status, 429);
    assert_eq!(setup.get("/number/7").body, "7");
    assert_eq!(setup.get("/number/x").status, 404, "the extractor's own answer");
    assert_eq!(setup.get("/who").body, "stranger");
    let bearer = format!("Authorization: Bearer {}", token());
    assert_eq!(setup.ask("GET", "/who", &[&bearer]).body, "user-1");
    assert_eq!(setup.ask("GET", "/who", &["Authorization: Bearer x.y.z"]).body, "stranger");
    assert_eq!(setup.get("/claims").status, 400, "claims are demanded");
    assert_eq!(setup.ask("GET", "/claims", &["Authorization: Bearer x.y.z"]).status, 401);
    assert_eq!(setup.ask("GET", "/claims", &[&bearer]).body, "test");
}

#[tokio::test]
async fn head_and_options() {
    let setup = Setup::new(|app| {
        app.service(health).service(either);
    });
    let head = async |path: &str| send(client().head(setup.server.url(path))).await.status;
    assert_eq!(head("/either").await, 200);
    assert_eq!(head("/health").await, 400, "#[get] answers no HEAD, so none is public");
}

#[test]
fn on_a_websocket_route() {
    let setup = Setup::new(|app| {
        app.service(web::scope("/live").service(ws));
    });
    let lines = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    let mut connection = oauth2_actix_tests::client::Connection::open(setup.server.address());
    connection.send(&raw_get("/live/ws", &lines));
    assert_eq!(connection.answer().status, 101);
    assert_eq!(connection.rest(), b"\x88\x00", "the handler's own close");
    let mut connection = oauth2_actix_tests::client::Connection::open(setup.server.address());
    connection.send(&raw_get("/live/other", &lines));
    assert_eq!(connection.answer().status, 101);
    assert_eq!(connection.rest(), b"\x88\x0f\x03\xf0token missing");
}

#[test]
fn two_apps_in_one_process_know_nothing_of_each_other() {
    let one = Setup::new(|app| {
        app.service(web::scope("/a").service(health)).service(at("/b/health"));
    });
    let two = Setup::new(|app| {
        app.service(web::scope("/b").service(health)).service(at("/a/health"));
    });
    assert_eq!((one.get("/a/health").status, one.get("/b/health").status), (200, 400));
    assert_eq!((two.get("/b/health").status, two.get("/a/health").status), (200, 400));
    assert_eq!(one.private_runs() + two.private_runs(), 0);
}

#[test]
fn policies_inside_one_another_and_around_scopes() {
    let (outer, inner, scoped) = (oauth2(), oauth2(), oauth2());
    let runs = Arc::new(Runs::default());
    let data = Data::new(Arc::clone(&runs));
    let server = LocalServer::start(move |listener| {
        let app = move || {
            App::new()
                .app_data(data.clone())
                .service(
                    web::scope("/api/{x}")
                        .wrap(scoped.clone())
                        .service(item)
                        .service(at("/secret")),
                )
                .service(health)
                .wrap(inner.clone())
                .wrap(outer.clone())
        };
        Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
    })
    .unwrap();
    let get = |path: &str| raw(server.address(), &raw_get(path, &[]));
    assert_eq!(get("/health").body, "public");
    assert_eq!(get("/api/v/items/7").body, "public 7");
    assert_eq!(get("/api/v/secret").status, 400);
    assert_eq!(runs.0.load(Ordering::SeqCst), 0);

    // Around a scope alone: the rest of the app is nobody's business.
    let scoped = oauth2();
    let data = Data::new(Arc::clone(&runs));
    let server = LocalServer::start(move |listener| {
        let app = move || {
            App::new().app_data(data.clone()).service(
                web::scope("/api/{x}").wrap(scoped.clone()).service(item).service(at("/secret")),
            )
        };
        Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
    })
    .unwrap();
    let get = |path: &str| raw(server.address(), &raw_get(path, &[]));
    assert_eq!(get("/api/v/items/7").body, "public 7");
    assert_eq!(get("/api/v/secret").status, 400);
    assert_eq!(runs.0.load(Ordering::SeqCst), 0);
}

async fn show(request: HttpRequest) -> impl Responder {
    let url = |name: &str, elements: &[&str]| {
        request.url_for(name, elements).map(|url| url.path().to_owned()).unwrap_or_default()
    };
    format!(
        "{} {} {} {} {}",
        request.match_pattern().unwrap_or_default(),
        request.match_name().unwrap_or_default(),
        url("health", &["t"]),
        url("item", &["t", "7"]),
        url("either-name", &["t"]),
    )
}

#[get("/show", name = "show-name")]
async fn show_private(request: HttpRequest) -> impl Responder {
    show(request).await
}

#[public]
#[get("/show-public")]
async fn show_public(request: HttpRequest) -> impl Responder {
    show(request).await
}

#[test]
fn names_and_patterns_are_as_without_the_macro() {
    let setup = Setup::new(|app| {
        app.service(
            web::scope("/{t}")
                .service(health)
                .service(item)
                .service(either)
                .service(show_private)
                .service(show_public),
        );
    });
    let urls = "/t/health /t/items/7 /t/either";
    let bearer = format!("Authorization: Bearer {}", token());
    let show = |path: &str, lines: &[&str]| setup.ask("GET", path, lines).body;
    assert_eq!(show("/x/show", &[&bearer]), format!("/{{t}}/show show-name {urls}"));
    assert_eq!(
        show("/x/show-public", &[&bearer]),
        format!("/{{t}}/show-public show_public {urls}")
    );
    let anonymous = show("/x/show-public", &[]);
    assert!(
        anonymous.starts_with("/{t}/~public~")
            && anonymous.ends_with(&format!("/show-public show_public {urls}")),
        "{anonymous}"
    );
}

#[test]
fn the_table_lists_every_public_route() {
    let rows: Vec<String> = public_routes()
        .filter(|route| route.handler().contains("public_routes::"))
        .map(|route| {
            format!("{} {} {}", route.methods().join(","), route.pattern(), route.handler())
        })
        .collect();
    for row in [
        "GET /health it::public_routes::health",
        "GET  it::public_routes::empty",
        "GET /files/{tail:.*} it::public_routes::file",
        "GET /one it::public_routes::several",
        "POST /two it::public_routes::several",
        "GET,HEAD /either it::public_routes::either",
        "GET /module/inside it::public_routes::module::inside",
    ] {
        assert!(rows.iter().any(|found| found == row), "{row} is not in {rows:#?}");
    }
    assert!(!rows.iter().any(|row| row.contains("private")));
    let row = public_routes().find(|route| route.handler() == "it::public_routes::health").unwrap();
    assert!(row.file().ends_with("public_routes.rs"));
    let line = include_str!("public_routes.rs")
        .lines()
        .position(|line| line == "async fn health() -> &'static str {");
    assert_eq!(row.line() as usize, line.unwrap() - 1, "the line of the attribute");
}

/// A demand on an ordinary handler, beside all that.
#[get("/admin")]
#[require_claim("role", "admin")]
async fn admin(runs: Data<Arc<Runs>>) -> &'static str {
    private(runs).await
}

#[test]
fn demands_stay_demands() {
    check(
        "demand",
        |app| {
            app.service(health).service(admin);
        },
        &["GET /health"],
        &["GET /admin"],
    );
}
