//! Public handlers, their names, and requests without a token.

use super::*;

#[tokio::test]
async fn valid_token_on_a_private_route_beside_public_ones_waits_for_keys() {
    let (old, new) = (
        SigningKey::generate(Algorithm::ES256, "old"),
        SigningKey::generate(Algorithm::ES256, "new"),
    );
    let keys = KeyServer::start(Script::json(&old.jwk_set())).unwrap();
    let provider = Provider::new().issuer("https://idp.test").audience("api").keys(keys.url());
    let oauth2 = policy::builder().provider("p", provider).key_refresh_minutes(30).build().unwrap();
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
    assert_eq!(get("/c/items/7", &old).await, 200, "it waits for the first keys");
    keys.answer(Script::json(&new.jwk_set()));
    assert_eq!(get("/c/items/7", &new).await, 200, "it waits for new keys");
}

/// Missing keys delay no public request whose route the worker has served before.
#[tokio::test]
async fn public_route_that_was_served_never_waits_for_keys() {
    let keys = KeyServer::start(Script::hang()).unwrap();
    let provider = Provider::new().issuer("https://idp.test").audience("api").keys(keys.url());
    let policy = || {
        let builder = policy::builder().provider("p", provider.clone());
        let builder = builder.key_refresh(Duration::ZERO).fetch_timeout(Duration::from_secs(60));
        builder.build().unwrap()
    };
    let (oauth2, inner) = (policy(), policy());
    let runs = Data::new(Arc::new(Runs::default()));
    let server = LocalServer::start(move |listener| {
        let app = move || {
            App::new()
                .app_data(runs.clone())
                .service(
                    web::scope("/in").service(health).service(at("/secret")).wrap(inner.clone()),
                )
                .service(
                    web::scope("/{tenant}")
                        .service(web::resource("/{id}").guard(guard::Delete()).to(private))
                        .service(health)
                        .service(empty)
                        .service(item)
                        .service(at("/secret")),
                )
                .wrap(oauth2.clone())
        };
        Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
    })
    .unwrap();
    let token = token();
    let send = async |path: &str, token: Option<&str>| {
        let limit = Duration::from_secs(20);
        let url = server.url(path);
        let get = oauth2_actix_tests::client::get(&url, token);
        tokio::time::timeout(limit, get).await.expect("an answer").status
    };
    assert_eq!(send("/t", None).await, 200);
    assert_eq!(send("/t/items/7", None).await, 200);
    // Behind a private route of another method with a matching pattern, and within another policy.
    assert_eq!(send("/t/health", None).await, 200);
    assert_eq!(send("/u/health", Some(&token)).await, 200);
    assert_eq!(send("/in/health", None).await, 200);
    assert_eq!(send("/in/health", Some(&token)).await, 200);
    assert_eq!(send("/u", Some(&token)).await, 200);
    assert_eq!(send("/u/items/8", Some(&token)).await, 200);
    // A private route waits for keys.
    let url = server.url("/t/secret");
    let private = oauth2_actix_tests::client::get(&url, Some(&token));
    let limit = Duration::from_millis(300);
    assert!(tokio::time::timeout(limit, private).await.is_err());
}

#[test]
fn long_paths_are_public_or_rejected_as_short_ones_are() {
    let setup = check(
        "long",
        |app| {
            app.service(web::scope("/s").service(file)).service(at("/{tail:.*}"));
        },
        &["GET /s/files/a"],
        &[],
    );
    let long = format!("/s/files/{}", "a/".repeat(4_000));
    assert_eq!(setup.get(&long).status, 200);
    assert_eq!(setup.get(&"/".repeat(20_000)).status, 400);
    assert_eq!(setup.get(&"/x".repeat(10_000)).status, 400);
    assert_eq!(setup.private_runs(), 0);
}

#[test]
fn constant_of_the_developer_is_not_shadowed() {
    let setup = Setup::new(|app| {
        app.service(own_constant);
    });
    assert_eq!(setup.get("/own-constant").body, "of the developer");
}

#[test]
fn response_of_a_public_handler_is_unchanged() {
    let setup = Setup::new(|app| {
        app.service(busy).service(number).service(who).service(with_required_claims);
    });
    assert_eq!(setup.get("/busy").status, 429);
    assert_eq!(setup.get("/number/7").body, "7");
    assert_eq!(setup.get("/number/x").status, 404, "the response of the extractor");
    assert_eq!(setup.get("/who").body, "anonymous");
    let bearer = format!("Authorization: Bearer {}", token());
    assert_eq!(setup.send("GET", "/who", &[&bearer]).body, "user-1");
    assert_eq!(setup.send("GET", "/who", &["Authorization: Bearer x.y.z"]).body, "anonymous");
    assert_eq!(setup.get("/claims").status, 400, "claims are required");
    assert_eq!(setup.send("GET", "/claims", &["Authorization: Bearer x.y.z"]).status, 401);
    assert_eq!(setup.send("GET", "/claims", &[&bearer]).body, "test");
}

/// Names and positions of the attribute.
mod forms {
    use actix_web as web_framework;
    use oauth2_actix::public as open;

