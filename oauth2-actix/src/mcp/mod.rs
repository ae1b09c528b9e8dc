//! Access rules for the tools, prompts and resources of a [Model Context Protocol](https://modelcontextprotocol.io)
//! server: middleware around its endpoint, inside [`OAuth2`](crate::OAuth2).
//!
//! ```
//! use actix_web::{App, HttpResponse, web};
//! use oauth2_actix::{mcp, requirement};
//!
//! # fn endpoint() -> actix_web::Scope { web::scope("").route("", web::to(HttpResponse::Ok)) }
//! # fn main() -> Result<(), oauth2_actix::ConfigError> {
//! # let oauth2 = oauth2_actix::testing::policy();
//! let access = mcp::Access::builder()
//!     .require(requirement::scopes(["mcp:use"]))
//!     .tool("refund", requirement::scopes(["refunds:write"]))
//!     .resource("orders://refunds/*", requirement::scopes(["refunds:read"]))
//!     .allow_origin("http://localhost:6274")
//!     .build()?;
//! let app = App::new()
//!     // `endpoint` is the scope of the MCP server, such as that of `rmcp-actix-web`.
//!     .service(web::scope("/mcp").wrap(access).service(endpoint()))
//!     .wrap(oauth2);
//! # drop(app);
//! # Ok(())
//! # }
//! ```
//!
//! # What a request needs
//!
//! - Any method: a valid token, what [`require`](AccessBuilder::require) says, and no `Origin` but that of the
//!   resource and [allowed](AccessBuilder::allow_origin) ones.
//! - POST: besides, what the rules say of all operations in its body. If a permission is missing, the response is
//!   403, and its challenge names the scopes of the whole request: a client asks for all of them at once.
//!
//! # How a body is read
//!
//! The body decides, and not the headers, since a client may send one tool in `Mcp-Name` and another one in the
//! body. It is read up to a [limit](AccessBuilder::max_body) before the server gets it, unchanged. A body that two
//! readers could understand differently is refused:
//!
//! | Refused | Response |
//! | --- | --- |
//! | no JSON in UTF-8, a byte order mark, bytes after the JSON | 400, JSON-RPC error −32700 |
//! | a member name twice, private member names of `serde_json`, more than 64 levels | 400, −32600 |
//! | no JSON-RPC 2.0 message, a tool, prompt or resource without its name, more than 256 messages or resources in all | 400, −32600 |
//! | `MCP-Protocol-Version`, `Mcp-Method` or `Mcp-Name` repeated, contradicted by the body, or missing since 2026-07-28 | 400, −32020 |
//! | another content type than `application/json`, a content coding | 415 |
//! | a longer body | 413 |
//!
//! In a batch, what all messages require is required. A method that is not part of the protocol is treated as
//! naming a tool, a prompt or a resource if its parameters have `name`, `uri` or `ref`.
//!
//! # Streams and sessions
//!
//! A response of the type `text/event-stream` ends when its token expires: see
//! [`until_expiry`](crate::until_expiry).
//!
//! In revisions before 2026-07-28, a server may create sessions, and their id alone selects one. The id that the
//! client gets is bound to its caller by a tag: to the [principal key](crate::Claims::principal_key) and the actor of
//! the token that began the session. A request with the id of another caller gets 404, as for an unknown session. A
//! token with neither a subject nor a client gets no session.

// It imports `authorize`, `config`, `error`, `json`, `request` and `token`.
//
// - `access`: the rules of an endpoint, their table, and the decision on the calls of a request.
// - `builder`: the builder of the rules, and the faults in them.
// - `headers`: the headers that repeat a part of the body, and those that say how to read it.
// - `message`: the strict reader of a body.
// - `middleware`: the service around the endpoint.
// - `operation`: what a message asks the server to do.
// - `refusal`: the responses to requests that are refused for their form.
// - `resource`: the resources of a rule, and which spellings of a URI are accepted.
// - `session`: session ids that only their caller can use.

mod access;
mod builder;
mod headers;
mod message;
mod middleware;
mod operation;
mod refusal;
mod resource;
mod session;

#[doc(hidden)]
pub use self::middleware::AccessMiddleware;
pub use self::{access::Access, builder::AccessBuilder};

/// Returns the methods in a body, each with what it names. None if the body is refused.
#[cfg(fuzzing)]
pub(crate) fn calls(body: &[u8]) -> Option<Vec<(String, Vec<String>)>> {
    use operation::Target;

    let text = |target: &Target<'_>| match target {
        Target::Tool(name) => format!("tool {name}"),
        Target::Prompt(name) => format!("prompt {name}"),
        Target::Resource(uri) => format!("resource {uri}"),
        Target::Template(uri) => format!("template {uri}"),
        Target::Named(name) => format!("named {name}"),
    };
    let body = operation::Body::read(body).ok()?;
    let calls = body.calls().iter();
    Some(calls.map(|it| (it.method.to_string(), it.targets.iter().map(text).collect())).collect())
}
