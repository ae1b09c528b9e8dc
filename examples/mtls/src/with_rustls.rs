//! The program of `docs/mtls.md`: certificate-bound tokens, with TLS by rustls.

use std::{error::Error, fs, sync::Arc};

use actix_web::{App, HttpServer, get};
use oauth2_actix::{
    Algorithm, Binding, Claims, OAuth2, Provider,
    mtls::{self, ClientCertificate},
    testing::{SigningKey, Token},
};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
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
    let oauth2 = OAuth2::builder().provider("idp", provider).key_refresh_minutes(30).build()?;

    HttpServer::new(move || App::new().service(me).wrap(oauth2.clone()))
        .on_connect(mtls::on_connect)
        .bind_rustls_0_23("127.0.0.1:8443", tls()?)?
        .run()
        .await?;
    Ok(())
}

fn tls() -> Result<ServerConfig, Box<dyn Error>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file("ca.pem")?)?;
    // Asks for a certificate. A client without one is rejected by its token, not here.
    let clients = WebPkiClientVerifier::builder(Arc::new(roots)).allow_unauthenticated().build()?;
    let chain = CertificateDer::pem_file_iter("localhost.pem")?.collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file("localhost.key")?;
    Ok(ServerConfig::builder().with_client_cert_verifier(clients).with_single_cert(chain, key)?)
}
