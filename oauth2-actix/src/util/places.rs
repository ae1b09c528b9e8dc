//! A limit on the number of waiting requests, which bounds the memory that they use.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// The permission to wait, of one of the requests that wait for the same result. Dropping it releases it.
#[derive(Debug)]
pub(crate) struct Place(Arc<AtomicUsize>);

impl Place {
    /// Returns `None` if the maximum number of requests wait already.
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

/// The number of requests that may wait for one result at the same time. A waiting request keeps its
/// connection and a parsed token. Further requests get 503 immediately.
const MAX_WAITERS: usize = 1024;
