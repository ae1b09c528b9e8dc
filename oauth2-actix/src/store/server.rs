//! The settings of a Redis server, of servers behind sentinels, or of a Cluster.

use std::{fmt, io, ops::RangeInclusive, sync::Arc, time::Duration};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use rustls_platform_verifier::Verifier;
use tokio_rustls::TlsConnector;

use crate::{
    store::{
        address::{Endpoint, Service},
        connection::RedisConnection,
    },
    util::units::Unit,
};

/// The settings of a Redis server, of servers that sentinels watch, or of a Redis Cluster.
///
/// Users and passwords are parts of the URLs. `Debug`, errors and logs never show a password.
///
/// ```
/// use std::time::Duration;
///
/// use oauth2_actix::store::RedisServer;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let redis = RedisServer::new("redis://127.0.0.1:6379")
///     .response_timeout(Duration::from_millis(100))
///     .key_prefix("orders-api")
///     .connect()?;
/// # drop(redis);
/// # Ok(())
/// # }
/// ```
///
/// # Security
///
/// `redis://` has no encryption. Clients of the network between API and Redis can then read the password, and forge
/// responses of Redis. It is accepted for any host, for networks that protect their traffic by other means; otherwise use
/// `rediss://`.
#[derive(Clone)]
pub struct RedisServer {
    target: Target,
    connection_timeout: Duration,
    response_timeout: Duration,
    max_waiting: usize,
    key_prefix: String,
    root_certificate_pem: Option<Vec<u8>>,
    client_certificate_pem: Option<Vec<u8>>,
}

#[derive(Clone)]
enum Target {
    One(String),
    Sentinel { urls: Vec<String>, service: String },
    Cluster(Vec<String>),
}

