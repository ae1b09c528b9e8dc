//! Tokens with any header and claims.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

use super::SigningKey;

/// An access token to be signed, which is valid unless a test changes it.
///
/// ```
/// use oauth2_actix::{Algorithm, testing::{SigningKey, Token}};
///
/// let key = SigningKey::generate(Algorithm::ES256, "key-1");
/// let expired = Token::new("https://idp.test", "api").expires_in(-10).sign(&key);
/// assert_eq!(expired.split('.').count(), 3);
/// ```
#[derive(Clone, Debug)]
pub struct Token {
    header: Map<String, Value>,
    claims: Map<String, Value>,
    issued_at: i64,
}

impl Token {
    /// Returns a token of this issuer for this audience, with subject `user-1`, that expires after 5 minutes.
    #[must_use]
    pub fn new(issuer: &str, audience: &str) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Self::issued_at(issuer, audience, now)
    }

    /// Returns a token like [`Token::new`], issued at `now`, in seconds since the Unix epoch.
    pub(super) fn issued_at(issuer: &str, audience: &str, now: u64) -> Self {
        let token = Self {
            header: Map::from_iter([("typ".to_owned(), json!("at+jwt"))]),
            claims: Map::new(),
            issued_at: now.cast_signed(),
        };
        token
            .claim("iss", issuer)
            .claim("aud", audience)
            .claim("sub", "user-1")
            .claim("iat", now)
            .expires_in(300)
    }

    /// Sets a claim.
    #[must_use]
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims.insert(name.into(), value.into());
        self
    }

    /// Sets all claims of an object.
    #[must_use]
    pub fn claims(mut self, claims: Map<String, Value>) -> Self {
        self.claims.extend(claims);
        self
    }

    /// Removes a claim.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.claims.remove(name);
        self
    }

    /// Sets a member of the header; the defaults of `alg` and `kid` are those of the key. `null` removes it.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header.insert(name.into(), value.into());
        self
    }

    /// Sets the lifetime in seconds from its issue; negative for an expired token.
    #[must_use]
    pub fn expires_in(self, seconds: i64) -> Self {
        let exp = self.issued_at + seconds;
        self.claim("exp", exp)
    }

    pub(super) fn into_claims(self) -> Map<String, Value> {
        self.claims
    }

    /// Signs the token.
    #[must_use]
    pub fn sign(&self, key: &SigningKey) -> String {
        let mut header = self.header.clone();
        header.entry("alg").or_insert_with(|| json!(key.algorithm().name()));
        header.entry("kid").or_insert_with(|| json!(key.kid()));
        compact(header, &self.claims, key)
    }
}

/// Signs a header, without its members that are null, and claims (RFC 7515 §3.1).
pub(super) fn compact(
    mut header: Map<String, Value>,
    claims: &Map<String, Value>,
    key: &SigningKey,
) -> String {
    header.retain(|_, value| !value.is_null());
    let part = |map: &Map<String, Value>| {
        URL_SAFE_NO_PAD.encode(serde_json::to_string(map).expect("JSON"))
    };
    let signed = format!("{}.{}", part(&header), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}
