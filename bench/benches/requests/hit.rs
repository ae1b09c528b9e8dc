//! A cached token: 800 bytes, 12 claims.

use divan::Bencher;
use futures_util::FutureExt;
use oauth2_actix::Algorithm;
use oauth2_actix_bench as kit;

use crate::api::{app, bearer, bench, builder, key};

/// The app without the middleware.
#[divan::bench]
fn bare(bencher: Bencher<'_, '_>) {
    let key = key(Algorithm::RS256);
    let token = kit::padded(kit::token(), &key, 800).sign(&key);
    bench(bencher, &kit::bare(), "/", Some(&bearer(&token)), 200);
}

#[divan::bench(args = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA])]
fn request(bencher: Bencher<'_, '_>, algorithm: Algorithm) {
    let key = key(algorithm);
    let token = kit::padded(kit::token(), &key, 800).sign(&key);
    let app = app(&builder(&key).build().unwrap());
    bench(bencher, &app, "/", Some(&bearer(&token)), 200);
}

/// `OAuth2::verify` alone.
#[divan::bench(args = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA])]
fn verify(bencher: Bencher<'_, '_>, algorithm: Algorithm) {
    let key = key(algorithm);
    let token = kit::padded(kit::token(), &key, 800).sign(&key);
    let oauth2 = builder(&key).build().unwrap();
    let verify = || oauth2.verify(&token).now_or_never().expect("no keys are fetched").is_ok();
    assert!(verify());
    bencher.bench_local(verify);
}
