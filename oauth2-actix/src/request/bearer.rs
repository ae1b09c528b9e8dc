//! Parses the `Authorization` header into a token (RFC 6750 §2.1, RFC 9449 §7.1, RFC 9110 §11.4).

use std::{borrow::Cow, fmt};

use actix_web::http::header::{AUTHORIZATION, HeaderMap};

use crate::error::{Error, ErrorKind, challenge::Scheme};

/// The bytes that a client sent as its token, within the length limit. Its `Debug` shows none of them.
pub(crate) struct Credentials<'a>(Cow<'a, [u8]>);

/// The part of a request that held the token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum TokenSource {
    /// `Authorization`.
    #[default]
    Header,
    /// `Authorization` with the scheme `DPoP`.
    DpopHeader,
    /// The header that [`TokenSources::header`](super::token_source::TokenSources) names.
    NamedHeader,
    #[cfg(feature = "websocket")]
    Subprotocol,
    /// A subprotocol, with its proof in the next one.
    #[cfg(feature = "websocket")]
    DpopSubprotocol,
    Query,
    Cookie,
}

impl TokenSource {
    pub(crate) fn scheme(self) -> Scheme {
        match self {
            Self::DpopHeader => Scheme::Dpop,
            #[cfg(feature = "websocket")]
            Self::DpopSubprotocol => Scheme::Dpop,
            _ => Scheme::Bearer,
        }
    }
}

/// A bearer token with valid syntax. Its `Debug` shows no part of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct BearerToken<'a>(&'a str);

impl<'a> Credentials<'a> {
    /// Reads the `Authorization` header of a request, of which there must be one. A token longer than `limit`
    /// bytes is rejected unread. The scheme `DPoP` is another scheme unless it is on.
    #[inline]
    pub(crate) fn from_headers(
        headers: &'a HeaderMap,
        limit: usize,
        has_dpop: bool,
    ) -> Result<(Self, TokenSource), Error> {
        let mut values = headers.get_all(&AUTHORIZATION);
        let Some(value) = values.next() else {
            return Err(ErrorKind::TokenMissing.into());
        };
        if values.next().is_some() {
            return Err(malformed("more than one Authorization header"));
        }
        Self::after_scheme(value.as_bytes(), limit, has_dpop)
    }

    /// Takes a token that was not sent in a header, such as one in a WebSocket message.
    pub(crate) fn from_text(token: &'a str, limit: usize) -> Result<Self, Error> {
        Self::from_bytes(token.as_bytes().into(), limit)
    }

    /// Takes the bytes of a token, without a scheme.
    pub(crate) fn from_bytes(token: Cow<'a, [u8]>, limit: usize) -> Result<Self, Error> {
        check_length(token.len(), limit)?;
        Ok(Self(token))
    }

    /// Reads `Bearer <token>` or `DPoP <token>`.
    fn after_scheme(
        credentials: &'a [u8],
        limit: usize,
        has_dpop: bool,
    ) -> Result<(Self, TokenSource), Error> {
        // Fast path for the usual form.
        if let Some(token) = credentials.strip_prefix(b"Bearer ")
            && !token.starts_with(b" ")
        {
            return Ok((Self::from_bytes(token.into(), limit)?, TokenSource::Header));
        }
        let (scheme, rest) = match credentials.iter().take(32).position(|byte| *byte == b' ') {
            Some(space) => credentials.split_at(space),
            None => (credentials, [].as_slice()),
        };
        let source = if scheme.eq_ignore_ascii_case(b"Bearer") {
            TokenSource::Header
        } else if has_dpop && scheme.eq_ignore_ascii_case(b"DPoP") {
            TokenSource::DpopHeader
        } else {
            return Err(error_for_scheme(scheme, rest, has_dpop));
        };
        let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
        let token = &rest[spaces..];
        if token.is_empty() {
            return Err(malformed("no token follows the scheme"));
        }
        Ok((Self::from_bytes(token.into(), limit)?, source))
    }

    /// Returns the raw bytes. They are unchecked: use them only to compare with the bytes of a verified
    /// token.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Parses `b64token`: `1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="` (RFC 6750 §2.1).
    pub(crate) fn token(&self) -> Result<BearerToken<'_>, Error> {
        let padding = self.0.iter().rev().take_while(|byte| **byte == b'=').count();
        let body = &self.0[..self.0.len() - padding];
        // Without an early exit, which would cost a branch for each byte.
        let is_valid = body.iter().fold(true, |valid, byte| valid & IS_TOKEN68[usize::from(*byte)]);
        if is_valid
            && !body.is_empty()
            && let Ok(token) = std::str::from_utf8(&self.0)
        {
            return Ok(BearerToken(token));
        }
        Err(malformed(if body.is_empty() {
            "the token is empty"
        } else if self.0.starts_with(b"\"") {
            "the token is in quotes"
        } else if body.contains(&b'=') {
            "the token's parts are padded with `=`, where RFC 7515 §2 requires base64url without padding"
        } else {
            "the token has characters that a token68 cannot have (RFC 9110 §11.2)"
        }))
    }
}

/// Checks `token = 1*tchar` (RFC 9110 §5.6.2): a scheme, the name of a header or cookie, a subprotocol.
pub(crate) fn is_http_token(text: impl AsRef<[u8]>) -> bool {
    let is_tchar = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !text.as_ref().is_empty() && text.as_ref().iter().all(is_tchar)
}

