//! The program of `docs/introspection.md`.

use std::{error::Error, time::Duration};

use actix_web::{App, HttpServer, get};
use oauth2_actix::{
    Claims, ClientAuthentication, OAuth2, Provider, introspection::Introspection, require_scope,
    testing::IdentityProvider,
};

#[get("/orders")]
#[require_scope("orders:read")]
async fn orders(claims: Claims) -> String {
    format!("the orders of {}", claims.subject().unwrap_or("a service"))
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_env_filter("info,oauth2_actix=debug").init();

    // For development. In production, Keycloak, Okta, Ory Hydra, …
    let idp = IdentityProvider::start("orders")?;
    let secret = idp.client_secret("orders-api");

    let introspection = Introspection::discover()
        .authentication(ClientAuthentication::basic("orders-api", secret))
        .cache(Duration::from_secs(30));
    let provider =
        Provider::new().issuer(idp.issuer()).audience("orders").introspection(introspection);
    let oauth2 = OAuth2::builder().provider("idp", provider).build()?;

    let token = idp.opaque_token(idp.token().claim("scope", "orders:read"));
    println!("curl -i http://127.0.0.1:8080/orders -H 'Authorization: Bearer {token}'");

    HttpServer::new(move || App::new().service(orders).wrap(oauth2.clone()))
        .bind("127.0.0.1:8080")?
        .run()
        .await?;
    Ok(())
}
