//! The entries in memory, by key. They are read by every request whose token was not checked since the last change.

use std::{
    collections::{HashMap, hash_map},
    hash::{BuildHasher, RandomState},
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::entry::{ANY, Key, RevocationEntry, TokenKeys};

/// A table in shards. The lock of a shard is held for one lookup or one insertion, never while a task waits.
pub(super) struct Table {
    shards: Box<[RwLock<Shard>]>,
    /// The random seed of the hash: no client can predict which entries share a shard or a slot.
    seed: RandomState,
    entries: AtomicUsize,
}

type Shard = HashMap<Key, Spans, RandomState>;

/// The entries of one key. There is nearly always one.
struct Spans {
    first: Span,
    others: Vec<Span>,
}

/// The tokens that an entry revokes, and when it ends.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Span {
    issued_before: u64,
    until: u64,
    /// The monotonic time at which it may be removed.
    removed_at: Duration,
}

/// What became of an entry that was to be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Insertion {
    /// It is in the table now.
    New,
    /// Another one covers it, or it has expired.
    Known,
    /// The table has no room for it.
    Full,
}

/// The time, on both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    /// Since the Unix epoch, in milliseconds.
    pub(super) unix: u64,
    pub(super) monotonic: Duration,
}

impl Span {
    /// Returns whether this entry revokes every token that the other one does, for at least as long.
    fn covers(&self, other: &Self) -> bool {
        self.issued_before >= other.issued_before && self.until >= other.until
    }

    fn of_key(&self, key: Key) -> RevocationEntry {
        RevocationEntry { key, issued_before: self.issued_before, until: self.until }
    }

    fn revokes(&self, issued_at: u64, now: u64) -> bool {
        now < self.until && (self.issued_before == ANY || issued_at <= self.issued_before)
    }

    /// Returns whether the entry can be removed. The wall clock alone does not end an entry, since it may have been set
    /// forward by mistake.
    fn has_expired(&self, now: Now) -> bool {
        now.unix >= self.until && now.monotonic >= self.removed_at
    }
}

impl Spans {
    fn iter(&self) -> impl Iterator<Item = &Span> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// Adds an entry that no other covers, and removes those that it covers. If it covers none, `has_room` decides
    /// whether it is added. Returns whether it was.
    fn add(&mut self, span: Span, has_room: impl FnOnce() -> bool) -> bool {
        let before = self.len();
        self.others.retain(|known| !span.covers(known));
        if span.covers(&self.first) {
            self.first = span;
            return true;
        }
        let is_added = self.len() < before || has_room();
        if is_added {
            self.others.push(span);
        }
        is_added
    }

    fn len(&self) -> usize {
        1 + self.others.len()
    }

    /// Removes the expired entries. Returns how many remain.
    fn remove_expired(&mut self, now: Now) -> usize {
        self.others.retain(|span| !span.has_expired(now));
        if self.first.has_expired(now) {
            match self.others.pop() {
                Some(other) => self.first = other,
                None => return 0,
            }
        }
        self.len()
    }
}

impl Table {
    pub(super) fn new() -> Self {
        let seed = RandomState::new();
        let shard = || RwLock::new(HashMap::with_hasher(seed.clone()));
        Self { shards: (0..SHARDS).map(|_| shard()).collect(), seed, entries: AtomicUsize::new(0) }
    }

    /// Returns the number of entries. Expired ones count until they are removed.
    pub(super) fn len(&self) -> usize {
        self.entries.load(Ordering::Relaxed)
    }