impl RedisServer {
    /// One server: `redis://HOST:PORT`, or `rediss://HOST:PORT` for TLS, with user, password and database if needed, as in
    /// `rediss://USER:PASSWORD@HOST:PORT/0`. The default port is 6379. Characters that have a meaning in URLs are
    /// percent-encoded.
    ///
    /// ```
    /// # use oauth2_actix::store::RedisServer;
    /// let server = RedisServer::new("rediss://orders:pass%2Fword@redis.internal:6380");
    /// assert!(!format!("{server:?}").contains("word"));
    /// ```
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self::of(Target::One(url.into()))
    }

    /// Servers that Redis Sentinel watches. At each connection, the sentinels are queried for the current master, in this
    /// order, until one responds.
    ///
    /// `service` is the name of the master. If the master has TLS, a user, a password or a database, it is a URL with
    /// the name as its host; the credentials in the URLs of the sentinels are for the sentinels.
    ///
    /// ```
    /// # use oauth2_actix::store::RedisServer;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let sentinels = ["redis://127.0.0.1:26379", "redis://127.0.0.1:26380"];
    /// let redis = RedisServer::sentinel(sentinels, "redis://orders:secret@mymaster/0").connect()?;
    /// # drop(redis);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn sentinel(
        urls: impl IntoIterator<Item: Into<String>>,
        service: impl Into<String>,
    ) -> Self {
        let urls = urls.into_iter().map(Into::into).collect();
        Self::of(Target::Sentinel { urls, service: service.into() })
    }

    /// A Redis Cluster. One URL is sufficient, and several let the API start while a server is down. All must have the
    /// same scheme, user and password, which are also used for the servers that the Cluster lists.
    ///
    /// With `rediss://`, the certificate of each server must have the address that the Cluster announces:
    /// `cluster-preferred-endpoint-type hostname` makes it announce names.
    ///
    /// ```
    /// # use oauth2_actix::store::RedisServer;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let redis = RedisServer::cluster(["redis://127.0.0.1:7001", "redis://127.0.0.1:7002"]).connect()?;
    /// # drop(redis);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn cluster(urls: impl IntoIterator<Item: Into<String>>) -> Self {
        Self::of(Target::Cluster(urls.into_iter().map(Into::into).collect()))
    }

    fn of(target: Target) -> Self {
        Self {
            target,
            connection_timeout: Duration::from_secs(1),
            response_timeout: Duration::from_millis(250),
            max_waiting: 1024,
            key_prefix: "oauth2-actix".to_owned(),
            root_certificate_pem: None,
            client_certificate_pem: None,
        }
    }

    /// Sets the maximum time of an attempt to connect: name resolution, TCP, TLS, login and the first commands.
    ///
    /// The default is 1 s. The range is 10 ms to 30 s.
    #[must_use]
    pub fn connection_timeout(mut self, timeout: Duration) -> Self {
        self.connection_timeout = timeout;
        self
    }

    /// Sets the maximum time of a command, from the request to the response, including a wait for the connection.
    /// A request whose command takes longer gets 503. After five commands in a row, the connection is made again.
    ///
    /// The default is 250 ms. The range is 1 ms to 10 s.
    #[must_use]
    pub fn response_timeout(mut self, timeout: Duration) -> Self {
        self.response_timeout = timeout;
        self
    }

    /// Sets how many commands of this process may be in progress. One more fails at once, and its request gets 503. The deny
    /// list may have 72 commands in addition: other requests do not prevent its loads.
    ///
    /// The default is 1,024. The range is 1 to 1,000,000. Each command takes about 1 KiB.
    #[must_use]
    pub fn max_waiting(mut self, commands: usize) -> Self {
        self.max_waiting = commands;
        self
    }

    /// Sets the beginning of all keys. APIs that share a server and have different prefixes share nothing. APIs with the same
    /// prefix share what they store.
    ///
    /// The default is `oauth2-actix`. It has 1 to 100 characters: letters, digits, and `-`, `_`, `.`, `:`, `/`.
    #[must_use]
    pub fn key_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.key_prefix = prefix.into();
        self
    }

    /// Sets the certificate authorities of `rediss://` servers, as one or several PEM certificates. They replace those
    /// of the system.
    #[must_use]
    pub fn root_certificate_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.root_certificate_pem = Some(pem.into());
        self
    }

    /// Sets the certificate that `rediss://` servers ask clients for, which is their default (`tls-auth-clients`): PEM, the
    /// chain and the private key. `Debug`, errors and logs never show the key.
    #[must_use]
    pub fn client_certificate_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.client_certificate_pem = Some(pem.into());
        self
    }

    /// Starts a thread that connects, and returns without waiting for it. The connection is made again when it fails.
    /// The thread ends when all clones of the returned value, and all stores that use it, are dropped.
    ///
    /// Call it once in a process, before `HttpServer::new`.
    ///
    /// # Errors
    ///
    /// If a URL, a name, a certificate or a number cannot be used, or the system provides no thread. A server that cannot
    /// be reached is not an error here.
    pub fn connect(&self) -> Result<RedisConnection, RedisServerError> {
        RedisConnection::start(self.resolve()?)
            .map_err(|error| RedisServerError(format!("the thread cannot be started: {error}")))
    }

    fn resolve(&self) -> Result<Resolved, RedisServerError> {
        let (target, is_tls) = self.resolve_target()?;
        in_range("connection_timeout", self.connection_timeout, CONNECTION_TIMEOUT, Unit)?;
        in_range("response_timeout", self.response_timeout, RESPONSE_TIMEOUT, Unit)?;
        in_range("max_waiting", self.max_waiting, MAX_WAITING, |number| number)?;
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/".contains(&byte);
        if !(1..=100).contains(&self.key_prefix.len()) || !self.key_prefix.bytes().all(is_allowed) {
            return Err(RedisServerError(
                "key_prefix: it is empty, too long or has other characters; expected 1 to 100 letters, \
                 digits or -_.:/"
                    .to_owned(),
            ));
        }
        let tls = if is_tls {
            let (roots, client) = (&self.root_certificate_pem, &self.client_certificate_pem);
            Some(tls_connector(roots.as_deref(), client.as_deref())?)
        } else if self.root_certificate_pem.is_some() || self.client_certificate_pem.is_some() {
            return Err(RedisServerError(
                "root_certificate_pem, client_certificate_pem: no URL has TLS; expected rediss://"
                    .to_owned(),
            ));
        } else {
            None
        };
        Ok(Resolved {
            target,
            tls,
            connection_timeout: self.connection_timeout,
            response_timeout: self.response_timeout,
            max_waiting: self.max_waiting,
            key_prefix: self.key_prefix.clone(),
        })
    }

    /// Returns the servers, and whether any has TLS.
    fn resolve_target(&self) -> Result<(ResolvedTarget, bool), RedisServerError> {
        let problem = |problem: &str| RedisServerError(problem.to_owned());
        let parse_all = |urls: &[String]| -> Result<Vec<Endpoint>, RedisServerError> {
            if urls.is_empty() {
                return Err(problem("there is no URL; expected at least one"));
            }
            urls.iter().map(|url| Endpoint::parse(url).map_err(problem)).collect()
        };
        match &self.target {
            Target::One(url) => {
                let endpoint = Endpoint::parse(url).map_err(problem)?;
                let is_tls = endpoint.access.is_tls;
                Ok((ResolvedTarget::One(endpoint), is_tls))
            }
            Target::Sentinel { urls, service } => {
                let sentinels = parse_all(urls)?;
                let service = Service::parse(service).map_err(problem)?;
                let is_tls = service.access.is_tls || sentinels.iter().any(|one| one.access.is_tls);
                Ok((ResolvedTarget::Sentinel { sentinels, service }, is_tls))
            }
            Target::Cluster(urls) => {
                let seeds = parse_all(urls)?;
                if !seeds.iter().all(|seed| seed.access.is_same(&seeds[0].access)) {
                    return Err(problem(
                        "the URLs of the Cluster differ; expected the same scheme, user and password",
                    ));
                }
                if seeds[0].access.login.db() != 0 {
                    return Err(problem("a Cluster has one database only; expected 0 or none"));
                }
                let is_tls = seeds[0].access.is_tls;
                Ok((ResolvedTarget::Cluster(seeds), is_tls))
            }
        }
    }
}

