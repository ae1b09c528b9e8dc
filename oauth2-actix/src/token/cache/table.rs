//! A set-associative cache of fixed size with CLOCK (second chance) eviction and a doorkeeper.
//!
//! - Set-associative: the hash of a token selects one bucket of 8 slots, and a tag of 32 bits within it.
//!   Lookups read the tags first, take no lock, and never touch another bucket. The table never rehashes, so
//!   the work for a token is bounded.
//! - CLOCK: each slot has a used bit, which a hit sets. A clock hand passes over the slots, clears set bits,
//!   and evicts the first entry whose bit is clear. A second hand sweeps whole buckets when the limit for
//!   entries or bytes is reached.
//! - Doorkeeper: a full cache does not store a token the first time, but keeps its tag. A token whose tag is found
//!   there was seen before, and may evict another. So tokens that are sent once do not evict tokens that are
//!   sent often.
//!
//! `quick_cache` (weighted S3-FIFO) was measured as a replacement. A hit costs as many instructions, and a new token
//! takes as long, with room and in a full cache. But its limit is one weight for each shard, so that neither the
//! limit of entries nor that of bytes is strict, and a read takes the lock of a shard.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    num::NonZeroU32,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwapOption, Guard};

use super::TokenCacheStatus;
use crate::token::{claims::Claims, verified::VerifiedToken};

/// The verified tokens of one policy.
///
/// Shared by all workers. A lookup takes no lock: entries are swapped as a whole. Each bucket has a lock for
/// changes, held for a few comparisons and never during a signature check, a deallocation or a wait.
pub(crate) struct VerifiedTokens {
    /// The random hash seed: no client can predict which tokens share a bucket.
    seed: [u64; HASHED_WORDS],
    /// The buckets, in blocks. A block is allocated when its first token is added.
    blocks: Box<[OnceLock<Box<Block>>]>,
    buckets: usize,
    entries: Budget,
    bytes: Budget,
    /// The bucket that the next sweep begins with.
    clock_hand: AtomicUsize,
}

type Block = [Bucket; BUCKETS_PER_BLOCK];

/// Ordered so that a miss that is not admitted touches only the first cache line of 64 bytes.
#[derive(Default)]
#[repr(C, align(64))]
struct Bucket {
    tags: [AtomicU32; SLOTS],
    /// The used bits of CLOCK, one for each slot: set by a hit, cleared by the clock hand.
    used: AtomicU8,
    state: Mutex<BucketState>,
    entries: [ArcSwapOption<VerifiedToken>; SLOTS],
}

/// The part of a bucket that changes under its lock.
#[derive(Default)]
#[repr(C)]
struct BucketState {
    /// The doorkeeper: the tags of the tokens that were not admitted most recently.
    not_admitted: [u32; NOT_ADMITTED],
    next_not_admitted: u8,
    /// The slot that the clock hand examines next.
    clock_hand: u8,
    /// The occupied slots, one bit for each.
    occupied: u8,
    slots: [Option<EntryMeta>; SLOTS],
}

/// The metadata of an entry, which is read without dereferencing the entry.
#[derive(Clone, Copy)]
struct EntryMeta {
    /// The first second since the epoch at which the token has expired.
    expires_at: u32,
    size: NonZeroU32,
}

/// The slot that a token may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// A free slot.
    Free,
    /// A free slot or that of a victim: the token was seen before.
    FreeOrVictim,
}

/// An atomic counter with an upper limit, of entries or of bytes.
struct Budget {
    limit: usize,
    taken: AtomicUsize,
}

impl VerifiedTokens {
    pub(crate) fn new(max_entries: usize, max_bytes: usize) -> Self {
        // Twice as many slots as entries, so that a bucket is rarely full before the cache is.
        let buckets = (max_entries * 2).div_ceil(SLOTS);
        let random = RandomState::new();
        Self {
            seed: std::array::from_fn(|index| random.hash_one(index)),
            blocks: (0..buckets.div_ceil(BUCKETS_PER_BLOCK)).map(|_| OnceLock::new()).collect(),
            buckets,
            entries: Budget::new(max_entries),
            bytes: Budget::new(max_bytes),
            clock_hand: AtomicUsize::new(0),
        }
    }

