//! An endpoint of an authorization server that this API calls as a client.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::{
    http::{
        client::Clients,
        fetch::{self, GetError, Post, Posted},
        url::KeyUrl,
    },
    keys::discovery::{DiscoveryError, Issuer, IssuerEndpoint},
    outbound::authentication::{Authenticator, Form, SigningFault},
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

/// Where an endpoint is.
#[derive(Debug)]
pub(crate) enum Location {
    Url(KeyUrl),
    /// Where the document of the issuer says.
    Discovered {
        issuer: Issuer,
        endpoint: IssuerEndpoint,
        /// The URL, and the monotonic time at which the document was read.
        known: Mutex<Option<(KeyUrl, Duration)>>,
    },
}

/// Why a call got no response.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("discovery: {0}")]
    Discovery(#[from] DiscoveryError),
    #[error("{0}")]
    Get(#[from] GetError),
    #[error("{0}")]
    Signing(#[from] SigningFault),
    #[error("it took longer than {}", Unit(*.0))]
    Timeout(Duration),
}

impl CallError {
    /// Returns whether other calls will fail too, whatever they ask.
    pub(crate) fn is_of_endpoint(&self) -> bool {
        match self {
            Self::Discovery(_) | Self::Signing(_) => true,
            Self::Get(GetError::Client(_) | GetError::Redirect(_)) => true,
            Self::Get(GetError::Transport(error)) => error.is_connect(),
            Self::Get(_) | Self::Timeout(_) => false,
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
            Location::Discovered { .. } => clients.prepare().and_then(|()| discovery.prepare()),
        }
        .map_err(|error| GetError::Client(error).to_string())?;
        let clock = clock.clone();
        Ok(Self { location, clients, discovery, authenticator, timeout, clock })
    }

    /// Returns the endpoint for logs.
    pub(crate) fn shown(&self) -> String {
        match &self.location {
            Location::Url(url) => url.shown().to_owned(),
            Location::Discovered { issuer, .. } => issuer.shown(),
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
                let is_gone = |posted: &Posted| matches!(posted.status.as_u16(), 404 | 405 | 410);
                if posted.as_ref().map_or(true, is_gone) {
                    self.forget();
                }
                posted
            }
            () = self.clock.sleep_until(deadline) => {
                self.forget();
                Err(CallError::Timeout(self.timeout))
            }
        }
    }

    async fn post_now(
        &self,
        mut form: Form,
        accept: &str,
        limit: usize,
    ) -> Result<Posted, CallError> {
        let url = self.url().await?;
        let authorization = self.authenticator.authenticate(&mut form, self.clock.unix_time())?;
        let client = self.clients.client(&url).map_err(GetError::Client)?;
        let post = Post { form: form.encode(), authorization, accept };
        Ok(fetch::post(&client, &url, post, limit).await?)
    }

    async fn url(&self) -> Result<KeyUrl, CallError> {
        let (issuer, endpoint, known) = match &self.location {
            Location::Url(url) => return Ok(url.clone()),
            Location::Discovered { issuer, endpoint, known } => (issuer, endpoint, known),
        };
        let now = self.clock.monotonic();
        let lock = || known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((url, read_at)) = &*lock()
            && now < *read_at + DISCOVERY_AGE
        {
            return Ok(url.clone());
        }
        let client = self.discovery.client(issuer.url()).map_err(GetError::Client)?;
        let url =
            issuer.endpoint(&client, *endpoint, self.authenticator.identity().is_some()).await?;
        *lock() = Some((url.clone(), now));
        Ok(url)
    }

    /// Reads the document again before the next call, since the endpoint may have moved.
    fn forget(&self) {
        if let Location::Discovered { known, .. } = &self.location {
            *known.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }
}

/// How long the URL of an endpoint is used before the document is read again.
const DISCOVERY_AGE: Duration = Duration::from_secs(24 * 60 * 60);
