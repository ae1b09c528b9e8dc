//! A cache of rejections, so that a repeated request does not cause a call again.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::shared_calls::CallKey;

/// A bounded cache of rejections, by the key of the call. A rejection is removed after its lifetime, or when the cache is
/// full. `E` says why a call was rejected.
#[derive(Debug)]
pub(crate) struct Rejections<E> {
    lifetime: Duration,
    state: Mutex<State<E>>,
}

#[derive(Debug)]
struct State<E> {
    by_key: HashMap<CallKey, Rejection<E>>,
    /// In the order of their ends, since all have the same lifetime.
    order: VecDeque<(CallKey, Duration)>,
}

#[derive(Debug)]
struct Rejection<E> {
    error: E,
    /// Monotonic time.
    until: Duration,
}

impl<E: Clone> Rejections<E> {
    pub(crate) fn new(lifetime: Duration) -> Self {
        let state = State { by_key: HashMap::new(), order: VecDeque::new() };
        Self { lifetime, state: Mutex::new(state) }
    }

    pub(crate) fn find(&self, key: &CallKey, now: Duration) -> Option<E> {
        let state = self.state();
        let rejection = state.by_key.get(key)?;
        (now < rejection.until).then(|| rejection.error.clone())
    }

    pub(crate) fn add(&self, key: CallKey, error: E, now: Duration) {
        if self.lifetime.is_zero() {
            return;
        }
        let until = now.saturating_add(self.lifetime);
        let mut state = self.state();
        while let Some((oldest, end)) = state.order.front().copied()
            && (end <= now || state.order.len() >= MAX_REJECTIONS)
        {
            state.order.pop_front();
            // A later rejection with the same key has its own entry.
            if state.by_key.get(&oldest).is_some_and(|rejection| rejection.until == end) {
                state.by_key.remove(&oldest);
            }
        }
        state.order.push_back((key, until));
        state.by_key.insert(key, Rejection { error, until });
    }

    fn state(&self) -> MutexGuard<'_, State<E>> {
        // It holds whole entries, which no panic leaves half written.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The most rejections that are cached.
const MAX_REJECTIONS: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, ErrorKind};

    fn token(number: u64) -> CallKey {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&number.to_le_bytes());
        id
    }

    #[test]
    fn rejection_is_removed_after_its_lifetime() {
        let rejections = Rejections::<Error>::new(Duration::from_secs(5));
        rejections.add(token(1), ErrorKind::TokenInactive.into(), Duration::from_secs(100));
        let at = |millis| rejections.find(&token(1), Duration::from_millis(millis)).is_some();
        assert!(at(100_000) && at(104_999) && !at(105_000));
        assert!(rejections.find(&token(2), Duration::from_secs(100)).is_none());
    }

    #[test]
    fn cache_is_bounded_and_the_oldest_is_removed_first() {
        let rejections = Rejections::<Error>::new(Duration::from_secs(5));
        let now = Duration::from_secs(100);
        for number in 0..MAX_REJECTIONS as u64 + 100 {
            rejections.add(token(number), ErrorKind::TokenInactive.into(), now);
        }
        assert!(rejections.find(&token(99), now).is_none());
        assert!(rejections.find(&token(100), now).is_some());
        let state = rejections.state();
        assert_eq!((state.by_key.len(), state.order.len()), (MAX_REJECTIONS, MAX_REJECTIONS));
    }

    #[test]
    fn token_that_is_rejected_repeatedly_takes_no_more_than_its_share() {
        let rejections = Rejections::<Error>::new(Duration::from_secs(5));
        for second in 0..100_000 {
            let now = Duration::from_secs(second);
            rejections.add(token(1), ErrorKind::TokenInactive.into(), now);
            assert!(rejections.find(&token(1), now).is_some());
        }
        let state = rejections.state();
        assert_eq!(state.by_key.len(), 1);
        assert!(state.order.len() <= 6, "{}", state.order.len());
    }

    #[test]
    fn nothing_is_cached_without_a_lifetime() {
        let rejections = Rejections::<Error>::new(Duration::ZERO);
        rejections.add(token(1), ErrorKind::TokenInactive.into(), Duration::ZERO);
        assert!(rejections.find(&token(1), Duration::ZERO).is_none());
    }
}
