//! The status for a request without a token.

/// The status for a request without a bearer token: without an `Authorization` header, or with one of another
/// scheme.
///
/// ```
/// use oauth2_actix::{MissingToken, OAuth2};
///
/// let builder = OAuth2::builder().missing_token_status(MissingToken::Unauthorized);
/// # drop(builder);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum MissingToken {
    /// 400: the request is incomplete.
    #[default]
    BadRequest,
    /// 401 ([RFC 6750 §3.1](https://www.rfc-editor.org/rfc/rfc6750#section-3.1)): some clients send a token
    /// only after this response.
    Unauthorized,
}
