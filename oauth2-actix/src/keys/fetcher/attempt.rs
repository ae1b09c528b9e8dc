//! One attempt to fetch the keys of a source.

use std::{sync::Arc, time::Duration};

use reqwest::header::HeaderValue;
use tokio::sync::Mutex;

use crate::{
    http::{
        client::Clients,
        fetch::{self, Fetched, GetError},
        url::KeyUrl,
    },
    jose::{
        key_document::KeyDocument,
        key_policy::{Budget, MAX_DOCUMENT_LENGTH},
    },
    keys::{
        discovery::Issuer,
        document_readers,
        error::FetchError,
        remote::{RemoteKeySet, Source},
    },
    util::clock::Clock,
};

/// What one attempt leaves to the next.
#[derive(Debug, Default)]
pub(super) struct AttemptMemory {
    /// The `jwks_uri` of the issuer's document, and the time at which it was read. The time is None after a failure, so
    /// that the document is read first.
    discovered: Option<(KeyUrl, Option<Duration>)>,
    /// The entity tag of the present keys at their URL.
    etag: Option<(KeyUrl, HeaderValue)>,
    /// Held while a document is parsed, also if the attempt ends before.
    parsing: Arc<Mutex<()>>,
}

impl AttemptMemory {
    pub(super) fn discovered_url(&self) -> Option<&str> {
        self.discovered.as_ref().map(|(url, _)| url.shown())
    }
}

/// How an attempt ended.
#[derive(Debug)]
pub(super) struct FetchOutcome {
    pub(super) memory: AttemptMemory,
    pub(super) outcome: Result<Obtained, FetchError>,
}

#[derive(Debug)]
pub(super) struct Obtained {
    /// None if the keys have not changed since the last attempt.
    pub(super) document: Option<KeyDocument>,
    /// The text of the document, where it is written to disk.
    pub(super) text: Option<Vec<u8>>,
    /// The `max-age` of the response.
    pub(super) max_age: Option<Duration>,
}

pub(super) struct Attempt {
    pub(super) remote: Arc<RemoteKeySet>,
    pub(super) clients: Arc<Clients>,
    pub(super) clock: Clock,
    pub(super) memory: AttemptMemory,
    pub(super) began_at: Duration,
    /// Whether the request may be answered by *not modified*.
    pub(super) conditional: bool,
}

impl Attempt {
    pub(super) async fn run(mut self) -> FetchOutcome {
        let clock = self.clock.clone();
        let timeout = self.remote.timing.timeout;
        let deadline = self.began_at + timeout;
        let outcome = tokio::select! {
            outcome = self.obtain() => outcome,
            () = clock.sleep_until(deadline) => Err(FetchError::Timeout(timeout)),
        };
        let mut memory = self.memory;
        if outcome.is_err() {
            // The keys may have moved: the next attempt relies on nothing of this one.
            memory.etag = None;
            memory.discovered = memory.discovered.map(|(url, _)| (url, None));
        }
        FetchOutcome { memory, outcome }
    }

    async fn obtain(&mut self) -> Result<Obtained, FetchError> {
        let remote = Arc::clone(&self.remote);
        match &remote.source {
            Source::Url(url) => self.fetch(url).await,
            Source::Issuer(issuer) => self.discover_and_fetch(issuer).await,
            Source::Custom(source) => {
                let text = source.load().await;
                // Code of the developer makes the text, which is why each attempt has a task of its own.
                let text = text.map_err(|error| FetchError::Source(error.to_string()))?;
                if text.len() > MAX_DOCUMENT_LENGTH {
                    return Err(GetError::TooLarge(MAX_DOCUMENT_LENGTH).into());
                }
                let (document, text) = self.parse(text.into_bytes()).await?;
                let text = remote.snapshot_file.is_some().then_some(text);
                Ok(Obtained { document: Some(document), text, max_age: None })
            }
        }
    }

