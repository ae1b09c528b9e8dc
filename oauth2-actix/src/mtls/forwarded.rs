//! Which proxies are trusted to send a client's certificate, and the certificate of a request.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use actix_web::{
    HttpRequest,
    http::header::{HeaderMap, HeaderName},
};
use ipnet::IpNet;
use openssl::memcmp;

use super::{certificate::ClientCertificate, connection::ConnectionKind, formats::Format};
use crate::config::error::{ConfigError, ConfigErrorKind, Faults};

/// The header in which a proxy sends the certificate of the client, and how to know the proxy.
///
/// The proxy ends TLS, so that only it knows what the client proved in the handshake. A client that can send this
/// header as the proxy can use every stolen token. So at least one kind of trust is required,
/// [`from_peers`](Self::from_peers) or [`with_secret_header`](Self::with_secret_header), and the proxy must remove
/// the header from the requests of clients.
///
/// ```
/// use oauth2_actix::mtls::ForwardedCertificate;
///
/// let certificate = ForwardedCertificate::nginx("X-SSL-Client-Cert").from_peers(["10.0.3.0/24"]);
/// # drop(certificate);
/// ```
///
/// | Request | Certificate |
/// | --- | --- |
/// | from the proxy, with the header | that of the header |
/// | from the proxy, without the header or with an empty one | none, also if the proxy itself has one |
/// | from another peer, with the header | a token that is bound to a certificate is rejected |
/// | from another peer, without the header | that of the connection: see [`on_connect`](super::on_connect) |
///
/// So is one in a request from the proxy if the header is repeated, malformed or longer than 16 KiB. With any other
/// token the header is not read: do not read it in handlers.
#[derive(Clone, PartialEq, Eq)]
pub struct ForwardedCertificate {
    pub(crate) format: Format,
    pub(crate) header: String,
    /// IP addresses and networks.
    pub(crate) peers: Vec<String>,
    pub(crate) secret_header: Option<SecretHeader>,
}

/// A header whose value only the proxy knows.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SecretHeader {
    pub(crate) name: String,
    pub(crate) secret: String,
}

impl ForwardedCertificate {
    /// The header `Client-Cert` of [RFC 9440](https://www.rfc-editor.org/rfc/rfc9440): `:MIIB…:`.
    ///
    /// ```
    /// use oauth2_actix::mtls::ForwardedCertificate;
    ///
    /// let certificate = ForwardedCertificate::rfc9440().from_peers(["10.0.3.7"]);
    /// # drop(certificate);
    /// ```
    #[must_use]
    pub fn rfc9440() -> Self {
        Self::new(Format::Rfc9440, "client-cert")
    }

    /// A header with percent-encoded PEM, as nginx has it in `$ssl_client_escaped_cert`. The application load
    /// balancer of AWS sends this form in `X-Amzn-Mtls-Clientcert-Leaf`.
    ///
    /// ```
    /// use oauth2_actix::mtls::ForwardedCertificate;
    ///
    /// let certificate = ForwardedCertificate::nginx("X-SSL-Client-Cert").from_peers(["10.0.3.7"]);
    /// # drop(certificate);
    /// ```
    #[must_use]
    pub fn nginx(header: impl Into<String>) -> Self {
        Self::new(Format::EscapedPem, header)
    }

    /// A header with DER in base64, as HAProxy has it in `ssl_c_der,base64`.
    ///
    /// ```
    /// use oauth2_actix::mtls::ForwardedCertificate;
    ///
    /// let certificate = ForwardedCertificate::haproxy("X-SSL-Client-DER").from_peers(["10.0.3.7"]);
    /// # drop(certificate);
    /// ```
    #[must_use]
    pub fn haproxy(header: impl Into<String>) -> Self {
        Self::new(Format::Base64Der, header)
    }

    /// The header `x-forwarded-client-cert` of Envoy, with `Hash` or `Cert`. It must have one element: with the
    /// elements of several proxies, such as those of `APPEND_FORWARD`, the request is rejected. Use `SANITIZE_SET`.
    ///
    /// ```
    /// use oauth2_actix::mtls::ForwardedCertificate;
    ///
    /// let certificate = ForwardedCertificate::envoy().from_peers(["10.0.3.7"]);
    /// # drop(certificate);
    /// ```
    #[must_use]
    pub fn envoy() -> Self {
        Self::new(Format::Xfcc, "x-forwarded-client-cert")
    }