    /// Returns the cached claims of exactly this token. The caller checks whether they are still valid.
    pub(crate) fn find(&self, token: &[u8]) -> Option<Claims> {
        let (index, tag) = self.bucket_and_tag(token);
        let bucket = self.bucket(index)?;
        let (slot, verified) = bucket.find(tag, token)?;
        // Written only if it changes, so that workers do not contend for the cache line.
        if bucket.used.load(Ordering::Relaxed) & (1 << slot) == 0 {
            bucket.used.fetch_or(1 << slot, Ordering::Relaxed);
        }
        Some(Claims::of(Arc::clone(verified.as_ref()?)))
    }

    /// Returns which slot a newly verified token may take. Returns None if the cache is full and has not seen
    /// the token before: the token is cached the second time it is sent.
    pub(crate) fn slot_for(&self, token: &[u8], now: Duration) -> Option<Slot> {
        let (index, tag) = self.bucket_and_tag(token);
        let bucket = self.bucket_or_allocate(index);
        let has_room = self.entries.has_room() && self.bytes.has_room();
        let mut state = bucket.lock();
        // Also if the token is cached already, verified by other keys.
        if (has_room && state.occupied != u8::MAX) || bucket.find(tag, token).is_some() {
            return Some(Slot::Free);
        }
        if state.was_seen_before(tag) {
            return Some(Slot::FreeOrVictim);
        }
        drop(state);
        if tag.is_multiple_of(SWEEP_ONE_IN) {
            self.sweep(now.as_secs(), false, usize::MAX);
        }
        None
    }

    /// Adds a verified token, in the slot that [`VerifiedTokens::slot_for`] allowed.
    pub(crate) fn insert(&self, claims: &Claims, slot: Slot, now: Duration) {
        let verified = claims.shared();
        let Some(meta) = EntryMeta::of(verified) else { return };
        if meta.bytes() > self.bytes.limit {
            // No eviction would make enough room.
            return;
        }
        let (index, tag) = self.bucket_and_tag(&verified.token);
        let bucket = self.bucket_or_allocate(index);
        let own = |bucket: &Bucket| bucket.find(tag, &verified.token).map(|(slot, _)| slot);
        let is_scarce = !self.entries.has_room() || !self.bytes.has_room_for(meta.bytes());
        if is_scarce && own(bucket).is_none() {
            // There is some room, but not enough.
            if slot == Slot::Free && !bucket.lock().was_seen_before(tag) {
                return;
            }
            self.sweep(now.as_secs(), true, meta.bytes());
        }
        let mut state = bucket.lock();
        let index = own(bucket)
            .or_else(|| state.position(|meta| meta.is_none()))
            .or_else(|| state.position(|it| it.is_some_and(|it| it.is_expired(now.as_secs()))))
            .unwrap_or_else(|| state.next_victim(&bucket.used));
        let removed = self.remove_entry(bucket, &mut state, index);
        // If there is still no room, the token is not cached, and is verified again next time.
        self.store_entry(bucket, &mut state, index, tag, meta, verified);
        drop(state);
        // Freed after the lock is released.
        drop(removed);
    }

    pub(crate) fn status(&self) -> TokenCacheStatus {
        TokenCacheStatus { entries: self.entries.taken(), bytes: self.bytes.taken() }
    }

    /// Removes the expired entries of a few buckets, and with `evict_unused` also those that were not used
    /// since the last sweep. Stops when `wanted` bytes are free.
    fn sweep(&self, now: u64, evict_unused: bool, wanted: usize) {
        let mut buckets_left = if evict_unused { SWEPT_BUCKETS_FOR_ROOM } else { SWEPT_BUCKETS };
        let mut freed = 0;
        for _ in 0..MAX_VISITED_BUCKETS {
            let index = self.clock_hand.fetch_add(1, Ordering::Relaxed) % self.buckets;
            let Some(bucket) = self.bucket(index) else { continue };
            let mut removed: [Option<Arc<VerifiedToken>>; SLOTS] = Default::default();
            let mut state = bucket.lock();
            for (index, removed) in removed.iter_mut().enumerate() {
                let Some(meta) = state.slots[index] else { continue };
                let unused = evict_unused && !bucket.take_used_bit(index);
                if unused || meta.is_expired(now) {
                    *removed = self.remove_entry(bucket, &mut state, index);
                    freed += meta.bytes();
                }
            }
            drop(state);
            drop(removed);
            buckets_left -= 1;
            if freed >= wanted || buckets_left == 0 {
                return;
            }
        }
    }

