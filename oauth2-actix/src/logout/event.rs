//! The content of a security event token: the events of CAEP 1.0 that revoke tokens, and their subjects (RFC 8417, RFC
//! 9493).

use std::time::Duration;

use serde_json::{Map, Value};

use super::message::{Message, Problem};
use crate::{jose::jws::MessageType, json::object::Object, token::validation::EVENT_TYPES};

/// The type of security event tokens (RFC 8417 §2.3).
pub(super) const TYPE: MessageType = MessageType { names: &["secevent+jwt"], is_optional: false };

/// A security event token whose claims are valid.
#[derive(Debug, PartialEq)]
pub(super) struct SecurityEvent<'a> {
    pub(super) message: Message<'a>,
    /// Whose tokens are revoked. None if no event revokes any: other events are acknowledged with 202 and ignored.
    pub(super) ends: Option<Subject<'a>>,
    /// When the events occurred: the `iat`, or an earlier time that the message states.
    pub(super) occurred_at: Duration,
}

/// Whose tokens are revoked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Subject<'a> {
    /// Those of one session.
    Session(&'a str),
    /// Those of one subject of the issuer.
    User(&'a str),
}

impl<'a> SecurityEvent<'a> {
    /// Checks the claims, except `aud`. There is no `exp` (RFC 8417 §2.2): a message may be sent hours after its event, and
    /// revokes only tokens of a user that were issued before the event.
    pub(super) fn read(
        claims: &'a Object,
        now: Duration,
        leeway: Duration,
    ) -> Result<Self, Problem> {
        let message = Message::read(claims, now, leeway, now.saturating_add(REMEMBERED))?;
        let events = claims.get("events").and_then(Value::as_object);
        let events = events.filter(|events| !events.is_empty());
        let iat = message.issued_at;
        let toe = time_of_event(claims.get("toe"), iat).unwrap_or(iat);
        let (mut is_revoked, mut is_credential_gone, mut occurred_at) = (false, false, None);
        for (name, event) in events.ok_or("`events` is empty or not an object")? {
            let Value::Object(event) = event else {
                return Err("an event is not an object".into());
            };
            let Some(name) = name.strip_prefix(EVENT_TYPES) else { continue };
            match name {
                SESSION_REVOKED => is_revoked = true,
                CREDENTIAL_CHANGE if credential_is_gone(event)? => is_credential_gone = true,
                _ => continue,
            }
            let time = time_of_event(event.get("event_timestamp"), iat).unwrap_or(toe);
            // Of several events, the latest: it revokes the most.
            occurred_at = occurred_at.max(Some(time));
        }
        let occurred_at = occurred_at.unwrap_or(iat);
        if !is_revoked && !is_credential_gone {
            return Ok(Self { message, ends: None, occurred_at });
        }
        let subject = claims.get("sub_id").and_then(Value::as_object);
        let subject =
            subject.ok_or("`sub_id` is not an object; expected the subject of the event")?;
        // The credential is the user's, whose other sessions may be an attacker's.
        let ends = match is_credential_gone {
            true => Subject::user_of(subject, message.issuer),
            false => Subject::session_of(subject, message.issuer),
        };
        Ok(Self { message, ends: Some(ends?), occurred_at })
    }
}

/// Reads the time of an event: `event_timestamp` of CAEP 1.0 §2, or `toe` (RFC 8417 §2.2), rounded up to the second. None if
/// it is later than the message or long before it, as with milliseconds or a wrong clock: then the `iat` is used, which
/// revokes more.
fn time_of_event(seconds: Option<&Value>, issued_at: Duration) -> Option<Duration> {
    let time = Duration::try_from_secs_f64(seconds?.as_f64()?.ceil()).ok()?;
    let latest = Duration::from_secs(issued_at.as_secs_f64().ceil() as u64);
    let is_plausible = time <= latest && time.saturating_add(MAX_DELAY) >= issued_at;
    is_plausible.then(|| time.min(issued_at))
}

/// Returns whether a change removes or replaces a credential. An additional one does neither.
fn credential_is_gone(event: &Map<String, Value>) -> Result<bool, Problem> {
    match event.get("change_type").and_then(Value::as_str) {
        Some("revoke" | "update" | "delete") => Ok(true),
        Some("create") => Ok(false),
        _ => Err("`change_type` is wrong; expected one of CAEP 1.0".into()),
    }
}

impl<'a> Subject<'a> {
    /// Reads whose session has ended (RFC 9493 §3.2, and `complex` of the Shared Signals Framework): `iss_sub` is a subject
    /// with all sessions, `opaque` a session, and `complex` has a `session`, a `user` or both. Other members of `complex`
    /// narrow the subject. They are ignored, which revokes more tokens.
    fn session_of(subject: &'a Map<String, Value>, issuer: &str) -> Result<Self, Problem> {
        match format(subject) {
            Some("opaque") => Ok(Self::Session(member(subject, "id")?)),
            Some("complex") => match subject.get("session") {
                Some(Value::Object(session)) if format(session) == Some("opaque") => {
                    Ok(Self::Session(member(session, "id")?))
                }
                Some(_) => {
                    Err("`sub_id` has a session of an unsupported format; expected opaque".into())
                }
                None => Self::user_of(subject, issuer),
            },
            _ => user(subject, issuer),
        }
    }

    /// Reads whose credential is gone: a user, or the `user` of `complex`.
    fn user_of(subject: &'a Map<String, Value>, issuer: &str) -> Result<Self, Problem> {
        match (format(subject), subject.get("user")) {
            (Some("complex"), Some(Value::Object(found))) => user(found, issuer),
            (Some("complex"), _) => {
                Err("`sub_id` has neither a session nor a user; expected one of them".into())
            }
            _ => user(subject, issuer),
        }
    }
}

/// Reads a user: `iss_sub` with the issuer of the message, which has no authority over subjects of others, or `opaque`.
fn user<'a>(subject: &'a Map<String, Value>, issuer: &str) -> Result<Subject<'a>, Problem> {
    match format(subject) {
        Some("iss_sub") if member(subject, "iss")? == issuer => {
            Ok(Subject::User(member(subject, "sub")?))
        }
        Some("iss_sub") => {
            Err("`sub_id` is a subject of another issuer; expected the `iss` of the message".into())
        }
        Some("opaque") => Ok(Subject::User(member(subject, "id")?)),
        _ => Err("`sub_id` has an unsupported format; expected iss_sub, opaque or complex".into()),
    }
}

