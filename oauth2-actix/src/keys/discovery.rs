//! Discovery of the URL of an issuer's keys: OpenID Connect Discovery 1.0 §4 and RFC 8414 §3.

use std::time::SystemTime;

use reqwest::{Client, header::HeaderValue};
use serde_json::{Map, Value};

use crate::{
    http::{
        fetch::{self, GetError},
        resolver::is_public,
        url::{KeyUrl, UrlError},
    },
    json,
    keys::document_readers::{self, ReaderLost},
};

/// An issuer that publishes a metadata document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Issuer {
    /// The `iss` of its tokens.
    text: String,
    document: DocumentUrl,
    dangerous_allow_http: bool,
}

/// The location of an issuer's document.
#[derive(Clone, Debug, PartialEq, Eq)]
enum DocumentUrl {
    /// Below the issuer's own URL.
    Issuer(KeyUrl),
    /// Below another URL.
    Below(KeyUrl),
    /// At exactly this URL.
    Document(KeyUrl),
}

impl Issuer {
    /// Returns an issuer whose document is below its own URL.
    pub(crate) fn parse(text: &str, dangerous_allow_http: bool) -> Result<Self, IssuerError> {
        let url = base(text, dangerous_allow_http)?;
        Ok(Self { text: text.to_owned(), document: DocumentUrl::Issuer(url), dangerous_allow_http })
    }

    /// Returns an issuer whose document is at another URL.
    pub(crate) fn at(
        text: &str,
        url: &str,
        dangerous_allow_http: bool,
    ) -> Result<Self, IssuerError> {
        let document = KeyUrl::parse(url, dangerous_allow_http).map_err(IssuerError::Url)?;
        let document = if document.url().path().contains("/.well-known/") {
            DocumentUrl::Document(document)
        } else {
            DocumentUrl::Below(base(url, dangerous_allow_http)?)
        };
        Ok(Self { text: text.to_owned(), document, dangerous_allow_http })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the text for logs.
    pub(crate) fn shown(&self) -> String {
        match &self.document {
            DocumentUrl::Issuer(_) => format!("discovery of {}", self.text),
            DocumentUrl::Below(url) | DocumentUrl::Document(url) => {
                format!("discovery of {} at {}", self.text, url.shown())
            }
        }
    }

    /// Returns the URL of the document, or the URL that it lies below.
    pub(crate) fn url(&self) -> &KeyUrl {
        let (DocumentUrl::Issuer(url) | DocumentUrl::Below(url) | DocumentUrl::Document(url)) =
            &self.document;
        url
    }

    /// Fetches the document and returns its `jwks_uri`. The header is sent to the host of [`Issuer::url`] only.
    pub(crate) async fn discover(
        &self,
        client: &Client,
        authorization: Option<&HeaderValue>,
    ) -> Result<KeyUrl, DiscoveryError> {
        self.fetch_document(client, authorization, Self::read).await.map(|(url, _)| url)
    }

    /// Fetches the document and returns the URL of an endpoint. With a certificate it is the alias for clients with one, if
    /// there is one (RFC 8705 §5).
    pub(crate) async fn endpoint(
        &self,
        client: &Client,
        endpoint: IssuerEndpoint,
        has_certificate: bool,
    ) -> Result<KeyUrl, DiscoveryError> {
        use IssuerEndpoint::{Introspection, Token};
        let read: Read<KeyUrl> = match (endpoint, has_certificate) {
            (Introspection, false) => {
                |it, text, public| it.read_endpoint(text, Introspection, false, public)
            }
            (Introspection, true) => {
                |it, text, public| it.read_endpoint(text, Introspection, true, public)
            }
            (Token, false) => |it, text, public| it.read_endpoint(text, Token, false, public),
            (Token, true) => |it, text, public| it.read_endpoint(text, Token, true, public),
        };
        self.fetch_document(client, None, read).await.map(|(url, _)| url)
    }

    /// Fetches the document, and returns what it says to clients, and the `Date` of the response.
    pub(crate) async fn metadata(
        &self,
        client: &Client,
    ) -> Result<(IssuerMetadata, Option<SystemTime>), DiscoveryError> {
        self.fetch_document(client, None, Self::read_metadata).await
    }

    async fn fetch_document<T: Send + 'static>(
        &self,
        client: &Client,
        authorization: Option<&HeaderValue>,
        read: Read<T>,
    ) -> Result<(T, Option<SystemTime>), DiscoveryError> {
        let fetch = async |url: &KeyUrl| self.fetch(client, url, authorization, read).await;
        let [openid, oauth] = match &self.document {
            DocumentUrl::Document(url) => return fetch(url).await,
            DocumentUrl::Issuer(url) | DocumentUrl::Below(url) => metadata_urls(url),
        };
        match fetch(&openid).await {
            // The host responds, but not with the document: it may be at the other URL.
            Err(
                first @ (DiscoveryError::Get(GetError::Status(_) | GetError::Redirect(_))
                | DiscoveryError::Document { .. }),
            ) => fetch(&oauth).await.map_err(|_| first),
            answer => answer,
        }
    }

