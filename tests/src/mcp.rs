//! An MCP endpoint behind access rules, which records what reaches it.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, body::BodyStream, web};
use futures_util::StreamExt;
use oauth2_actix::{
    Algorithm, OAuth2Builder, Provider,
    mcp::AccessBuilder,
    testing::{LocalServer, Token},
};
use serde_json::{Value, json};

use crate::{
    client::{Answer, client, send},
    keys::key,
    policy,
};

const ISSUER: &str = "https://idp.test";

/// A server with an MCP endpoint at `/mcp`.
#[derive(Debug)]
pub struct Endpoint {
    server: LocalServer,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// A request that has reached the endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The method.
    pub method: String,
    /// The body.
    pub body: Vec<u8>,
    /// The session id.
    pub session: Option<String>,
}

impl Endpoint {
    /// Starts a server with these rules.
    #[must_use]
    pub fn start(access: AccessBuilder) -> Self {
        Self::behind(policy_of_tokens(), access)
    }

    /// Starts a server with these rules and another policy.
    #[must_use]
    pub fn behind(oauth2: OAuth2Builder, access: AccessBuilder) -> Self {
        let (oauth2, access) = (oauth2.build().unwrap(), access.build().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let records = web::Data::new(Arc::clone(&seen));
        let server = LocalServer::start(move |listener| {
            let app = move || {
                App::new()
                    .app_data(records.clone())
                    .service(
                        web::scope("/mcp").wrap(access.clone()).default_service(web::to(endpoint)),
                    )
                    .wrap(oauth2.clone())
            };
            Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
        })
        .unwrap();
        Self { server, seen }
    }

    /// Returns the address of the server.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Returns the requests that have reached the endpoint, and forgets them.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }

    /// Starts a request for the endpoint.
    pub fn request(&self, method: &str, token: &str) -> reqwest::RequestBuilder {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        client().request(method, self.server.url("/mcp")).bearer_auth(token)
    }

    /// Sends a POST with a JSON body and these headers.
    pub async fn post(&self, token: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = self.request("POST", token).header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        send(request.body(body.to_owned())).await
    }
}

/// Returns a policy that accepts the tokens of [`token`].
pub fn policy_of_tokens() -> OAuth2Builder {
    let keys = key(Algorithm::ES256).jwk_set();
    let provider = Provider::new().issuer(ISSUER).audience("api").keys(keys);
    policy::builder().provider("p", provider)
}

/// Returns a token of this subject with these scopes.
#[must_use]
pub fn token_of(subject: &str, scopes: &str) -> String {
    bare_token().claim("sub", subject).claim("scope", scopes).sign(key(Algorithm::ES256))
}

/// Returns a token with these scopes.
#[must_use]
pub fn token(scopes: &str) -> String {
    token_of("ann", scopes)
}

/// Returns a token without subject, client and scopes, to be changed.
#[must_use]
pub fn bare_token() -> Token {
    Token::new(ISSUER, "api").without("sub")
}

/// Returns a request with this method and these parameters.
#[must_use]
pub fn message(method: &str, params: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string()
}

/// Returns a call of a tool.
#[must_use]
pub fn tool_call(name: &str) -> String {
    message("tools/call", &json!({"name": name, "arguments": {}}))
}

/// Records the request. Returns a session id or a stream of events where a header of the request says so.
async fn endpoint(
    request: HttpRequest,
    body: web::Bytes,
    seen: web::Data<Arc<Mutex<Vec<Seen>>>>,
) -> HttpResponse {
    let text =
        |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let method = request.method().to_string();
    seen.lock().unwrap().push(Seen {
        method,
        body: body.to_vec(),
        session: text("mcp-session-id"),
    });
    let mut response = HttpResponse::Ok();
    if let Some(id) = text("x-begin-session") {
        response.insert_header(("mcp-session-id", id));
    }
    match text("x-content-type") {
        None => response.json(json!({"jsonrpc": "2.0", "id": 1, "result": {}})),
        Some(media_type) => {
            let one = Ok::<_, actix_web::Error>(web::Bytes::from_static(b"data: 1\n\n"));
            let events = futures_util::stream::iter([one]).chain(futures_util::stream::pending());
            response.content_type(media_type).body(BodyStream::new(events))
        }
    }
}
