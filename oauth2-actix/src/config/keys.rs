//! The sources of a provider's keys, as the developer configures them.

use std::{fmt, path::PathBuf, sync::Arc};

use serde_json::{Map, Value};

use crate::keys::source::{AnySource, KeySource};

/// The source of a provider's keys: a URL, discovery, a file, a [`KeySource`], inline keys, or a list of
/// these.
///
/// # Text
///
/// Text is a URL if it begins with `https://` or `http://`. Other text is inline keys: a JWK set, a single
/// JWK, a list of JWKs or PEM texts (RFC 7517), a PEM public key or certificate, or a JSON object that maps
/// key ids to PEM, as Firebase publishes it. A URL may return any of these forms too. [`Keys::url`] and
/// [`Keys::inline`] do not guess.
///
/// Keys without an id (PEM, certificates, a JWK without `kid`) match any token. Only the key of a certificate
/// is used: neither its dates nor its chain are checked. An unusable key (RSA below 2048 bits, a point off
/// its curve, a private key, …) is skipped with a warning in the log, and a key for encryption with a line at
/// debug.
///
/// # Several sources
///
/// A provider may have several sources: each call of [`Provider::keys`] adds one, and an array adds all
/// its items. Each source is fetched, cached and reported separately, and any of them may verify a
/// token. A source that fails does not affect the others. A provider may have at most 16 sources.
///
/// HMAC secrets are used only inline, and only if [`Provider::algorithms`] contains an HMAC algorithm. A
/// token with such an algorithm is never checked with fetched keys, so a provider may have both an inline
/// secret and a URL.
///
/// ```
/// use oauth2_actix::{Algorithm, Keys, OAuth2, Provider};
/// use serde_json::json;
///
/// // During a migration: tokens signed with the old secret, and with the new published keys.
/// let issuer = Provider::new()
///     .issuer("https://project.example.com/auth/v1")
///     .audience("authenticated")
///     .algorithms([Algorithm::HS256, Algorithm::ES256])
///     .keys([
///         Keys::url("https://project.example.com/auth/v1/.well-known/jwks.json"),
///         Keys::inline(json!({"kty": "oct", "k": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"})),
///     ]);
/// let oauth2 = OAuth2::builder().provider("project", issuer).key_refresh_minutes(30).build()?;
/// let sources: Vec<String> = oauth2.key_status().into_iter().map(|status| status.source).collect();
/// assert_eq!(sources, ["https://project.example.com/auth/v1/.well-known/jwks.json", "inline"]);
/// # Ok::<(), oauth2_actix::ConfigError>(())
/// ```
///
/// # Serde
///
/// | Value | Source |
/// | --- | --- |
/// | `"https://…"` or `{"url": "https://…"}` | [`Keys::url`] |
/// | `{"discover": true}` | [`Keys::discover`] |
/// | `{"discover": "https://…"}` | [`Keys::discover_at`] |
/// | `{"file": "…"}` | [`Keys::file`] |
/// | `{"keys": […]}`, a JWK, PEM text, a map of kid to PEM, or any of these as `{"inline": …}` | [`Keys::inline`] |
/// | an array of JWKs or of PEM texts | [`Keys::inline`] |
/// | an array of the other forms | several sources |
///
/// `url` and `discover` may have `bearer_token_file` beside them. A single JWK or a PEM text in an array of
/// sources is an error; write it as `{"inline": …}` there.
///
/// [`Provider::algorithms`]: crate::Provider::algorithms
/// [`Provider::keys`]: crate::Provider::keys
#[derive(Clone, PartialEq)]
pub struct Keys(pub(crate) Vec<Source>);

/// One source of keys.
#[derive(Clone, PartialEq)]
pub(crate) struct Source {
    pub(crate) form: Form,
    pub(crate) bearer_token_file: Option<PathBuf>,
}

#[derive(Clone)]
pub(crate) enum Form {
    Url(String),
    /// Discovery at the issuer, or at this URL.
    Discover(Option<String>),
    File(PathBuf),
    Custom(Arc<dyn AnySource>),
    Inline(String),
    /// The reason why a JSON value cannot be read. `build()` reports it.
    Unreadable(String),
}

impl From<Form> for Keys {
    fn from(form: Form) -> Self {
        Self(vec![Source { form, bearer_token_file: None }])
    }
}

impl Keys {
    /// Creates a source that fetches keys from a URL. In serde `{"url": "https://…"}`, or the text alone.
    ///
    /// The URL must be https, or http at a loopback host; see also
    /// [`Provider::dangerous_allow_http`](crate::Provider::dangerous_allow_http). `build()` reports text
    /// that is not such a URL.
    ///
    /// ```
    /// use oauth2_actix::Keys;
    ///
    /// let keys = Keys::url("https://idp.example/jwks.json");
    /// assert_eq!(format!("{keys:?}"), "Keys(https://idp.example/jwks.json)");
    /// ```
    pub fn url(url: impl Into<String>) -> Self {
        Form::Url(url.into().trim().to_owned()).into()
    }

