//! Policies and tokens for what is measured without any key fetching: 800 bytes, 12 claims.

use futures_util::FutureExt;
use oauth2_actix::{
    Claims, Error, OAuth2, OAuth2Builder, TokenCacheConfig,
    testing::{SigningKey, Token},
};
use oauth2_actix_bench as kit;

/// One provider, which has this key.
pub(crate) fn builder(key: &SigningKey) -> OAuth2Builder {
    OAuth2::builder().provider("idp", kit::provider(key.jwk_set()))
}

pub(crate) fn policy(key: &SigningKey, cache: TokenCacheConfig) -> OAuth2 {
    builder(key).token_cache(cache).build().unwrap()
}

/// What a policy says at once.
pub(crate) fn verify(oauth2: &OAuth2, token: &str) -> Result<Claims, Error> {
    oauth2.verify(token).now_or_never().expect("it waits for nothing")
}

/// Tokens of which no two are alike.
pub(crate) fn distinct(key: &SigningKey, count: usize) -> Vec<String> {
    numbered(&kit::padded(kit::token(), key, LENGTH), key, count)
}

/// The same for this token.
pub(crate) fn numbered(token: &Token, key: &SigningKey, count: usize) -> Vec<String> {
    kit::in_parallel(0..count, |number| kit::numbered(token, number).sign(key))
}

const LENGTH: usize = 800;