    async fn discover_and_fetch(&mut self, issuer: &Issuer) -> Result<Obtained, FetchError> {
        let Some((known, learned_at)) = self.memory.discovered.clone() else {
            let url = self.discover(issuer).await?;
            return self.fetch(&url).await;
        };
        // The document is read again once a day. If that fails, the keys may still be at their URL: half of the time is
        // left for them.
        if learned_at.is_none_or(|moment| self.began_at >= moment + DISCOVERY_AGE) {
            let timeout = self.remote.timing.timeout / 2;
            let (clock, deadline) = (self.clock.clone(), self.began_at + timeout);
            let discovery = tokio::select! {
                discovery = self.discover(issuer) => discovery,
                () = clock.sleep_until(deadline) => Err(FetchError::Timeout(timeout)),
            };
            return match discovery {
                Ok(url) => self.fetch(&url).await,
                Err(discovery) => self.fetch(&known).await.map_err(|keys| {
                    FetchError::Rediscovery { keys: keys.into(), discovery: discovery.into() }
                }),
            };
        }
        match self.fetch(&known).await {
            Ok(obtained) => Ok(obtained),
            // The keys may have moved.
            Err(keys) => match self.discover(issuer).await {
                Ok(url) if url == known => Err(keys),
                Ok(url) => self.fetch(&url).await,
                Err(discovery) => {
                    Err(FetchError::Rediscovery { keys: keys.into(), discovery: discovery.into() })
                }
            },
        }
    }

    async fn discover(&mut self, issuer: &Issuer) -> Result<KeyUrl, FetchError> {
        let client = self.clients.client(issuer.url()).map_err(GetError::Client)?;
        let authorization = self.authorization(issuer.url()).await?;
        let url = issuer.discover(&client, authorization.as_ref()).await?;
        self.memory.discovered = Some((url.clone(), Some(self.began_at)));
        Ok(url)
    }

    async fn fetch(&mut self, url: &KeyUrl) -> Result<Obtained, FetchError> {
        let client = self.clients.client(url).map_err(GetError::Client)?;
        let authorization = self.authorization(url).await?;
        let etag = match &self.memory.etag {
            Some((at, etag)) if self.conditional && at == url => Some(etag),
            _ => None,
        };
        let Fetched { body, max_age, etag, .. } =
            fetch::get(&client, url, etag, authorization.as_ref()).await?;
        let (document, body) = match body {
            Some(body) => {
                let (document, body) = self.parse(body).await?;
                (Some(document), Some(body))
            }
            None => (None, None),
        };
        self.memory.etag = etag.map(|etag| (url.clone(), etag));
        let text = body.filter(|_| self.remote.snapshot_file.is_some());
        Ok(Obtained { document, text, max_age })
    }

    /// Returns the `Authorization` header for a URL. The token goes to the host of the configured URL alone.
    async fn authorization(&self, url: &KeyUrl) -> Result<Option<HeaderValue>, FetchError> {
        let Some(file) = &self.remote.token_file else { return Ok(None) };
        let configured = self.remote.source.url();
        if !url.is_confidential() || !configured.is_some_and(|own| own.has_origin_of(url)) {
            return Ok(None);
        }
        file.authorization().await.map(Some).map_err(FetchError::TokenFile)
    }

    /// Parses a key document on another thread, and returns its text too.
    async fn parse(&self, document: Vec<u8>) -> Result<(KeyDocument, Vec<u8>), FetchError> {
        let one_at_a_time = Arc::clone(&self.memory.parsing).lock_owned().await;
        let policy = self.remote.policy;
        let readers = match policy.budget {
            Budget::Provider => &document_readers::PROVIDER_KEYS,
            Budget::Tenant => &document_readers::TENANT_KEYS,
        };
        let read = readers.run(move || {
            let read = KeyDocument::parse(&document, policy);
            drop(one_at_a_time);
            read.map(|read| (read, document))
        });
        Ok(read.await??)
    }
}

/// How long a `jwks_uri` is used before the issuer's document is read again.
const DISCOVERY_AGE: Duration = Duration::from_secs(24 * 60 * 60);