impl fmt::Debug for RedisServer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.target {
            Target::One(_) => "one server",
            Target::Sentinel { .. } => "servers behind sentinels",
            Target::Cluster(_) => "a Cluster",
        };
        formatter
            .debug_struct("RedisServer")
            .field("kind", &kind)
            .field("connection_timeout", &self.connection_timeout)
            .field("response_timeout", &self.response_timeout)
            .field("max_waiting", &self.max_waiting)
            .field("key_prefix", &self.key_prefix)
            .finish_non_exhaustive()
    }
}

/// A setting of a [`RedisServer`] that cannot be used. The message says which, and never contains a part of a URL.
///
/// ```
/// use oauth2_actix::store::RedisServer;
///
/// let error = RedisServer::new("localhost:6379").connect().unwrap_err();
/// assert!(error.to_string().contains("expected redis://HOST:PORT"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RedisServerError(String);

impl From<RedisServerError> for io::Error {
    fn from(error: RedisServerError) -> Self {
        Self::new(io::ErrorKind::InvalidInput, error)
    }
}

/// The settings, checked.
#[derive(Clone)]
pub(super) struct Resolved {
    pub(super) target: ResolvedTarget,
    pub(super) tls: Option<TlsConnector>,
    pub(super) connection_timeout: Duration,
    pub(super) response_timeout: Duration,
    pub(super) max_waiting: usize,
    pub(super) key_prefix: String,
}

#[derive(Clone, Debug)]
pub(super) enum ResolvedTarget {
    One(Endpoint),
    Sentinel { sentinels: Vec<Endpoint>, service: Service },
    Cluster(Vec<Endpoint>),
}

fn in_range<T: Copy + PartialOrd, D: fmt::Display>(
    setting: &str,
    value: T,
    range: RangeInclusive<T>,
    text: impl Fn(T) -> D,
) -> Result<(), RedisServerError> {
    if range.contains(&value) {
        return Ok(());
    }
    let (least, most) = (text(*range.start()), text(*range.end()));
    let problem = format!("{setting}: {} is out of range; expected {least} to {most}", text(value));
    Err(RedisServerError(problem))
}

