//! The program of `docs/mtls.md` behind a proxy that ends TLS.

use std::{error::Error, fs};

use actix_web::{App, HttpServer, get};
use oauth2_actix::{
    Algorithm, Binding, Claims, OAuth2, Provider,
    mtls::{ClientCertificate, ForwardedCertificate},
    testing::{SigningKey, Token},
};
use serde_json::json;

#[get("/me")]
async fn me(claims: Claims) -> String {
    claims.client_id().unwrap_or("unknown").to_owned()
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_env_filter("info,oauth2_actix=debug").init();

    // For development. In production, the identity provider binds tokens to the certificate of the client.
    let key = SigningKey::generate(Algorithm::ES256, "desk");
    let client = ClientCertificate::from_der(&fs::read("client.der")?)?;
    let token = Token::new("https://idp.example.com", "orders")
        .claim("client_id", "client")
        .claim("cnf", json!({"x5t#S256": client.x5t_s256()}))
        .sign(&key);
    println!("TOKEN={token}");

    let provider = Provider::new()
        .issuer("https://idp.example.com")
        .audience("orders")
        .keys(key.jwk_set())
        .certificate_bound(Binding::Required);
    let certificate = ForwardedCertificate::nginx("X-SSL-Client-Cert").from_peers(["127.0.0.1"]);
    let oauth2 = OAuth2::builder()
        .provider("idp", provider)
        .key_refresh_minutes(30)
        .forwarded_certificate(certificate)
        .build()?;

    HttpServer::new(move || App::new().service(me).wrap(oauth2.clone()))
        .bind("127.0.0.1:8080")?
        .run()
        .await?;
    Ok(())
}
