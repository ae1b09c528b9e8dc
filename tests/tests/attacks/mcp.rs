//! Attempts to run a tool that the token does not permit, at an MCP endpoint with access rules.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use oauth2_actix::{mcp, requirement};
use oauth2_actix_tests::{
    client::{Answer, raw},
    mcp::{Endpoint, message, token, token_of, tool_call},
};
use serde_json::{Value, json};

use crate::target::holds_nothing_of;

/// An endpoint with a tool that the attacker's token does not permit.
struct Target {
    endpoint: Endpoint,
    token: String,
}

/// The responses that an attack may get.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Response {
    /// 403 with this challenge.
    NotPermitted,
    /// This status with a JSON-RPC error of this code.
    Refused(u16, i64),
}

impl Target {
    fn start() -> Self {
        Self::with(mcp::Access::builder())
    }

    fn with(access: mcp::AccessBuilder) -> Self {
        let access = access
            .require(requirement::scopes(["mcp:use"]))
            .tool("refund", requirement::scopes(["refunds:write"]))
            .resource("orders://refunds/*", requirement::scopes(["refunds:write"]));
        Self { endpoint: Endpoint::start(access), token: token_of("canary-subject", "mcp:use") }
    }

    /// Sends a POST with these header lines and this body.
    fn send(&self, lines: &[&[u8]], body: &[u8]) -> Answer {
        let mut request =
            format!("POST /mcp HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer {}\r\n", self.token)
                .into_bytes();
        for line in lines {
            request.extend([*line, b"\r\n"].concat());
        }
        request.extend(format!("Content-Length: {}\r\n\r\n", body.len()).bytes());
        request.extend(body);
        raw(self.endpoint.address(), &request)
    }

    #[track_caller]
    fn rejects(&self, attack: &str, lines: &[&[u8]], body: impl AsRef<[u8]>, expected: Response) {
        let json: &[u8] = b"Content-Type: application/json";
        self.rejects_lines(attack, &[&[json], lines].concat(), body, expected);
    }

    /// Asserts that the attack gets exactly this response, that no handler runs, and that the server works
    /// afterwards.
    #[track_caller]
    fn rejects_lines(
        &self,
        attack: &str,
        lines: &[&[u8]],
        body: impl AsRef<[u8]>,
        expected: Response,
    ) {
        let body = body.as_ref();
        let answer = self.send(lines, body);
        is_response(attack, &answer, expected);
        let shown = format!("{answer:?}");
        assert!(!shown.contains("canary"), "{attack}: {shown}");
        for line in lines.iter().filter(|line| line.starts_with(b"Mcp-")) {
            holds_nothing_of(attack, &shown, line);
        }
        assert_eq!(self.endpoint.seen(), [], "{attack}: the request has reached the server");
        let answer =
            self.send(&[b"Content-Type: application/json"], tool_call("search").as_bytes());
        assert_eq!(answer.status, 200, "after {attack}: {answer:?}");
        assert_eq!(self.endpoint.seen().len(), 1, "after {attack}");
    }
}

#[track_caller]
fn is_response(attack: &str, answer: &Answer, expected: Response) {
    let mut names: Vec<&str> = answer
        .headers
        .iter()
        // actix adds it where a body is unread.
        .filter(|(name, value)| !(name == "connection" && value == "close"))
        .map(|(name, _)| name.as_str())
        .collect();
    names.sort_unstable();
    let body: Value = serde_json::from_str(&answer.body).expect(attack);
    match expected {
        Response::NotPermitted => {
            assert_eq!(answer.status, 403, "{attack}: {answer:?}");
            assert_eq!(names, ["content-length", "content-type", "date", "www-authenticate"]);
            let challenge = r#"Bearer scope="mcp:use refunds:write", realm="api", error="insufficient_scope", error_description="The token does not permit this.""#;
            assert_eq!(answer.challenge(), challenge, "{attack}");
            assert_eq!(body["error"], "insufficient_scope", "{attack}");
        }
        Response::Refused(status, code) => {
            assert_eq!(answer.status, status, "{attack}: {answer:?}");
            assert_eq!(names, ["content-length", "content-type", "date"], "{attack}");
            let expected = json!({"jsonrpc": "2.0", "error": {"code": code, "message": body["error"]["message"]}});
            assert_eq!(body, expected, "{attack}");
        }
    }
    assert_eq!(answer.header("content-type"), Some("application/json"), "{attack}");
}

