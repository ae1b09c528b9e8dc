//! Lists that several processes share, and stores that cannot be reached.

use std::{sync::atomic::Ordering, time::Duration};

use oauth2_actix::{
    ErrorKind, OAuth2,
    revocation::{
        DenyList, MemoryRevocationStore, Revocation, RevocationStore, RevokeError, WhenUnavailable,
    },
    testing::ManualClock,
};
use oauth2_actix_tests::{api::Api, client, log, wait::until};

use super::{ISSUER, Shared, builder, is_revoked, kind, sign, token, token_at};

const HOUR: Duration = Duration::from_secs(3600);

/// Two policies with lists of their own, as in two processes, and one store.
struct Fleet {
    store: Shared,
    clock: ManualClock,
    processes: [OAuth2; 2],
}

impl Fleet {
    async fn start(when: WhenUnavailable) -> Self {
        let (store, clock) = (Shared::default(), ManualClock::new());
        let processes = [(); 2].map(|()| {
            let deny_list = DenyList::with_store(store.clone()).when_unavailable(when);
            builder().clock(clock.clone()).deny_list(deny_list).build().unwrap()
        });
        for process in &processes {
            until("the list is loaded", || process.is_ready()).await;
        }
        Self { store, clock, processes }
    }

    fn token(&self) -> String {
        sign(&token_at(&self.clock, HOUR))
    }

    /// Waits until each process has tried to load the list `count` times more.
    async fn loads(&self, count: usize) {
        let before = self.store.loads();
        for _ in 0..count {
            let sofar = self.store.loads();
            self.clock.advance(Duration::from_millis(500));
            until("both load the list", || self.store.loads() >= sofar + 2).await;
        }
        assert!(self.store.loads() >= before + 2 * count);
    }
}

