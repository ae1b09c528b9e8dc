//! A proxy that ends TLS, and an API behind it.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use actix_web::{App, HttpServer, web};
use base64::{Engine, prelude::BASE64_STANDARD};
use oauth2_actix::{
    Algorithm, Binding, Claims, Provider,
    mtls::{ClientCertificate, ForwardedCertificate},
    testing::{LocalServer, Token},
};
use oauth2_actix_tests::{keys::key, policy, wait::PATIENCE};
use rustls::SupportedProtocolVersion;
use serde_json::json;

use crate::{
    client::{self, Client, Pems},
    folder::Folder,
};

#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    HaProxy,
    Nginx,
}

/// A running proxy, and an API behind it that accepts tokens bound to the certificate `client`.
pub(crate) struct Setup {
    kind: Kind,
    folder: Folder,
    front: SocketAddr,
    api: LocalServer,
    proxy: Child,
    token: String,
}

impl Setup {
    pub(crate) fn start(kind: Kind) -> Self {
        let folder = Folder::with_certificates();
        let api = api(match kind {
            Kind::HaProxy => ForwardedCertificate::haproxy("X-SSL-Client-DER"),
            Kind::Nginx => ForwardedCertificate::nginx("X-SSL-Client-Cert"),
        });
        let bound_to = ClientCertificate::from_der(&folder.read("client.der")).unwrap();
        let token = Token::new(ISSUER, "api")
            .claim("client_id", "client")
            .claim("cnf", json!({"x5t#S256": bound_to.x5t_s256()}))
            .sign(key(Algorithm::ES256));
        let front = free_address();
        let mut proxy = start(kind, &folder, front, api.address());
        wait_for(&mut proxy, front);
        Self { kind, folder, front, api, proxy, token }
    }

    /// Returns the address of the proxy.
    pub(crate) fn front(&self) -> SocketAddr {
        self.front
    }

    /// Returns a client with the certificate of this name.
    pub(crate) fn client(
        &self,
        identity: Option<&str>,
        version: &'static SupportedProtocolVersion,
    ) -> Client {
        let read = |name: String| self.folder.read(&name);
        let identity = identity.map(|name| Pems {
            chain: read(format!("{name}.pem")),
            key: read(format!("{name}.key")),
        });
        Client::new(&read("ca.pem".into()), identity, version)
    }

    /// Returns the header line with the token.
    pub(crate) fn token(&self) -> String {
        format!("Authorization: Bearer {}", self.token)
    }

    /// Returns the header line with the certificate of this name, as this proxy writes it.
    pub(crate) fn header_of(&self, name: &str) -> String {
        let pem = self.folder.read(&format!("{name}.pem"));
        match self.kind {
            Kind::HaProxy => {
                let der = openssl::x509::X509::from_pem(&pem).unwrap().to_der().unwrap();
                format!("X-SSL-Client-DER: {}", BASE64_STANDARD.encode(der))
            }
            Kind::Nginx => {
                let escaped: String = pem.iter().map(|byte| format!("%{byte:02X}")).collect();
                format!("X-SSL-Client-Cert: {escaped}")
            }
        }
    }

    /// Sends a request to the API, without the proxy, from this address.
    pub(crate) fn get_directly_from(&self, address: [u8; 4], lines: &[String]) -> (u16, String) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let stream = runtime.block_on(async {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind((Ipv4Addr::from(address), 0).into()).unwrap();
            socket.connect(self.api.address()).await.unwrap().into_std().unwrap()
        });
        stream.set_nonblocking(false).unwrap();
        client::get(&mut &stream, lines)
    }
}

impl std::fmt::Debug for Setup {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:?}", self.kind)
    }
}

impl Drop for Setup {
    fn drop(&mut self) {
        // The workers of nginx end only if its main process gets the signal to stop.
        let _ = Command::new("kill").arg(self.proxy.id().to_string()).status();
        let _ = self.proxy.wait();
    }
}

fn api(certificate: ForwardedCertificate) -> LocalServer {
    let provider = Provider::new()
        .issuer(ISSUER)
        .audience("api")
        .keys(key(Algorithm::ES256).jwk_set())
        .certificate_bound(Binding::Required);
    let oauth2 = policy::builder()
        .provider("p", provider)
        .forwarded_certificate(certificate.from_peers(["127.0.0.1"]))
        .build()
        .unwrap();
    LocalServer::start(move |listener| {
        let app = move || App::new().wrap(oauth2.clone()).route("/me", web::get().to(me));
        Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
    })
    .unwrap()
}

async fn me(claims: Claims) -> String {
    claims.client_id().unwrap().to_owned()
}

/// Starts the proxy with the configuration of the page. Only the ports differ.
fn start(kind: Kind, folder: &Folder, front: SocketAddr, api: SocketAddr) -> Child {
    let with_ports = |configuration: &str| {
        for address in ["127.0.0.1:8443", "127.0.0.1:8080"] {
            assert_eq!(configuration.matches(address).count(), 1, "{configuration}");
        }
        configuration
            .replace("127.0.0.1:8443", &front.to_string())
            .replace("127.0.0.1:8080", &api.to_string())
    };
    let mut command = match kind {
        Kind::HaProxy => {
            let configuration = include_str!("../../../examples/mtls/haproxy.cfg");
            folder.write("haproxy.cfg", with_ports(configuration));
            let both = [folder.read("localhost.pem"), folder.read("localhost.key")].concat();
            folder.write("haproxy.pem", both);
            let mut command = Command::new("haproxy");
            command.args(["-f", "haproxy.cfg"]);
            command
        }
        Kind::Nginx => {
            let configuration = include_str!("../../../examples/mtls/nginx.conf");
            folder.write("nginx.conf", with_ports(configuration));
            let mut command = Command::new("nginx");
            command.arg("-p").arg(folder.path()).arg("-c").arg(folder.path().join("nginx.conf"));
            command
        }
    };
    command.current_dir(folder.path()).stdout(Stdio::null()).spawn().unwrap_or_else(|error| {
        panic!("{kind:?} does not start: {error}; it is a package of Debian");
    })
}

fn wait_for(proxy: &mut Child, address: SocketAddr) {
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(address).is_err() {
        assert!(proxy.try_wait().unwrap().is_none(), "the proxy ended");
        assert!(Instant::now() < deadline, "the proxy does not listen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

const ISSUER: &str = "https://idp.test";
