//! The table itself: buckets of a few places, so that whatever comes, the work for it is bounded and
//! nothing is ever laid out anew.

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

/// The tokens that one policy has verified.
///
/// Shared by all workers. Whoever looks for a token takes no lock: entries are swapped as a whole. Each
/// bucket has a lock for those who change it, held for a few comparisons and never while anything is
/// verified, freed or waited for.
pub(crate) struct VerifiedTokens {
    /// Random: nobody can tell which tokens share a bucket.
    seed: [u64; WORDS],
    /// Side by side, in blocks that are laid out when the first token comes that belongs there.
    blocks: Box<[OnceLock<Box<Block>>]>,
    buckets: usize,
    entries: Budget,
    bytes: Budget,
    /// The bucket that is swept next.
    hand: AtomicUsize,
}

type Block = [Bucket; BUCKETS];

/// Laid out so that a token which is not there, and finds no place, touches the first line of 64 bytes alone.
#[derive(Default)]
#[repr(C, align(64))]
struct Bucket {
    tags: [AtomicU32; PLACES],
    /// One bit for each place: whether its token was found since it was last looked at for want of a place.
    used: AtomicU8,
    notes: Mutex<Notes>,
    entries: [ArcSwapOption<VerifiedToken>; PLACES],
}

/// What those know who change a bucket.
#[derive(Default)]
#[repr(C)]
struct Notes {
    /// Tags of tokens that found no place, the latest of them.
    turned_away: [u32; TURNED_AWAY],
    next_turned_away: u8,
    /// The place that is looked at next when one must go.
    hand: u8,
    /// One bit for each place.
    taken: u8,
    occupied: [Option<Occupied>; PLACES],
}

/// What is known of an entry without a look at it.
#[derive(Clone, Copy)]
struct Occupied {
    /// The first second since the epoch at which it is over.
    ends: u32,
    size: NonZeroU32,
}

/// Which place a token may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PlaceFor {
    /// One that nobody has.
    IfFree,
    /// Also one of somebody who was not used of late: it came before.
    Somebodys,
}

/// Something of which there is so much, exactly.
struct Budget {
    limit: usize,
    taken: AtomicUsize,
}

impl VerifiedTokens {
    pub(super) fn new(max_entries: usize, max_bytes: usize) -> Self {
        // Twice the places: a bucket is seldom full before the table is.
        let buckets = (max_entries * 2).div_ceil(PLACES);
        let random = RandomState::new();
        Self {
            seed: std::array::from_fn(|index| random.hash_one(index)),
            blocks: (0..buckets.div_ceil(BUCKETS)).map(|_| OnceLock::new()).collect(),
            buckets,
            entries: Budget::new(max_entries),
            bytes: Budget::new(max_bytes),
            hand: AtomicUsize::new(0),
        }
    }

    /// What was accepted with this very token, if it is remembered. Whether that still counts is for
    /// the caller to say.
    pub(crate) fn find(&self, token: &[u8]) -> Option<Claims> {
        let (index, tag) = self.place_of(token);
        let bucket = self.bucket(index)?;
        let (place, accepted) = bucket.find(tag, token)?;
        // Written only if it changes, so that workers do not wait for each other's caches.
        if bucket.used.load(Ordering::Relaxed) & (1 << place) == 0 {
            bucket.used.fetch_or(1 << place, Ordering::Relaxed);
        }
        Some(Claims::of(Arc::clone(accepted.as_ref()?)))
    }

    /// Which place there may be for a token that was just verified. If none, there is one when it comes
    /// again soon.
    pub(crate) fn place_for(&self, token: &[u8], now: Duration) -> Option<PlaceFor> {
        let (index, tag) = self.place_of(token);
        let bucket = self.bucket_laid_out(index);
        let has_room = self.entries.has_room() && self.bytes.has_room();
        let mut notes = bucket.lock();
        // Or its own: other keys have verified it.
        if (has_room && notes.taken != u8::MAX) || bucket.find(tag, token).is_some() {
            return Some(PlaceFor::IfFree);
        }
        if notes.came_before(tag) {
            return Some(PlaceFor::Somebodys);
        }
        drop(notes);
        if tag.is_multiple_of(SWEEPER) {
            self.sweep(now.as_secs(), false, usize::MAX);
        }
        None
    }

