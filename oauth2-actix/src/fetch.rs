//! One bounded GET of a key document: https, no redirects, a limit on bytes; and the rules for
//! the URLs that may be asked.

use std::time::Duration;

use reqwest::{
    Client, Response, StatusCode,
    header::{ACCEPT, CACHE_CONTROL, HeaderMap},
    redirect::Policy,
};
use url::{Host, Url};

/// A URL that keys may be fetched from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyUrl(Url);

impl KeyUrl {
    /// https, or http to a loopback host, or http at all if our user said that it may be.
    pub(crate) fn parse(text: &str, dangerous_allow_http: bool) -> Result<Self, UrlError> {
        let url = Url::parse(text).map_err(UrlError::Unreadable)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlError::Credentials);
        }
        match url.scheme() {
            "https" => {}
            "http" if dangerous_allow_http || is_loopback(&url) => {}
            "http" => return Err(UrlError::Plaintext),
            _ => return Err(UrlError::Scheme),
        }
        Ok(Self(url))
    }

    /// For logs: without its query, which may hold a secret.
    pub(crate) fn shown(&self) -> &str {
        &self.0[..url::Position::AfterPath]
    }
}

/// Why keys are not fetched from a URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UrlError {
    #[error("the URL cannot be read: {0}")]
    Unreadable(url::ParseError),
    #[error("the URL holds a user name or password, which would end up in logs")]
    Credentials,
    #[error(
        "the URL is http: keys that anybody on the way can replace protect nothing; use https \
         (for a provider inside a private network there is dangerous_allow_http)"
    )]
    Plaintext,
    #[error("the URL is neither https nor http")]
    Scheme,
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => {
            let name = name.strip_suffix('.').unwrap_or(name);
            // RFC 6761 §6.3.
            name == "localhost" || name.ends_with(".localhost")
        }
        None => false,
    }
}

/// What a key URL returned.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) body: Vec<u8>,
    /// `Cache-Control: max-age` (RFC 9111 §5.2.2.1), where there is one.
    pub(crate) max_age: Option<Duration>,
}

/// Why a fetch gave nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("no answer: {}", causes(.0))]
    Transport(reqwest::Error),
    #[error("the answer's body broke off: {}", causes(.0))]
    Body(reqwest::Error),
    #[error(
        "it redirects (status {0}), and redirects are not followed: configure the URL it leads to"
    )]
    Redirect(StatusCode),
    #[error("the status is {0}, not 200")]
    Status(StatusCode),
    #[error("the document is larger than {MAX_BODY} bytes")]
    TooLarge,
    #[error("no complete answer within {TIMEOUT:?}")]
    Timeout,
    #[error("{0}")]
    Document(#[from] crate::key_form::DocumentError),
    #[error("the fetch was lost")]
    Lost,
}

/// The HTTP clients of one policy, made when first needed: a client holds the platform's TLS roots.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    network: Option<Client>,
    loopback: Option<Client>,
}

impl Clients {
    pub(crate) fn client(&mut self, url: &KeyUrl) -> Result<Client, reqwest::Error> {
        let builder = Client::builder()
            .user_agent(concat!("oauth2-actix/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .referer(false);
        // Plain http to this very host goes through no proxy, and needs no TLS roots, which a
        // small machine may not have.
        let (client, builder) = if url.0.scheme() == "http" && is_loopback(&url.0) {
            (&mut self.loopback, builder.no_proxy().tls_certs_only([]))
        } else {
            (&mut self.network, builder)
        };
        match client {
            Some(client) => Ok(client.clone()),
            None => Ok(client.insert(builder.build()?).clone()),
        }
    }
}

/// Gets a key document. The caller bounds the time: see [`TIMEOUT`].
pub(crate) async fn get(client: &Client, url: &KeyUrl) -> Result<Fetched, FetchError> {
    let response = client
        .get(url.0.clone())
        .header(ACCEPT, "application/jwk-set+json, application/json, */*;q=0.1")
        .send()
        .await
        .map_err(|error| FetchError::Transport(error.without_url()))?;
    match response.status() {
        StatusCode::OK => {}
        status if status.is_redirection() => return Err(FetchError::Redirect(status)),
        status => return Err(FetchError::Status(status)),
    }
    let max_age = max_age(response.headers());
    Ok(Fetched { body: bounded_body(response).await?, max_age })
}

async fn bounded_body(mut response: Response) -> Result<Vec<u8>, FetchError> {
    if response.content_length().is_some_and(|length| length > MAX_BODY as u64) {
        return Err(FetchError::TooLarge);
    }
    let mut body = Vec::new();
    while let Some(chunk) =
        response.chunk().await.map_err(|error| FetchError::Body(error.without_url()))?
    {
        if body.len() + chunk.len() > MAX_BODY {
            return Err(FetchError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn max_age(headers: &HeaderMap) -> Option<Duration> {
    headers
        .get_all(CACHE_CONTROL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .find_map(|directive| {
            let (name, seconds) = directive.trim().split_once('=')?;
            name.eq_ignore_ascii_case("max-age").then(|| seconds.trim_matches('"').parse().ok())?
        })
        .map(Duration::from_secs)
}

/// The whole chain: reqwest's own text stops before the cause.
fn causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// For the whole of a fetch, from name resolution to the last byte.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of a key document. Real ones have 1 to 20 KiB.
const MAX_BODY: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn urls_that_may_be_asked() {
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
    fn urls_that_may_not() {
        for text in [
            "http://idp.example/jwks",
            "http://10.0.0.1/jwks",
            "http://0.0.0.0/jwks",
            "http://localhost.example/jwks",
            "http://notlocalhost/jwks",
            "http://127.0.0.1.example/jwks",
            "ftp://127.0.0.1/jwks",
            "file:///etc/keys.json",
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
    fn max_ages() {
        let read = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CACHE_CONTROL, HeaderValue::from_static(value));
            max_age(&headers).map(|age| age.as_secs())
        };
        assert_eq!(read("public, max-age=3600, must-revalidate"), Some(3600));
        assert_eq!(read("Max-Age=\"60\""), Some(60));
        assert_eq!(read("s-maxage=60"), None);
        assert_eq!(read("max-age=-1"), None);
        assert_eq!(read("max-age=99999999999999999999999"), None);
        assert_eq!(read("no-store"), None);
    }
}
