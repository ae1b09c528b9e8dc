//! Where a provider's keys come from, as our user writes it.

use std::fmt;

use serde_json::Value;

/// Where a provider's keys come from: a URL, or the keys themselves.
///
/// Text is a URL if it begins with `https://` or `http://`, and otherwise the keys: a JWK set, a
/// single JWK or a list of them (RFC 7517), a PEM public key or certificate, or a JSON object that
/// maps key ids to PEM, the form of Firebase. What a URL returns may have any of these forms too.
///
/// Keys without an id (PEM, certificates, a JWK without `kid`) fit any token. Of a certificate only
/// the key is used: neither its dates nor its chain are checked. A key that is unusable (RSA below
/// 2048 bits, a point off its curve, `use: enc`, a private key, …) is passed over with a warning
/// in the log. HMAC secrets are used only inline and with [`Provider::algorithms`] naming HMAC.
///
/// ```
/// use oauth2_actix::Keys;
///
/// let published = Keys::from("https://idp.example/jwks.json");
/// let inline = Keys::from(serde_json::json!({"keys": [
///     {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
/// ]}));
/// assert_eq!(format!("{published:?} {inline:?}"), "Keys(https://idp.example/jwks.json) Keys(inline)");
/// ```
///
/// [`Provider::algorithms`]: crate::Provider::algorithms
#[derive(Clone)]
pub struct Keys(pub(crate) Form);

#[derive(Clone)]
pub(crate) enum Form {
    Url(String),
    Inline(String),
}

impl Keys {
    fn from_text(text: String) -> Self {
        let start = text.trim_start();
        let is_url = ["https://", "http://"].into_iter().any(|scheme| {
            start.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        });
        Self(if is_url { Form::Url(text.trim().to_owned()) } else { Form::Inline(text) })
    }
}

impl From<String> for Keys {
    fn from(text: String) -> Self {
        Self::from_text(text)
    }
}

impl From<&str> for Keys {
    fn from(text: &str) -> Self {
        Self::from_text(text.to_owned())
    }
}

impl From<Value> for Keys {
    fn from(value: Value) -> Self {
        match value {
            Value::String(text) => Self::from_text(text),
            value => Self(Form::Inline(value.to_string())),
        }
    }
}

/// Shows a URL, and nothing of inline keys: they may be secrets.
impl fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            // What stands before an @ in a URL may be a password, and so may a part of its query.
            Form::Url(url) if !url.contains('@') => {
                write!(formatter, "Keys({})", url.split('?').next().unwrap_or_default())
            }
            Form::Url(_) => formatter.write_str("Keys(url)"),
            Form::Inline(_) => formatter.write_str("Keys(inline)"),
        }
    }
}
