//! The responses of a token endpoint (RFC 8693 §2.2, RFC 6749 §5.2).

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;

use crate::{
    config::token_exchange::ExchangeGrant,
    exchange::target::{ACCESS_TOKEN, JWT, is_token68},
    http::fetch::Posted,
    json::object::Object,
    outbound::failure::Severity,
};

/// An issued token.
#[cfg_attr(test, derive(Debug, PartialEq))]
pub(super) struct Answer {
    pub(super) token: String,
    pub(super) issued_token_type: Option<String>,
    /// How long the token is valid, if the response says.
    pub(super) expires_in: Option<Duration>,
    /// The scopes, if the response says.
    pub(super) scopes: Option<Vec<String>>,
}

/// Why a response has no token.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(super) enum ResponseError {
    /// The endpoint rejects this token or target. `claims`: what Entra requires of the user (a claims challenge), as JSON.
    #[error("the exchange was rejected: {code}")]
    Rejected { code: String, description: Option<String>, claims: Option<String> },
    /// The endpoint rejects this API.
    #[error("this API was rejected: {code}{}", in_brackets(.description.as_deref()))]
    Client { code: String, description: Option<String> },
    #[error("the status is {status}, not 200{}", hint(*.status))]
    Status { status: StatusCode },
    #[error("the response has the media type {0:?}, expected {JSON}")]
    MediaType(String),
    #[error("the response is not a JSON object with unique member names")]
    Unreadable,
    #[error("the response is not accepted: {0}")]
    Token(&'static str),
}

impl ResponseError {
    pub(super) fn severity(&self) -> Severity {
        match self {
            Self::Client { .. } => Severity::Endpoint,
            Self::Rejected { .. } => Severity::Request,
            Self::Status { status } => Severity::of_status(*status),
            _ => Severity::Call,
        }
    }
}

fn hint(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 | 403 => ": the endpoint may not accept how this API authenticates",
        404 | 405 => ": the endpoint may be at another URL",
        _ => "",
    }
}

fn in_brackets(text: Option<&str>) -> String {
    text.map(|text| format!(" ({text})")).unwrap_or_default()
}

/// Reads a response.
pub(super) fn read(posted: &Posted, grant: ExchangeGrant) -> Result<Answer, ResponseError> {
    let is_json = posted.content_type.as_deref().is_none_or(|found| found == JSON);
    if posted.status != StatusCode::OK {
        let status = posted.status;
        let refusal = is_json.then(|| refusal(posted)).flatten();
        return Err(refusal.unwrap_or(ResponseError::Status { status }));
    }
    if !is_json {
        return Err(ResponseError::MediaType(posted.content_type.clone().unwrap_or_default()));
    }
    let members = Object::parse(&posted.body).map_err(|_| ResponseError::Unreadable)?;
    let text = |name| members.get(name).and_then(Value::as_str);
    let token = text("access_token").filter(|token| is_token68(token));
    let token = token.ok_or(ResponseError::Token("`access_token` is missing or is no token"))?;
    if token.len() > MAX_TOKEN {
        return Err(ResponseError::Token("`access_token` has more than 16 KiB"));
    }
    match text("token_type") {
        Some(kind) if kind.eq_ignore_ascii_case("Bearer") => {}
        // This API has no key that such a token could be bound to.
        Some(kind) if kind.eq_ignore_ascii_case("DPoP") => {
            return Err(ResponseError::Token("`token_type` is DPoP, expected Bearer"));
        }
        _ => return Err(ResponseError::Token("`token_type` is missing or not Bearer")),
    }
    let issued_token_type = match (text("issued_token_type"), grant) {
        (Some(found @ (ACCESS_TOKEN | JWT)), _) => Some(found.to_owned()),
        (None, ExchangeGrant::OnBehalfOf) if !members.contains("issued_token_type") => None,
        _ => {
            return Err(ResponseError::Token(
                "`issued_token_type` is missing or not that of an access token or JWT",
            ));
        }
    };
    let expires_in =
        match members.get("expires_in") {
            None => None,
            Some(value) => Some(lifetime(value).ok_or(ResponseError::Token(
                "`expires_in` is not a number of seconds above zero",
            ))?),
        };
    let scopes = match members.get("scope") {
        None => None,
        Some(Value::String(scopes)) => {
            Some(scopes.split(' ').filter(|scope| !scope.is_empty()).map(str::to_owned).collect())
        }
        Some(_) => return Err(ResponseError::Token("`scope` is not a string")),
    };
    Ok(Answer { token: token.to_owned(), issued_token_type, expires_in, scopes })
}

/// Returns a time in seconds. Entra's first version sends it as text.
fn lifetime(value: &Value) -> Option<Duration> {
    let seconds = match value {
        Value::String(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().ok()?
        }
        value => value.as_f64()?,
    };
    (seconds > 0.0).then(|| Duration::from_secs_f64(seconds.min(LONGEST_LIFE)))
}

