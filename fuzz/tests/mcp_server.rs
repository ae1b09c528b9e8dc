//! A real MCP server behind access rules: whatever the headers and the body are, it never runs a tool that the
//! token does not permit.

use std::sync::{Arc, Mutex};

use actix_web::{
    App, HttpRequest, HttpResponse,
    http::StatusCode,
    rt::Runtime,
    test::{TestRequest, call_service, init_service},
    web,
};
use http_body_util::{BodyExt, Full};
use oauth2_actix::{
    Algorithm, OAuth2, Provider, mcp, requirement,
    testing::{SigningKey, Token},
};
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{CallToolRequestParams, CallToolResponse, CallToolResult, ServerConfig},
    service::RequestContext,
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
    },
};

/// A server that records the tools that it runs.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<String>>>);

impl ServerHandler for Recorder {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::default()
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        self.0.lock().unwrap().push(request.name.into_owned());
        Ok(CallToolResult::success(Vec::new()).into())
    }
}

type Service = StreamableHttpService<Recorder, LocalSessionManager>;

/// Hands a request to the server, and its response back.
async fn bridge(
    request: HttpRequest,
    body: web::Bytes,
    service: web::Data<Service>,
) -> HttpResponse {
    let mut bridged = http::Request::post("/mcp").body(Full::new(body)).unwrap();
    for (name, value) in request.headers() {
        bridged.headers_mut().append(
            http::HeaderName::from_bytes(name.as_str().as_bytes()).unwrap(),
            http::HeaderValue::from_bytes(value.as_bytes()).unwrap(),
        );
    }
    let response = service.handle(bridged).await;
    let status = StatusCode::from_u16(response.status().as_u16()).unwrap();
    // The server has run the tool once the response is complete.
    let body = response.into_body().collect().await.unwrap().to_bytes();
    HttpResponse::build(status).body(body)
}

/// Sends each request to the server, and returns the tools that it has run.
fn tools_of(
    access: Option<mcp::Access>,
    requests: &[(Vec<(&str, &str)>, String)],
) -> Vec<Vec<String>> {
    let key = SigningKey::generate(Algorithm::ES256, "1");
    let provider = Provider::new().issuer("https://idp.test").audience("api").keys(key.jwk_set());
    let oauth2 = OAuth2::builder().provider("p", provider).build().unwrap();
    let token = Token::new("https://idp.test", "api").claim("scope", "mcp:use").sign(&key);
    let recorder = Recorder::default();
    let factory = recorder.clone();
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .disable_allowed_hosts();
    let service =
        Service::new(move || Ok(factory.clone()), Arc::new(LocalSessionManager::default()), config);
    Runtime::new().unwrap().block_on(async move {
        let access = access.unwrap_or_else(|| mcp::Access::builder().build().unwrap());
        let app = App::new()
            .app_data(web::Data::new(service))
            .service(web::scope("/mcp").wrap(access).default_service(web::to(bridge)))
            .wrap(oauth2);
        let app = init_service(app).await;
        let mut all = Vec::new();
        for (headers, body) in requests {
            let mut request = TestRequest::post()
                .uri("/mcp")
                .insert_header(("authorization", format!("Bearer {token}")))
                .insert_header(("host", "api"))
                .insert_header(("accept", "application/json, text/event-stream"))
                .insert_header(("content-type", "application/json"));
            for header in headers {
                request = request.append_header(*header);
            }
            let response = call_service(&app, request.set_payload(body.clone()).to_request()).await;
            drop(response);
            all.push(std::mem::take(&mut *recorder.0.lock().unwrap()));
        }
        all
    })
}

fn access() -> mcp::AccessBuilder {
    mcp::Access::builder()
        .require(requirement::scopes(["mcp:use"]))
        .tool("refund", requirement::scopes(["refunds:write"]))
}

const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"c","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}"#;

