//! The table itself: buckets of a few places, so that whatever comes, the work for it is bounded and
//! nothing is ever laid out anew.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    num::NonZeroU32,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwapOption, Guard};

use super::TokenCacheStatus;
use crate::{accepted::Accepted, claims::Claims};

/// The tokens that one policy has verified.
///
/// Shared by all workers. Whoever looks for a token takes no lock: entries are swapped as a whole. Each
/// bucket has a lock for those who change it, held for a few comparisons and never while anything is
/// verified, freed or waited for.
pub(crate) struct VerifiedTokens {
    /// Random for each process: nobody can tell which tokens share a bucket.
    hasher: RandomState,
    /// Each is laid out when the first token comes that belongs there.
    buckets: Box<[OnceLock<Box<Bucket>>]>,
    entries: Budget,
    bytes: Budget,
    /// The bucket that is swept next.
    hand: AtomicUsize,
}

#[derive(Default)]
struct Bucket {
    places: [Place; PLACES],
    notes: Mutex<Notes>,
}

/// What is read when a token is looked for. Changed by the holder of the bucket's notes.
#[derive(Default)]
struct Place {
    tag: AtomicU32,
    /// Whether it was found since it was last looked at for want of a place.
    used: AtomicBool,
    entry: ArcSwapOption<Accepted>,
}

#[derive(Default)]
struct Notes {
    occupied: [Option<Occupied>; PLACES],
    /// Tags of tokens that found no place, the latest of them.
    turned_away: [u32; TURNED_AWAY],
    next_turned_away: u8,
    /// The place that is looked at next when one must go.
    hand: u8,
}

