//! The `WWW-Authenticate` writer (RFC 6750 §3, RFC 9110 §11.6.1). The only place that quotes.

use actix_web::http::header::HeaderValue;

/// A `Bearer` challenge in the making.
#[derive(Debug)]
pub(crate) struct Challenge(String);

impl Challenge {
    /// Every challenge names the realm: RFC 6750 §3 wants at least one parameter.
    pub(crate) fn new(realm: &str) -> Self {
        Self(String::from("Bearer ")).parameter("realm", realm)
    }

    pub(crate) fn error(self, code: &str, description: &str) -> Self {
        self.parameter("error", code).parameter("error_description", description)
    }

    pub(crate) fn scope(self, scope: &str) -> Self {
        self.parameter("scope", scope)
    }

    pub(crate) fn finish(self) -> HeaderValue {
        // Only printable ASCII was let in, so this cannot fail; if it ever did, a bare challenge
        // is still a challenge.
        HeaderValue::try_from(self.0).unwrap_or_else(|_| HeaderValue::from_static("Bearer"))
    }

    /// `name="value"` as a quoted-string (RFC 9110 §5.6.4). Anything but printable ASCII becomes
    /// a `?`: a challenge is one line whatever it is made of.
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
            text(Challenge::new("api").error("insufficient_scope", "More.").scope("a b")),
            r#"Bearer realm="api", error="insufficient_scope", error_description="More.", scope="a b""#
        );
        assert_eq!(text(Challenge::new("api")), r#"Bearer realm="api""#);
    }

    #[test]
    fn nothing_breaks_out_of_the_quotes() {
        assert_eq!(text(Challenge::new("a\"b\\c=")), r#"Bearer realm="a\"b\\c=""#);
        assert_eq!(
            text(Challenge::new("x\r\nSet-Cookie: a=b\u{0}\u{e4}").scope("\"")),
            "Bearer realm=\"x??Set-Cookie: a=b??\", scope=\"\\\"\""
        );
    }
}
