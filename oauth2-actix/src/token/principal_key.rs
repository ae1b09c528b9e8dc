//! A key that is the same for all tokens of one caller.

use std::fmt;

use aws_lc_rs::digest;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use crate::token::claims::Claims;

/// Whom a token is about, as a key: a hash of its issuer, subject and client.
///
/// It is the same for all tokens of one caller, also after a renewal, a restart and in other processes: for
/// sessions, quotas, caches and locks. `Display` writes 43 characters of base64url. It is not a secret.
///
/// ```
/// use oauth2_actix::testing;
/// use serde_json::json;
///
/// let first = testing::claims(json!({"sub": "ann", "client_id": "cli", "jti": "1"}));
/// let second = testing::claims(json!({"sub": "ann", "client_id": "cli", "jti": "2"}));
/// let other = testing::claims(json!({"sub": "ann", "client_id": "web"}));
/// assert!(first.principal_key().is_some());
/// assert_eq!(first.principal_key(), second.principal_key());
/// assert_ne!(first.principal_key(), other.principal_key());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PrincipalKey([u8; 32]);

impl PrincipalKey {
    /// Returns the key, or None if there is neither a subject nor a client.
    pub(crate) fn of(issuer: &str, subject: Option<&str>, client: Option<&str>) -> Option<Self> {
        if subject.is_none() && client.is_none() {
            return None;
        }
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(DOMAIN);
        for part in [Some(issuer), subject, client] {
            context.update(&[u8::from(part.is_some())]);
            let part = part.unwrap_or_default();
            // Without its length, a part could end where another one begins.
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        let mut key = [0; 32];
        key.copy_from_slice(context.finish().as_ref());
        Some(Self(key))
    }

    /// Returns the bytes of the key.
    ///
    /// ```
    /// use oauth2_actix::testing;
    /// use serde_json::json;
    ///
    /// let key = testing::claims(json!({"sub": "ann"})).principal_key().unwrap();
    /// assert_eq!(key.as_bytes().len(), 32);
    /// ```
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Claims {
    /// Returns a key of the issuer, the subject and the client, which is the same for all tokens of one caller.
    /// The client is that of [`Claims::client_id`]. None if the token has neither a subject nor a client.
    ///
    /// ```
    /// # use oauth2_actix::Claims;
    /// fn bucket(claims: &Claims) -> String {
    ///     match claims.principal_key() {
    ///         Some(key) => format!("quota:{key}"),
    ///         None => "quota:others".to_owned(),
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn principal_key(&self) -> Option<PrincipalKey> {
        PrincipalKey::of(self.issuer(), self.subject(), self.client_id())
    }
}

impl fmt::Display for PrincipalKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&BASE64_URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for PrincipalKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PrincipalKey({self})")
    }
}

const DOMAIN: &[u8] = b"oauth2-actix principal key 1\0";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_depends_on_each_part_and_on_its_limits() {
        let keys = [
            PrincipalKey::of("a", Some("b"), Some("c")),
            PrincipalKey::of("a", Some("bc"), Some("")),
            PrincipalKey::of("ab", Some(""), Some("c")),
            PrincipalKey::of("a", Some("b"), None),
            PrincipalKey::of("a", None, Some("b")),
            PrincipalKey::of("a", Some("b"), Some("")),
            PrincipalKey::of("x", Some("b"), Some("c")),
        ];
        for (at, key) in keys.iter().enumerate() {
            assert!(key.is_some());
            assert!(!keys[..at].contains(key), "{at}");
        }
        assert_eq!(PrincipalKey::of("a", None, None), None);
    }

    #[test]
    fn key_is_the_same_in_all_versions_of_the_crate() {
        let key = PrincipalKey::of("https://idp.test", Some("ann"), Some("cli")).expect("a key");
        assert_eq!(key.to_string(), "wnGwL5owVeD8nwn9eayoBwk5xxbk-Cs9D906HhM0Lg4");
    }
}
