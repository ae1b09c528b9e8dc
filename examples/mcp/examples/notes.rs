//! The program of `docs/mcp.md`.

use std::{error::Error, sync::Arc};

use actix_web::{App, HttpMessage, HttpServer};
use oauth2_actix::{
    Claims, Keys, OAuth2, Provider, Resource, mcp, requirement, testing::IdentityProvider,
};
use rmcp::{
    RoleServer, ServerHandler,
    model::{ServerCapabilities, ServerConfig},
    service::RequestContext,
    tool, tool_handler, tool_router,
};
use rmcp_actix_web::transport::{
    LocalSessionManager, StreamableHttpService, on_request_extensions,
};

/// The URL that clients use.
const ENDPOINT: &str = "http://127.0.0.1:8080/mcp";

#[derive(Clone)]
struct Notes;

#[tool_router]
impl Notes {
    /// Returns the name of the user.
    #[tool]
    async fn whoami(&self, context: RequestContext<RoleServer>) -> String {
        let claims = on_request_extensions(&context.extensions).and_then(|it| it.get::<Claims>());
        claims.and_then(Claims::subject).unwrap_or("a service").to_owned()
    }

    /// Deletes all notes.
    #[tool]
    async fn delete_notes(&self) -> String {
        "All notes are deleted.".to_owned()
    }
}

#[tool_handler]
impl ServerHandler for Notes {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_env_filter("info,oauth2_actix=debug").init();

    // For development. In production, Keycloak, Auth0, Microsoft Entra, …
    let idp = IdentityProvider::start(ENDPOINT)?;

    let access = mcp::Access::builder()
        .require(requirement::scopes(["notes:read"]))
        .tool("delete_notes", requirement::scopes(["notes:delete"]))
        .build()?;
    let resource = Resource::new(ENDPOINT)
        .name("Notes")
        .scopes(access.scopes())
        // Those of the first login. The others are asked for when a tool needs them.
        .challenge_scopes(["notes:read"]);
    let provider = Provider::new().issuer(idp.issuer()).keys(Keys::discover());
    let oauth2 = OAuth2::builder()
        .provider("idp", provider)
        .key_refresh_minutes(30)
        .resource(resource)
        .build()?;
    oauth2.warm_up().await?;

    let notes = StreamableHttpService::builder()
        .service_factory(Arc::new(|| Ok(Notes)))
        .session_manager(Arc::new(LocalSessionManager::default()))
        .on_request_fn(|request, extensions| {
            if let Some(claims) = request.extensions().get::<Claims>() {
                extensions.insert(claims.clone());
            }
        })
        .build();
    HttpServer::new(move || {
        App::new()
            .service(oauth2.resource_metadata())
            .service(notes.clone().scope_with_path("/mcp").wrap(access.clone()))
            .wrap(oauth2.clone())
    })
    .bind("127.0.0.1:8080")?
    .run()
    .await?;
    Ok(())
}
