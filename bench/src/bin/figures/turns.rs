//! Times that are compared: whatever is measured takes turns, so that whatever else the machine does
//! hits all of it, and the median of many rounds counts, so that it hits none.

use std::time::{Duration, Instant};

use oauth2_actix_bench::statistics::median;

/// What is measured, told how many rounds there were before.
pub(crate) type Arm<'a> = Box<dyn FnMut(usize) + 'a>;

/// The median time of each. Each is the first as often as the last.
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
