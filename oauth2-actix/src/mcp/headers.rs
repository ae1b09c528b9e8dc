//! The headers that repeat a part of the body: `MCP-Protocol-Version`, `Mcp-Method` and `Mcp-Name`
//! (revision 2026-07-28, Streamable HTTP, Server Validation), and those that say how to read the body.

use std::borrow::Cow;

use actix_web::http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use base64::{Engine, prelude::BASE64_STANDARD};

use super::{
    operation::{Body, Call, Source, Target},
    refusal::Refusal,
};

/// What the headers of a request say about its body.
#[derive(Debug)]
pub(super) struct Declared<'a> {
    version: Option<&'a str>,
    method: Option<&'a str>,
    name: Option<Cow<'a, str>>,
}

impl<'a> Declared<'a> {
    /// Reads the headers. Each may be there once.
    pub(super) fn read(headers: &'a HeaderMap) -> Result<Self, Refusal> {
        let version = single(headers, "mcp-protocol-version")?;
        let is_version = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
        };
        if !version.is_none_or(is_version) {
            return Err(Refusal::Header("MCP-Protocol-Version is not one version."));
        }
        let name = match single(headers, "mcp-name")? {
            None => None,
            Some(name) => Some(decoded(name).ok_or(Refusal::Header("Mcp-Name is malformed."))?),
        };
        Ok(Self { version, method: single(headers, "mcp-method")?, name })
    }

    /// Checks that the headers say what the body says.
    pub(super) fn check(&self, body: &Body<'_>) -> Result<(), Refusal> {
        const CONTRADICTION: Refusal = Refusal::Header("A header contradicts the body.");
        let Body::Call(call) = body else {
            // There is no one method that the headers could name.
            let is_silent = self.method.is_none() && self.name.is_none();
            let is_batch_of_an_old_revision =
                !body.calls().iter().any(|call| is_new(call.version.as_deref()))
                    && !is_new(self.version);
            let is_response = matches!(body, Body::Response);
            let is_consistent = is_silent && (is_response || is_batch_of_an_old_revision);
            return if is_consistent { Ok(()) } else { Err(CONTRADICTION) };
        };
        if let (Some(declared), Some(version)) = (self.version, &call.version)
            && declared != version
        {
            return Err(CONTRADICTION);
        }
        if self.version.is_none() && is_new(call.version.as_deref()) {
            return Err(Refusal::Header("MCP-Protocol-Version is missing."));
        }
        let is_required =
            is_new(self.version.or(call.version.as_deref())) && call.method != "initialize";
        match self.method {
            Some(method) if method != call.method => return Err(CONTRADICTION),
            None if is_required => return Err(Refusal::Header("Mcp-Method is missing.")),
            _ => {}
        }
        match (&self.name, &call.name) {
            (Some(declared), Some(name)) if declared == name => Ok(()),
            (Some(_), _) => Err(CONTRADICTION),
            (None, Some(_)) if is_required && needs_name(&call.method) => {
                Err(Refusal::Header("Mcp-Name is missing."))
            }
            (None, _) => Ok(()),
        }
    }

    /// Returns the call that the headers name, if they name all that a rule depends on, and if a server must
    /// compare them with the body.
    pub(super) fn call(&self) -> Option<Call<'_>> {
        if !self.version.is_some_and(|version| is_date(version) && is_new(Some(version))) {
            return None;
        }
        let (method, name) = (self.method?, self.name.as_deref());
        let target = match (Source::of(method), name) {
            (Source::Tool, Some(name)) => Some(Target::Tool(name.into())),
            (Source::Prompt, Some(name)) => Some(Target::Prompt(name.into())),
            (Source::Resource, Some(uri)) if needs_name(method) => {
                Some(Target::Resource(uri.into()))
            }
            (Source::Nothing, None) | (Source::Task, _) => None,
            _ => return None,
        };
        let targets = target.into_iter().collect();
        Some(Call { method: method.into(), targets, name: None, version: None })
    }
}

