//! How bodies and headers are read, what the server behind gets, and what is refused.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use oauth2_actix::{mcp, requirement};
use oauth2_actix_tests::{
    client::{Answer, raw, send},
    mcp::{Endpoint, message, token, tool_call},
};
use serde_json::{Value, json};

fn endpoint() -> Endpoint {
    Endpoint::start(rules())
}

fn rules() -> mcp::AccessBuilder {
    mcp::Access::builder().tool("refund", requirement::scopes(["refunds:write"]))
}

/// Returns the code of a JSON-RPC error, and asserts its form.
fn code(answer: &Answer) -> i64 {
    let body: Value = serde_json::from_str(&answer.body).expect(&answer.body);
    assert_eq!(body["jsonrpc"], "2.0", "{body}");
    assert!(body["error"]["message"].is_string() && body.as_object().unwrap().len() == 2, "{body}");
    assert_eq!(answer.header("www-authenticate"), None, "{body}");
    body["error"]["code"].as_i64().unwrap()
}

/// Returns a POST whose body is sent in chunks, without its length.
fn chunked(token: &str, body: &str) -> Vec<u8> {
    let mut request = format!(
        "POST /mcp HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    .into_bytes();
    for chunk in body.as_bytes().chunks(50) {
        request.extend(format!("{:x}\r\n", chunk.len()).bytes().chain(chunk.iter().copied()));
        request.extend(b"\r\n");
    }
    request.extend(b"0\r\n\r\n");
    request
}

#[tokio::test]
async fn body_reaches_the_server_unchanged() {
    let endpoint = endpoint();
    let text = "\u{e4}".repeat(20_000);
    let long = message("tools/call", &json!({"name": "search", "arguments": {"text": text}}));
    let bodies = [
        tool_call("search"),
        " \n{ \"jsonrpc\" : \"2.0\" , \"method\":\"\\u0070ing\" }\r\n".to_owned(),
        format!("[{},{}]", tool_call("search"), tool_call("list")),
        long,
    ];
    for body in &bodies {
        assert_eq!(endpoint.post(&token(""), &[], body).await.status, 200);
        assert_eq!(endpoint.seen()[0].body, body.as_bytes());
        assert_eq!(raw(endpoint.address(), &chunked(&token(""), body)).status, 200);
        assert_eq!(endpoint.seen()[0].body, body.as_bytes());
    }
}

#[tokio::test]
async fn message_that_cannot_be_read_is_refused_with_a_json_rpc_error() {
    let endpoint = endpoint();
    for (body, expected) in [
        ("", -32700),
        ("{", -32700),
        ("\u{feff}{}", -32700),
        ("{}", -32600),
        ("null", -32600),
        (r#"{"jsonrpc":"2.0","method":"tools/call"}"#, -32600),
        (r#"{"jsonrpc":"2.0","method":"ping","method":"ping"}"#, -32600),
    ] {
        let answer = endpoint.post(&token("refunds:write"), &[], body).await;
        assert_eq!((answer.status, code(&answer)), (400, expected), "{body}");
    }
    assert_eq!(endpoint.seen(), []);
}

#[tokio::test]
async fn header_that_contradicts_the_body_is_refused_with_its_own_code() {
    let endpoint = endpoint();
    let new = ("mcp-protocol-version", "2026-07-28");
    for headers in [
        vec![("mcp-name", "search")],
        vec![("mcp-method", "tools/list")],
        vec![new],
        vec![new, ("mcp-method", "tools/call")],
    ] {
        let answer = endpoint.post(&token("refunds:write"), &headers, &tool_call("refund")).await;
        assert_eq!((answer.status, code(&answer)), (400, -32020), "{headers:?}");
    }
    assert_eq!(endpoint.seen(), []);
    let headers = [new, ("mcp-method", "tools/call"), ("mcp-name", "=?base64?cmVmdW5k?=")];
    assert_eq!(
        endpoint.post(&token("refunds:write"), &headers, &tool_call("refund")).await.status,
        200
    );
}

#[tokio::test]
async fn body_of_another_type_or_coding_is_refused() {
    let endpoint = endpoint();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(tool_call("search").as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    for (media_type, coding, body) in [
        ("application/json", Some("gzip"), gzip),
        ("application/json", Some("br"), tool_call("search").into_bytes()),
        ("text/plain", None, tool_call("search").into_bytes()),
        ("application/json; charset=utf-16le", None, tool_call("search").into_bytes()),
    ] {
        let mut request = endpoint.request("POST", &token("")).header("content-type", media_type);
        if let Some(coding) = coding {
            request = request.header("content-encoding", coding);
        }
        let answer = send(request.body(body)).await;
        assert_eq!((answer.status, code(&answer)), (415, -32600), "{media_type} {coding:?}");
    }
    assert_eq!(endpoint.seen(), []);
}

#[tokio::test]
async fn body_over_the_limit_is_refused_with_and_without_a_length() {
    let body = tool_call("search");
    let endpoint = Endpoint::start(rules().max_body(body.len()));
    assert_eq!(endpoint.post(&token(""), &[], &body).await.status, 200);
    assert_eq!(endpoint.seen().len(), 1);
    let longer = format!("{body} ");
    let answer = endpoint.post(&token(""), &[], &longer).await;
    assert_eq!((answer.status, code(&answer)), (413, -32600));
    assert_eq!(raw(endpoint.address(), &chunked(&token(""), &longer)).status, 413);
    assert_eq!(endpoint.seen(), []);
}

#[tokio::test]
async fn headers_decide_where_that_is_set_and_the_revision_requires_them() {
    let endpoint = Endpoint::start(rules().decide_by_headers().max_body(1_000));
    let call = |version, name| {
        [("mcp-protocol-version", version), ("mcp-method", "tools/call"), ("mcp-name", name)]
    };
    // The body is left to the server.
    let long =
        message("tools/call", &json!({"name": "search", "arguments": {"x": "y".repeat(2_000)}}));
    assert_eq!(endpoint.post(&token(""), &call("2026-07-28", "search"), &long).await.status, 200);
    assert_eq!(endpoint.seen()[0].body, long.as_bytes());
    let answer = endpoint.post(&token(""), &call("2026-07-28", "refund"), &long).await;
    assert_eq!(answer.status, 403);
    let encoded = call("2026-07-28", "=?base64?cmVmdW5k?=");
    assert_eq!(endpoint.post(&token(""), &encoded, &long).await.status, 403);
    // Any other request is decided by its body.
    for headers in [&call("2025-11-25", "search")[..], &call("2026-07-28", "search")[1..], &[]] {
        assert_eq!(endpoint.post(&token(""), headers, &long).await.status, 413, "{headers:?}");
        let refund = endpoint.post(&token(""), headers, &tool_call("refund")).await;
        assert!(matches!(refund.status, 400 | 403), "{headers:?}: {refund:?}");
    }
    assert_eq!(endpoint.seen(), []);
}
