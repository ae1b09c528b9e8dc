//! The app that most benchmarks call, and the code that measures a request.

use actix_web::{App, HttpResponse, test::init_service, web};
use divan::Bencher;
use oauth2_actix::{Algorithm, OAuth2, OAuth2Builder, testing::SigningKey};
use oauth2_actix_bench::{InProcess, authorized, provider};

/// Returns a policy of one provider with this key.
pub(crate) fn builder(key: &SigningKey) -> OAuth2Builder {
    let provider = provider(key.jwk_set()).algorithms([key.algorithm()]);
    OAuth2::builder().provider("idp", provider)
}

/// Returns an app with the one private route `/`.
pub(crate) fn app(oauth2: &OAuth2) -> InProcess {
    let app = App::new().route("/", web::get().to(HttpResponse::Ok)).wrap(oauth2.clone());
    InProcess::new(init_service(app))
}

/// Returns the `Authorization` of a token.
pub(crate) fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

pub(crate) fn key(algorithm: Algorithm) -> SigningKey {
    SigningKey::generate(algorithm, "key-1")
}

/// Measures one request, which must have this status.
pub(crate) fn bench(
    bencher: Bencher<'_, '_>,
    app: &InProcess,
    path: &str,
    authorization: Option<&str>,
    status: u16,
) {
    assert_eq!(app.call(authorized(path, authorization)), status, "{path}");
    bencher
        .with_inputs(|| authorized(path, authorization))
        .bench_local_values(|request| app.call(request));
}
