//! The JOSE header of an accepted token (RFC 7515 §4.1), for applications that audit it.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::{jose::algorithm::Algorithm, json::object::Object};

/// Three members of the JOSE header of an accepted token: see
/// [`Claims::jose_header`](crate::Claims::jose_header).
///
/// Keys, URLs and certificates in a header are never used, and are not available here.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct JoseHeader {
    /// `alg` ([RFC 7515 §4.1.1](https://www.rfc-editor.org/rfc/rfc7515#section-4.1.1)): the signature
    /// algorithm. `None` only for [`testing::claims`](crate::testing), which have no token.
    pub algorithm: Option<Algorithm>,
    /// `kid` ([RFC 7515 §4.1.4](https://www.rfc-editor.org/rfc/rfc7515#section-4.1.4)): the id of the key
    /// that signed the token, if the header names one.
    pub key_id: Option<String>,
    /// `typ` ([RFC 7515 §4.1.9](https://www.rfc-editor.org/rfc/rfc7515#section-4.1.9)): the type of the
    /// token as it was sent, such as `at+jwt` or `JWT`, if the header names one.
    pub token_type: Option<String>,
}

impl JoseHeader {
    /// Reads the header of a token that was accepted.
    pub(crate) fn of(token: &[u8]) -> Self {
        Self::read(token).unwrap_or_default()
    }

    fn read(token: &[u8]) -> Option<Self> {
        let header = token.split(|byte| *byte == b'.').next()?;
        let header = Object::parse(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
        let text = |name| header.get(name).and_then(Value::as_str);
        Some(Self {
            algorithm: text("alg").and_then(|alg| alg.parse().ok()),
            key_id: text("kid").map(str::to_owned),
            token_type: text("typ").map(str::to_owned),
        })
    }
}

/// Shows only the algorithm: the other members are text of the token.
impl fmt::Debug for JoseHeader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("JoseHeader")
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}
