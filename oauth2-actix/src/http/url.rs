//! The URLs from which keys and metadata documents may be fetched.

use std::fmt;

use url::{Host, Url};

use crate::http::resolver::is_public;

/// A URL from which keys may be fetched.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct KeyUrl {
    url: Url,
    /// Whether only public addresses of its host are connected to: a document on the internet has named it.
    public_only: bool,
}

impl KeyUrl {
    /// Parses a URL. It must be https, or http to a loopback host; any http is allowed with
    /// `dangerous_allow_http`.
    pub(crate) fn parse(text: &str, dangerous_allow_http: bool) -> Result<Self, UrlError> {
        let url = Url::parse(text).map_err(UrlError::Unreadable)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlError::Credentials);
        }
        if is_unspecified(&url) {
            return Err(UrlError::Unspecified);
        }
        match url.scheme() {
            "https" => {}
            "http" if dangerous_allow_http || is_loopback(&url) => {}
            "http" => return Err(UrlError::Plaintext),
            _ => return Err(UrlError::Scheme),
        }
        Ok(Self { url, public_only: false })
    }

    /// Parses a URL from a document at this URL. The rules for http are those for a configured URL. It may be
    /// at a loopback host only if this URL is at one. `public_only`: the document came from a public address, so that
    /// another host must have one too.
    pub(crate) fn names(
        &self,
        text: &str,
        dangerous_allow_http: bool,
        public_only: bool,
    ) -> Result<Self, UrlError> {
        let mut named = Self::parse(text, dangerous_allow_http)?;
        if is_loopback(&named.url) && !is_loopback(&self.url) {
            return Err(UrlError::Loopback);
        }
        named.public_only = public_only && named.url.host() != self.url.host();
        let address = match named.url.host() {
            Some(Host::Ipv4(address)) => Some(address.into()),
            Some(Host::Ipv6(address)) => Some(address.into()),
            Some(Host::Domain(_)) | None => None,
        };
        if named.public_only && address.is_some_and(|address| !is_public(address)) {
            return Err(UrlError::Private);
        }
        Ok(named)
    }

    /// Returns a URL of which only public addresses may be connected to.
    #[cfg(test)]
    pub(crate) fn of_public_host(text: &str) -> Self {
        Self { url: Url::parse(text).expect("a URL"), public_only: true }
    }

    /// Returns whether only public addresses of the host may be connected to.
    pub(crate) fn is_public_only(&self) -> bool {
        self.public_only
    }

    /// Returns whether the other URL has the same scheme, host and port.
    pub(crate) fn has_origin_of(&self, other: &Self) -> bool {
        self.url.origin() == other.url.origin()
    }

    /// Returns whether a secret may be sent to the URL: by TLS, or to a loopback host.
    pub(crate) fn is_confidential(&self) -> bool {
        self.url.scheme() == "https" || is_loopback(&self.url)
    }

    /// Returns the URL with another path at the same host.
    pub(crate) fn with_path(&self, path: &str) -> Self {
        let mut named = self.clone();
        named.url.set_path(path);
        named
    }

    /// Returns the URL for logs: without its query, which may contain a secret.
    pub(crate) fn shown(&self) -> &str {
        &self.url[..url::Position::AfterPath]
    }

    /// Returns whether requests to the URL use plain http to a loopback host.
    pub(crate) fn is_plain_loopback(&self) -> bool {
        self.url.scheme() == "http" && is_loopback(&self.url)
    }

    pub(crate) fn url(&self) -> &Url {
        &self.url
    }
}

/// Shows the URL as in logs.
impl fmt::Debug for KeyUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.shown())
    }
}

/// The reason why keys are not fetched from a URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UrlError {
    #[error("the URL is malformed: {0}")]
    Unreadable(url::ParseError),
    #[error("the URL has a user name or password, which would be logged")]
    Credentials,
    #[error(
        "the URL is http, so an attacker on the network could replace the keys: use https (or \
         dangerous_allow_http for a provider inside a private network)"
    )]
    Plaintext,
    #[error("the URL is neither https nor http")]
    Scheme,
    #[error("the URL names no host: `0.0.0.0` and `[::]` are addresses to listen on")]
    Unspecified,
    #[error("the URL is at a loopback host, but the document that names it is not")]
    Loopback,
    #[error("the URL is at an address of a private network, and the document that names it is not")]
    Private,
}

/// Returns whether a URL names a loopback host, by an address or by a name that is reserved for it.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.to_canonical().is_loopback(),
        Some(Host::Domain(name)) => {
            let name = name.strip_suffix('.').unwrap_or(name);
            // RFC 6761 §6.3.
            name == "localhost" || name.ends_with(".localhost")
        }
        None => false,
    }
}

