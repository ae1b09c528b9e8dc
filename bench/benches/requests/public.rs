//! Routes that need no token.

use actix_web::{App, HttpResponse, get, test::init_service, web};
use divan::Bencher;
use oauth2_actix::{Algorithm, public};
use oauth2_actix_bench as kit;

use crate::api::{bearer, bench, builder, key};

/// An anonymous request.
#[divan::bench(args = PATHS)]
fn without_token(bencher: Bencher<'_, '_>, path: &str) {
    let key = key(Algorithm::ES256);
    bench(bencher, &app(builder(&key)), path, None, 200);
}

/// A request with a valid token.
#[divan::bench(args = PATHS)]
fn with_token(bencher: Bencher<'_, '_>, path: &str) {
    let key = key(Algorithm::ES256);
    let token = kit::padded(kit::token(), &key, 800).sign(&key);
    bench(bencher, &app(builder(&key)), path, Some(&bearer(&token)), 200);
}

fn app(builder: oauth2_actix::OAuth2Builder) -> kit::InProcess {
    let oauth2 = builder.public_paths(["/path", "/pattern/{tail:.*}"]).build().unwrap();
    let app = App::new()
        .service(attribute)
        .route("/path", web::get().to(HttpResponse::Ok))
        .route("/pattern/{tail:.*}", web::get().to(HttpResponse::Ok))
        .wrap(oauth2);
    kit::InProcess::new(init_service(app))
}

#[public]
#[get("/attribute")]
async fn attribute() -> HttpResponse {
    HttpResponse::Ok().finish()
}

/// Two paths of `public_paths`, and one route with `#[public]`.
const PATHS: [&str; 3] = ["/path", "/pattern/of/it", "/attribute"];
