//! The assertions for tests of an application.

use std::{fs, panic::AssertUnwindSafe};

use actix_web::{App, HttpResponse, get, test, web};
use futures_util::FutureExt;
use oauth2_actix::{access, authenticated, public, testing};

use super::builder;

#[authenticated]
#[get("/coverage/ruled/{id}")]
async fn ruled() -> HttpResponse {
    HttpResponse::Ok().finish()
}

#[public]
#[get("")]
async fn covered_root() -> HttpResponse {
    HttpResponse::Ok().finish()
}

#[get("/coverage/below")]
#[authenticated]
async fn coverage_below() -> HttpResponse {
    HttpResponse::Ok().finish()
}

#[get("/coverage/forgotten")]
async fn forgotten() -> HttpResponse {
    HttpResponse::Ok().finish()
}

mod twin {
    use super::*;

    /// Has the pattern of another handler.
    #[get("/coverage/ruled/{id}")]
    pub(super) async fn other() -> HttpResponse {
        HttpResponse::Ok().finish()
    }
}

/// Returns the message of the failed assertion, or nothing.
async fn failure(configure: fn(&mut web::ServiceConfig), except: &[&str]) -> String {
    let app = test::init_service(App::new().configure(configure)).await;
    let assertion = testing::assert_every_route_has_an_access_rule_except(&app, except);
    match AssertUnwindSafe(assertion).catch_unwind().await {
        Ok(()) => String::new(),
        Err(panic) => match panic.downcast_ref::<&str>() {
            Some(text) => (*text).to_owned(),
            None => panic.downcast_ref::<String>().cloned().unwrap(),
        },
    }
}

#[actix_web::test]
async fn app_with_rules_for_all_routes_passes() {
    let app = App::new()
        .service(ruled)
        .service(web::scope("/v1").service(ruled).service(web::scope("/x").service(covered_root)))
        .wrap(builder().build().unwrap());
    let app = test::init_service(app).await;
    testing::assert_every_route_has_an_access_rule(&app).await;
}

#[actix_web::test]
async fn routes_without_a_rule_are_listed_with_the_way_to_add_one() {
    let found = failure(
        |config| {
            config
                .service(ruled)
                .service(web::scope("/v1").service(forgotten).service(twin::other))
                .service(coverage_below)
                .route("/coverage/plain", web::get().to(HttpResponse::Ok));
        },
        &[],
    )
    .await;
    let expected = "routes without an access rule:\n\
        /v1/coverage/forgotten (forgotten): add `#[public]`, `#[authenticated]`, or a requirement such as `#[require_scope(\"…\")]`\n\
        /v1/coverage/ruled/{id} (other): add `#[public]`, `#[authenticated]`, or a requirement such as `#[require_scope(\"…\")]`\n\
        /coverage/below (coverage_below): write the attribute above the routing macro, or use `#[guarded]`\n\
        /coverage/plain: registered without a routing macro; use one with an attribute such as `#[authenticated]`, or name the pattern as an exception\n";
    assert_eq!(found, expected);
}

#[actix_web::test]
async fn exceptions_are_patterns_that_exist() {
    let plain: fn(&mut web::ServiceConfig) = |config| {
        config.route("/coverage/plain", web::get().to(HttpResponse::Ok));
    };
    assert_eq!(failure(plain, &["/coverage/plain"]).await, "");
    let found = failure(plain, &["/coverage/plain", "/gone"]).await;
    assert!(found.contains("no route has the pattern /gone"), "{found}");
}

#[actix_web::test]
async fn app_whose_routes_cannot_be_read_fails() {
    let found = failure(|_| {}, &[]).await;
    assert!(found.contains("the app has no routes"), "{found}");
}

#[actix_web::test]
async fn snapshot_is_compared_and_a_new_one_written() {
    let directory = std::env::temp_dir().join(format!("access-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let (path, new) = (directory.join("access.json"), directory.join("access.json.new"));
    let routes = access::routes();
    let assertion = || {
        let result = std::panic::catch_unwind(|| testing::assert_access_snapshot(&path, &routes));
        result.err().map(|panic| panic.downcast_ref::<String>().cloned().unwrap())
    };
    let missing = assertion().expect("there is no snapshot");
    assert!(missing.contains("is new; it requires"), "{missing}");
    fs::rename(&new, &path).unwrap();
    assert_eq!(assertion(), None);
    assert!(!new.exists());
    let before = fs::read_to_string(&path).unwrap();
    fs::write(&path, before.replace("\"authenticated\"", "\"scope removed\"")).unwrap();
    let changed = assertion().expect("the rules are weaker");
    let weaker = "weaker: `GET /coverage/ruled/{id}` no longer requires scope removed";
    assert!(changed.contains(weaker), "{changed}");
    fs::remove_dir_all(&directory).unwrap();
}
