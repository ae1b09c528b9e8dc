//! The store of used proofs in the memory of the process.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt, future, future::BoxFuture};

use super::{Insertion, ReplayStore, UsedProof};

/// A [`ReplayStore`] in the memory of the process.
///
/// ```
/// use oauth2_actix::dpop::MemoryReplayStore;
///
/// // Some 2,000,000 proofs, of which at most 100,000 of one client.
/// let store = MemoryReplayStore::new().max_bytes(128 * 1024 * 1024).max_per_key(100_000);
/// # drop(store);
/// ```
///
/// It forgets a proof once the proof would be refused for its age. Until then it keeps it: when its memory is full, or
/// a client has too many proofs, it answers [`Insertion::Unavailable`] to new ones. If the clock was set back by more
/// than it remembers, it answers that too, since it cannot tell whether a proof is new.
///
/// Each process has a memory of its own, and loses it when it ends. Where several processes serve one API, a proof would
/// be accepted once by each, and after a restart once more: use a store that they share, or nonces with a short
/// lifetime.
///
/// A proof takes 40 to 80 bytes, and its insertion less than a microsecond.
pub struct MemoryReplayStore {
    shards: Box<[Mutex<Shard>]>,
    /// The random hash seed: no client can predict which proofs or keys share a slot of a table.
    seed: RandomState,
    /// The bytes of all tables and queues.
    bytes: AtomicUsize,
    max_bytes: usize,
    max_per_key: usize,
    /// The second at which all shards were last searched for expired proofs because the memory was full.
    swept_at: AtomicU64,
}

/// The proofs of some of the keys. All proofs of a key are in one shard, so that they can be counted.
struct Shard {
    ids: HashSet<Id, RandomState>,
    /// The number of proofs of each key.
    counts: HashMap<KeyHash, u32, RandomState>,
    /// The proofs by the second in which they are valid for the last time.
    expiring: BTreeMap<u64, Vec<(Id, KeyHash)>>,
    /// The last second of which proofs were forgotten: a proof that is valid until then may have been among them.
    forgotten: u64,
    sizes: Sizes,
}

/// The first half of [`UsedProof::id`]. A client that finds two proofs with the same half, after 2^64 attempts, gets its
/// own second one refused. A proof that has the half of another client's takes 2^128 attempts.
type Id = [u64; 2];

/// The seeded hash of a key. Two keys with the same hash would share one limit.
type KeyHash = u64;

/// The capacities of the tables, since a table does not tell how many of its slots are lost to removed entries.
#[derive(Clone, Copy, Default)]
struct Sizes {
    ids: usize,
    counts: usize,
    /// The bytes of the queues.
    queues: usize,
}

/// Why a proof can neither be stored nor found.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(
        "the store of used proofs is full; expected fewer requests in the window of a proof, or more than max_bytes = {0}"
    )]
    Full(usize),
    #[error(
        "a key has too many used proofs; expected at most max_per_key = {0} in the window of a proof"
    )]
    TooMany(usize),
    #[error(
        "the store of used proofs has forgotten this time; expected a clock that is not set back"
    )]
    Forgotten,
}

impl MemoryReplayStore {
    /// Creates an empty store with the default limits.
    ///
    /// ```
    /// let store = oauth2_actix::dpop::MemoryReplayStore::new();
    /// # drop(store);
    /// ```
    #[must_use]
    pub fn new() -> Self {
        let seed = RandomState::new();
        Self {
            shards: (0..SHARDS).map(|_| Mutex::new(Shard::new(&seed))).collect(),
            seed,
            bytes: AtomicUsize::new(0),
            max_bytes: MAX_BYTES,
            max_per_key: MAX_PER_KEY,
            swept_at: AtomicU64::new(0),
        }
    }

    /// Sets the maximum memory in bytes. The default is 64 MiB, for some 1,000,000 proofs: 16,000 requests a second in a
    /// window of one minute.
    ///
    /// Memory is allocated as proofs are used. While a table grows, its old one is not counted. Requests beyond the limit
    /// get 503.
    ///
    /// ```
    /// # use oauth2_actix::dpop::MemoryReplayStore;
    /// let store = MemoryReplayStore::new().max_bytes(16 * 1024 * 1024);
    /// # drop(store);
    /// ```
    #[must_use]
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Sets the maximum number of proofs of one key of a client. The default is 32,768: some 500 requests a second in a
    /// window of one minute.
    ///
    /// It keeps one client from filling the store, so that the others can still use theirs. Requests of the client beyond
    /// the limit get 503.
    ///
    /// ```
    /// # use oauth2_actix::dpop::MemoryReplayStore;
    /// let store = MemoryReplayStore::new().max_per_key(1_000);
    /// # drop(store);
    /// ```
    #[must_use]
    pub fn max_per_key(mut self, proofs: usize) -> Self {
        self.max_per_key = proofs;
        self
    }

