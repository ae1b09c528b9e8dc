//! What a token is bound to: the `cnf` claim (RFC 7800 §3.1).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use openssl::sha::sha256;
use serde_json::{Map, Value};

use crate::{json::object::Object, token::claims::Claims};

/// What a token is bound to, as far as the request proves it. Each member that is present is checked with every
/// request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Confirmation {
    /// `jkt`: the SHA-256 thumbprint of a DPoP key (RFC 9449 §6.1).
    pub(crate) key: Option<[u8; 32]>,
    /// `x5t#S256`: the SHA-256 of a client certificate (RFC 8705 §3.1).
    pub(crate) certificate: Option<[u8; 32]>,
    /// The SHA-256 of the token, which each proof of a DPoP key has (`ath`, RFC 9449 §4.2).
    pub(crate) token_hash: [u8; 32],
}

impl Confirmation {
    /// Reads `cnf`. Other members may stand beside those that are read, and null counts as absent, since serialisers
    /// write it for members that are not set. The certificate is read only if certificates are checked: a token that
    /// is bound to a key too has its key checked. None if `cnf` is not an object, or what is read is not a SHA-256 in
    /// base64url.
    pub(crate) fn read(claims: &Object, reads_certificate: bool) -> Option<Self> {
        let Some(Value::Object(members)) = claims.get("cnf") else { return None };
        Some(Self {
            key: hash(members, JKT)?,
            certificate: if reads_certificate { hash(members, X5T_S256)? } else { None },
            token_hash: [0; 32],
        })
    }

    /// Adds the hash of the token, so that it is not computed for each request.
    pub(crate) fn of_token(mut self: Box<Self>, token: &[u8]) -> Box<Self> {
        if self.key.is_some() {
            self.token_hash = sha256(token);
        }
        self
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.key.is_none() && self.certificate.is_none()
    }
}

impl Claims {
    /// Returns the SHA-256 thumbprint of the DPoP key that the token is bound to, in base64url: `cnf.jkt`
    /// ([RFC 9449 §6.1](https://www.rfc-editor.org/rfc/rfc9449#section-6.1)). None if the token is not bound to a key,
    /// or its provider does not have [`dpop`](crate::Provider::dpop) on: what this returns was proved with the request.
    ///
    /// ```
    /// use oauth2_actix::Claims;
    ///
    /// fn audit(claims: &Claims) -> String {
    ///     claims.dpop_thumbprint().unwrap_or_else(|| "a bearer token".to_owned())
    /// }
    /// # let claims = oauth2_actix::testing::claims(serde_json::json!({"cnf": {"jkt": "not checked"}}));
    /// # assert_eq!(audit(&claims), "a bearer token");
    /// ```
    #[must_use]
    pub fn dpop_thumbprint(&self) -> Option<String> {
        let key = self.verified().confirmation.as_ref()?.key?;
        Some(URL_SAFE_NO_PAD.encode(key))
    }

    /// Returns the SHA-256 thumbprint of the client certificate that the token is bound to, in base64url:
    /// `cnf.x5t#S256` ([RFC 8705 §3.1](https://www.rfc-editor.org/rfc/rfc8705#section-3.1)). None if the token is not
    /// bound to one, or its provider does not have [`certificate_bound`](crate::Provider::certificate_bound) on: what
    /// this returns is the certificate of the client that sent the request.
    ///
    /// ```
    /// # let claims = oauth2_actix::testing::claims(serde_json::json!({}));
    /// assert!(claims.certificate_thumbprint().is_none());
    /// ```
    #[must_use]
    pub fn certificate_thumbprint(&self) -> Option<String> {
        let certificate = self.verified().confirmation.as_ref()?.certificate?;
        Some(URL_SAFE_NO_PAD.encode(certificate))
    }
}

/// Returns the hash in a member, if it is there. The outer None: the member is malformed.
fn hash(members: &Map<String, Value>, name: &str) -> Option<Option<[u8; 32]>> {
    match members.get(name) {
        None | Some(Value::Null) => Some(None),
        Some(value) => {
            let mut hash = [0; 32];
            let decoded = URL_SAFE_NO_PAD.decode_slice(value.as_str()?, &mut hash);
            (decoded == Ok(32)).then_some(Some(hash))
        }
    }
}

const JKT: &str = "jkt";
const X5T_S256: &str = "x5t#S256";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TEXT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";

    fn read(cnf: Value) -> Option<(bool, bool)> {
        let confirmation = Confirmation::read(&Object::of(json!({"cnf": cnf})), true)?;
        Some((confirmation.key.is_some(), confirmation.certificate.is_some()))
    }

    #[test]
    fn members_beside_the_thumbprint_are_ignored() {
        assert_eq!(read(json!({"jkt": TEXT})), Some((true, false)));
        assert_eq!(read(json!({"jkt": TEXT, "kid": 1, "x": null})), Some((true, false)));
        assert_eq!(read(json!({"x5t#S256": TEXT})), Some((false, true)));
        assert_eq!(read(json!({"x5t#S256": TEXT, "jkt": TEXT})), Some((true, true)));
        assert_eq!(read(json!({"kid": "k"})), Some((false, false)));
        assert_eq!(read(json!({"jkt": TEXT, "x5t#S256": null})), Some((true, false)));
        assert_eq!(read(json!({"jkt": null, "x5t#S256": TEXT})), Some((false, true)));
        assert_eq!(read(json!({"jkt": null})), Some((false, false)));
    }

    #[test]
    fn malformed_confirmation_is_not_read() {
        for cnf in [json!(null), json!("x"), json!([]), json!(1)] {
            assert_eq!(read(cnf.clone()), None, "{cnf}");
        }
        let padded = format!("{TEXT}=");
        let long = format!("{TEXT}AAAA");
        // The last character has bits beyond the 32 bytes.
        let loose = format!("{}J", &TEXT[..42]);
        for value in [
            json!(1),
            json!(""),
            json!([TEXT]),
            json!(&TEXT[..42]),
            json!(padded),
            json!(long),
            json!(loose),
        ] {
            assert_eq!(read(json!({"jkt": value.clone()})), None, "{value}");
            assert_eq!(read(json!({"jkt": TEXT, "x5t#S256": value.clone()})), None, "{value}");
        }
    }

    #[test]
    fn certificate_that_is_not_read_may_have_any_form() {
        let claims = Object::of(json!({"cnf": {"jkt": TEXT, "x5t#S256": 1}}));
        let read = Confirmation::read(&claims, false).expect("a confirmation");
        assert!(read.key.is_some() && read.certificate.is_none());
    }
}
