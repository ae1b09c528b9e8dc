//! What the store keeps, forgets and refuses.

use std::sync::Barrier;

use openssl::sha::sha256;

use super::*;

/// A proof of this key that is valid until `until`.
fn proof(key: usize, jti: usize, now: u64, until: u64) -> UsedProof {
    UsedProof {
        id: sha256(format!("{key} {jti}").as_bytes()),
        key: sha256(&key.to_be_bytes()),
        since: Duration::from_secs(now.saturating_sub(5)),
        now: Duration::from_secs(now),
        until: Duration::from_secs(until),
    }
}

/// Inserts through the trait, with one poll.
fn insert(store: &MemoryReplayStore, proof: UsedProof) -> &'static str {
    match store.insert_once(proof).now_or_never().expect("ready") {
        Insertion::Fresh => "fresh",
        Insertion::Seen => "seen",
        Insertion::Unavailable(reason) => {
            let reason = reason.to_string();
            assert!(reason.contains("; expected "), "{reason}");
            match () {
                () if reason.contains("is full") => "full",
                () if reason.contains("too many") => "too many",
                () if reason.contains("forgotten") => "forgotten",
                () => panic!("{reason}"),
            }
        }
    }
}

fn entries(store: &MemoryReplayStore) -> usize {
    store.shards.iter().map(|shard| lock(shard).ids.len()).sum()
}

/// Checks what the shards count against what they have.
fn check_counts(store: &MemoryReplayStore) {
    let mut bytes = 0;
    for shard in &store.shards {
        let shard = lock(shard);
        let queues = shard.expiring.values();
        let queued: usize = queues.clone().map(Vec::len).sum();
        let counted: u32 = shard.counts.values().sum();
        assert_eq!((queued, counted as usize), (shard.ids.len(), shard.ids.len()));
        assert!(shard.sizes.ids >= shard.ids.capacity());
        assert!(shard.sizes.counts >= shard.counts.capacity());
        let exact: usize = queues.map(|queue| queue_bytes(queue.capacity())).sum();
        assert_eq!(shard.sizes.queues, exact);
        bytes += shard.sizes.bytes();
    }
    assert_eq!(store.bytes.load(Ordering::Relaxed), bytes);
}

#[test]
fn proof_is_fresh_once() {
    let store = MemoryReplayStore::new();
    assert_eq!(insert(&store, proof(1, 1, 100, 160)), "fresh");
    for now in [100, 130, 160, 90] {
        assert_eq!(insert(&store, proof(1, 1, now, 160)), "seen", "{now}");
    }
    assert_eq!(insert(&store, proof(1, 2, 100, 160)), "fresh");
    assert_eq!(insert(&store, proof(2, 1, 100, 160)), "fresh");
    check_counts(&store);
}

#[test]
fn identity_alone_decides_whether_a_proof_was_used() {
    let store = MemoryReplayStore::new();
    assert_eq!(insert(&store, proof(1, 1, 100, 160)), "fresh");
    assert_eq!(insert(&store, proof(1, 1, 100, 200)), "seen");
    assert_eq!(insert(&store, proof(1, 1, 100, 100)), "seen");
}

#[test]
fn proof_is_remembered_up_to_the_last_moment_of_its_validity() {
    let store = MemoryReplayStore::new();
    let mut used = proof(1, 1, 100, 160);
    used.until += Duration::from_nanos(1);
    assert_eq!(insert(&store, used.clone()), "fresh");
    used.now = used.until;
    assert_eq!(insert(&store, used.clone()), "seen");
    used.now = Duration::new(161, 999_999_999);
    assert_eq!(insert(&store, used.clone()), "seen");
    used.now = Duration::from_secs(162);
    assert_eq!(insert(&store, used), "forgotten");
    assert_eq!(entries(&store), 0);
    check_counts(&store);
}

#[test]
fn old_proof_is_not_fresh_after_the_clock_was_set_back() {
    let store = MemoryReplayStore::new();
    assert_eq!(insert(&store, proof(1, 1, 100, 160)), "fresh");
    // Another proof of the key makes the shard forget the first one.
    assert_eq!(insert(&store, proof(1, 2, 200, 260)), "fresh");
    for (jti, until) in [(1, 160), (3, 160), (4, 100)] {
        assert_eq!(insert(&store, proof(1, jti, 100, until)), "forgotten");
    }
    assert_eq!(insert(&store, proof(1, 5, 100, 161)), "fresh");
    assert_eq!(insert(&store, proof(1, 2, 100, 260)), "seen");
}

