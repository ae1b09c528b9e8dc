//! The tokens that a logout token revokes.

use std::time::Duration;

use oauth2_actix::{
    Algorithm, Provider,
    logout::BackchannelLogout,
    revocation::{DenyList, Revocation},
};
use oauth2_actix_tests::{
    key_server::{Answer, KeyServer},
    keys::key,
    policy,
};
use serde_json::json;

use super::{Api, CLIENT, ISSUER, LOGOUT, OTHER, builder, logout, sign};

#[tokio::test]
async fn session_of_a_logout_token_ends_and_no_other() {
    let api = Api::start(builder());
    let ended = sign(&api.access_token("ann", "s-1"));
    let of_another_session = sign(&api.access_token("ann", "s-2"));
    let without_session = sign(&api.access_token("ann", "").without("sid"));
    for token in [&ended, &of_another_session, &without_session] {
        assert!(api.accepts(token).await);
    }
    let answer = api.post(&sign(&api.logout_token())).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(!api.accepts(&ended).await);
    assert!(api.accepts(&of_another_session).await);
    assert!(api.accepts(&without_session).await);
}

#[tokio::test]
async fn session_without_a_subject_ends() {
    let api = Api::start(builder());
    let ended = sign(&api.access_token("ann", "s-1"));
    assert_eq!(api.post(&sign(&api.logout_token().without("sub"))).await.status, 200);
    assert!(!api.accepts(&ended).await);
}

#[tokio::test]
async fn subject_without_a_session_ends_until_its_next_login() {
    let api = Api::start(builder());
    let ended = [sign(&api.access_token("ann", "s-1")), sign(&api.access_token("ann", "s-2"))];
    let of_another = sign(&api.access_token("bob", "s-1"));
    assert_eq!(api.post(&sign(&api.logout_token().without("sid"))).await.status, 200);
    for token in &ended {
        assert!(!api.accepts(token).await);
    }
    assert!(api.accepts(&of_another).await);
    api.clock.advance(Duration::from_secs(1));
    assert!(api.accepts(&sign(&api.access_token("ann", "s-3"))).await);
}

#[tokio::test]
async fn all_sessions_of_the_subject_end_if_the_setting_says_so() {
    let api = Api::start(builder().backchannel_logout(logout().end_all_sessions(true)));
    let without_session = sign(&api.access_token("ann", "").without("sid"));
    let of_another_session = sign(&api.access_token("ann", "s-2"));
    let of_another = sign(&api.access_token("bob", "s-2"));
    assert_eq!(api.post(&sign(&api.logout_token())).await.status, 200);
    assert!(!api.accepts(&without_session).await);
    assert!(!api.accepts(&of_another_session).await);
    assert!(api.accepts(&of_another).await);
}

#[tokio::test]
async fn logout_token_that_is_sent_again_does_not_end_a_later_login() {
    for session in [true, false] {
        let api = Api::start(builder());
        let logout = match session {
            true => sign(&api.logout_token()),
            false => sign(&api.logout_token().without("sid")),
        };
        assert_eq!(api.post(&logout).await.status, 200);
        api.clock.advance(Duration::from_secs(1));
        let later = sign(&api.access_token("ann", "s-2"));
        assert!(api.accepts(&later).await);
        assert_eq!(api.post(&logout).await.status, 200);
        assert!(api.accepts(&later).await, "session: {session}");
        assert_eq!(api.entries(), 1);
    }
}

/// A token that was issued for the session after the logout, such as by a request in progress.
#[tokio::test]
async fn session_that_ended_is_rejected_whenever_its_tokens_were_issued() {
    let api = Api::start(builder());
    assert_eq!(api.post(&sign(&api.logout_token())).await.status, 200);
    for seconds in [1, 60] {
        api.clock.advance(Duration::from_secs(seconds));
        assert!(!api.accepts(&sign(&api.access_token("ann", "s-1"))).await, "{seconds}");
    }
}

/// Servers of a provider whose clocks differ.
#[tokio::test]
async fn tokens_of_a_subject_are_rejected_with_the_leeway() {
    let leeway = Duration::from_secs(5);
    let api = Api::start(builder().leeway(leeway));
    assert_eq!(api.post(&sign(&api.logout_token().without("sid"))).await.status, 200);
    for (seconds, is_accepted) in [(5, false), (1, true)] {
        api.clock.advance(Duration::from_secs(seconds));
        let token = sign(&api.access_token("ann", "s-2"));
        assert_eq!(api.accepts(&token).await, is_accepted, "{seconds}");
    }
}

