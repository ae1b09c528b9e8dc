//! A start without the provider: keys on disk from an earlier process, and keys of the configuration.
//!
//! - `contents`: what is written, and that it is read
//! - `initial_keys`: keys of the configuration that are used until the first fetch
//! - `rejected`: snapshots that are not used
//! - `restart`: a start while the provider is unavailable

mod contents;
mod initial_keys;
mod rejected;
mod restart;

use std::{
    error::Error,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    time::Duration,
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use oauth2_actix::{
    Algorithm, ErrorKind, KeySource, Keys, OAuth2, OAuth2Builder, Provider,
    status::{KeyState, KeyStatus},
    tenants::{Tenant, TenantLookup, Tenants},
    testing::{ManualClock, SigningKey, Token},
};
use oauth2_actix_tests::{
    key_server::{Answer, KeyServer},
    keys::key,
    log, policy,
    wait::{advance_until, until},
};
use openssl::sha::{sha1, sha256};
use serde_json::{Value, json};

const ISSUER: &str = "https://idp.test";
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

fn new_key(kid: &str) -> SigningKey {
    SigningKey::generate(Algorithm::ES256, kid)
}

fn jwk_set(keys: &[&SigningKey]) -> Answer {
    let keys: Vec<Value> = keys.iter().map(|key| key.public_jwk()).collect();
    Answer::json(&json!({"keys": keys}))
}

async fn verify(oauth2: &OAuth2, key: &SigningKey) -> Result<(), ErrorKind> {
    let token = Token::new(ISSUER, "api").expires_in(365 * 86_400).sign(key);
    oauth2.verify(&token).await.map(drop).map_err(|error| error.kind().clone())
}

fn unavailable(result: &Result<(), ErrorKind>) -> bool {
    matches!(result, Err(ErrorKind::KeysUnavailable { .. }))
}

fn status(oauth2: &OAuth2) -> KeyStatus {
    oauth2.key_status().remove(0)
}

/// A directory, a provider and a clock that outlive the policies, each of which represents a process.
struct Setup {
    directory: PathBuf,
    server: KeyServer,
    clock: ManualClock,
    /// The name of the provider.
    name: String,
}

impl Setup {
    fn new(name: &str, answer: Answer) -> Self {
        let directory = std::env::temp_dir()
            .join(format!("oauth2-actix-snapshot-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        let server = KeyServer::start(answer).unwrap();
        Self { directory, server, clock: ManualClock::new(), name: name.to_owned() }
    }

    fn provider(&self) -> Provider {
        Provider::new().issuer(ISSUER).audience("api").keys(self.server.url())
    }

    fn builder(&self, provider: Provider) -> OAuth2Builder {
        policy::builder()
            .provider(&self.name, provider)
            .key_refresh(HOUR)
            .key_snapshot(&self.directory)
            // The clock runs faster than disks and threads.
            .fetch_timeout(MINUTE)
            .clock(self.clock.clone())
    }

    /// Builds a policy, as a started service does.
    fn start(&self) -> OAuth2 {
        self.builder(self.provider()).build().unwrap()
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.directory).into_iter().flatten();
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    /// Returns the only snapshot, unless a file is still being written.
    fn record(&self) -> Option<Value> {
        let files = self.files();
        let [file] = files.as_slice() else { return None };
        let is_hidden = file.file_name()?.to_str()?.starts_with('.');
        let text = fs::read_to_string(file).ok().filter(|_| !is_hidden)?;
        serde_json::from_str(&text).ok()
    }

    /// Waits for a snapshot of a fetch at this time.
    async fn until_written(&self) {
        let now = self.clock.unix_seconds();
        let is_new = || self.record().is_some_and(|record| record["fetched_at"] == json!(now));
        until("the snapshot is written", is_new).await;
    }

    /// Fetches keys, writes the snapshot, drops the policy and stops the provider.
    async fn write_and_stop(&self) {
        let oauth2 = self.start();
        oauth2.warm_up().await.unwrap();
        self.until_written().await;
        drop(oauth2);
        self.server.answer(Answer::status(503));
    }
}

impl Drop for Setup {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}