    fn insert(&self, proof: &UsedProof) -> Result<bool, Refusal> {
        let [id, key] = [&proof.id, &proof.key].map(first_half);
        let (now, last) = (proof.now.as_secs(), rounded_up(proof.until));
        let key = self.seed.hash_one(key);
        let mut shard = lock(&self.shards[key as usize % SHARDS]);
        self.release(shard.expire(now, EXPIRED_AT_ONCE));
        if shard.ids.contains(&id) {
            return Ok(false);
        }
        if last < now || last <= shard.forgotten {
            return Err(Refusal::Forgotten);
        }
        let count = shard.counts.get(&key).map_or(0, |count| *count as usize);
        if count >= self.max_per_key.min(u32::MAX as usize) {
            return Err(Refusal::TooMany(self.max_per_key));
        }
        if !self.reserve(shard.growth(last)) {
            self.release(shard.expire(now, usize::MAX));
            self.sweep(now);
            // The growth may be another now, since the shard has changed.
            if !self.reserve(shard.growth(last)) {
                return Err(Refusal::Full(self.max_bytes));
            }
        }
        self.release(shard.insert(id, key, last));
        Ok(true)
    }

    /// Takes bytes of the budget, unless there are too few.
    fn reserve(&self, bytes: usize) -> bool {
        if bytes == 0 {
            return true;
        }
        let add = |taken: usize| taken.checked_add(bytes).filter(|sum| *sum <= self.max_bytes);
        self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok()
    }

    fn release(&self, bytes: usize) {
        if bytes > 0 {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// Frees the memory of expired proofs in all shards, once a second. A shard that is in use does so itself.
    fn sweep(&self, now: u64) {
        if self.swept_at.swap(now, Ordering::Relaxed) == now {
            return;
        }
        for shard in &*self.shards {
            if let Ok(mut shard) = shard.try_lock() {
                self.release(shard.expire(now, usize::MAX));
            }
        }
    }
}

impl ReplayStore for MemoryReplayStore {
    fn insert_once(&self, proof: UsedProof) -> BoxFuture<'static, Insertion> {
        future::ready(match self.insert(&proof) {
            Ok(true) => Insertion::Fresh,
            Ok(false) => Insertion::Seen,
            Err(refusal) => Insertion::Unavailable(refusal.into()),
        })
        .boxed()
    }
}

impl Default for MemoryReplayStore {
    fn default() -> Self {
        Self::new()
    }
}

/// Shows the limits, and the memory in use.
impl fmt::Debug for MemoryReplayStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("MemoryReplayStore")
            .field("bytes", &self.bytes)
            .field("max_bytes", &self.max_bytes)
            .field("max_per_key", &self.max_per_key)
            .finish_non_exhaustive()
    }
}

impl Shard {
    fn new(seed: &RandomState) -> Self {
        Self {
            ids: HashSet::with_hasher(seed.clone()),
            counts: HashMap::with_hasher(seed.clone()),
            expiring: BTreeMap::new(),
            forgotten: 0,
            sizes: Sizes::default(),
        }
    }

