//! Security event tokens that are pushed.

use std::time::Duration;

use oauth2_actix::{Algorithm, logout::SecurityEvents, testing::Token};
use oauth2_actix_tests::{
    client::{client, send},
    keys::key,
};
use serde_json::{Value, json};

use super::{Api, ISSUER, body, builder, sign};

const REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
const CREDENTIAL: &str = "https://schemas.openid.net/secevent/caep/event-type/credential-change";
const VERIFICATION: &str = "https://schemas.openid.net/secevent/ssf/event-type/verification";

/// A security event token about ann, issued now.
fn event(api: &Api, events: Value) -> Token {
    Token::new(ISSUER, "https://api.test")
        .header("typ", "secevent+jwt")
        .without("sub")
        .without("exp")
        .claim("iat", api.clock.unix_seconds())
        .claim("jti", "event-1")
        .claim("sub_id", ann())
        .claim("events", events)
}

fn ann() -> Value {
    json!({"format": "iss_sub", "iss": ISSUER, "sub": "ann"})
}

async fn assert_rejected(api: &Api, token: &str, code: &str, what: &str) {
    let answer = api.push(token).await;
    assert_eq!(answer.status, 400, "{what}: {}", answer.body);
    let expected = json!({"err": code, "description": "The message is not accepted."});
    assert_eq!(body(&answer), expected, "{what}");
    assert_eq!(answer.header("content-language"), Some("en"), "{what}");
    assert_eq!(api.entries(), 0, "{what}");
}

#[tokio::test]
async fn revoked_session_ends() {
    for subject in [
        json!({"format": "opaque", "id": "s-1"}),
        json!({"format": "complex", "session": {"format": "opaque", "id": "s-1"}, "user": ann()}),
    ] {
        let api = Api::start(builder());
        let ended = sign(&api.access_token("ann", "s-1"));
        let of_another_session = sign(&api.access_token("ann", "s-2"));
        let token = sign(&event(&api, json!({REVOKED: {}})).claim("sub_id", subject.clone()));
        let answer = api.push(&token).await;
        assert_eq!((answer.status, answer.body.as_str()), (202, ""), "{subject}");
        assert!(!api.accepts(&ended).await, "{subject}");
        assert!(api.accepts(&of_another_session).await, "{subject}");
    }
}

#[tokio::test]
async fn all_sessions_of_a_subject_end_until_its_next_login() {
    let change = json!({"credential_type": "password", "change_type": "update"});
    for events in [json!({REVOKED: {"event_timestamp": 1}}), json!({CREDENTIAL: change})] {
        let api = Api::start(builder());
        let ended = sign(&api.access_token("ann", "s-1"));
        let of_another = sign(&api.access_token("bob", "s-1"));
        let token = sign(&event(&api, events.clone()));
        assert_eq!(api.push(&token).await.status, 202, "{events}");
        assert!(!api.accepts(&ended).await, "{events}");
        assert!(api.accepts(&of_another).await, "{events}");
        api.clock.advance(Duration::from_secs(1));
        let later = sign(&api.access_token("ann", "s-2"));
        assert!(api.accepts(&later).await, "{events}");
        assert_eq!(api.push(&token).await.status, 202, "{events}");
        assert!(api.accepts(&later).await, "sent again: {events}");
    }
}

/// The transmitter reports an event two minutes later, and the user has logged in again in the meantime.
#[tokio::test]
async fn event_that_is_reported_late_does_not_end_a_later_login() {
    for of_the_event in [true, false] {
        let api = Api::start(builder());
        let occurred_at = api.clock.unix_seconds();
        let ended = sign(&api.access_token("ann", "s-1"));
        api.clock.advance(Duration::from_secs(60));
        let later = sign(&api.access_token("ann", "s-2"));
        api.clock.advance(Duration::from_secs(60));
        let token = match of_the_event {
            true => event(&api, json!({REVOKED: {"event_timestamp": occurred_at}})),
            false => event(&api, json!({REVOKED: {}})).claim("toe", occurred_at),
        };
        assert_eq!(api.push(&sign(&token)).await.status, 202);
        assert!(!api.accepts(&ended).await);
        assert!(api.accepts(&later).await, "event_timestamp: {of_the_event}");
    }
}

