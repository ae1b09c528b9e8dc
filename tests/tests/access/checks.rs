//! Asynchronous checks of the application, bounded in time.

use std::{
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    time::Duration,
};

use actix_web::{HttpRequest, HttpResponse, get, post, web};
use oauth2_actix::{Claims, require, require_scope};
use serde_json::json;

use super::{app, builder, send, token};

static CALLS: AtomicUsize = AtomicUsize::new(0);

async fn in_database(claims: Claims) -> Result<bool, String> {
    CALLS.fetch_add(1, SeqCst);
    tokio::time::sleep(Duration::from_millis(1)).await;
    match claims.subject() {
        Some("down") => Err("the database is down".to_owned()),
        Some("slow") => std::future::pending().await,
        subject => Ok(subject == Some("ann")),
    }
}

async fn own(claims: Claims, request: HttpRequest) -> Result<bool, std::convert::Infallible> {
    Ok(claims.subject() == request.match_info().get("user"))
}

fn active(claims: &Claims) -> bool {
    claims.has_claim("active", true)
}

#[require(in_database)]
#[require(own)]
#[require(active)]
#[require_scope("users")]
#[get("/checks/{user}")]
async fn user() -> HttpResponse {
    HttpResponse::Ok().finish()
}

#[require(in_database)]
#[post("/checks")]
async fn with_body(_: web::Json<serde_json::Value>) -> HttpResponse {
    HttpResponse::Ok().finish()
}

fn configure(config: &mut web::ServiceConfig) {
    config.service(user).service(with_body);
}

#[actix_web::test]
async fn asynchronous_checks_run_after_the_others_and_fail_with_503() {
    let oauth2 = builder().check_timeout(Duration::from_millis(100)).build().unwrap();
    let app = app(oauth2, configure).await;
    for (path, claims, status, calls) in [
        ("/checks/ann", json!({"sub": "ann", "active": true, "scope": "users"}), 200, 1),
        ("/checks/bob", json!({"sub": "ann", "active": true, "scope": "users"}), 403, 1),
        ("/checks/eve", json!({"sub": "eve", "active": true, "scope": "users"}), 403, 1),
        ("/checks/down", json!({"sub": "down", "active": true, "scope": "users"}), 503, 1),
        ("/checks/slow", json!({"sub": "slow", "active": true, "scope": "users"}), 503, 1),
        // Cheaper checks are first: the database is not asked.
        ("/checks/ann", json!({"sub": "ann", "active": false, "scope": "users"}), 403, 0),
        ("/checks/ann", json!({"sub": "ann", "active": true}), 403, 0),
    ] {
        let before = CALLS.load(SeqCst);
        let answer = send(&app, "GET", path, Some(&token(claims.clone()))).await;
        assert_eq!(answer.status, status, "{path} {claims}");
        assert_eq!(CALLS.load(SeqCst) - before, calls, "{path} {claims}");
        assert_eq!(answer.challenge.is_empty(), status == 200 || status == 503, "{claims}");
        assert!(!answer.body.contains("database"), "{}", answer.body);
    }
    let before = CALLS.load(SeqCst);
    assert_eq!(send(&app, "GET", "/checks/ann", None).await.status, 400);
    assert_eq!(CALLS.load(SeqCst), before, "a request without a token calls nothing");
}
