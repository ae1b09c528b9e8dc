//! Times that are compared. The arms take turns, so that other load on the machine affects all alike, and the
//! median of many rounds ignores its peaks.

use std::time::{Duration, Instant};

use oauth2_actix_bench::statistics::median;

/// A function that is measured. Its argument is the number of earlier rounds.
pub(crate) type Arm<'a> = Box<dyn FnMut(usize) + 'a>;

/// Returns the median time of each arm. Each arm is the first of a round as often as the last.
pub(crate) fn medians(rounds: usize, arms: &mut [Arm<'_>]) -> Vec<Duration> {
    let mut times = vec![Vec::with_capacity(rounds); arms.len()];
    for round in 0..rounds {
        for turn in 0..arms.len() {
            let arm = (round + turn) % arms.len();
            let start = Instant::now();
            arms[arm](round);
            times[arm].push(start.elapsed());
        }
    }
    times.into_iter().map(median).collect()
}

pub(crate) fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
