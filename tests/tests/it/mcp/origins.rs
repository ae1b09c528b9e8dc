//! Pages that may send requests to an MCP endpoint.

use oauth2_actix::{mcp, requirement};
use oauth2_actix_tests::{
    client::send,
    mcp::{Endpoint, policy_of_tokens, token, tool_call},
};

#[tokio::test]
async fn request_of_an_origin_that_is_not_allowed_is_rejected_without_scopes() {
    let access = mcp::Access::builder()
        .require(requirement::scopes(["mcp:use"]))
        .allow_origin("http://localhost:6274")
        .allow_origin("https://app.example.com");
    let endpoint = Endpoint::start(access);
    for origin in [
        "http://localhost",
        "http://localhost:6275",
        "https://localhost:6274",
        "http://LOCALHOST:6274",
        "http://localhost:6274/",
        "https://app.example.com:443",
        "https://app.example.com.attacker.example",
        "http://localhost:6274, https://app.example.com",
        "null",
        "",
    ] {
        for method in ["POST", "GET", "DELETE"] {
            let request = endpoint
                .request(method, &token("mcp:use"))
                .header("origin", origin)
                .header("content-type", "application/json")
                .body(tool_call("a"));
            let answer = send(request).await;
            assert_eq!(answer.status, 403, "{method} {origin}");
            assert_eq!(answer.error(), "invalid_request", "{method} {origin}");
            assert!(!answer.challenge().contains("scope="), "{method} {origin}");
        }
    }
    let twice = endpoint
        .request("GET", &token("mcp:use"))
        .header("origin", "http://localhost:6274")
        .header("origin", "http://localhost:6274");
    assert_eq!(send(twice).await.status, 403);
    assert_eq!(endpoint.seen(), []);
    for origin in ["http://localhost:6274", "https://app.example.com"] {
        let answer = endpoint.post(&token("mcp:use"), &[("origin", origin)], &tool_call("a")).await;
        assert_eq!(answer.status, 200, "{origin}");
    }
}

#[tokio::test]
async fn request_with_an_origin_is_rejected_by_default() {
    let endpoint = Endpoint::start(mcp::Access::builder());
    let origin = [("origin", "http://localhost:6274")];
    assert_eq!(endpoint.post(&token(""), &origin, &tool_call("a")).await.status, 403);
    assert_eq!(endpoint.post(&token(""), &[], &tool_call("a")).await.status, 200);
}

#[tokio::test]
async fn page_of_the_resource_itself_may_send_requests() {
    let oauth2 = policy_of_tokens()
        .resource("https://API.example.com:8443/mcp")
        .resource("https://other.example");
    let endpoint = Endpoint::behind(oauth2, mcp::Access::builder());
    for (origin, status) in [
        ("https://api.example.com:8443", 200),
        ("https://other.example", 200),
        ("https://api.example.com", 403),
        ("https://api.example.com:8443/mcp", 403),
        ("https://api.example.com:844", 403),
        ("http://other.example", 403),
        ("https:/", 403),
        ("https:", 403),
        ("", 403),
    ] {
        let answer = endpoint.post(&token(""), &[("origin", origin)], &tool_call("a")).await;
        assert_eq!(answer.status, status, "{origin}");
        // Each challenge names a document.
        assert_eq!(answer.challenge().contains("resource_metadata="), status == 403, "{origin}");
    }
}