/// Returns the error for credentials of another scheme, which count as missing (RFC 6750 §3.1). The scheme
/// may be a token that was sent without one, so the error does not contain it.
fn error_for_scheme(scheme: &[u8], rest: &[u8], has_dpop: bool) -> Error {
    if !is_http_token(scheme) {
        return malformed(
            "the Authorization header does not begin with the scheme Bearer and a space",
        );
    }
    let looks_like_token = rest.is_empty() && scheme.contains(&b'.');
    Error::from(ErrorKind::TokenMissing).with_hint(if looks_like_token {
        "the Authorization header has no scheme; expected `Bearer`, a space and the token"
    } else if scheme.eq_ignore_ascii_case(b"DPoP") && !has_dpop {
        "the Authorization header has the scheme DPoP, which no provider of the configuration has on: see \
         Provider::dpop"
    } else if has_dpop {
        "the Authorization header has a scheme other than Bearer and DPoP"
    } else {
        "the Authorization header has a scheme other than Bearer"
    })
}

impl<'a> BearerToken<'a> {
    pub(crate) fn as_str(self) -> &'a str {
        self.0
    }
}

impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Credentials({} bytes)", self.0.len())
    }
}

impl fmt::Debug for BearerToken<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "BearerToken({} bytes)", self.0.len())
    }
}

fn check_length(length: usize, limit: usize) -> Result<(), Error> {
    if length > limit { Err(ErrorKind::TokenTooLong { length, limit }.into()) } else { Ok(()) }
}

/// The bytes that a token68 may contain, without its padding.
const IS_TOKEN68: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric()
            || matches!(byte as u8, b'-' | b'.' | b'_' | b'~' | b'+' | b'/');
        byte += 1;
    }
    table
};

fn malformed(problem: &'static str) -> Error {
    ErrorKind::RequestMalformed { problem }.into()
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn read(values: &[&[u8]]) -> Result<String, ErrorKind> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(value).expect("header value"));
        }
        Credentials::from_headers(&headers, 100, false)
            .and_then(|(credentials, _)| Ok(credentials.token()?.as_str().to_owned()))
            .map_err(|error| error.kind().clone())
    }

    #[test]
    fn a_bearer_token_is_accepted_in_any_case_and_spacing() {
        for (header, token) in [
            ("Bearer a.b.c", "a.b.c"),
            ("bearer a.b.c", "a.b.c"),
            ("BEARER a.b.c", "a.b.c"),
            ("Bearer    a.b.c", "a.b.c"),
            ("Bearer aZ09-._~+/==", "aZ09-._~+/=="),
        ] {
            assert_eq!(read(&[header.as_bytes()]).as_deref(), Ok(token), "{header}");
        }
    }

    #[test]
    fn scheme_dpop_is_read_only_if_it_is_on() {
        let mut headers = HeaderMap::new();
        for scheme in ["DPoP", "dpop", "DPOP"] {
            let value = HeaderValue::from_str(&format!("{scheme}  a.b.c")).expect("a value");
            headers.insert(AUTHORIZATION, value);
            let (token, source) =
                Credentials::from_headers(&headers, 100, true).expect("credentials");
            assert_eq!((token.as_bytes(), source), (b"a.b.c".as_slice(), TokenSource::DpopHeader));
            let error = Credentials::from_headers(&headers, 100, false).unwrap_err();
            assert!(error.hint().is_some_and(|hint| hint.contains("Provider::dpop")));
        }
        headers.insert(AUTHORIZATION, HeaderValue::from_static("DPoP"));
        let error = Credentials::from_headers(&headers, 100, true).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::RequestMalformed { .. }));
    }

    #[test]
    fn a_missing_header_is_not_malformed() {
        assert_eq!(read(&[]), Err(ErrorKind::TokenMissing));
    }

    #[test]
    fn a_header_without_exactly_one_bearer_token_is_malformed() {
        for header in [
            b"".as_slice(),
            b" ",
            b"Bearer",
            b"Bearer ",
            b"Bearer   ",
            b"Bearer\ta.b.c",
            b"Bearer a.b.c ",
            b"Bearer a.b.c, Bearer d.e.f",
            b"Bearer a.b.c,d.e.f",
            b"Bearer a b",
            b"Bearer ==",
            b"Bearer a=b",
            b"Bearer \"a.b.c\"",
            b"Bearer a.b.c\xff",
            b"Be\xe4rer a.b.c",
            b"Bearer: a.b.c",
            b"Bearer token=a.b.c",
        ] {
            assert!(
                matches!(read(&[header]), Err(ErrorKind::RequestMalformed { .. })),
                "{}",
                header.escape_ascii()
            );
        }
    }

    #[test]
    fn credentials_of_another_scheme_count_as_missing() {
        for header in [
            b"Basic YTpi".as_slice(),
            b"Negotiate abc",
            b"DPoP a.b.c",
            b"Token a.b.c",
            b"Bearera.b.c",
            b"a.b.c",
            b"eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl-c2lnbmF0dXJl",
        ] {
            assert!(
                matches!(read(&[header]), Err(ErrorKind::TokenMissing)),
                "{}",
                header.escape_ascii()
            );
        }
    }

    #[test]
    fn a_token_without_a_scheme_gets_a_hint_that_does_not_show_it() {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_static("secret.token.text"));
        let error = Credentials::from_headers(&headers, 100, false).unwrap_err();
        assert!(error.hint().unwrap().contains("no scheme"));
        assert!(!format!("{error:?} {error}").contains("secret"));
    }

    #[test]
    fn two_equal_headers_are_malformed() {
        assert!(matches!(
            read(&[b"Bearer a.b.c", b"Bearer a.b.c"]),
            Err(ErrorKind::RequestMalformed { .. })
        ));
    }

    #[test]
    fn debug_shows_no_part_of_the_token() {
        assert_eq!(format!("{:?}", BearerToken("secret.token.text")), "BearerToken(17 bytes)");
    }
}