/// Makes a TLS client of its own provider of cryptography, since an application may have chosen none or another one.
fn tls_connector(
    roots: Option<&[u8]>,
    client: Option<&[u8]>,
) -> Result<TlsConnector, RedisServerError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| RedisServerError(format!("TLS cannot be used: {error}")))?;
    let builder = match roots {
        Some(pem) => builder.with_root_certificates(read_roots(pem)?),
        None => {
            let verifier = Verifier::new(provider).map_err(|error| {
                RedisServerError(format!("the system has no certificate authorities: {error}"))
            })?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        }
    };
    let config = match client {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let unusable = || {
                RedisServerError(
                    "client_certificate_pem: the certificate or its key cannot be used, expected \
                     PEM of a certificate chain and of its private key"
                        .to_owned(),
                )
            };
            let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
            let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| unusable())?;
            let chain = chain.map_err(|_| unusable())?;
            builder.with_client_auth_cert(chain, key).map_err(|_| unusable())?
        }
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

fn read_roots(pem: &[u8]) -> Result<RootCertStore, RedisServerError> {
    let unusable = || {
        RedisServerError(
            "root_certificate_pem: it has no usable certificate; expected PEM certificates"
                .to_owned(),
        )
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate.map_err(|_| unusable())?).map_err(|_| unusable())?;
    }
    if roots.is_empty() { Err(unusable()) } else { Ok(roots) }
}

const CONNECTION_TIMEOUT: RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_secs(30);
const RESPONSE_TIMEOUT: RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(10);
const MAX_WAITING: RangeInclusive<usize> = 1..=1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_out_of_range_are_rejected_by_name() {
        let server = || RedisServer::new("redis://127.0.0.1");
        for (server, setting) in [
            (server().connection_timeout(Duration::from_millis(9)), "connection_timeout"),
            (server().connection_timeout(Duration::from_secs(31)), "connection_timeout"),
            (server().response_timeout(Duration::ZERO), "response_timeout"),
            (server().response_timeout(Duration::from_secs(11)), "response_timeout"),
            (server().max_waiting(0), "max_waiting"),
            (server().key_prefix(""), "key_prefix"),
            (server().key_prefix("a{b}"), "key_prefix"),
            (server().key_prefix("a".repeat(101)), "key_prefix"),
            (server().root_certificate_pem("x"), "root_certificate_pem"),
        ] {
            let error = server.resolve().err().map(|error| error.to_string());
            assert!(error.as_ref().is_some_and(|error| error.contains(setting)), "{error:?}");
        }
    }

    #[test]
    fn urls_of_a_cluster_with_different_credentials_are_rejected() {
        let refused = |urls: [&str; 2]| RedisServer::cluster(urls).resolve().is_err();
        assert!(refused(["redis://:a@127.0.0.1", "redis://:b@127.0.0.1"]));
        assert!(refused(["redis://127.0.0.1", "rediss://127.0.0.1"]));
        assert!(refused(["redis://127.0.0.1/1", "redis://127.0.0.1/1"]));
        assert!(!refused(["redis://:a@127.0.0.1:1", "redis://:a@127.0.0.1:2"]));
        assert!(RedisServer::cluster(Vec::<String>::new()).resolve().is_err());
        assert!(RedisServer::sentinel(Vec::<String>::new(), "mymaster").resolve().is_err());
    }

    #[test]
    fn invalid_certificate_is_rejected() {
        for pem in ["", "x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"] {
            let server = || RedisServer::new("rediss://127.0.0.1");
            for (server, setting) in [
                (server().root_certificate_pem(pem), "root_certificate_pem"),
                (server().client_certificate_pem(pem), "client_certificate_pem"),
            ] {
                let error = server.resolve().err().map(|error| error.to_string());
                assert!(error.as_ref().is_some_and(|error| error.contains(setting)), "{error:?}");
            }
        }
    }

    #[test]
    fn debug_shows_no_url() {
        let server = RedisServer::sentinel(["redis://:secret@127.0.0.1"], "redis://:secret@name");
        assert!(!format!("{server:?}").contains("secret"));
    }
}