/// Returns all combinations of headers and bodies.
fn requests() -> Vec<(Vec<(&'static str, &'static str)>, String)> {
    let message = |method: &str, params: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{{params}}}}}"#)
    };
    let mut bodies = Vec::new();
    for meta in ["", &format!("{META},")] {
        bodies.extend([
            message("tools/call", &format!(r#"{meta}"name":"search""#)),
            message("tools/call", &format!(r#"{meta}"name":"refund""#)),
            message("tools/call", &format!(r#"{meta}"n\u0061me":"refund""#)),
            message("tools/call", &format!(r#"{meta}"name":"\u0072efund","arguments":{{}}"#)),
            message("tools\\/call", &format!(r#"{meta}"name":"refund""#)),
            message("tools/call", &format!(r#"{meta}"name":"search","name":"refund""#)),
            message("tools/call", &format!(r#"{meta}"name":"refund","name":"search""#)),
            message("tools/call", &format!(r#"{meta}"name":"search","n\u0061me":"refund""#)),
            message("tools/call", &format!(r#"{meta}"Name":"search","name":"refund""#)),
            message("tools/call", &format!(r#"{meta}"name":"refund","arguments":[]"#)),
            message(
                "tools/call",
                &format!(r#"{meta}"name":{{"$serde_json::private::RawValue":"\"refund\""}}"#),
            ),
            message("tools/call", &format!(r#"{meta}"name":"refund","uri":"a:b","ref":{{}}"#)),
            message("tools/list", &format!(r#"{meta}"name":"refund""#)),
        ]);
    }
    bodies.extend([
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"tools/call","params":{"name":"refund"}}"#.into(),
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search"},"params":{"name":"refund"}}"#.into(),
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"$serde_json::private::RawValue":"{\"name\":\"refund\"}"}}"#.into(),
        r#"{"$serde_json::private::RawValue":"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"refund\"}}"}"#.into(),
        r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"refund"}}"#.into(),
        r#"{"jsonrpc":"2.0","id":null,"method":"tools/call","params":{"name":"refund"}}"#.into(),
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"refund"},"result":{}}"#.into(),
        r#"[{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"refund"}}]"#.into(),
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":["refund"]}"#.into(),
        r#"{"id":1,"params":{"name":"refund"},"x":{"method":"tools/list"},"method":"tools/call","jsonrpc":"2.0"}"#.into(),
        format!("\u{feff}{}", message("tools/call", r#""name":"refund""#)),
        format!("{} {}", message("tools/list", ""), message("tools/call", r#""name":"refund""#)),
    ]);
    let versions: [&[&str]; 6] = [
        &[],
        &["2025-06-18"],
        &["2025-11-25"],
        &["2026-07-28"],
        &["2026-07-28", "2025-06-18"],
        &["2025-06-18", "2026-07-28"],
    ];
    let methods: [&[&str]; 4] =
        [&[], &["tools/call"], &["tools/list"], &["tools/call", "tools/list"]];
    let names: [&[&str]; 6] = [
        &[],
        &["search"],
        &["refund"],
        &["=?base64?cmVmdW5k?="],
        &["=?base64?c2VhcmNo?="],
        &["search", "refund"],
    ];
    let mut requests = Vec::new();
    for body in bodies {
        for version in versions {
            for method in methods {
                for name in names {
                    let version = version.iter().map(|value| ("mcp-protocol-version", *value));
                    let method = method.iter().map(|value| ("mcp-method", *value));
                    let name = name.iter().map(|value| ("mcp-name", *value));
                    requests.push((version.chain(method).chain(name).collect(), body.clone()));
                }
            }
        }
    }
    requests
}

#[test]
fn tool_without_permission_never_runs() {
    let requests = requests();
    let [none, by_body, by_headers] = [None, Some(access()), Some(access().decide_by_headers())]
        .map(|access| tools_of(access.map(|it| it.build().unwrap()), &requests));
    let count = |results: &[Vec<String>], tool: &str| {
        results.iter().flatten().filter(|name| *name == tool).count()
    };
    for (results, which) in [(&by_body, "by body"), (&by_headers, "by headers")] {
        for ((headers, body), tools) in requests.iter().zip(results) {
            assert!(!tools.contains(&"refund".to_owned()), "{which}: {headers:?} {body}");
        }
        assert!(count(results, "search") > 10, "{which}");
    }
    // The tool runs where its rule is absent.
    assert!(count(&none, "refund") > 10, "{}", count(&none, "refund"));
}
