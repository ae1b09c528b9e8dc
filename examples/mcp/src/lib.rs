//! A server of the Model Context Protocol whose tools require scopes. Clients find the identity provider, log in and
//! ask for more scopes by themselves.

pub mod orders;
pub mod server;
pub mod settings;

use std::{error::Error, net::SocketAddr, net::TcpListener, sync::Arc, time::Duration};

use actix_cors::Cors;
use actix_web::{
    App, HttpMessage, HttpServer,
    http::{Uri, header},
    rt,
};
use oauth2_actix::{
    Claims, ConfigError, Keys, OAuth2, Provider, Resource,
    mcp::{Access, AccessBuilder},
    requirement,
    testing::IdentityProvider,
};
use rmcp::ServerHandler;
use rmcp_actix_web::transport::{LocalSessionManager, StreamableHttpService};

use crate::settings::Settings;

/// The path of the MCP endpoint.
pub const ENDPOINT: &str = "/mcp";

/// The scopes of a first login.
pub const FIRST_SCOPES: [&str; 2] = ["mcp:use", "orders:read"];

/// The scopes that clients may ask for.
pub const SCOPES: [&str; 4] = ["mcp:use", "orders:read", "refunds:write", "orders:admin"];

/// The pages of other origins that may call the server: those of the MCP inspector.
pub const ORIGINS: [&str; 2] = ["http://localhost:6274", "http://127.0.0.1:6274"];

/// Builds the policy of the server, which accepts tokens of one issuer for `resource`.
///
/// # Errors
///
/// The faults of the configuration.
pub fn policy(
    issuer: &str,
    resource: &str,
    leeway: Option<Duration>,
) -> Result<OAuth2, ConfigError> {
    let resource = Resource::new(resource)
        .name("Orders")
        .scopes(SCOPES)
        // Those of refunds are asked for when a user refunds an order.
        .challenge_scopes(FIRST_SCOPES);
    let mut oauth2 = OAuth2::builder()
        .provider("idp", Provider::new().issuer(issuer).keys(Keys::discover()))
        .key_refresh_minutes(30)
        .resource(resource)
        .scope_implies("orders:admin", ["orders:read", "refunds:write"]);
    if let Some(leeway) = leeway {
        oauth2 = oauth2.leeway(leeway);
    }
    oauth2.build()
}

/// Returns the rules of the tools, of the prompt and of the resource.
///
/// # Errors
///
/// The resource has no origin.
pub fn access(resource: &str) -> Result<Access, ConfigError> {
    let access = Access::builder()
        .require(requirement::scopes(["mcp:use"]))
        .tool("list_orders", requirement::scopes(["orders:read"]))
        .tool("refund_order", requirement::scopes(["refunds:write"]))
        .prompt("refund_letter", requirement::scopes(["orders:read"]));
    // Besides these, pages of the server itself.
    let origins = ORIGINS.map(str::to_owned).into_iter().chain(origin(resource));
    origins.fold(access, AccessBuilder::allow_origin).build()
}

/// Returns the MCP service. All workers share its sessions and its orders.
#[must_use]
pub fn service<S>(server: S, resource: &str) -> StreamableHttpService<S>
where
    S: ServerHandler + Clone + Sync,
{
    StreamableHttpService::builder()
        .service_factory(Arc::new(move || Ok(server.clone())))
        .session_manager(Arc::new(LocalSessionManager::default()))
        // The names under which clients reach the server. Another `Host` is rejected.
        .allowed_hosts(hosts(resource))
        // The claims of the request, for the tools.
        .on_request_fn(|request, extensions| {
            if let Some(claims) = request.extensions().get::<Claims>() {
                extensions.insert(claims.clone());
            }
        })
        .build()
}

/// Returns the host of the resource, and the names of this machine.
fn hosts(resource: &str) -> Vec<String> {
    let host = resource.parse::<Uri>().ok().and_then(|uri| uri.host().map(str::to_owned));
    host.into_iter().chain(["127.0.0.1", "localhost", "[::1]"].map(str::to_owned)).collect()
}

/// Returns the origin of the resource.
fn origin(resource: &str) -> Option<String> {
    let uri = resource.parse::<Uri>().ok()?;
    Some(format!("{}://{}", uri.scheme_str()?, uri.authority()?))
}

/// Allows the pages of [`ORIGINS`], which need the challenge and the session id of a response. It is added after
/// OAuth2, and is therefore outside.
pub fn cors() -> Cors {
    let cors = ORIGINS.into_iter().fold(Cors::default(), Cors::allowed_origin);
    cors.allowed_methods(["GET", "POST", "DELETE"])
        .allow_any_header()
        .expose_headers([header::WWW_AUTHENTICATE.as_str(), "Mcp-Session-Id"])
        .max_age(60)
}

/// Serves an MCP server, and an identity provider if the settings name none, until Ctrl-C.
///
/// # Errors
///
/// The faults of the configuration, and a port that cannot be used.
pub async fn serve<S>(settings: Settings, server: S) -> Result<(), Box<dyn Error>>
where
    S: ServerHandler + Clone + Sync,
{
    let listener = listen(SocketAddr::new(settings.listen, settings.port))?;
    let address = listener.local_addr()?;
    let resource = settings.resource.unwrap_or_else(|| format!("http://{address}{ENDPOINT}"));
    let issuer = match settings.issuer {
        Some(issuer) => issuer,
        None => {
            let next = if settings.port == 0 { 0 } else { settings.port.saturating_add(1) };
            embed_issuer(listen(SocketAddr::new(settings.listen, next))?, &resource)?
        }
    };

    let oauth2 = policy(&issuer, &resource, settings.leeway)?;
    let access = access(&resource)?;
    let mcp = service(server, &resource);
    let server = HttpServer::new(move || {
        App::new()
            .service(oauth2.resource_metadata())
            .service(mcp.clone().scope_with_path(ENDPOINT).wrap(access.clone()))
            .wrap(oauth2.clone())
            .wrap(cors())
    })
    .workers(2)
    .listen(listener)?
    .run();
    println!("MCP server: {resource}");
    println!("issuer: {issuer}");
    println!("listening on http://{address}");
    println!("Ctrl-C ends it.");
    server.await?;
    Ok(())
}

/// Starts an identity provider for development, and returns its issuer. It ends with the process.
fn embed_issuer(listener: TcpListener, resource: &str) -> Result<String, Box<dyn Error>> {
    let issuer = format!("http://{}", listener.local_addr()?);
    let provider = IdentityProvider::new(&issuer, resource);
    let server = HttpServer::new(move || {
        let provider = provider.clone();
        App::new().configure(move |config| provider.configure(config))
    });
    rt::spawn(server.workers(1).disable_signals().listen(listener)?.run());
    Ok(issuer)
}

fn listen(address: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(address).map_err(|error| {
        format!("{address} cannot be used: {error}; choose another by PORT and LISTEN")
    })
}
