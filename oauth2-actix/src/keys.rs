//! Where a provider's keys come from, as our user writes it.

use std::{fmt, path::PathBuf, sync::Arc};

use serde_json::Value;

use crate::{KeySource, key_source::AnySource};

/// Where a provider's keys come from: a URL, the issuer's own word, a file, a source of yours, or
/// the keys themselves.
///
/// [`Keys::discover`] asks the issuer. Text is a URL if it begins with `https://` or `http://`, and otherwise the keys: a JWK set, a
/// single JWK or a list of JWKs or PEM texts (RFC 7517), a PEM public key or certificate, or a JSON object that
/// maps key ids to PEM, the form of Firebase. What a URL returns may have any of these forms too.
///
/// Keys without an id (PEM, certificates, a JWK without `kid`) fit any token. Of a certificate only
/// the key is used: neither its dates nor its chain are checked. A key that is unusable (RSA below
/// 2048 bits, a point off its curve, a private key, …) is named in the log with a warning, and one for encryption
/// at debug. HMAC secrets are used only inline and with [`Provider::algorithms`] naming HMAC.
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
#[derive(Clone, PartialEq)]
pub struct Keys(pub(crate) Form);

#[derive(Clone)]
pub(crate) enum Form {
    Url(String),
    Discover,
    File(PathBuf),
    Source(Arc<dyn AnySource>),
    Inline(String),
}

impl Keys {
    /// Keys where the issuer says that they are: the `jwks_uri` of its document at
    /// `/.well-known/openid-configuration` ([OpenID Connect Discovery 1.0 §4]) or, if there is none,
    /// `/.well-known/oauth-authorization-server` ([RFC 8414 §3]). In serde `{"discover": true}`.
    ///
    /// The issuer must be a URL (with several, the first one is asked), and the document's `issuer`
    /// must be exactly it, trailing slash included. The `jwks_uri` must be https, or at this very host
    /// only if the issuer is. It may be at another host than the issuer: that is for the issuer to say.
    /// The document is read again when keys cannot be fetched from where it said, and once in 24 hours.
    ///
    /// ```
    /// use oauth2_actix::{Keys, OAuth2, Provider};
    ///
    /// let keycloak = Provider::new()
    ///     .issuer("https://sso.example.com/realms/shop")
    ///     .audience("orders")
    ///     .keys(Keys::discover());
    /// let oauth2 = OAuth2::builder().provider("keycloak", keycloak).key_refresh_minutes(30).build()?;
    /// # Ok::<(), oauth2_actix::BuildError>(())
    /// ```
    ///
    /// [OpenID Connect Discovery 1.0 §4]: https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderConfig
    /// [RFC 8414 §3]: https://www.rfc-editor.org/rfc/rfc8414#section-3
    #[must_use]
    pub fn discover() -> Self {
        Self(Form::Discover)
    }

    /// Keys from a file, in any of the forms of text. In serde `{"file": "/etc/keys.json"}`.
    ///
    /// It is read when keys are first needed, and again within about a second of a change (of its
    /// length, modification time or, on Unix, inode), whatever the refresh interval. Replace it in one step,
    /// by renaming, as Kubernetes does: a half-written file without a usable key changes nothing, but
    /// one that is cut between two PEM blocks is a shorter one.
    ///
    /// ```
    /// # use oauth2_actix::{Algorithm, testing::SigningKey};
    /// use oauth2_actix::{Keys, OAuth2, Provider};
    ///
    /// # #[actix_web::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let path = std::env::temp_dir().join(format!("oauth2-actix-doc-{}.json", std::process::id()));
    /// # std::fs::write(&path, SigningKey::generate(Algorithm::ES256, "1").jwk_set().to_string())?;
    /// let internal = Provider::new().issuer("https://internal").audience("api").keys(Keys::file(&path));
    /// let oauth2 = OAuth2::builder().provider("internal", internal).build()?;
    /// oauth2.warm_up().await?;
    /// # std::fs::remove_file(&path)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Form::File(path.into()))
    }

    /// Keys from a source of yours: a vault, a database. See [`KeySource`].
    pub fn source(source: impl KeySource) -> Self {
        Self(Form::Source(Arc::new(source)))
    }

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
                write!(formatter, "Keys({})", url.split(['?', '#']).next().unwrap_or_default())
            }
            Form::Url(_) => formatter.write_str("Keys(url)"),
            Form::Discover => formatter.write_str("Keys(discovery)"),
            Form::File(path) => write!(formatter, "Keys(file {})", path.display()),
            Form::Source(source) => write!(formatter, "Keys({})", source.shown()),
            Form::Inline(_) => formatter.write_str("Keys(inline)"),
        }
    }
}

/// A source of a user's is equal to itself alone.
impl PartialEq for Form {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Url(one), Self::Url(other)) | (Self::Inline(one), Self::Inline(other)) => {
                one == other
            }
            (Self::File(one), Self::File(other)) => one == other,
            (Self::Source(one), Self::Source(other)) => Arc::ptr_eq(one, other),
            (Self::Discover, Self::Discover) => true,
            _ => false,
        }
    }
}