#[test]
fn proof_after_its_time_is_not_fresh() {
    let store = MemoryReplayStore::new();
    assert_eq!(insert(&store, proof(1, 1, 161, 160)), "forgotten");
    let moments = [(0, 0, "forgotten"), (0, 1, "fresh"), (u64::MAX, u64::MAX, "fresh")];
    for (jti, (now, until, expected)) in moments.into_iter().enumerate() {
        assert_eq!(insert(&store, proof(1, jti + 2, now, until)), expected, "{now} {until}");
    }
    let mut last = proof(1, 9, 1, 1);
    (last.now, last.until) = (Duration::MAX, Duration::MAX);
    assert_eq!(insert(&store, last), "fresh");
}

#[test]
fn full_store_refuses_and_forgets_nothing() {
    for max in [0, 100, 10_000, 1_000_000] {
        let store = MemoryReplayStore::new().max_bytes(max);
        let mut fresh = Vec::new();
        for number in 0..40_000 {
            // A hundred keys, which expire in ten different seconds.
            let proof = proof(number % 100, number, 100, 160 + number as u64 % 10);
            match insert(&store, proof.clone()) {
                "fresh" => fresh.push(proof),
                other => assert_eq!(other, "full"),
            }
            assert!(store.bytes.load(Ordering::Relaxed) <= max);
        }
        check_counts(&store);
        assert_eq!(entries(&store), fresh.len());
        // Small stores waste more on the first table of each shard.
        assert!(fresh.len() >= max / 200, "{} in {max} bytes", fresh.len());
        for proof in &fresh {
            assert_eq!(insert(&store, proof.clone()), "seen");
        }
    }
}

#[test]
fn full_store_frees_expired_proofs_of_all_keys() {
    let store = MemoryReplayStore::new().max_bytes(300_000);
    let fill = |now: u64| {
        let insert = |key: &usize| insert(&store, proof(*key, now as usize, now, now + 60));
        (0..20_000).filter(|key| insert(key) == "fresh").count()
    };
    let first = fill(100);
    assert!((1_000..20_000).contains(&first), "{first}");
    // At most what little room each shard has left.
    assert!(fill(160) < first / 20);
    let second = fill(161);
    // How well the tables fill depends on their random seeds.
    assert!(second >= first * 3 / 4, "{second} after {first}");
    check_counts(&store);
}

#[test]
fn key_with_too_many_proofs_is_refused_and_the_others_are_not() {
    let store = MemoryReplayStore::new().max_per_key(300);
    for jti in 0..300 {
        assert_eq!(insert(&store, proof(1, jti, 100, 160 + jti as u64)), "fresh");
    }
    for jti in 300..310 {
        assert_eq!(insert(&store, proof(1, jti, 100, 160)), "too many");
    }
    assert_eq!(insert(&store, proof(1, 299, 100, 160)), "seen");
    for key in 2..300 {
        assert_eq!(insert(&store, proof(key, 1, 100, 160)), "fresh");
    }
    // Each second, one of the first proofs expires.
    assert_eq!(insert(&store, proof(1, 400, 161, 300)), "fresh");
    assert_eq!(insert(&store, proof(1, 401, 161, 300)), "too many");
    check_counts(&store);
    let none = MemoryReplayStore::new().max_per_key(0);
    assert_eq!(insert(&none, proof(1, 1, 100, 160)), "too many");
}

#[test]
fn memory_is_free_again_after_a_busy_time() {
    let store = MemoryReplayStore::new();
    for number in 0..50_000 {
        assert_eq!(insert(&store, proof(number % 7, number, 100, 160)), "fresh");
    }
    let busy = store.bytes.load(Ordering::Relaxed);
    let mut number = 50_000;
    // Each insertion forgets a few, so that no request waits long.
    while entries(&store) > 4_000 {
        assert_eq!(insert(&store, proof(number % 7, number, 200, 260)), "fresh");
        number += 1;
    }
    assert!(number < 55_000);
    check_counts(&store);
    let calm = store.bytes.load(Ordering::Relaxed);
    assert!(calm < busy / 4, "{calm} of {busy}");
}

#[test]
fn one_of_many_threads_gets_the_proof() {
    let store = MemoryReplayStore::new();
    let barrier = Barrier::new(4);
    let run = || {
        barrier.wait();
        let fresh = |jti: &usize| insert(&store, proof(jti % 3, *jti, 100, 160)) == "fresh";
        (0..5_000).filter(fresh).count()
    };
    let total: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
        threads.into_iter().map(|thread| thread.join().expect("ends")).sum()
    });
    assert_eq!(total, 5_000);
    check_counts(&store);
}

#[test]
fn debug_output_shows_limits_and_no_proof() {
    let store = MemoryReplayStore::new().max_bytes(1_000).max_per_key(2);
    let shown = format!("{store:?}");
    assert_eq!(shown, "MemoryReplayStore { bytes: 0, max_bytes: 1000, max_per_key: 2, .. }");
}
