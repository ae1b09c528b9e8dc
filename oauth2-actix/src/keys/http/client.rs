//! The HTTP clients that fetch keys. The developer may configure them, except for the limits.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use reqwest::{Client, ClientBuilder, redirect::Policy};

use crate::keys::http::url::KeyUrl;

/// The developer's configuration of a client.
pub(crate) type AdjustClient = Arc<dyn Fn(ClientBuilder) -> ClientBuilder + Send + Sync>;

/// The HTTP clients of one policy. They are created on first use, because a client loads the platform's TLS
/// roots.
#[derive(Default)]
pub(crate) struct Clients {
    adjust: Option<AdjustClient>,
    network: OnceLock<Client>,
    loopback: OnceLock<Client>,
}

impl Clients {
    pub(crate) fn new(adjust: Option<AdjustClient>) -> Self {
        Self { adjust, ..Self::default() }
    }

    /// Uses the developer's own client, without changes, for every URL.
    pub(crate) fn ready_made(client: Client) -> Self {
        Self { adjust: None, network: client.clone().into(), loopback: client.into() }
    }

    /// Creates both clients, for URLs that are not known yet.
    pub(crate) fn prepare(&self) -> Result<(), reqwest::Error> {
        self.of(false)?;
        self.of(true).map(drop)
    }

    pub(crate) fn client(&self, url: &KeyUrl) -> Result<Client, reqwest::Error> {
        self.of(url.is_plain_loopback())
    }

    fn of(&self, is_loopback: bool) -> Result<Client, reqwest::Error> {
        let kept = if is_loopback { &self.loopback } else { &self.network };
        if let Some(client) = kept.get() {
            return Ok(client.clone());
        }
        let mut builder =
            Client::builder().user_agent(concat!("oauth2-actix/", env!("CARGO_PKG_VERSION")));
        if let Some(adjust) = &self.adjust {
            builder = adjust(builder);
        }
        // Set last, so that the developer's configuration cannot override them.
        builder = builder.redirect(Policy::none()).referer(false);
        // Plain http to a loopback host uses no proxy, and requires no TLS roots, which a minimal image may
        // lack.
        if is_loopback {
            builder = builder.no_proxy().tls_certs_only([]);
        }
        let client = builder.build()?;
        Ok(kept.get_or_init(|| client).clone())
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Clients").finish_non_exhaustive()
    }
}