    fn new(format: Format, header: impl Into<String>) -> Self {
        Self { format, header: header.into(), peers: Vec::new(), secret_header: None }
    }

    /// Trusts these peers: IP addresses such as `10.0.3.7`, and networks such as `10.0.3.0/24`. Another call adds
    /// to them. All programs at these addresses can send any certificate.
    ///
    /// The address is that of the connection, never that of `X-Forwarded-For` or `Forwarded`. An IPv4 address also
    /// matches the peer that an IPv6 listener sees as `::ffff:10.0.3.7`. A Unix socket has no address.
    ///
    /// ```
    /// use oauth2_actix::mtls::ForwardedCertificate;
    ///
    /// let certificate = ForwardedCertificate::rfc9440().from_peers(["127.0.0.1", "fd00:3::/64"]);
    /// # drop(certificate);
    /// ```
    #[must_use]
    pub fn from_peers<I>(mut self, peers: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.peers.extend(peers.into_iter().map(Into::into));
        self
    }

    /// Trusts requests that have this secret in this header: for proxies without a fixed address, and for Unix
    /// sockets. The secret has 32 to 1,024 visible ASCII characters, and the time of its comparison does not depend
    /// on its content. Together with [`from_peers`](Self::from_peers), both are required.
    ///
    /// The connection between proxy and server must be protected, since the secret is in every request. With another
    /// value in this header, a token that is bound to a certificate is rejected.
    ///
    /// ```
    /// use oauth2_actix::mtls::ForwardedCertificate;
    ///
    /// # fn secret() -> String { "n".repeat(20) + &"4".repeat(20) }
    /// let certificate = ForwardedCertificate::haproxy("X-SSL-Client-DER")
    ///     .with_secret_header("X-Proxy-Secret", secret());
    /// # drop(certificate);
    /// ```
    #[must_use]
    pub fn with_secret_header(
        mut self,
        header: impl Into<String>,
        secret: impl Into<String>,
    ) -> Self {
        self.secret_header = Some(SecretHeader { name: header.into(), secret: secret.into() });
        self
    }

    /// Checks the settings, and resolves them.
    pub(crate) fn resolve(&self) -> Result<TrustedProxy, ConfigError> {
        let mut faults = Faults::default();
        let header = faults.take(header_name(HEADER, &self.header));
        let mut peers = Vec::new();
        for peer in &self.peers {
            peers.extend(faults.take(network(peer)));
        }
        let mut secret = None;
        if let Some(SecretHeader { name, secret: value }) = &self.secret_header {
            let name = faults.take(header_name(SECRET_HEADER, name));
            if name.is_some() && name == header {
                let problem =
                    "the certificate and the secret are in one header; expected two headers";
                let fault = ConfigError::of_policy(SECRET_HEADER, problem);
                faults.push(fault.of_kind(ConfigErrorKind::Conflict));
            }
            if let Err(fault) = check_secret(value) {
                faults.push(fault);
            }
            secret = name.map(|name| (name, value.clone().into_bytes()));
        }
        if self.peers.is_empty() && self.secret_header.is_none() {
            let problem = "no proxy is trusted; expected the peers that are the proxy, or a header with a secret";
            let fault = ConfigError::of_policy(PEERS, problem);
            faults.push(fault.of_kind(ConfigErrorKind::Missing));
        }
        faults.into_result()?;
        // A missing name was a fault.
        let header = header.ok_or_else(|| ConfigError::of_policy(HEADER, "missing"))?;
        Ok(TrustedProxy { format: self.format, header, peers, secret })
    }
}

/// Shows no secret.
impl fmt::Debug for ForwardedCertificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ForwardedCertificate")
            .field("format", &self.format)
            .field("header", &self.header)
            .field("peers", &self.peers)
            .field("secret_header", &self.secret_header)
            .finish()
    }
}

/// Shows no secret.
impl fmt::Debug for SecretHeader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SecretHeader({:?})", self.name)
    }
}