    /// Stores an entry. Returns false if a limit is reached.
    fn store_entry(
        &self,
        bucket: &Bucket,
        state: &mut BucketState,
        index: usize,
        tag: u32,
        meta: EntryMeta,
        verified: &Arc<VerifiedToken>,
    ) -> bool {
        if !self.entries.take(1) {
            return false;
        }
        if !self.bytes.take(meta.bytes()) {
            self.entries.release(1);
            return false;
        }
        state.slots[index] = Some(meta);
        state.occupied |= 1 << index;
        bucket.take_used_bit(index);
        bucket.tags[index].store(tag, Ordering::Relaxed);
        bucket.entries[index].store(Some(Arc::clone(verified)));
        true
    }

    fn remove_entry(
        &self,
        bucket: &Bucket,
        state: &mut BucketState,
        index: usize,
    ) -> Option<Arc<VerifiedToken>> {
        let meta = state.slots[index].take()?;
        state.occupied &= !(1 << index);
        self.entries.release(1);
        self.bytes.release(meta.bytes());
        bucket.entries[index].swap(None)
    }

    /// Returns the bucket of a token, and the tag that distinguishes it from most others there.
    ///
    /// Hashes the end of the signature, which is as good as random and which no client can choose for a
    /// verified token: two multiplications mix it well enough. The whole token is compared later.
    fn bucket_and_tag(&self, token: &[u8]) -> (usize, u32) {
        let mut end = [0; HASHED_WORDS * 8];
        match token.last_chunk() {
            Some(last) => end = *last,
            None => end[..token.len()].copy_from_slice(token),
        }
        let mut words = self.seed;
        for (word, bytes) in words.iter_mut().zip(end.as_chunks().0) {
            *word ^= u64::from_le_bytes(*bytes);
        }
        let fold = |one: u64, other: u64| {
            let product = u128::from(one) * u128::from(other);
            product as u64 ^ (product >> 64) as u64
        };
        let hash =
            fold(fold(words[0], words[1]) ^ self.seed[2], fold(words[2], words[3]) ^ self.seed[0]);
        let index = (u128::from(hash) * self.buckets as u128) >> 64;
        (index as usize, hash as u32)
    }

    /// Returns a bucket, or None if its block was never allocated.
    fn bucket(&self, index: usize) -> Option<&Bucket> {
        Some(&self.blocks[index / BUCKETS_PER_BLOCK].get()?[index % BUCKETS_PER_BLOCK])
    }

    fn bucket_or_allocate(&self, index: usize) -> &Bucket {
        let block = self.blocks[index / BUCKETS_PER_BLOCK]
            .get_or_init(|| Box::new(std::array::from_fn(|_| Bucket::default())));
        &block[index % BUCKETS_PER_BLOCK]
    }
}

impl Bucket {
    fn lock(&self) -> MutexGuard<'_, BucketState> {
        // No code under this lock panics half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the slot and the entry of exactly this token.
    #[inline]
    fn find(&self, tag: u32, token: &[u8]) -> Option<(usize, Guard<Option<Arc<VerifiedToken>>>)> {
        (0..SLOTS)
            .filter(|index| self.tags[*index].load(Ordering::Relaxed) == tag)
            .map(|index| (index, self.entries[index].load()))
            .find(|(_, entry)| entry.as_ref().is_some_and(|verified| *verified.token == *token))
    }

    /// Clears the used bit of a slot, and returns whether it was set.
    fn take_used_bit(&self, index: usize) -> bool {
        self.used.fetch_and(!(1 << index), Ordering::Relaxed) & (1 << index) != 0
    }
}

impl BucketState {
    fn position(&self, predicate: impl Fn(Option<EntryMeta>) -> bool) -> Option<usize> {
        self.slots.iter().position(|meta| predicate(*meta))
    }

    /// Returns whether this tag is among those not admitted recently, and removes it. Otherwise adds the tag.
    fn was_seen_before(&mut self, tag: u32) -> bool {
        if let Some(before) = self.not_admitted.iter_mut().find(|before| **before == tag) {
            *before = 0;
            return true;
        }
        self.not_admitted[usize::from(self.next_not_admitted) % NOT_ADMITTED] = tag;
        self.next_not_admitted = self.next_not_admitted.wrapping_add(1);
        false
    }

    /// Advances the clock hand to the first slot whose used bit is clear, and clears the bits that it passes.
    fn next_victim(&mut self, used: &AtomicU8) -> usize {
        // Concurrent hits may set bits again: after one round, the next slot is evicted anyway.
        for _ in 0..SLOTS {
            let index = usize::from(self.clock_hand) % SLOTS;
            self.clock_hand = self.clock_hand.wrapping_add(1);
            if used.fetch_and(!(1 << index), Ordering::Relaxed) & (1 << index) == 0 {
                return index;
            }
        }
        usize::from(self.clock_hand) % SLOTS
    }
}

