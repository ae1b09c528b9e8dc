//! Attacks on the thread that fetches keys and looks tenants up, by clients, providers and faulty code of the
//! developer.

mod sources;
mod tenants;

use std::{
    error::Error,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::poll;

use oauth2_actix::{
    Algorithm, ErrorKind, KeySource, Keys, OAuth2, OAuth2Builder, Provider,
    tenants::{Tenant, TenantLookup, Tenants},
    testing::{ManualClock, SigningKey, Token},
};
use oauth2_actix_tests::{
    key_server::{Answer, KeyServer},
    log, policy,
    wait::{PATIENCE, advance_until, until},
};

use serde_json::json;

const S: Duration = Duration::from_secs(1);

const MINUTE: Duration = Duration::from_secs(60);

type Boxed = Box<dyn Error + Send + Sync>;

fn new_key() -> SigningKey {
    SigningKey::generate(Algorithm::ES256, "1")
}

async fn kind(oauth2: &OAuth2, issuer: &str, key: &SigningKey) -> Option<ErrorKind> {
    let token = Token::new(issuer, "api").expires_in(90 * 86_400).sign(key);
    let answer = tokio::time::timeout(PATIENCE, oauth2.verify(&token)).await;
    answer.expect("an answer").err().map(|error| error.kind().clone())
}

/// A provider whose tokens all pass the thread that fetches keys and looks tenants up.
fn passing(key: &SigningKey) -> Provider {
    struct Passing(String);
    impl KeySource for Passing {
        async fn load(&self) -> Result<String, Boxed> {
            Ok(self.0.clone())
        }
    }
    let keys = Keys::source(Passing(key.jwk_set().to_string()));
    Provider::new().issuer(PASSING).audience("api").keys(keys).key_refresh(Duration::ZERO)
}

/// Waits until the thread has run this many times.
async fn turns(count: usize, oauth2: &OAuth2, key: &SigningKey) {
    for _ in 0..count {
        assert_eq!(kind(oauth2, PASSING, key).await, None);
    }
}

const PASSING: &str = "https://passing.test";

/// A lookup by a closure. It never ends where the closure returns `None`.
struct Lookup<F>(F);

impl<F> TenantLookup for Lookup<F>
where
    F: Fn(&str) -> Option<Result<Option<Tenant>, Boxed>> + Send + Sync + 'static,
{
    async fn find_by_issuer(&self, issuer: &str) -> Result<Option<Tenant>, Boxed> {
        match (self.0)(issuer) {
            Some(result) => result,
            None => std::future::pending().await,
        }
    }
}

/// Tenants that this closure looks up.
fn tenants(find: impl Fn(&str) -> Option<Tenant> + Send + Sync + 'static) -> Tenants {
    Tenants::new(Lookup(move |issuer: &str| Some(Ok(find(issuer)))))
}

/// A policy of tenants, on this clock.
fn builder(tenants: Tenants, clock: &ManualClock) -> OAuth2Builder {
    policy::builder().tenants(tenants).key_refresh_minutes(60).clock(clock.clone())
}

/// A policy of one provider, `https://good.test`, and of lookups that fail with this error.
fn with_failing_lookups(server: &KeyServer, error: fn() -> Boxed) -> OAuth2 {
    let good = Provider::new().issuer("https://good.test").audience("api").keys(server.url());
    policy::builder()
        .provider("good", good)
        .tenants(Tenants::new(Lookup(move |_: &str| Some(Err(error())))))
        .key_refresh_minutes(5)
        .build()
        .unwrap()
}

fn tenant(name: &str, issuer: &str, keys: impl Into<Keys>) -> Tenant {
    Tenant::new(name, Provider::new().issuer(issuer).audience("api").keys(keys))
}

/// An error whose `Display` fails.
#[derive(Debug)]
struct FailsToDisplay;

impl fmt::Display for FailsToDisplay {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Err(fmt::Error)
    }
}

impl Error for FailsToDisplay {}

struct Broken;

impl KeySource for Broken {
    async fn load(&self) -> Result<String, Boxed> {
        Err(Box::new(FailsToDisplay))
    }
}
