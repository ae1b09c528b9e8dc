//! The algorithm that a key without `alg` is used with (RFC 8725 §3.1: each key is used with exactly one).

use std::sync::{
    OnceLock,
    atomic::{AtomicBool, Ordering},
};

use crate::jose::algorithm::Algorithm;

/// Binds a key to the algorithm of the first signature that it verifies.
#[derive(Debug, Default)]
pub(crate) struct AlgorithmBinding {
    used: OnceLock<Algorithm>,
    /// Whether a signature by another algorithm was verified before.
    was_reported: AtomicBool,
}

/// A key has verified a signature by another algorithm than the one that it is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BoundToAnother {
    /// The algorithm that the key is bound to.
    pub(crate) used: Algorithm,
    /// Whether this is the first such signature of the key.
    pub(crate) is_first: bool,
}

impl AlgorithmBinding {
    /// Binds the key to the algorithm, unless it is bound already. Of several threads, one decides for all.
    pub(crate) fn bind(&self, algorithm: Algorithm) -> Result<(), BoundToAnother> {
        let used = *self.used.get_or_init(|| algorithm);
        if used.is_same_as(algorithm) {
            return Ok(());
        }
        let is_first = !self.was_reported.swap(true, Ordering::Relaxed);
        Err(BoundToAnother { used, is_first })
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Barrier, thread};

    use super::*;

    #[test]
    fn of_threads_with_two_algorithms_one_algorithm_wins() {
        for _ in 0..50 {
            let (binding, barrier) = (AlgorithmBinding::default(), Barrier::new(4));
            let bind = |algorithm| {
                barrier.wait();
                (algorithm, binding.bind(algorithm))
            };
            let results: Vec<_> = thread::scope(|scope| {
                let threads: Vec<_> = [Algorithm::RS256, Algorithm::PS256]
                    .into_iter()
                    .cycle()
                    .take(4)
                    .map(|algorithm| scope.spawn(move || bind(algorithm)))
                    .collect();
                threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
            });
            let (won, lost): (Vec<_>, Vec<_>) =
                results.into_iter().partition(|(_, result)| result.is_ok());
            assert_eq!((won.len(), lost.len()), (2, 2));
            assert_eq!(won[0].0, won[1].0);
            let errors = lost.into_iter().filter_map(|(_, result)| result.err());
            let reported: Vec<_> = errors.filter(|error| error.is_first).collect();
            assert_eq!(reported, [BoundToAnother { used: won[0].0, is_first: true }]);
        }
    }

    #[test]
    fn names_of_one_edwards_algorithm_are_one() {
        let binding = AlgorithmBinding::default();
        for algorithm in [Algorithm::EdDSA, Algorithm::Ed25519, Algorithm::EdDSA] {
            assert_eq!(binding.bind(algorithm), Ok(()));
        }
    }
}
