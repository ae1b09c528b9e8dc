//! The rate of fetches that tokens with unknown keys may cause.
//!
//! Any client can make up key ids, so these fetches have a cooldown. Clients send tokens of a withdrawn key
//! until they expire, so a fetch for that key would start the cooldown again and again, and a new key would
//! have to wait. A fetch for a key that was searched for before therefore leaves one fetch in reserve, for a
//! key that was never searched for. That fetch makes the cooldown longer, so the average rate stays the same.

use std::{
    collections::VecDeque,
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// The least time between two fetches for unknown keys.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cooldown {
    until: Duration,
    /// Whether a fetch for a key that was not searched for before may begin during the cooldown.
    reserve: bool,
}

impl Cooldown {
    /// Returns how long a fetch must wait, or `None` if it may begin. `is_new` is for a key that was not
    /// searched for before.
    pub(crate) fn remaining(&self, is_new: bool, now: Duration) -> Option<Duration> {
        let may_begin = now >= self.until || (is_new && self.reserve);
        (!may_begin).then(|| self.until - now)
    }

    /// Starts the cooldown when a fetch begins.
    pub(crate) fn start(&mut self, is_new: bool, now: Duration, length: Duration) {
        if now < self.until {
            // The fetch uses the reserve, so the next one waits longer.
            self.until += length;
            self.reserve = false;
        } else {
            self.until = now + length;
            self.reserve = !is_new;
        }
    }
}

/// The most recent key ids of tokens that were missing after a fetch, or were withdrawn. A token without a
/// key id has its own entry.
#[derive(Debug, Default)]
pub(crate) struct MissingKids {
    hashes: VecDeque<u64>,
    // Randomly keyed, so that a client cannot cause a collision.
    hasher: RandomState,
}

/// The signed part of a token, and its signature.
pub(crate) type Parts<'a> = (&'a [u8], &'a [u8]);

impl MissingKids {
    pub(crate) fn contains(&self, kid: Option<&str>, token: Parts<'_>) -> bool {
        self.hashes.contains(&self.hash(kid, token))
    }

    pub(crate) fn insert(&mut self, kid: Option<&str>, token: Parts<'_>) {
        let hash = self.hash(kid, token);
        if self.hashes.contains(&hash) {
            return;
        }
        if self.hashes.len() == MAX_KIDS {
            self.hashes.pop_front();
        }
        self.hashes.push_back(hash);
    }

    fn hash(&self, kid: Option<&str>, token: Parts<'_>) -> u64 {
        match kid {
            Some(kid) => self.hasher.hash_one(kid),
            None => self.hasher.hash_one(token),
        }
    }
}

/// The maximum number of entries for one source.
const MAX_KIDS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_secs(10);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn new_keys_cause_one_fetch_per_cooldown() {
        let mut cooldown = Cooldown::default();
        let fetches = (0..1000).filter(|second| {
            let may = cooldown.remaining(true, at(*second)).is_none();
            if may {
                cooldown.start(true, at(*second), LENGTH);
            }
            may
        });
        assert_eq!(fetches.count(), 100);
    }

    #[test]
    fn a_key_that_was_missing_before_leaves_one_fetch_for_a_new_key() {
        let mut cooldown = Cooldown::default();
        cooldown.start(false, at(100), LENGTH);
        assert_eq!(cooldown.remaining(false, at(101)), Some(at(9)));
        assert_eq!(cooldown.remaining(true, at(101)), None);
        cooldown.start(true, at(101), LENGTH);
        // There is only one reserve, and the next fetch waits for both cooldowns.
        assert_eq!(cooldown.remaining(true, at(102)), Some(at(18)));
        assert_eq!(cooldown.remaining(false, at(102)), Some(at(18)));
        assert_eq!(cooldown.remaining(true, at(120)), None);
    }

    #[test]
    fn both_together_cause_no_more_fetches_over_time() {
        let mut cooldown = Cooldown::default();
        let mut fetches = 0;
        for second in 0..1000 {
            for is_new in [false, true] {
                if cooldown.remaining(is_new, at(second)).is_none() {
                    cooldown.start(is_new, at(second), LENGTH);
                    fetches += 1;
                }
            }
        }
        assert!(fetches <= 101, "{fetches}");
    }

    #[test]
    fn the_most_recent_tokens_are_remembered() {
        let mut missing = MissingKids::default();
        for index in 0..MAX_KIDS * 2 {
            missing.insert(Some(&index.to_string()), (b"", b""));
            missing.insert(Some(&index.to_string()), (b"", b""));
        }
        let contains = |index: usize| missing.contains(Some(&index.to_string()), (b"", b""));
        assert!(!contains(0) && !contains(MAX_KIDS - 1));
        assert!(contains(MAX_KIDS) && contains(MAX_KIDS * 2 - 1));
    }

    #[test]
    fn tokens_without_a_key_id_are_distinguished() {
        let mut missing = MissingKids::default();
        let (one, two): (Parts<'_>, Parts<'_>) = ((b"one", b"1"), (b"two", b"2"));
        missing.insert(None, one);
        missing.insert(Some("kid"), two);
        assert!(missing.contains(None, one) && missing.contains(Some("kid"), one));
        for (kid, token) in
            [(None, two), (None, (b"one", b"2")), (None, (b"kid", b"")), (Some("one"), one)]
        {
            assert!(!missing.contains(kid, token), "{kid:?}");
        }
    }
}
