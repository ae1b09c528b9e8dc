//! The program of `docs/dpop.md`.

use std::{env, error::Error};

use actix_web::{App, HttpServer, get};
use oauth2_actix::{
    Binding, Claims, Keys, OAuth2, Provider, dpop::Dpop, require_dpop, testing::IdentityProvider,
};

/// The URL that clients use.
const API: &str = "http://127.0.0.1:8080";

#[get("/me")]
async fn me(claims: Claims) -> String {
    let bound_to = claims.dpop_thumbprint().map_or("no key", |_| "a key");
    format!("{}, with a token that is bound to {bound_to}", claims.subject().unwrap_or("a service"))
}

#[get("/payments")]
#[require_dpop]
async fn payments() -> &'static str {
    "your payments"
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_env_filter("info,oauth2_actix=debug").init();

    // For development. In production, Keycloak, Auth0, Okta, …
    let idp = IdentityProvider::start(API)?;

    let provider =
        Provider::new().issuer(idp.issuer()).keys(Keys::discover()).dpop(Binding::Allowed);
    let oauth2 = OAuth2::builder()
        .provider("idp", provider)
        .key_refresh_minutes(30)
        .resource(API)
        .dpop(Dpop::new().nonce_secret(env::var("NONCE_SECRET")?))
        .build()?;
    oauth2.warm_up().await?;

    HttpServer::new(move || {
        App::new()
            .service(oauth2.resource_metadata())
            .service(me)
            .service(payments)
            .wrap(oauth2.clone())
    })
    .bind("127.0.0.1:8080")?
    .run()
    .await?;
    Ok(())
}
