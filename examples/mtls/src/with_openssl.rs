//! The program of `docs/mtls.md` with OpenSSL instead of rustls.

use std::{error::Error, fs};

use actix_web::{App, HttpServer, get};
use oauth2_actix::{
    Algorithm, Binding, Claims, OAuth2, Provider,
    mtls::{self, ClientCertificate},
    testing::{SigningKey, Token},
};
use openssl::{
    error::ErrorStack,
    ssl::{SslAcceptor, SslAcceptorBuilder, SslFiletype, SslMethod, SslVerifyMode},
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
        .bind_openssl("127.0.0.1:8443", tls()?)?
        .run()
        .await?;
    Ok(())
}

fn tls() -> Result<SslAcceptorBuilder, ErrorStack> {
    let mut tls = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
    tls.set_certificate_chain_file("localhost.pem")?;
    tls.set_private_key_file("localhost.key", SslFiletype::PEM)?;
    tls.set_ca_file("ca.pem")?;
    // Asks for a certificate. A client without one is rejected by its token, not here.
    tls.set_verify(SslVerifyMode::PEER);
    // Without it, OpenSSL ends the handshakes of clients that resume a session.
    tls.set_session_id_context(b"orders")?;
    Ok(tls)
}