const INVALID: Response = Response::Refused(400, -32600);
const NO_JSON: Response = Response::Refused(400, -32700);
const CONTRADICTION: Response = Response::Refused(400, -32020);

/// Returns a call of the tool with more text in the message.
fn call_with(member: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":"canary",{member}"method":"tools/call","params":{{"name":"refund"}}}}"#
    )
}

#[test]
fn harmless_headers_of_an_old_revision_do_not_hide_a_tool() {
    let target = Target::start();
    let name: &[u8] = b"Mcp-Name: search";
    let method: &[u8] = b"Mcp-Method: tools/call";
    let call = tool_call("refund");
    for version in [&b"MCP-Protocol-Version: 2025-06-18"[..], b"MCP-Protocol-Version: 2025-11-25"] {
        target.rejects("old revision", &[version, method, name], &call, CONTRADICTION);
        target.rejects("old revision", &[version, name], &call, CONTRADICTION);
        target.rejects("old revision, no name", &[version, method], &call, Response::NotPermitted);
    }
    target.rejects("no revision", &[method, name], &call, CONTRADICTION);
    target.rejects("no revision", &[b"Mcp-Method: tools/list"], &call, CONTRADICTION);
    target.rejects("no header", &[], &call, Response::NotPermitted);
    let new: &[u8] = b"MCP-Protocol-Version: 2026-07-28";
    target.rejects("new revision", &[new, method, name], &call, CONTRADICTION);
    target.rejects("new revision without headers", &[new], &call, CONTRADICTION);
}

#[test]
fn headers_that_decide_are_single_decoded_and_of_a_revision_that_requires_them() {
    let target = Target::with(mcp::Access::builder().decide_by_headers());
    let (new, old) =
        (&b"MCP-Protocol-Version: 2026-07-28"[..], &b"MCP-Protocol-Version: 2025-11-25"[..]);
    let (method, name) = (&b"Mcp-Method: tools/call"[..], &b"Mcp-Name: search"[..]);
    let call = tool_call("refund");
    let refund: &[u8] = b"Mcp-Name: refund";
    let encoded: &[u8] = b"Mcp-Name: =?base64?cmVmdW5k?=";
    target.rejects("the tool itself", &[new, method, refund], &call, Response::NotPermitted);
    target.rejects("encoded", &[new, method, encoded], &call, Response::NotPermitted);
    for (attack, lines) in [
        ("old revision", vec![old, method, name]),
        ("no revision", vec![method, name]),
        ("two revisions", vec![new, old, method, name]),
        ("two revisions", vec![old, new, method, name]),
        (
            "joined revisions",
            vec![&b"MCP-Protocol-Version: 2026-07-28, 2025-11-25"[..], method, name],
        ),
        (
            "joined revisions",
            vec![&b"MCP-Protocol-Version: 2025-11-25,2026-07-28"[..], method, name],
        ),
        ("a revision that is no date", vec![&b"MCP-Protocol-Version: DRAFT"[..], method, name]),
        ("two names", vec![new, method, name, refund]),
        ("two names", vec![new, method, refund, name]),
        ("two methods", vec![new, method, b"Mcp-Method: tools/list", name]),
        ("no name", vec![new, method]),
        ("another method with a name", vec![new, b"Mcp-Method: tools/list", name]),
        ("an unknown method", vec![new, b"Mcp-Method: tools/run", name]),
        ("a name that is not Base64", vec![new, method, b"Mcp-Name: =?base64?c2VhcmNo!?="]),
        ("a name that is not UTF-8", vec![new, method, b"Mcp-Name: =?base64?/w==?="]),
        ("bytes above ASCII", vec![new, method, b"Mcp-Name: se\xe4rch"]),
    ] {
        target.rejects(attack, &lines, &call, CONTRADICTION);
    }
}