/// What is known of an entry without a look at it.
#[derive(Clone, Copy)]
struct Occupied {
    /// The first second since the epoch at which it is over.
    ends: u32,
    size: NonZeroU32,
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
        Self {
            hasher: RandomState::new(),
            buckets: (0..buckets).map(|_| OnceLock::new()).collect(),
            entries: Budget::new(max_entries),
            bytes: Budget::new(max_bytes),
            hand: AtomicUsize::new(0),
        }
    }

    /// What was accepted with this very token, if it is remembered. Whether that still counts is for
    /// the caller to say.
    pub(crate) fn find(&self, token: &[u8]) -> Option<Claims> {
        let (bucket, tag) = self.place_of(token);
        bucket.get()?.places.iter().find_map(|place| {
            let accepted = place.of(tag, token)?;
            // Written only if it changes, so that workers do not wait for each other's caches.
            if !place.used.load(Ordering::Relaxed) {
                place.used.store(true, Ordering::Relaxed);
            }
            Some(Claims::of(Arc::clone(accepted.as_ref()?)))
        })
    }

    /// Remembers a token that was verified, if there is a place for it.
    pub(crate) fn insert(&self, claims: &Claims, now: Duration) {
        let accepted = claims.shared();
        let (bucket, tag) = self.place_of(&accepted.token);
        let bucket = bucket.get_or_init(Box::default);
        let Some(occupied) = Occupied::by(accepted) else { return };
        if occupied.bytes() > self.bytes.limit {
            // Nobody's leaving would make room for it.
            return;
        }
        let now = now.as_secs();
        let mut gone = None;
        let (came_before, is_turn) = {
            let mut notes = bucket.lock();
            let place = bucket
                .position(tag, &accepted.token)
                .or_else(|| notes.position(|occupied| occupied.is_some_and(|o| o.is_over(now))));
            if let Some(place) = place {
                gone = self.vacate(bucket, &mut notes, place);
            }
            match notes.position(|occupied| occupied.is_none()) {
                Some(place) if self.occupy(bucket, &mut notes, place, tag, occupied, accepted) => {
                    (false, false)
                }
                // There is no room without somebody else's leaving.
                _ => (notes.came_before(tag), notes.next_turned_away.is_multiple_of(SWEEPER)),
            }
        };
        // Freed without the lock.
        drop(gone);
        if came_before || is_turn {
            self.sweep(now, came_before, occupied.bytes());
        }
        if came_before {
            self.take_turn(bucket, tag, occupied, accepted);
        }
    }

    pub(crate) fn status(&self) -> TokenCacheStatus {
        TokenCacheStatus { entries: self.entries.taken(), bytes: self.bytes.taken() }
    }

    /// Takes a free place, or that of one that was not used of late.
    fn take_turn(&self, bucket: &Bucket, tag: u32, occupied: Occupied, accepted: &Arc<Accepted>) {
        let mut notes = bucket.lock();
        // Another worker may have been faster.
        let place = bucket
            .position(tag, &accepted.token)
            .or_else(|| notes.position(|occupied| occupied.is_none()))
            .unwrap_or_else(|| notes.next_to_go(&bucket.places));
        let gone = self.vacate(bucket, &mut notes, place);
        // If there still is no room, the token is verified once more.
        self.occupy(bucket, &mut notes, place, tag, occupied, accepted);
        drop(notes);
        drop(gone);
    }

    /// Looks through a few buckets for what is over and, if somebody is to have its place, for what
    /// was not used since they were last looked through.
    fn sweep(&self, now: u64, also_unused: bool, wanted: usize) {
        let mut left = if also_unused { SWEPT_FOR_ROOM } else { SWEPT };
        let mut freed = 0;
        for _ in 0..PASSED {
            let index = self.hand.fetch_add(1, Ordering::Relaxed) % self.buckets.len();
            let Some(bucket) = self.buckets[index].get() else { continue };
            let mut gone: [Option<Arc<Accepted>>; PLACES] = Default::default();
            let mut notes = bucket.lock();
            for (index, gone) in gone.iter_mut().enumerate() {
                let Some(occupied) = notes.occupied[index] else { continue };
                let unused =
                    also_unused && !bucket.places[index].used.swap(false, Ordering::Relaxed);
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
        accepted: &Arc<Accepted>,
    ) -> bool {
        if !self.entries.take(1) {
            return false;
        }
        if !self.bytes.take(occupied.bytes()) {
            self.entries.give(1);
            return false;
        }
        notes.occupied[index] = Some(occupied);
        let place = &bucket.places[index];
        place.used.store(false, Ordering::Relaxed);
        place.tag.store(tag, Ordering::Relaxed);
        place.entry.store(Some(Arc::clone(accepted)));
        true
    }

    fn vacate(&self, bucket: &Bucket, notes: &mut Notes, index: usize) -> Option<Arc<Accepted>> {
        let occupied = notes.occupied[index].take()?;
        self.entries.give(1);
        self.bytes.give(occupied.bytes());
        bucket.places[index].entry.swap(None)
    }

    /// A bucket, and what tells a token from most others there. The end of a signature is as good as
    /// random, and nobody can choose it for a token that was verified; that the whole token is equal
    /// is seen later.
    fn place_of(&self, token: &[u8]) -> (&OnceLock<Box<Bucket>>, u32) {
        let end = &token[token.len().saturating_sub(HASHED)..];
        let hash = self.hasher.hash_one(end);
        let index = (u128::from(hash) * self.buckets.len() as u128) >> 64;
        (&self.buckets[index as usize], hash as u32)
    }
}

impl Bucket {
    fn lock(&self) -> MutexGuard<'_, Notes> {
        // Nothing in there panics half-way.
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn position(&self, tag: u32, token: &[u8]) -> Option<usize> {
        self.places.iter().position(|place| place.of(tag, token).is_some())
    }
}

impl Place {
    /// What is there, if it is of this very token.
    fn of(&self, tag: u32, token: &[u8]) -> Option<Guard<Option<Arc<Accepted>>>> {
        if self.tag.load(Ordering::Relaxed) != tag {
            return None;
        }
        let entry = self.entry.load();
        let is_it = entry.as_ref().is_some_and(|accepted| *accepted.token == *token);
        is_it.then_some(entry)
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
    fn next_to_go(&mut self, places: &[Place; PLACES]) -> usize {
        // After one round all are as good as unused, whatever others find meanwhile.
        for _ in 0..PLACES {
            let index = usize::from(self.hand) % PLACES;
            self.hand = self.hand.wrapping_add(1);
            if !places[index].used.swap(false, Ordering::Relaxed) {
                return index;
            }
        }
        usize::from(self.hand) % PLACES
    }
}

impl Occupied {
    /// None: it is too large to be kept.
    fn by(accepted: &Accepted) -> Option<Self> {
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

/// Places of a bucket.
const PLACES: usize = 8;

/// Tags that a bucket keeps of tokens that found no place.
const TURNED_AWAY: usize = 4;

/// Bytes of a token that are hashed: 24 of its signature.
const HASHED: usize = 32;

/// Buckets that are passed at most, those without any token among them.
const PASSED: usize = 1024;

/// Of tokens that find no place, one in so many has buckets swept for what is over: they are far from
/// each other in memory.
const SWEEPER: u8 = 8;

/// How many it has swept.
const SWEPT: usize = 4;

/// Buckets that one which is to have a place has swept at most.
const SWEPT_FOR_ROOM: usize = 32;
