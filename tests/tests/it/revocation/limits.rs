//! The size of the list, and the ends of entries.

use std::time::Duration;

use oauth2_actix::{
    ErrorKind, OAuth2,
    revocation::{DenyList, MemoryRevocationStore, Revocation, RevokeError, WhenUnavailable},
    testing::ManualClock,
};

use super::{ISSUER, builder, is_revoked, kind, sign, time, token_at};

const HOUR: Duration = Duration::from_secs(3600);

fn start(deny_list: DenyList) -> (OAuth2, ManualClock) {
    let clock = ManualClock::new();
    (builder().clock(clock.clone()).deny_list(deny_list).build().unwrap(), clock)
}

fn entries(oauth2: &OAuth2) -> usize {
    oauth2.deny_list_status().unwrap().entries
}

#[tokio::test]
async fn full_list_removes_no_entry_that_is_in_force_and_has_room_after_its_end() {
    let (oauth2, clock) = start(DenyList::new().max_entries(3));
    let of = |index: usize| Revocation::token_id(ISSUER, &format!("token-{index}"));
    let end = time(clock.unix_seconds() + 60);
    for index in 0..3 {
        oauth2.revoke(of(index).until(end)).await.unwrap();
    }
    let error = oauth2.revoke(of(3)).await.unwrap_err();
    assert!(matches!(error, RevokeError::Full { max_entries: 3 }), "{error}");
    let token = |index: usize| sign(&token_at(&clock, HOUR).claim("jti", format!("token-{index}")));
    for index in 0..3 {
        assert!(is_revoked(&oauth2, &token(index)).await, "{index}");
    }
    assert!(!is_revoked(&oauth2, &token(3)).await);
    clock.advance(Duration::from_secs(60));
    oauth2.revoke(of(3)).await.unwrap();
    assert!(is_revoked(&oauth2, &token(3)).await);
    assert!(!is_revoked(&oauth2, &token(0)).await);
    assert_eq!(entries(&oauth2), 1);
}

/// An entry of one token ends when the token has expired, leeway included.
#[tokio::test]
async fn entry_of_a_token_ends_with_the_token() {
    let clock = ManualClock::new();
    let policy = builder().clock(clock.clone()).leeway(Duration::from_secs(30));
    let oauth2 = policy.deny_list(DenyList::new()).build().unwrap();
    let token = sign(&token_at(&clock, Duration::from_secs(60)));
    let claims = oauth2.verify(&token).await.unwrap();
    oauth2.revoke(Revocation::token(&claims)).await.unwrap();
    clock.advance(Duration::from_secs(89));
    assert!(is_revoked(&oauth2, &token).await);
    clock.advance(Duration::from_secs(1));
    assert!(matches!(kind(&oauth2, &token).await, Some(ErrorKind::Expired { .. })));
    // The next addition removes what has ended.
    clock.advance(Duration::from_secs(60));
    oauth2.revoke(Revocation::subject(ISSUER, "bob")).await.unwrap();
    assert_eq!(entries(&oauth2), 1);
}

/// Another policy with the same list may have no maximum age.
#[tokio::test]
async fn entry_of_a_token_lasts_until_exp_whatever_the_maximum_age() {
    let (clock, deny_list) = (ManualClock::new(), DenyList::new());
    let policy = || builder().clock(clock.clone()).deny_list(deny_list.clone());
    let strict = policy().max_token_age(Duration::from_secs(60)).build().unwrap();
    let other = policy().build().unwrap();
    let token = sign(&token_at(&clock, HOUR));
    let claims = strict.verify(&token).await.unwrap();
    strict.revoke(Revocation::token(&claims)).await.unwrap();
    clock.advance(HOUR - Duration::from_secs(1));
    assert!(matches!(kind(&strict, &token).await, Some(ErrorKind::TokenTooOld { .. })));
    assert!(is_revoked(&other, &token).await);
}

#[tokio::test]
async fn entry_without_an_end_lasts_for_the_lifetime_of_tokens() {
    let (oauth2, clock) = start(DenyList::new().token_lifetime(HOUR));
    oauth2.revoke(Revocation::subject(ISSUER, "ann")).await.unwrap();
    let token = sign(&token_at(&clock, 2 * HOUR));
    clock.advance(HOUR - Duration::from_secs(1));
    assert!(is_revoked(&oauth2, &token).await);
    // It ends at most a sixteenth of the lifetime later.
    clock.advance(HOUR / 16 + Duration::from_secs(1));
    assert!(!is_revoked(&oauth2, &token).await);
}

#[tokio::test]
async fn token_that_outlives_the_entries_is_logged() {
    oauth2_actix_tests::log::keep();
    let lifetime = Duration::from_secs(1234);
    let (oauth2, clock) = start(DenyList::new().token_lifetime(lifetime));
    let logged = || oauth2_actix_tests::log::lines_with(&["token_lifetime_seconds=1234"]).len();
    assert_eq!(kind(&oauth2, &sign(&token_at(&clock, lifetime))).await, None);
    assert_eq!(logged(), 0);
    let longer = token_at(&clock, lifetime + Duration::from_secs(1));
    for jti in ["1", "2"] {
        assert_eq!(kind(&oauth2, &sign(&longer.clone().claim("jti", jti))).await, None);
    }
    assert_eq!(logged(), 1);
}

#[tokio::test]
async fn entry_whose_end_has_passed_has_no_effect() {
    let (oauth2, clock) = start(DenyList::new());
    let token = sign(&token_at(&clock, HOUR));
    let ended = Revocation::subject(ISSUER, "ann").until(time(clock.unix_seconds()));
    oauth2.revoke(ended).await.unwrap();
    assert!(!is_revoked(&oauth2, &token).await);
    assert_eq!(entries(&oauth2), 0);
}

/// A user who logs out again and again has one entry.
#[tokio::test]
async fn later_entry_replaces_those_that_it_covers() {
    let (oauth2, clock) = start(DenyList::new().max_entries(1));
    for _ in 0..10 {
        clock.advance(Duration::from_secs(60));
        let logout = Revocation::subject(ISSUER, "ann").issued_before(time(clock.unix_seconds()));
        oauth2.revoke(logout).await.unwrap();
    }
    assert_eq!(entries(&oauth2), 1);
}

#[test]
fn settings_out_of_range_are_errors() {
    let shared = || DenyList::with_store(MemoryRevocationStore::new());
    let last_list = |age| shared().when_unavailable(WhenUnavailable::UseLastList(age));
    let without_store = WhenUnavailable::UseLastList(HOUR);
    for (deny_list, field) in [
        (DenyList::new().token_lifetime(Duration::ZERO), "deny_list.token_lifetime_seconds"),
        (DenyList::new().max_entries(0), "deny_list.max_entries"),
        (last_list(Duration::from_secs(2)), "deny_list.use_last_list_seconds"),
        (last_list(25 * HOUR), "deny_list.use_last_list_seconds"),
        (DenyList::new().when_unavailable(without_store), "deny_list.use_last_list_seconds"),
    ] {
        let error = builder().deny_list(deny_list).build().map(drop).unwrap_err();
        assert_eq!(error.field(), field);
    }
    for deny_list in [last_list(Duration::from_secs(3)), last_list(24 * HOUR)] {
        builder().deny_list(deny_list).build().unwrap();
    }
    // A store that is set afterwards keeps the other settings.
    let list = DenyList::new().when_unavailable(without_store);
    builder().deny_list(list).revocation_store(MemoryRevocationStore::new()).build().unwrap();
}
