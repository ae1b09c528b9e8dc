//! Layouts in which a public and a private route overlap.

use super::*;

#[test]
fn public_route_mounted_anywhere_is_public_for_its_methods() {
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
fn private_literal_beside_a_public_dynamic_segment_stays_private() {
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
    // The router selects the first registered route, which is public.
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
fn private_pattern_with_another_segment_or_dynamic_prefix_stays_private() {
    let setup = check(
        "one segment more, first",
        |app| {
            app.service(at("/{a}/{b}")).service(health);
        },
        &["GET /health"],
        &["GET /x/health"],
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
    // A scope with a dynamic prefix matches the path.
    check(
        "dynamic scope first",
        |app| {
            app.service(web::scope("/{tenant}").service(at("/health"))).service(health);
        },
        &[],
        &["GET /health", "GET /x/health"],
    );
    check(
        "a requirement around a public route",
        |app| {
            app.service(web::scope("/s").wrap(requirement::claim("role", "admin")).service(health));
        },
        &[],
        &["GET /s/health"],
    );
}

#[test]
fn modules_with_the_same_patterns_do_not_open_private_routes() {
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
fn first_registered_of_two_equal_public_routes_responds() {
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
        assert_eq!(setup.send("GET", "/twin", &[&bearer]).body, body);
    }
}

#[test]
fn private_and_public_tail_patterns_follow_registration_order() {
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
fn same_path_with_other_methods_or_twice_follows_registration_order() {
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
    // One pattern and method twice: the router selects the first registered.
    let setup = check(
        "twin, private first",
        |app| {
            app.service(private_health).service(health);
        },
        &[],
        &["GET /health", "POST /health"],
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
        &[],
        &["GET /health", "GET /secret", "GET /items/7"],
    );
    setup.private_with_a_token("GET", "/secret", &[]);
}

#[test]
fn private_routes_in_other_scopes_or_behind_guards_stay_private() {
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
    assert_eq!(by_host(&setup, "open.test"), 200);
    assert_eq!(setup.private_runs(), 0);

    for configure in [
        // A guarded scope before a catch-all.
        (|app| {
            app.service(web::scope("/api").guard(guard::Header("x-open", "1")).service(health))
                .service(at("/{tail:.*}"));
        }) as fn(&mut ServiceConfig),
        // The same with a guard function.
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
        // The same before the default service of the app.
        |app| {
            app.service(web::scope("/api").guard(guard::Header("x-open", "1")).service(health))
                .default_service(web::to(private));
        },
        // The same before the default service of an outer scope.
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
    let line = log::lines_with(&["WARN", "#[public] route, was rejected", "/api/health"]);
    for words in ["took the request first", "guards", "scope of the private routes", "extractor"] {
        assert!(line.iter().any(|line| line.contains(words)), "{words}: {line:#?}");
    }
}

#[test]
fn default_services_files_and_redirects_stay_private() {
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
            app.service(web::redirect("/old", "/elsewhere")).service(health);
        },
        &["GET /health"],
        &["POST /health", "GET /old", "GET /elsewhere"],
    );
    check(
        "redirect of the same path, first",
        |app| {
            app.service(web::redirect("/health", "/elsewhere")).service(health);
        },
        &[],
        &["GET /health", "POST /health"],
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

/// Layouts in which only the router can decide.
#[test]
fn route_that_the_router_selects_is_public() {
    check(
        "a module whose dynamic route is registered first",
        |app| {
            app.service(
                web::scope("/items").service(at("/{id}/{rev}")).service(id_only).service(empty),
            );
        },
        &["GET /items", "GET /items/7"],
        &["GET /items/7/8", "POST /items", "GET /items/"],
    );
    check(
        "another method's dynamic route first",
        |app| {
            app.service(
                web::scope("/items")
                    .service(web::resource("/{id}").guard(guard::Delete()).to(private))
                    .service(web::resource("/{id}").guard(guard::Put()).to(private))
                    .service(health),
            );
        },
        &["GET /items/health"],
        &["DELETE /items/health", "PUT /items/health", "GET /items/7"],
    );
    check(
        "a dynamic scope, then the root",
        |app| {
            app.service(web::scope("/{tenant}").service(at("/x"))).service(slash);
        },
        &["GET /"],
        &["GET /t/x", "GET /t"],
    );
    check(
        "a public pattern of two segments first",
        |app| {
            app.service(org_and_repo).service(health);
        },
        &["GET /health", "GET /a/b", "GET /a/health"],
        &["POST /health", "GET /a"],
    );
    let setup = check(
        "expressions in a scope that may match a slash",
        |app| {
            app.service(web::scope("/u/{user:[^/]+}").service(health))
                .service(web::scope("/d/{dir:[a-z/]+}").service(id_only));
        },
        &["GET /u/ann/health", "GET /d/a/b/c/E"],
        &["GET /u/ann/x", "GET /u/a/b/health"],
    );
    assert_eq!(setup.get("/d/a/b/c/E").body, "public E of a/b/c");
    let bearer = format!("Authorization: Bearer {}", token());
    for path in ["/d/a/b/c/E", "/u/ann/health"] {
        assert_eq!(setup.get(path).body, setup.send("GET", path, &[&bearer]).body, "{path}");
    }
    check(
        "a prefix that another scope matches",
        |app| {
            app.service(post_health)
                .service(web::scope("/{section:[a-z]+}").default_service(web::to(private)))
                .service(health);
        },
        &[],
        &["GET /health", "POST /health"],
    );
    check(
        "one resource for another method",
        |app| {
            app.service(web::resource("/health").route(web::post().to(private))).service(health);
        },
        &[],
        &["GET /health", "POST /health"],
    );
    check(
        "twins that differ by a guard",
        |app| {
            app.service(guarded).service(unguarded);
        },
        &["GET /guarded x-flag=1", "GET /guarded"],
        &["POST /guarded"],
    );
}

/// A private route may have the pattern of a public route in another scope.
#[test]
fn private_route_that_ends_like_a_public_one_is_not_logged() {
    let setup = Setup::new(|app| {
        app.service(web::scope("/shop").service(item))
            .service(web::scope("/no-mistake").service(at("/items/{id}")));
    });
    assert_eq!(setup.get("/shop/items/7").status, 200);
    assert_eq!(setup.get("/no-mistake/items/7").status, 400);
    assert_eq!(log::lines_with(&["in the form of a #[public] route", "/no-mistake"]).len(), 0);
}
