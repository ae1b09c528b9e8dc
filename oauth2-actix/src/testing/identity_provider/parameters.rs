//! What the endpoints share: the parameters of a request, lists in them, errors and CORS headers.

use actix_web::{
    HttpResponse, HttpResponseBuilder,
    http::{
        StatusCode,
        header::{
            ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
            ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, CACHE_CONTROL,
        },
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;

/// The parameters of a query or form, in their order.
pub(super) struct Parameters(pub(super) Vec<(String, String)>);

impl Parameters {
    /// Returns a parameter. An empty one counts as omitted, and a repeated one is an error (RFC 6749 §3.1 and
    /// §3.2).
    pub(super) fn one(&self, name: &str) -> Result<Option<&str>, Problem> {
        let mut found = self.all(name);
        match (found.next(), found.next()) {
            (first, None) => Ok(first),
            _ => Err(Problem::request("A parameter is repeated, and only resource may be.")),
        }
    }

    /// Returns a parameter that must be there.
    pub(super) fn required(&self, name: &str, problem: &'static str) -> Result<&str, Problem> {
        self.one(name)?.ok_or(Problem::request(problem))
    }

    /// Returns each value of a parameter that is not empty.
    pub(super) fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        let values = self.0.iter().filter(move |(found, _)| found == name);
        values.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// Returns the entries of a list that is delimited by spaces, such as `scope` (RFC 6749 §3.3), without
    /// duplicates.
    pub(super) fn list(&self, name: &str) -> Result<Option<Vec<String>>, Problem> {
        let Some(text) = self.one(name)? else { return Ok(None) };
        let mut list: Vec<String> = Vec::new();
        for entry in text.split(' ') {
            let is_token = |byte| matches!(byte, b'!' | b'#'..=b'[' | b']'..=b'~');
            if entry.is_empty() || !entry.bytes().all(is_token) {
                return Err(Problem::new(
                    "invalid_scope",
                    "A list is not in the form of RFC 6749.",
                ));
            }
            if !list.iter().any(|known| known == entry) {
                list.push(entry.to_owned());
            }
        }
        Ok(Some(list))
    }
}

/// An error response of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) error: &'static str,
    pub(super) description: &'static str,
}

impl Problem {
    pub(super) fn new(error: &'static str, description: &'static str) -> Self {
        Self { error, description }
    }

    pub(super) fn request(description: &'static str) -> Self {
        Self::new("invalid_request", description)
    }

    pub(super) fn client(description: &'static str) -> Self {
        Self::new("invalid_client", description)
    }

    pub(super) fn grant(description: &'static str) -> Self {
        Self::new("invalid_grant", description)
    }

    /// Returns the response of RFC 6749 §5.2 and RFC 7591 §3.2.2.
    pub(super) fn response(self) -> HttpResponse {
        let status = match self.error {
            "invalid_client" => StatusCode::UNAUTHORIZED,
            _ => StatusCode::BAD_REQUEST,
        };
        for_any_origin(HttpResponse::build(status))
            .insert_header((CACHE_CONTROL, "no-store"))
            .json(json!({"error": self.error, "error_description": self.description}))
    }
}

/// Lets a page of any origin read the response.
pub(super) fn for_any_origin(mut response: HttpResponseBuilder) -> HttpResponseBuilder {
    response.insert_header((ACCESS_CONTROL_ALLOW_ORIGIN, "*"));
    response
}

/// Answers a CORS preflight.
pub(super) async fn preflight() -> HttpResponse {
    for_any_origin(HttpResponse::NoContent())
        .insert_header((ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"))
        // `*` does not include `Authorization`.
        .insert_header((ACCESS_CONTROL_ALLOW_HEADERS, "*, Authorization"))
        .insert_header((ACCESS_CONTROL_MAX_AGE, "60"))
        .finish()
}

/// Returns a text that no client can guess, of 256 random bits.
pub(super) fn unguessable() -> String {
    let mut bytes = [0; 32];
    openssl::rand::rand_bytes(&mut bytes).expect("random bytes");
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(pairs: &[(&str, &str)]) -> Parameters {
        Parameters(pairs.iter().map(|&(name, value)| (name.into(), value.into())).collect())
    }

    #[test]
    fn parameter_twice_is_an_error_and_an_empty_one_is_missing() {
        let read =
            parameters(&[("a", "1"), ("b", ""), ("c", "1"), ("c", "1"), ("d", ""), ("d", "2")]);
        assert_eq!(read.one("a"), Ok(Some("1")));
        assert_eq!(read.one("b"), Ok(None));
        assert!(read.one("c").is_err());
        assert_eq!(read.one("d"), Ok(Some("2")));
        assert_eq!(read.one("e"), Ok(None));
    }

    #[test]
    fn list_has_each_entry_once_and_no_other_characters() {
        let list = |text| parameters(&[("scope", text)]).list("scope");
        assert_eq!(list("b a b"), Ok(Some(vec!["b".into(), "a".into()])));
        assert_eq!(list(""), Ok(None));
        for text in [" a", "a  b", "a ", "a\"b", "a\\b", "a\nb", "ä"] {
            assert!(list(text).is_err(), "{text:?}");
        }
    }
}
