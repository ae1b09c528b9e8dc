//! One bounded GET: no redirects, a limit on bytes, and asking whether there is anything new.

use std::time::Duration;

use reqwest::{
    Client, Response, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CACHE_CONTROL, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH},
};

use crate::{discovery::DiscoveryError, key_form::DocumentError, key_url::KeyUrl};

/// What a URL returned.
#[derive(Debug)]
pub(crate) struct Fetched {
    /// None: what was there under the given entity tag is there still.
    pub(crate) body: Option<Vec<u8>>,
    /// `Cache-Control: max-age` (RFC 9111 §5.2.2.1), where there is one.
    pub(crate) max_age: Option<Duration>,
    /// `ETag` (RFC 9110 §8.8.3), where there is one.
    pub(crate) etag: Option<HeaderValue>,
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
    #[error("no complete answer within {} s", .0.as_secs_f64())]
    Timeout(Duration),
    #[error("{0}")]
    Document(#[from] DocumentError),
    #[error("{0}")]
    Discovery(#[from] DiscoveryError),
    #[error("{keys}; and discovering them anew: {discovery}")]
    Rediscovery { keys: Box<FetchError>, discovery: Box<FetchError> },
    #[error("no HTTP client: {}", causes(.0))]
    Client(reqwest::Error),
    #[error("the source of keys says: {0}")]
    Source(String),
    #[error("{0}")]
    TokenFile(String),
    #[error("the fetch panicked")]
    Lost,
}

/// Gets a document, unless it is still the one of this entity tag (RFC 9110 §13.1.2). The caller
/// bounds the time.
pub(crate) async fn get(
    client: &Client,
    url: &KeyUrl,
    etag: Option<&HeaderValue>,
    authorization: Option<&HeaderValue>,
) -> Result<Fetched, FetchError> {
    let mut request = client
        .get(url.url().clone())
        .header(ACCEPT, "application/jwk-set+json, application/json, */*;q=0.1");
    if let Some(etag) = etag {
        request = request.header(IF_NONE_MATCH, etag);
    }
    if let Some(authorization) = authorization {
        request = request.header(AUTHORIZATION, authorization);
    }
    let response =
        request.send().await.map_err(|error| FetchError::Transport(error.without_url()))?;
    let headers = response.headers();
    let max_age = max_age(headers);
    let new_etag = headers.get(ETAG).filter(|etag| etag.len() <= MAX_ETAG).cloned();
    match response.status() {
        StatusCode::OK => {
            Ok(Fetched { body: Some(bounded_body(response).await?), max_age, etag: new_etag })
        }
        StatusCode::NOT_MODIFIED if etag.is_some() => {
            Ok(Fetched { body: None, max_age, etag: new_etag.or(etag.cloned()) })
        }
        // 304 leads nowhere.
        status if status.is_redirection() && status != StatusCode::NOT_MODIFIED => {
            Err(FetchError::Redirect(status))
        }
        status => Err(FetchError::Status(status)),
    }
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

/// Bytes of a key document. Real ones have 1 to 20 KiB.
pub(crate) const MAX_BODY: usize = 1024 * 1024;

/// A longer entity tag is not sent back.
const MAX_ETAG: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

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
