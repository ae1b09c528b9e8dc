//! The settings of the deny list.

use std::{
    fmt, io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{
    list::{Limits, Revocations},
    store::RevocationStore,
};
use crate::util::clock::Clock;

/// The deny list: tokens that are rejected although they have not expired. See
/// [`OAuth2Builder::deny_list`](crate::OAuth2Builder::deny_list) and [`OAuth2::revoke`](crate::OAuth2::revoke).
///
/// A clone is the same list: give clones to the policies of a process that share one. The settings are then those of the
/// policy that is built first.
///
/// ```
/// use std::time::Duration;
/// use oauth2_actix::{OAuth2, revocation::DenyList};
///
/// let deny_list = DenyList::new().token_lifetime(Duration::from_secs(60 * 60));
/// let builder = OAuth2::builder().deny_list(deny_list);
/// # drop(builder);
/// ```
///
/// In serde `deny_list`: a map of `token_lifetime_seconds`, `max_entries` and `use_last_list_seconds`, which may be
/// empty. The store is code: [`OAuth2Builder::revocation_store`](crate::OAuth2Builder::revocation_store).
#[derive(Clone)]
#[must_use = "it has no effect until it is passed to a builder"]
pub struct DenyList {
    store: Option<Arc<dyn RevocationStore>>,
    pub(crate) when_unavailable: WhenUnavailable,
    pub(crate) token_lifetime: Duration,
    pub(crate) max_entries: usize,
    /// The list of the first policy that was built with these settings.
    list: Arc<Mutex<Option<Arc<Revocations>>>>,
}

/// What happens to requests while the store of a deny list cannot be reached: see
/// [`DenyList::when_unavailable`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenUnavailable {
    /// Requests with a token get 503, and sessions and streams end, once the list is 3 s old. The list is loaded every
    /// 500 ms, so a single load that fails has no effect.
    #[default]
    Refuse,
    /// The last known list is used until it is this old: from 3 s to 24 hours. Then as with
    /// [`Refuse`](Self::Refuse). Until then, a token that another process has revoked is accepted.
    UseLastList(Duration),
}

impl WhenUnavailable {
    /// Returns how old the list may be.
    pub(super) fn max_age(self) -> Duration {
        match self {
            Self::Refuse => GRACE,
            Self::UseLastList(age) => age.max(GRACE),
        }
    }
}

impl DenyList {
    /// Returns a list in the memory of the process. Other processes do not see its entries, and it is empty after a
    /// restart: then tokens that were revoked are accepted until they expire.
    pub fn new() -> Self {
        Self {
            store: None,
            when_unavailable: WhenUnavailable::default(),
            token_lifetime: DEFAULT_TOKEN_LIFETIME,
            max_entries: DEFAULT_MAX_ENTRIES,
            list: Arc::default(),
        }
    }

    /// Returns a list that several processes share through a store. An entry reaches each of them within a second, and
    /// the first load takes as long as the store needs for all entries. Until the first load has completed, requests with a
    /// token get 503.
    ///
    /// ```
    /// use oauth2_actix::revocation::{DenyList, MemoryRevocationStore};
    ///
    /// let deny_list = DenyList::with_store(MemoryRevocationStore::new());
    /// # drop(deny_list);
    /// ```
    pub fn with_store(store: impl RevocationStore) -> Self {
        Self::new().with(store)
    }

    /// Replaces the store. The result is a separate list.
    pub(crate) fn with(self, store: impl RevocationStore) -> Self {
        Self { store: Some(Arc::new(store)), list: Arc::default(), ..self }
    }

    pub(crate) fn has_store(&self) -> bool {
        self.store.is_some()
    }

    /// Sets what happens while the store cannot be reached. Default [`WhenUnavailable::Refuse`]. In serde
    /// `use_last_list_seconds`, from 3 s to 24 hours.
    ///
    /// ```
    /// use std::time::Duration;
    /// use oauth2_actix::revocation::{DenyList, MemoryRevocationStore, WhenUnavailable};
    ///
    /// let five_minutes = WhenUnavailable::UseLastList(Duration::from_secs(300));
    /// let deny_list =
    ///     DenyList::with_store(MemoryRevocationStore::new()).when_unavailable(five_minutes);
    /// # drop(deny_list);
    /// ```
    pub fn when_unavailable(mut self, when: WhenUnavailable) -> Self {
        self.when_unavailable = when;
        self
    }

    /// Sets the longest lifetime of the tokens of your issuers: from issue to expiry, with the leeway. Default 24 hours;
    /// from 1 s to 365 days. In serde `token_lifetime_seconds`.
    ///
    /// A [`Revocation`](super::Revocation) without [`until`](super::Revocation::until) expires after this time. A token with
    /// a longer lifetime is then accepted again. The first such token is logged at level warn.
    pub fn token_lifetime(mut self, lifetime: Duration) -> Self {
        self.token_lifetime = lifetime;
        self
    }

    /// Sets how many entries the list may have. Default 100,000; from 1 to 10,000,000. In serde `max_entries`.
    ///
    /// An entry takes about 130 bytes in each process. If the list is full, [`OAuth2::revoke`](crate::OAuth2::revoke)
    /// fails: no entry is removed before it expires.
    pub fn max_entries(mut self, entries: usize) -> Self {
        self.max_entries = entries;
        self
    }

    /// Returns the list at run time. The first call starts it; the policies that share the list have one clock.
    pub(crate) fn start(&self, clock: &Clock) -> io::Result<Arc<Revocations>> {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(list) = &*list {
            return Ok(Arc::clone(list));
        }
        let limits = Limits {
            token_lifetime: self.token_lifetime,
            max_entries: self.max_entries,
            max_age: self.when_unavailable.max_age(),
        };
        let started = Revocations::start(limits, self.store.clone(), clock.clone())?;
        *list = Some(Arc::clone(&started));
        Ok(started)
    }
}

impl Default for DenyList {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for DenyList {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("DenyList")
            .field("has_store", &self.store.is_some())
            .field("when_unavailable", &self.when_unavailable)
            .field("token_lifetime", &self.token_lifetime)
            .field("max_entries", &self.max_entries)
            .finish_non_exhaustive()
    }
}

/// How old the list may be with [`WhenUnavailable::Refuse`]: time for a load that fails, and for the next one.
pub(crate) const GRACE: Duration = Duration::from_secs(3);

const DEFAULT_TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
const DEFAULT_MAX_ENTRIES: usize = 100_000;
