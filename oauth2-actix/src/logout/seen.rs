//! The ids of the messages that were received.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aws_lc_rs::digest::{Context, SHA256};

/// The ids of the messages whose entries are in the deny list, until the messages expire. Their number is limited. A message
/// whose id is not stored adds the same entry again.
#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<HashMap<Id, Duration>>);

/// The hash of an issuer and an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Id([u8; 32]);

impl Id {
    pub(super) fn new(issuer: &str, id: &str) -> Self {
        let mut hash = Context::new(&SHA256);
        hash.update(&(issuer.len() as u64).to_be_bytes());
        hash.update(issuer.as_bytes());
        hash.update(id.as_bytes());
        let mut bytes = [0; 32];
        bytes.copy_from_slice(hash.finish().as_ref());
        Self(bytes)
    }
}

impl Seen {
    pub(super) fn contains(&self, id: &Id, now: Duration) -> bool {
        self.lock().get(id).is_some_and(|ends| now < *ends)
    }

    /// Stores an id until this time, if there is room.
    pub(super) fn insert(&self, id: Id, ends: Duration, now: Duration) {
        let mut ids = self.lock();
        if ids.len() >= CAPACITY {
            ids.retain(|_, ends| now < *ends);
        }
        if ids.len() < CAPACITY {
            ids.insert(id, ends);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Id, Duration>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The maximum number of ids: about 1 MiB.
const CAPACITY: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn id_is_stored_for_its_issuer_until_the_message_expires() {
        let seen = Seen::default();
        seen.insert(Id::new("a", "bc"), 10 * SECOND, SECOND);
        assert!(seen.contains(&Id::new("a", "bc"), 9 * SECOND));
        assert!(!seen.contains(&Id::new("a", "bc"), 10 * SECOND));
        assert!(!seen.contains(&Id::new("ab", "c"), SECOND));
        assert!(!seen.contains(&Id::new("a", "b"), SECOND));
    }

    #[test]
    fn number_of_ids_is_bounded_and_expired_ones_make_room() {
        let seen = Seen::default();
        let id = |index: usize| Id::new("issuer", &index.to_string());
        for index in 0..CAPACITY + 100 {
            seen.insert(id(index), 10 * SECOND, SECOND);
        }
        assert_eq!(seen.lock().len(), CAPACITY);
        assert!(seen.contains(&id(CAPACITY - 1), SECOND));
        assert!(!seen.contains(&id(CAPACITY), SECOND));
        seen.insert(id(CAPACITY), 20 * SECOND, 10 * SECOND);
        assert!(seen.contains(&id(CAPACITY), 10 * SECOND));
        assert_eq!(seen.lock().len(), 1);
    }
}
