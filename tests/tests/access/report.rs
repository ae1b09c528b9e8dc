//! Scopes that tokens have and no route requires, and rules that no token satisfied.

use actix_web::{HttpResponse, get, web};
use oauth2_actix::{TokenCacheConfig, require_scope};

use super::{app, builder, scoped, send};

#[require_scope("report:used")]
#[get("/report/used")]
async fn used() -> HttpResponse {
    HttpResponse::Ok().finish()
}

#[require_scope("report:never")]
#[get("/report/never")]
async fn never() -> HttpResponse {
    HttpResponse::Ok().finish()
}

fn configure(config: &mut web::ServiceConfig) {
    config.service(used).service(never);
}

#[actix_web::test]
async fn report_names_scopes_without_a_route_and_routes_without_a_token() {
    let oauth2 = builder()
        .token_cache(TokenCacheConfig::new())
        .access_report(true)
        .scope_implies("report:all", ["report:used"])
        .build()
        .unwrap();
    let app = app(oauth2.clone(), configure).await;
    for scope in ["report:used report:surplus", "report:all", "report:surplus other"] {
        let token = scoped(scope);
        for _ in 0..2 {
            send(&app, "GET", "/report/used", Some(&token)).await;
        }
        send(&app, "GET", "/report/never", Some(&token)).await;
    }
    send(&app, "GET", "/report/used", Some("a.b.c")).await;
    let report = oauth2.access_report().unwrap();
    let scopes: Vec<_> = report.scopes_not_required.iter().collect();
    assert_eq!(scopes, [(&"other".to_owned(), &1), (&"report:surplus".to_owned(), &2)]);
    let handlers: Vec<_> =
        report.routes_never_permitted.iter().map(|route| route.handler()).collect();
    assert!(handlers.contains(&"access::report::never"), "{handlers:?}");
    assert!(!handlers.contains(&"access::report::used"), "{handlers:?}");
    assert!(!report.is_incomplete);
    let text = report.to_string();
    assert!(text.contains("no route requires scope report:surplus, which 2 tokens had"), "{text}");
    assert!(text.contains("no token satisfied GET /report/never scope report:never"), "{text}");
}

#[actix_web::test]
async fn number_of_scopes_that_are_counted_is_bounded() {
    let oauth2 = builder().access_report(true).build().unwrap();
    let app = app(oauth2.clone(), configure).await;
    for batch in 0..11 {
        let scopes: Vec<_> = (0..100).map(|index| format!("s{batch}-{index}")).collect();
        send(&app, "GET", "/report/used", Some(&scoped(&scopes.join(" ")))).await;
    }
    let report = oauth2.access_report().unwrap();
    assert_eq!(report.scopes_not_required.len(), 1_024);
    assert!(report.is_incomplete);
}

#[test]
fn report_is_off_by_default() {
    assert!(builder().build().unwrap().access_report().is_none());
}