    /// Adds an entry, if the table has then at most this many.
    pub(super) fn insert(&self, entry: &RevocationEntry, now: Now, max: usize) -> Insertion {
        let remaining = Duration::from_millis(entry.until.saturating_sub(now.unix));
        if remaining.is_zero() {
            return Insertion::Known;
        }
        let span = Span {
            issued_before: entry.issued_before,
            until: entry.until,
            removed_at: now.monotonic.saturating_add(remaining),
        };
        let mut shard = self.shard(&entry.key).write().unwrap_or_else(PoisonError::into_inner);
        match shard.entry(entry.key) {
            hash_map::Entry::Vacant(slot) => {
                if !self.reserve(max) {
                    return Insertion::Full;
                }
                slot.insert(Spans { first: span, others: Vec::new() });
            }
            hash_map::Entry::Occupied(mut slot) => {
                let spans = slot.get_mut();
                if spans.iter().any(|known| known.covers(&span)) {
                    return Insertion::Known;
                }
                let before = spans.len();
                if !spans.add(span, || self.reserve(max)) {
                    return Insertion::Full;
                }
                // An entry that replaces others was not counted.
                let removed = before.saturating_sub(spans.len());
                self.entries.fetch_sub(removed, Ordering::Relaxed);
            }
        }
        Insertion::New
    }

    /// Returns the entries that cover another one.
    pub(super) fn covering(&self, entry: &RevocationEntry) -> Vec<RevocationEntry> {
        let RevocationEntry { key, issued_before, until } = *entry;
        let covered = Span { issued_before, until, removed_at: Duration::ZERO };
        let shard = self.shard(&key).read().unwrap_or_else(PoisonError::into_inner);
        let spans = shard.get(&key).into_iter().flat_map(Spans::iter);
        spans.filter(|span| span.covers(&covered)).map(|span| span.of_key(key)).collect()
    }

    /// Counts one more entry, unless there are as many as there may be.
    fn reserve(&self, max: usize) -> bool {
        let has_room = self.entries.fetch_add(1, Ordering::Relaxed) < max;
        if !has_room {
            self.entries.fetch_sub(1, Ordering::Relaxed);
        }
        has_room
    }

    /// Returns whether an entry revokes the token.
    pub(super) fn revokes(&self, token: &TokenKeys, now: u64) -> bool {
        token.iter().any(|key| {
            let shard = self.shard(key).read().unwrap_or_else(PoisonError::into_inner);
            shard
                .get(key)
                .is_some_and(|spans| spans.iter().any(|span| span.revokes(token.issued_at, now)))
        })
    }

    /// Returns the entries that are in force.
    pub(super) fn in_force(&self, now: u64) -> Vec<RevocationEntry> {
        let mut entries = Vec::with_capacity(self.len());
        for shard in &self.shards {
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            for (key, spans) in &*shard {
                let in_force = spans.iter().filter(|span| now < span.until);
                entries.extend(in_force.map(|span| span.of_key(*key)));
            }
        }
        entries
    }

    /// Removes the expired entries. It locks one shard at a time, so no lookup waits for all of them.
    pub(super) fn remove_expired(&self, now: Now) {
        for shard in &self.shards {
            let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
            let mut removed = 0;
            shard.retain(|_, spans| {
                let before = spans.len();
                let after = spans.remove_expired(now);
                removed += before - after;
                after > 0
            });
            if shard.len() * 4 < shard.capacity() {
                shard.shrink_to_fit();
            }
            drop(shard);
            self.entries.fetch_sub(removed, Ordering::Relaxed);
        }
    }

    fn shard(&self, key: &Key) -> &RwLock<Shard> {
        &self.shards[(self.seed.hash_one(key) >> 58) as usize]
    }
}