    /// Creates a source of inline keys, as JSON or text in any form that [`Keys`] lists. In serde
    /// `{"inline": …}`, or the value alone.
    ///
    /// Inline keys are never fetched. `build()` reports a URL as an error.
    ///
    /// ```
    /// use oauth2_actix::Keys;
    ///
    /// let keys = Keys::inline(serde_json::json!({"keys": [
    ///     {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
    /// ]}));
    /// assert_eq!(format!("{keys:?}"), "Keys(inline)");
    /// ```
    pub fn inline(keys: impl Into<Value>) -> Self {
        Form::Inline(match keys.into() {
            Value::String(text) => text,
            value => value.to_string(),
        })
        .into()
    }

    /// Creates a source that fetches keys from the `jwks_uri` of the issuer's metadata document, at
    /// `/.well-known/openid-configuration` ([OpenID Connect Discovery 1.0 §4]) or, if that does not exist,
    /// `/.well-known/oauth-authorization-server` ([RFC 8414 §3]). In serde `{"discover": true}`.
    ///
    /// The issuer must be a URL; if there are several issuers, the first is used. The document's `issuer`
    /// must equal it, including a trailing slash. The `jwks_uri` may be at another host than the issuer. It
    /// must be https, unless [`Provider::dangerous_allow_http`] is set, and it may be at a loopback host only
    /// if the issuer is at one. The document is read again when keys cannot be fetched from its `jwks_uri`,
    /// and every 24 hours.
    ///
    /// ```
    /// use oauth2_actix::{Keys, OAuth2, Provider};
    ///
    /// let keycloak = Provider::new()
    ///     .issuer("https://sso.example.com/realms/shop")
    ///     .audience("orders")
    ///     .keys(Keys::discover());
    /// let oauth2 = OAuth2::builder().provider("keycloak", keycloak).key_refresh_minutes(30).build()?;
    /// # Ok::<(), oauth2_actix::ConfigError>(())
    /// ```
    ///
    /// [`Provider::dangerous_allow_http`]: crate::Provider::dangerous_allow_http
    /// [OpenID Connect Discovery 1.0 §4]: https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderConfig
    /// [RFC 8414 §3]: https://www.rfc-editor.org/rfc/rfc8414#section-3
    #[must_use]
    pub fn discover() -> Self {
        Form::Discover(None).into()
    }

    /// Creates a source like [`Keys::discover`] that fetches the document from another address than the
    /// issuer's, such as one inside a private network. In serde `{"discover": "https://…"}`.
    ///
    /// A URL with `/.well-known/` in its path is the URL of the document. To any other URL, the two
    /// well-known paths are added, as to an issuer. The document's `issuer` must still equal the provider's
    /// ([RFC 8414 §3.3](https://www.rfc-editor.org/rfc/rfc8414#section-3.3)), which need not be a URL here.
    /// The rules for the `jwks_uri` apply to this URL instead of the issuer.
    ///
    /// ```
    /// use oauth2_actix::{Keys, OAuth2, Provider};
    ///
    /// let keycloak = Provider::new()
    ///     .issuer("https://sso.example.com/realms/shop")
    ///     .audience("orders")
    ///     .keys(Keys::discover_at("https://keycloak.internal:8443/realms/shop"));
    /// let oauth2 = OAuth2::builder().provider("keycloak", keycloak).key_refresh_minutes(30).build()?;
    /// # Ok::<(), oauth2_actix::ConfigError>(())
    /// ```
    pub fn discover_at(url: impl Into<String>) -> Self {
        Form::Discover(Some(url.into().trim().to_owned())).into()
    }

