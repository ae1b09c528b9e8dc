//! The limits of the cache of verified tokens.

use crate::config::{error::ConfigError, limits::CACHE_ENTRIES};

/// Limits for the cache of verified tokens. It is on by default: see
/// [`OAuth2Builder::token_cache`](crate::OAuth2Builder::token_cache).
///
/// A cached token is accepted without another signature check, for exactly as long as it would be accepted
/// without the cache. The whole token must be equal. Each request checks its times again, checks that the
/// keys that verified it are still usable keys of the provider (a key that leaves the key set invalidates its
/// tokens at once; a refresh that changes nothing invalidates none), and checks that a tenant still exists.
/// With a refresh of zero, which requires fresh keys for every request, nothing is cached.
///
/// Rejected tokens are not cached. Once a limit is reached, a token is admitted the second time it is seen,
/// and evicts one that has expired or was not used recently, so that tokens that are sent once do not evict
/// tokens that are sent often.
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
    /// Returns the default limits.
    pub fn new() -> Self {
        Self { max_entries: 32_768, max_bytes: 64 << 20 }
    }

    /// Disables the cache: the signature of every request's token is checked.
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

    /// Sets how many tokens are cached. Default 32,768; up to 10,000,000; 0 disables the cache.
    ///
    /// The table takes about 50 bytes for each entry, and is allocated as tokens are added.
    pub fn max_entries(mut self, entries: usize) -> Self {
        self.max_entries = entries;
        self
    }

    /// Sets how much memory the cached tokens may take, in bytes, for the whole process and not for each
    /// worker; the table is not counted. Default 64 MiB; 0 disables the cache.
    ///
    /// A token of 800 bytes with 12 claims takes about 2.4 KB, and more if claims are objects or lists.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Checks the limits. Returns None if the cache is disabled, and otherwise the limits for entries and
    /// bytes.
    pub(crate) fn limits(self) -> Result<Option<(usize, usize)>, ConfigError> {
        CACHE_ENTRIES.check(None, self.max_entries)?;
        let is_on = self.max_entries > 0 && self.max_bytes > 0;
        Ok(is_on.then_some((self.max_entries, self.max_bytes)))
    }
}

impl Default for TokenCacheConfig {
    fn default() -> Self {
        Self::new()
    }
}
