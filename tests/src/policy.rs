//! Builds the policies of the suites, so that all suites can run without the token cache, or with OpenSSL for
//! every signature. Suites do not call `OAuth2::builder()`.
//!
//! With `OAUTH2_ACTIX_TOKEN_CACHE=off` in the environment, policies for which a test sets no cache have
//! none. With `OAUTH2_ACTIX_CRYPTO_BACKEND=openssl`, OpenSSL checks signatures where a test sets no
//! library. The library itself reads neither.

use std::env;

use oauth2_actix::{CryptoBackend, OAuth2, OAuth2Builder, TokenCacheConfig};
use reqwest::Proxy;
use serde_json::Value;

/// The variable that disables the token cache: `off`.
pub const TOKEN_CACHE: &str = "OAUTH2_ACTIX_TOKEN_CACHE";

/// The variable that selects the library for signatures: `openssl`.
pub const CRYPTO_BACKEND: &str = "OAUTH2_ACTIX_CRYPTO_BACKEND";

/// Returns a builder with the settings of the environment. A test overrides them by the same methods.
pub fn builder() -> OAuth2Builder {
    let mut builder = OAuth2::builder();
    if is_set_to(TOKEN_CACHE, "off") {
        builder = builder.token_cache(TokenCacheConfig::disabled());
    }
    if is_set_to(CRYPTO_BACKEND, "openssl") {
        builder = builder.crypto_backend(CryptoBackend::OpenSsl);
    }
    builder
}

/// Reads settings through serde. The environment sets what they leave out.
pub fn from_json(mut settings: Value) -> Result<OAuth2Builder, serde_json::Error> {
    if let Some(settings) = settings.as_object_mut() {
        if is_set_to(TOKEN_CACHE, "off") {
            settings.entry("token_cache").or_insert(false.into());
        }
        if is_set_to(CRYPTO_BACKEND, "openssl") {
            settings.entry("crypto_backend").or_insert("openssl".into());
        }
    }
    serde_json::from_value(settings)
}

/// Routes fetches from other hosts to a closed port of this one.
pub fn offline(builder: OAuth2Builder) -> OAuth2Builder {
    builder.configure_http_client(|client| client.proxy(Proxy::all("http://127.0.0.1:9").unwrap()))
}

/// Returns whether a variable has this value. Any other value panics, since the suite would not run as
/// intended.
fn is_set_to(variable: &str, value: &str) -> bool {
    match env::var_os(variable) {
        None => false,
        Some(found) if found == value => true,
        Some(found) => panic!("{variable} is {found:?}; expected {value:?} or nothing"),
    }
}
