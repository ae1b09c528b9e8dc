//! The number of cached tokens that a policy verifies per second on one thread and on two.

use std::{
    hint::black_box,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use oauth2_actix::{Algorithm, OAuth2, TokenCacheConfig, testing::SigningKey};
use oauth2_actix_bench::statistics::median;

use crate::{
    policies::{distinct, policy, verify},
    report::Report,
};

pub(crate) fn run(report: &mut Report, _: &[String]) {
    let key = SigningKey::generate(Algorithm::ES256, "key-1");
    let oauth2 = policy(&key, TokenCacheConfig::new());
    let tokens = distinct(&key, TOKENS);
    for token in &tokens {
        verify(&oauth2, token).unwrap();
    }
    for (what, tokens) in [("the same token", &tokens[..1]), ("1,000 tokens", &tokens[..])] {
        report.heading(what);
        let mut times = [(); 2].map(|()| Vec::new());
        for _ in 0..ROUNDS {
            for (index, times) in times.iter_mut().enumerate() {
                times.push(time(&oauth2, tokens, index + 1));
            }
        }
        let [one, two] = times.map(median).map(|time| EACH as f64 / time.as_secs_f64());
        report.figure("1 thread", format_args!("{one:.0} tokens/s"));
        report.figure(
            "2 threads",
            format_args!("{:.0} tokens/s, {:.2} of 1", 2.0 * two, 2.0 * two / one),
        );
    }
}

/// Returns the time that these threads take for `EACH` tokens each, from the first start to the last end.
fn time(oauth2: &OAuth2, tokens: &[String], threads: usize) -> Duration {
    let barrier = Barrier::new(threads);
    let run = |thread: usize| {
        barrier.wait();
        let start = Instant::now();
        for index in 0..EACH {
            let token = &tokens[(thread * 500 + index) % tokens.len()];
            black_box(verify(oauth2, token).unwrap());
        }
        (start, Instant::now())
    };
    thread::scope(|scope| {
        let run = &run;
        let threads: Vec<_> = (0..threads).map(|thread| scope.spawn(move || run(thread))).collect();
        let times = threads.into_iter().map(|thread| thread.join().unwrap());
        let (starts, ends): (Vec<_>, Vec<_>) = times.unzip();
        *ends.iter().max().unwrap() - *starts.iter().min().unwrap()
    })
}

const TOKENS: usize = 1000;
const ROUNDS: usize = 15;
/// The number of tokens that each thread verifies in a round.
const EACH: usize = 20_000;
