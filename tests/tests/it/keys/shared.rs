//! What the tests of files and of custom sources share.

use std::time::Duration;

use oauth2_actix::{
    Algorithm, ErrorKind, Keys, OAuth2, Provider,
    status::KeyStatus,
    testing::{SigningKey, Token},
};
use serde_json::{Value, json};

pub(super) const ISSUER: &str = "https://idp.test";
pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const HOUR: Duration = Duration::from_secs(3600);
/// The step of the clock while a test waits for a change.
pub(super) const STEP: Duration = Duration::from_millis(20);
/// The limit of a fetch: the clock runs faster than disks and threads.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn provider(issuer: &str, keys: Keys) -> Provider {
    Provider::new().issuer(issuer).audience("api").keys(keys)
}

pub(super) fn new_key(kid: &str) -> SigningKey {
    SigningKey::generate(Algorithm::ES256, kid)
}

pub(super) fn set(keys: &[&SigningKey]) -> String {
    let keys: Vec<Value> = keys.iter().map(|key| key.public_jwk()).collect();
    json!({"keys": keys}).to_string()
}

pub(super) fn status(oauth2: &OAuth2) -> KeyStatus {
    oauth2.key_status().remove(0)
}

pub(super) fn kids(oauth2: &OAuth2) -> Vec<String> {
    status(oauth2).keys.into_iter().filter_map(|key| key.kid).collect()
}

pub(super) async fn verify(
    oauth2: &OAuth2,
    issuer: &str,
    key: &SigningKey,
) -> Result<(), ErrorKind> {
    let token = Token::new(issuer, "api").expires_in(365 * 86_400).sign(key);
    oauth2.verify(&token).await.map(drop).map_err(|error| error.kind().clone())
}

pub(super) fn unavailable(result: &Result<(), ErrorKind>) -> bool {
    matches!(result, Err(ErrorKind::KeysUnavailable { .. }))
}
