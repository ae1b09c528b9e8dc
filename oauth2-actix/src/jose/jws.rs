//! The parser for the compact form of a signed token (RFC 7515 §7.1). It trusts no part of the token.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::{
    error::{Error, ErrorKind},
    jose::algorithm::Algorithm,
    json::object::Object,
};

/// A well-formed token. No part of it is verified.
pub(crate) struct UnverifiedJws {
    pub(crate) header: Header,
    pub(crate) claims: Object,
    pub(crate) signature: Vec<u8>,
    /// The number of bytes that the signature covers: header, dot and payload.
    pub(crate) signed_len: usize,
}

/// The header members that are used (RFC 7515 §4.1). Keys, URLs and certificates in a header are not read.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) alg: Algorithm,
    pub(crate) kid: Option<String>,
    /// `x5t` and `x5t#S256`. They only select among the provider's keys.
    thumbprints: Vec<String>,
    pub(crate) typ: TokenType,
}

/// The `typ` of a message that is no access token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MessageType {
    /// The types without `application/`, of which the message has one.
    pub(crate) names: &'static [&'static str],
    /// Whether the message may have no `typ`.
    pub(crate) is_optional: bool,
}

/// The `typ` of a token's header (RFC 7515 §4.1.9). Other types are rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenType {
    /// `JWT` (RFC 7519 §5.1), or no `typ`.
    Jwt,
    /// `at+jwt`: an access token (RFC 9068 §2.1).
    AccessToken,
    /// `JOSE`: a JWS in compact form with any payload. JWT-SVIDs may have it (JWT-SVID §2.3).
    Jose,
}

impl UnverifiedJws {
    /// Parses a token in time proportional to its length. The caller has checked that the length is within
    /// the limit.
    pub(crate) fn parse(token: &str) -> Result<Self, Error> {
        Self::parse_as(token, TokenType::of_token)
    }

    /// Parses a message of an issuer that is no access token, as [`UnverifiedJws::parse`] does. It never has a type
    /// that an access token may have, unless the message may have that type or none.
    pub(crate) fn parse_message(message: &str, typ: MessageType) -> Result<Self, Error> {
        Self::parse_as(message, |found| {
            let is_expected = match found {
                None => typ.is_optional,
                Some(found) => {
                    let name = without_application(found);
                    typ.names.iter().any(|expected| expected.eq_ignore_ascii_case(name))
                }
            };
            if is_expected { Ok(TokenType::Jwt) } else { Err(ErrorKind::TypeNotAllowed.into()) }
        })
    }

    fn parse_as(
        token: &str,
        read_type: impl FnOnce(Option<&str>) -> Result<TokenType, Error>,
    ) -> Result<Self, Error> {
        let mut parts = token.splitn(4, '.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(malformed(wrong_parts(token)));
        };
        if signature.is_empty() {
            return Err(malformed("the signature is empty, so the token is not signed"));
        }
        let longest = header.len().max(payload.len()).max(signature.len());
        let mut decoded = Vec::with_capacity(base64::decoded_len_estimate(longest));
        decode(header, &mut decoded, "the header is not canonical base64url")?;
        let header_json = Object::parse(&decoded).map_err(|error| {
            malformed("the header is not a strict JSON object").with_source(error)
        })?;
        let signed_len = header.len() + 1 + payload.len();
        let header = Header::read(header_json, read_type)?;
        decode(payload, &mut decoded, "the payload is not canonical base64url")?;
        let claims = Object::parse(&decoded).map_err(|error| {
            malformed("the payload is not a strict JSON object").with_source(error)
        })?;
        decode(signature, &mut decoded, "the signature is not canonical base64url")?;
        Ok(Self { header, claims, signature: decoded, signed_len })
    }
}

impl Header {
    fn read(
        mut members: Object,
        read_type: impl FnOnce(Option<&str>) -> Result<TokenType, Error>,
    ) -> Result<Self, Error> {
        // Extensions that must be understood (RFC 7515 §4.1.11): this crate supports no extension.
        if members.contains("crit") {
            return Err(malformed("the header has `crit`, and no extension is supported"));
        }
        // An unencoded payload (RFC 7797) is for detached content, and not allowed in a JWT.
        if members.contains("b64") {
            return Err(malformed("the header has `b64`, which a JWT must not have"));
        }
        let typ = match members.get("typ") {
            None => read_type(None)?,
            Some(Value::String(typ)) => read_type(Some(typ))?,
            Some(_) => return Err(malformed("the header's `typ` is not a string")),
        };
        let alg = match members.get("alg") {
            Some(Value::String(alg)) => {
                alg.parse().map_err(|_| Error::from(ErrorKind::AlgorithmNotAllowed))?
            }
            _ => return Err(malformed("the header's `alg` is missing or not a string")),
        };
        let kid = match members.take("kid") {
            None => None,
            Some(Value::String(kid)) => Some(kid),
            Some(_) => return Err(malformed("the header's `kid` is not a string")),
        };
        // A thumbprint that is not a string selects no key.
        let thumbprints = members
            .iter()
            .filter(|(name, _)| matches!(*name, "x5t" | "x5t#S256"))
            .filter_map(|(_, value)| value.as_str().map(str::to_owned))
            .collect();
        Ok(Self { alg, kid, thumbprints, typ })
    }

