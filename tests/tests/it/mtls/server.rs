//! Servers with TLS that ask for the certificate of the client, and answer with what they know of it.

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
};

use actix_web::{App, HttpRequest, HttpServer, web};
use oauth2_actix::{
    __private,
    mtls::{self, ForwardedCertificate},
    testing::LocalServer,
};
use oauth2_actix_tests::tls::{Authority, Identity};
use openssl::{
    ssl::{SslAcceptor, SslAcceptorBuilder, SslMethod, SslVerifyMode},
    x509::store::X509StoreBuilder,
};
use rustls::{
    RootCertStore, ServerConfig, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    pki_types::{PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};

use super::client::{Client, Pems};

/// A library for TLS.
#[derive(Clone, Copy, Debug)]
pub(super) enum Library {
    OpenSsl,
    /// Sessions are kept in the memory of the server.
    Rustls,
    /// Sessions are kept by the client, in tickets.
    RustlsWithTickets,
}

pub(super) const LIBRARIES: [Library; 3] =
    [Library::OpenSsl, Library::Rustls, Library::RustlsWithTickets];

/// A running server with TLS.
pub(super) struct Server {
    server: LocalServer,
    pub(super) authority: Authority,
}

impl Server {
    /// Starts a server that asks clients for a certificate, and answers with what it knows of it.
    pub(super) fn start(library: Library, forwarded: Option<ForwardedCertificate>) -> Self {
        Self::with_routes(library, routes(forwarded))
    }

    /// Starts a server that asks clients for a certificate, and accepts clients without one.
    pub(super) fn with_routes<R>(library: Library, routes: R) -> Self
    where
        R: Fn(&mut web::ServiceConfig) + Clone + Send + 'static,
    {
        let authority = Authority::new("authority");
        let identity = authority.issue("localhost", 30);
        let (rustls, openssl) =
            (rustls_config(&authority, &identity, library), acceptor(&authority, &identity));
        let server = LocalServer::start(move |listener| {
            let app = move || App::new().configure(routes.clone());
            let server = HttpServer::new(app).on_connect(mtls::on_connect).workers(1);
            let server = match library {
                Library::OpenSsl => server.listen_openssl(listener, openssl)?,
                _ => server.listen_rustls_0_23(listener, rustls)?,
            };
            Ok(server.run())
        })
        .unwrap();
        Self { server, authority }
    }

    /// Returns a client of this server, with an identity or without one.
    pub(super) fn client(
        &self,
        identity: Option<&Identity>,
        version: &'static SupportedProtocolVersion,
    ) -> Client {
        let identity = identity.map(|identity| Pems {
            // As clients do, with the certificate of the authority after their own.
            chain: [identity.certificate().to_pem().unwrap(), self.authority.pem()].concat(),
            key: identity.key().private_key_to_pem_pkcs8().unwrap(),
        });
        Client::new(&self.authority.pem(), identity, version)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.server.address()
    }
}

/// Answers every request with the certificate that it has, or with the text of the log.
pub(super) fn routes(
    forwarded: Option<ForwardedCertificate>,
) -> impl Fn(&mut web::ServiceConfig) + Clone + Send + 'static {
    move |config| {
        config.app_data(web::Data::new(forwarded.clone())).default_service(web::to(certificate));
    }
}

async fn certificate(
    request: HttpRequest,
    forwarded: web::Data<Option<ForwardedCertificate>>,
) -> String {
    match __private::client_certificate(&request, forwarded.as_ref().as_ref()) {
        Ok(certificate) => certificate.x5t_s256(),
        Err(text) => text,
    }
}

/// Starts a server without TLS, which answers with what it knows of the certificate.
pub(super) fn plain(listener: TcpListener, forwarded: Option<ForwardedCertificate>) -> LocalServer {
    plain_with_routes(listener, routes(forwarded))
}

/// Starts a server without TLS.
pub(super) fn plain_with_routes<R>(listener: TcpListener, routes: R) -> LocalServer
where
    R: Fn(&mut web::ServiceConfig) + Clone + Send + 'static,
{
    LocalServer::listen(listener, |listener| {
        let app = move || App::new().configure(routes.clone());
        let server = HttpServer::new(app).on_connect(mtls::on_connect).workers(1);
        Ok(server.listen(listener)?.run())
    })
    .unwrap()
}

fn rustls_config(authority: &Authority, identity: &Identity, library: Library) -> ServerConfig {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate().to_der().unwrap().into()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .allow_unauthenticated()
            .build()
            .unwrap();
    let chain = vec![identity.certificate().to_der().unwrap().into()];
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, PrivateKeyDer::from_pem_slice(&identity.pem()).unwrap())
        .unwrap();
    if matches!(library, Library::RustlsWithTickets) {
        config.ticketer = aws_lc_rs::Ticketer::new().unwrap();
    }
    config
}

fn acceptor(authority: &Authority, identity: &Identity) -> SslAcceptorBuilder {
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
    acceptor.set_private_key(identity.key()).unwrap();
    acceptor.set_certificate(identity.certificate()).unwrap();
    let mut store = X509StoreBuilder::new().unwrap();
    store.add_cert(authority.certificate().clone()).unwrap();
    acceptor.set_verify_cert_store(store.build()).unwrap();
    // Without it, OpenSSL ends the handshakes of clients that resume a session.
    acceptor.set_session_id_context(b"tests").unwrap();
    acceptor.set_verify(SslVerifyMode::PEER);
    acceptor
}
