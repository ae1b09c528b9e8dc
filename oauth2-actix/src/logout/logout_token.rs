//! The content of a logout token (OpenID Connect Back-Channel Logout 1.0 §2.4 to §2.6).

use std::time::Duration;

use serde_json::Value;

use super::message::{Message, Problem, text};
use crate::{
    jose::jws::MessageType,
    json::object::Object,
    token::{
        lifetime::{self, TimeLimits},
        validation::LOGOUT_EVENT,
    },
};

/// The types of logout tokens. Many providers use the general type `JWT`, or none (§2.4).
pub(super) const TYPE: MessageType =
    MessageType { names: &["logout+jwt", "JWT"], is_optional: true };

/// A logout token whose claims are valid.
#[derive(Debug, PartialEq)]
pub(super) struct LogoutToken<'a> {
    pub(super) message: Message<'a>,
    /// At least one of these two.
    pub(super) subject: Option<&'a str>,
    pub(super) session: Option<&'a str>,
}

impl<'a> LogoutToken<'a> {
    /// Checks the claims, except `aud`, which the receiver checks.
    pub(super) fn read(
        claims: &'a Object,
        now: Duration,
        leeway: Duration,
    ) -> Result<Self, Problem> {
        // Otherwise an ID token might be accepted (§2.4).
        if claims.contains("nonce") {
            return Err("it has a `nonce`; expected none in a logout token".into());
        }
        let events = claims.get("events").and_then(Value::as_object);
        match events.ok_or("`events` is not an object")?.get(LOGOUT_EVENT) {
            Some(Value::Object(_)) => {}
            _ => {
                return Err(
                    "`events` has no logout event; expected an object with this name".into()
                );
            }
        }
        let limits = TimeLimits { leeway, max_age: Some(MAX_AGE) };
        let lifetime =
            lifetime::check_times(claims, now, limits).map_err(|error| error.to_string())?;
        let message = Message::read(claims, now, leeway, lifetime.ends())?;
        let (subject, session) = (text(claims, "sub")?, text(claims, "sid")?);
        if subject.is_none() && session.is_none() {
            return Err("it has neither `sub` nor `sid`; expected one of them".into());
        }
        Ok(Self { message, subject, session })
    }
}

/// The longest time after its `iat` for which a logout token is accepted, leeway added. Providers are advised to let it
/// expire within 2 minutes (§2.4).
const MAX_AGE: Duration = Duration::from_secs(60 * 60);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Duration = Duration::from_secs(1_800_000_000);

    fn claims() -> Value {
        json!({
            "iss": "https://idp.test", "aud": "app", "iat": 1_800_000_000, "exp": 1_800_000_120,
            "jti": "id-1", "sub": "ann", "sid": "s-1", "events": {LOGOUT_EVENT: {}},
        })
    }

    fn check(claims: Value, leeway: u64) -> Result<(), Problem> {
        LogoutToken::read(&Object::of(claims), NOW, Duration::from_secs(leeway)).map(drop)
    }

    #[test]
    fn logout_token_is_read() {
        let object = Object::of(claims());
        let token = LogoutToken::read(&object, NOW, Duration::ZERO).unwrap();
        assert_eq!(
            token,
            LogoutToken {
                message: Message {
                    issuer: "https://idp.test",
                    id: "id-1",
                    issued_at: NOW,
                    ends: NOW + Duration::from_secs(120),
                },
                subject: Some("ann"),
                session: Some("s-1"),
            }
        );
    }

    #[test]
    fn token_with_one_wrong_claim_is_rejected() {
        for (name, value) in [
            ("iss", json!(7)),
            ("iss", json!("")),
            ("jti", json!(7)),
            ("jti", json!("")),
            ("jti", json!(["id-1"])),
            ("iat", json!("1800000000")),
            ("iat", json!(-1)),
            ("iat", json!(null)),
            ("iat", json!(1_800_000_061)),
            ("iat", json!(1_799_996_400)),
            ("exp", json!("1800000120")),
            ("exp", json!(1_800_000_000)),
            ("nbf", json!(1_800_000_001)),
            ("sub", json!(7)),
            ("sub", json!("")),
            ("sub", json!(null)),
            ("sid", json!({})),
            ("sid", json!("")),
            ("nonce", json!("n")),
            ("nonce", json!(null)),
            ("nonce", json!("")),
            ("events", json!(null)),
            ("events", json!([LOGOUT_EVENT])),
            ("events", json!(LOGOUT_EVENT)),
            ("events", json!({})),
            ("events", json!({LOGOUT_EVENT: null})),
            ("events", json!({LOGOUT_EVENT: "{}"})),
            ("events", json!({LOGOUT_EVENT: []})),
            ("events", json!({"https://schemas.openid.net/event/backchannel-logout": {}})),
        ] {
            let mut claims = claims();
            claims[name] = value.clone();
            assert!(check(claims, 0).is_err(), "{name}: {value}");
        }
        for name in ["iss", "iat", "exp", "jti", "events"] {
            let mut claims = claims();
            claims.as_object_mut().unwrap().remove(name);
            assert!(check(claims, 0).is_err(), "{name}");
        }
        let mut neither = claims();
        neither.as_object_mut().unwrap().retain(|name, _| name != "sub" && name != "sid");
        assert!(check(neither, 0).is_err());
    }

    #[test]
    fn times_have_the_leeway() {
        let mut ended = claims();
        ended["exp"] = 1_800_000_001.into();
        assert!(check(ended.clone(), 0).is_ok());
        ended["exp"] = 1_799_999_971.into();
        assert!(check(ended.clone(), 0).is_err());
        assert!(check(ended, 30).is_ok());
        let mut ahead = claims();
        ahead["iat"] = 1_800_000_060.into();
        assert!(check(ahead.clone(), 0).is_ok());
        ahead["iat"] = 1_800_000_120.into();
        assert!(check(ahead.clone(), 0).is_err());
        assert!(check(ahead, 120).is_ok());
        let mut old = claims();
        old["iat"] = 1_799_996_401.into();
        assert!(check(old, 0).is_ok());
    }

    #[test]
    fn one_of_subject_and_session_is_enough() {
        for name in ["sub", "sid"] {
            let mut claims = claims();
            claims.as_object_mut().unwrap().remove(name);
            assert!(check(claims, 0).is_ok(), "without {name}");
        }
        let mut claims = claims();
        claims["events"]["urn:other"] = json!("any");
        assert!(check(claims, 0).is_ok(), "an additional event");
    }
}
