//! The body of a request, read within bounds.

use std::{borrow::Cow, time::Duration};

use actix_web::web::Payload;
use futures_util::StreamExt;
use url::form_urlencoded;

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyError {
    TooLarge,
    /// The connection has broken, or the client is too slow.
    Incomplete,
}

/// Reads a body of at most [`MAX_BODY`] bytes within 10 s.
pub(super) async fn read_body(payload: &mut Payload) -> Result<Vec<u8>, BodyError> {
    let read = async {
        let mut body = Vec::new();
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|_| BodyError::Incomplete)?;
            if body.len() + chunk.len() > MAX_BODY {
                return Err(BodyError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    };
    tokio::time::timeout(TIMEOUT, read).await.unwrap_or(Err(BodyError::Incomplete))
}

/// Returns the only value of a field of a form. Other fields are ignored.
pub(super) fn only_value<'a>(body: &'a [u8], name: &str) -> Option<Cow<'a, str>> {
    let mut values = form_urlencoded::parse(body).filter(|(field, _)| field == name);
    let (_, value) = values.next()?;
    values.next().is_none().then_some(value)
}

/// The longest body: a message of 16 KiB, its name and some other fields.
pub(super) const MAX_BODY: usize = 17 * 1024;

const TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_is_read_if_there_is_exactly_one() {
        for (body, value) in [
            ("logout_token=a.b-_c", Some("a.b-_c")),
            ("x=1&logout_token=a%2Eb&y", Some("a.b")),
            ("logout_token=", Some("")),
            ("", None),
            ("Logout_Token=a", None),
            ("logout_token=a&logout_token=a", None),
            ("{\"logout_token\":\"a\"}", None),
        ] {
            assert_eq!(only_value(body.as_bytes(), "logout_token").as_deref(), value, "{body}");
        }
    }
}
