//! Tokens that were verified, so that one that comes again is not verified again.

mod table;

use std::fmt;

pub(crate) use table::VerifiedTokens;

use crate::config::error::{ConfigError, ConfigErrorKind};

/// Bounds for the cache of verified tokens. It is on by default: see
/// [`OAuth2Builder::token_cache`](crate::OAuth2Builder::token_cache).
///
/// A token that comes again is accepted without checking its signature again, just as long as it would
/// be accepted without the cache. The whole token must be equal. Its times are judged anew at each
/// request, the keys that verified it must still be the provider's usable ones (a key that leaves its
/// set ends its tokens at once, a refresh that changes nothing ends none), and a tenant must still be
/// one. Where a refresh of zero wants fresh keys for every request, nothing is cached.
///
/// Refused tokens are not cached. Once a bound is reached, a token gets in at its second sight, in the
/// place of one that has expired or was not used of late, so that tokens that come once push none out
/// that come often.
///
/// ```
/// use oauth2_actix::{OAuth2, TokenCacheConfig};
///
/// let many_users = TokenCacheConfig::new().max_entries(200_000).max_bytes(512 << 20);
/// let builder = OAuth2::builder().token_cache(many_users);
/// # drop(builder);
/// ```
///
/// In serde `token_cache`: `false`, or a map of `max_entries` and `max_bytes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "it does nothing until it is given to a builder"]
pub struct TokenCacheConfig {
    max_entries: usize,
    max_bytes: usize,
}

impl TokenCacheConfig {
    /// The default bounds.
    pub fn new() -> Self {
        Self { max_entries: 32_768, max_bytes: 64 << 20 }
    }

    /// No cache: every request's signature is checked.
    ///
    /// ```
    /// use oauth2_actix::{OAuth2, TokenCacheConfig};
    ///
    /// let builder = OAuth2::builder().token_cache(TokenCacheConfig::disabled());
    /// # drop(builder);
    /// ```
    pub fn disabled() -> Self {
        Self { max_entries: 0, max_bytes: 0 }
    }

    /// Sets how many tokens are kept. Default 32,768; up to 10,000,000; 0 switches the cache off.
    ///
    /// A table of about 50 bytes for each is laid out as they come.
    pub fn max_entries(mut self, entries: usize) -> Self {
        self.max_entries = entries;
        self
    }

    /// Sets how much memory the kept tokens take, in bytes, counted for the whole process and not for
    /// each worker; the table comes on top. Default 64 MiB; 0 switches the cache off.
    ///
    /// A token of 800 bytes with 12 claims takes about 2.4 KB, and more if claims are objects or lists.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// None: it is off.
    pub(crate) fn build(self) -> Result<Option<VerifiedTokens>, ConfigError> {
        if self.max_entries > MAX_ENTRIES {
            let problem = format_args!("must be at most {MAX_ENTRIES}");
            return Err(ConfigError::of_policy("token_cache.max_entries", problem)
                .of_kind(ConfigErrorKind::OutOfRange));
        }
        let is_on = self.max_entries > 0 && self.max_bytes > 0;
        Ok(is_on.then(|| VerifiedTokens::new(self.max_entries, self.max_bytes)))
    }
}

impl Default for TokenCacheConfig {
    fn default() -> Self {
        Self::new()
    }
}

/// What the cache of verified tokens holds: see [`OAuth2::token_cache_status`](crate::OAuth2::token_cache_status).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct TokenCacheStatus {
    /// How many tokens.
    pub entries: usize,
    /// How much memory they take, without the table.
    pub bytes: usize,
}

impl fmt::Display for TokenCacheStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} tokens, {} bytes", self.entries, self.bytes)
    }
}

const MAX_ENTRIES: usize = 10_000_000;