/// Reads an error response.
fn refusal(posted: &Posted) -> Option<ResponseError> {
    let is_refusal = [400, 401, 403].contains(&posted.status.as_u16());
    let members = Object::parse(&posted.body).ok().filter(|_| is_refusal)?;
    let is_code = |code: &&str| {
        // RFC 6749 §5.2.
        let is_of_code = |byte| matches!(byte, b' ' | b'!' | b'#'..=b'[' | b']'..=b'~');
        !code.is_empty() && code.len() <= MAX_CODE && code.bytes().all(is_of_code)
    };
    let code = members.get("error").and_then(Value::as_str).filter(is_code)?.to_owned();
    let description =
        members.get("error_description").and_then(Value::as_str).and_then(disclosable);
    let is_of_client =
        matches!(&*code, "invalid_client" | "unauthorized_client" | "unsupported_grant_type");
    if is_of_client {
        return Some(ResponseError::Client { code, description });
    }
    let claims = members.get("claims").and_then(Value::as_str).and_then(claims_challenge);
    Some(ResponseError::Rejected { code, description, claims })
}

/// Returns the claims challenge of an error, which clients of this API get: a JSON object.
fn claims_challenge(text: &str) -> Option<String> {
    (text.len() <= MAX_CLAIMS && Object::parse(text.as_bytes()).is_ok()).then(|| text.to_owned())
}

impl ResponseError {
    /// Removes a description that repeats one of these tokens.
    pub(super) fn without_tokens(mut self, tokens: &[Option<&str>]) -> Self {
        if let Self::Rejected { description, .. } | Self::Client { description, .. } = &mut self {
            let repeats = |text: &String| tokens.iter().flatten().any(|token| text.contains(token));
            *description = description.take().filter(|text| !repeats(text));
        }
        self
    }
}

/// Returns a description for logs: short, on one line, and without anything that may be a token.
fn disclosable(text: &str) -> Option<String> {
    let line: String = text
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .take(MAX_DESCRIPTION)
        .collect();
    let is_of_token = |letter: char| letter.is_ascii_alphanumeric() || "-._~+/=".contains(letter);
    let has_token = line.split(|letter| !is_of_token(letter)).any(|word| word.len() > LONGEST_WORD);
    let line = line.trim();
    (!has_token && !line.is_empty()).then(|| line.to_owned())
}

pub(super) const JSON: &str = "application/json";

/// The longest token in bytes, as the default for tokens of clients.
const MAX_TOKEN: usize = 16 * 1024;

const MAX_CODE: usize = 100;

/// In bytes. Entra sends some hundreds.
const MAX_CLAIMS: usize = 4 * 1024;

/// In characters.
const MAX_DESCRIPTION: usize = 500;

/// Longer words may be tokens. A UUID has 36 characters.
const LONGEST_WORD: usize = 60;

