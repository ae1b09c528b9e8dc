//! The claims of a token reach the tools, and the rules are in front of them.

use actix_http::Request;
use actix_web::{
    App, Error,
    body::MessageBody,
    dev::{Service, ServiceResponse},
    http::{StatusCode, header::AUTHORIZATION},
    test,
};
use mcp_orders::{ENDPOINT, access, policy, server::OrdersServer, service};
use oauth2_actix::{Claims, testing::IdentityProvider};
use serde_json::{Value, json};

const RESOURCE: &str = "http://127.0.0.1:8080/mcp";

/// What `on_request_fn` requires of the data that it copies.
const fn can_be_copied<T: Clone + Send + Sync + 'static>() {}
const _: () = can_be_copied::<Claims>();

/// Calls a tool by the current revision.
async fn call(
    app: &impl Service<Request, Response = ServiceResponse<impl MessageBody>, Error = Error>,
    token: Option<&str>,
    tool: &str,
) -> (StatusCode, String) {
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let params = json!({"name": tool, "arguments": {}, "_meta": meta});
    let mut request = test::TestRequest::post()
        .uri(ENDPOINT)
        .insert_header(("Host", "127.0.0.1:8080"))
        .insert_header(("Accept", "application/json, text/event-stream"))
        .insert_header(("MCP-Protocol-Version", "2026-07-28"))
        .insert_header(("Mcp-Method", "tools/call"))
        .insert_header(("Mcp-Name", tool))
        .set_json(json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}));
    if let Some(token) = token {
        request = request.insert_header((AUTHORIZATION, format!("Bearer {token}")));
    }
    let response = test::call_service(app, request.to_request()).await;
    let status = response.status();
    let body = test::read_body(response).await;
    (status, String::from_utf8(body.to_vec()).expect("UTF-8"))
}

#[actix_web::test]
async fn tool_that_is_called_with_a_token_gets_its_claims() {
    let idp = IdentityProvider::start(RESOURCE).expect("a free port");
    let oauth2 = policy(idp.issuer(), RESOURCE, None).expect("a policy");
    let access = access(RESOURCE).expect("rules");
    let mcp = service(OrdersServer::default(), RESOURCE);
    let app = App::new()
        .service(oauth2.resource_metadata())
        .service(mcp.scope_with_path(ENDPOINT).wrap(access))
        .wrap(oauth2);
    let app = test::init_service(app).await;

    for (subject, scope) in [("alice", "mcp:use orders:read"), ("bob", "mcp:use")] {
        let token = idp.token().claim("sub", subject).claim("client_id", "test");
        let token = token.claim("scope", scope).sign(&idp.key());
        let (status, body) = call(&app, Some(&token), "whoami").await;
        assert_eq!(status, StatusCode::OK, "{body}");
        let event = body.lines().rfind(|line| line.starts_with("data: {")).expect(&body);
        let message: Value = serde_json::from_str(&event["data: ".len()..]).expect(event);
        let scopes: Vec<_> = scope.split(' ').collect();
        let expected = json!({"subject": subject, "client": "test", "scopes": scopes});
        assert_eq!(message["result"]["structuredContent"], expected);
    }
    let (status, _) = call(&app, None, "whoami").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}

#[actix_web::test]
async fn rules_of_the_server_are_those_of_the_snapshot() {
    let expected = "\
every request: scope mcp:use
prompt refund_letter: scope orders:read
tool list_orders: scope orders:read
tool refund_order: scope refunds:write
";
    assert_eq!(access(RESOURCE).expect("rules").to_string(), expected);
}