    async fn fetch<T: Send + 'static>(
        &self,
        client: &Client,
        at: &KeyUrl,
        authorization: Option<&HeaderValue>,
        read: Read<T>,
    ) -> Result<(T, Option<SystemTime>), DiscoveryError> {
        let fetched = fetch::get(client, at, None, authorization).await?;
        let body = fetched.body.unwrap_or_default();
        let issuer = self.clone();
        // Without an address, the stricter rule applies.
        let from_public = fetched.remote.is_none_or(is_public);
        let read = document_readers::DISCOVERY.run(move || read(&issuer, &body, from_public));
        let read = read.await?;
        read.map(|read| (read, fetched.date))
            .map_err(|problem| DiscoveryError::Document { problem, at: at.shown().to_owned() })
    }

    /// Returns the `jwks_uri` of a document, if it is this issuer's document.
    pub(crate) fn read(&self, document: &[u8], from_public: bool) -> Result<KeyUrl, Problem> {
        // A document has some forty members, of which two are read.
        let document = self.members(document, &["issuer", "jwks_uri"])?;
        let jwks_uri = document.get("jwks_uri").and_then(|uri| uri.as_str());
        let jwks_uri = jwks_uri.ok_or(Problem::NoJwksUri)?;
        let named = self.url().names(jwks_uri, self.dangerous_allow_http, from_public);
        named.map_err(|error| match error {
            UrlError::Plaintext => Problem::PlaintextJwksUri,
            UrlError::Loopback => Problem::LoopbackJwksUri,
            UrlError::Private => Problem::PrivateJwksUri,
            error => Problem::JwksUri(error),
        })
    }

    fn read_endpoint(
        &self,
        document: &[u8],
        endpoint: IssuerEndpoint,
        has_certificate: bool,
        from_public: bool,
    ) -> Result<KeyUrl, Problem> {
        const ALIASES: &str = "mtls_endpoint_aliases";
        let name = endpoint.member();
        let document = self.members(document, &["issuer", name, ALIASES])?;
        let alias = document.get(ALIASES).and_then(|aliases| aliases.get(name));
        let url = alias.filter(|_| has_certificate).or_else(|| document.get(name));
        let url = url.and_then(|url| url.as_str());
        let url = url.ok_or(Problem::NoEndpoint(name))?;
        let named = self.url().names(url, self.dangerous_allow_http, from_public);
        named.map_err(|error| Problem::Endpoint(name, error))
    }

    fn read_metadata(&self, document: &[u8], _: bool) -> Result<IssuerMetadata, Problem> {
        self.members(document, &METADATA).map(IssuerMetadata)
    }

    /// Returns the members of these names of a document, if it is this issuer's document.
    fn members(&self, document: &[u8], names: &[&str]) -> Result<Map<String, Value>, Problem> {
        if document.len() > MAX_DOCUMENT {
            return Err(Problem::TooLong(document.len()));
        }
        let document = str::from_utf8(document).map_err(|_| Problem::NotUtf8)?;
        let document = json::parse_members(document, names)?;
        // A document with another issuer must not be used (RFC 8414 §3.3).
        let issuer = document.get("issuer").and_then(|issuer| issuer.as_str());
        if issuer != Some(&self.text) {
            let found = issuer.map(|issuer| issuer.chars().take(MAX_SHOWN).collect());
            return Err(Problem::OtherIssuer { found });
        }
        Ok(document)
    }
}

/// Reads one document of an issuer. The flag says whether it came from a public address.
type Read<T> = fn(&Issuer, &[u8], bool) -> Result<T, Problem>;

/// An endpoint that an issuer's document names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IssuerEndpoint {
    Introspection,
    Token,
}