    /// Creates a source that reads keys from a file, in any form of text. In serde
    /// `{"file": "/etc/keys.json"}`.
    ///
    /// The file is read when keys are first needed, and again within about a second of a change (of its
    /// length, modification time or, on Unix, inode), independently of the refresh interval. Replace the file
    /// in one step, by renaming, as Kubernetes does: a half-written file without a usable key changes
    /// nothing, but a file that is cut between two PEM blocks counts as complete.
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
        Form::File(path.into()).into()
    }

    /// Creates a source from your own code, for a vault or a database. See [`KeySource`].
    pub fn source(source: impl KeySource) -> Self {
        Form::Custom(Arc::new(source)).into()
    }

    /// Sets a file whose content is sent as a bearer token ([RFC 6750 §2.1]) when these keys are fetched. It
    /// is for a key set that is not public, such as that of a Kubernetes API server. In serde
    /// `bearer_token_file`, beside `url` or `discover`.
    ///
    /// The file is read again for each fetch, so a new token requires no restart. It may have at most 64 KiB,
    /// and white space around the token is removed. If the file cannot be read, the fetch fails.
    ///
    /// The token is sent only to the scheme, host and port of the configured URL: that of [`Keys::url`] or
    /// [`Keys::discover_at`], or the issuer for [`Keys::discover`]. A `jwks_uri` at another origin is fetched
    /// without the token. The configured URL must be https, or http at a loopback host, also with
    /// [`Provider::dangerous_allow_http`](crate::Provider::dangerous_allow_http). The token is never logged.
    ///
    /// ```no_run
    /// use oauth2_actix::{Keys, OAuth2, Provider};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let service_accounts = Provider::new()
    ///     .issuer("https://kubernetes.default.svc.cluster.local")
    ///     .audience("orders")
    ///     .keys(
    ///         Keys::url("https://kubernetes.default.svc/openid/v1/jwks")
    ///             .bearer_token_file("/var/run/secrets/kubernetes.io/serviceaccount/token"),
    ///     );
    /// let ca = std::fs::read("/var/run/secrets/kubernetes.io/serviceaccount/ca.crt")?;
    /// let ca = oauth2_actix::reqwest::Certificate::from_pem(&ca)?;
    /// let oauth2 = OAuth2::builder()
    ///     .provider("kubernetes", service_accounts)
    ///     .key_refresh_minutes(5)
    ///     .configure_http_client(move |client| client.tls_certs_merge([ca.clone()]))
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// `build()` reports a bearer token file for keys that are not fetched by HTTP.
    ///
    /// [RFC 6750 §2.1]: https://www.rfc-editor.org/rfc/rfc6750#section-2.1
    #[must_use]
    pub fn bearer_token_file(mut self, path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        for source in &mut self.0 {
            source.bearer_token_file = Some(path.clone());
        }
        self
    }

    /// Reads a value of the serde form.
    pub(crate) fn read(value: Value) -> Result<Self, String> {
        match value {
            Value::String(text) => Ok(Self::from(text)),
            Value::Object(members) => Self::read_object(members),
            Value::Array(items) => Self::read_array(items),
            _ => Err("the value is neither text nor JSON keys".to_owned()),
        }
    }

    fn read_object(mut members: Map<String, Value>) -> Result<Self, String> {
        const KINDS: [&str; 4] = ["discover", "file", "inline", "url"];
        if members.contains_key("kty") {
            return Ok(Self::inline(members));
        }
        // A map of kid to PEM may have any member.
        let is_source = |name: &&str| members.get(*name).is_some_and(|value| !is_pem(value));
        let mut kinds = KINDS.into_iter().filter(is_source);
        let kind = match (kinds.next(), kinds.next()) {
            (None, _) if members.contains_key(TOKEN_FILE) => {
                return Err(format!("`{TOKEN_FILE}` requires `url` or `discover` beside it"));
            }
            (None, _) => return Ok(Self::inline(members)),
            (Some(kind), None) => kind,
            (Some(one), Some(other)) => {
                return Err(format!("`{one}` and `{other}` are two sources: write a list of them"));
            }
        };
        let value = members.remove(kind).unwrap_or_default();
        let token_file = members.remove(TOKEN_FILE).filter(|value| !value.is_null());
        if let Some(other) = members.keys().next() {
            return Err(format!("{other:?} does not belong beside `{kind}`"));
        }
        let keys = match (kind, value) {
            ("inline", value @ (Value::String(_) | Value::Array(_) | Value::Object(_))) => {
                Self::inline(value)
            }
            ("url", Value::String(url)) => Self::url(url),
            ("file", Value::String(path)) if !path.is_empty() => Self::file(path),
            ("discover", Value::Bool(true)) => Self::discover(),
            // An environment variable has text.
            ("discover", Value::String(yes)) if yes.eq_ignore_ascii_case("true") => {
                Self::discover()
            }
            ("discover", Value::String(url)) if is_url(&url) => Self::discover_at(url),
            ("discover", _) => return Err("`discover` is neither true nor a URL".to_owned()),
            ("file", _) => return Err("`file` is not a path".to_owned()),
            ("url", _) => return Err("`url` is not text".to_owned()),
            _ => return Err("`inline` is neither text nor JSON keys".to_owned()),
        };
        match (kind, token_file) {
            (_, None) => Ok(keys),
            ("discover" | "url", Some(Value::String(path))) if !path.is_empty() => {
                Ok(keys.bearer_token_file(path))
            }
            ("discover" | "url", Some(_)) => Err(format!("`{TOKEN_FILE}` is not a path")),
            _ => Err(format!("`{TOKEN_FILE}` requires `url` or `discover` beside it")),
        }
    }

    /// Reads an array of keys, or of sources of keys.
    fn read_array(items: Vec<Value>) -> Result<Self, String> {
        if !items.iter().any(is_source) {
            return Ok(Self::inline(items));
        }
        let mut sources = Vec::new();
        for (index, item) in items.into_iter().enumerate() {
            let number = index + 1;
            if !is_source(&item) {
                return Err(if item.get("kty").is_some() || is_pem(&item) {
                    format!(
                        "item {number} of the list is a single key, and others are sources: write it \
                         as {{\"inline\": …}}"
                    )
                } else {
                    format!("item {number} of the list is not a source of keys")
                });
            }
            let read = Self::read(item)
                .map_err(|problem| format!("item {number} of the list: {problem}"))?;
            sources.extend(read.0);
        }
        Ok(Self(sources))
    }
}

