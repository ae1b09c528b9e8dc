//! Optional locations of a token besides the `Authorization` header: a header of another name, a WebSocket's
//! subprotocols, the query, a cookie. Each is off by default.

use std::borrow::Cow;

use actix_web::{
    dev::RequestHead,
    http::{
        Method,
        header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderName, ORIGIN},
    },
};
use url::{Url, form_urlencoded};

#[cfg(feature = "websocket")]
use actix_web::http::header::SEC_WEBSOCKET_PROTOCOL;

#[cfg(feature = "websocket")]
use crate::request::upgrade::{self, DPOP_MARKER, MARKER};
use crate::{
    config::{error::ConfigError, names},
    error::{Error, ErrorKind},
    request::bearer::{Credentials, TokenSource, is_http_token},
};

/// The requests whose token is read from the query or from a cookie.
///
/// ```
/// use oauth2_actix::{OAuth2, TokenRequests};
///
/// let builder = OAuth2::builder().token_from_query(TokenRequests::WebSocket);
/// # drop(builder);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenRequests {
    /// WebSocket upgrades only. In serde `"websocket"`.
    #[default]
    WebSocket,
    /// Every request. In serde `"every_request"`.
    EveryRequest,
}

/// The token locations that the developer has enabled.
#[derive(Clone, Debug, Default)]
pub(crate) struct TokenSources {
    pub(crate) header: Option<String>,
    #[cfg(feature = "websocket")]
    pub(crate) subprotocol: bool,
    pub(crate) query: Option<TokenRequests>,
    pub(crate) cookie: Option<CookieToken>,
    /// Whether the scheme `DPoP` is on. It is not a source by itself.
    pub(crate) dpop: bool,
}

/// A cookie that holds a token, and which requests may use it.
#[derive(Clone, Debug, Default)]
pub(crate) struct CookieToken {
    pub(crate) name: String,
    /// The origins that may use the cookie, since browsers send it with the requests of any page
    /// (RFC 6455 §10.2).
    pub(crate) origins: Vec<String>,
    pub(crate) requests: TokenRequests,
}

impl TokenSources {
    /// Returns the token of a request, and the part of the request that held it. More than one token is an
    /// error.
    pub(crate) fn credentials<'a>(
        &self,
        head: &'a RequestHead,
        limit: usize,
    ) -> Result<(Credentials<'a>, TokenSource), Error> {
        let is_upgrade = is_upgrade(head);
        let is_covered = |requests| is_upgrade || requests == TokenRequests::EveryRequest;
        let mut found = None;
        let mut take = |token: Cow<'a, [u8]>, source| match found.replace((token, source)) {
            None => Ok(()),
            // A request has one token (RFC 6750 §2).
            Some(_) => Err(malformed("more than one token")),
        };
        if let Some(name) = &self.header {
            for value in head.headers().get_all(name.as_str()) {
                if let Some(token) = without_scheme(value.as_bytes()) {
                    take(Cow::Borrowed(token), TokenSource::NamedHeader)?;
                }
            }
        }
        #[cfg(feature = "websocket")]
        if is_upgrade && self.subprotocol {
            for token in offered_tokens(head.headers(), self.dpop)? {
                let (token, source) = token?;
                take(Cow::Borrowed(token.as_bytes()), source)?;
            }
        }
        if self.query.is_some_and(is_covered)
            && let Some(query) = head.uri.query()
        {
            for (_, value) in
                form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "access_token")
            {
                take(bytes(value), TokenSource::Query)?;
            }
        }
        if let Some(cookie) = self.cookie.as_ref().filter(|cookie| is_covered(cookie.requests)) {
            for value in cookie.values(head.headers()) {
                take(Cow::Borrowed(value), TokenSource::Cookie)?;
            }
        }
        let authorization = Credentials::from_headers(head.headers(), limit, self.dpop);
        let Some((token, source)) = found else {
            return authorization;
        };
        // Credentials of another scheme, such as a gateway's own `Basic`, are not a second token.
        if !matches!(&authorization, Err(error) if *error.kind() == ErrorKind::TokenMissing) {
            return Err(malformed("more than one token: one is in the Authorization header"));
        }
        if let (TokenSource::Cookie, Some(cookie)) = (source, &self.cookie) {
            cookie.check_origin(head, is_upgrade)?;
        }
        Ok((Credentials::from_bytes(token, limit)?, source))
    }

    /// Returns the sources if at least one is enabled.
    pub(crate) fn if_configured(self) -> Option<Self> {
        let any = self.header.is_some() || self.query.is_some() || self.cookie.is_some();
        #[cfg(feature = "websocket")]
        let any = any || self.subprotocol;
        any.then_some(self)
    }

    /// Checks the names of the header and the cookie, and the cookie's origins.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if let Some(name) = &self.header {
            let error =
                |problem: String| Err(ConfigError::of_policy(names::TOKEN_FROM_HEADER, problem));
            let header = HeaderName::from_bytes(name.as_bytes()).ok();
            match header.filter(|_| is_http_token(name)) {
                None => return error(format!("{name:?} is not a valid header name")),
                Some(AUTHORIZATION) => {
                    return error("the Authorization header is always read; omit this".to_owned());
                }
                Some(COOKIE) => {
                    return error(
                        "the Cookie header is not read as a token; use token_from_cookie"
                            .to_owned(),
                    );
                }
                Some(_) => {}
            }
        }
        let error = |problem: String| ConfigError::of_policy(names::TOKEN_FROM_COOKIE, problem);
        let Some(CookieToken { name, origins, requests }) = &self.cookie else { return Ok(()) };
        if !is_http_token(name) {
            return Err(error(format!("{name:?} is not a valid cookie name")));
        }
        if origins.is_empty() && *requests == TokenRequests::WebSocket {
            return Err(error(
                "there is no origin that may use the cookie; expected at least one origin"
                    .to_owned(),
            ));
        }
        match origins.iter().find(|origin| !is_origin(origin)) {
            None => Ok(()),
            Some(origin) => Err(error(format!(
                "{origin:?} is not an origin as browsers send it; expected scheme, host and port, such \
                 as https://app.example.com, without a wildcard or a trailing dot"
            ))),
        }
    }
}