impl IssuerEndpoint {
    /// Returns the member of the document (RFC 8414 §2).
    pub(crate) fn member(self) -> &'static str {
        match self {
            Self::Introspection => "introspection_endpoint",
            Self::Token => "token_endpoint",
        }
    }
}

/// What an issuer's document says to clients.
#[derive(Debug)]
pub(crate) struct IssuerMetadata(Map<String, Value>);

impl IssuerMetadata {
    /// Returns a member that is a list of texts. None if it is missing or of another type.
    pub(crate) fn texts(&self, name: &str) -> Option<Vec<&str>> {
        self.0.get(name)?.as_array()?.iter().map(Value::as_str).collect()
    }

    /// Returns whether a member is there.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}

/// The members of [`IssuerMetadata`].
const METADATA: [&str; 6] = [
    "issuer",
    "authorization_endpoint",
    "code_challenge_methods_supported",
    "id_token_signing_alg_values_supported",
    "protected_resources",
    "scopes_supported",
];

/// Parses a URL to which paths can be added (OpenID Connect Discovery §3, RFC 8414 §2).
fn base(text: &str, dangerous_allow_http: bool) -> Result<KeyUrl, IssuerError> {
    let url = KeyUrl::parse(text, dangerous_allow_http).map_err(IssuerError::Url)?;
    if url.url().query().is_some() || url.url().fragment().is_some() {
        return Err(IssuerError::Query);
    }
    Ok(url)
}

/// Returns the URLs with the well-known path after the URL's path, and before it.
fn metadata_urls(url: &KeyUrl) -> [KeyUrl; 2] {
    let path = url.url().path().trim_end_matches('/');
    [
        url.with_path(&format!("{path}/.well-known/openid-configuration")),
        url.with_path(&format!("/.well-known/oauth-authorization-server{path}")),
    ]
}

/// Why discovery is not possible for an issuer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IssuerError {
    #[error("{0}")]
    Url(UrlError),
    #[error("it has a query or fragment")]
    Query,
}

