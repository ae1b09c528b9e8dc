//! Policies with inline keys, and tokens with 12 claims: of 800 bytes, or of another length.

use futures_util::FutureExt;
use oauth2_actix::{
    Claims, Error, OAuth2, OAuth2Builder, TokenCacheConfig,
    testing::{SigningKey, Token},
};
use oauth2_actix_bench as kit;

/// Returns a builder with one provider, which has this key.
pub(crate) fn builder(key: &SigningKey) -> OAuth2Builder {
    let provider = kit::provider(key.jwk_set()).algorithms([key.algorithm()]);
    OAuth2::builder().provider("idp", provider)
}

pub(crate) fn policy(key: &SigningKey, cache: TokenCacheConfig) -> OAuth2 {
    builder(key).token_cache(cache).build().unwrap()
}

/// Verifies a token. No keys are fetched, so that the result is there at once.
pub(crate) fn verify(oauth2: &OAuth2, token: &str) -> Result<Claims, Error> {
    oauth2.verify(token).now_or_never().expect("no keys are fetched")
}

/// Returns different tokens.
pub(crate) fn distinct(key: &SigningKey, count: usize) -> Vec<String> {
    distinct_of(key, count, LENGTH)
}

/// Returns different tokens of a length in bytes.
pub(crate) fn distinct_of(key: &SigningKey, count: usize, length: usize) -> Vec<String> {
    numbered(&kit::padded(kit::token(), key, length), key, count)
}

/// Returns copies of a token with different ids.
pub(crate) fn numbered(token: &Token, key: &SigningKey, count: usize) -> Vec<String> {
    kit::in_parallel(0..count, |number| kit::numbered(token, number).sign(key))
}

const LENGTH: usize = 800;
