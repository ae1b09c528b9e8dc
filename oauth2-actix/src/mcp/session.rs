//! Session ids that only their caller can use.
//!
//! Revisions before 2026-07-28 have sessions, and their id alone selects one. The client gets the id with a tag:
//! an HMAC of the id, the caller's principal key and the actor of the token. Nothing is stored.

use std::fmt;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use aws_lc_rs::{hmac, rand};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use super::refusal::Refusal;
use crate::token::{claims::Claims, principal_key::PrincipalKey};

/// Who may use a session: the caller, and the actor that acts for it (RFC 8693 §4.1).
#[derive(Debug)]
pub(super) struct Caller {
    key: PrincipalKey,
    /// The `act` of the token, as JSON. Empty without one.
    actor: String,
}

impl Caller {
    /// Returns the caller of a token. None if the token has neither a subject nor a client.
    pub(super) fn of(claims: &Claims) -> Option<Self> {
        let actor = claims.get("act").map(ToString::to_string).unwrap_or_default();
        Some(Self { key: claims.principal_key()?, actor })
    }
}

/// The key of the tags.
pub(super) struct SessionTags(hmac::Key);

impl SessionTags {
    pub(super) fn with_secret(secret: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// Returns tags that only this process can check. None if the system has no random bytes.
    pub(super) fn random() -> Option<Self> {
        let mut secret = [0; 32];
        rand::fill(&mut secret).ok()?;
        Some(Self::with_secret(&secret))
    }

    /// Replaces the session id of a request by the server's own, if the tag is the caller's.
    pub(super) fn admit(
        &self,
        headers: &mut HeaderMap,
        caller: Option<&Caller>,
    ) -> Result<(), Refusal> {
        let mut values = headers.get_all(SESSION_ID);
        let value = match (values.next(), values.next()) {
            (None, _) => return Ok(()),
            (Some(value), None) => value.to_str().map_err(|_| Refusal::UnknownSession)?,
            (Some(_), Some(_)) => return Err(Refusal::Header("A header is repeated.")),
        };
        let id = caller.and_then(|caller| self.without_tag(value, caller));
        let id = id.and_then(|id| HeaderValue::from_str(id).ok()).ok_or(Refusal::UnknownSession)?;
        headers.insert(SESSION_ID, id);
        Ok(())
    }

    /// Adds the caller's tag to the session id of a response. A caller without a principal key gets no session.
    pub(super) fn bind(&self, headers: &mut HeaderMap, caller: Option<&Caller>) {
        let Some(id) = headers.get(SESSION_ID) else { return };
        let tagged = caller.zip(id.to_str().ok()).and_then(|(caller, id)| {
            let tag = BASE64_URL_SAFE_NO_PAD.encode(hmac::sign(&self.0, &message(id, caller)));
            HeaderValue::try_from(format!("{id}.{tag}")).ok()
        });
        match tagged {
            Some(tagged) => {
                headers.insert(SESSION_ID, tagged);
            }
            None => {
                headers.remove(SESSION_ID);
            }
        }
    }

    /// Returns the id before a valid tag. Compares in constant time.
    fn without_tag<'a>(&self, value: &'a str, caller: &Caller) -> Option<&'a str> {
        let (id, tag) = value.rsplit_once('.')?;
        let tag = BASE64_URL_SAFE_NO_PAD.decode(tag).ok()?;
        hmac::verify(&self.0, &message(id, caller), &tag).ok().map(|()| id)
    }
}

impl fmt::Debug for SessionTags {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SessionTags")
    }
}

/// Returns what is signed: the length of the id, the id, the key of the caller and its actor.
fn message(id: &str, caller: &Caller) -> Vec<u8> {
    let length = (id.len() as u64).to_be_bytes();
    [&length, id.as_bytes(), caller.key.as_bytes(), caller.actor.as_bytes()].concat()
}

pub(super) const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(subject: &str) -> Caller {
        let key = PrincipalKey::of("https://idp.test", Some(subject), None).expect("a key");
        Caller { key, actor: String::new() }
    }

    fn bound(tags: &SessionTags, id: &str, caller: &Caller) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(SESSION_ID, HeaderValue::from_str(id).expect("an id"));
        tags.bind(&mut headers, Some(caller));
        headers.get(SESSION_ID).expect("an id").to_str().expect("ASCII").to_owned()
    }

    fn admitted(tags: &SessionTags, id: &str, caller: &Caller) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(SESSION_ID, HeaderValue::from_str(id).expect("an id"));
        tags.admit(&mut headers, Some(caller)).ok()?;
        Some(headers.get(SESSION_ID).expect("an id").to_str().expect("ASCII").to_owned())
    }

    #[test]
    fn id_is_admitted_with_the_tag_of_its_caller_and_key_only() {
        let tags = SessionTags::with_secret(&[7; 32]);
        for id in ["0b3c", "with.dots.in.it", "", "."] {
            let tagged = bound(&tags, id, &caller("ann"));
            assert_eq!(admitted(&tags, &tagged, &caller("ann")).as_deref(), Some(id));
            assert_eq!(admitted(&tags, &tagged, &caller("bob")), None);
            assert_eq!(
                admitted(&SessionTags::with_secret(&[8; 32]), &tagged, &caller("ann")),
                None
            );
            assert_eq!(
                admitted(&SessionTags::random().expect("random"), &tagged, &caller("ann")),
                None
            );
            assert_eq!(admitted(&tags, &format!("x{tagged}"), &caller("ann")), None);
            assert_eq!(admitted(&tags, id, &caller("ann")), None);
        }
    }

    #[test]
    fn changed_or_shortened_tag_is_unknown() {
        let tags = SessionTags::with_secret(&[7; 32]);
        let tagged = bound(&tags, "0b3c", &caller("ann"));
        for at in "0b3c.".len()..tagged.len() {
            assert_eq!(admitted(&tags, &tagged[..at], &caller("ann")), None, "{at}");
            let mut changed = tagged.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).expect("ASCII");
            assert_eq!(admitted(&tags, &changed, &caller("ann")), None, "{at}");
        }
        assert_eq!(admitted(&tags, &format!("{tagged}="), &caller("ann")), None);
    }

    #[test]
    fn caller_without_a_key_has_no_session() {
        let tags = SessionTags::with_secret(&[7; 32]);
        let mut headers = HeaderMap::new();
        headers.insert(SESSION_ID, HeaderValue::from_static("0b3c"));
        assert_eq!(tags.admit(&mut headers, None), Err(Refusal::UnknownSession));
        tags.bind(&mut headers, None);
        assert!(!headers.contains_key(SESSION_ID));
    }
}
