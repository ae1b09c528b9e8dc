//! Requirements on the claims of a cached token.

use actix_web::{App, HttpResponse, get, test::init_service, web};
use divan::Bencher;
use oauth2_actix::{Algorithm, require_claim, require_scope, requirement};
use oauth2_actix_bench as kit;

use crate::api::{bearer, bench, builder, key};

#[divan::bench(args = ["none", "claim", "claim-any", "scope", "scope-all", "pointer", "any", "all"])]
fn required(bencher: Bencher<'_, '_>, what: &str) {
    let key = key(Algorithm::ES256);
    let token = kit::padded(kit::token(), &key, 800).sign(&key);
    let scope = |name| web::scope(name).route("", web::get().to(HttpResponse::Ok));
    let either = || [requirement::claim("role", "support"), requirement::scopes(["orders:read"])];
    let both = || [requirement::claim("role", "admin"), requirement::scopes(["orders:read"])];
    let app = App::new()
        .service((none, claim, claim_any, one_scope, scope_all, pointer))
        .service(scope("/any").wrap(requirement::any(either())))
        .service(scope("/all").wrap(requirement::all(both())))
        .wrap(builder(&key).build().unwrap());
    let app = kit::InProcess::new(init_service(app));
    bench(bencher, &app, &format!("/{what}"), Some(&bearer(&token)), 200);
}

#[get("/none")]
async fn none() -> HttpResponse {
    HttpResponse::Ok().finish()
}

#[get("/claim")]
#[require_claim("role", "admin")]
async fn claim() -> HttpResponse {
    HttpResponse::Ok().finish()
}

#[get("/claim-any")]
#[require_claim("role", any_of("support", "admin"))]
async fn claim_any() -> HttpResponse {
    HttpResponse::Ok().finish()
}

#[get("/scope")]
#[require_scope("orders:read")]
async fn one_scope() -> HttpResponse {
    HttpResponse::Ok().finish()
}

#[get("/scope-all")]
#[require_scope("orders:read", "email")]
async fn scope_all() -> HttpResponse {
    HttpResponse::Ok().finish()
}

#[get("/pointer")]
#[require_claim("/realm_access/roles", "admin")]
async fn pointer() -> HttpResponse {
    HttpResponse::Ok().finish()
}
