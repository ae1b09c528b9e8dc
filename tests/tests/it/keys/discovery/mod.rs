//! Discovery of the keys from the metadata document of the issuer.
//!
//! - this file: where the document is, and http
//! - `documents`: which document is fetched, and what it may contain
//! - `refresh`: when it is fetched again

mod documents;
mod refresh;

use std::time::Duration;

use oauth2_actix::{
    Algorithm, ErrorKind, Keys, OAuth2, OAuth2Builder, Provider,
    status::{KeyState, KeyStatus},
    testing::{ManualClock, SigningKey, Token},
};
use oauth2_actix_tests::{
    key_server::{Answer, KeyServer},
    keys::key,
    policy,
    wait::{PATIENCE, until},
};
use serde_json::{Value, json};

const OPENID: &str = "/.well-known/openid-configuration";
const OAUTH: &str = "/.well-known/oauth-authorization-server";
const JWKS: &str = "/jwks.json";
const HOUR: Duration = Duration::from_secs(3600);

/// An issuer without a document at either address, and with valid keys.
struct Issuer {
    server: KeyServer,
    clock: ManualClock,
    name: String,
    path: &'static str,
}

impl Issuer {
    fn at(path: &'static str) -> Self {
        let server = KeyServer::start(Answer::status(404)).unwrap();
        server.answer_at(JWKS, good_keys());
        let name = server.url_of(path);
        Self { server, clock: ManualClock::new(), name, path }
    }

    /// Starts an issuer with its document.
    fn with_document(path: &'static str) -> Self {
        let issuer = Self::at(path);
        issuer.publish(&issuer.server.url());
        issuer
    }

    fn openid(&self) -> String {
        format!("{}{OPENID}", self.path.trim_end_matches('/'))
    }

    fn oauth(&self) -> String {
        format!("{OAUTH}{}", self.path.trim_end_matches('/'))
    }

    /// Returns the document with this `jwks_uri`.
    fn document(&self, jwks_uri: &str) -> Answer {
        Answer::json(&json!({"issuer": self.name, "jwks_uri": jwks_uri, "scopes_supported": []}))
    }

    fn publish(&self, jwks_uri: &str) {
        self.server.answer_at(&self.openid(), self.document(jwks_uri));
    }

    /// Returns the number of requests for the first document, the second one, and the keys.
    fn requested(&self) -> [u64; 3] {
        [&self.openid(), &self.oauth(), JWKS].map(|path| self.server.requests_at(path))
    }

    fn provider(&self) -> Provider {
        Provider::new().issuer(&self.name).audience("api").keys(Keys::discover())
    }

    fn policy(&self, refresh: Option<Duration>) -> OAuth2 {
        let mut provider = self.provider();
        if let Some(refresh) = refresh {
            provider = provider.key_refresh(refresh);
        }
        policy::builder().provider("p", provider).clock(self.clock.clone()).build().unwrap()
    }

    async fn verify(&self, oauth2: &OAuth2, key: &SigningKey) -> Result<(), ErrorKind> {
        let token = Token::new(&self.name, "api").expires_in(365 * 86_400).sign(key);
        oauth2.verify(&token).await.map(drop).map_err(|error| error.kind().clone())
    }

    /// Returns why this document, without another one, leads to no keys.
    async fn rejection(&self, document: Answer) -> String {
        self.server.answer_at(&self.openid(), document);
        let error = self.policy(None).warm_up().await.expect_err("rejected");
        error.failures().next().unwrap().1.to_owned()
    }
}

fn good_keys() -> Answer {
    Answer::json(&key(Algorithm::ES256).jwk_set())
}

fn status(oauth2: &OAuth2) -> KeyStatus {
    oauth2.key_status().remove(0)
}