    /// Returns the thumbprints of the certificate that the header names (RFC 7515 §4.1.7 and §4.1.8).
    pub(crate) fn thumbprints(&self) -> impl Iterator<Item = &str> {
        self.thumbprints.iter().map(String::as_str)
    }
}

impl std::fmt::Debug for UnverifiedJws {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Of the token, only its algorithm may be shown.
        formatter.debug_tuple("UnverifiedJws").field(&self.header.alg).finish()
    }
}

impl TokenType {
    /// Reads the type of a token, in upper or lower case, with or without `application/`.
    fn of_token(typ: Option<&str>) -> Result<Self, Error> {
        let Some(typ) = typ else { return Ok(Self::Jwt) };
        let name = without_application(typ);
        if name.eq_ignore_ascii_case("at+jwt") {
            Ok(Self::AccessToken)
        } else if name.eq_ignore_ascii_case("JWT") {
            Ok(Self::Jwt)
        } else if name.eq_ignore_ascii_case("JOSE") {
            Ok(Self::Jose)
        } else {
            Err(Error::from(ErrorKind::TypeNotAllowed).with_expected(TYPES))
        }
    }
}

/// Removes `application/`, which a type may omit (RFC 7515 §4.1.9).
fn without_application(typ: &str) -> &str {
    const PREFIX: &str = "application/";
    match typ.get(..PREFIX.len()) {
        Some(prefix) if prefix.eq_ignore_ascii_case(PREFIX) => &typ[PREFIX.len()..],
        _ => typ,
    }
}

/// The types that every provider accepts, as the log shows them.
pub(crate) const TYPES: &str = "JWT, at+jwt or none";

/// Returns the claims of a token that was parsed before, or of its signed part.
pub(crate) fn claims_of(token: &[u8]) -> Option<Object> {
    let payload = std::str::from_utf8(token).ok()?.split('.').nth(1)?;
    let mut decoded = Vec::new();
    decode(payload, &mut decoded, "").ok()?;
    Object::parse(&decoded).ok()
}

/// Replaces `decoded` by the decoded part. It accepts only base64url without padding, white space or set
/// trailing bits (RFC 7515 §2).
fn decode(part: &str, decoded: &mut Vec<u8>, problem: &'static str) -> Result<(), Error> {
    decoded.clear();
    // The decoder's own message would contain a byte of the token, so it is dropped.
    URL_SAFE_NO_PAD.decode_vec(part, decoded).map_err(|_| {
        malformed(if part.ends_with('=') {
            "a part is padded with `=`, where RFC 7515 §2 requires base64url without padding"
        } else {
            problem
        })
    })
}

/// Returns what a token that does not have three parts probably is.
fn wrong_parts(token: &str) -> &'static str {
    match token.bytes().filter(|byte| *byte == b'.').take(6).count() {
        0 => "it is opaque, not a JWT: it has no dots that separate parts",
        1 => "it has two parts, so it is neither a signed JWT nor an encrypted one",
        4 => {
            "it is an encrypted JWT (JWE, five parts); a signed one is required. Auth0 issues encrypted \
             tokens where the client requests no audience"
        }
        _ => "it does not have the three parts of a signed JWT",
    }
}

