//! The URL of an endpoint, as the metadata document of its issuer has it.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    http::{client::Clients, fetch::GetError, url::KeyUrl},
    keys::discovery::{Issuer, IssuerEndpoint},
    outbound::endpoint::CallError,
    util::clock::Clock,
};

/// A URL that is read from the document of an issuer.
#[derive(Debug)]
pub(crate) struct DiscoveredUrl {
    issuer: Issuer,
    endpoint: IssuerEndpoint,
    state: Mutex<State>,
    /// Held while the document is read: one call reads it for all.
    reading: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    url: Option<KeyUrl>,
    /// The monotonic time of the last attempt to read the document.
    tried_at: Duration,
    /// The monotonic time from which the document is read again.
    read_again_at: Duration,
    /// The number of attempts that failed.
    failures: u64,
}

impl DiscoveredUrl {
    pub(crate) fn new(issuer: Issuer, endpoint: IssuerEndpoint) -> Self {
        Self { issuer, endpoint, state: Mutex::default(), reading: tokio::sync::Mutex::default() }
    }

    /// Returns the document for logs.
    pub(crate) fn shown(&self) -> String {
        self.issuer.shown()
    }

    /// Returns the URL. Reads the document if there is none yet, or the last one is old. If it cannot be read, the last URL
    /// stays in use.
    pub(crate) async fn get(
        &self,
        clients: &Clients,
        has_certificate: bool,
        clock: &Clock,
    ) -> Result<KeyUrl, CallError> {
        let (known, failures) = {
            let state = self.state();
            (state.url.clone(), state.failures)
        };
        if let Some(url) = self.current(clock.monotonic()) {
            return Ok(url);
        }
        let _reading = match (self.reading.try_lock(), &known) {
            (Ok(reading), _) => reading,
            (Err(_), Some(url)) => return Ok(url.clone()),
            (Err(_), None) => self.reading.lock().await,
        };
        if let Some(url) = self.current(clock.monotonic()) {
            return Ok(url);
        }
        if known.is_none() && self.state().failures != failures {
            return Err(CallError::NotDiscovered);
        }
        let now = clock.monotonic();
        {
            // Set first: a call that is cancelled must not be followed by another one at once.
            let mut state = self.state();
            state.tried_at = now;
            if known.is_some() {
                state.read_again_at = now.saturating_add(LEAST_INTERVAL);
            }
        }
        let read = async {
            let client = clients.client(self.issuer.url()).map_err(GetError::Client)?;
            let url = self.issuer.endpoint(&client, self.endpoint, has_certificate).await?;
            Ok::<_, CallError>(url)
        };
        match (read.await, known) {
            (Ok(url), _) => {
                let mut state = self.state();
                state.url = Some(url.clone());
                state.read_again_at = now.saturating_add(DOCUMENT_AGE);
                Ok(url)
            }
            (Err(error), Some(url)) => {
                tracing::warn!(
                    target: "oauth2_actix", document = self.shown(), cause = %error,
                    "the document of an issuer cannot be read: the last URL of its endpoint stays in use"
                );
                Ok(url)
            }
            (Err(error), None) => {
                self.state().failures += 1;
                Err(error)
            }
        }
    }

    /// Lets the next call read the document again, since the endpoint may have moved. It is read at most once in
    /// [`LEAST_INTERVAL`].
    pub(crate) fn expire(&self) {
        let mut state = self.state();
        let earliest = state.tried_at.saturating_add(LEAST_INTERVAL);
        state.read_again_at = state.read_again_at.min(earliest);
    }

    fn current(&self, now: Duration) -> Option<KeyUrl> {
        let state = self.state();
        state.url.clone().filter(|_| now < state.read_again_at)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // It holds plain values, which no panic leaves half written.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a URL is used before the document is read again.
const DOCUMENT_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// The least time between two attempts to read a document whose URL is known.
const LEAST_INTERVAL: Duration = Duration::from_secs(60);