/// Checks that the body is JSON in UTF-8, without a coding.
pub(super) fn check_media_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut codings = headers.get_all(CONTENT_ENCODING);
    if !codings.all(|coding| coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity")) {
        return Err(Refusal::MediaType("The body has a content coding."));
    }
    let mut types = headers.get_all(CONTENT_TYPE);
    let (Some(media_type), None) = (types.next(), types.next()) else {
        return Err(NOT_JSON);
    };
    let mut parts = media_type.to_str().map_err(|_| NOT_JSON)?.split(';').map(str::trim);
    if !parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case("application/json")) {
        return Err(NOT_JSON);
    }
    let is_utf_8 = |parameter: &str| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        !name.trim().eq_ignore_ascii_case("charset")
            || value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
    };
    if parts.all(is_utf_8) { Ok(()) } else { Err(NOT_JSON) }
}

/// Returns the value of a header that may be there once.
fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name);
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            let text = value.to_str().ok().map(|text| text.trim_matches([' ', '\t']));
            text.map(Some).ok_or(Refusal::Header("A header has characters that it may not have."))
        }
        (Some(_), Some(_)) => Err(Refusal::Header("A header is repeated.")),
    }
}

/// Decodes `=?base64?…?=`. Any other value is the name itself.
fn decoded(value: &str) -> Option<Cow<'_, str>> {
    match value.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) {
        None => Some(Cow::Borrowed(value)),
        Some(encoded) => {
            let bytes = BASE64_STANDARD.decode(encoded).ok()?;
            String::from_utf8(bytes).ok().map(Cow::Owned)
        }
    }
}

/// Returns whether the revision requires the headers. Revisions are dates, which are ordered as text.
fn is_new(version: Option<&str>) -> bool {
    version.is_some_and(|version| version >= FIRST_VERSION_WITH_HEADERS)
}