#[tokio::test]
async fn event_that_revokes_no_tokens_is_accepted_and_ignored() {
    let api = Api::start(builder());
    for events in [
        json!({VERIFICATION: {"state": "x"}}),
        json!({"urn:example:event": {}}),
        json!({CREDENTIAL: {"credential_type": "fido2-roaming", "change_type": "create"}}),
    ] {
        let token = event(&api, events.clone()).claim("jti", events.to_string());
        assert_eq!(api.push(&sign(&token)).await.status, 202, "{events}");
    }
    assert_eq!(api.entries(), 0);
}

#[tokio::test]
async fn event_that_is_wrong_is_rejected_with_its_code() {
    let api = Api::start(builder());
    let now = api.clock.unix_seconds();
    let good = || event(&api, json!({REVOKED: {}}));
    for (what, token, code) in [
        (
            "an unknown issuer",
            good()
                .claim("iss", "https://unknown.test")
                .claim("sub_id", json!({"format": "opaque", "id": "s-1"})),
            "invalid_issuer",
        ),
        ("another audience", good().claim("aud", "api"), "invalid_audience"),
        ("no audience", good().without("aud"), "invalid_audience"),
        ("no jti", good().without("jti"), "invalid_request"),
        ("no iat", good().without("iat"), "invalid_request"),
        ("the future", good().claim("iat", now + 61), "invalid_request"),
        ("no events", good().without("events"), "invalid_request"),
        ("no subject", good().without("sub_id"), "invalid_request"),
        (
            "a subject of another format",
            good().claim("sub_id", json!({"format": "email", "email": "ann@idp.test"})),
            "invalid_request",
        ),
        (
            "a subject of another issuer",
            good().claim("sub_id", json!({"format": "iss_sub", "iss": "https://x", "sub": "ann"})),
            "invalid_request",
        ),
        ("another type", good().header("typ", "JWT"), "invalid_request"),
        ("the type of logout tokens", good().header("typ", "logout+jwt"), "invalid_request"),
        ("the type of access tokens", good().header("typ", "at+jwt"), "invalid_request"),
    ] {
        assert_rejected(&api, &sign(&token), code, what).await;
    }
    let forged = good().sign(key(Algorithm::ES384));
    assert_rejected(&api, &forged, "invalid_key", "another provider's key").await;
    assert_rejected(&api, "", "invalid_request", "nothing").await;
    let logout = sign(&api.logout_token());
    assert_rejected(&api, &logout, "invalid_request", "a logout token").await;
    let answer = api.post(&sign(&good())).await;
    assert_eq!(answer.status, 400, "an event as a logout token");
    let request = client().post(api.server.url("/security-events"));
    let request = request.header("content-type", "application/jwt").body(sign(&good()));
    assert_eq!(send(request).await.status, 400);
    assert_eq!(api.push(&sign(&good())).await.status, 202, "the control");
}

#[tokio::test]
async fn header_of_the_transmitter_is_required_if_it_is_configured() {
    let secret = "Bearer 5f0c6b3f8d1e4a7d";
    let events = SecurityEvents::new().audience("idp", "https://api.test").authorization(secret);
    let api = Api::start(builder().security_events(events));
    let token = sign(&event(&api, json!({REVOKED: {}})));
    for sent in [None, Some("Bearer 5f0c6b3f8d1e4a7"), Some("5f0c6b3f8d1e4a7d"), Some("Bearer")] {
        let mut request = client().post(api.server.url("/security-events"));
        if let Some(sent) = sent {
            request = request.header("authorization", sent);
        }
        let request = request.header("content-type", "application/secevent+jwt");
        let answer = send(request.body(token.clone())).await;
        assert_eq!(
            (answer.status, body(&answer)["err"].as_str()),
            (400, Some("authentication_failed"))
        );
    }
    assert_eq!(api.entries(), 0);
    let request = client().post(api.server.url("/security-events"));
    let request = request.header("authorization", secret).body(token);
    let request = request.header("content-type", "application/secevent+jwt");
    assert_eq!(send(request).await.status, 202);
    assert_eq!(api.entries(), 1);
}