    /// Remembers a token that was verified, and for which there may be a place.
    pub(crate) fn insert(&self, claims: &Claims, place: PlaceFor, now: Duration) {
        let accepted = claims.shared();
        let Some(occupied) = Occupied::by(accepted) else { return };
        if occupied.bytes() > self.bytes.limit {
            // Nobody's leaving would make room for it.
            return;
        }
        let (index, tag) = self.place_of(&accepted.token);
        let bucket = self.bucket_laid_out(index);
        let own = |bucket: &Bucket| bucket.find(tag, &accepted.token).map(|(place, _)| place);
        let is_scarce = !self.entries.has_room() || !self.bytes.has_room_for(occupied.bytes());
        if is_scarce && own(bucket).is_none() {
            // A little room, but not enough.
            if place == PlaceFor::IfFree && !bucket.lock().came_before(tag) {
                return;
            }
            self.sweep(now.as_secs(), true, occupied.bytes());
        }
        let mut notes = bucket.lock();
        let index = own(bucket)
            .or_else(|| notes.position(|occupied| occupied.is_none()))
            .or_else(|| notes.position(|it| it.is_some_and(|it| it.is_over(now.as_secs()))))
            .unwrap_or_else(|| notes.next_to_go(&bucket.used));
        let gone = self.vacate(bucket, &mut notes, index);
        // If there still is no room, the token is verified once more.
        self.occupy(bucket, &mut notes, index, tag, occupied, accepted);
        drop(notes);
        // Freed without the lock.
        drop(gone);
    }

    pub(crate) fn status(&self) -> TokenCacheStatus {
        TokenCacheStatus { entries: self.entries.taken(), bytes: self.bytes.taken() }
    }

    /// Looks through a few buckets for what is over and, if somebody is to have its place, for what
    /// was not used since they were last looked through.
    fn sweep(&self, now: u64, also_unused: bool, wanted: usize) {
        let mut left = if also_unused { SWEPT_FOR_ROOM } else { SWEPT };
        let mut freed = 0;
        for _ in 0..PASSED {
            let index = self.hand.fetch_add(1, Ordering::Relaxed) % self.buckets;
            let Some(bucket) = self.bucket(index) else { continue };
            let mut gone: [Option<Arc<VerifiedToken>>; PLACES] = Default::default();
            let mut notes = bucket.lock();
            for (index, gone) in gone.iter_mut().enumerate() {
                let Some(occupied) = notes.occupied[index] else { continue };
                let unused = also_unused && !bucket.forget_use(index);
                if unused || occupied.is_over(now) {
                    *gone = self.vacate(bucket, &mut notes, index);
                    freed += occupied.bytes();
                }
            }
            drop(notes);
            drop(gone);
            left -= 1;
            if freed >= wanted || left == 0 {
                return;
            }
        }
    }

    /// Whether there was room for it.
    fn occupy(
        &self,
        bucket: &Bucket,
        notes: &mut Notes,
        index: usize,
        tag: u32,
        occupied: Occupied,
        accepted: &Arc<VerifiedToken>,
    ) -> bool {
        if !self.entries.take(1) {
            return false;
        }
        if !self.bytes.take(occupied.bytes()) {
            self.entries.give(1);
            return false;
        }
        notes.occupied[index] = Some(occupied);
        notes.taken |= 1 << index;
        bucket.forget_use(index);
        bucket.tags[index].store(tag, Ordering::Relaxed);
        bucket.entries[index].store(Some(Arc::clone(accepted)));
        true
    }

    fn vacate(
        &self,
        bucket: &Bucket,
        notes: &mut Notes,
        index: usize,
    ) -> Option<Arc<VerifiedToken>> {
        let occupied = notes.occupied[index].take()?;
        notes.taken &= !(1 << index);
        self.entries.give(1);
        self.bytes.give(occupied.bytes());
        bucket.entries[index].swap(None)
    }

    /// A bucket, and what tells a token from most others there.
    ///
    /// The end of a signature is as good as random, and nobody can choose it for a token that was verified:
    /// two products mix it well enough. That the whole token is equal is seen later.
    fn place_of(&self, token: &[u8]) -> (usize, u32) {
        let mut end = [0; WORDS * 8];
        match token.last_chunk() {
            Some(last) => end = *last,
            None => end[..token.len()].copy_from_slice(token),
        }
        let mut words = self.seed;
        for (word, bytes) in words.iter_mut().zip(end.as_chunks().0) {
            *word ^= u64::from_le_bytes(*bytes);
        }
        let folded = |one: u64, other: u64| {
            let product = u128::from(one) * u128::from(other);
            product as u64 ^ (product >> 64) as u64
        };
        let hash = folded(
            folded(words[0], words[1]) ^ self.seed[2],
            folded(words[2], words[3]) ^ self.seed[0],
        );
        let index = (u128::from(hash) * self.buckets as u128) >> 64;
        (index as usize, hash as u32)
    }

    /// None: nothing was ever there.
    fn bucket(&self, index: usize) -> Option<&Bucket> {
        Some(&self.blocks[index / BUCKETS].get()?[index % BUCKETS])
    }

    fn bucket_laid_out(&self, index: usize) -> &Bucket {
        let block = self.blocks[index / BUCKETS]
            .get_or_init(|| Box::new(std::array::from_fn(|_| Bucket::default())));
        &block[index % BUCKETS]
    }
}

