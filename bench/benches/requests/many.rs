//! One token among many providers, keys or routes: a cached one and a new one.

use actix_web::{App, HttpResponse, test::init_service, web};
use divan::Bencher;
use oauth2_actix::{
    Algorithm, OAuth2, OAuth2Builder, Provider, TokenCacheConfig, testing::SigningKey,
};
use oauth2_actix_bench as kit;
use serde_json::json;

use crate::api::{app, bearer, bench, builder, key};

#[divan::bench(args = COUNTS)]
fn providers_hit(bencher: Bencher<'_, '_>, count: usize) {
    let (builder, token) = of_providers(count);
    bench(bencher, &app(&builder.build().unwrap()), "/", Some(&token), 200);
}

#[divan::bench(args = COUNTS)]
fn providers_miss(bencher: Bencher<'_, '_>, count: usize) {
    let (builder, token) = of_providers(count);
    bench(bencher, &app(&uncached(builder)), "/", Some(&token), 200);
}

#[divan::bench(args = COUNTS)]
fn keys_hit(bencher: Bencher<'_, '_>, count: usize) {
    let (builder, token) = of_keys(count);
    bench(bencher, &app(&builder.build().unwrap()), "/", Some(&token), 200);
}

#[divan::bench(args = COUNTS)]
fn keys_miss(bencher: Bencher<'_, '_>, count: usize) {
    let (builder, token) = of_keys(count);
    bench(bencher, &app(&uncached(builder)), "/", Some(&token), 200);
}

/// actix's own search for the route, without the middleware.
#[divan::bench(args = COUNTS)]
fn routes_bare(bencher: Bencher<'_, '_>, count: usize) {
    let key = key(Algorithm::ES256);
    let token = bearer(&kit::padded(kit::token(), &key, 800).sign(&key));
    bench(
        bencher,
        &kit::InProcess::new(init_service(App::new().configure(routes(count)))),
        &last(count),
        Some(&token),
        200,
    );
}

#[divan::bench(args = COUNTS)]
fn routes_hit(bencher: Bencher<'_, '_>, count: usize) {
    let key = key(Algorithm::ES256);
    let token = bearer(&kit::padded(kit::token(), &key, 800).sign(&key));
    let app = App::new().configure(routes(count)).wrap(builder(&key).build().unwrap());
    bench(bencher, &kit::InProcess::new(init_service(app)), &last(count), Some(&token), 200);
}

#[divan::bench(args = COUNTS)]
fn routes_miss(bencher: Bencher<'_, '_>, count: usize) {
    let key = key(Algorithm::ES256);
    let token = bearer(&kit::padded(kit::token(), &key, 800).sign(&key));
    let app = App::new().configure(routes(count)).wrap(uncached(builder(&key)));
    bench(bencher, &kit::InProcess::new(init_service(app)), &last(count), Some(&token), 200);
}

fn uncached(builder: OAuth2Builder) -> OAuth2 {
    builder.token_cache(TokenCacheConfig::disabled()).build().unwrap()
}

/// Returns a policy of this number of providers, and a token of the one in the middle.
fn of_providers(count: usize) -> (OAuth2Builder, String) {
    let key = key(Algorithm::ES256);
    let others = (1..count).map(|index| {
        let key = SigningKey::generate(Algorithm::ES256, "key-1");
        let issuer = format!("https://idp-{index}.test");
        Provider::new().issuer(issuer).audience(kit::AUDIENCE).keys(key.jwk_set())
    });
    let mut providers: Vec<Provider> = others.collect();
    providers.insert(count / 2, kit::provider(key.jwk_set()));
    let builder =
        providers.into_iter().enumerate().fold(OAuth2::builder(), |builder, (index, provider)| {
            builder.provider(format!("provider-{index}"), provider)
        });
    (builder, bearer(&kit::padded(kit::token(), &key, 800).sign(&key)))
}

/// Returns a policy of one provider with this number of keys, and a token of the one in the middle.
fn of_keys(count: usize) -> (OAuth2Builder, String) {
    let keys: Vec<SigningKey> = (0..count)
        .map(|index| SigningKey::generate(Algorithm::ES256, &format!("key-{index}")))
        .collect();
    let jwks: Vec<_> = keys.iter().map(SigningKey::public_jwk).collect();
    let builder = OAuth2::builder().provider("idp", kit::provider(json!({"keys": jwks})));
    let key = &keys[count / 2];
    (builder, bearer(&kit::padded(kit::token(), key, 800).sign(key)))
}

/// Adds this number of private routes.
fn routes(count: usize) -> impl FnOnce(&mut web::ServiceConfig) {
    move |config| {
        for index in 0..count {
            config.route(&format!("/route-{index}"), web::get().to(HttpResponse::Ok));
        }
    }
}

/// Returns the path of the route that is registered last.
fn last(count: usize) -> String {
    format!("/route-{}", count - 1)
}

const COUNTS: [usize; 3] = [1, 100, 1000];