async fn reaches(process: &OAuth2, token: &str) {
    let deadline = std::time::Instant::now() + oauth2_actix_tests::wait::PATIENCE;
    while !is_revoked(process, token).await {
        assert!(std::time::Instant::now() < deadline, "the entry does not arrive");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn entry_reaches_the_other_process_by_a_notice() {
    let fleet = Fleet::start(WhenUnavailable::Refuse).await;
    let token = fleet.token();
    let [one, other] = &fleet.processes;
    assert!(!is_revoked(other, &token).await);
    one.revoke(Revocation::subject(ISSUER, "ann")).await.unwrap();
    assert!(is_revoked(one, &token).await);
    reaches(other, &token).await;
}

#[tokio::test]
async fn entry_whose_notice_is_lost_reaches_the_other_process_by_the_next_load() {
    let fleet = Fleet::start(WhenUnavailable::Refuse).await;
    let token = fleet.token();
    let [one, other] = &fleet.processes;
    fleet.store.state.is_silent.store(true, Ordering::SeqCst);
    // Those that listen still hear of this one.
    one.revoke(Revocation::subject(ISSUER, "bob")).await.unwrap();
    fleet.loads(1).await;
    one.revoke(Revocation::subject(ISSUER, "ann")).await.unwrap();
    assert!(!is_revoked(other, &token).await, "nothing tells it");
    fleet.clock.advance(Duration::from_millis(500));
    reaches(other, &token).await;
}

#[tokio::test]
async fn process_that_starts_later_loads_all_entries_first() {
    let store = MemoryRevocationStore::new();
    let start = || builder().deny_list(DenyList::with_store(store.clone())).build().unwrap();
    let first = start();
    until("the list is loaded", || first.is_ready()).await;
    first.revoke(Revocation::subject(ISSUER, "ann")).await.unwrap();
    let second = start();
    until("the list is loaded", || second.is_ready()).await;
    assert!(is_revoked(&second, &sign(&token())).await);
    assert_eq!(second.deny_list_status().unwrap().entries, 1);
}

#[tokio::test]
async fn requests_get_503_until_the_list_was_loaded() {
    let store = Shared::default();
    store.set_down(true);
    let last_list = WhenUnavailable::UseLastList(HOUR);
    let deny_list = DenyList::with_store(store.clone()).when_unavailable(last_list);
    let policy = builder().public_paths(["/public", "/optional"]).deny_list(deny_list);
    let oauth2 = policy.build().unwrap();
    let api = Api::start(oauth2.clone());
    let token = sign(&token());
    until("a load has failed", || store.loads() > 0).await;
    let get = |path: &str| {
        let (url, token) = (api.url(path), token.clone());
        async move { client::get(&url, Some(&token)).await }
    };
    let answer = get("/me").await;
    assert_eq!((answer.status, answer.error().as_str()), (503, "temporarily_unavailable"));
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(answer.challenge(), "");
    assert_eq!(get("/optional").await.body, "anonymous");
    assert_eq!(get("/public").await.status, 200);
    assert!(!oauth2.is_ready());
    let status = oauth2.deny_list_status().unwrap();
    assert!(!status.is_usable && !status.is_reachable && status.age_seconds.is_none());
    store.set_down(false);
    until("the list is loaded", || oauth2.is_ready()).await;
    assert_eq!(get("/me").await.status, 200);
    assert_eq!(api.private_calls(), 1);
}

/// With each setting: the second until which the last list is used, and what a request gets then.
#[tokio::test]
async fn old_list_is_used_for_the_time_that_is_set_and_not_longer() {
    for (when, seconds) in [
        (WhenUnavailable::Refuse, 3),
        (WhenUnavailable::UseLastList(Duration::from_secs(3)), 3),
        (WhenUnavailable::UseLastList(Duration::from_secs(300)), 300),
    ] {
        let fleet = Fleet::start(when).await;
        let [one, other] = &fleet.processes;
        let (token, bobs) =
            (fleet.token(), sign(&token_at(&fleet.clock, HOUR).claim("sub", "bob")));
        one.revoke(Revocation::subject(ISSUER, "bob")).await.unwrap();
        reaches(other, &bobs).await;
        fleet.loads(1).await;
        until("the list is new", || other.deny_list_status().unwrap().age_seconds == Some(0.0))
            .await;
        fleet.store.set_down(true);
        fleet.clock.advance(Duration::from_millis(seconds * 1000 - 1));
        assert_eq!(kind(other, &token).await, None, "{when:?}");
        assert!(is_revoked(other, &bobs).await, "{when:?}");
        fleet.clock.advance(Duration::from_millis(1));
        assert_eq!(
            kind(other, &token).await,
            Some(ErrorKind::RevocationStatusUnavailable),
            "{when:?}"
        );
        // What is known to be revoked is no doubt.
        assert!(is_revoked(other, &bobs).await, "{when:?}");
        fleet.store.set_down(false);
        fleet.loads(1).await;
        until("the list is used again", || other.deny_list_status().unwrap().is_usable).await;
        assert_eq!(kind(other, &token).await, None, "{when:?}");
    }
}

#[tokio::test]
async fn entry_that_could_not_be_stored_is_in_force_here_and_is_stored_later() {
    let fleet = Fleet::start(WhenUnavailable::UseLastList(HOUR)).await;
    let token = fleet.token();
    let [one, other] = &fleet.processes;
    fleet.store.set_down(true);
    let error = one.revoke(Revocation::subject(ISSUER, "ann")).await.unwrap_err();
    assert!(matches!(error, RevokeError::NotStored(_)), "{error}");
    assert!(is_revoked(one, &token).await);
    assert!(!is_revoked(other, &token).await);
    assert_eq!(one.deny_list_status().unwrap().unsaved, 1);
    fleet.store.set_down(false);
    fleet.loads(1).await;
    reaches(other, &token).await;
    until("nothing is unsaved", || one.deny_list_status().unwrap().unsaved == 0).await;
}

/// A store that never answers, and a caller that does not wait for it.
#[tokio::test]
async fn entry_of_a_caller_that_gives_up_is_stored_later() {
    let fleet = Fleet::start(WhenUnavailable::UseLastList(HOUR)).await;
    let token = fleet.token();
    let [one, other] = &fleet.processes;
    fleet.store.set_down(true);
    fleet.store.state.hangs.store(true, Ordering::SeqCst);
    let mut revocation = Box::pin(one.revoke(Revocation::subject(ISSUER, "ann")));
    assert!(futures_util::poll!(&mut revocation).is_pending());
    assert!(is_revoked(one, &token).await, "before the store has answered");
    drop(revocation);
    fleet.store.state.hangs.store(false, Ordering::SeqCst);
    fleet.store.set_down(false);
    fleet.loads(1).await;
    reaches(other, &token).await;
}

/// The server behind the store was replaced by an empty one.
#[tokio::test]
async fn entries_that_the_store_has_lost_are_added_again() {
    log::keep();
    let fleet = Fleet::start(WhenUnavailable::Refuse).await;
    let token = fleet.token();
    let [one, other] = &fleet.processes;
    for sub in ["ann", "bob", "cid"] {
        one.revoke(Revocation::subject(ISSUER, sub)).await.unwrap();
    }
    reaches(other, &token).await;
    let lost = || log::lines_with(&["has lost entries", "entries=3"]).len();
    let before = lost();
    fleet.store.lose_everything();
    assert!(is_revoked(one, &token).await);
    fleet.loads(2).await;
    let stored = fleet.store.inner().load(None).await.unwrap();
    let text = format!("{stored:?}");
    assert_eq!(text.matches("RevocationEntry").count() % 3, 0, "{text}");
    assert!(text.contains("RevocationEntry"), "{text}");
    assert!(lost() > before, "an error is logged");
    // Once for the loss, and not with each load.
    let after = lost();
    fleet.loads(3).await;
    assert_eq!(lost(), after);
}

#[tokio::test]
async fn store_with_more_than_twice_the_entries_makes_the_list_unusable() {
    let store = MemoryRevocationStore::new();
    let large = builder().deny_list(DenyList::with_store(store.clone())).build().unwrap();
    until("the list is loaded", || large.is_ready()).await;
    for index in 0..5 {
        let revocation = Revocation::token_id(ISSUER, &format!("{index}"));
        large.revoke(revocation).await.unwrap();
    }
    for (max_entries, is_usable) in [(2, false), (3, true)] {
        log::keep();
        let deny_list = DenyList::with_store(store.clone()).max_entries(max_entries);
        let small = builder().deny_list(deny_list).build().unwrap();
        if is_usable {
            until("the list is loaded", || small.is_ready()).await;
        } else {
            until("it is logged", || {
                !log::lines_with(&["cannot be loaded", "expected at most 4"]).is_empty()
            })
            .await;
            assert_eq!(
                kind(&small, &sign(&token())).await,
                Some(ErrorKind::RevocationStatusUnavailable)
            );
        }
    }
}
