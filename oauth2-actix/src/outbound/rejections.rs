//! The tokens that were rejected most recently, so that the same token does not cause a question again.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::shared_calls::CallKey;
use crate::error::Error;

/// A bounded memory of rejections. A rejection is forgotten after its time, or when the memory is full: then its token is
/// asked about again.
#[derive(Debug)]
pub(crate) struct Rejections {
    lifetime: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    by_token: HashMap<CallKey, Rejection>,
    /// In the order of their ends, since all live equally long.
    order: VecDeque<(CallKey, Duration)>,
}

#[derive(Debug)]
struct Rejection {
    error: Error,
    /// Monotonic time.
    until: Duration,
}

impl Rejections {
    pub(crate) fn new(lifetime: Duration) -> Self {
        Self { lifetime, state: Mutex::default() }
    }

    pub(crate) fn find(&self, token: &CallKey, now: Duration) -> Option<Error> {
        let state = self.state();
        let rejection = state.by_token.get(token)?;
        (now < rejection.until).then(|| rejection.error.clone())
    }

    pub(crate) fn add(&self, token: CallKey, error: Error, now: Duration) {
        if self.lifetime.is_zero() {
            return;
        }
        let until = now.saturating_add(self.lifetime);
        let mut state = self.state();
        while let Some((oldest, end)) = state.order.front().copied()
            && (end <= now || state.order.len() >= MAX_REJECTIONS)
        {
            state.order.pop_front();
            // A later rejection of the same token has an entry of its own.
            if state.by_token.get(&oldest).is_some_and(|rejection| rejection.until == end) {
                state.by_token.remove(&oldest);
            }
        }
        state.order.push_back((token, until));
        state.by_token.insert(token, Rejection { error, until });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // It holds whole entries, which no panic leaves half written.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The number of rejections that are remembered.
const MAX_REJECTIONS: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn token(number: u64) -> CallKey {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&number.to_le_bytes());
        id
    }

    #[test]
    fn rejection_is_forgotten_after_its_time() {
        let rejections = Rejections::new(Duration::from_secs(5));
        rejections.add(token(1), ErrorKind::TokenInactive.into(), Duration::from_secs(100));
        let at = |millis| rejections.find(&token(1), Duration::from_millis(millis)).is_some();
        assert!(at(100_000) && at(104_999) && !at(105_000));
        assert!(rejections.find(&token(2), Duration::from_secs(100)).is_none());
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_is_forgotten_first() {
        let rejections = Rejections::new(Duration::from_secs(5));
        let now = Duration::from_secs(100);
        for number in 0..MAX_REJECTIONS as u64 + 100 {
            rejections.add(token(number), ErrorKind::TokenInactive.into(), now);
        }
        assert!(rejections.find(&token(99), now).is_none());
        assert!(rejections.find(&token(100), now).is_some());
        let state = rejections.state();
        assert_eq!((state.by_token.len(), state.order.len()), (MAX_REJECTIONS, MAX_REJECTIONS));
    }

    #[test]
    fn token_that_is_rejected_again_and_again_takes_no_more_than_its_share() {
        let rejections = Rejections::new(Duration::from_secs(5));
        for second in 0..100_000 {
            let now = Duration::from_secs(second);
            rejections.add(token(1), ErrorKind::TokenInactive.into(), now);
            assert!(rejections.find(&token(1), now).is_some());
        }
        let state = rejections.state();
        assert_eq!(state.by_token.len(), 1);
        assert!(state.order.len() <= 6, "{}", state.order.len());
    }

    #[test]
    fn nothing_is_remembered_without_a_lifetime() {
        let rejections = Rejections::new(Duration::ZERO);
        rejections.add(token(1), ErrorKind::TokenInactive.into(), Duration::ZERO);
        assert!(rejections.find(&token(1), Duration::ZERO).is_none());
    }
}
