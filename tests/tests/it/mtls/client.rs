//! A TLS client with certificates, which can resume a session.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
};

use oauth2_actix_tests::wait::PATIENCE;
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned,
    SupportedProtocolVersion,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};

/// A client. Connections of one client resume its sessions.
pub(crate) struct Client(pub(crate) Arc<ClientConfig>);

/// A chain of certificates, and the key of the first one, in PEM.
pub(crate) struct Pems {
    pub(crate) chain: Vec<u8>,
    pub(crate) key: Vec<u8>,
}

/// What a client got on one connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
    /// Whether the connection resumed a session.
    pub(crate) is_resumed: bool,
}

impl Client {
    /// Creates a client that trusts an authority, and has an identity or none.
    pub(crate) fn new(
        authority: &[u8],
        identity: Option<Pems>,
        version: &'static SupportedProtocolVersion,
    ) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let chain = CertificateDer::pem_slice_iter(&identity.chain);
                let key = PrivateKeyDer::from_pem_slice(&identity.key).unwrap();
                builder.with_client_auth_cert(chain.map(Result::unwrap).collect(), key).unwrap()
            }
        };
        Self(Arc::new(config))
    }

    /// Sends a GET with these header lines on a connection of its own.
    pub(crate) fn get(&self, address: SocketAddr, lines: &[String]) -> Answer {
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::clone(&self.0), name).unwrap();
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut stream = StreamOwned::new(connection, stream);
        let (status, body) = get(&mut stream, lines);
        let is_resumed = stream.conn.handshake_kind() == Some(HandshakeKind::Resumed);
        Answer { status, body, is_resumed }
    }
}

/// Sends a GET with these header lines, and returns the status and the body.
pub(crate) fn get(stream: &mut (impl Read + Write), lines: &[String]) -> (u16, String) {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    let head = format!("GET /me HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{lines}\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut response = Vec::new();
    // A server may close without the alert of TLS.
    let _ = stream.read_to_end(&mut response);
    let response = String::from_utf8(response).unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{response:?}"));
    let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).unwrap();
    (status.parse().unwrap(), body.to_owned())
}
