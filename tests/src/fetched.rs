//! A policy of one provider whose keys are fetched from a key server, on a clock that the test moves.

use std::time::Duration;

use oauth2_actix::{
    Algorithm, ErrorKind, OAuth2, Provider,
    status::{FetchCounts, KeyStatus},
    testing::{ManualClock, SigningKey, Token},
};
use serde_json::{Value, json};

use crate::{
    key_server::{Answer, KeyServer},
    policy,
    wait::until,
};

/// The issuer of the provider.
pub const ISSUER: &str = "https://idp.test";

/// The policy, its key server and its clock.
#[derive(Debug)]
pub struct Fetched {
    /// The key server.
    pub server: KeyServer,
    /// The clock of the policy.
    pub clock: ManualClock,
    /// The policy.
    pub oauth2: OAuth2,
}

impl Fetched {
    /// Starts a key server with this answer, and builds a policy that fetches from it.
    #[must_use]
    pub fn start(answer: Answer, refresh: Option<Duration>) -> Self {
        let server = KeyServer::start(answer).unwrap();
        let clock = ManualClock::new();
        let mut provider = Provider::new().issuer(ISSUER).audience("api").keys(server.url());
        if let Some(refresh) = refresh {
            provider = provider.key_refresh(refresh);
        }
        let oauth2 =
            policy::builder().provider("p", provider).clock(clock.clone()).build().unwrap();
        Self { server, clock, oauth2 }
    }

    /// Verifies a [`token`] of this key.
    pub async fn verify(&self, key: &SigningKey) -> Result<(), ErrorKind> {
        self.verify_text(&token(key)).await
    }

    /// Verifies a token.
    pub async fn verify_text(&self, token: &str) -> Result<(), ErrorKind> {
        self.oauth2.verify(token).await.map(drop).map_err(|error| error.kind().clone())
    }

    /// Returns the status of the provider's keys.
    #[must_use]
    pub fn status(&self) -> KeyStatus {
        self.oauth2.key_status().remove(0)
    }

    /// Returns how many fetches succeeded, found the keys unchanged, and failed.
    #[must_use]
    pub fn counts(&self) -> [u64; 3] {
        fetch_counts(&self.oauth2)
    }

    /// Advances the clock in steps of a second until the server has this many requests. The clock stands
    /// still during a fetch, so that none times out on a slow machine.
    pub async fn advance_to_request(&self, count: u64) {
        until("a request", || {
            let is_planned = self.status().next_refresh_seconds.is_some();
            let is_so = self.server.requests() >= count;
            if !is_so && is_planned {
                self.clock.advance(Duration::from_secs(1));
            }
            is_so
        })
        .await;
    }

    /// Waits until the policy has this key, and verifies a token of it. A token that is sent earlier could
    /// cause a fetch itself.
    pub async fn until_accepted(&self, key: &SigningKey) {
        until("the key", || {
            self.status().keys.iter().any(|known| known.kid.as_deref() == Some(key.kid()))
        })
        .await;
        assert_eq!(self.verify(key).await, Ok(()));
    }
}

/// Returns how many fetches of the first source succeeded, found the keys unchanged, and failed.
#[must_use]
pub fn fetch_counts(oauth2: &OAuth2) -> [u64; 3] {
    let FetchCounts { succeeded, not_modified, failed, .. } = oauth2.key_status()[0].fetches;
    [succeeded, not_modified, failed]
}

/// Signs a token that is valid for a year.
#[must_use]
pub fn token(key: &SigningKey) -> String {
    Token::new(ISSUER, "api").expires_in(365 * 86_400).sign(key)
}

/// Generates an ES256 key.
#[must_use]
pub fn new_key(kid: &str) -> SigningKey {
    SigningKey::generate(Algorithm::ES256, kid)
}

/// The answer of a key server that publishes these keys.
#[must_use]
pub fn jwk_set(keys: &[&SigningKey]) -> Answer {
    let keys: Vec<Value> = keys.iter().map(|key| key.public_jwk()).collect();
    Answer::json(&json!({"keys": keys}))
}

/// Returns whether the token was rejected because the keys are unavailable.
#[must_use]
pub fn is_unavailable(result: &Result<(), ErrorKind>) -> bool {
    matches!(result, Err(ErrorKind::KeysUnavailable { .. }))
}
