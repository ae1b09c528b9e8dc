//! Introspection at a provider in the same process, and cached tokens.
//!
//! `cargo run --release -p oauth2-actix-bench --bin introspection [SECONDS]`

// A measuring program panics where its own assumptions fail.
#![allow(clippy::unwrap_used)]

use std::{
    env,
    process::ExitCode,
    time::{Duration, Instant},
};

use oauth2_actix::{
    ClientAuthentication, OAuth2, Provider, introspection::Introspection, testing::IdentityProvider,
};
use oauth2_actix_bench::report::Report;

/// Tokens that are used at the same time.
const TOKENS: usize = 32;

fn main() -> ExitCode {
    let seconds = env::args().nth(1).map_or(20, |seconds| seconds.parse().unwrap());
    let mut report = Report::default();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(run(&mut report, Duration::from_secs(seconds)));
    report.end()
}

async fn run(report: &mut Report, duration: Duration) {
    let idp = IdentityProvider::start("api").unwrap();
    let policy = |cache: Duration| {
        let client = ClientAuthentication::basic("api", idp.client_secret("api"));
        let introspection = Introspection::discover().authentication(client).cache(cache);
        let provider =
            Provider::new().issuer(idp.issuer()).audience("api").introspection(introspection);
        OAuth2::builder().provider("idp", provider).build().unwrap()
    };
    let tokens: Vec<String> =
        (0..TOKENS).map(|_| idp.opaque_token(idp.token().expires_in(3600))).collect();

    let asking = policy(Duration::ZERO);
    report.heading("sequential requests");
    let mut times = Vec::new();
    for _ in 0..2_000 {
        let start = Instant::now();
        asking.verify(&tokens[0]).await.unwrap();
        times.push(start.elapsed());
    }
    report.times(&mut times);

    report.heading(format_args!("{TOKENS} tokens, each introspected repeatedly"));
    let before = idp.introspection_requests();
    let start = Instant::now();
    let tasks = tokens.iter().map(|token| {
        let (asking, token) = (asking.clone(), token.clone());
        tokio::spawn(async move {
            let mut times = Vec::new();
            while start.elapsed() < duration {
                let began = Instant::now();
                asking.verify(&token).await.unwrap();
                times.push(began.elapsed());
            }
            times
        })
    });
    let tasks: Vec<_> = tasks.collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.unwrap());
    }
    let requests = idp.introspection_requests() - before;
    report.figure("requests", format_args!("{:.0}/s", requests as f64 / duration.as_secs_f64()));
    report.times(&mut times);

    report.heading("the same tokens in the cache");
    let cached = policy(Duration::from_secs(3600));
    for token in &tokens {
        cached.verify(token).await.unwrap();
    }
    let before = idp.introspection_requests();
    let start = Instant::now();
    const ROUNDS: usize = 20_000;
    for _ in 0..ROUNDS {
        for token in &tokens {
            cached.verify(token).await.unwrap();
        }
    }
    let each = start.elapsed() / (ROUNDS * TOKENS) as u32;
    let requests = idp.introspection_requests() - before;
    report.bound("requests", requests, "none", requests == 0);
    report.bound(
        "each",
        format_args!("{} ns", each.as_nanos()),
        "at most 1 µs",
        each < Duration::from_micros(1),
    );
}
