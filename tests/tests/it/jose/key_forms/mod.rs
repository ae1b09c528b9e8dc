//! Keys in every form, inline and from a URL, and keys that are never used.
//!
//! - `accepted`: forms of keys that are read
//! - `unusable`: keys that are rejected, and how that is reported

mod accepted;
mod unusable;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use oauth2_actix::{
    Algorithm, KeySource, Keys, OAuth2, Provider,
    testing::{SigningKey, Token},
};
use oauth2_actix_tests::{
    key_server::{Answer, KeyServer},
    keys::{EVERY, key},
    log, policy,
};
use serde_json::{Value, json};

const ISSUER: &str = "https://idp.test";

fn provider() -> Provider {
    Provider::new().issuer(ISSUER).audience("api")
}

pub(crate) fn forms(key: &SigningKey) -> Vec<(&'static str, Value)> {
    let pem = key.public_pem();
    let mut forms = vec![
        ("JWK set", key.jwk_set()),
        ("JWK", key.public_jwk()),
        ("bare JWK", key.bare_jwk()),
        ("list of JWKs", json!([key.public_jwk()])),
        ("kid to PEM", json!({key.kid(): pem})),
        ("kid to certificate", json!({key.kid(): key.certificate_pem(), "other": pem})),
        ("PEM", json!(pem)),
        ("certificate", json!(key.certificate_pem())),
        ("bundle", json!(format!("\n{}{}\n", key.certificate_pem(), pem))),
    ];
    let padded_set = json!({"keys": [key.public_jwk()], "extra": {"any": "thing"}});
    forms.push(("JWK set with more", padded_set));
    forms
}

fn build(keys: impl Into<Keys>) -> Result<OAuth2, String> {
    let provider = provider().keys(keys);
    policy::builder().provider("p", provider).build().map_err(|error| error.to_string())
}

async fn accepts(oauth2: &OAuth2, key: &SigningKey) -> bool {
    oauth2.verify(&Token::new(ISSUER, "api").sign(key)).await.is_ok()
}