/// Returns whether this is a list of sources of keys, and not a list of keys.
pub(crate) fn is_list_of_sources(value: &Value) -> bool {
    value.as_array().is_some_and(|items| items.iter().any(is_source))
}

/// Returns whether an item of a list is a source of keys, and not a key.
fn is_source(item: &Value) -> bool {
    match item {
        Value::String(text) => is_url(text),
        Value::Object(members) => {
            let is_map_of_pem = members.values().any(is_pem);
            let names = ["discover", "file", "inline", "keys", "url"];
            !members.contains_key("kty")
                && (is_map_of_pem || names.into_iter().any(|name| members.contains_key(name)))
        }
        _ => false,
    }
}

fn is_pem(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.contains("-----BEGIN "))
}

fn is_url(text: &str) -> bool {
    let start = text.trim_start();
    ["https://", "http://"]
        .into_iter()
        .any(|scheme| start.get(..scheme.len()).is_some_and(|s| s.eq_ignore_ascii_case(scheme)))
}

const TOKEN_FILE: &str = "bearer_token_file";

impl From<String> for Keys {
    fn from(text: String) -> Self {
        if is_url(&text) { Self::url(text) } else { Self::inline(text) }
    }
}

impl From<&str> for Keys {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

/// Reads the serde form. `build()` reports a value that cannot be read.
impl From<Value> for Keys {
    fn from(value: Value) -> Self {
        Self::read(value).unwrap_or_else(|problem| Form::Unreadable(problem).into())
    }
}

/// Combines several sources.
impl<K: Into<Keys>> From<Vec<K>> for Keys {
    fn from(sources: Vec<K>) -> Self {
        Self(sources.into_iter().flat_map(|source| source.into().0).collect())
    }
}

/// Combines several sources.
impl<K: Into<Keys>, const N: usize> From<[K; N]> for Keys {
    fn from(sources: [K; N]) -> Self {
        Self(sources.into_iter().flat_map(|source| source.into().0).collect())
    }
}

/// Shows URLs and paths, but not inline keys, which may be secrets.
impl fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Keys(")?;
        for (index, source) in self.0.iter().enumerate() {
            let before = if index == 0 { "" } else { ", " };
            write!(formatter, "{before}{:?}", source.form)?;
        }
        formatter.write_str(")")
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.form.fmt(formatter)
    }
}

impl fmt::Debug for Form {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A URL may contain a password before an @, or in its query.
        let shown = |url: &str| {
            let without_query = url.split(['?', '#']).next().unwrap_or_default();
            if url.contains('@') { "url".to_owned() } else { without_query.to_owned() }
        };
        match self {
            Self::Url(url) => formatter.write_str(&shown(url)),
            Self::Discover(None) => formatter.write_str("discovery"),
            Self::Discover(Some(url)) => write!(formatter, "discovery at {}", shown(url)),
            Self::File(path) => write!(formatter, "file {}", path.display()),
            Self::Custom(source) => formatter.write_str(&source.shown()),
            Self::Inline(_) => formatter.write_str("inline"),
            Self::Unreadable(_) => formatter.write_str("unreadable"),
        }
    }
}

/// Custom sources are equal only if they are clones of each other.
impl PartialEq for Form {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Url(one), Self::Url(other))
            | (Self::Inline(one), Self::Inline(other))
            | (Self::Unreadable(one), Self::Unreadable(other)) => one == other,
            (Self::File(one), Self::File(other)) => one == other,
            (Self::Custom(one), Self::Custom(other)) => Arc::ptr_eq(one, other),
            (Self::Discover(one), Self::Discover(other)) => one == other,
            _ => false,
        }
    }
}
