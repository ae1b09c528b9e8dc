//! Places for requests that wait, so that memory for them is bounded.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// One of the places for requests that wait for the same thing. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Place(Arc<AtomicUsize>);

impl Place {
    pub(crate) fn take(taken: &Arc<AtomicUsize>) -> Option<Self> {
        let place = Self(Arc::clone(taken));
        (taken.fetch_add(1, Ordering::Relaxed) < MAX_WAITERS).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Requests that may wait for one thing at once. A waiting request holds its connection and a
/// parsed token; the rest get 503 at once.
const MAX_WAITERS: usize = 1024;