/// Returns whether a URL has the address `0.0.0.0` or `[::]`, which leads to the local host on many systems.
fn is_unspecified(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_unspecified(),
        Some(Host::Ipv6(address)) => address.to_canonical().is_unspecified(),
        Some(Host::Domain(_)) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn https_and_loopback_urls_are_accepted() {
        for text in [
            "https://idp.example/jwks.json",
            "https://idp.example:8443/keys?x=1",
            "http://127.0.0.1:8080/jwks",
            "http://127.9.9.9/jwks",
            "http://[::1]:8080/jwks",
            "http://localhost/jwks",
            "http://LOCALHOST./jwks",
            "http://idp.localhost/jwks",
        ] {
            assert!(KeyUrl::parse(text, false).is_ok(), "{text}");
        }
        assert!(KeyUrl::parse("http://keycloak:8080/certs", true).is_ok());
    }

    #[test]
    fn other_urls_are_rejected() {
        for text in [
            "http://idp.example/jwks",
            "http://10.0.0.1/jwks",
            "http://0.0.0.0/jwks",
            "http://localhost.example/jwks",
            "http://notlocalhost/jwks",
            "http://127.0.0.1.example/jwks",
            "ftp://127.0.0.1/jwks",
            "file:///etc/keys.json",
            "https://0.0.0.0/jwks",
            "http://0/jwks",
            "https://[::]/jwks",
            "https://[::ffff:0.0.0.0]/jwks",
            "https://user:secret@idp.example/jwks",
            "https://user@idp.example/jwks",
            "https://",
            "jwks.json",
            "",
        ] {
            assert!(KeyUrl::parse(text, false).is_err(), "{text}");
        }
        assert!(KeyUrl::parse("ftp://x.example/", true).is_err());
    }

    #[test]
    fn a_url_in_a_document_is_restricted_by_the_url_of_the_document() {
        let names = |issuer: &str, text: &str| {
            let allow_http = issuer.starts_with("http://keycloak");
            KeyUrl::parse(issuer, allow_http).unwrap().names(text, allow_http, false).map(|_| ())
        };
        assert_eq!(names("https://idp.example", "https://keys.example/jwks"), Ok(()));
        assert_eq!(names("http://127.0.0.1:9/", "http://127.0.0.1:9/jwks"), Ok(()));
        assert_eq!(names("http://localhost:9/", "https://keys.example/jwks"), Ok(()));
        assert_eq!(names("http://keycloak:8080/", "http://keycloak:8080/certs"), Ok(()));
        for (issuer, text, why) in [
            ("https://idp.example", "http://keys.example/jwks", UrlError::Plaintext),
            ("https://idp.example", "https://localhost/jwks", UrlError::Loopback),
            ("https://idp.example", "http://127.0.0.1/jwks", UrlError::Loopback),
            ("https://idp.example", "https://[::1]/jwks", UrlError::Loopback),
            ("https://idp.example", "https://[::ffff:127.0.0.1]/jwks", UrlError::Loopback),
            ("https://idp.example", "https://127.1/jwks", UrlError::Loopback),
            ("https://idp.example", "https://0/jwks", UrlError::Unspecified),
            ("https://idp.example", "https://[::]/jwks", UrlError::Unspecified),
            ("http://keycloak:8080/", "http://localhost/certs", UrlError::Loopback),
            ("http://localhost:9/", "http://keys.example/jwks", UrlError::Plaintext),
            ("https://idp.example", "file:///etc/passwd", UrlError::Scheme),
            ("https://idp.example", "https://u:p@idp.example/", UrlError::Credentials),
        ] {
            assert_eq!(names(issuer, text), Err(why), "{issuer} names {text}");
        }
        // If http is allowed for the provider, it is allowed here too. A loopback host is not.
        for issuer in ["https://idp.example", "http://localhost:8080/realms/x"] {
            let issuer = KeyUrl::parse(issuer, true).unwrap();
            assert!(issuer.names("http://keycloak:8080/certs", true, false).is_ok());
            assert_eq!(issuer.names("http://keycloak/", false, false), Err(UrlError::Plaintext));
        }
        let issuer = KeyUrl::parse("https://idp.example", true).unwrap();
        assert_eq!(issuer.names("http://localhost/certs", true, false), Err(UrlError::Loopback));
    }

    #[test]
    fn document_at_a_public_address_names_no_private_address() {
        let issuer = KeyUrl::parse("https://idp.example", false).unwrap();
        for text in [
            "https://10.0.0.1/jwks",
            "https://169.254.169.254/latest/meta-data",
            "https://[fd00::1]/jwks",
            "https://[::ffff:192.168.1.1]/jwks",
            "https://0xa000001/jwks",
        ] {
            assert_eq!(issuer.names(text, false, true), Err(UrlError::Private), "{text}");
            // The document is in the private network itself.
            assert!(!issuer.names(text, false, false).expect(text).is_public_only());
        }
        let own = issuer.names("https://idp.example/jwks", false, true).expect("the same host");
        assert!(!own.is_public_only());
        let other = issuer.names("https://keys.example/jwks", false, true).expect("another host");
        assert!(other.is_public_only() && other.with_path("/x").is_public_only());
    }

    #[test]
    fn origins_are_compared_with_scheme_host_and_port() {
        let url = |text: &str| KeyUrl::parse(text, true).unwrap();
        let key_set = url("https://kubernetes.default.svc/openid/v1/jwks");
        for same in ["https://kubernetes.default.svc:443/x", "https://KUBERNETES.default.svc/?y"] {
            assert!(key_set.has_origin_of(&url(same)), "{same}");
        }
        for other in [
            "http://kubernetes.default.svc/openid/v1/jwks",
            "https://kubernetes.default.svc:6443/openid/v1/jwks",
            "https://kubernetes.default.svc.example/openid/v1/jwks",
            "https://kubernetes.default.svc./openid/v1/jwks",
            "https://10.0.0.1/openid/v1/jwks",
        ] {
            assert!(!key_set.has_origin_of(&url(other)), "{other}");
        }
    }
}