/// Why an issuer's document is not used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DiscoveryError {
    #[error("{0}")]
    Get(#[from] GetError),
    #[error("the document at {at} {problem}")]
    Document { problem: Problem, at: String },
    #[error("{0}")]
    Reader(#[from] ReaderLost),
}

#[derive(Debug, PartialEq, thiserror::Error)]
pub(crate) enum Problem {
    #[error("has {0} bytes, more than {MAX_DOCUMENT}")]
    TooLong(usize),
    #[error("is not UTF-8 text")]
    NotUtf8,
    #[error("cannot be read: {0}")]
    Unreadable(#[from] json::Unreadable),
    #[error(
        "is that of {}, not of the configured issuer: they must be equal, trailing slash included",
        match found { Some(found) => format!("issuer {found:?}"), None => "no issuer".to_owned() }
    )]
    OtherIssuer { found: Option<String> },
    #[error("has no `jwks_uri`")]
    NoJwksUri,
    #[error(
        "has an http `jwks_uri`, and keys fetched over http can be replaced on the way: configure the \
         https URL of the keys instead of discovery, or, inside a private network, set \
         dangerous_allow_http for the provider"
    )]
    PlaintextJwksUri,
    #[error(
        "has a `jwks_uri` at a loopback host, and is not at one itself: configure the URL of the keys \
         instead of discovery"
    )]
    LoopbackJwksUri,
    #[error(
        "has a `jwks_uri` at an address of a private network, and is at a public one itself: configure the URL of \
         the keys instead of discovery"
    )]
    PrivateJwksUri,
    #[error("has no `{0}`")]
    NoEndpoint(&'static str),
    #[error("has a `{0}` that may not be used: {1}")]
    Endpoint(&'static str, UrlError),
    #[error("has a `jwks_uri` that may not be used: {0}")]
    JwksUri(UrlError),
}

/// The longest metadata document in bytes. Real documents have 1 to 20 KiB.
const MAX_DOCUMENT: usize = 128 * 1024;

/// The largest number of characters of a document's value that is logged.
const MAX_SHOWN: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn issuer(text: &str) -> Issuer {
        Issuer::parse(text, false).unwrap()
    }

    #[test]
    fn where_the_documents_are() {
        for (text, openid, oauth) in [
            (
                "https://idp.example",
                "https://idp.example/.well-known/openid-configuration",
                "https://idp.example/.well-known/oauth-authorization-server",
            ),
            (
                "https://tenant.auth0.com/",
                "https://tenant.auth0.com/.well-known/openid-configuration",
                "https://tenant.auth0.com/.well-known/oauth-authorization-server",
            ),
            (
                "https://sso.example:8443/realms/shop",
                "https://sso.example:8443/realms/shop/.well-known/openid-configuration",
                "https://sso.example:8443/.well-known/oauth-authorization-server/realms/shop",
            ),
        ] {
            let urls = metadata_urls(issuer(text).url());
            assert_eq!(urls.each_ref().map(|url| url.url().as_str()), [openid, oauth]);
        }
    }

    #[test]
    fn issuers_that_cannot_be_asked() {
        for text in [
            "accounts.google.com",
            "http://idp.example",
            "https://a.example/?x",
            "https://a.example/#x",
        ] {
            assert!(Issuer::parse(text, false).is_err(), "{text}");
        }
        assert!(Issuer::parse("http://keycloak:8080/realms/x", true).is_ok());
        for url in ["keycloak:8080", "http://keycloak:8080", "https://keycloak/?x", ""] {
            assert!(Issuer::at("https://idp.example", url, false).is_err(), "{url}");
        }
    }

    #[test]
    fn a_document_apart_from_its_issuer() {
        let at = |url: &str| Issuer::at("accounts.example", url, false).expect("a URL");
        for url in [
            "https://internal.example/.well-known/openid-configuration",
            "https://internal.example/x/.well-known/openid-configuration?p=b2c_1_sign_in",
            "https://internal.example/.well-known/oauth-authorization-server/x",
        ] {
            assert!(matches!(at(url).document, DocumentUrl::Document(_)), "{url}");
            assert_eq!(at(url).url().url().as_str(), url);
        }
        let issuer = at("https://internal.example/realms/x");
        assert!(matches!(issuer.document, DocumentUrl::Below(_)));
        assert_eq!(
            issuer.shown(),
            "discovery of accounts.example at https://internal.example/realms/x"
        );
        let document = |issuer: &str| {
            serde_json::json!({"issuer": issuer, "jwks_uri": "https://keys.example/k"}).to_string()
        };
        assert!(issuer.read(document("accounts.example").as_bytes(), false).is_ok());
        for other in ["https://internal.example/realms/x", "https://accounts.example"] {
            let found = Some(other.to_owned());
            let read = issuer.read(document(other).as_bytes(), false);
            assert_eq!(read, Err(Problem::OtherIssuer { found }));
        }
    }

    #[test]
    fn documents() {
        let issuer = issuer("https://idp.example/x");
        let read =
            |text: &str| issuer.read(text.as_bytes(), false).map(|url| url.url().to_string());
        assert_eq!(
            read(
                r#"{"issuer": "https://idp.example/x", "jwks_uri": "https://keys.example/k", "x": [1]}"#
            ),
            Ok("https://keys.example/k".to_owned())
        );
        let other = |found: &str| Err(Problem::OtherIssuer { found: Some(found.to_owned()) });
        for near in [
            "https://idp.example/x/",
            "https://IDP.example/x",
            "https://idp.example:443/x",
            "https://idp.example/%78",
            "https://idp.example/x ",
            "",
        ] {
            let document =
                serde_json::json!({"issuer": near, "jwks_uri": "https://keys.example/k"});
            assert_eq!(read(&document.to_string()), other(near));
        }
        let long = format!("{{}}{}", " ".repeat(MAX_DOCUMENT - 1));
        for (text, problem) in [
            (long.as_str(), Problem::TooLong(MAX_DOCUMENT + 1)),
            ("", Problem::Unreadable(json::Unreadable::NotAnObject)),
            ("<html>", Problem::Unreadable(json::Unreadable::NotAnObject)),
            ("[]", Problem::Unreadable(json::Unreadable::NotAnObject)),
            ("{}", Problem::OtherIssuer { found: None }),
            (r#"{"issuer": ["https://idp.example/x"]}"#, Problem::OtherIssuer { found: None }),
            (r#"{"issuer": "https://idp.example/x"}"#, Problem::NoJwksUri),
            (r#"{"issuer": "https://idp.example/x", "jwks_uri": 1}"#, Problem::NoJwksUri),
            (
                r#"{"issuer": "https://idp.example/x", "jwks_uri": "http://keys.example/k"}"#,
                Problem::PlaintextJwksUri,
            ),
            (
                r#"{"issuer": "https://idp.example/x", "jwks_uri": "https://localhost/k"}"#,
                Problem::LoopbackJwksUri,
            ),
        ] {
            assert_eq!(read(text), Err(problem), "{text}");
        }
        for twice in [
            r#"{"issuer": "https://evil.example", "issuer": "https://idp.example/x", "jwks_uri": "https://keys.example/k"}"#,
            r#"{"issuer": "https://idp.example/x", "jwks_uri": "https://evil.example/k", "jwks_uri": "https://keys.example/k"}"#,
        ] {
            let Err(Problem::Unreadable(reason)) = read(twice) else { panic!("{twice} is read") };
            assert!(reason.to_string().contains("same member twice"), "{reason}");
        }
        assert_eq!(issuer.read(b"{\"issuer\": \"\xff\"}", false), Err(Problem::NotUtf8));
        // Members that are not read may hold anything.
        for unread in [r#""\ud800""#, r#"{"y": 1, "y": 2}"#, "1e999"] {
            let document = format!(
                r#"{{"issuer": "https://idp.example/x", "jwks_uri": "https://keys.example/k", "x": {unread}}}"#
            );
            assert!(read(&document).is_ok(), "{unread}");
        }
    }

    #[test]
    fn endpoint_of_a_client_with_a_certificate_is_its_alias() {
        let issuer = issuer("https://idp.example");
        let read = |document: &str, has_certificate| {
            let endpoint = IssuerEndpoint::Introspection;
            let read = issuer.read_endpoint(document.as_bytes(), endpoint, has_certificate, false);
            read.map(|url| url.url().to_string())
        };
        let both = r#"{"issuer": "https://idp.example", "introspection_endpoint": "https://idp.example/i",
            "mtls_endpoint_aliases": {"introspection_endpoint": "https://mtls.idp.example/i"}}"#;
        assert_eq!(read(both, false), Ok("https://idp.example/i".to_owned()));
        assert_eq!(read(both, true), Ok("https://mtls.idp.example/i".to_owned()));
        let one = r#"{"issuer": "https://idp.example", "introspection_endpoint": "https://idp.example/i",
            "mtls_endpoint_aliases": {"token_endpoint": "https://mtls.idp.example/t"}}"#;
        assert_eq!(read(one, true), Ok("https://idp.example/i".to_owned()));
        let none = r#"{"issuer": "https://idp.example"}"#;
        assert_eq!(read(none, true), Err(Problem::NoEndpoint("introspection_endpoint")));
        let plain = r#"{"issuer": "https://idp.example", "introspection_endpoint": "http://idp.example/i"}"#;
        let problem = Problem::Endpoint("introspection_endpoint", UrlError::Plaintext);
        assert_eq!(read(plain, false), Err(problem));
    }

    /// Keycloak behind a TLS proxy, or reached by its name in Docker.
    #[test]
    fn an_http_jwks_uri_is_used_where_http_is_allowed() {
        let document = |issuer: &str, jwks_uri: &str| {
            serde_json::json!({"issuer": issuer, "jwks_uri": jwks_uri}).to_string()
        };
        for (name, jwks_uri) in [
            ("http://localhost:8080/realms/x", "http://keycloak:8080/realms/x/certs"),
            ("https://idp.example", "http://keys.example/jwks"),
        ] {
            let document = document(name, jwks_uri);
            let read = |allow_http| {
                let issuer = Issuer::parse(name, allow_http).unwrap();
                issuer.read(document.as_bytes(), false).map(|url| url.url().to_string())
            };
            assert_eq!(read(true), Ok(jwks_uri.to_owned()));
            assert_eq!(read(false), Err(Problem::PlaintextJwksUri));
            let at = |allow_http| {
                let issuer = Issuer::at(name, "https://internal.example", allow_http).unwrap();
                issuer.read(document.as_bytes(), false).map(|url| url.url().to_string())
            };
            assert_eq!(at(true), Ok(jwks_uri.to_owned()));
            assert_eq!(at(false), Err(Problem::PlaintextJwksUri));
        }
        // `dangerous_allow_http` allows http, but not loopback hosts.
        let elsewhere = Issuer::parse("http://keycloak:8080", true).unwrap();
        let document = document("http://keycloak:8080", "http://localhost/certs");
        assert_eq!(elsewhere.read(document.as_bytes(), false), Err(Problem::LoopbackJwksUri));
    }
}
