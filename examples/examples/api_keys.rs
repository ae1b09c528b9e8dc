//! An API that accepts API keys beside tokens of a provider: `cargo run -p oauth2-actix-examples --example api_keys`.

use std::error::Error;

use actix_web::{App, HttpServer, get};
use oauth2_actix::{
    Claims, OAuth2, Provider,
    api_keys::{ApiKey, ApiKeys},
    require_scope,
    testing::IdentityProvider,
};
use serde_json::json;

#[get("/invoices")]
#[require_scope("invoices:read")]
async fn invoices(claims: Claims) -> String {
    format!("invoices for {} of {}\n", claims.subject().unwrap_or("a service"), claims.provider())
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // For development. In production, Keycloak, Auth0, Okta, …
    let idp = IdentityProvider::start("invoices")?;
    let provider = Provider::new().issuer(idp.issuer()).audience("invoices").keys(idp.jwks_url());

    // In production, the configuration has hashes of keys that `oauth2-actix api-key new` has made.
    let generated = ApiKey::generate("shop_live_")?;
    let key =
        ApiKey::new("billing-job", [generated.hash()]).claims(json!({"scope": "invoices:read"}));
    let oauth2 = OAuth2::builder()
        .provider("idp", provider)
        .key_refresh_minutes(30)
        .api_keys("shop-keys", ApiKeys::new("shop_live_").key(key))
        .build()?;

    println!("With a key, and with a token of the provider:\n");
    for token in
        [generated.expose_text(), &idp.token().claim("scope", "invoices:read").sign(&idp.key())]
    {
        println!("curl -H 'Authorization: Bearer {token}' http://127.0.0.1:8080/invoices\n");
    }
    HttpServer::new(move || App::new().service(invoices).wrap(oauth2.clone()))
        .bind("127.0.0.1:8080")?
        .run()
        .await?;
    Ok(())
}
