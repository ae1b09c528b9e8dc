//! The `WWW-Authenticate` header (RFC 6750 §3, RFC 9449 §7.1, RFC 9110 §11.6.1). Only this file quotes parameters.

use std::time::Duration;

use actix_web::http::header::HeaderValue;

/// What clients search the whole header for. A realm must not contain it.
pub(crate) const SEARCHED: [&str; 5] =
    ["resource_metadata=", "scope=", "error=", "acr_values=", "max_age="];

/// The authentication scheme of a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Scheme {
    #[default]
    Bearer,
    Dpop,
}

/// The builder of a challenge. Parameters are written in the order of the calls.
///
/// Some clients search the whole header for `scope=` instead of parsing it, so the parameters that they act on
/// come before text that people wrote.
#[derive(Debug)]
pub(crate) struct Challenge(String);

impl Challenge {
    /// Starts a challenge, which needs at least one parameter (RFC 6750 §3).
    pub(crate) fn new(scheme: Scheme) -> Self {
        Self(String::from(match scheme {
            Scheme::Bearer => "Bearer ",
            Scheme::Dpop => "DPoP ",
        }))
    }

    /// Adds the URL of the resource's metadata document (RFC 9728 §5.1).
    pub(crate) fn resource_metadata(self, url: &str) -> Self {
        self.parameter("resource_metadata", url)
    }

    pub(crate) fn scope(self, scope: &str) -> Self {
        self.parameter("scope", scope)
    }

    pub(crate) fn realm(self, realm: &str) -> Self {
        self.parameter("realm", realm)
    }

    pub(crate) fn error(self, code: &str) -> Self {
        self.parameter("error", code)
    }

    /// Adds what a new authentication must be: `acr_values`, by preference, and `max_age` (RFC 9470 §3).
    pub(crate) fn authentication(
        mut self,
        acr_values: &[String],
        max_age: Option<Duration>,
    ) -> Self {
        if !acr_values.is_empty() {
            self = self.parameter("acr_values", &acr_values.join(" "));
        }
        if let Some(max_age) = max_age {
            // Rounded down, so that what the client then gets is recent enough.
            self = self.parameter("max_age", &max_age.as_secs().to_string());
        }
        self
    }

    /// Adds the algorithms of proofs, separated by spaces (RFC 9449 §7.1).
    pub(crate) fn algs(self, algorithms: &str) -> Self {
        self.parameter("algs", algorithms)
    }

    pub(crate) fn description(self, description: &str) -> Self {
        self.parameter("error_description", description)
    }

    pub(crate) fn finish(self) -> HeaderValue {
        // `parameter` adds only printable ASCII, so this cannot fail. A bare `Bearer` is a valid challenge too.
        HeaderValue::try_from(self.0).unwrap_or_else(|_| HeaderValue::from_static("Bearer"))
    }

    /// Adds `name="value"` as a quoted-string (RFC 9110 §5.6.4). Every other character than printable ASCII
    /// becomes `?`, so that a challenge is always one line.
    fn parameter(mut self, name: &str, value: &str) -> Self {
        if self.0.contains('=') {
            self.0.push_str(", ");
        }
        self.0.push_str(name);
        self.0.push_str("=\"");
        for character in value.chars() {
            match character {
                '"' | '\\' => self.0.extend(['\\', character]),
                ' '..='~' => self.0.push(character),
                _ => self.0.push('?'),
            }
        }
        self.0.push('"');
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(challenge: Challenge) -> String {
        challenge.finish().to_str().expect("ASCII").to_owned()
    }

    #[test]
    fn parameters_are_separated_by_commas() {
        assert_eq!(
            text(
                Challenge::new(Scheme::Bearer)
                    .scope("a b")
                    .realm("api")
                    .error("insufficient_scope")
                    .description("More.")
            ),
            r#"Bearer scope="a b", realm="api", error="insufficient_scope", error_description="More.""#
        );
        assert_eq!(
            text(Challenge::new(Scheme::Bearer).resource_metadata("https://h/x").realm("api")),
            r#"Bearer resource_metadata="https://h/x", realm="api""#
        );
        assert_eq!(text(Challenge::new(Scheme::Bearer).realm("api")), r#"Bearer realm="api""#);
        let values = ["urn:a".to_owned(), "urn:b".to_owned()];
        let age = Duration::from_millis(5_900);
        for (acr_values, max_age, expected) in [
            (
                &values[..],
                Some(age),
                r#"Bearer realm="api", acr_values="urn:a urn:b", max_age="5""#,
            ),
            (&[], Some(Duration::ZERO), r#"Bearer realm="api", max_age="0""#),
            (&values[1..], None, r#"Bearer realm="api", acr_values="urn:b""#),
        ] {
            let challenge =
                Challenge::new(Scheme::Bearer).realm("api").authentication(acr_values, max_age);
            assert_eq!(text(challenge), expected);
        }
    }

    #[test]
    fn dpop_challenge_names_its_algorithms() {
        assert_eq!(
            text(Challenge::new(Scheme::Dpop).realm("api").algs("ES256 EdDSA")),
            r#"DPoP realm="api", algs="ES256 EdDSA""#
        );
    }

    #[test]
    fn a_value_cannot_end_the_quotes() {
        assert_eq!(
            text(Challenge::new(Scheme::Bearer).realm("a\"b\\c=")),
            r#"Bearer realm="a\"b\\c=""#
        );
        assert_eq!(
            text(
                Challenge::new(Scheme::Bearer).realm("x\r\nSet-Cookie: a=b\u{0}\u{e4}").scope("\"")
            ),
            "Bearer realm=\"x??Set-Cookie: a=b??\", scope=\"\\\"\""
        );
    }
}
