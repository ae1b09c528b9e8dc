//! The time between attempts that fail.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// Returns how long to wait after this many failures in a row: 1 s, 2 s, 4 s and so on up to 60 s, less a random part
/// of up to a fifth, so that many processes do not call at the same time.
pub(crate) fn backoff(failures: u32) -> Duration {
    let doubled = FIRST_BACKOFF * 2_u32.saturating_pow(failures.saturating_sub(1).min(16));
    doubled.min(MAX_BACKOFF).mul_f64(1.0 - 0.2 * random())
}

/// Returns a number from 0 to 1. The keys of the standard library's hasher are random, which is enough for jitter.
pub(crate) fn random() -> f64 {
    (RandomState::new().hash_one(0) >> 11) as f64 / (1_u64 << 53) as f64
}

const FIRST_BACKOFF: Duration = Duration::from_secs(1);
pub(crate) const MAX_BACKOFF: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_a_minute() {
        for (failures, seconds) in [(0, 1), (1, 1), (2, 2), (3, 4), (7, 60), (u32::MAX, 60)] {
            let longest = Duration::from_secs(seconds);
            for _ in 0..100 {
                let wait = backoff(failures);
                assert!(wait <= longest && wait >= longest.mul_f64(0.8), "{failures} {wait:?}");
            }
        }
    }
}