/// 64, which the first 6 bits of a hash number.
const SHARDS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revocation::entry::{Kind, TokenFacts};

    const NOW: u64 = 1_800_000_000_000;

    fn at(after: u64) -> Now {
        Now { unix: NOW + after, monotonic: Duration::from_millis(1000 + after) }
    }

    fn insert(table: &Table, entry: &RevocationEntry, now: Now) -> bool {
        table.insert(entry, now, usize::MAX) == Insertion::New
    }

    fn subject(sub: &str, issued_before: u64, until: u64) -> RevocationEntry {
        let key = Key::of(Kind::Subject, "i", sub.as_bytes());
        RevocationEntry { key, issued_before, until: NOW + until }
    }

    fn token(sub: &str, issued_at: u64) -> TokenKeys {
        TokenKeys::of(&TokenFacts {
            issuer: "i",
            token_id: Some("t"),
            text: b"".as_slice().into(),
            subject: Some(sub),
            session: None,
            client: None,
            issued_at: Some(issued_at as f64 / 1000.0),
        })
    }

    #[test]
    fn entry_revokes_tokens_up_to_its_time_and_until_its_end() {
        let table = Table::new();
        assert!(insert(&table, &subject("s", 1000, 50), at(0)));
        for (issued_at, now, is_revoked) in
            [(0, 0, true), (1000, 0, true), (1002, 0, false), (1000, 49, true), (1000, 50, false)]
        {
            let revokes = table.revokes(&token("s", issued_at), NOW + now);
            assert_eq!(revokes, is_revoked, "{issued_at} {now}");
        }
        assert!(!table.revokes(&token("r", 0), NOW));
    }

    #[test]
    fn entries_of_one_key_are_kept_unless_another_covers_them() {
        let table = Table::new();
        assert!(insert(&table, &subject("s", ANY, 10), at(0)));
        assert!(insert(&table, &subject("s", 1000, 90), at(0)), "the first ends earlier");
        assert!(!insert(&table, &subject("s", 1000, 90), at(0)), "it is known");
        assert!(!insert(&table, &subject("s", 999, 80), at(0)), "the second covers it");
        assert_eq!(table.len(), 2);
        assert!(table.revokes(&token("s", 5000), NOW + 9));
        assert!(!table.revokes(&token("s", 5000), NOW + 10), "the first has ended");
        assert!(table.revokes(&token("s", 1000), NOW + 89));
        let covering = |entry: &RevocationEntry| table.covering(entry);
        assert_eq!(
            covering(&subject("s", 999, 10)),
            [subject("s", ANY, 10), subject("s", 1000, 90)]
        );
        assert_eq!(covering(&subject("s", ANY, 11)), []);
        assert!(insert(&table, &subject("s", ANY, 90), at(0)), "it covers both");
        assert_eq!(table.len(), 1);
        assert!(table.revokes(&token("s", 5000), NOW + 89));
    }

    #[test]
    fn expired_entries_are_removed_and_the_others_stay() {
        let table = Table::new();
        for (sub, until) in [("a", 10), ("b", 20)] {
            assert!(insert(&table, &subject(sub, ANY, until), at(0)));
        }
        assert!(insert(&table, &subject("c", ANY, 10), at(0)));
        assert!(insert(&table, &subject("c", 500, 20), at(0)));
        table.remove_expired(at(9));
        assert_eq!(table.len(), 4);
        table.remove_expired(at(10));
        assert_eq!((table.len(), table.in_force(NOW + 10).len()), (2, 2));
        assert!(table.revokes(&token("c", 500), NOW + 10));
        table.remove_expired(at(20));
        assert_eq!((table.len(), table.in_force(NOW).len()), (0, 0));
        assert!(!insert(&table, &subject("a", ANY, 10), at(10)), "it has expired");
    }

    #[test]
    fn wall_clock_that_was_set_forward_removes_no_entry() {
        let table = Table::new();
        assert!(insert(&table, &subject("s", ANY, 1000), at(0)));
        table.remove_expired(Now { unix: NOW + 5000, ..at(0) });
        assert!(table.revokes(&token("s", 0), NOW), "the clock was set back again");
    }

    #[test]
    fn full_table_takes_entries_that_replace_others_and_none_besides() {
        let table = Table::new();
        let insert = |entry: RevocationEntry| table.insert(&entry, at(0), 2);
        assert_eq!(insert(subject("a", 1000, 50)), Insertion::New);
        assert_eq!(insert(subject("a", 2000, 40)), Insertion::New);
        assert_eq!(insert(subject("b", ANY, 50)), Insertion::Full);
        assert_eq!(insert(subject("a", 3000, 30)), Insertion::Full);
        assert_eq!(insert(subject("a", 1000, 49)), Insertion::Known);
        assert_eq!(insert(subject("a", 1500, 60)), Insertion::New, "it covers the first");
        assert_eq!(table.len(), 2);
        assert_eq!(insert(subject("a", ANY, 60)), Insertion::New, "it covers both");
        assert_eq!(table.len(), 1);
        assert_eq!(insert(subject("b", ANY, 50)), Insertion::New);
        assert_eq!(table.in_force(NOW).len(), 2);
    }
}
