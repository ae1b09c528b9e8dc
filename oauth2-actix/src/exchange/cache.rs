//! The tokens that were exchanged.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{exchange::token::ExchangedToken, outbound::shared_calls::CallKey, util::clock::Clock};

/// A bounded cache. If it is full, the oldest entry is evicted.
pub(super) struct ExchangedTokens {
    max_entries: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    by_key: HashMap<CallKey, Entry>,
    /// The keys of all entries, each once, the oldest first.
    order: VecDeque<CallKey>,
}

struct Entry {
    token: ExchangedToken,
    until: Time,
}

/// A time by both clocks. The monotonic clock may stop while the machine sleeps, and the wall clock may be set back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Time {
    pub(super) monotonic: Duration,
    /// Since the Unix epoch.
    pub(super) unix: Duration,
}

impl Time {
    pub(super) fn now(clock: &Clock) -> Self {
        Self { monotonic: clock.monotonic(), unix: clock.unix_time() }
    }

    /// Returns the time that is this much later.
    pub(super) fn plus(self, by: Duration) -> Self {
        let (monotonic, unix) = (self.monotonic.saturating_add(by), self.unix.saturating_add(by));
        Self { monotonic, unix }
    }

    /// Returns the earlier of two times by each clock.
    pub(super) fn min(self, other: Self) -> Self {
        Self { monotonic: self.monotonic.min(other.monotonic), unix: self.unix.min(other.unix) }
    }

    /// Returns whether this time has come by either clock.
    fn has_passed(self, now: Self) -> bool {
        self.monotonic <= now.monotonic || self.unix <= now.unix
    }
}

impl ExchangedTokens {
    pub(super) fn new(max_entries: usize) -> Self {
        Self { max_entries, state: Mutex::default() }
    }

    pub(super) fn find(&self, key: &CallKey, now: Time) -> Option<ExchangedToken> {
        let state = self.state();
        let entry = state.by_key.get(key)?;
        (!entry.until.has_passed(now)).then(|| entry.token.clone())
    }

    pub(super) fn add(&self, key: CallKey, token: ExchangedToken, until: Time, now: Time) {
        if until.has_passed(now) || self.max_entries == 0 {
            return;
        }
        let mut state = self.state();
        if let Some(entry) = state.by_key.get_mut(&key) {
            *entry = Entry { token, until };
            return;
        }
        while let Some(oldest) = state.order.front().copied() {
            let entry = state.by_key.get(&oldest);
            let has_expired = entry.is_none_or(|entry| entry.until.has_passed(now));
            if !has_expired && state.order.len() < self.max_entries {
                break;
            }
            state.order.pop_front();
            state.by_key.remove(&oldest);
        }
        state.order.push_back(key);
        state.by_key.insert(key, Entry { token, until });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // It holds whole entries, which no panic leaves half written.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::token::Issued;

    fn key(number: u64) -> CallKey {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&number.to_le_bytes());
        key
    }

    fn time(seconds: u64) -> Time {
        let (monotonic, unix) = (Duration::from_secs(seconds), Duration::from_secs(1000 + seconds));
        Time { monotonic, unix }
    }

    /// Adds a token for this many seconds.
    fn add(cache: &ExchangedTokens, number: u64, now: Time, seconds: u64) {
        let token = ExchangedToken::new(Issued {
            token: number.to_string(),
            scopes: Vec::new(),
            issued_token_type: None,
            expires_at: None,
            clock: Clock::default(),
        });
        cache.add(key(number), token, now.plus(Duration::from_secs(seconds)), now);
    }

    #[test]
    fn token_is_found_until_its_end_by_either_clock() {
        let cache = ExchangedTokens::new(10);
        add(&cache, 1, time(0), 10);
        assert!(cache.find(&key(1), time(9)).is_some());
        assert!(cache.find(&key(1), time(10)).is_none());
        assert!(cache.find(&key(2), time(0)).is_none());
        let slept = Time { monotonic: time(9).monotonic, unix: time(10).unix };
        assert!(cache.find(&key(1), slept).is_none(), "the monotonic clock stopped");
        let set_back = Time { monotonic: time(10).monotonic, unix: time(0).unix };
        assert!(cache.find(&key(1), set_back).is_none(), "the wall clock was set back");
        add(&cache, 2, time(5), 0);
        assert_eq!(cache.state().order.len(), 1, "an expired token is not cached");
    }

    #[test]
    fn cache_is_bounded_and_evicts_the_oldest() {
        let cache = ExchangedTokens::new(10);
        for number in 0..100 {
            add(&cache, number, time(0), 10);
            let state = cache.state();
            assert!(state.by_key.len() <= 10);
            assert_eq!(state.by_key.len(), state.order.len());
        }
        assert!(cache.find(&key(89), time(0)).is_none());
        assert!(cache.find(&key(90), time(0)).is_some());
        let cache = ExchangedTokens::new(0);
        add(&cache, 1, time(0), 10);
        assert!(cache.find(&key(1), time(0)).is_none());
    }

    #[test]
    fn same_key_takes_one_entry_and_expired_entries_are_removed() {
        let cache = ExchangedTokens::new(10);
        for second in 0..1000 {
            add(&cache, 1, time(second), 5);
        }
        assert_eq!(cache.state().order.len(), 1);
        for number in 2..5 {
            add(&cache, number, time(1000), 10);
        }
        add(&cache, 5, time(2000), 10);
        assert_eq!(cache.state().order.len(), 1);
        assert!(cache.find(&key(5), time(2000)).is_some());
    }
}
