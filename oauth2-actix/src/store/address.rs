//! Addresses of Redis servers, and the credentials in their URLs.

use std::fmt;

use redis::{ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo};
use url::Url;

/// The host and port of a server. `Display` writes both, and nothing else of the URL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(formatter, "[{}]:{}", self.host, self.port)
        } else {
            write!(formatter, "{}:{}", self.host, self.port)
        }
    }
}

/// How to log in to a server: TLS, user, password and database.
#[derive(Clone)]
pub(super) struct Access {
    pub(super) is_tls: bool,
    pub(super) login: RedisConnectionInfo,
}

impl Access {
    fn without_credentials() -> Self {
        Self { is_tls: false, login: RedisConnectionInfo::default() }
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.is_tls == other.is_tls
            && self.login.username() == other.login.username()
            && self.login.password() == other.login.password()
            && self.login.db() == other.login.db()
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Access")
            .field("is_tls", &self.is_tls)
            .field("database", &self.login.db())
            .finish_non_exhaustive()
    }
}

/// A server in the settings.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    pub(super) address: Address,
    pub(super) access: Access,
}

impl Endpoint {
    /// Reads a URL. The problem contains no part of it.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let url = check(text)?;
        let is_tls = url.scheme() == "rediss";
        // `redis` reads no rediss:// URLs without its feature for TLS. This crate has its own TLS.
        let url = url.as_str().replacen("rediss://", "redis://", 1);
        let info = url.into_connection_info().map_err(|_| EXPECTED)?;
        let ConnectionAddr::Tcp(host, port) = info.addr() else { return Err(EXPECTED) };
        let port = *port;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let access = Access { is_tls, login: info.redis_settings().clone() };
        Ok(Self { address: Address { host, port }, access })
    }
}

/// The server that sentinels watch: its name, and how to log in to it.
#[derive(Clone, Debug)]
pub(super) struct Service {
    pub(super) name: String,
    pub(super) access: Access,
}

impl Service {
    /// Reads a name, or a URL whose host is the name.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let service = if text.contains("://") {
            if check(text)?.port().is_some() {
                return Err(
                    "the URL of the service has a port, which the sentinels know: remove it",
                );
            }
            let endpoint = Endpoint::parse(text)?;
            Self { name: endpoint.address.host, access: endpoint.access }
        } else {
            Self { name: text.to_owned(), access: Access::without_credentials() }
        };
        if service.name.is_empty() || service.name.contains(char::is_whitespace) {
            return Err(
                "the name of the service is empty or has spaces, expected one such as mymaster",
            );
        }
        Ok(service)
    }
}

fn check(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| EXPECTED)?;
    if !["redis", "rediss"].contains(&url.scheme()) || url.host_str().is_none_or(str::is_empty) {
        return Err(EXPECTED);
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(
            "the URL of a Redis server has a query or a fragment, expected none; `?` and `#` in a \
                    password are written %3F and %23",
        );
    }
    Ok(url)
}

const EXPECTED: &str = "the URL of a Redis server cannot be read, expected redis://HOST:PORT or rediss://HOST:PORT, \
                        with user, password and database if needed: rediss://USER:PASSWORD@HOST:PORT/0";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_with_their_credentials() {
        let endpoint = Endpoint::parse("rediss://api:p%40ss%2F1@redis.example.com:6380/3").unwrap();
        assert_eq!(endpoint.address.to_string(), "redis.example.com:6380");
        assert!(endpoint.access.is_tls);
        let login = &endpoint.access.login;
        assert_eq!((login.username(), login.password()), (Some("api"), Some("p@ss/1")));
        assert_eq!(login.db(), 3);

        let endpoint = Endpoint::parse("redis://[::1]").unwrap();
        assert_eq!(endpoint.address.to_string(), "[::1]:6379");
        assert!(!endpoint.access.is_tls);
    }

    #[test]
    fn other_urls_are_rejected_without_their_text() {
        for url in [
            "",
            "localhost:6379",
            "http://localhost",
            "redis://",
            "redis:///0",
            "unix:///secret.sock",
            "redis+unix:///secret.sock",
            "rediss://:secret@localhost#insecure",
            "redis://:secret@localhost/?db=1",
            "redis://:secret@localhost:99999",
            "redis://:secret@localhost/x",
        ] {
            let problem = Endpoint::parse(url).unwrap_err();
            assert!(!problem.contains("secret"), "{url}");
        }
    }

    #[test]
    fn service_is_a_name_or_a_url_with_it() {
        assert_eq!(Service::parse("mymaster").unwrap().name, "mymaster");
        let service = Service::parse("rediss://:secret@my_master/1").unwrap();
        assert_eq!(service.name, "my_master");
        assert!(service.access.is_tls);
        assert_eq!(service.access.login.password(), Some("secret"));
        for text in ["", "my master", "redis://mymaster:6379", "http://mymaster"] {
            Service::parse(text).unwrap_err();
        }
    }

    #[test]
    fn debug_shows_no_credentials() {
        let endpoint = Endpoint::parse("rediss://api:secret@localhost").unwrap();
        let text = format!("{endpoint:?}");
        assert!(!text.contains("secret") && !text.contains("api"), "{text}");
    }
}