impl Bucket {
    fn lock(&self) -> MutexGuard<'_, Notes> {
        // Nothing in there panics half-way.
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The place of this very token, and what is there.
    #[inline]
    fn find(&self, tag: u32, token: &[u8]) -> Option<(usize, Guard<Option<Arc<VerifiedToken>>>)> {
        (0..PLACES)
            .filter(|index| self.tags[*index].load(Ordering::Relaxed) == tag)
            .map(|index| (index, self.entries[index].load()))
            .find(|(_, entry)| entry.as_ref().is_some_and(|accepted| *accepted.token == *token))
    }

    /// Whether the place's token was found since this was last asked.
    fn forget_use(&self, index: usize) -> bool {
        self.used.fetch_and(!(1 << index), Ordering::Relaxed) & (1 << index) != 0
    }
}

impl Notes {
    fn position(&self, is_it: impl Fn(Option<Occupied>) -> bool) -> Option<usize> {
        self.occupied.iter().position(|occupied| is_it(*occupied))
    }

    /// Whether a token of this tag was turned away of late. If not, it is now.
    fn came_before(&mut self, tag: u32) -> bool {
        if let Some(before) = self.turned_away.iter_mut().find(|before| **before == tag) {
            *before = 0;
            return true;
        }
        self.turned_away[usize::from(self.next_turned_away) % TURNED_AWAY] = tag;
        self.next_turned_away = self.next_turned_away.wrapping_add(1);
        false
    }

    /// The first place whose token was not used since the hand last passed.
    fn next_to_go(&mut self, used: &AtomicU8) -> usize {
        // After one round all are as good as unused, whatever others find meanwhile.
        for _ in 0..PLACES {
            let index = usize::from(self.hand) % PLACES;
            self.hand = self.hand.wrapping_add(1);
            if used.fetch_and(!(1 << index), Ordering::Relaxed) & (1 << index) == 0 {
                return index;
            }
        }
        usize::from(self.hand) % PLACES
    }
}

impl Occupied {
    /// None: it is too large to be kept.
    fn by(accepted: &VerifiedToken) -> Option<Self> {
        Some(Self {
            ends: accepted.lifetime.last_second().try_into().unwrap_or(u32::MAX),
            size: u32::try_from(accepted.size()).ok().and_then(NonZeroU32::new)?,
        })
    }

    fn bytes(self) -> usize {
        self.size.get() as usize
    }

    fn is_over(self, now: u64) -> bool {
        u64::from(self.ends) <= now
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

    fn give(&self, amount: usize) {
        self.taken.fetch_sub(amount, Ordering::Relaxed);
    }

    fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

/// Nothing of any token.
impl fmt::Debug for VerifiedTokens {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("VerifiedTokens").field(&self.status()).finish()
    }
}

/// Buckets of a block.
const BUCKETS: usize = 64;

/// Places of a bucket.
const PLACES: usize = 8;

/// Tags that a bucket keeps of tokens that found no place.
const TURNED_AWAY: usize = 4;

/// Words of eight bytes at a token's end that are hashed: 24 bytes of its signature.
const WORDS: usize = 4;

/// Buckets that are passed at most, those without any token among them.
const PASSED: usize = 1024;

/// Of tokens that find no place, one in so many has buckets swept for what is over: they are far from
/// each other in memory.
const SWEEPER: u32 = 8;

/// How many it has swept.
const SWEPT: usize = 4;

/// Buckets that one which is to have a place has swept at most.
const SWEPT_FOR_ROOM: usize = 32;

#[cfg(test)]
mod tests {
    use std::thread;

    use serde_json::json;

    use super::*;

    fn claims(token: &str) -> Claims {
        let mut accepted =
            VerifiedToken::of("p", crate::json::object::Object::of(json!({"sub": token})));
        accepted.token = token.as_bytes().into();
        Claims::new(accepted)
    }

    /// As the end of a signature would be.
    fn numbered(number: u64) -> String {
        format!("h.c.{:016x}{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15), number)
    }

    #[test]
    fn nobody_can_tell_which_tokens_share_a_bucket() {
        let [one, other] = [(); 2].map(|()| VerifiedTokens::new(10_000, 1 << 20));
        let tokens: Vec<String> = (0..1000).map(numbered).collect();
        let alike = tokens.iter().filter(|token| {
            let token = token.as_bytes();
            one.place_of(token) == other.place_of(token)
        });
        assert!(alike.count() < 10);
    }

    #[test]
    fn a_token_that_workers_verify_at_once_is_there_once() {
        const NOW: Duration = Duration::from_secs(1_800_000_000);
        // One bucket for both, and it is full.
        let table = VerifiedTokens::new(4, 1 << 20);
        for number in 0..8 {
            table.insert(&claims(&numbered(number)), PlaceFor::Somebodys, NOW);
        }
        for number in 100..2100 {
            let token = numbered(number);
            thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| table.insert(&claims(&token), PlaceFor::Somebodys, NOW));
                }
            });
            let bucket = table.bucket(0).expect("laid out");
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