fn format(subject: &Map<String, Value>) -> Option<&str> {
    subject.get("format").and_then(Value::as_str)
}

fn member<'a>(subject: &'a Map<String, Value>, name: &str) -> Result<&'a str, Problem> {
    let text = subject.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    text.ok_or_else(|| format!("`{name}` of `sub_id` is missing, empty or not a string").into())
}

/// The events of CAEP 1.0 §3.1 and §3.3, without the part that all events of the OpenID Foundation have in common.
const SESSION_REVOKED: &str = "caep/event-type/session-revoked";
const CREDENTIAL_CHANGE: &str = "caep/event-type/credential-change";

/// How long before its message an event may have occurred: 7 days.
const MAX_DELAY: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How long the id of a message is stored.
const REMEMBERED: Duration = Duration::from_secs(60 * 60);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Duration = Duration::from_secs(1_800_000_000);
    const REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
    const CREDENTIAL: &str =
        "https://schemas.openid.net/secevent/caep/event-type/credential-change";

    fn members(subject: &Value, events: &Value) -> Value {
        json!({
            "iss": "https://idp.test", "aud": "api", "iat": 1_800_000_000, "jti": "id-1",
            "sub_id": subject, "events": events,
        })
    }

    fn claims(subject: &Value, events: &Value) -> Object {
        Object::of(members(subject, events))
    }

    fn ends(subject: Value, events: Value) -> Result<Option<String>, Problem> {
        let claims = claims(&subject, &events);
        let event = SecurityEvent::read(&claims, NOW, Duration::ZERO)?;
        Ok(event.ends.map(|ends| format!("{ends:?}")))
    }

    #[test]
    fn subject_of_each_known_format_is_read() {
        let user = json!({"format": "iss_sub", "iss": "https://idp.test", "sub": "ann"});
        let session = json!({"format": "opaque", "id": "s-1"});
        let device = json!({"format": "opaque", "id": "laptop"});
        for (subject, expected) in [
            (user.clone(), "User(\"ann\")"),
            (session.clone(), "Session(\"s-1\")"),
            (json!({"format": "complex", "session": session, "user": user}), "Session(\"s-1\")"),
            (json!({"format": "complex", "user": user, "device": device}), "User(\"ann\")"),
            (
                json!({"format": "complex", "user": {"format": "opaque", "id": "bob"}}),
                "User(\"bob\")",
            ),
        ] {
            let ends = ends(subject.clone(), json!({REVOKED: {}}));
            assert_eq!(ends, Ok(Some(expected.to_owned())), "{subject}");
        }
    }

    #[test]
    fn subject_of_another_format_or_issuer_is_rejected() {
        let user = json!({"format": "iss_sub", "iss": "https://idp.test", "sub": "ann"});
        for subject in [
            json!(null),
            json!("ann"),
            json!({}),
            json!({"format": 7}),
            json!({"format": "email", "email": "ann@idp.test"}),
            json!({"format": "aliases", "identifiers": [user]}),
            json!({"format": "iss_sub", "iss": "https://other.test", "sub": "ann"}),
            json!({"format": "iss_sub", "iss": "https://idp.test"}),
            json!({"format": "iss_sub", "sub": "ann"}),
            json!({"format": "iss_sub", "iss": "https://idp.test", "sub": ""}),
            json!({"format": "iss_sub", "iss": "https://idp.test", "sub": 7}),
            json!({"format": "opaque"}),
            json!({"format": "opaque", "id": ["s-1"]}),
            json!({"format": "complex"}),
            json!({"format": "complex", "tenant": {"format": "opaque", "id": "t"}}),
            json!({"format": "complex", "user": {"format": "email", "email": "ann@idp.test"}}),
            // The session is what ended, and its format is not known.
            json!({"format": "complex", "session": {"format": "uri", "uri": "s:1"}, "user": user}),
        ] {
            assert!(ends(subject.clone(), json!({REVOKED: {}})).is_err(), "{subject}");
        }
    }

    #[test]
    fn credential_that_is_new_ends_nothing_and_one_that_is_gone_does() {
        let user = json!({"format": "iss_sub", "iss": "https://idp.test", "sub": "ann"});
        for (change, ends_tokens) in
            [("revoke", true), ("update", true), ("delete", true), ("create", false)]
        {
            let events =
                json!({CREDENTIAL: {"credential_type": "password", "change_type": change}});
            let found = ends(user.clone(), events).unwrap();
            assert_eq!(found.is_some(), ends_tokens, "{change}");
        }
        let password = json!({CREDENTIAL: {"change_type": "update"}});
        let opaque = json!({"format": "opaque", "id": "ann"});
        let session = json!({"format": "opaque", "id": "s-1"});
        for (subject, expected) in [
            (opaque.clone(), Ok(Some("User(\"ann\")".to_owned()))),
            (
                json!({"format": "complex", "session": session, "user": opaque}),
                Ok(Some("User(\"ann\")".to_owned())),
            ),
        ] {
            assert_eq!(ends(subject.clone(), password.clone()), expected, "{subject}");
        }
        assert!(ends(json!({"format": "complex", "session": session}), password).is_err());
        for event in [json!({}), json!({"change_type": "renew"}), json!({"change_type": 7})] {
            assert!(ends(user.clone(), json!({CREDENTIAL: event})).is_err(), "{event}");
        }
    }

    #[test]
    fn time_of_the_event_is_used_if_it_is_plausible() {
        const IAT: u64 = 1_800_000_000;
        let read = |toe: Value, events: Value| {
            let mut members = members(&json!({"format": "opaque", "id": "s-1"}), &events);
            members["toe"] = toe;
            SecurityEvent::read(&Object::of(members), NOW, Duration::ZERO)
                .unwrap()
                .occurred_at
                .as_secs()
        };
        let of = |time: Value| json!({REVOKED: {"event_timestamp": time}});
        let week = 7 * 24 * 60 * 60;
        for (time, expected) in [
            (json!(IAT - 90), IAT - 90),
            (json!(1_799_999_909.1), IAT - 90),
            (json!(IAT), IAT),
            (json!(IAT + 1), IAT),
            (json!(IAT - week), IAT - week),
            (json!(IAT - week - 1), IAT),
            (json!(1), IAT),
            (json!(-1), IAT),
            (json!(IAT * 1000), IAT),
            (json!("1799999910"), IAT),
            (json!(null), IAT),
        ] {
            assert_eq!(read(json!(null), of(time.clone())), expected, "{time}");
            assert_eq!(read(time.clone(), json!({REVOKED: {}})), expected, "toe {time}");
        }
        let both = json!({REVOKED: {"event_timestamp": IAT - 9}});
        assert_eq!(read(json!(IAT - 90), both), IAT - 9, "that of the event comes first");
        let password = json!({"change_type": "update"});
        let user = json!({"format": "iss_sub", "iss": "https://idp.test", "sub": "ann"});
        let two = json!({REVOKED: {"event_timestamp": IAT - 9}, CREDENTIAL: password});
        let claims = claims(&user, &two);
        let event = SecurityEvent::read(&claims, NOW, Duration::ZERO).unwrap();
        assert_eq!(event.occurred_at.as_secs(), IAT, "the latest of several");
    }

    #[test]
    fn event_that_revokes_no_tokens_is_accepted_and_ignored() {
        for name in [
            "https://schemas.openid.net/secevent/ssf/event-type/verification",
            "https://schemas.openid.net/secevent/ssf/event-type/stream-updated",
            "https://schemas.openid.net/secevent/caep/event-type/token-claims-change",
            "caep/event-type/session-revoked",
            "urn:example:event",
        ] {
            assert_eq!(ends(json!({"format": "email"}), json!({name: {}})), Ok(None), "{name}");
        }
        for events in [json!({}), json!(null), json!([REVOKED]), json!({REVOKED: null})] {
            let subject = json!({"format": "opaque", "id": "s-1"});
            assert!(ends(subject, events.clone()).is_err(), "{events}");
        }
    }
}
