//! An endpoint of an authorization server that this API calls as a client.

use std::{sync::Arc, time::Duration};

use crate::{
    http::{
        client::Clients,
        fetch::{self, GetError, Post, Posted},
        url::KeyUrl,
    },
    keys::discovery::DiscoveryError,
    outbound::{
        authentication::{Authenticator, Form, SigningFault},
        discovered_url::DiscoveredUrl,
        failure::Severity,
    },
    util::{clock::Clock, units::Unit},
};

/// An endpoint, and how this API authenticates there.
#[derive(Debug)]
pub(crate) struct Endpoint {
    location: Location,
    /// The clients for its URL, with the certificate of this API if it has one.
    clients: Arc<Clients>,
    /// The clients for the document of the issuer, without the certificate.
    discovery: Arc<Clients>,
    pub(crate) authenticator: Authenticator,
    timeout: Duration,
    clock: Clock,
}

/// The location of an endpoint.
#[derive(Debug)]
pub(crate) enum Location {
    Url(KeyUrl),
    Discovered(Box<DiscoveredUrl>),
}

/// Why a call got no response.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("discovery: {0}")]
    Discovery(#[from] DiscoveryError),
    #[error("discovery: a concurrent call could not read the document of the issuer")]
    NotDiscovered,
    #[error("{0}")]
    Get(#[from] GetError),
    #[error("{0}")]
    Signing(#[from] SigningFault),
    #[error("it took longer than {}", Unit(*.0))]
    Timeout(Duration),
}

impl CallError {
    pub(crate) fn severity(&self) -> Severity {
        match self {
            Self::Discovery(_) | Self::NotDiscovered | Self::Signing(_) => Severity::Endpoint,
            Self::Get(GetError::Client(_)) => Severity::Endpoint,
            Self::Get(error) if error.is_connect() => Severity::Endpoint,
            // A firewall may redirect to its own page because of the token that a client has sent.
            Self::Get(_) | Self::Timeout(_) => Severity::Call,
        }
    }
}

impl Endpoint {
    /// Returns an endpoint, or a problem for the developer.
    pub(crate) fn new(
        location: Location,
        clients: &Arc<Clients>,
        authenticator: Authenticator,
        timeout: Duration,
        clock: &Clock,
    ) -> Result<Self, String> {
        let discovery = Arc::clone(clients);
        let clients = match authenticator.identity() {
            None => Arc::clone(clients),
            Some(identity) => Arc::new(clients.with_identity(identity).ok_or(
                "a client certificate cannot be added to the HTTP client of dangerous_http_client; expected \
                 configure_http_client",
            )?),
        };
        // Built now and not at the first request, so that errors are reported at once.
        match &location {
            Location::Url(url) => clients.client(url).map(drop),
            Location::Discovered(_) => clients.prepare().and_then(|()| discovery.prepare()),
        }
        .map_err(|error| GetError::Client(error).to_string())?;
        let clock = clock.clone();
        Ok(Self { location, clients, discovery, authenticator, timeout, clock })
    }

    /// Returns the endpoint for logs.
    pub(crate) fn shown(&self) -> String {
        match &self.location {
            Location::Url(url) => url.shown().to_owned(),
            Location::Discovered(url) => url.shown(),
        }
    }

    /// Posts a form, authenticated.
    pub(crate) async fn post(
        &self,
        form: Form,
        accept: &str,
        limit: usize,
    ) -> Result<Posted, CallError> {
        let deadline = self.clock.monotonic() + self.timeout;
        tokio::select! {
            posted = self.post_now(form, accept, limit) => {
                let may_have_moved = match &posted {
                    Ok(posted) => matches!(posted.status.as_u16(), 404 | 405 | 410),
                    Err(CallError::Get(error)) => error.is_connect(),
                    Err(_) => false,
                };
                if let Location::Discovered(url) = &self.location
                    && may_have_moved
                {
                    url.expire();
                }
                posted
            }
            () = self.clock.sleep_until(deadline) => Err(CallError::Timeout(self.timeout)),
        }
    }

    async fn post_now(&self, form: Form, accept: &str, limit: usize) -> Result<Posted, CallError> {
        let url = match &self.location {
            Location::Url(url) => url.clone(),
            Location::Discovered(url) => {
                let has_certificate = self.authenticator.identity().is_some();
                url.get(&self.discovery, has_certificate, &self.clock).await?
            }
        };
        let client = self.clients.client(&url).map_err(GetError::Client)?;
        // Authenticated again: an assertion may be used once only (RFC 7523 §3).
        let send = async || -> Result<Posted, CallError> {
            let mut form = form.clone();
            let now = self.clock.unix_time();
            let authorization = self.authenticator.authenticate(&mut form, now)?;
            let post = Post { form: form.encode(), authorization, accept };
            Ok(fetch::post(&client, &url, post, limit).await?)
        };
        match send().await {
            Err(CallError::Get(GetError::Closed(_))) => send().await,
            posted => posted,
        }
    }
}
