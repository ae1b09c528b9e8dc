//! A bounded, conditional GET, and a bounded POST: they follow no redirects and limit the bytes of the response.

use std::{
    collections::HashMap,
    error::Error,
    io,
    net::IpAddr,
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use actix_web::http::header::HttpDate;
use reqwest::{
    Client, RequestBuilder, Response, StatusCode, Version,
    header::{
        ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, DATE,
        ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH, RETRY_AFTER,
    },
};

use crate::{
    http::{
        content_coding::{self, CodingError},
        url::KeyUrl,
    },
    jose::{key_document::without_bom, key_policy::MAX_DOCUMENT_LENGTH},
};

/// The response to a GET.
#[derive(Debug)]
pub(crate) struct Fetched {
    /// None if the document still has the given entity tag.
    pub(crate) body: Option<Vec<u8>>,
    /// `Cache-Control: max-age` (RFC 9111 §5.2.2.1), if there is one.
    pub(crate) max_age: Option<Duration>,
    /// `ETag` (RFC 9110 §8.8.3), if there is one.
    pub(crate) etag: Option<HeaderValue>,
    /// `Date` (RFC 9110 §6.6.1), if there is one.
    pub(crate) date: Option<SystemTime>,
    /// The address that the response came from: of the host, or of a proxy.
    pub(crate) remote: Option<IpAddr>,
}

/// Why a GET failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GetError {
    #[error("no HTTP client: {}", causes(.0))]
    Client(reqwest::Error),
    #[error("no response: {}", causes(.0))]
    Transport(reqwest::Error),
    /// The server has closed a connection that it had kept alive, before it responded.
    #[error("no response: {}", causes(.0))]
    Closed(reqwest::Error),
    #[error("the body of the response broke off: {}", causes(.0))]
    Body(reqwest::Error),
    #[error("{0}")]
    Coding(#[from] CodingError),
    #[error(
        "it redirects (status {0}), and redirects are not followed: configure the URL it leads to"
    )]
    Redirect(StatusCode),
    #[error("the status is {0}, not 200")]
    Status(StatusCode),
    #[error("the document is larger than {0} bytes")]
    TooLarge(usize),
}

impl GetError {
    /// Returns whether no connection could be opened.
    pub(crate) fn is_connect(&self) -> bool {
        matches!(self, Self::Transport(error) if error.is_connect())
    }
}

/// A request with a form.
pub(crate) struct Post<'a> {
    /// The body, form-encoded.
    pub(crate) form: String,
    pub(crate) authorization: Option<HeaderValue>,
    pub(crate) accept: &'a str,
}

/// The response to a POST, whatever its status.
#[derive(Debug)]
pub(crate) struct Posted {
    pub(crate) status: StatusCode,
    /// The media type of the body in lower case, without parameters.
    pub(crate) content_type: Option<String>,
    /// `Retry-After` in seconds (RFC 9110 §10.2.3), if there is one.
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Vec<u8>,
}

/// Gets a document, unless it still has this entity tag (RFC 9110 §13.1.2). The caller limits the time.
pub(crate) async fn get(
    client: &Client,
    url: &KeyUrl,
    etag: Option<&HeaderValue>,
    authorization: Option<&HeaderValue>,
) -> Result<Fetched, GetError> {
    let mut request = client
        .get(url.url().clone())
        .header(ACCEPT, "application/jwk-set+json, application/json, */*;q=0.1")
        .header(ACCEPT_ENCODING, content_coding::ACCEPTED);
    if let Some(etag) = etag {
        request = request.header(IF_NONE_MATCH, etag);
    }
    if let Some(authorization) = authorization {
        request = request.header(AUTHORIZATION, authorization);
    }
    let response = send(request, url).await?;
    let headers = response.headers();
    let max_age = max_age(headers);
    let remote = response.remote_addr().map(|address| address.ip());
    let date = headers.get(DATE).and_then(|date| date.to_str().ok()?.parse::<HttpDate>().ok());
    let date = date.map(SystemTime::from);
    let new_etag = headers.get(ETAG).filter(|etag| etag.len() <= MAX_ETAG).cloned();
    match response.status() {
        StatusCode::OK => Ok(Fetched {
            body: Some(document(response, MAX_BODY).await?),
            max_age,
            etag: new_etag,
            date,
            remote,
        }),
        StatusCode::NOT_MODIFIED if etag.is_some() => {
            Ok(Fetched { body: None, max_age, etag: new_etag.or(etag.cloned()), date, remote })
        }
        // 304 is not a redirect.
        status if status.is_redirection() && status != StatusCode::NOT_MODIFIED => {
            Err(GetError::Redirect(status))
        }
        status => Err(GetError::Status(status)),
    }
}

