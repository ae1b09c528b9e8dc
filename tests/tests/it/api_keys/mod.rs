//! API keys by prefix, beside tokens.
//!
//! - `decisions`: which keys are accepted, wherever a token is checked
//! - `sessions`: live WebSocket sessions
//! - `settings`: errors of the configuration
//! - `sources`: keys of a database, and the bounds of its calls

mod decisions;
mod sessions;
mod settings;
mod sources;

use oauth2_actix::{
    Algorithm, OAuth2, OAuth2Builder, Provider,
    api_keys::{ApiKey, ApiKeyHash, ApiKeys},
    testing::{ManualClock, Token},
};
use oauth2_actix_tests::{keys::key, policy};
use serde_json::json;

const ISSUER: &str = "https://idp.test";
const PREFIX: &str = "shop_live_";
const OLD: &str = "shop_live_old-key-of-the-billing-job-0123456789";
const NEW: &str = "shop_live_new-key-of-the-billing-job-0123456789";

fn builder(clock: &ManualClock) -> OAuth2Builder {
    policy::builder().clock(clock.clone())
}

fn provider() -> Provider {
    Provider::new().issuer(ISSUER).audience("api").keys(key(Algorithm::ES256).jwk_set())
}

fn jwt(clock: &ManualClock) -> String {
    let token = Token::new(ISSUER, "api").claim("exp", clock.unix_seconds() + 3600);
    token.sign(key(Algorithm::ES256))
}

/// The key of the job, by the hashes of these texts.
fn job(texts: &[&str]) -> ApiKey {
    let hashes = texts.iter().map(|text| ApiKeyHash::of(text));
    ApiKey::new("billing-job", hashes).claims(json!({"scope": "invoices:read"}))
}

fn keys(texts: &[&str]) -> ApiKeys {
    ApiKeys::new(PREFIX).key(job(texts))
}

/// Returns the name of the reason for which a token is rejected.
async fn kind(oauth2: &OAuth2, token: &str) -> Option<&'static str> {
    oauth2.verify(token).await.err().map(|error| error.kind_name())
}