fn header_name(field: &'static str, name: &str) -> Result<HeaderName, ConfigError> {
    name.parse().map_err(|_| {
        let problem =
            format!("{name:?} is not a header name; expected one such as X-SSL-Client-Cert");
        ConfigError::of_policy(field, problem)
    })
}

fn network(text: &str) -> Result<IpNet, ConfigError> {
    let fault = |problem: String| ConfigError::of_policy(PEERS, problem);
    let parsed = match text.parse::<IpAddr>() {
        Ok(address) => Some(IpNet::from(address)),
        Err(_) => text.parse().ok(),
    };
    let Some(network) = parsed else {
        let expected = "expected an IP address or a network, such as 10.0.3.7 or 10.0.3.0/24";
        return Err(fault(format!("{text:?} cannot be used; {expected}")));
    };
    if network.prefix_len() == 0 {
        let expected = "expected the addresses of the proxy, or a secret header instead";
        return Err(fault(format!("{text:?} trusts every peer; {expected}")));
    }
    if network != network.trunc() {
        let expected = format!("expected {} or {}", network.trunc(), network.addr());
        return Err(fault(format!("{text:?} has bits of a host; {expected}")));
    }
    if let IpNet::V6(v6) = network
        && v6.addr().to_ipv4_mapped().is_some()
    {
        let expected = "expected it as IPv4, such as 10.0.3.7";
        return Err(fault(format!("{text:?} is an IPv4 address in IPv6; {expected}")));
    }
    Ok(network)
}

fn check_secret(secret: &str) -> Result<(), ConfigError> {
    let fault = |problem: String| ConfigError::of_policy(SECRET, problem);
    if !SECRET_LENGTHS.contains(&secret.len()) {
        let (least, most) = (SECRET_LENGTHS.start(), SECRET_LENGTHS.end());
        let problem = format!("the secret has {} bytes; expected {least} to {most}", secret.len());
        return Err(fault(problem).of_kind(ConfigErrorKind::OutOfRange));
    }
    if !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(fault(
            "the secret has characters that are not visible ASCII; expected those alone".into(),
        ));
    }
    if secret.bytes().all(|byte| byte == secret.as_bytes()[0]) {
        return Err(fault("all characters of the secret are equal; expected random ones".into()));
    }
    Ok(())
}

/// The resolved form of [`ForwardedCertificate`].
pub(crate) struct TrustedProxy {
    format: Format,
    header: HeaderName,
    /// Empty if the secret alone decides.
    peers: Vec<IpNet>,
    secret: Option<(HeaderName, Vec<u8>)>,
}

/// Shows no secret.
impl fmt::Debug for TrustedProxy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TrustedProxy")
            .field("format", &self.format)
            .field("header", &self.header)
            .field("peers", &self.peers)
            .finish_non_exhaustive()
    }
}

/// Why the certificate of a request cannot be told. Its text has no value of a header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CertificateFault {
    /// A peer that is not the proxy sent its header.
    #[error("{header} was sent by {}; expected it from the configured proxy alone", peer_text(*.peer))]
    UntrustedPeer { header: HeaderName, peer: Option<IpAddr> },
    /// The secret of the proxy is missing or wrong.
    #[error("{header} came without the secret of the proxy, in a request of {}; expected it once in every request of the proxy", peer_text(*.peer))]
    WrongSecret { header: HeaderName, peer: Option<IpAddr> },
    /// The header has several lines.
    #[error("{header} was sent more than once; expected it once")]
    Repeated { header: HeaderName },
    /// The header is too long.
    #[error("{header} has {length} bytes; expected at most {MAX_LENGTH}")]
    TooLong { header: HeaderName, length: usize },
    /// The header does not have one certificate in the configured format.
    #[error("{header} is malformed; {expected}")]
    Malformed { header: HeaderName, expected: &'static str },
}

fn peer_text(peer: Option<IpAddr>) -> String {
    peer.map_or_else(|| "a peer without an address".to_owned(), |peer| peer.to_string())
}

/// Returns the certificate that the client of a request used in its TLS handshake, or None if it used none.
pub(crate) fn client_certificate(
    request: &HttpRequest,
    proxy: Option<&TrustedProxy>,
) -> Result<Option<ClientCertificate>, CertificateFault> {
    let connection = request.conn_data::<ClientCertificate>().copied();
    match proxy {
        None => Ok(connection),
        Some(proxy) => proxy.certificate(request.headers(), request.peer_addr(), connection),
    }
}

