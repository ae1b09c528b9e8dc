//! The keys of recent proofs.

use std::{
    fmt, mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::jose::{algorithm::Algorithm, verifier::Verifier};

/// The verifiers of the keys of recent proofs, by thumbprint and algorithm. Reading a key takes as long as some
/// signatures.
///
/// A key enters once a proof was verified with it. Its thumbprint stood in a valid token, so that clients without a token
/// can neither fill the cache nor evict from it. A client with tokens for many keys can: the others' keys are then read
/// again, and nothing else changes.
pub(crate) struct ClientKeys {
    shards: Box<[Mutex<Shard>]>,
    /// The maximum number of keys in a shard.
    room: usize,
}

#[derive(Default)]
struct Shard {
    entries: Vec<Entry>,
    /// The entry that is examined next for eviction (CLOCK).
    hand: usize,
}

struct Entry {
    thumbprint: [u8; 32],
    algorithm: Algorithm,
    /// Set by a hit, and cleared as the hand passes.
    used: bool,
    verifier: Arc<Verifier>,
}

impl ClientKeys {
    /// Creates a cache for at most `max_entries` keys. An entry takes one or two kilobytes.
    pub(crate) fn new(max_entries: usize) -> Self {
        let shards = max_entries.clamp(1, SHARDS);
        let room = max_entries / shards;
        Self { shards: (0..shards).map(|_| Mutex::default()).collect(), room }
    }

    pub(crate) fn get(&self, thumbprint: &[u8; 32], algorithm: Algorithm) -> Option<Arc<Verifier>> {
        let mut shard = self.shard(thumbprint);
        let entry = shard.find(thumbprint, algorithm)?;
        entry.used = true;
        Some(entry.verifier.clone())
    }

    /// Keeps the verifier of a key whose proof was verified.
    pub(crate) fn insert(
        &self,
        thumbprint: &[u8; 32],
        algorithm: Algorithm,
        verifier: Arc<Verifier>,
    ) {
        let entry = Entry { thumbprint: *thumbprint, algorithm, used: false, verifier };
        let evicted = {
            let mut shard = self.shard(thumbprint);
            if self.room == 0 || shard.find(thumbprint, algorithm).is_some() {
                Some(entry)
            } else if shard.entries.len() < self.room {
                shard.entries.push(entry);
                None
            } else {
                let victim = shard.victim();
                Some(mem::replace(&mut shard.entries[victim], entry))
            }
        };
        // The key is freed after the lock.
        drop(evicted);
    }

    fn shard(&self, thumbprint: &[u8; 32]) -> MutexGuard<'_, Shard> {
        let shard = &self.shards[usize::from(thumbprint[0]) % self.shards.len()];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for ClientKeys {
    fn default() -> Self {
        Self::new(MAX_ENTRIES)
    }
}

impl Shard {
    fn find(&mut self, thumbprint: &[u8; 32], algorithm: Algorithm) -> Option<&mut Entry> {
        let is_same =
            |entry: &&mut Entry| entry.thumbprint == *thumbprint && entry.algorithm == algorithm;
        self.entries.iter_mut().find(is_same)
    }

    /// Returns the first entry from the hand on that was not used since the hand passed it.
    fn victim(&mut self) -> usize {
        loop {
            let index = self.hand % self.entries.len();
            self.hand = index + 1;
            if !mem::take(&mut self.entries[index].used) {
                return index;
            }
        }
    }
}

impl fmt::Debug for ClientKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ClientKeys").field("shards", &self.shards.len()).finish()
    }
}

/// The number of locks.
const SHARDS: usize = 64;

/// The maximum number of keys by default.
const MAX_ENTRIES: usize = 4_096;

#[cfg(test)]
mod tests {
    use Algorithm as A;

    use super::*;
    use crate::{
        dpop::client_key::ClientKey, jose::key_policy::CryptoBackend, testing::SigningKey,
    };

    fn any_verifier() -> Arc<Verifier> {
        let jwk = SigningKey::generate(A::Ed25519, "1").bare_jwk().to_string();
        let key = ClientKey::read(&jwk, A::Ed25519).expect("a key");
        Arc::new(key.verifier(A::Ed25519, CryptoBackend::AwsLc).expect("a verifier"))
    }

    fn thumbprint(number: usize) -> [u8; 32] {
        openssl::sha::sha256(&number.to_be_bytes())
    }

    #[test]
    fn cached_key_is_found_by_thumbprint_and_algorithm() {
        let keys = ClientKeys::default();
        assert!(keys.get(&thumbprint(1), A::Ed25519).is_none());
        let verifier = any_verifier();
        keys.insert(&thumbprint(1), A::Ed25519, verifier.clone());
        keys.insert(&thumbprint(1), A::Ed25519, any_verifier());
        let found = keys.get(&thumbprint(1), A::Ed25519).expect("cached");
        assert!(Arc::ptr_eq(&found, &verifier));
        assert!(keys.get(&thumbprint(1), A::EdDSA).is_none());
        assert!(keys.get(&thumbprint(2), A::Ed25519).is_none());
    }

    #[test]
    fn cache_keeps_at_most_its_number_of_keys() {
        let verifier = any_verifier();
        for max in [0, 1, 7, 64, 100, 1_000] {
            let keys = ClientKeys::new(max);
            for number in 0..3_000 {
                keys.insert(&thumbprint(number), A::Ed25519, verifier.clone());
            }
            let kept = |number: &usize| keys.get(&thumbprint(*number), A::Ed25519).is_some();
            let count = (0..3_000).filter(kept).count();
            assert!(count <= max && count >= max / 64 * 64, "{count} of {max}");
        }
    }

    #[test]
    fn key_in_use_is_not_evicted_by_keys_that_are_used_once() {
        let (keys, verifier) = (ClientKeys::new(256), any_verifier());
        keys.insert(&thumbprint(0), A::Ed25519, verifier.clone());
        for number in 1..5_000 {
            assert!(keys.get(&thumbprint(0), A::Ed25519).is_some(), "{number}");
            keys.insert(&thumbprint(number), A::Ed25519, verifier.clone());
        }
    }
}