/// A longer lifetime counts as this one: a year, in seconds.
const LONGEST_LIFE: f64 = 365.0 * 24.0 * 3600.0;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const RFC_8693: ExchangeGrant = ExchangeGrant::TokenExchange;

    fn posted(status: u16, body: &str) -> Posted {
        Posted {
            status: StatusCode::from_u16(status).expect("a status"),
            content_type: Some(JSON.to_owned()),
            retry_after: None,
            body: body.as_bytes().to_vec(),
        }
    }

    /// Reads a valid answer in which one member is another. Null removes it.
    fn with(name: &str, value: Value) -> Result<Answer, ResponseError> {
        let mut body = json!({
            "access_token": "a.b-c_d~e+f/g==",
            "issued_token_type": ACCESS_TOKEN,
            "token_type": "Bearer",
            "expires_in": 60,
            "scope": "x y",
        });
        body[name] = value;
        body.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
        read(&posted(200, &body.to_string()), RFC_8693)
    }

    #[test]
    fn token_with_its_lifetime_and_scopes_is_read() {
        let answer = with("token_type", json!("bearer")).expect("an answer");
        assert_eq!(answer.token, "a.b-c_d~e+f/g==");
        assert_eq!(answer.issued_token_type.as_deref(), Some(ACCESS_TOKEN));
        assert_eq!(answer.expires_in, Some(Duration::from_secs(60)));
        assert_eq!(answer.scopes, Some(vec!["x".to_owned(), "y".to_owned()]));
        let answer = with("issued_token_type", json!(JWT)).expect("an answer");
        assert_eq!(answer.issued_token_type.as_deref(), Some(JWT));
        assert_eq!(with("scope", Value::Null).expect("an answer").scopes, None);
        assert_eq!(with("expires_in", Value::Null).expect("an answer").expires_in, None);
        for (value, seconds) in [
            (json!(0.5), 0.5),
            (json!("3599"), 3599.0),
            (json!(1e300), LONGEST_LIFE),
            (json!(u64::MAX), LONGEST_LIFE),
        ] {
            let expires_in = with("expires_in", value).expect("an answer").expires_in;
            assert_eq!(expires_in, Some(Duration::from_secs_f64(seconds)));
        }
    }

    #[test]
    fn answer_with_a_missing_or_unusable_member_is_refused() {
        for (name, value) in [
            ("access_token", Value::Null),
            ("access_token", json!("")),
            ("access_token", json!("==")),
            ("access_token", json!("a b")),
            ("access_token", json!("a\r\nX: y")),
            ("access_token", json!(7)),
            ("access_token", json!("a".repeat(MAX_TOKEN + 1))),
            ("token_type", Value::Null),
            ("token_type", json!("N_A")),
            ("token_type", json!("DPoP")),
            ("token_type", json!("mac")),
            ("token_type", json!(["Bearer"])),
            ("issued_token_type", Value::Null),
            ("issued_token_type", json!("urn:ietf:params:oauth:token-type:refresh_token")),
            ("issued_token_type", json!("urn:ietf:params:oauth:token-type:id_token")),
            ("issued_token_type", json!(7)),
            ("expires_in", json!(0)),
            ("expires_in", json!(-60)),
            ("expires_in", json!("")),
            ("expires_in", json!("-60")),
            ("expires_in", json!("6e1")),
            ("expires_in", json!([60])),
            ("expires_in", json!(true)),
            ("scope", json!(["x"])),
        ] {
            assert!(
                matches!(with(name, value.clone()), Err(ResponseError::Token(_))),
                "{name} {value}"
            );
        }
    }

    #[test]
    fn response_that_is_no_json_object_is_refused() {
        for body in
            ["", "null", "[]", "{", "{\"access_token\":\"a\",\"access_token\":\"b\"}", "<html>"]
        {
            assert_eq!(
                read(&posted(200, body), RFC_8693),
                Err(ResponseError::Unreadable),
                "{body}"
            );
        }
        let mut html = posted(200, "{}");
        html.content_type = Some("text/html".into());
        assert_eq!(read(&html, RFC_8693), Err(ResponseError::MediaType("text/html".into())));
    }

    #[test]
    fn entra_sends_no_type_of_the_issued_token() {
        let body = r#"{"token_type":"Bearer","access_token":"a.b.c","expires_in":"3599"}"#;
        let answer = read(&posted(200, body), ExchangeGrant::OnBehalfOf).expect("an answer");
        assert_eq!(answer.issued_token_type, None);
        assert!(read(&posted(200, body), RFC_8693).is_err());
    }

    #[test]
    fn error_of_the_client_is_of_the_endpoint_and_others_are_of_the_request() {
        for (status, code, is_of_endpoint) in [
            (400, "invalid_request", false),
            (400, "invalid_target", false),
            (400, "invalid_grant", false),
            (400, "invalid_scope", false),
            (403, "access_denied", false),
            (400, "invalid_client", true),
            (401, "invalid_client", true),
            (401, "invalid_token", false),
            (401, "invalid_grant", false),
            (400, "unauthorized_client", true),
            (400, "unsupported_grant_type", true),
        ] {
            let body = json!({"error": code, "error_description": "Why."}).to_string();
            let error = read(&posted(status, &body), RFC_8693).expect_err("an error");
            assert_eq!(error.severity() == Severity::Endpoint, is_of_endpoint, "{status} {code}");
            let (code, description) = (code.to_owned(), Some("Why.".to_owned()));
            let expected = match is_of_endpoint {
                true => ResponseError::Client { code, description },
                false => ResponseError::Rejected { code, description, claims: None },
            };
            assert_eq!(error, expected);
        }
        for (status, body) in [
            (400, "{}"),
            (400, r#"{"error":7}"#),
            (400, r#"{"error":""}"#),
            (400, "{\"error\":\"a\\nb\"}"),
            (404, r#"{"error":"not_found"}"#),
            (500, r#"{"error":"invalid_grant"}"#),
            (503, ""),
        ] {
            let error = read(&posted(status, body), RFC_8693).expect_err("an error");
            assert!(matches!(error, ResponseError::Status { .. }), "{status} {body}: {error:?}");
        }
    }

    #[test]
    fn description_is_one_line_without_a_token() {
        let aadsts = "AADSTS50013: Assertion failed signature validation. Trace ID: 3f9a1c5e-0b6f-4d2e-8d53-9a4bb1f0a600";
        assert_eq!(disclosable(aadsts).as_deref(), Some(aadsts));
        assert_eq!(disclosable("a\r\nb").as_deref(), Some("a  b"));
        assert_eq!(disclosable(" \n"), None);
        let token = format!("The token eyJhbGciOiJFUzI1NiJ9.{} is bad.", "a".repeat(40));
        assert_eq!(disclosable(&token), None);
        assert_eq!(disclosable(&"a ".repeat(1000)).expect("a text").len(), MAX_DESCRIPTION - 1);
    }
}
