//! The deny list.
//!
//! - `day`: a day of tokens, entries and outages, in simulated time
//! - `decisions`: which tokens an entry revokes, wherever a token is checked
//! - `limits`: the size of the list, and the ends of entries
//! - `live`: WebSocket sessions and streams that end with an entry
//! - `pages`: lists that are loaded in pages
//! - `stores`: lists that several processes share, and stores that cannot be reached

mod day;
mod decisions;
mod limits;
mod live;
mod pages;
mod stores;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures_util::{FutureExt, future::BoxFuture};
use oauth2_actix::{
    Algorithm, ErrorKind, OAuth2, OAuth2Builder, Provider,
    revocation::{
        LoadedEntries, MemoryRevocationStore, RevocationEntry, RevocationStore, StoreError,
    },
    testing::{ManualClock, Token},
};
use oauth2_actix_tests::{keys::key, policy};

const ISSUER: &str = "https://idp.test";
const OTHER: &str = "https://other.test";

fn builder() -> OAuth2Builder {
    let provider = |issuer: &str| {
        let keys = key(Algorithm::ES256).jwk_set();
        Provider::new().issuer(issuer).audience("api").keys(keys)
    };
    policy::builder().provider("idp", provider(ISSUER)).provider("other", provider(OTHER))
}

/// A token with every claim that an entry may name.
fn token() -> Token {
    Token::new(ISSUER, "api")
        .claim("jti", "token-1")
        .claim("sub", "ann")
        .claim("sid", "session-1")
        .claim("client_id", "shop")
}

fn sign(token: &Token) -> String {
    token.sign(key(Algorithm::ES256))
}

async fn kind(oauth2: &OAuth2, token: &str) -> Option<ErrorKind> {
    oauth2.verify(token).await.err().map(|error| error.kind().clone())
}

async fn is_revoked(oauth2: &OAuth2, token: &str) -> bool {
    match kind(oauth2, token).await {
        None => false,
        Some(ErrorKind::TokenRevoked) => true,
        Some(other) => panic!("{other}"),
    }
}

fn time(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

/// A token that is valid for this time by a clock of a test.
fn token_at(clock: &ManualClock, lives: Duration) -> Token {
    let now = clock.unix_seconds();
    token().claim("iat", now).claim("exp", now + lives.as_secs())
}

/// A store that several lists share, and whose connection a test cuts.
#[derive(Clone, Default)]
struct Shared {
    store: Arc<Mutex<MemoryRevocationStore>>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    is_down: AtomicBool,
    /// Whether an addition gets no answer.
    hangs: AtomicBool,
    /// Whether no process is told of changes.
    is_silent: AtomicBool,
    loads: AtomicUsize,
}

impl Shared {
    fn set_down(&self, is_down: bool) {
        self.state.is_down.store(is_down, Ordering::SeqCst);
    }

    fn loads(&self) -> usize {
        self.state.loads.load(Ordering::SeqCst)
    }

    /// The store behind the connection.
    fn inner(&self) -> MemoryRevocationStore {
        self.store.lock().unwrap().clone()
    }

    fn lose_everything(&self) {
        *self.store.lock().unwrap() = MemoryRevocationStore::new();
    }

    fn is_down(&self) -> Result<(), StoreError> {
        match self.state.is_down.load(Ordering::SeqCst) {
            true => Err("the store is down".into()),
            false => Ok(()),
        }
    }
}

impl RevocationStore for Shared {
    fn add(&self, entry: RevocationEntry) -> BoxFuture<'static, Result<(), StoreError>> {
        if self.state.hangs.load(Ordering::SeqCst) {
            return std::future::pending().boxed();
        }
        match self.is_down() {
            Ok(()) => self.inner().add(entry),
            Err(error) => async { Err(error) }.boxed(),
        }
    }

    fn load(&self, after: Option<&[u8]>) -> BoxFuture<'static, Result<LoadedEntries, StoreError>> {
        let load = self.inner().load(after);
        let this = self.clone();
        async move {
            let loaded = this.is_down();
            this.state.loads.fetch_add(1, Ordering::SeqCst);
            loaded?;
            load.await
        }
        .boxed()
    }

    fn changed(&self) -> BoxFuture<'static, ()> {
        match self.state.is_silent.load(Ordering::SeqCst) {
            true => std::future::pending().boxed(),
            false => self.inner().changed(),
        }
    }
}
