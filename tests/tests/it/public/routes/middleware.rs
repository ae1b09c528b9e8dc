//! Public routes inside of other middleware, and of other policies.

use super::*;

#[test]
fn normalized_path_is_public_if_the_router_serves_a_public_route() {
    let layout: fn(&mut ServiceConfig) = |app| {
        app.service(at("/files")).service(file).service(health);
    };
    let open: &[(TrailingSlash, &[&str], &[&str])] = &[
        (
            TrailingSlash::Trim,
            &["/health", "/health/", "//health", "///health//", "/files/a/", "/files//a"],
            &["/files", "/files/", "//files", "/files//", "/health/x"],
        ),
        (
            TrailingSlash::MergeOnly,
            &["/health", "//health", "/files/", "/files//", "/files//a", "/files/a/"],
            &["/files", "//files", "/health/"],
        ),
        (
            TrailingSlash::Always,
            &["/files", "/files/", "//files", "/files/a", "/files/a/"],
            &["/health", "/health/", "//health"],
        ),
    ];
    for (mode, served, rejected) in open {
        for (inside, outside) in [(Some(*mode), None), (None, Some(*mode))] {
            let setup = Setup::normalizing(layout, inside, outside);
            for path in *served {
                let answer = setup.get(path);
                let is_public = answer.status == 200 && answer.body.starts_with("public");
                assert!(is_public, "{mode:?} {inside:?} {path}: {answer:?}");
            }
            for path in *rejected {
                assert_eq!(setup.get(path).status, 400, "{mode:?} {inside:?} {path}");
            }
            assert_eq!(setup.private_runs(), 0, "inside {inside:?}, outside {outside:?}");
        }
    }
}

#[public]
#[get("/hidden")]
async fn hidden() -> &'static str {
    "public"
}

#[test]
fn inner_middleware_that_waits_causes_a_rejection_that_the_log_explains() {
    let setup =
        Setup::new(|app| {
            app.service(web::scope("/slow").service(
                web::scope("/{tenant}").wrap(from_fn(wait)).service(hidden).service(empty),
            ))
            .service(
                web::scope("/quick")
                    .wrap(actix_web::middleware::Logger::default())
                    .wrap(actix_web::middleware::DefaultHeaders::new().add(("x-seen", "1")))
                    .service(health),
            );
        });
    let lines =
        |pattern: &str| log::lines_with(&["WARN", "#[public] route, was rejected", pattern]);
    for _ in 0..3 {
        assert_eq!(setup.get("/slow/t/hidden").status, 400);
        assert_eq!(setup.get("/slow/t").status, 400);
    }
    let quick = setup.get("/quick/health");
    assert_eq!((quick.status, quick.header("x-seen")), (200, Some("1")));
    let said = lines("/slow/{tenant}/hidden");
    assert_eq!(said.len(), 1, "{said:#?}");
    for words in [
        "method=\"GET\"",
        "on the scope /slow/{tenant}, or around it",
        "waits before it calls the next service",
        "around the App after OAuth2",
        "scope of the private routes only",
        "make it an extractor",
    ] {
        assert!(said[0].contains(words), "{words}: {said:#?}");
    }
    // A pattern without a literal segment is logged after a request has reached it.
    let of_empty = || lines("pattern=\"/slow/{tenant}\"").len();
    assert_eq!(of_empty(), 0);
    let bearer = format!("Authorization: Bearer {}", token());
    assert_eq!(setup.send("GET", "/slow/t", &[&bearer]).status, 200);
    assert_eq!(setup.get("/slow/t").status, 400);
    assert_eq!(of_empty(), 1);
    assert_eq!(lines("/quick/health").len(), 0);
}

/// This cannot be prevented, but it is logged.
#[test]
fn inner_middleware_that_spawns_its_service_is_logged() {
    let setup = Setup::new(|app| {
        app.service(web::scope("/api").service(health)).service(
            web::scope("/spawned")
                .wrap_fn(|request, service| {
                    let spawned = actix_web::rt::spawn(service.call(request));
                    async move { spawned.await.unwrap() }
                })
                .service(at("/x/health")),
        );
    });
    assert_eq!(setup.get("/api/health").status, 200);
    assert_eq!(setup.get("/spawned/x/health").status, 400);
    assert_eq!(log::lines_with(&["ERROR", "has kept a request that OAuth2 rejected"]).len(), 1);
}

#[test]
fn inner_middleware_that_responds_itself_hides_public_routes() {
    let setup = check(
        "maintenance page",
        |app| {
            app.service(
                web::scope("/s")
                    .wrap_fn(|request, _| {
                        let answer = HttpResponse::ServiceUnavailable().finish();
                        std::future::ready(Ok(request.into_response(answer)))
                    })
                    .service(health),
            );
        },
        &[],
        &["GET /s/health"],
    );
    let bearer = format!("Authorization: Bearer {}", token());
    assert_eq!(setup.send("GET", "/s/health", &[&bearer]).status, 503);
}

/// By option, every request is routed before it is rejected.
#[test]
fn request_that_is_rewritten_inside_is_routed_by_option() {
    let server = |routes_all| {
        let builder = policy::builder().provider("test", provider());
        let oauth2 = builder.route_before_rejection(routes_all).build().unwrap();
        let runs = Data::new(Arc::new(Runs::default()));
        LocalServer::start(move |listener| {
            let app = move || {
                App::new()
                    .app_data(runs.clone())
                    .service(health)
                    .service(at("/secret"))
                    .wrap_fn(|mut request, service| {
                        let path = request.headers().get("x-path");
                        let path = path.map(|path| path.to_str().unwrap().parse().unwrap());
                        if let Some(uri) = path {
                            request.match_info_mut().get_mut().update(&uri);
                        }
                        if request.headers().contains_key("x-get") {
                            request.head_mut().method = Method::GET;
                        }
                        service.call(request)
                    })
                    .wrap(oauth2.clone())
            };
            Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
        })
        .unwrap()
    };
    for routes_all in [true, false] {
        let server = server(routes_all);
        let send = |method: &str, path: &str, line: &str| {
            let request = String::from_utf8(raw_get(path, &[line])).unwrap();
            raw(server.address(), request.replacen("GET", method, 1).as_bytes()).status
        };
        // No public route has this method and path, but some have a tail for GET.
        let rewritten = if routes_all { 200 } else { 400 };
        assert_eq!(send("POST", "/health", "X-Get: 1"), rewritten);
        assert_eq!(send("GET", "/x", "X-Path: /health"), 200);
        assert_eq!(send("GET", "/health", "X-Path: /secret"), 400);
        assert_eq!(send("GET", "/health", "X: y"), 200);
    }
}

#[test]
fn apps_in_one_process_are_independent() {
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
fn nested_and_scoped_policies_decide_independently() {
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

    // Around one scope only.
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
