//! The deny list that processes share through Redis. A process is a policy with a connection of its own.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use oauth2_actix::{
    Algorithm, ErrorKind, OAuth2, Provider,
    revocation::{
        DenyList, RedisRevocationStore, Revocation, RevocationEntry, RevocationStore, RevokeError,
        WhenUnavailable,
    },
    store::RedisServer,
    testing::Token,
};
use oauth2_actix_tests::{
    keys::key,
    log, policy,
    redis_server::Server,
    wait::{self, PATIENCE},
};

use crate::{cluster::Cluster, connect, patient, sentinel::Sentinel, settings};

const ISSUER: &str = "https://idp.test";

/// Starts a process, and waits until it has loaded the list.
pub(crate) async fn process(server: RedisServer, when: WhenUnavailable) -> OAuth2 {
    let oauth2 = starting(server, when).await;
    wait::until("the list is loaded", || oauth2.is_ready()).await;
    oauth2
}

async fn starting(server: RedisServer, when: WhenUnavailable) -> OAuth2 {
    let store = RedisRevocationStore::new(&server.connect().unwrap());
    let keys = key(Algorithm::ES256).jwk_set();
    policy::builder()
        .provider("idp", Provider::new().issuer(ISSUER).audience("api").keys(keys))
        .deny_list(DenyList::with_store(store).when_unavailable(when))
        .build()
        .unwrap()
}

fn token(sub: &str) -> String {
    Token::new(ISSUER, "api").claim("sub", sub).sign(key(Algorithm::ES256))
}

pub(crate) fn subject(sub: &str) -> Revocation {
    Revocation::subject(ISSUER, sub)
}

async fn kind(oauth2: &OAuth2, token: &str) -> Option<ErrorKind> {
    oauth2.verify(token).await.err().map(|error| error.kind().clone())
}

async fn is_revoked(oauth2: &OAuth2, token: &str) -> bool {
    kind(oauth2, token).await == Some(ErrorKind::TokenRevoked)
}

