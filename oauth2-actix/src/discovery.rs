//! Where an issuer says that its keys are: OpenID Connect Discovery 1.0 §4 and RFC 8414 §3.

use reqwest::Client;

use crate::{
    document_readers,
    fetch::{self, FetchError},
    json,
    key_url::{KeyUrl, UrlError},
};

/// An issuer that publishes a document about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Issuer {
    /// Exactly as tokens name it.
    text: String,
    url: KeyUrl,
}

impl Issuer {
    pub(crate) fn parse(text: &str, dangerous_allow_http: bool) -> Result<Self, IssuerError> {
        let url = KeyUrl::parse(text, dangerous_allow_http).map_err(IssuerError::Url)?;
        // OpenID Connect Discovery §3, RFC 8414 §2.
        if url.url().query().is_some() || url.url().fragment().is_some() {
            return Err(IssuerError::Query);
        }
        Ok(Self { text: text.to_owned(), url })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn url(&self) -> &KeyUrl {
        &self.url
    }

    /// Asks the issuer where its keys are.
    pub(crate) async fn discover(&self, client: &Client) -> Result<KeyUrl, FetchError> {
        let [openid, oauth] = self.metadata_urls();
        match self.ask(client, &openid).await {
            // The other form is worth a try if something answers there that is not the document.
            Err(
                first
                @ (FetchError::Status(_) | FetchError::Redirect(_) | FetchError::Discovery(_)),
            ) => self.ask(client, &oauth).await.map_err(|_| first),
            answer => answer,
        }
    }

    /// Appended to the issuer's path, and inserted before it.
    fn metadata_urls(&self) -> [KeyUrl; 2] {
        let path = self.url.url().path().trim_end_matches('/');
        [
            self.url.with_path(&format!("{path}/.well-known/openid-configuration")),
            self.url.with_path(&format!("/.well-known/oauth-authorization-server{path}")),
        ]
    }

    async fn ask(&self, client: &Client, at: &KeyUrl) -> Result<KeyUrl, FetchError> {
        let body = fetch::get(client, at, None).await?.body.unwrap_or_default();
        let issuer = self.clone();
        document_readers::DISCOVERY
            .run(move || issuer.read(&body))
            .await?
            .map_err(|problem| DiscoveryError { problem, at: at.shown().to_owned() }.into())
    }

    /// The document's `jwks_uri`, if it is this issuer's document.
    pub(crate) fn read(&self, document: &[u8]) -> Result<KeyUrl, Problem> {
        if document.len() > MAX_DOCUMENT {
            return Err(Problem::TooLong(document.len()));
        }
        let document = json::parse_object(document).map_err(|_| Problem::NotJson)?;
        // RFC 8414 §3.3: identical, or the document must not be used.
        let issuer = document.get("issuer").and_then(|issuer| issuer.as_str());
        if issuer != Some(&self.text) {
            let found = issuer.map(|issuer| issuer.chars().take(MAX_SHOWN).collect());
            return Err(Problem::OtherIssuer { found });
        }
        let jwks_uri = document.get("jwks_uri").and_then(|uri| uri.as_str());
        self.url.names(jwks_uri.ok_or(Problem::NoJwksUri)?).map_err(Problem::JwksUri)
    }
}

/// Why nothing can be discovered from an issuer, whatever it answers.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IssuerError {
    #[error("the issuer cannot be asked for them: {0}")]
    Url(UrlError),
    #[error("the issuer cannot be asked for them: it has a query or fragment")]
    Query,
}

/// Why an issuer's document is not used.
#[derive(Debug, thiserror::Error)]
#[error("the document at {at} {problem}")]
pub(crate) struct DiscoveryError {
    problem: Problem,
    at: String,
}

#[derive(Debug, PartialEq, thiserror::Error)]
pub(crate) enum Problem {
    #[error("has {0} bytes, more than {MAX_DOCUMENT}")]
    TooLong(usize),
    #[error("is not a JSON object, or has a member twice")]
    NotJson,
    #[error(
        "is that of {}, not of the configured issuer: they must be equal, trailing slash included",
        match found { Some(found) => format!("issuer {found:?}"), None => "no issuer".to_owned() }
    )]
    OtherIssuer { found: Option<String> },
    #[error("has no `jwks_uri`")]
    NoJwksUri,
    #[error("has a `jwks_uri` that may not be used: {0}")]
    JwksUri(UrlError),
}

/// Bytes of an issuer's document. Real ones have 1 to 20 KiB.
const MAX_DOCUMENT: usize = 128 * 1024;

/// Characters of what a document says that the log shows.
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
            let urls = issuer(text).metadata_urls();
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
    }

    #[test]
    fn documents() {
        let issuer = issuer("https://idp.example/x");
        let read = |text: &str| issuer.read(text.as_bytes()).map(|url| url.url().to_string());
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
        let long = format!("{:1$}", "{}", MAX_DOCUMENT + 1);
        for (text, problem) in [
            (long.as_str(), Problem::TooLong(MAX_DOCUMENT + 1)),
            ("", Problem::NotJson),
            ("<html>", Problem::NotJson),
            ("[]", Problem::NotJson),
            (
                r#"{"issuer": "https://evil.example", "issuer": "https://idp.example/x", "jwks_uri": "https://keys.example/k"}"#,
                Problem::NotJson,
            ),
            ("{}", Problem::OtherIssuer { found: None }),
            (r#"{"issuer": ["https://idp.example/x"]}"#, Problem::OtherIssuer { found: None }),
            (r#"{"issuer": "https://idp.example/x"}"#, Problem::NoJwksUri),
            (r#"{"issuer": "https://idp.example/x", "jwks_uri": 1}"#, Problem::NoJwksUri),
            (
                r#"{"issuer": "https://idp.example/x", "jwks_uri": "http://keys.example/k"}"#,
                Problem::JwksUri(UrlError::Plaintext),
            ),
            (
                r#"{"issuer": "https://idp.example/x", "jwks_uri": "https://localhost/k"}"#,
                Problem::JwksUri(UrlError::Loopback),
            ),
        ] {
            assert_eq!(read(text), Err(problem), "{text}");
        }
    }
}
