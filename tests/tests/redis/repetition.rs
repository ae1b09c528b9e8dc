//! The size of the deny list in Redis: repeated entries, and the maximum.

use std::time::{Duration, UNIX_EPOCH};

use oauth2_actix::revocation::{RedisRevocationStore, RevocationEntry, RevocationStore};
use oauth2_actix_tests::redis_server::Server;

use crate::{
    connect, now,
    revocation::{REFUSE, process, reaches, subject},
    settings,
};

/// An entry for one value, with these times in milliseconds.
fn entry(value: u8, issued_before: u64, until: u64) -> RevocationEntry {
    let mut bytes = [value; RevocationEntry::LENGTH];
    bytes[24..32].copy_from_slice(&issued_before.to_be_bytes());
    bytes[32..].copy_from_slice(&until.to_be_bytes());
    RevocationEntry::from_bytes(&bytes).unwrap()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap()
}

fn rows(server: &Server) -> [String; 3] {
    let key = |name| format!("oauth2-actix:revoked:{{0}}:{name}");
    [("ZCARD", "entries"), ("ZCARD", "ends"), ("HLEN", "hashes")]
        .map(|(command, name)| server.run(&[command, &key(name)]))
}

/// A user who is locked out again and again, each time until later.
#[tokio::test]
async fn repeated_revocation_of_one_subject_is_one_row() {
    let server = Server::start();
    let one = process(settings(&server), REFUSE).await;
    let other = process(settings(&server), REFUSE).await;
    let end = now() + Duration::from_secs(3600);
    for first in (0..2_000).step_by(50) {
        let revoked = (first..first + 50).map(|number| {
            let step = Duration::from_secs(number);
            let revocation = subject("ann").issued_before(UNIX_EPOCH + now() + step);
            one.revoke(revocation.until(UNIX_EPOCH + end + step))
        });
        futures_util::future::try_join_all(revoked).await.unwrap();
    }
    assert_eq!(rows(&server), ["1", "1", "1"]);
    // Without times, most repetitions are the same entry, and cost Redis nothing.
    one.revoke(subject("bob")).await.unwrap();
    let number = || server.run(&["GET", "oauth2-actix:revoked:{0}:number"]);
    let before = number().parse::<u64>().unwrap();
    for _ in 0..1_000 {
        one.revoke(subject("bob")).await.unwrap();
    }
    let added = number().parse::<u64>().unwrap() - before;
    assert!(added <= 1, "at most one step of the grid: {added}");
    assert_eq!(rows(&server), ["2", "2", "2"]);
    reaches(&other, "ann").await;
    reaches(&other, "bob").await;
}

/// Every pair of times, in an order without a pattern: Redis has the entries that no other one covers, and only these.
#[tokio::test]
async fn row_that_another_one_covers_is_removed_and_no_other() {
    const TIMES: [u64; 8] = [0, 0x7f, 0x80, 0xff, 0x100, 1 << 40, u64::MAX - 1, u64::MAX];
    const ENDS: [u64; 8] = [0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x1_0000];
    let server = Server::start();
    let store = RedisRevocationStore::new(&connect(settings(&server)).await);
    let base = millis(now()) + 3_600_000;
    let mut expected: Vec<(u64, u64)> = Vec::new();
    for index in (0..64).map(|step| (step * 37 + 11) % 64) {
        let (time, end) = (TIMES[index / 8], base + ENDS[index % 8]);
        store.add(entry(1, time, end)).await.unwrap();
        // Another value is not concerned.
        store.add(entry(2, 5, base)).await.unwrap();
        if !expected.iter().any(|known| known.0 >= time && known.1 >= end) {
            expected.retain(|known| known.0 > time || known.1 > end);
            expected.push((time, end));
        }
        let shown = format!("{:?}", store.load(None).await.unwrap());
        assert_eq!(shown.matches("issued_before").count(), expected.len() + 1, "{shown}");
        for (time, end) in &expected {
            assert!(shown.contains(&format!("issued_before: {time}, until: {end} ")), "{shown}");
        }
        assert_eq!(rows(&server)[1..], [(expected.len() + 1).to_string(), "2".to_owned()]);
    }
    // A row that is lost is added again, although its times are known.
    let last = entry(1, u64::MAX, base + 0x1_0000);
    store.add(last).await.unwrap();
    let remove = "redis.call('ZPOPMAX', KEYS[1])";
    server.run(&["EVAL", remove, "1", "oauth2-actix:revoked:{0}:entries"]);
    store.add(last).await.unwrap();
    assert_eq!(rows(&server), ["2", "2", "2"]);
}

#[tokio::test]
async fn entry_over_the_maximum_is_rejected_and_expired_ones_make_room() {
    let server = Server::start();
    let store = RedisRevocationStore::new(&connect(settings(&server)).await);
    store.set_max_entries(5);
    let end = millis(now()) + 3_600_000;
    let long_ago = millis(now()) - 301_000;
    store.add(entry(0, 1, long_ago)).await.unwrap();
    for value in 1..10 {
        store.add(entry(value, 1, end)).await.unwrap();
    }
    // The first one has left.
    store.add(entry(10, 1, end)).await.unwrap();
    assert_eq!(rows(&server), ["10", "10", "10"]);
    let error = store.add(entry(11, 1, end)).await.unwrap_err().to_string();
    assert!(error.contains("is full; expected at most 10 entries"), "{error}");
    assert_eq!(rows(&server), ["10", "10", "10"]);
    // One that replaces another needs no room, and one that is covered is there.
    store.add(entry(10, 2, end)).await.unwrap();
    store.add(entry(9, 0, end)).await.unwrap();
    assert_eq!(rows(&server), ["10", "10", "10"]);
}
