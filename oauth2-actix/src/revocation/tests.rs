//! Tests of the list as a whole.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use futures_util::FutureExt;

use super::{
    entry::{Revocation, TokenFacts, TokenKeys},
    list::{Limits, Revocations},
};
#[cfg(feature = "testing")]
use super::{memory::MemoryRevocationStore, store::RevocationStore};
#[cfg(feature = "testing")]
use crate::error::ErrorKind;
use crate::util::clock::Clock;

fn list() -> Arc<Revocations> {
    let limits = Limits {
        token_lifetime: Duration::from_secs(3600),
        max_entries: 1_000_000,
        max_age: Duration::from_secs(3),
    };
    Revocations::start(limits, None, Clock::System).expect("a list")
}

fn add(list: &Revocations, jti: &str) {
    list.add(&Revocation::token_id("i", jti)).now_or_never().expect("no wait").expect("added");
}

fn token(jti: &str) -> TokenKeys {
    TokenKeys::of(&TokenFacts {
        issuer: "i",
        token_id: Some(jti),
        text: b"".as_slice().into(),
        subject: Some("s"),
        session: Some("x"),
        client: Some("c"),
        issued_at: Some(1.0),
    })
}

/// Threads check one token without a pause while it is revoked, and then the next: a check that begins after the
/// revocation never succeeds. No later entry corrects a check that has stored the wrong generation.
#[test]
fn check_that_begins_after_the_revocation_fails_with_many_threads() {
    const TOKENS: usize = 300;
    const THREADS: usize = 3;
    let list = list();
    let tokens: Vec<_> = (0..TOKENS)
        .map(|index| {
            let keys = token(&index.to_string());
            (keys, AtomicU64::new(0), AtomicBool::new(false), AtomicUsize::new(0))
        })
        .collect();
    let (current, passed, wrong) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let Some(of_turn) = tokens.get(current.load(Ordering::SeqCst)) else { return };
                    let (keys, checked, is_revoked, refused) = of_turn;
                    let was_revoked = is_revoked.load(Ordering::SeqCst);
                    match list.check(keys, checked) {
                        Ok(()) if was_revoked => {
                            wrong.fetch_add(1, Ordering::Relaxed);
                        }
                        Ok(()) => {
                            passed.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(_) => {
                            refused.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
        for (index, (_, _, is_revoked, refused)) in tokens.iter().enumerate() {
            add(&list, &index.to_string());
            is_revoked.store(true, Ordering::SeqCst);
            while refused.load(Ordering::Relaxed) < THREADS && wrong.load(Ordering::Relaxed) == 0 {
                thread::yield_now();
            }
            current.fetch_add(1, Ordering::SeqCst);
        }
    });
    assert_eq!(wrong.into_inner(), 0);
    assert!(passed.into_inner() > 0);
}

/// An entry that is loaded while the wall clock is ahead counts as expired, and is loaded again once the clock is right.
#[cfg(feature = "testing")]
#[test]
fn entry_that_was_loaded_by_a_wrong_clock_is_loaded_again() {
    use crate::util::manual_clock::ManualClock;

    let manual = ManualClock::new();
    let clock = Clock::Manual(manual.clone());
    let store = MemoryRevocationStore::new();
    let lifetime = Duration::from_secs(3600);
    let entry = Revocation::token_id("i", "t").resolve(clock.unix_time(), lifetime);
    store.add(entry).now_or_never().expect("no wait").expect("added");
    manual.set_ahead(2 * 3600);
    let limits =
        Limits { token_lifetime: lifetime, max_entries: 10, max_age: Duration::from_secs(3) };
    let list = Revocations::start(limits, Some(Arc::new(store)), clock).expect("a list");
    let until = |condition: &dyn Fn() -> bool| {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !condition() {
            assert!(Instant::now() < deadline);
            thread::yield_now();
        }
    };
    until(&|| list.was_loaded());
    assert_eq!(list.status().entries, 0, "it counts as expired");
    manual.set_ahead(0);
    manual.advance(Duration::from_millis(500));
    until(&|| list.check(&token("t"), &AtomicU64::new(0)).is_err());
    assert_eq!(list.check(&token("t"), &AtomicU64::new(0)), Err(ErrorKind::TokenRevoked));
}

#[test]
#[ignore = "it measures time and memory: it needs a release build on an idle machine"]
fn entry_takes_microseconds_and_200_bytes_in_a_list_of_100_000() {
    let resident = || {
        let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
        4_096 * statm.split(' ').nth(1).expect("pages").parse::<usize>().expect("a number")
    };
    let list = list();
    let before = resident();
    let start = Instant::now();
    (0..100_000).for_each(|index| add(&list, &format!("full-{index}")));
    let mean = start.elapsed() / 100_000;
    let bytes = (resident() - before) / 100_000;
    let mut longest = Duration::ZERO;
    for index in 0..100_000 {
        let start = Instant::now();
        add(&list, &format!("more-{index}"));
        longest = longest.max(start.elapsed());
    }
    let (keys, checked) = (token("other"), AtomicU64::new(0));
    let time_of = |check: &dyn Fn()| {
        let start = Instant::now();
        (0..100_000).for_each(|_| check());
        start.elapsed() / 100_000
    };
    let first = time_of(&|| {
        checked.store(0, Ordering::Relaxed);
        list.check(&keys, &checked).expect("not revoked");
    });
    let next = time_of(&|| list.check(&keys, &checked).expect("not revoked"));
    let made = time_of(&|| {
        std::hint::black_box(token("other"));
    });
    println!(
        "100,000 entries: {bytes} bytes each, {mean:?} for an addition, {longest:?} for the longest; a check {first:?} \
         after an addition, {next:?} otherwise; the keys of a token {made:?}"
    );
    assert!(mean < Duration::from_micros(5), "{mean:?}");
    assert!(first < Duration::from_micros(1), "{first:?}");
    assert!(bytes < 200, "{bytes}");
}
