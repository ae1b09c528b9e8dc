//! Which rules apply to a request, and how a token without a permission is rejected.

use actix_web::{App, HttpResponse, HttpServer, web};
use oauth2_actix::{
    ConfigErrorKind, mcp,
    requirement::{self, ClaimValues},
    testing::LocalServer,
};
use oauth2_actix_tests::{
    client::{client, send},
    mcp::{Endpoint, message, token, tool_call},
};
use serde_json::json;

fn rules() -> mcp::AccessBuilder {
    mcp::Access::builder()
        .require(requirement::scopes(["mcp:use"]))
        .tool("refund", requirement::scopes(["refunds:write"]))
        .tool("void", requirement::scopes(["refunds:write", "void"]))
        .prompt("summary", requirement::scopes(["reports"]))
        .resource("orders://refunds/*", requirement::scopes(["refunds:read"]))
        .resource("orders://refunds/secret", requirement::scopes(["secrets"]))
        .method("logging/setLevel", requirement::scopes(["ops"]))
}

fn challenge(scopes: &str) -> String {
    format!(
        "Bearer scope=\"{scopes}\", realm=\"api\", error=\"insufficient_scope\", \
         error_description=\"The token does not permit this.\""
    )
}

#[tokio::test]
async fn request_without_a_permission_names_all_scopes_of_the_operation() {
    let endpoint = Endpoint::start(rules());
    let complete = |reference| message("completion/complete", &json!({"ref": reference}));
    let read = |uri: &str| message("resources/read", &json!({"uri": uri}));
    let batch = format!(
        "[{},{}]",
        tool_call("refund"),
        message("prompts/get", &json!({"name": "summary"}))
    );
    for (body, scopes) in [
        (tool_call("search"), "mcp:use"),
        (message("tools/list", &json!({})), "mcp:use"),
        (message("x/unknown", &json!({})), "mcp:use"),
        (r#"{"jsonrpc":"2.0","id":1,"result":{}}"#.to_owned(), "mcp:use"),
        (tool_call("refund"), "mcp:use refunds:write"),
        (tool_call("void"), "mcp:use refunds:write void"),
        (message("x/call", &json!({"name": "refund"})), "mcp:use refunds:write"),
        (message("prompts/get", &json!({"name": "summary"})), "mcp:use reports"),
        (complete(json!({"type": "ref/prompt", "name": "summary"})), "mcp:use reports"),
        (
            complete(json!({"type": "ref/resource", "uri": "orders://refunds/{id}"})),
            "mcp:use refunds:read secrets",
        ),
        (read("orders://refunds/1"), "mcp:use refunds:read"),
        (read("ORDERS://refunds/1?x#y"), "mcp:use refunds:read"),
        (read("orders://refunds/secret"), "mcp:use refunds:read secrets"),
        (read("orders://items/1"), "mcp:use"),
        (
            message(
                "subscriptions/listen",
                &json!({"notifications": {"resourceSubscriptions": ["orders://items/1", "orders://refunds/1"]}}),
            ),
            "mcp:use refunds:read",
        ),
        (message("logging/setLevel", &json!({"level": "debug"})), "mcp:use ops"),
        (batch, "mcp:use reports refunds:write"),
    ] {
        let answer = endpoint.post(&token("other"), &[], &body).await;
        assert_eq!((answer.status, answer.challenge()), (403, &*challenge(scopes)), "{body}");
        assert_eq!(answer.error(), "insufficient_scope", "{body}");
        for scope in scopes.split(' ') {
            let others: Vec<&str> = scopes.split(' ').filter(|other| *other != scope).collect();
            let answer = endpoint.post(&token(&others.join(" ")), &[], &body).await;
            assert_eq!((answer.status, answer.challenge()), (403, &*challenge(scopes)), "{body}");
        }
        assert_eq!(endpoint.seen(), [], "{body}");
        let answer = endpoint.post(&token(scopes), &[], &body).await;
        assert_eq!(answer.status, 200, "{body}: {answer:?}");
        assert_eq!(endpoint.seen().len(), 1, "{body}");
    }
}

#[tokio::test]
async fn requests_of_other_methods_need_what_every_request_needs() {
    let endpoint = Endpoint::start(rules());
    for method in ["GET", "DELETE", "PUT", "PATCH"] {
        let answer = send(endpoint.request(method, &token("other"))).await;
        assert_eq!((answer.status, answer.challenge()), (403, &*challenge("mcp:use")), "{method}");
        assert_eq!(endpoint.seen(), [], "{method}");
        let answer = send(endpoint.request(method, &token("mcp:use"))).await;
        assert_eq!(answer.status, 200, "{method}");
        assert_eq!(endpoint.seen().len(), 1, "{method}");
    }
}

#[tokio::test]
async fn endpoint_without_rules_requires_a_valid_token() {
    let endpoint = Endpoint::start(mcp::Access::builder());
    assert_eq!(endpoint.post(&token(""), &[], &tool_call("refund")).await.status, 200);
    assert_eq!(endpoint.post("no.valid.token", &[], &tool_call("refund")).await.status, 401);
    assert_eq!(endpoint.seen().len(), 1);
}

#[tokio::test]
async fn rule_on_claims_is_rejected_without_scopes_in_the_challenge() {
    let access = mcp::Access::builder()
        .tool("refund", requirement::claim("role", ClaimValues::any_of(["admin"])));
    let endpoint = Endpoint::start(access);
    let answer = endpoint.post(&token("mcp:use"), &[], &tool_call("refund")).await;
    assert_eq!(answer.status, 403);
    assert!(!answer.challenge().contains("scope="), "{}", answer.challenge());
    assert_eq!(endpoint.seen(), []);
}

#[tokio::test]
async fn unlisted_tools_prompts_and_resources_are_denied_where_that_is_set() {
    let endpoint = Endpoint::start(rules().deny_unlisted());
    let all = token("mcp:use refunds:write void reports refunds:read secrets ops");
    for (body, status) in [
        (tool_call("refund"), 200),
        (tool_call("Refund"), 403),
        (tool_call("search"), 403),
        (message("prompts/get", &json!({"name": "refund"})), 403),
        (message("resources/read", &json!({"uri": "orders://refunds/1"})), 200),
        (message("resources/read", &json!({"uri": "orders://items/1"})), 403),
        (message("x/call", &json!({"name": "search"})), 403),
        (format!("[{},{}]", tool_call("refund"), tool_call("search")), 403),
        (message("tools/list", &json!({})), 200),
    ] {
        assert_eq!(endpoint.post(&all, &[], &body).await.status, status, "{body}");
    }
}

#[tokio::test]
async fn rules_without_the_middleware_outside_are_an_error_of_the_server() {
    let access = rules().build().unwrap();
    let server = LocalServer::start(move |listener| {
        let app = move || {
            App::new().service(
                web::scope("/mcp").wrap(access.clone()).default_service(web::to(HttpResponse::Ok)),
            )
        };
        Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
    })
    .unwrap();
    let request = client().post(server.url("/mcp")).bearer_auth(token("mcp:use")).body("{}");
    let answer = send(request).await;
    assert_eq!((answer.status, &*answer.body), (500, ""));
}

#[test]
fn table_and_scopes_are_sorted_and_complete() {
    let access = rules().deny_unlisted().build().unwrap();
    let table = "\
every request: scope mcp:use
method logging/setLevel: scope ops
prompt summary: scope reports
resource orders://refunds/*: scope refunds:read
resource orders://refunds/secret: scope secrets
tool refund: scope refunds:write
tool void: scope refunds:write void
any other tool, prompt or resource: denied
";
    assert_eq!(access.to_string(), table);
    let scopes = ["mcp:use", "ops", "refunds:read", "refunds:write", "reports", "secrets", "void"];
    assert_eq!(access.scopes(), scopes);
    let none = mcp::Access::builder().build().unwrap();
    assert_eq!(
        (none.to_string(), none.scopes()),
        ("every request: authenticated\n".into(), vec![])
    );
}

#[test]
fn faults_of_the_rules_are_reported_together() {
    let any = || requirement::scopes(["a"]);
    let error = mcp::Access::builder()
        .tool("", any())
        .tool("refund", any())
        .tool("refund", any())
        .prompt("refund", any())
        .resource("refunds", any())
        .resource("orders://x/{id}", any())
        .resource("orders://a", any())
        .resource("ORDERS://a", any())
        .method("", any())
        .allow_origin("http://localhost:6274")
        .allow_origin("http://localhost:6274/")
        .allow_origin("https://*.example.com")
        .allow_origin("null")
        .max_body(0)
        .session_secret([0; 32])
        .build()
        .unwrap_err();
    let faults: Vec<_> = error.faults().map(|fault| (fault.field(), fault.kind())).collect();
    let expected = [
        ("mcp.tool", ConfigErrorKind::Empty),
        ("mcp.tool", ConfigErrorKind::Duplicate),
        ("mcp.resource", ConfigErrorKind::Invalid),
        ("mcp.resource", ConfigErrorKind::Invalid),
        ("mcp.resource", ConfigErrorKind::Duplicate),
        ("mcp.method", ConfigErrorKind::Empty),
        ("mcp.allow_origin", ConfigErrorKind::Invalid),
        ("mcp.allow_origin", ConfigErrorKind::Invalid),
        ("mcp.allow_origin", ConfigErrorKind::Invalid),
        ("mcp.max_body", ConfigErrorKind::OutOfRange),
        ("mcp.session_secret", ConfigErrorKind::Invalid),
    ];
    assert_eq!(faults, expected, "{error:#}");
    let too_large = mcp::Access::builder().max_body(64 * 1024 * 1024 + 1).build().unwrap_err();
    assert_eq!(too_large.kind(), ConfigErrorKind::OutOfRange);
}