impl EntryMeta {
    /// Returns the metadata of a token, or None if the token is too large to be cached.
    fn of(verified: &VerifiedToken) -> Option<Self> {
        Some(Self {
            expires_at: verified.cached_until().try_into().unwrap_or(u32::MAX),
            size: u32::try_from(verified.size()).ok().and_then(NonZeroU32::new)?,
        })
    }

    fn bytes(self) -> usize {
        self.size.get() as usize
    }

    fn is_expired(self, now: u64) -> bool {
        u64::from(self.expires_at) <= now
    }
}

impl Budget {
    fn new(limit: usize) -> Self {
        Self { limit, taken: AtomicUsize::new(0) }
    }

    fn take(&self, amount: usize) -> bool {
        self.taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                taken.checked_add(amount).filter(|taken| *taken <= self.limit)
            })
            .is_ok()
    }

    fn has_room(&self) -> bool {
        self.has_room_for(1)
    }

    fn has_room_for(&self, amount: usize) -> bool {
        self.taken().checked_add(amount).is_some_and(|taken| taken <= self.limit)
    }

    fn release(&self, amount: usize) {
        self.taken.fetch_sub(amount, Ordering::Relaxed);
    }

    fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

/// Shows no part of any token.
impl fmt::Debug for VerifiedTokens {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("VerifiedTokens").field(&self.status()).finish()
    }
}

/// Buckets in a block.
const BUCKETS_PER_BLOCK: usize = 64;

/// Slots in a bucket.
const SLOTS: usize = 8;

/// Tags that the doorkeeper of a bucket keeps.
const NOT_ADMITTED: usize = 4;

/// The number of words of eight bytes at a token's end that are hashed. These 32 characters of base64url are
/// 24 bytes of the signature.
const HASHED_WORDS: usize = 4;

/// The most buckets that one sweep visits, including unallocated ones.
const MAX_VISITED_BUCKETS: usize = 1024;

/// One in so many tokens that are not admitted causes a sweep for expired entries: a sweep is expensive,
/// because the buckets lie far apart in memory.
const SWEEP_ONE_IN: u32 = 8;

/// Buckets that such a sweep examines.
const SWEPT_BUCKETS: usize = 4;

/// The most buckets that a sweep examines to make room for an admitted token.
const SWEPT_BUCKETS_FOR_ROOM: usize = 32;

#[cfg(test)]
mod tests {
    use std::thread;

    use serde_json::json;

    use super::*;

    fn claims(token: &str) -> Claims {
        let mut verified =
            VerifiedToken::of("p", crate::json::object::Object::of(json!({"sub": token})));
        verified.token = token.as_bytes().into();
        Claims::new(verified)
    }

    /// Returns a token whose end looks like that of a signature.
    fn numbered(number: u64) -> String {
        format!("h.c.{:016x}{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15), number)
    }

    #[test]
    fn the_buckets_of_tokens_differ_between_tables() {
        let [one, other] = [(); 2].map(|()| VerifiedTokens::new(10_000, 1 << 20));
        let tokens: Vec<String> = (0..1000).map(numbered).collect();
        let alike = tokens.iter().filter(|token| {
            let token = token.as_bytes();
            one.bucket_and_tag(token) == other.bucket_and_tag(token)
        });
        assert!(alike.count() < 10);
    }

    #[test]
    fn a_token_that_two_workers_verify_at_once_has_one_entry() {
        const NOW: Duration = Duration::from_secs(1_800_000_000);
        // The table has one bucket, and it is full.
        let table = VerifiedTokens::new(4, 1 << 20);
        for number in 0..8 {
            table.insert(&claims(&numbered(number)), Slot::FreeOrVictim, NOW);
        }
        for number in 100..2100 {
            let token = numbered(number);
            thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| table.insert(&claims(&token), Slot::FreeOrVictim, NOW));
                }
            });
            let bucket = table.bucket(0).expect("allocated");
            let entries = bucket.entries.iter().filter_map(ArcSwapOption::load_full);
            let copies = entries.filter(|entry| *entry.token == *token.as_bytes()).count();
            assert!(copies <= 1, "{copies}");
            assert!(table.status().entries <= 4);
        }
        let counted: usize = table
            .blocks
            .iter()
            .filter_map(OnceLock::get)
            .flat_map(|block| block.iter())
            .map(|bucket| bucket.entries.iter().filter_map(ArcSwapOption::load_full).count())
            .sum();
        assert_eq!(table.status().entries, counted);
    }
}
