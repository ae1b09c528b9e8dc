//! Places of a token besides the `Authorization` header, each only where our user says so: a WebSocket's
//! subprotocols, the query, a cookie.

use std::borrow::Cow;

use actix_web::{
    dev::RequestHead,
    http::header::{AUTHORIZATION, COOKIE, HeaderMap, ORIGIN},
};
use serde::Deserialize;
use url::{Url, form_urlencoded};

use crate::{
    BuildError,
    bearer::{Credentials, Place},
    error::{Error, ErrorKind},
    websocket,
};

/// For which requests a token may stand in the query, as `access_token`
/// ([RFC 6750 §2.3](https://www.rfc-editor.org/rfc/rfc6750#section-2.3)).
///
/// Addresses are written into logs and histories, and sent on in `Referer`: prefer any other place.
///
/// ```
/// use oauth2_actix::{OAuth2, QueryToken};
///
/// let builder = OAuth2::builder().token_from_query(QueryToken::WebSocket);
/// # drop(builder);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum QueryToken {
    /// For WebSocket upgrades only, whose address a browser shows nowhere.
    #[serde(rename = "websocket", alias = "web_socket")]
    WebSocket,
    /// For every request: for `EventSource`, and for links to downloads.
    EveryRequest,
}

/// The places that our user opened.
#[derive(Clone, Debug, Default)]
pub(crate) struct TokenPlaces {
    pub(crate) subprotocol: bool,
    pub(crate) query: Option<QueryToken>,
    pub(crate) cookie: Option<CookieToken>,
}

/// A cookie that holds a token, and from where it may be used.
#[derive(Clone, Debug, Default)]
pub(crate) struct CookieToken {
    pub(crate) name: String,
    /// Browsers send cookies whoever asks: these say who may (RFC 6455 §10.2).
    pub(crate) origins: Vec<String>,
}

impl TokenPlaces {
    /// The one token of a request, and where it stood.
    pub(crate) fn credentials<'a>(
        &self,
        head: &'a RequestHead,
        limit: usize,
    ) -> Result<(Credentials<'a>, Place), Error> {
        let is_upgrade = websocket::is_handshake(head);
        let mut found = None;
        let mut take = |token: Cow<'a, [u8]>, place| match found.replace((token, place)) {
            None => Ok(()),
            // Which of them counts is not for us to guess (RFC 6750 §2).
            Some(_) => Err(malformed("more than one token")),
        };
        if is_upgrade && self.subprotocol {
            for token in offered_tokens(head.headers()) {
                take(Cow::Borrowed(token?.as_bytes()), Place::Subprotocol)?;
            }
        }
        let query = match self.query {
            Some(QueryToken::EveryRequest) => true,
            Some(QueryToken::WebSocket) => is_upgrade,
            None => false,
        };
        if query && let Some(query) = head.uri.query() {
            for (_, value) in
                form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "access_token")
            {
                take(bytes(value), Place::Query)?;
            }
        }
        if let Some(cookie) = self.cookie.as_ref().filter(|_| is_upgrade) {
            for value in cookie.values(head.headers()) {
                take(Cow::Borrowed(value), Place::Cookie)?;
            }
        }
        let Some((token, place)) = found else {
            return Ok((Credentials::from_headers(head.headers(), limit)?, Place::Header));
        };
        if head.headers().contains_key(AUTHORIZATION) {
            return Err(malformed("a token besides the Authorization header"));
        }
        if let (Place::Cookie, Some(cookie)) = (place, &self.cookie) {
            cookie.check_origin(head.headers())?;
        }
        Ok((Credentials::found(token, limit)?, place))
    }

    pub(crate) fn if_any(self) -> Option<Self> {
        let any = self.subprotocol || self.query.is_some() || self.cookie.is_some();
        any.then_some(self)
    }

    pub(crate) fn check(&self) -> Result<(), BuildError> {
        let fault = |problem: String| BuildError::of_policy("token_from_cookie", problem);
        let Some(CookieToken { name, origins }) = &self.cookie else { return Ok(()) };
        if !websocket::is_http_token(name) {
            return Err(fault(format!("{name:?} is no name of a cookie")));
        }
        if origins.is_empty() {
            return Err(fault(
                "there is no origin from which it may be used: `origins` must name at least one"
                    .to_owned(),
            ));
        }
        match origins.iter().find(|origin| !is_origin(origin)) {
            None => Ok(()),
            Some(origin) => Err(fault(format!(
                "{origin:?} is no origin: scheme, host and port as browsers write them, such as \
                 https://app.example.com"
            ))),
        }
    }
}

impl CookieToken {
    /// The values of this cookie: more than one if somebody put another beside it.
    fn values<'a>(&self, headers: &'a HeaderMap) -> impl Iterator<Item = &'a [u8]> {
        headers
            .get_all(COOKIE)
            .flat_map(|header| header.as_bytes().split(|byte| *byte == b';'))
            .map(<[u8]>::trim_ascii)
            .filter_map(|pair| pair.strip_prefix(self.name.as_bytes())?.strip_prefix(b"="))
    }

    fn check_origin(&self, headers: &HeaderMap) -> Result<(), Error> {
        let mut origins = headers.get_all(ORIGIN);
        match (origins.next(), origins.next()) {
            (Some(one), None)
                if self.origins.iter().any(|origin| origin.as_bytes() == one.as_bytes()) =>
            {
                Ok(())
            }
            _ => Err(ErrorKind::OriginNotAllowed.into()),
        }
    }
}

/// The tokens among the protocols on offer: whatever follows the marker.
fn offered_tokens(headers: &HeaderMap) -> impl Iterator<Item = Result<&str, Error>> {
    let mut offered = websocket::offered(headers);
    std::iter::from_fn(move || {
        offered.by_ref().find(|protocol| *protocol == MARKER)?;
        Some(offered.next().ok_or_else(|| malformed("no token follows the protocol `bearer`")))
    })
}

/// As browsers write it: nothing but scheme, host and a port that is not the scheme's own.
fn is_origin(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == text
    })
}

fn bytes(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

fn malformed(problem: &'static str) -> Error {
    ErrorKind::RequestMalformed { problem }.into()
}

/// The protocol that says that the next one is a token.
pub(crate) const MARKER: &str = "bearer";
