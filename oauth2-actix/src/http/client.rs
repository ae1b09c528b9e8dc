//! The HTTP clients that fetch keys. The developer may configure them, except for the limits.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use reqwest::{Client, ClientBuilder, Identity, redirect::Policy};

use crate::http::{resolver::PublicResolver, url::KeyUrl};

/// The developer's configuration of a client.
pub(crate) type AdjustClient = Arc<dyn Fn(ClientBuilder) -> ClientBuilder + Send + Sync>;

/// The HTTP clients of one policy. They are created on first use, because a client loads the platform's TLS
/// roots.
#[derive(Default)]
pub(crate) struct Clients {
    adjust: Option<AdjustClient>,
    /// The certificate of this API.
    identity: Option<Identity>,
    /// Whether the clients are the developer's own.
    is_ready_made: bool,
    network: OnceLock<Client>,
    loopback: OnceLock<Client>,
    /// For hosts of which only public addresses may be connected to.
    public_only: OnceLock<Client>,
}

impl Clients {
    pub(crate) fn new(adjust: Option<AdjustClient>) -> Self {
        Self { adjust, ..Self::default() }
    }

    /// Uses the developer's own client, without changes, for every URL.
    pub(crate) fn ready_made(client: Client) -> Self {
        Self {
            adjust: None,
            identity: None,
            is_ready_made: true,
            network: client.clone().into(),
            loopback: client.clone().into(),
            public_only: client.into(),
        }
    }

    /// Returns clients that send the certificate of this API. None for the developer's own client, which cannot be
    /// changed.
    pub(crate) fn with_identity(&self, identity: Identity) -> Option<Self> {
        let adjust = self.adjust.clone();
        let identity = Some(identity);
        (!self.is_ready_made).then(|| Self { adjust, identity, ..Self::default() })
    }

    /// Creates both clients, for URLs that are not known yet.
    pub(crate) fn prepare(&self) -> Result<(), reqwest::Error> {
        self.of(Use::Network)?;
        self.of(Use::Loopback).map(drop)
    }

    pub(crate) fn client(&self, url: &KeyUrl) -> Result<Client, reqwest::Error> {
        self.of(if url.is_public_only() {
            Use::PublicOnly
        } else if url.is_plain_loopback() {
            Use::Loopback
        } else {
            Use::Network
        })
    }

    fn of(&self, used_for: Use) -> Result<Client, reqwest::Error> {
        let kept = match used_for {
            Use::Network => &self.network,
            Use::Loopback => &self.loopback,
            Use::PublicOnly => &self.public_only,
        };
        if let Some(client) = kept.get() {
            return Ok(client.clone());
        }
        let mut builder =
            Client::builder().user_agent(concat!("oauth2-actix/", env!("CARGO_PKG_VERSION")));
        if let Some(adjust) = &self.adjust {
            builder = adjust(builder);
        }
        if let Some(identity) = &self.identity {
            builder = builder.identity(identity.clone());
        }
        // Set last, so that the developer's configuration cannot override them.
        builder = builder.redirect(Policy::none()).referer(false);
        // Plain http to a loopback host uses no proxy, and requires no TLS roots, which a minimal image may
        // lack.
        match used_for {
            Use::Network => {}
            Use::Loopback => builder = builder.no_proxy().tls_certs_only([]),
            Use::PublicOnly => builder = builder.dns_resolver(PublicResolver),
        }
        let client = builder.build()?;
        Ok(kept.get_or_init(|| client).clone())
    }
}

/// What a client is used for.
#[derive(Clone, Copy, Debug)]
enum Use {
    Network,
    /// Plain http to a loopback host.
    Loopback,
    /// Hosts that a document at a public address names.
    PublicOnly,
}

impl fmt::Debug for Clients {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Clients").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{error::Error, io, net::TcpListener};

    use super::*;

    #[tokio::test]
    async fn host_that_resolves_to_a_private_address_is_not_connected_to() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        listener.set_nonblocking(true).expect("non-blocking");
        let port = listener.local_addr().expect("an address").port();
        // The system resolves this name to a loopback address.
        let url = KeyUrl::of_public_host(&format!("http://localhost:{port}/jwks"));
        let clients = Clients::new(Some(Arc::new(ClientBuilder::no_proxy)));
        let client = clients.client(&url).expect("a client");
        let refused = client.get(url.url().clone()).send().await.expect_err("refused");
        let mut cause: Option<&dyn Error> = Some(&refused);
        let mut causes = Vec::new();
        while let Some(error) = cause {
            causes.push(error.to_string());
            cause = error.source();
        }
        assert!(causes.concat().contains("resolves to no public address"), "{causes:?}");
        let connected = listener.accept().map(drop).expect_err("no connection");
        assert_eq!(connected.kind(), io::ErrorKind::WouldBlock);
        let other = KeyUrl::parse(&format!("http://localhost:{port}/jwks"), false).expect("a URL");
        let allowed = clients.client(&other).expect("a client");
        assert!(allowed.get(other.url().clone()).timeout(TIMEOUT).send().await.is_err());
        assert!(listener.accept().is_ok(), "the other client connects");
    }

    const TIMEOUT: std::time::Duration = std::time::Duration::from_millis(200);
}
