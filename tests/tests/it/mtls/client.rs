//! A TLS client with certificates, which can resume a session.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
};

use oauth2_actix_tests::{
    tls::{Authority, Identity},
    wait::PATIENCE,
};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned,
    SupportedProtocolVersion,
    crypto::aws_lc_rs,
    pki_types::{PrivateKeyDer, ServerName},
};

/// A client. Connections of one client resume its sessions.
pub(super) struct Client(Arc<ClientConfig>);

/// What a client got on one connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) body: String,
    /// Whether the connection resumed a session.
    pub(super) is_resumed: bool,
}

impl Client {
    /// Creates a client that trusts the authority, and has an identity or none.
    pub(super) fn new(
        authority: &Authority,
        identity: Option<&Identity>,
        version: &'static SupportedProtocolVersion,
    ) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(authority.certificate().to_der().unwrap().into()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                // As clients do, with the certificate of the authority after their own.
                let chain = [identity.certificate(), authority.certificate()];
                let chain = chain.map(|it| it.to_der().unwrap().into()).to_vec();
                builder.with_client_auth_cert(chain, key(identity)).unwrap()
            }
        };
        Self(Arc::new(config))
    }

    /// Sends a GET with these header lines on a connection of its own.
    pub(super) fn get(&self, address: SocketAddr, lines: &[String]) -> Answer {
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::clone(&self.0), name).unwrap();
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut stream = StreamOwned::new(connection, stream);
        let body = get(&mut stream, lines);
        Answer { body, is_resumed: stream.conn.handshake_kind() == Some(HandshakeKind::Resumed) }
    }

    /// Returns the configuration, for HTTP/2.
    pub(super) fn h2(&self) -> Arc<ClientConfig> {
        let mut config = (*self.0).clone();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Arc::new(config)
    }
}

/// Sends a GET with these header lines, and returns the body.
pub(super) fn get(stream: &mut (impl Read + Write), lines: &[String]) -> String {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    let head = format!("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{lines}\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut response = Vec::new();
    // A server may close without the alert of TLS.
    let _ = stream.read_to_end(&mut response);
    let response = String::from_utf8(response).unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{response:?}"));
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    body.to_owned()
}

pub(super) fn key(identity: &Identity) -> PrivateKeyDer<'static> {
    PrivateKeyDer::Pkcs8(identity.key().private_key_to_pkcs8().unwrap().into())
}
