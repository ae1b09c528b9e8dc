//! The tokens that were exchanged, and the refusals of the last seconds.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    exchange::{error::ExchangeError, token::ExchangedToken},
    outbound::shared_calls::CallKey,
};

/// A bounded memory of results. If it is full, the oldest entry is evicted.
pub(super) struct Results {
    max_entries: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    by_key: HashMap<CallKey, Entry>,
    /// The questions of all entries, each once, the oldest first.
    order: VecDeque<CallKey>,
}

struct Entry {
    result: Result<ExchangedToken, ExchangeError>,
    /// Monotonic time.
    until: Duration,
}

impl Results {
    pub(super) fn new(max_entries: usize) -> Self {
        Self { max_entries, state: Mutex::default() }
    }

    pub(super) fn find(
        &self,
        question: &CallKey,
        now: Duration,
    ) -> Option<Result<ExchangedToken, ExchangeError>> {
        let state = self.state();
        let entry = state.by_key.get(question)?;
        (now < entry.until).then(|| entry.result.clone())
    }

    /// Keeps a result until a monotonic time.
    pub(super) fn keep(
        &self,
        question: CallKey,
        result: Result<ExchangedToken, ExchangeError>,
        until: Duration,
        now: Duration,
    ) {
        if until <= now || self.max_entries == 0 {
            return;
        }
        let mut state = self.state();
        if let Some(entry) = state.by_key.get_mut(&question) {
            *entry = Entry { result, until };
            return;
        }
        while let Some(oldest) = state.order.front().copied() {
            let is_over = state.by_key.get(&oldest).is_none_or(|entry| entry.until <= now);
            if !is_over && state.order.len() < self.max_entries {
                break;
            }
            state.order.pop_front();
            state.by_key.remove(&oldest);
        }
        state.order.push_back(question);
        state.by_key.insert(question, Entry { result, until });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // It holds whole entries, which no panic leaves half written.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::error::ExchangeErrorKind;

    fn question(number: u64) -> CallKey {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&number.to_le_bytes());
        id
    }

    fn result() -> Result<ExchangedToken, ExchangeError> {
        Err(ExchangeError::new(ExchangeErrorKind::NoToken, &"p".into()))
    }

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn result_is_found_until_its_time() {
        let results = Results::new(10);
        results.keep(question(1), result(), seconds(10), seconds(5));
        assert!(results.find(&question(1), Duration::from_millis(9_999)).is_some());
        assert!(results.find(&question(1), seconds(10)).is_none());
        assert!(results.find(&question(2), seconds(5)).is_none());
        results.keep(question(2), result(), seconds(5), seconds(5));
        assert_eq!(results.state().order.len(), 1, "a result that is over is not kept");
    }

    #[test]
    fn memory_is_bounded_and_evicts_the_oldest() {
        let results = Results::new(10);
        for number in 0..100 {
            results.keep(question(number), result(), seconds(10), seconds(0));
            let state = results.state();
            assert!(state.by_key.len() <= 10);
            assert_eq!(state.by_key.len(), state.order.len());
        }
        assert!(results.find(&question(89), seconds(0)).is_none());
        assert!(results.find(&question(90), seconds(0)).is_some());
        let results = Results::new(0);
        results.keep(question(1), result(), seconds(10), seconds(0));
        assert!(results.find(&question(1), seconds(0)).is_none());
    }

    #[test]
    fn same_question_takes_one_entry_and_entries_that_are_over_make_room() {
        let results = Results::new(10);
        for second in 0..1000 {
            results.keep(question(1), result(), seconds(second + 5), seconds(second));
        }
        assert_eq!(results.state().order.len(), 1);
        for number in 2..5 {
            results.keep(question(number), result(), seconds(1010), seconds(1000));
        }
        results.keep(question(5), result(), seconds(2010), seconds(2000));
        assert_eq!(results.state().order.len(), 1);
        assert!(results.find(&question(5), seconds(2000)).is_some());
    }
}
