//! Protected resources (RFC 9728).
//!
//! - `authorization_server`: what the log says at start of settings that differ from an authorization server's
//!   metadata
//! - `challenges`: what challenges say of a resource, and which tokens it accepts
//! - `documents`: the metadata documents
//! - `several`: several resources of one policy

mod authorization_server;
mod challenges;
mod documents;
mod several;

use actix_web::{App, HttpResponse, HttpServer, web};
use oauth2_actix::{
    Algorithm, OAuth2, OAuth2Builder, Provider,
    testing::{LocalServer, Token},
};
use oauth2_actix_tests::{keys::key, policy};

const ISSUER: &str = "https://idp.test";
const MCP: &str = "https://api.example.com/mcp";

/// A policy whose provider has no audience but the resources.
fn builder() -> OAuth2Builder {
    let keys = key(Algorithm::ES256).jwk_set();
    policy::builder().provider("idp", Provider::new().issuer(ISSUER).keys(keys))
}

fn token(audience: &str) -> String {
    Token::new(ISSUER, audience).sign(key(Algorithm::ES256))
}

/// An app with the metadata documents, a private default service, and a public route.
fn start(oauth2: OAuth2) -> LocalServer {
    LocalServer::start(move |listener| {
        let app = move || {
            App::new()
                .service(oauth2.resource_metadata())
                .default_service(web::to(HttpResponse::Ok))
                .wrap(oauth2.clone())
        };
        Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
    })
    .unwrap()
}
