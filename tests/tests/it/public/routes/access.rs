//! Scopes and resources that `PublicAccess` opens.

use oauth2_actix::public::PublicAccess;

use super::*;

#[test]
fn public_access_opens_scopes_resources_and_services() {
    let setup = check(
        "by value",
        |app| {
            app.service(
                web::resource("/status")
                    .wrap(PublicAccess)
                    .route(web::get().to(|| async { "public status" })),
            )
            .service(
                web::scope("/docs")
                    .wrap(PublicAccess)
                    .service(web::scope("/{version}").route("/x", web::to(|| async { "public x" })))
                    .default_service(web::to(|| async { "public default" })),
            )
            .service(
                web::scope("/static")
                    .wrap(PublicAccess)
                    .service(actix_files::Files::new("", env!("CARGO_MANIFEST_DIR"))),
            )
            .service(at("/docsx"))
            .service(at("/secret"));
        },
        &["GET /status", "GET /docs", "GET /docs/1/x", "PUT /docs/1/x", "DELETE /docs/"],
        &["GET /docsx", "GET /secret", "POST /none", "GET /", "GET /doc"],
    );
    let manifest = setup.get("/static/Cargo.toml");
    assert!(manifest.status == 200 && manifest.body.starts_with("[package]"), "{manifest:?}");
    assert_eq!(setup.get("/static/none").status, 404);
    assert_eq!(
        setup.send("POST", "/status", &[]).status,
        405,
        "every method of the resource is public"
    );
    setup.private_with_a_token("GET", "/secret", &[]);
}

#[test]
fn public_access_opens_nothing_outside_what_it_wraps() {
    check(
        "beside and behind",
        |app| {
            app.service(
                web::scope("/a")
                    .service(
                        web::scope("/open")
                            .wrap(PublicAccess)
                            .route("/x", web::post().to(|| async { "public" })),
                    )
                    .service(at("/x"))
                    .default_service(web::to(private)),
            )
            .service(
                web::scope("/slow")
                    .wrap(PublicAccess)
                    .wrap(from_fn(wait))
                    .route("/x", web::to(|| async { "public" })),
            );
        },
        &["POST /a/open/x"],
        &["GET /a/x", "GET /a/y", "GET /a", "GET /slow/x"],
    );
    // The default service responds within an open scope too, since the router selects it.
    let setup = Setup::new(|app| {
        app.service(web::scope("/a").wrap(PublicAccess))
            .default_service(web::to(|| async { "default" }));
    });
    assert_eq!((setup.get("/a/x").body.as_str(), setup.get("/x").status), ("default", 400));
    for path in ["/a/../x", "/a/..%2fx", "/a/%2e%2e/x", "/a/./x"] {
        assert_eq!(setup.get(path).status, 400, "{path}");
    }
    // A path that is not found in an open scope does not reach another scope.
    let setup = Setup::new(|app| {
        app.service(web::scope("/a").wrap(PublicAccess).service(at("/other")))
            .service(web::scope("/a").service(at("/x")));
    });
    assert_eq!(setup.get("/a/x").status, 404);
}

/// A policy within an open scope decides on its own.
#[test]
fn inner_policy_in_an_open_scope_still_rejects() {
    let (outer, inner) = (oauth2(), oauth2());
    let runs = Arc::new(Runs::default());
    let data = Data::new(Arc::clone(&runs));
    let server = LocalServer::start(move |listener| {
        let app = move || {
            App::new()
                .app_data(data.clone())
                .service(
                    web::scope("/open")
                        .service(health)
                        .service(at("/secret"))
                        .wrap(inner.clone())
                        .wrap(PublicAccess),
                )
                .wrap(outer.clone())
        };
        Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
    })
    .unwrap();
    let get = |path: &str| raw(server.address(), &raw_get(path, &[]));
    assert_eq!(get("/open/health").body, "public");
    let private = get("/open/secret");
    assert_eq!((private.status, private.error()), (400, "invalid_request".into()));
    assert_eq!(runs.0.load(Ordering::SeqCst), 0);
    let bearer = format!("Authorization: Bearer {}", token());
    assert_eq!(raw(server.address(), &raw_get("/open/secret", &[&bearer])).body, "private");
}
