//! TLS in front of a test server, and a private certificate authority.

use crate::key_server::{KeyServer, missing_body};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use openssl::{
    asn1::Asn1Time,
    bn::{BigNum, MsbOption},
    ec::{EcGroup, EcKey},
    hash::MessageDigest,
    nid::Nid,
    pkey::{PKey, Private},
    ssl::{SslAcceptor, SslMethod, SslVerifyMode},
    x509::{
        X509, X509Builder, X509NameBuilder,
        extension::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName},
        store::X509StoreBuilder,
    },
};

/// A certificate authority.
#[derive(Debug)]
pub struct Authority {
    key: PKey<Private>,
    certificate: X509,
}

/// A certificate, and its key.
#[derive(Debug)]
pub struct Identity {
    key: PKey<Private>,
    certificate: X509,
}

impl Authority {
    /// Generates an authority of this name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let key = new_key();
        let mut builder = certificate(name, &key, 30);
        builder.set_issuer_name(&name_of(name)).unwrap();
        let constraints = BasicConstraints::new().critical().ca().build().unwrap();
        builder.append_extension(constraints).unwrap();
        let usage = KeyUsage::new().critical().key_cert_sign().build().unwrap();
        builder.append_extension(usage).unwrap();
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        Self { key, certificate: builder.build() }
    }

    /// Returns its certificate.
    #[must_use]
    pub fn pem(&self) -> Vec<u8> {
        self.certificate.to_pem().unwrap()
    }

    /// Returns its certificate.
    #[must_use]
    pub fn certificate(&self) -> &X509 {
        &self.certificate
    }

    /// Issues a certificate for a server or client of this name (and 127.0.0.1, if it is `localhost`). It is
    /// valid for this many days, from yesterday on.
    #[must_use]
    pub fn issue(&self, name: &str, days: u32) -> Identity {
        let key = new_key();
        let mut builder = certificate(name, &key, days);
        builder.set_issuer_name(self.certificate.subject_name()).unwrap();
        let mut names = SubjectAlternativeName::new();
        names.dns(name);
        if name == "localhost" {
            names.ip("127.0.0.1");
        }
        let names = names.build(&builder.x509v3_context(Some(&self.certificate), None)).unwrap();
        builder.append_extension(names).unwrap();
        let usage = ExtendedKeyUsage::new().server_auth().client_auth().build().unwrap();
        builder.append_extension(usage).unwrap();
        builder.sign(&self.key, MessageDigest::sha256()).unwrap();
        Identity { key, certificate: builder.build() }
    }
}

impl Identity {
    /// Returns the certificate and its key.
    #[must_use]
    pub fn pem(&self) -> Vec<u8> {
        [self.certificate.to_pem().unwrap(), self.key.private_key_to_pem_pkcs8().unwrap()].concat()
    }

    /// Returns the certificate.
    #[must_use]
    pub fn certificate(&self) -> &X509 {
        &self.certificate
    }

    /// Returns the key of the certificate.
    #[must_use]
    pub fn key(&self) -> &PKey<Private> {
        &self.key
    }

    /// Returns `x5t#S256` of the certificate (RFC 8705 §3.1).
    #[must_use]
    pub fn x5t_s256(&self) -> String {
        let hash = self.certificate.digest(MessageDigest::sha256()).unwrap();
        BASE64_URL_SAFE_NO_PAD.encode(&*hash)
    }
}

fn new_key() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

fn name_of(name: &str) -> openssl::x509::X509Name {
    let mut builder = X509NameBuilder::new().unwrap();
    builder.append_entry_by_nid(Nid::COMMONNAME, name).unwrap();
    builder.build()
}

fn certificate(name: &str, key: &PKey<Private>, days: u32) -> X509Builder {
    let mut serial = BigNum::new().unwrap();
    serial.rand(64, MsbOption::ONE, false).unwrap();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_serial_number(&serial.to_asn1_integer().unwrap()).unwrap();
    builder.set_subject_name(&name_of(name)).unwrap();
    builder.set_pubkey(key).unwrap();
    let yesterday = Asn1Time::from_unix(unix_days() * DAY - DAY).unwrap();
    let end = Asn1Time::from_unix(unix_days() * DAY - DAY + i64::from(days) * DAY).unwrap();
    builder.set_not_before(&yesterday).unwrap();
    builder.set_not_after(&end).unwrap();
    builder
}

fn unix_days() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap() / DAY
}

const DAY: i64 = 86_400;

/// Terminates TLS in front of a [`KeyServer`].
#[derive(Debug)]
pub struct TlsFront {
    address: SocketAddr,
    stopped: Arc<AtomicBool>,
}

impl TlsFront {
    /// Listens on a loopback port with this certificate. Clients need a certificate of `client_authority`, if
    /// any.
    #[must_use]
    pub fn start(
        server: &KeyServer,
        identity: &Identity,
        client_authority: Option<&Authority>,
    ) -> Self {
        let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
        acceptor.set_private_key(&identity.key).unwrap();
        acceptor.set_certificate(&identity.certificate).unwrap();
        if let Some(authority) = client_authority {
            let mut store = X509StoreBuilder::new().unwrap();
            store.add_cert(authority.certificate.clone()).unwrap();
            acceptor.set_verify_cert_store(store.build()).unwrap();
            acceptor.set_session_id_context(b"tests").unwrap();
            acceptor.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
        }
        let acceptor = acceptor.build();
        let behind = server.url_of("").strip_prefix("http://").unwrap().to_owned();
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let stopped = Arc::new(AtomicBool::new(false));
        let is_stopped = Arc::clone(&stopped);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if is_stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (acceptor, behind) = (acceptor.clone(), behind.clone());
                std::thread::spawn(move || pass(&acceptor, stream, &behind));
            }
        });
        Self { address, stopped }
    }

    /// Returns the URL of a path on the server behind it.
    #[must_use]
    pub fn url_of(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the listening thread.
        let _ = TcpStream::connect(self.address);
    }
}

/// Forwards one request and its response.
fn pass(acceptor: &SslAcceptor, stream: TcpStream, behind: &str) -> Option<()> {
    stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    // The handshake fails if the client does not trust the certificate.
    let mut stream = acceptor.accept(stream).ok()?;
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
        head.extend_from_slice(&buffer[..count]);
    }
    while missing_body(&head) > 0 {
        let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
        head.extend_from_slice(&buffer[..count]);
    }
    let mut server = TcpStream::connect(behind).ok()?;
    server.write_all(&head).ok()?;
    std::io::copy(&mut server, &mut stream).ok()?;
    stream.shutdown().ok()?;
    Some(())
}
