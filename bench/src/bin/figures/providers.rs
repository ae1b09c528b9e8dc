//! 1,000 providers with 10 keys each, against one with one key: the memory of a provider, and the time that
//! the others add to each request.

use std::{
    ops::Range,
    time::{Duration, Instant},
};

use actix_web::{App, HttpResponse, HttpServer, web};
use futures_util::FutureExt;
use oauth2_actix::{
    Algorithm, OAuth2, Provider, TokenCacheConfig,
    testing::{LocalServer, SigningKey, Token},
};
use oauth2_actix_bench::statistics::median;
use serde_json::{Value, json};

use crate::{
    api::{AUDIENCE, wait},
    memory::Memory,
    report::Report,
    turns::micros,
};

pub(crate) fn run(report: &mut Report, arguments: &[String]) {
    let algorithm = match arguments.first() {
        Some(name) => name.parse().expect("an algorithm"),
        None => Algorithm::ES256,
    };
    report.figure("algorithm", algorithm.name());
    let keys = keys(algorithm);
    let of_each: Vec<&[SigningKey]> = keys.chunks(KEYS).collect();
    let many = serve(of_each.iter().copied());
    // The key of the single provider.
    let the_key = &of_each[THE_ONE][THE_ONE % KEYS];
    let one = serve((0..PROVIDERS).map(|_| std::slice::from_ref(the_key)));

    report.heading("memory, each in a process of its own");
    let memory_of_one = Memory::measure(&one.url(""), 1);
    let memory = Memory::measure(&many.url(""), PROVIDERS);
    let per_provider = |taken: u64| format!("{:.1} KiB", taken as f64 / PROVIDERS as f64);
    let (taken, taken_by_one) =
        (memory.warm - memory.before, memory_of_one.warm - memory_of_one.before);
    report.figure("1 provider with 1 key", format_args!("{taken_by_one} KiB"));
    report.figure(
        format_args!("{PROVIDERS} providers with {KEYS} keys"),
        format_args!("{taken} KiB"),
    );
    report.figure("for each provider", per_provider(taken.saturating_sub(taken_by_one)));
    let built = memory.built - memory.before;
    report.figure("  of this before keys were fetched", per_provider(built));
    report.figure("warm-up of 1", format_args!("{:?}", memory_of_one.warm_up));
    report.figure(format_args!("warm-up of {PROVIDERS}"), format_args!("{:?}", memory.warm_up));

    report.heading("cost of `verify`, in turns");
    let big = policy(&many.url(""), 0..PROVIDERS);
    let small = policy(&one.url(""), THE_ONE..THE_ONE + 1);
    wait(big.warm_up()).unwrap();
    wait(small.warm_up()).unwrap();
    // The same number of different tokens for both, so that only the policies differ.
    let token = |provider: usize, index: usize| {
        Token::new(&issuer(provider), AUDIENCE)
            .claim("sub", format!("user-{index}"))
            .expires_in(3600)
            .sign(&of_each[provider][provider % KEYS])
    };
    let of_the_one: Vec<String> = (0..PROVIDERS).map(|index| token(THE_ONE, index)).collect();
    let of_all: Vec<String> = (0..PROVIDERS).map(|index| token(index, index)).collect();
    let arms = [(&small, &of_the_one), (&big, &of_all), (&big, &of_the_one)];
    let [of_small, of_big, of_big_one] = times(arms);
    report.figure("1 provider with 1 key", microseconds(of_small));
    report.figure(
        format_args!("{PROVIDERS} providers, a token of each in turn"),
        microseconds(of_big),
    );
    report.figure(format_args!("{PROVIDERS} providers, tokens of one"), microseconds(of_big_one));
    for (time, what) in
        [(of_big, "ratio, a token of each in turn"), (of_big_one, "ratio, tokens of one")]
    {
        let ratio = time.div_duration_f64(of_small);
        report.bound(what, format_args!("{ratio:.4}"), "at most 1.1", ratio <= 1.1);
    }
}

/// Returns the time of each arm for a token: the mean over the tokens, of the median of each token.
///
/// The arms take turns, so that other load on the machine affects all alike. The median ignores its peaks.
fn times(arms: [(&OAuth2, &Vec<String>); 3]) -> [Duration; 3] {
    // In the order of measurement, so that writing the times does not evict the keys from the CPU caches.
    let mut times = [(); 3].map(|()| Vec::with_capacity(ROUNDS * PROVIDERS));
    for index in (0..PROVIDERS).cycle().take(ROUNDS * PROVIDERS) {
        for turn in 0..arms.len() {
            let arm = (index + turn) % arms.len();
            let (oauth2, tokens) = arms[arm];
            let start = Instant::now();
            let claims = oauth2.verify(&tokens[index]).now_or_never();
            times[arm].push(start.elapsed());
            claims.expect("the keys are fetched").unwrap();
        }
    }
    times.map(|of_arm| {
        let of_token = |index| of_arm.iter().skip(index).step_by(PROVIDERS).copied().collect();
        (0..PROVIDERS).map(|index| median(of_token(index))).sum::<Duration>() / PROVIDERS as u32
    })
}

fn microseconds(duration: Duration) -> String {
    format!("{:.2} us", micros(duration))
}

/// Returns the keys of all providers.
fn keys(algorithm: Algorithm) -> Vec<SigningKey> {
    let generated = |index| SigningKey::generate(algorithm, &format!("key-{index}"));
    let all = 0..PROVIDERS * KEYS;
    if !algorithm.name().starts_with(['R', 'P']) {
        return all.map(generated).collect();
    }
    // RSA keys are slow to generate. With other key ids, the same keys count as different ones.
    let few: Vec<SigningKey> = (0..50).map(generated).collect();
    all.map(|index| few[index % few.len()].clone().with_kid(&format!("key-{index}"))).collect()
}

/// Returns a policy of these providers. The server has their keys.
pub(crate) fn policy(server: &str, providers: Range<usize>) -> OAuth2 {
    providers
        .fold(OAuth2::builder().key_refresh_minutes(30), |builder, index| {
            let keys = format!("{server}/{index}/jwks.json");
            let provider = Provider::new().issuer(issuer(index)).audience(AUDIENCE).keys(keys);
            builder.provider(format!("provider-{index}"), provider)
        })
        // A cached token would use no key.
        .token_cache(TokenCacheConfig::disabled())
        .build()
        .unwrap()
}

fn issuer(provider: usize) -> String {
    format!("https://idp-{provider}.test")
}

/// Starts one server for the key sets of all providers.
fn serve<'a>(sets: impl Iterator<Item = &'a [SigningKey]>) -> LocalServer {
    let sets: Vec<Value> = sets
        .map(|keys| json!({"keys": keys.iter().map(SigningKey::public_jwk).collect::<Vec<_>>()}))
        .collect();
    let sets = web::Data::new(sets);
    LocalServer::start(move |listener| {
        let app = move || {
            App::new().app_data(sets.clone()).route("/{index}/jwks.json", web::get().to(set))
        };
        Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
    })
    .unwrap()
}

async fn set(sets: web::Data<Vec<Value>>, index: web::Path<usize>) -> HttpResponse {
    match sets.get(*index) {
        Some(set) => HttpResponse::Ok().json(set),
        None => HttpResponse::NotFound().finish(),
    }
}

const PROVIDERS: usize = 1000;
const KEYS: usize = 10;
/// The index of the single provider, in the middle.
const THE_ONE: usize = 500;
const ROUNDS: usize = 41;