/// Waits until the process rejects the tokens of a subject.
pub(crate) async fn reaches(oauth2: &OAuth2, sub: &str) {
    let (deadline, token) = (Instant::now() + PATIENCE, token(sub));
    while !is_revoked(oauth2, &token).await {
        assert!(Instant::now() < deadline, "the entry does not arrive");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

pub(crate) const REFUSE: WhenUnavailable = WhenUnavailable::Refuse;
const FIVE_SECONDS: WhenUnavailable = WhenUnavailable::UseLastList(Duration::from_secs(5));
const A_DAY: WhenUnavailable = WhenUnavailable::UseLastList(Duration::from_secs(24 * 60 * 60));

/// Returns the median and the longest time in which 20 entries reach another process.
async fn arrivals(one: &OAuth2, other: &OAuth2) -> (Duration, Duration) {
    let mut times = Vec::new();
    for index in 0..20 {
        let sub = format!("user-{index}");
        let start = Instant::now();
        one.revoke(subject(&sub)).await.unwrap();
        assert!(is_revoked(one, &token(&sub)).await);
        reaches(other, &sub).await;
        times.push(start.elapsed());
        // At another moment between two loads.
        tokio::time::sleep(Duration::from_millis(37)).await;
    }
    times.sort();
    (times[10], times[19])
}

#[tokio::test]
async fn entry_reaches_the_other_process_within_a_second_by_a_notice() {
    let server = Server::start();
    let one = process(settings(&server), REFUSE).await;
    let other = process(settings(&server), REFUSE).await;
    server.wait_for("2", &["PUBSUB", "NUMSUB", "oauth2-actix:revoked:{0}:added"]);
    let (median, longest) = arrivals(&one, &other).await;
    println!("by notices: median {median:?}, longest {longest:?}");
    assert!(median < Duration::from_millis(250), "slower than by polling: {median:?}");
    assert!(longest < Duration::from_secs(1), "{longest:?}");
}

/// The user may neither publish nor subscribe.
#[tokio::test]
async fn entry_reaches_the_other_process_within_a_second_without_notices() {
    let server = Server::start();
    server.run(&[
        "ACL",
        "SETUSER",
        "app",
        "on",
        ">secret",
        "~*",
        "resetchannels",
        "+@all",
        "-subscribe",
    ]);
    let url = server.url().replace("redis://", "redis://app:secret@");
    let settings = || patient(RedisServer::new(url.clone()));
    let one = process(settings(), REFUSE).await;
    let other = process(settings(), REFUSE).await;
    let (median, longest) = arrivals(&one, &other).await;
    println!("by polling: median {median:?}, longest {longest:?}");
    assert!(longest < Duration::from_secs(1), "{longest:?}");
    assert!(server.run(&["PUBSUB", "CHANNELS"]).is_empty());
}

/// The rights that the documentation lists, and no others.
#[tokio::test]
async fn user_with_the_documented_rights_needs_no_others() {
    let server = Server::start();
    let commands = "+info +eval +multi +exec +get +set +incr +zadd +zrem +zscore +zcard +zrange +zrangebyscore +hget \
                    +hset +hdel +pexpireat +time +ping +publish +subscribe";
    let rights =
        ["ACL", "SETUSER", "app", "on", ">secret", "~oauth2-actix:*", "&oauth2-actix:*", "-@all"];
    server.run(
        &rights
            .into_iter()
            .chain(commands.split(' ').filter(|word| !word.is_empty()))
            .collect::<Vec<_>>(),
    );
    let url = server.url().replace("redis://", "redis://app:secret@");
    let settings = || patient(RedisServer::new(url.clone()));
    let one = process(settings(), REFUSE).await;
    let other = process(settings(), REFUSE).await;
    server.wait_for("2", &["PUBSUB", "NUMSUB", "oauth2-actix:revoked:{0}:added"]);
    one.revoke(subject("ann")).await.unwrap();
    reaches(&other, "ann").await;
    let refused = server.run(&["ACL", "LOG"]);
    assert!(refused.lines().all(|line| !line.contains("reason")), "{refused}");
}

/// No response of a paused server: both settings apply to the second.
#[tokio::test]
async fn tokens_are_rejected_for_a_paused_server_after_the_time_that_is_set_and_not_before() {
    for (when, bound) in [(REFUSE, 3), (FIVE_SECONDS, 5)] {
        let bound = Duration::from_secs(bound);
        let server = Server::start();
        let oauth2 = process(RedisServer::new(server.url()), when).await;
        oauth2.revoke(subject("revoked")).await.unwrap();
        let valid = token("valid");
        let paused = Instant::now();
        server.pause();
        let refused = loop {
            // The token was checked before this moment.
            let found = kind(&oauth2, &valid).await;
            let checked = paused.elapsed();
            match found {
                None => assert!(checked < bound + Duration::from_secs(1), "{when:?}: {checked:?}"),
                Some(ErrorKind::RevocationStatusUnavailable) => break checked,
                Some(other) => panic!("{other}"),
            }
            assert!(is_revoked(&oauth2, &token("revoked")).await);
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        println!("{when:?}: refused {refused:?} after Redis was paused");
        // The last load before the pause was at most half a second old, and a load takes some time.
        assert!(refused + Duration::from_secs(2) > bound, "{when:?}: {refused:?}");
        assert!(is_revoked(&oauth2, &token("revoked")).await);
        server.resume();
        wait::until("the list is used again", || oauth2.deny_list_status().unwrap().is_usable)
            .await;
        assert_eq!(kind(&oauth2, &valid).await, None);
    }
}

#[tokio::test]
async fn entry_is_in_force_here_while_the_server_is_paused_and_everywhere_afterwards() {
    let server = Server::start();
    let one = process(RedisServer::new(server.url()), A_DAY).await;
    let other = process(RedisServer::new(server.url()), A_DAY).await;
    server.pause();
    let start = Instant::now();
    let error = one.revoke(subject("ann")).await.unwrap_err();
    assert!(matches!(error, RevokeError::NotStored(_)), "{error}");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert!(is_revoked(&one, &token("ann")).await);
    assert!(!is_revoked(&other, &token("ann")).await);
    server.resume();
    reaches(&other, "ann").await;
}

/// Two processes that know two entries lose the server's data.
async fn lose(how: impl FnOnce(&mut Server)) {
    log::keep();
    let mut server = Server::start();
    let one = process(settings(&server), REFUSE).await;
    let other = process(settings(&server), REFUSE).await;
    for sub in ["ann", "bob"] {
        one.revoke(subject(sub)).await.unwrap();
        reaches(&other, sub).await;
    }
    let lost = || log::lines_with(&["ERROR", "has lost entries", "entries=2"]).len();
    let before = lost();
    how(&mut server);
    wait::until("the loss is logged", || lost() > before).await;
    server.wait_for("2", &["ZCARD", ENTRIES]);
    assert!(is_revoked(&one, &token("ann")).await);
    let third = process(settings(&server), REFUSE).await;
    for sub in ["ann", "bob"] {
        assert!(is_revoked(&third, &token(sub)).await);
    }
    // What is added afterwards arrives, although its number was used before.
    one.revoke(subject("cid")).await.unwrap();
    reaches(&other, "cid").await;
    reaches(&third, "cid").await;
}

const ENTRIES: &str = "oauth2-actix:revoked:{0}:entries";

#[tokio::test]
async fn entries_survive_a_server_that_was_restarted_without_its_data() {
    lose(|server| {
        server.kill();
        server.restart();
    })
    .await;
}

#[tokio::test]
async fn entries_survive_a_flush() {
    lose(|server| assert_eq!(server.run(&["FLUSHALL"]), "OK")).await;
}

#[tokio::test]
async fn server_that_was_restarted_with_its_data_has_lost_nothing() {
    log::keep();
    let mut server = Server::with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let one = process(settings(&server), A_DAY).await;
    for sub in ["ann", "bob", "cid", "dan", "eve", "fay", "gus"] {
        one.revoke(subject(sub)).await.unwrap();
    }
    server.kill();
    server.restart();
    server.wait_for("7", &["ZCARD", ENTRIES]);
    let other = process(settings(&server), REFUSE).await;
    assert!(is_revoked(&other, &token("gus")).await);
    assert_eq!(other.deny_list_status().unwrap().entries, 7);
    // The first process may not have connected again yet. Then it stores the entry when it has.
    let stored = one.revoke(subject("hal")).await;
    assert!(matches!(stored, Ok(()) | Err(RevokeError::NotStored(_))), "{stored:?}");
    reaches(&other, "hal").await;
    assert!(log::lines_with(&["has lost entries", "entries=7"]).is_empty());
}

/// The replica that takes over does not have the last entry.
#[tokio::test]
async fn entry_that_a_failover_has_lost_is_added_again() {
    let mut master = Server::start();
    let replica = Server::with(&["--replicaof", &format!("127.0.0.1 {}", master.port)]);
    replica.wait_for("master_link_status:up", &["INFO", "replication"]);
    let sentinel = Sentinel::start(master.port);
    sentinel.server.wait_for("slaves=1", &["INFO", "sentinel"]);
    let settings = || patient(RedisServer::sentinel([sentinel.server.url()], "mymaster"));
    let one = process(settings(), A_DAY).await;
    let other = process(settings(), A_DAY).await;
    one.revoke(subject("ann")).await.unwrap();
    reaches(&other, "ann").await;
    replica.wait_for("1", &["ZCARD", ENTRIES]);
    one.revoke(subject("bob")).await.unwrap();
    reaches(&other, "bob").await;
    replica.wait_for("2", &["ZCARD", ENTRIES]);
    replica.run(&["CONFIG", "SET", "replica-read-only", "no"]);
    replica.run(&["EVAL", "redis.call('ZPOPMAX', KEYS[1])", "1", ENTRIES]);
    replica.run(&["SET", "oauth2-actix:revoked:{0}:number", "1"]);
    master.kill();
    replica.wait_for("role:master", &["INFO", "replication"]);
    replica.wait_for("2", &["ZCARD", ENTRIES]);
    let third = process(settings(), REFUSE).await;
    assert!(is_revoked(&third, &token("bob")).await);
    // The numbers begin again at those that were used before.
    for sub in ["cid", "dan"] {
        third.revoke(subject(sub)).await.unwrap();
        reaches(&one, sub).await;
        reaches(&other, sub).await;
    }
}

/// A master that has lost its replicas may be one that another has replaced, and still answers.
#[tokio::test]
async fn list_of_a_master_without_the_required_replicas_is_not_fresh() {
    let master = Server::start();
    let oauth2 = process(settings(&master), REFUSE).await;
    let other = process(settings(&master), A_DAY).await;
    let valid = token("valid");
    assert_eq!(kind(&oauth2, &valid).await, None);
    master.run(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    let is_usable = |oauth2: &OAuth2| oauth2.deny_list_status().unwrap().is_usable;
    wait::until("the list is too old", || !is_usable(&oauth2)).await;
    assert_eq!(kind(&oauth2, &valid).await, Some(ErrorKind::RevocationStatusUnavailable));
    let error = other.revoke(subject("ann")).await.unwrap_err();
    assert!(matches!(error, RevokeError::NotStored(_)), "{error}");
    let replica = Server::with(&["--replicaof", &format!("127.0.0.1 {}", master.port)]);
    wait::until("the list is used again", || is_usable(&oauth2)).await;
    reaches(&oauth2, "ann").await;
    drop(replica);
}

#[tokio::test]
async fn processes_share_a_list_in_a_cluster() {
    let cluster = Cluster::start();
    let one = process(cluster.settings(), REFUSE).await;
    let other = process(cluster.settings(), REFUSE).await;
    let (median, longest) = arrivals(&one, &other).await;
    println!("in a Cluster: median {median:?}, longest {longest:?}");
    assert!(longest < Duration::from_secs(1), "{longest:?}");
}

#[tokio::test]
async fn process_without_a_server_gets_ready_when_there_is_one() {
    let mut server = Server::start();
    server.kill();
    let oauth2 = starting(RedisServer::new(server.url()), A_DAY).await;
    assert_eq!(kind(&oauth2, &token("ann")).await, Some(ErrorKind::RevocationStatusUnavailable));
    assert!(!oauth2.is_ready());
    server.restart();
    wait::until("the list is loaded", || oauth2.is_ready()).await;
    assert_eq!(kind(&oauth2, &token("ann")).await, None);
}

fn entry(number: u64, until: Duration) -> RevocationEntry {
    let mut bytes = [0; RevocationEntry::LENGTH];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    bytes[24..32].copy_from_slice(&[0xff; 8]);
    bytes[32..].copy_from_slice(&u64::try_from(until.as_millis()).unwrap().to_be_bytes());
    RevocationEntry::from_bytes(&bytes).unwrap()
}

/// More entries than are loaded at once.
#[tokio::test]
async fn long_list_is_loaded_whole_and_then_in_parts() {
    const ENTRIES_ADDED: u64 = 12_000;
    let server = Server::start();
    let store = RedisRevocationStore::new(&connect(settings(&server)).await);
    let used = |server: &Server| {
        let info = server.run(&["INFO", "memory"]);
        let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap();
        used.trim().parse::<u64>().unwrap()
    };
    let before = used(&server);
    let until = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + Duration::from_secs(600);
    for first in (0..ENTRIES_ADDED).step_by(100) {
        let added = (first..first + 100).map(|number| store.add(entry(number, until)));
        futures_util::future::try_join_all(added).await.unwrap();
    }
    let bytes = (used(&server) - before) / ENTRIES_ADDED;
    let start = Instant::now();
    let oauth2 = process(settings(&server), REFUSE).await;
    println!(
        "{ENTRIES_ADDED} entries: loaded in {:?}, {bytes} bytes of Redis each",
        start.elapsed()
    );
    assert!(bytes < 450, "{bytes}");
    assert_eq!(oauth2.deny_list_status().unwrap().entries as u64, ENTRIES_ADDED);
    // An entry that is added again is not added twice.
    store.add(entry(5, until)).await.unwrap();
    assert_eq!(server.run(&["ZCARD", ENTRIES]), ENTRIES_ADDED.to_string());
    store.add(entry(ENTRIES_ADDED, until)).await.unwrap();
    wait::until("the last entry", || {
        oauth2.deny_list_status().unwrap().entries as u64 == ENTRIES_ADDED + 1
    })
    .await;
}

/// The server loses a long list, and a process adds it again. Requests are answered in the meantime.
#[tokio::test]
async fn long_list_that_was_lost_is_added_again_while_requests_are_answered() {
    const LENGTH: usize = 12_000;
    let server = Server::start();
    let store = RedisRevocationStore::new(&connect(settings(&server)).await);
    let until = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + Duration::from_secs(600);
    for first in (0..LENGTH as u64).step_by(100) {
        let added = (first..first + 100).map(|number| store.add(entry(number, until)));
        futures_util::future::try_join_all(added).await.unwrap();
    }
    let oauth2 = process(settings(&server), REFUSE).await;
    let valid = token("valid");
    server.run(&["FLUSHALL"]);
    let (start, deadline) = (Instant::now(), Instant::now() + PATIENCE);
    let count = || server.run(&["ZCARD", ENTRIES]).parse::<usize>().unwrap();
    while count() < LENGTH {
        assert_eq!(kind(&oauth2, &valid).await, None, "after {:?}", start.elapsed());
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    println!("{LENGTH} entries: added again in {:?}", start.elapsed());
    wait::until("nothing is unsaved", || oauth2.deny_list_status().unwrap().unsaved == 0).await;
    assert_eq!(count(), LENGTH);
}

/// Entries leave Redis five minutes after their end: with the next entry, and the last ones by themselves.
#[tokio::test]
async fn entries_leave_redis_after_their_end() {
    let server = Server::start();
    let store = RedisRevocationStore::new(&connect(settings(&server)).await);
    let ago = |seconds| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        now - Duration::from_secs(seconds)
    };
    store.add(entry(1, ago(200))).await.unwrap();
    assert_eq!(server.run(&["ZCARD", ENTRIES]), "1");
    let long_ago = entry(2, ago(301));
    store.add(entry(3, ago(100))).await.unwrap();
    store.add(long_ago).await.unwrap();
    store.add(entry(4, ago(298))).await.unwrap();
    assert_eq!(server.run(&["ZCARD", ENTRIES]), "3", "the second was removed");
    let server = Server::start();
    let store = RedisRevocationStore::new(&connect(settings(&server)).await);
    store.add(entry(1, ago(298))).await.unwrap();
    assert_eq!(server.run(&["EXISTS", ENTRIES]), "1");
    server.wait_for("0", &["EXISTS", ENTRIES]);
    server.wait_for("0", &["EXISTS", "oauth2-actix:revoked:{0}:ends"]);
    server.wait_for("0", &["EXISTS", "oauth2-actix:revoked:{0}:hashes"]);
    // Its number is not used again.
    assert_eq!(server.run(&["GET", "oauth2-actix:revoked:{0}:number"]), "1");
}