impl CookieToken {
    /// Returns the values of this cookie, without empty ones. There are several if another site has set the
    /// same cookie.
    fn values<'a>(&self, headers: &'a HeaderMap) -> impl Iterator<Item = &'a [u8]> {
        headers
            .get_all(COOKIE)
            .flat_map(|header| header.as_bytes().split(|byte| *byte == b';'))
            .map(<[u8]>::trim_ascii)
            .filter_map(|pair| pair.strip_prefix(self.name.as_bytes())?.strip_prefix(b"="))
            // Browsers send an empty cookie after a logout.
            .filter(|value| !matches!(*value, b"" | b"\"\""))
    }

    /// Checks that the request was sent by a page that may use the cookie. An upgrade is judged by its `Origin`. Any
    /// other request is judged by `Sec-Fetch-Site`, which scripts cannot set (Fetch Metadata), or by `Origin` if that
    /// header is absent or `same-site`.
    fn check_origin(&self, head: &RequestHead, is_upgrade: bool) -> Result<(), Error> {
        let one = |name: &HeaderName| {
            let mut values = head.headers().get_all(name);
            match (values.next(), values.next()) {
                (None, _) => Ok(None),
                (Some(one), None) => Ok(Some(one.as_bytes())),
                (Some(_), Some(_)) => Err(Error::from(ErrorKind::OriginNotAllowed)),
            }
        };
        let origin = one(&ORIGIN)?;
        let is_listed =
            origin.is_some_and(|one| self.origins.iter().any(|origin| origin.as_bytes() == one));
        let site = if is_upgrade { None } else { one(&SEC_FETCH_SITE)? };
        let is_allowed = match site {
            None | Some(b"same-site") => is_listed,
            Some(b"same-origin") => true,
            // The user has typed the address, or opened a bookmark.
            Some(b"none") => matches!(head.method, Method::GET | Method::HEAD),
            Some(_) => false,
        };
        if is_allowed { Ok(()) } else { Err(ErrorKind::OriginNotAllowed.into()) }
    }
}

fn is_upgrade(head: &RequestHead) -> bool {
    #[cfg(feature = "websocket")]
    return upgrade::is_handshake(head);
    #[cfg(not(feature = "websocket"))]
    {
        let _ = head;
        false
    }
}

/// Returns the token of a header value that has the scheme `Bearer` or no scheme. Returns None for another
/// scheme, and for an empty value.
fn without_scheme(value: &[u8]) -> Option<&[u8]> {
    let value = value.trim_ascii();
    let token = match value.iter().position(|byte| *byte == b' ') {
        None => value,
        Some(space) if value[..space].eq_ignore_ascii_case(b"Bearer") => {
            value[space..].trim_ascii_start()
        }
        Some(_) => return None,
    };
    (!token.is_empty()).then_some(token)
}

/// Returns the tokens among the offered protocols: each follows a [`MARKER`], or a [`DPOP_MARKER`] if DPoP is on.
#[cfg(feature = "websocket")]
fn offered_tokens(
    headers: &HeaderMap,
    has_dpop: bool,
) -> Result<impl Iterator<Item = Result<(&str, TokenSource), Error>>, Error> {
    // An unreadable header line cannot be skipped, since it could hold a second token.
    if headers.get_all(SEC_WEBSOCKET_PROTOCOL).any(|line| line.to_str().is_err()) {
        return Err(malformed("Sec-WebSocket-Protocol is not ASCII"));
    }
    let mut offered = upgrade::offered_protocols(headers);
    Ok(std::iter::from_fn(move || {
        let is_marker =
            |protocol: &&str| *protocol == MARKER || (has_dpop && *protocol == DPOP_MARKER);
        let source = match offered.by_ref().find(is_marker)? {
            MARKER => TokenSource::Subprotocol,
            _ => TokenSource::DpopSubprotocol,
        };
        let missing = "no token follows the protocol `bearer` or `dpop`";
        Some(offered.next().map(|token| (token, source)).ok_or_else(|| malformed(missing)))
    }))
}

/// Returns whether this is an origin as browsers send it: scheme, host, and the port if it is not the
/// scheme's default.
pub(crate) fn is_origin(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        let host = url.host_str().unwrap_or_default();
        matches!(url.scheme(), "http" | "https")
            && url.origin().ascii_serialization() == text
            && !host.contains('*')
            && !host.ends_with('.')
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

static SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