/// A provider whose tokens have one `iss` and whose logout tokens have another.
#[tokio::test]
async fn tokens_of_each_issuer_of_the_provider_are_rejected() {
    let second = "https://second.idp.test";
    let keys = key(Algorithm::ES256).jwk_set();
    let provider = Provider::new().issuer(ISSUER).issuer(second).audience("api").keys(keys);
    let api = Api::start(
        policy::builder().provider("idp", provider).deny_list(DenyList::new()).backchannel_logout(
            BackchannelLogout::new().client("idp", CLIENT).end_all_sessions(true),
        ),
    );
    assert_eq!(api.post(&sign(&api.logout_token())).await.status, 200);
    for issuer in [ISSUER, second] {
        for (sub, sid) in [("ann", "s-2"), ("bob", "s-1")] {
            let token = sign(&api.access_token(sub, sid).claim("iss", issuer));
            assert!(!api.accepts(&token).await, "{issuer} {sub} {sid}");
        }
    }
    assert_eq!(api.entries(), 4);
}

/// The same `jti` with other claims is the same message.
#[tokio::test]
async fn second_message_with_the_same_id_changes_nothing() {
    let api = Api::start(builder());
    let bobs = sign(&api.access_token("bob", "s-2"));
    assert_eq!(api.post(&sign(&api.logout_token())).await.status, 200);
    let repeated = api.logout_token().claim("sid", "s-2").claim("sub", "bob");
    assert_eq!(api.post(&sign(&repeated)).await.status, 200);
    assert!(api.accepts(&bobs).await);
    assert_eq!(api.post(&sign(&repeated.claim("jti", "logout-2"))).await.status, 200);
    assert!(!api.accepts(&bobs).await);
}

#[tokio::test]
async fn types_and_forms_that_providers_use_are_accepted() {
    for typ in [Some("logout+jwt"), Some("application/logout+jwt"), Some("JWT"), None] {
        let api = Api::start(builder());
        let token = sign(&api.access_token("ann", "s-1"));
        // Null removes it.
        let logout = sign(&api.logout_token().header("typ", typ));
        assert_eq!(api.post(&logout).await.status, 200, "{typ:?}");
        assert!(!api.accepts(&token).await, "{typ:?}");
    }
    let api = Api::start(builder());
    let audiences = api.logout_token().claim("aud", json!(["another-app", CLIENT]));
    assert_eq!(api.post(&sign(&audiences)).await.status, 200);
    let events = json!({LOGOUT: {}, "urn:example:other": {}});
    let events = api.logout_token().claim("jti", "logout-2").claim("events", events);
    let answer = api.form(&[("state", "1"), ("logout_token", &sign(&events))]).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn issuer_of_the_entry_is_the_issuer_of_the_message() {
    let api = Api::start(builder());
    let same_session = sign(&api.access_token("ann", "s-1"));
    let logout = api.logout_token().claim("iss", OTHER).claim("aud", "other-app");
    assert_eq!(api.post(&logout.sign(key(Algorithm::ES384))).await.status, 200);
    assert!(api.accepts(&same_session).await);
    assert_eq!(api.entries(), 1);
}

/// An entry holds for the life of the tokens, and the id for that of the message.
#[tokio::test]
async fn entry_lasts_for_the_lifetime_of_tokens() {
    let list = DenyList::new().token_lifetime(Duration::from_secs(600));
    let api = Api::start(builder().deny_list(list));
    let token = sign(&api.access_token("ann", "s-1"));
    assert_eq!(api.post(&sign(&api.logout_token())).await.status, 200);
    api.clock.advance(Duration::from_secs(599));
    assert!(!api.accepts(&token).await);
    api.clock.advance(Duration::from_secs(1 + 600 / 16));
    assert!(api.accepts(&token).await);
}

#[tokio::test]
async fn logout_waits_for_keys_and_gets_503_if_there_are_none() {
    let server = KeyServer::start(Answer::status(500)).unwrap();
    let provider = Provider::new().issuer(ISSUER).audience("api").keys(server.url());
    let api = Api::start(
        policy::builder()
            .provider("idp", provider)
            .deny_list(DenyList::new())
            .backchannel_logout(BackchannelLogout::new().client("idp", CLIENT)),
    );
    let logout = sign(&api.logout_token());
    let answer = api.post(&logout).await;
    assert_eq!((answer.status, answer.error().as_str()), (503, "temporarily_unavailable"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(answer.header("retry-after").is_some());
    assert_eq!(api.entries(), 0);
    server.answer(Answer::json(&key(Algorithm::ES256).jwk_set()));
    api.oauth2.refresh_keys().await.unwrap();
    assert_eq!(api.post(&logout).await.status, 200);
    assert_eq!(api.entries(), 1);
}

#[tokio::test]
async fn logout_gets_503_while_the_deny_list_is_full_and_200_after_a_retry() {
    let api = Api::start(builder().deny_list(DenyList::new().max_entries(1)));
    let end = std::time::UNIX_EPOCH + Duration::from_secs(api.clock.unix_seconds() + 60);
    api.oauth2.revoke(Revocation::subject(ISSUER, "bob").until(end)).await.unwrap();
    let token = sign(&api.access_token("ann", "s-1"));
    let logout = sign(&api.logout_token());
    assert_eq!(api.post(&logout).await.status, 503);
    assert!(api.accepts(&token).await);
    api.clock.advance(Duration::from_secs(61));
    assert_eq!(api.post(&logout).await.status, 200);
    assert!(!api.accepts(&token).await);
}