fn malformed(problem: &'static str) -> Error {
    ErrorKind::TokenMalformed { problem }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(text: &str) -> String {
        URL_SAFE_NO_PAD.encode(text)
    }

    fn parse(header: &str, payload: &str) -> Result<UnverifiedJws, ErrorKind> {
        UnverifiedJws::parse(&format!("{}.{}.c2ln", encode(header), encode(payload)))
            .map_err(|error| error.kind().clone())
    }

    #[test]
    fn a_plain_token_is_parsed() {
        let jws = parse(r#"{"alg":"ES256","kid":"k","jku":"https://x.example"}"#, r#"{"a":1}"#)
            .expect("parses");
        assert_eq!(jws.header.alg, Algorithm::ES256);
        assert_eq!(jws.header.kid.as_deref(), Some("k"));
        assert_eq!(jws.claims.get("a"), Some(&1.into()));
        assert_eq!(jws.signature, b"sig");
    }

    #[test]
    fn error_contains_no_text_of_the_token() {
        for json in [
            r#""canary""#,
            r#" "canary"#,
            r#"["canary"]"#,
            "123456789",
            r#"{"canary":"canary","canary":1}"#,
            r#"{"canary":canary}"#,
            r#"{"iss":"canary""#,
            r#"{"canary""#,
        ] {
            for (header, payload) in [(json, "{}"), (r#"{"alg":"RS256"}"#, json)] {
                let token = format!("{}.{}.c2ln", encode(header), encode(payload));
                let error = UnverifiedJws::parse(&token).map(drop).expect_err("malformed");
                let source = std::error::Error::source(&error).map(ToString::to_string);
                let shown = format!("{error} {error:?} {source:?}");
                assert!(!shown.contains("canary") && !shown.contains("123"), "{json}: {shown}");
            }
        }
    }

    #[test]
    fn types() {
        use TokenType::{AccessToken, Jose, Jwt};
        for (typ, expected) in [
            ("JWT", Jwt),
            ("jwt", Jwt),
            ("Application/JWT", Jwt),
            ("at+jwt", AccessToken),
            ("AT+JWT", AccessToken),
            ("application/at+jwt", AccessToken),
            ("JOSE", Jose),
            ("application/jose", Jose),
        ] {
            let header = format!(r#"{{"alg":"RS256","typ":"{typ}"}}"#);
            let read = parse(&header, "{}").map(|jws| jws.header.typ);
            assert_eq!(read, Ok(expected), "{typ}");
        }
        let without = parse(r#"{"alg":"RS256"}"#, "{}").map(|jws| jws.header.typ);
        assert_eq!(without, Ok(Jwt));
        for typ in [
            "",
            "JOSE+JSON",
            "JOSE ",
            "id_token+jwt",
            "dpop+jwt",
            "application/",
            "JWT ",
            "application/application/jwt",
        ] {
            let header = format!(r#"{{"alg":"RS256","typ":"{typ}"}}"#);
            assert_eq!(parse(&header, "{}").unwrap_err(), ErrorKind::TypeNotAllowed, "{typ}");
        }
    }

    #[test]
    fn malformed_headers_are_rejected() {
        for header in [
            r#"{}"#,
            r#"{"alg":1}"#,
            r#"{"alg":["RS256"]}"#,
            r#"{"alg":null}"#,
            r#"{"alg":"RS256","alg":"RS256"}"#,
            r#"{"alg":"RS256","kid":1}"#,
            r#"{"alg":"RS256","kid":null}"#,
            r#"{"alg":"RS256","typ":1}"#,
            r#"{"alg":"RS256","crit":["exp"],"exp":1}"#,
            r#"{"alg":"RS256","crit":[]}"#,
            r#"{"alg":"RS256","crit":"x"}"#,
            r#"{"alg":"RS256","b64":false}"#,
            r#"{"alg":"RS256","b64":true}"#,
            r#"["RS256"]"#,
            "",
        ] {
            assert!(
                matches!(parse(header, "{}"), Err(ErrorKind::TokenMalformed { .. })),
                "{header}"
            );
        }
        for alg in ["none", "None", "NONE", "nOnE", "", "RSA-OAEP", "dir", "rs256"] {
            let header = format!(r#"{{"alg":"{alg}"}}"#);
            assert_eq!(parse(&header, "{}").unwrap_err(), ErrorKind::AlgorithmNotAllowed, "{alg}");
        }
    }

    #[test]
    fn malformed_tokens_are_rejected() {
        let (header, payload) = (encode(r#"{"alg":"RS256"}"#), encode("{}"));
        let dots = ".".repeat(10_000);
        for token in [
            String::new(),
            ".".to_owned(),
            "..".to_owned(),
            dots,
            header.clone(),
            format!("{header}.{payload}"),
            format!("{header}.{payload}."),
            format!("{header}.{payload}.c2ln.c2ln"),
            format!("{header}.{payload}.c2ln.c2ln.c2ln"),
            format!("{header}..c2ln"),
            format!(".{payload}.c2ln"),
            format!("{header}=.{payload}.c2ln"),
            format!("{header}.{payload}==.c2ln"),
            format!("{header}.{payload}.c2ln="),
            format!("{header}.{payload}.c2l+"),
            format!("{header}.{payload}.c2l/"),
            format!("{header}.{payload}.c"),
            // `YR` and `YQ` decode to the same byte; only the second is canonical.
            format!("{header}.{payload}.YR"),
        ] {
            assert!(
                matches!(
                    UnverifiedJws::parse(&token).map_err(|error| error.kind().clone()),
                    Err(ErrorKind::TokenMalformed { .. })
                ),
                "{token}"
            );
        }
    }
}
