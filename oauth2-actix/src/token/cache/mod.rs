//! The cache of verified tokens: a token that is sent again is not verified again. `table` has the cache
//! itself, and this file its status. The limits are set
//! in `config/token_cache.rs`. Whether a cached token is still accepted, after its
//! key was withdrawn for example, is decided in `policy/decide.rs`.

mod table;

use std::fmt;

pub(crate) use table::VerifiedTokens;

/// The contents of the cache of verified tokens: see
/// [`OAuth2::token_cache_status`](crate::OAuth2::token_cache_status).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct TokenCacheStatus {
    /// The number of tokens.
    pub entries: usize,
    /// The memory that the tokens take, in bytes, without the table.
    pub bytes: usize,
}

impl fmt::Display for TokenCacheStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} tokens, {} bytes", self.entries, self.bytes)
    }
}