    /// Forgets at most this number of proofs that have expired, and returns the bytes that this frees. Each insertion
    /// forgets more than it adds, so that no request waits for many.
    fn expire(&mut self, now: u64, mut at_most: usize) -> usize {
        let before = self.sizes;
        while let Some(mut queue) = self.expiring.first_entry()
            && *queue.key() < now
            && at_most > 0
        {
            self.forgotten = self.forgotten.max(*queue.key());
            let capacity = queue.get().capacity();
            while let Some((id, key)) = queue.get_mut().pop_if(|_| at_most > 0) {
                at_most -= 1;
                self.ids.remove(&id);
                if let Some(count) = self.counts.get_mut(&key) {
                    *count -= 1;
                    if *count == 0 {
                        self.counts.remove(&key);
                    }
                }
            }
            let proofs = queue.get_mut();
            self.sizes.queues -= queue_bytes(capacity);
            if proofs.is_empty() {
                queue.remove();
            } else {
                if is_sparse(proofs.len(), capacity) {
                    proofs.shrink_to(2 * proofs.len());
                }
                self.sizes.queues += queue_bytes(proofs.capacity());
            }
        }
        if is_sparse(self.ids.len(), self.sizes.ids) {
            self.ids.shrink_to(2 * self.ids.len());
            self.sizes.ids = self.ids.capacity();
        }
        if is_sparse(self.counts.len(), self.sizes.counts) {
            self.counts.shrink_to(2 * self.counts.len());
            self.sizes.counts = self.counts.capacity();
        }
        before.bytes() - self.sizes.bytes()
    }

    /// Returns the most bytes that an insertion can add.
    fn growth(&self, last: u64) -> usize {
        let mut after = self.sizes;
        if self.ids.len() == self.ids.capacity() {
            after.ids = grown(after.ids);
        }
        if self.counts.len() == self.counts.capacity() {
            after.counts = grown(after.counts);
        }
        after.queues += match self.expiring.get(&last) {
            None => queue_bytes(FEW),
            Some(queue) if queue.len() < queue.capacity() => 0,
            Some(queue) => queue_bytes(longer(queue.len())) - queue_bytes(queue.capacity()),
        };
        after.bytes() - self.sizes.bytes()
    }

    /// Adds a proof for which the growth was reserved, and returns what was not needed.
    fn insert(&mut self, id: Id, key: KeyHash, last: u64) -> usize {
        let reserved = self.sizes.bytes() + self.growth(last);
        self.ids.insert(id);
        *self.counts.entry(key).or_default() += 1;
        let queue = self.expiring.entry(last).or_default();
        let before = queue.capacity();
        if queue.len() == before {
            queue.reserve_exact(longer(before) - before);
        }
        queue.push((id, key));
        let before = if before == 0 { 0 } else { queue_bytes(before) };
        self.sizes.queues += queue_bytes(queue.capacity()) - before;
        self.sizes.ids = self.sizes.ids.max(self.ids.capacity());
        self.sizes.counts = self.sizes.counts.max(self.counts.capacity());
        reserved - self.sizes.bytes()
    }
}

impl Sizes {
    fn bytes(self) -> usize {
        table_bytes(self.ids, size_of::<Id>())
            + table_bytes(self.counts, size_of::<(KeyHash, u32)>())
            + self.queues
    }
}

/// Returns the number of entries for which a full table of this capacity makes room.
fn grown(capacity: usize) -> usize {
    (capacity + 1).max(2 * capacity)
}

/// Returns the capacity of a queue that had no room left. A queue of a busy second grows by halves, to waste less.
fn longer(capacity: usize) -> usize {
    FEW.max(capacity + capacity / 2)
}

/// Returns whether so few entries are left that the table should become smaller.
fn is_sparse(entries: usize, capacity: usize) -> bool {
    capacity > 64 && entries < capacity / 4
}

/// Returns the bytes of a hash table of the standard library: slots in a power of two, an eighth of them empty, with
/// one more byte for each.
fn table_bytes(capacity: usize, entry: usize) -> usize {
    let slots = match capacity {
        0 => return 0,
        1..=3 => 4,
        4..=7 => 8,
        8..=14 => 16,
        _ => (capacity * 8 / 7).next_power_of_two(),
    };
    slots * (entry + 1) + 16
}

/// Returns the bytes of a queue, with its part of the tree.
fn queue_bytes(capacity: usize) -> usize {
    capacity * size_of::<(Id, KeyHash)>() + 64
}

fn first_half(hash: &[u8; 32]) -> Id {
    let word = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&hash[at..at + 8]);
        u64::from_ne_bytes(bytes)
    };
    [word(0), word(8)]
}

fn rounded_up(time: Duration) -> u64 {
    time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0))
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The number of locks.
const SHARDS: usize = 64;

/// The number of expired proofs that an insertion forgets.
const EXPIRED_AT_ONCE: usize = 16;

/// The first capacity of a queue.
const FEW: usize = 4;

const MAX_BYTES: usize = 64 * 1024 * 1024;
const MAX_PER_KEY: usize = 32_768;

#[cfg(test)]
mod tests;