/// Returns why a request has no certificate, as advice for the log.
pub(crate) fn hint(request: &HttpRequest, proxy: Option<&TrustedProxy>) -> String {
    if let Some(proxy) = proxy
        && proxy.is_trusted_peer(request.peer_addr())
    {
        return format!(
            "the proxy sent no certificate in {}: the client has none, or the proxy does not ask for it",
            proxy.header
        );
    }
    let text = match request.conn_data::<ConnectionKind>() {
        None => {
            "the connection was not inspected: call HttpServer::on_connect(oauth2_actix::mtls::on_connect) before \
             bind, or configure the proxy that ends TLS"
        }
        Some(ConnectionKind::Plain) => {
            "the connection has no TLS: if a proxy ends it, configure that proxy with forwarded_certificate"
        }
        Some(ConnectionKind::Tls) => {
            "the client used no certificate in the TLS handshake: check that it has one, and that the listener asks \
             for it"
        }
        Some(ConnectionKind::Unknown) => {
            "the TLS library of the listener is not known to this build: enable the feature rustls-0_23 or openssl of \
             oauth2-actix"
        }
    };
    text.to_owned()
}

impl TrustedProxy {
    fn certificate(
        &self,
        headers: &HeaderMap,
        peer: Option<SocketAddr>,
        connection: Option<ClientCertificate>,
    ) -> Result<Option<ClientCertificate>, CertificateFault> {
        let header = || self.header.clone();
        let is_peer = self.is_trusted_peer(peer);
        let address = peer.map(|peer| peer.ip().to_canonical());
        let is_proxy = match &self.secret {
            None => is_peer,
            Some((name, secret)) => {
                let mut values = headers.get_all(name);
                let name = || name.clone();
                match (values.next(), values.next()) {
                    (None, _) if self.peers.is_empty() || !is_peer => false,
                    (Some(_), _) if !is_peer => {
                        return Err(CertificateFault::UntrustedPeer {
                            header: name(),
                            peer: address,
                        });
                    }
                    (Some(value), None) if is_equal(value.as_bytes(), secret) => true,
                    _ => {
                        return Err(CertificateFault::WrongSecret {
                            header: name(),
                            peer: address,
                        });
                    }
                }
            }
        };
        let mut values = headers.get_all(&self.header);
        let value = match (is_proxy, values.next()) {
            (false, None) => return Ok(connection),
            (false, Some(_)) => {
                return Err(CertificateFault::UntrustedPeer { header: header(), peer: address });
            }
            (true, None) => return Ok(None),
            (true, Some(value)) => value,
        };
        if values.next().is_some() {
            return Err(CertificateFault::Repeated { header: header() });
        }
        if value.len() > MAX_LENGTH {
            return Err(CertificateFault::TooLong { header: header(), length: value.len() });
        }
        if value.is_empty() {
            return Ok(None);
        }
        let read = value.to_str().map_err(|_| "expected ASCII").and_then(|it| self.format.read(it));
        read.map_err(|expected| CertificateFault::Malformed { header: header(), expected })
    }

    /// Returns whether a peer may be the proxy by its address.
    fn is_trusted_peer(&self, peer: Option<SocketAddr>) -> bool {
        // An IPv6 listener sees IPv4 peers as addresses of IPv6.
        let is_listed = |peer: SocketAddr| {
            let address = peer.ip().to_canonical();
            self.peers.iter().any(|network| network.contains(&address))
        };
        self.peers.is_empty() || peer.is_some_and(is_listed)
    }
}

/// Compares in a time that does not depend on the content.
fn is_equal(value: &[u8], secret: &[u8]) -> bool {
    value.len() == secret.len() && memcmp::eq(value, secret)
}

const MAX_LENGTH: usize = 16 * 1024;
const SECRET_LENGTHS: std::ops::RangeInclusive<usize> = 32..=1024;

const HEADER: &str = "forwarded_certificate.header";
const PEERS: &str = "forwarded_certificate.from_peers";
const SECRET: &str = "forwarded_certificate.secret";
const SECRET_HEADER: &str = "forwarded_certificate.secret_header";

#[cfg(test)]
mod tests;