/// Gets a document with one `Accept`, and returns the response whatever its status is, unless it is a redirect. The
/// caller limits the time.
pub(crate) async fn get_as(
    client: &Client,
    url: &KeyUrl,
    accept: &str,
    limit: usize,
) -> Result<Posted, GetError> {
    let request = client.get(url.url().clone()).header(ACCEPT, accept);
    let request = request.header(ACCEPT_ENCODING, content_coding::ACCEPTED);
    respond(send(request, url).await?, limit).await
}

/// Posts a form, and returns the response whatever its status is, unless it is a redirect. The caller limits the time.
///
/// The form is not sent again if the server has closed a kept-alive connection: [`GetError::Closed`].
pub(crate) async fn post(
    client: &Client,
    url: &KeyUrl,
    post: Post<'_>,
    limit: usize,
) -> Result<Posted, GetError> {
    let mut request = client
        .post(url.url().clone())
        .header(ACCEPT, post.accept)
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(post.form);
    if let Some(authorization) = post.authorization {
        request = request.header(AUTHORIZATION, authorization);
    }
    let request = request.header(ACCEPT_ENCODING, content_coding::ACCEPTED);
    respond(send_once(request, url).await?, limit).await
}

async fn respond(response: Response, limit: usize) -> Result<Posted, GetError> {
    let (status, headers) = (response.status(), response.headers());
    if status.is_redirection() {
        return Err(GetError::Redirect(status));
    }
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let content_type = text(CONTENT_TYPE)
        .map(|value| value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    let retry_after =
        text(RETRY_AFTER).and_then(|value| value.trim().parse().ok()).map(Duration::from_secs);
    let body = document(response, limit).await?;
    Ok(Posted { status, content_type, retry_after, body })
}

/// Sends a request. Retries it once if the server closed the kept-alive connection that it was sent on, which
/// happens when the server's idle timeout expires while the request is sent. A GET may be repeated
/// (RFC 9110 §9.2.2).
async fn send(request: RequestBuilder, url: &KeyUrl) -> Result<Response, GetError> {
    let again = request.try_clone();
    match (send_once(request, url).await, again) {
        (Err(GetError::Closed(_)), Some(again)) => send_once(again, url).await,
        (response, _) => response,
    }
}

async fn send_once(request: RequestBuilder, url: &KeyUrl) -> Result<Response, GetError> {
    let origin = url.url().origin().ascii_serialization();
    let may_be_kept_alive = KeptAlive::may_be_open(&origin);
    let response = match request.send().await {
        Ok(response) => response,
        Err(error) if may_be_kept_alive && is_closed(&error) => {
            KeptAlive::forget(&origin);
            return Err(GetError::Closed(error.without_url()));
        }
        Err(error) => return Err(GetError::Transport(error.without_url())),
    };
    let closes = response.headers().get_all(CONNECTION).iter().any(|value| {
        value.to_str().is_ok_and(|value| value.to_ascii_lowercase().contains("close"))
    });
    if response.version() >= Version::HTTP_11 && !closes {
        KeptAlive::note(origin);
    } else {
        KeptAlive::forget(&origin);
    }
    Ok(response)
}

/// The origins that have responded recently and kept the connection open. reqwest does not report whether a
/// failed request was sent on such a connection.
struct KeptAlive(HashMap<String, Instant>);

impl KeptAlive {
    fn lock() -> MutexGuard<'static, Self> {
        static KEPT_ALIVE: LazyLock<Mutex<KeptAlive>> =
            LazyLock::new(|| Mutex::new(KeptAlive(HashMap::new())));
        KEPT_ALIVE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(origin: String) {
        let mut kept = Self::lock();
        if kept.0.len() >= MAX_KEPT_ALIVE {
            kept.0.retain(|_, answered| answered.elapsed() < POOL_IDLE_TIMEOUT);
        }
        if kept.0.len() >= MAX_KEPT_ALIVE {
            // Requests to these origins are not retried until they respond again.
            kept.0.clear();
        }
        kept.0.insert(origin, Instant::now());
    }

    fn may_be_open(origin: &str) -> bool {
        let kept = Self::lock();
        kept.0.get(origin).is_some_and(|answered| answered.elapsed() < POOL_IDLE_TIMEOUT)
    }

    fn forget(origin: &str) {
        Self::lock().0.remove(origin);
    }
}

/// Returns whether the connection was closed before the first byte of the response.
fn is_closed(error: &reqwest::Error) -> bool {
    use io::ErrorKind as Kind;
    // hyper's error for it has no source, and reqwest does not export its type.
    const BY_HYPER: &str = "connection closed before message completed";
    !error.is_connect()
        && !error.is_timeout()
        && chain(error).any(|cause| match cause.downcast_ref::<io::Error>() {
            Some(error) => matches!(
                error.kind(),
                Kind::BrokenPipe
                    | Kind::ConnectionAborted
                    | Kind::ConnectionReset
                    | Kind::UnexpectedEof
            ),
            None => cause.to_string() == BY_HYPER,
        })
}

/// Reads and decodes the document.
async fn document(response: Response, limit: usize) -> Result<Vec<u8>, GetError> {
    let codings = content_coding::read(response.headers())?;
    let encoded = bounded_body(response, limit).await?;
    let mut body = content_coding::decode(&codings, encoded, limit)?;
    let bom = body.len() - without_bom(&body).len();
    body.drain(..bom);
    Ok(body)
}

async fn bounded_body(mut response: Response, limit: usize) -> Result<Vec<u8>, GetError> {
    if response.content_length().is_some_and(|length| length > limit as u64) {
        return Err(GetError::TooLarge(limit));
    }
    let mut body = Vec::new();
    while let Some(chunk) =
        response.chunk().await.map_err(|error| GetError::Body(error.without_url()))?
    {
        if body.len() + chunk.len() > limit {
            return Err(GetError::TooLarge(limit));
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

/// Returns the texts of the whole chain of errors, since reqwest's own text does not name the cause, and a hint.
pub(crate) fn causes(error: &reqwest::Error) -> String {
    let texts: Vec<String> = chain(error).map(ToString::to_string).collect();
    let text = texts.join(": ");
    // reqwest does not export the types of rustls either.
    let hint = if text.contains("InvalidContentType") {
        " (the server may speak plain http at this port)"
    } else if text.contains("HandshakeFailure") || text.contains("alert: ProtocolVersion") {
        " (the server may support neither TLS 1.2 with ECDHE nor TLS 1.3)"
    } else {
        ""
    };
    text + hint
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// The longest document in bytes, as it is sent and after each decoding.
pub(crate) const MAX_BODY: usize = MAX_DOCUMENT_LENGTH;

/// A longer entity tag is not sent back.
const MAX_ETAG: usize = 256;

/// The largest number of origins in the table.
const MAX_KEPT_ALIVE: usize = 1024;

/// reqwest's default for how long an idle connection is kept open.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(90);

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