    #[open]
    #[web_framework::get("/renamed")]
    pub(super) async fn renamed() -> &'static str {
        "public"
    }

    #[cfg(not(any()))]
    #[oauth2_actix::public]
    #[cfg(not(any()))]
    #[actix_web::get("/conditional")]
    pub(super) async fn conditional() -> &'static str {
        "public"
    }

    #[oauth2_actix::public]
    #[cfg(any())]
    #[actix_web::get("/absent")]
    async fn absent() -> NoSuchType {}

    macro_rules! handler {
        ($name:ident, $pattern:literal, $answer:expr) => {
            #[open]
            #[actix_web::get($pattern, wrap = "actix_web::middleware::DefaultHeaders::new()")]
            pub(super) async fn $name() -> impl actix_web::Responder {
                $answer
            }
        };
    }

    handler!(by_macro, "/by-macro", "public");

    #[actix_web::scope("/scoped")]
    pub(super) mod scoped {
        #[super::open]
        #[actix_web::routes]
        #[get("/one")]
        #[delete("/one")]
        pub(in super::super) async fn r#async() -> &'static str {
            "public"
        }
    }
}

#[test]
fn public_attribute_in_every_form_opens_its_route() {
    check(
        "forms",
        |app| {
            async fn answer() -> &'static str {
                "public"
            }
            #[public]
            #[get("/within")]
            async fn within() -> &'static str {
                answer().await
            }
            app.service(forms::renamed)
                .service(forms::conditional)
                .service(forms::by_macro)
                .service(forms::scoped::r#async)
                .service(within);
        },
        &[
            "GET /renamed",
            "GET /conditional",
            "GET /by-macro",
            "GET /scoped/one",
            "DELETE /scoped/one",
            "GET /within",
        ],
        &["POST /renamed", "GET /absent", "GET /one", "PUT /scoped/one"],
    );
    let routes: Vec<String> = public::routes()
        .filter(|route| route.handler().contains("::forms::"))
        .map(|route| format!("{} {}", route.methods().join(","), route.pattern()))
        .collect();
    for row in ["GET /renamed", "GET /conditional", "GET /by-macro", "DELETE /scoped/one"] {
        assert!(routes.iter().any(|found| found == row), "{row}: {routes:?}");
    }
    assert!(!routes.iter().any(|row| row.contains("absent")), "{routes:?}");
}

#[test]
fn query_macro_is_a_routing_macro() {
    check(
        "query",
        |app| {
            app.service(search).service(web::scope("/api").service(find));
        },
        &["QUERY /search", "QUERY /api/find", "GET /api/find"],
        &["GET /search", "POST /api/find", "query /search"],
    );
    let methods = |pattern: &str| {
        let routes = public::routes().filter(move |route| route.pattern() == pattern);
        routes.flat_map(|route| route.methods()).copied().collect::<Vec<_>>()
    };
    assert_eq!(methods("/search"), ["QUERY"]);
    assert_eq!(methods("/find"), ["GET", "QUERY"]);
}

#[tokio::test]
async fn public_get_route_does_not_open_head() {
    let setup = Setup::new(|app| {
        app.service(health).service(either);
    });
    let head = async |path: &str| send(client().head(setup.server.url(path))).await.status;
    assert_eq!(head("/either").await, 200);
    assert_eq!(head("/health").await, 400, "#[get] has no HEAD");
}

#[test]
fn public_websocket_route_opens_its_handshake_only() {
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
    assert_eq!(connection.rest(), b"\x88\x00", "the close frame of the handler");
    let mut connection = oauth2_actix_tests::client::Connection::open(setup.server.address());
    connection.send(&raw_get("/live/other", &lines));
    assert_eq!(connection.answer().status, 101);
    assert_eq!(connection.rest(), b"\x88\x0f\x03\xf0token missing");
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
fn public_attribute_keeps_route_names_and_patterns() {
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
    let show = |path: &str, lines: &[&str]| setup.send("GET", path, lines).body;
    assert_eq!(show("/x/show", &[&bearer]), format!("/{{t}}/show show-name {urls}"));
    assert_eq!(
        show("/x/show-public", &[&bearer]),
        format!("/{{t}}/show-public show_public {urls}")
    );
    assert_eq!(show("/x/show-public", &[]), show("/x/show-public", &[&bearer]));
}

#[test]
fn table_lists_every_public_route() {
    let rows: Vec<String> = public::routes()
        .filter(|route| route.handler().contains("public::routes::"))
        .map(|route| {
            format!("{} {} {}", route.methods().join(","), route.pattern(), route.handler())
        })
        .collect();
    for row in [
        "GET /health it::public::routes::health",
        "GET  it::public::routes::empty",
        "GET /files/{tail:.*} it::public::routes::file",
        "GET /one it::public::routes::several",
        "POST /two it::public::routes::several",
        "GET,HEAD /either it::public::routes::either",
        "GET /module/inside it::public::routes::module::inside",
    ] {
        assert!(rows.iter().any(|found| found == row), "{row} is not in {rows:#?}");
    }
    assert!(!rows.iter().any(|row| row.contains("private")));
    let row =
        public::routes().find(|route| route.handler() == "it::public::routes::health").unwrap();
    assert!(row.file().ends_with("public/routes/mod.rs"));
    let line = include_str!("mod.rs")
        .lines()
        .position(|line| line == "async fn health() -> &'static str {");
    assert_eq!(row.line() as usize, line.unwrap() - 1, "the line of the attribute");
}

/// A requirement on a private handler.
#[get("/admin")]
#[require_claim("role", "admin")]
async fn admin(runs: Data<Arc<Runs>>) -> &'static str {
    private(runs).await
}

#[test]
fn requirement_beside_a_public_route_is_enforced() {
    check(
        "requirement",
        |app| {
            app.service(health).service(admin);
        },
        &["GET /health"],
        &["GET /admin"],
    );
}