#[test]
fn joined_or_encoded_names_do_not_hide_a_tool() {
    let target = Target::start();
    let call = tool_call("refund");
    let new: &[u8] = b"MCP-Protocol-Version: 2026-07-28";
    let method: &[u8] = b"Mcp-Method: tools/call";
    for name in [
        &b"Mcp-Name: refund, search"[..],
        b"Mcp-Name: search,refund",
        b"Mcp-Name: =?base64?c2VhcmNo?=",
        b"Mcp-Name: =?base64?cmVmdW5k",
        b"Mcp-Name: =?base64?cmVmdW5k?",
        b"Mcp-Name: =?BASE64?cmVmdW5k?=",
        b"Mcp-Name: =?base64?cmVmdW5kAA==?=",
        b"Mcp-Name: \"refund\"",
        b"Mcp-Name: REFUND",
        b"Mcp-Name:",
    ] {
        target.rejects("another name", &[new, method, name], &call, CONTRADICTION);
    }
    let same: &[u8] = b"Mcp-Name: =?base64?cmVmdW5k?=";
    target.rejects("the same name", &[new, method, same], &call, Response::NotPermitted);
}

#[test]
fn repeated_or_escaped_members_do_not_hide_a_tool() {
    let target = Target::start();
    for (attack, body) in [
        ("two methods", call_with(r#""method":"tools/list","#)),
        ("two methods, one escaped", call_with(r#""m\u0065thod":"tools/list","#)),
        ("two params", call_with(r#""params":{"name":"search"},"#)),
        ("two ids", call_with(r#""id":1,"#)),
        ("two names", tool_call("refund").replace(r#""name""#, r#""name":"search","name""#)),
        (
            "two names, one escaped",
            tool_call("refund").replace(r#""name""#, r#""n\u0061me":"search","name""#),
        ),
        ("two unknown members", call_with(r#""x":1,"x":1,"#)),
        ("two members deep inside", call_with(r#""x":[{"y":{"z":1,"\u007a":2}}],"#)),
        ("a call that is a response", call_with(r#""result":{},"#)),
        ("a call that is an error", call_with(r#""error":{},"#)),
    ] {
        target.rejects(attack, &[], body, INVALID);
    }
    for body in [
        tool_call("refund").replace(r#""name""#, r#""\u006e\u0061\u006d\u0065""#),
        tool_call("refund").replace("refund", r"\u0072efund"),
        tool_call("refund").replace(r#""method""#, r#""\u006dethod""#),
        tool_call("refund").replace("tools/call", r"tools\/call"),
        tool_call("refund").replace(r#""id":1,"#, ""),
        call_with(r#""x":{"method":"tools/list","params":{"name":"search"}},"#),
        message("tools/call", &json!({"name": "refund", "arguments": {"name": "search"}})),
        message("tools/call", &json!({"name": "refund", "task": {"ttl": 1}})),
        message("tools/call", &json!({"name": "refund", "arguments": [], "x": null})),
        message("tools/run", &json!({"name": "refund"})),
    ] {
        target.rejects("escapes and more members", &[], body, Response::NotPermitted);
    }
}

#[test]
fn names_of_another_type_do_not_hide_a_tool() {
    let target = Target::start();
    for params in [
        json!(["refund"]),
        json!({"name": ["refund"]}),
        json!({"name": {"name": "refund"}}),
        json!({"name": null}),
        json!({"Name": "refund"}),
        json!({}),
        json!("refund"),
        json!(null),
    ] {
        target.rejects("a name of another type", &[], message("tools/call", &params), INVALID);
    }
}

#[test]
fn private_members_of_serde_json_do_not_hide_a_tool() {
    let target = Target::start();
    let hidden = r#"{\"name\":\"refund\"}"#;
    for name in ["$serde_json::private::RawValue", "$serde_json::private::Number"] {
        let escaped = name.replace('$', r"\u0024");
        for name in [name, &escaped] {
            let object = format!(r#"{{"{name}":"{hidden}"}}"#);
            for body in [
                format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{object}}}"#),
                format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"x":{object}}}}}"#),
                format!(r#"{{"jsonrpc":"2.0","id":{object},"method":"ping"}}"#),
                format!(r#"{{"jsonrpc":"2.0","id":1,"method":{object}}}"#),
                object.clone(),
                format!("[{object}]"),
                tool_call("search").replace("{}", &object),
            ] {
                target.rejects("a private member", &[], body, INVALID);
            }
        }
    }
}

#[test]
fn batches_do_not_hide_a_tool() {
    let target = Target::start();
    let (refund, search) = (tool_call("refund"), tool_call("search"));
    let response = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    for body in [
        format!("[{refund}]"),
        format!("[{search},{refund}]"),
        format!("[{response},{refund},{search}]"),
        format!("[{}]", refund.replace(r#""id":1,"#, "")),
    ] {
        target.rejects("a batch", &[], body, Response::NotPermitted);
    }
    for body in [
        "[]".to_owned(),
        format!("[[{refund}]]"),
        format!("[{search},[{refund}]]"),
        format!("[{search},null]"),
        format!("[{}]", vec![search.as_str(); 257].join(",")),
    ] {
        target.rejects("a batch of another form", &[], body, INVALID);
    }
    let name: &[u8] = b"Mcp-Name: search";
    target.rejects("a batch with a name", &[name], format!("[{refund}]"), CONTRADICTION);
    let new: &[u8] = b"MCP-Protocol-Version: 2026-07-28";
    target.rejects("a batch of a new revision", &[new], format!("[{search}]"), CONTRADICTION);
}

#[test]
fn other_encodings_do_not_hide_a_tool() {
    let target = Target::start();
    let call = tool_call("refund");
    let utf_16 = |bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
        std::iter::once(0xfeff).chain(call.encode_utf16()).flat_map(bytes).collect()
    };
    target.rejects("a byte order mark", &[], format!("\u{feff}{call}"), NO_JSON);
    target.rejects("UTF-16", &[], utf_16(u16::to_le_bytes), NO_JSON);
    target.rejects("UTF-16", &[], utf_16(u16::to_be_bytes), NO_JSON);
    target.rejects("invalid UTF-8", &[], [call.as_bytes(), b"\xff"].concat(), NO_JSON);
    target.rejects("two messages", &[], format!("{}{call}", tool_call("search")), NO_JSON);
    target.rejects("lines", &[], format!("{}\n{call}", tool_call("search")), NO_JSON);
    target.rejects("a comment", &[], format!("/* */{call}"), NO_JSON);
    target.rejects("a lone surrogate", &[], call_with(r#""x":"\ud800","#), NO_JSON);
    target.rejects("a null byte", &[], format!("{call}\0"), NO_JSON);
    let deep = call_with(&format!(r#""x":{}{},"#, "[".repeat(100), "]".repeat(100)));
    target.rejects("deep nesting", &[], deep, INVALID);
    let deeper = call_with(&format!(r#""x":{}{},"#, "[".repeat(100_000), "]".repeat(100_000)));
    target.rejects("deep nesting", &[], deeper, INVALID);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(call.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    let unsupported = Response::Refused(415, -32600);
    for coding in [&b"Content-Encoding: gzip"[..], b"Content-Encoding: identity, gzip"] {
        target.rejects("gzip", &[coding], &gzip, unsupported);
    }
    let coding: &[u8] = b"Content-Encoding: br";
    target.rejects("a coding that is not there", &[coding], &call, unsupported);
    for media_type in [
        &b"Content-Type: text/plain"[..],
        b"Content-Type: application/json; charset=utf-7",
        b"Content-Type: multipart/form-data; boundary=x",
    ] {
        target.rejects_lines("another type", &[media_type], &call, unsupported);
    }
    target.rejects_lines("no type", &[], &call, unsupported);
}

#[test]
fn oversized_and_chunked_bodies_do_not_hide_a_tool() {
    let target = Target::with(mcp::Access::builder().max_body(10_000));
    let padding = " ".repeat(10_000);
    let too_large = Response::Refused(413, -32600);
    target.rejects("padding in front", &[], format!("{padding}{}", tool_call("refund")), too_large);
    target.rejects("padding behind", &[], format!("{}{padding}", tool_call("refund")), too_large);
    let call = tool_call("refund");
    let chunked = |chunks: &[&str]| {
        let mut request = format!(
            "POST /mcp HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
            target.token
        );
        for chunk in chunks {
            request.push_str(&format!("{:x};x=y\r\n{chunk}\r\n", chunk.len()));
        }
        raw(target.endpoint.address(), format!("{request}0\r\n\r\n").as_bytes())
    };
    let (start, end) = call.split_at(call.find("refund").unwrap() + 3);
    is_response("chunks", &chunked(&[start, end]), Response::NotPermitted);
    is_response("chunks after padding", &chunked(&[&padding, start, end]), too_large);
    is_response("an endless body", &chunked(&[padding.as_str(); 100]), too_large);
    assert_eq!(target.endpoint.seen(), []);
}

#[test]
fn other_spellings_of_a_resource_do_not_hide_it() {
    let target = Target::start();
    let read = |uri: &str| message("resources/read", &json!({"uri": uri}));
    for uri in [
        "orders://refunds/1",
        "ORDERS://REFUNDS/1",
        "orders://refunds",
        "orders://refunds/",
        "orders://refunds/1?x=/../../items/1",
        "orders://refunds/1#x",
    ] {
        target.rejects(uri, &[], read(uri), Response::NotPermitted);
    }
    for uri in [
        "orders://items/../refunds/1",
        "orders://refunds/../refunds/1",
        "orders://items/%2e%2e/refunds/1",
        "orders://re%66unds/1",
        "orders://refunds%2f1",
        "orders://user@refunds/1",
        "orders://refunds:/1",
        "orders:\\\\refunds\\1",
        " orders://refunds/1",
        "orders://refunds\t/1",
        "//refunds/1",
        "refunds/1",
        "",
    ] {
        target.rejects(uri, &[], read(uri), INVALID);
    }
}

#[test]
fn session_of_another_caller_is_unknown() {
    let target = Target::start();
    let begin = |token: &str| {
        let body = message("initialize", &json!({}));
        let request = format!(
            "POST /mcp HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nX-Begin-Session: 0b3c\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = raw(target.endpoint.address(), request.as_bytes());
        assert_eq!(target.endpoint.seen().len(), 1);
        answer.header("mcp-session-id").unwrap().to_owned()
    };
    let own = begin(&target.token);
    let other = begin(&token("mcp:use"));
    let (id, tag) = other.split_once('.').unwrap();
    let unknown = Response::Refused(404, -32001);
    let own_tag = own.split_once('.').unwrap().1;
    for (attack, session) in [
        ("the id of another caller", other.clone()),
        ("the id without its tag", id.to_owned()),
        ("the id with an empty tag", format!("{id}.")),
        ("the tag alone", format!(".{tag}")),
        ("a shortened tag", other[..other.len() - 1].to_owned()),
        ("a changed tag", format!("{id}.{}", tag.chars().rev().collect::<String>())),
        ("the own tag with another id", format!("0b3d.{own_tag}")),
        ("the own tag twice", format!("{own}.{own_tag}")),
        ("an empty id", String::new()),
    ] {
        let line = format!("Mcp-Session-Id: {session}");
        target.rejects(attack, &[line.as_bytes()], tool_call("search"), unknown);
    }
    let (own, other) = (format!("Mcp-Session-Id: {own}"), format!("Mcp-Session-Id: {other}"));
    for lines in [[own.as_bytes(), other.as_bytes()], [other.as_bytes(), own.as_bytes()]] {
        target.rejects("two ids", &lines, tool_call("search"), CONTRADICTION);
    }
}
