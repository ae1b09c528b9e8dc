//! The table itself: buckets of a few places, so that whatever comes, the work for it is bounded and
//! nothing is ever laid out anew.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::TokenCacheStatus;
use crate::{accepted::Accepted, claims::Claims};

/// The tokens that one policy has verified.
///
/// Shared by all workers. Each bucket has a lock of its own, held for the comparison of one token and
/// never while anything is verified, freed or waited for.
pub(crate) struct VerifiedTokens {
    /// Random for each process: nobody can tell which tokens share a bucket.
    hasher: RandomState,
    buckets: Box<[Mutex<Bucket>]>,
    entries: Budget,
    bytes: Budget,
    /// The bucket that is swept next.
    hand: AtomicUsize,
}

#[derive(Default)]
struct Bucket {
    places: [Option<Entry>; PLACES],
    /// Tags of tokens that found no place, the latest of them.
    turned_away: [u32; TURNED_AWAY],
    next_turned_away: u8,
    /// The place that is looked at next when one must go.
    hand: u8,
}

struct Entry {
    tag: u32,
    /// The first second since the epoch at which it is over.
    ends: u32,
    size: u32,
    /// Whether it was found since it was last looked at for want of a place.
    used: bool,
    claims: Claims,
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
            buckets: (0..buckets).map(|_| Mutex::default()).collect(),
            entries: Budget::new(max_entries),
            bytes: Budget::new(max_bytes),
            hand: AtomicUsize::new(0),
        }
    }

    /// What was accepted with this very token, if it is remembered. Whether that still counts is for
    /// the caller to say.
    pub(crate) fn find(&self, token: &[u8]) -> Option<Claims> {
        let (index, tag) = self.place_of(token);
        let mut bucket = self.lock(index);
        let entry = bucket
            .places
            .iter_mut()
            .flatten()
            .find(|entry| entry.tag == tag && *entry.claims.accepted().token == *token)?;
        entry.used = true;
        Some(entry.claims.clone())
    }

    /// Remembers a token that was verified, if there is a place for it.
    pub(crate) fn insert(&self, claims: &Claims, now: Duration) {
        let accepted = claims.accepted();
        let (index, tag) = self.place_of(&accepted.token);
        let Some(entry) = Entry::new(tag, claims) else { return };
        let entry = match self.replace(index, entry, now) {
            Ok(()) => return,
            Err(entry) => entry,
        };
        // There is no room without somebody else's leaving.
        let came_before = self.lock(index).came_before(tag);
        self.sweep(now, came_before, entry.size as usize);
        if came_before {
            self.take_turn(index, entry);
        }
    }

    pub(crate) fn status(&self) -> TokenCacheStatus {
        TokenCacheStatus { entries: self.entries.taken(), bytes: self.bytes.taken() }
    }

    /// Puts it where it stood before, where one is over, or where nothing is.
    fn replace(&self, index: usize, entry: Entry, now: Duration) -> Result<(), Entry> {
        let mut gone = None;
        let mut bucket = self.lock(index);
        let same = |place: &Option<Entry>| place.as_ref().is_some_and(|other| other.is_of(&entry));
        let over = |place: &Option<Entry>| place.as_ref().is_some_and(|other| other.is_over(now));
        if let Some(place) =
            bucket.places.iter().position(same).or_else(|| bucket.places.iter().position(over))
        {
            gone = self.vacate(&mut bucket.places[place]);
        }
        let result = match bucket.places.iter_mut().find(|place| place.is_none()) {
            Some(place) => self.occupy(place, entry),
            None => Err(entry),
        };
        drop(bucket);
        // Freed without the lock.
        drop(gone);
        result
    }

    /// Takes the place of one that was not used of late, or a free one.
    fn take_turn(&self, index: usize, entry: Entry) {
        let mut gone = None;
        let mut bucket = self.lock(index);
        let place = match bucket.places.iter().position(Option::is_none) {
            Some(free) => free,
            None => {
                let place = bucket.next_to_go();
                gone = self.vacate(&mut bucket.places[place]);
                place
            }
        };
        // If there still is no room, the token is verified once more.
        let left = self.occupy(&mut bucket.places[place], entry).err();
        drop(bucket);
        drop((gone, left));
    }

    /// Looks through a few buckets for what is over and, if somebody is to have its place, for what
    /// was not used since they were last looked through.
    fn sweep(&self, now: Duration, also_unused: bool, wanted: usize) {
        let (buckets, mut freed) = (if also_unused { SWEPT_FOR_ROOM } else { SWEPT }, 0);
        for _ in 0..buckets {
            let index = self.hand.fetch_add(1, Ordering::Relaxed) % self.buckets.len();
            let mut gone: [Option<Entry>; PLACES] = Default::default();
            let mut bucket = self.lock(index);
            for (place, gone) in bucket.places.iter_mut().zip(&mut gone) {
                let Some(entry) = place else { continue };
                if entry.is_over(now) || (also_unused && !entry.used) {
                    *gone = self.vacate(place);
                } else if also_unused {
                    entry.used = false;
                }
            }
            drop(bucket);
            freed += gone.iter().flatten().map(|entry| entry.size as usize).sum::<usize>();
            if freed >= wanted {
                return;
            }
        }
    }

    fn occupy(&self, place: &mut Option<Entry>, entry: Entry) -> Result<(), Entry> {
        let size = entry.size as usize;
        if !self.entries.take(1) {
            return Err(entry);
        }
        if !self.bytes.take(size) {
            self.entries.give(1);
            return Err(entry);
        }
        *place = Some(entry);
        Ok(())
    }

    fn vacate(&self, place: &mut Option<Entry>) -> Option<Entry> {
        let entry = place.take()?;
        self.entries.give(1);
        self.bytes.give(entry.size as usize);
        Some(entry)
    }

    /// A bucket, and what tells a token from most others there. The end of a signature is as good as
    /// random, and nobody can choose it for a token that was verified; that the whole token is equal
    /// is seen later.
    fn place_of(&self, token: &[u8]) -> (usize, u32) {
        let end = &token[token.len().saturating_sub(HASHED)..];
        let hash = self.hasher.hash_one(end);
        let index = (u128::from(hash) * self.buckets.len() as u128) >> 64;
        (index as usize, hash as u32)
    }

    fn lock(&self, index: usize) -> MutexGuard<'_, Bucket> {
        // Nothing in there panics half-way.
        self.buckets[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bucket {
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
    fn next_to_go(&mut self) -> usize {
        loop {
            let place = usize::from(self.hand) % PLACES;
            self.hand = self.hand.wrapping_add(1);
            match &mut self.places[place] {
                // Ends after one round: the hand leaves none that is used.
                Some(entry) if entry.used => entry.used = false,
                _ => return place,
            }
        }
    }
}

impl Entry {
    /// None: it is too large to be kept.
    fn new(tag: u32, claims: &Claims) -> Option<Self> {
        let accepted: &Accepted = claims.accepted();
        Some(Self {
            tag,
            ends: accepted.lifetime.last_second().try_into().unwrap_or(u32::MAX),
            size: accepted.size().try_into().ok()?,
            used: false,
            claims: claims.clone(),
        })
    }

    fn is_of(&self, other: &Self) -> bool {
        self.tag == other.tag && self.claims.accepted().token == other.claims.accepted().token
    }

    fn is_over(&self, now: Duration) -> bool {
        u64::from(self.ends) <= now.as_secs()
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

/// Buckets that a token which finds no place has swept for what is over.
const SWEPT: usize = 2;

/// Buckets that one which is to have a place has swept at most.
const SWEPT_FOR_ROOM: usize = 32;