fn is_date(version: &str) -> bool {
    version.len() == 10
        && version.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

/// Returns whether `Mcp-Name` is mandatory.
fn needs_name(method: &str) -> bool {
    matches!(method, "tools/call" | "prompts/get" | "resources/read")
}

const FIRST_VERSION_WITH_HEADERS: &str = "2026-07-28";
const NOT_JSON: Refusal = Refusal::MediaType("The content type is not application/json.");

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    const CALL: &str =
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"refund"}}"#;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let value = HeaderValue::from_str(value).expect("a value");
            headers.append(HeaderName::from_static(name), value);
        }
        headers
    }

    fn checked(lines: &[(&'static str, &str)], body: &str) -> Result<(), Refusal> {
        let headers = headers(lines);
        let body = Body::read(body.as_bytes()).expect("a body");
        Declared::read(&headers)?.check(&body)
    }

    #[test]
    fn headers_that_say_what_the_body_says_pass() {
        let new = ("mcp-protocol-version", "2026-07-28");
        let old = ("mcp-protocol-version", "2025-06-18");
        let method = ("mcp-method", "tools/call");
        let name = ("mcp-name", "refund");
        let encoded = ("mcp-name", "=?base64?cmVmdW5k?=");
        let response = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
        let initialize = r#"{"jsonrpc":"2.0","id":1,"method":"initialize"}"#;
        let batch = format!("[{CALL}]");
        for (lines, body) in [
            (vec![], CALL),
            (vec![old], CALL),
            (vec![old, method], CALL),
            (vec![old, name], CALL),
            (vec![new, method, name], CALL),
            (vec![new, method, encoded], CALL),
            (vec![new], response),
            (vec![new], initialize),
            (vec![old], &batch),
            (vec![], &batch),
        ] {
            assert_eq!(checked(&lines, body), Ok(()), "{lines:?} {body}");
        }
    }

    #[test]
    fn headers_that_contradict_the_body_or_are_missing_are_refused() {
        let new = ("mcp-protocol-version", "2026-07-28");
        let old = ("mcp-protocol-version", "2025-06-18");
        let method = ("mcp-method", "tools/call");
        let name = ("mcp-name", "refund");
        let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
        let response = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
        let declared = CALL.replace(
            r#"{"name""#,
            r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"},"name""#,
        );
        let (batch, new_batch) = (format!("[{CALL}]"), format!("[{declared}]"));
        for (lines, body) in [
            (vec![new], CALL),
            (vec![new, method], CALL),
            (vec![new, name], CALL),
            (vec![("mcp-protocol-version", "2027-01-01")], CALL),
            (vec![("mcp-protocol-version", "DRAFT-2026")], CALL),
            (vec![old, ("mcp-name", "list")], CALL),
            (vec![("mcp-name", "list")], CALL),
            (vec![("mcp-name", "Refund")], CALL),
            (vec![("mcp-name", "=?base64?bGlzdA==?=")], CALL),
            (vec![("mcp-name", "=?base64?cmVmdW5k")], CALL),
            (vec![("mcp-name", "=?base64?!?=")], CALL),
            (vec![("mcp-name", "=?base64?/w==?=")], CALL),
            (vec![("mcp-method", "tools/list")], CALL),
            (vec![new, method, name, name], CALL),
            (vec![new, method, method, name], CALL),
            (vec![old, new, method, name], CALL),
            (vec![("mcp-protocol-version", "2026-07-28, 2025-06-18"), method, name], CALL),
            (vec![("mcp-protocol-version", ""), method, name], CALL),
            (vec![new, method, ("mcp-name", "refund, list")], CALL),
            (vec![name], ping),
            (vec![name], response),
            (vec![method], response),
            (vec![method], &batch),
            (vec![new], &batch),
            (vec![], &new_batch),
            (vec![], &declared),
            (vec![old], &declared),
            (vec![old, method, name], &declared),
        ] {
            let result = checked(&lines, body);
            assert!(matches!(result, Err(Refusal::Header(_))), "{lines:?} {body}: {result:?}");
        }
    }

    #[test]
    fn headers_decide_only_where_a_server_must_compare_them() {
        let decided = |version: &str, method: &str, name: Option<&str>| {
            let mut lines = vec![("mcp-protocol-version", version), ("mcp-method", method)];
            lines.extend(name.map(|name| ("mcp-name", name)));
            let headers = headers(&lines);
            let declared = Declared::read(&headers).expect("headers");
            declared.call().map(|call| call.targets.len())
        };
        assert_eq!(decided("2026-07-28", "tools/call", Some("refund")), Some(1));
        assert_eq!(decided("2026-07-28", "resources/read", Some("a:b")), Some(1));
        assert_eq!(decided("2026-07-28", "tools/list", None), Some(0));
        assert_eq!(decided("2026-07-28", "tasks/get", Some("1")), Some(0));
        for (version, method, name) in [
            ("2025-11-25", "tools/call", Some("refund")),
            ("DRAFT-2026", "tools/call", Some("refund")),
            ("2026-07-28x", "tools/call", Some("refund")),
            ("2026-07-28", "tools/call", None),
            ("2026-07-28", "tools/list", Some("refund")),
            ("2026-07-28", "resources/subscribe", Some("a:b")),
            ("2026-07-28", "completion/complete", Some("refund")),
            ("2026-07-28", "subscriptions/listen", None),
            ("2026-07-28", "tools/run", Some("refund")),
            ("2026-07-28", "TOOLS/CALL", Some("refund")),
        ] {
            assert_eq!(decided(version, method, name), None, "{version} {method}");
        }
    }

    #[test]
    fn body_that_may_not_be_json_in_utf_8_is_refused() {
        for value in
            ["application/json", "Application/JSON", "application/json; charset=UTF-8; x=y"]
        {
            assert_eq!(check_media_type(&headers(&[("content-type", value)])), Ok(()), "{value}");
        }
        let json = ("content-type", "application/json");
        for lines in [
            vec![],
            vec![json, json],
            vec![("content-type", "text/plain")],
            vec![("content-type", "application/json-seq")],
            vec![("content-type", "application/json, text/plain")],
            vec![("content-type", "application/json; charset=utf-16")],
            vec![("content-type", "application/json; charset")],
            vec![json, ("content-encoding", "gzip")],
            vec![json, ("content-encoding", "identity, gzip")],
            vec![json, ("content-encoding", "identity"), ("content-encoding", "br")],
        ] {
            let result = check_media_type(&headers(&lines));
            assert!(matches!(result, Err(Refusal::MediaType(_))), "{lines:?}");
        }
        let identity = [json, ("content-encoding", "identity")];
        assert_eq!(check_media_type(&headers(&identity)), Ok(()));
    }
}
