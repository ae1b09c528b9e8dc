//! The interface of a list that several processes share.

use std::error::Error;

use futures_util::future::BoxFuture;

use super::entry::RevocationEntry;

/// A list of revocations that several processes share. Each process has a copy in memory, so no request waits for the store.
///
/// A store never removes an entry before [`RevocationEntry::until`], and never loses one that it has confirmed. If its
/// server loses data nevertheless, the processes that have the entry add it again.
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use futures_util::{FutureExt, future::BoxFuture};
/// use oauth2_actix::revocation::{
///     DenyList, LoadedEntries, RevocationEntry, RevocationStore, StoreError,
/// };
///
/// /// A table of a database, of which this one is a model.
/// #[derive(Clone, Default)]
/// struct Rows(Arc<Mutex<Vec<RevocationEntry>>>);
///
/// impl RevocationStore for Rows {
///     fn add(&self, entry: RevocationEntry) -> BoxFuture<'static, Result<(), StoreError>> {
///         let rows = self.clone();
///         async move {
///             rows.0.lock().unwrap().push(entry);
///             Ok(())
///         }
///         .boxed()
///     }
///
///     fn load(
///         &self,
///         after: Option<&[u8]>,
///     ) -> BoxFuture<'static, Result<LoadedEntries, StoreError>> {
///         let rows = self.clone();
///         let first = after.and_then(|position| position.try_into().ok().map(u64::from_be_bytes));
///         async move {
///             let rows = rows.0.lock().unwrap();
///             let position = (rows.len() as u64).to_be_bytes();
///             Ok(match first.and_then(|first| rows.get(first as usize..)) {
///                 Some(later) => LoadedEntries::later(later.to_vec(), position),
///                 None => LoadedEntries::all(rows.clone(), position),
///             })
///         }
///         .boxed()
///     }
/// }
///
/// let deny_list = DenyList::with_store(Rows::default());
/// # drop(deny_list);
/// ```
pub trait RevocationStore: Send + Sync + 'static {
    /// Adds an entry. Completes once every later [`load`](Self::load) of every process returns it. An entry that the store
    /// has may be added again.
    ///
    /// After 5 s without a response, it counts as failed.
    ///
    /// # Errors
    ///
    /// Any error. [`OAuth2::revoke`](crate::OAuth2::revoke) returns it, and the entry is added again later.
    fn add(&self, entry: RevocationEntry) -> BoxFuture<'static, Result<(), StoreError>>;

    /// Loads the entries that were added after a position, which an earlier load has returned. Without a position, or
    /// if the store cannot tell what was added after it, loads all entries that have not expired. Many entries are loaded
    /// in pages: see [`LoadedEntries::with_more`].
    ///
    /// Positions follow the order in which additions are committed: once a load has returned a position, no entry may
    /// appear before it, because it would never be loaded. The numbers that a database assigns to rows (`AUTO_INCREMENT`,
    /// `SERIAL`) do not follow this order, since a transaction with a lower number may commit later. Lock the table for an
    /// addition, or load again what may have been committed since: an entry may be loaded several times.
    ///
    /// It is called every 500 ms, and after [`changed`](Self::changed). After 2 s without a response, it counts as failed,
    /// and the next load begins at the last position.
    ///
    /// # Errors
    ///
    /// Any error: it is logged, and
    /// [`DenyList::when_unavailable`](super::DenyList::when_unavailable) says what happens to requests.
    fn load(&self, after: Option<&[u8]>) -> BoxFuture<'static, Result<LoadedEntries, StoreError>>;

    /// Sets [`max_entries`](super::DenyList::max_entries) of the list that uses the store. It is called once for each list,
    /// before the other methods. A store may let [`add`](Self::add) fail when it has twice as many entries, since no list
    /// can load more. Default: does nothing.
    fn set_max_entries(&self, max_entries: usize) {
        let _ = max_entries;
    }

    /// Completes when another process has probably added an entry, which is then loaded at once instead of within
    /// 500 ms. Default: never.
    fn changed(&self) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}

/// The error of a [`RevocationStore`].
pub type StoreError = Box<dyn Error + Send + Sync>;

/// What [`RevocationStore::load`] has loaded.
#[derive(Clone, Debug)]
pub struct LoadedEntries {
    pub(super) entries: Vec<RevocationEntry>,
    pub(super) position: Vec<u8>,
    /// Whether all entries are loaded, beginning with these.
    pub(super) is_complete: bool,
    pub(super) has_more: bool,
}

impl LoadedEntries {
    /// All entries of the store that have not expired, or the first page of them. An entry that the process has and that is
    /// not among them counts as lost, and is added again.
    ///
    /// The position is the one after them, in any form that the store can read.
    ///
    /// ```
    /// use oauth2_actix::revocation::LoadedEntries;
    ///
    /// let nothing = LoadedEntries::all(Vec::new(), *b"0");
    /// # drop(nothing);
    /// ```
    #[must_use]
    pub fn all(entries: Vec<RevocationEntry>, position: impl Into<Vec<u8>>) -> Self {
        Self { entries, position: position.into(), is_complete: true, has_more: false }
    }

    /// The entries after the position that was passed to the load. They may include entries that were loaded before.
    ///
    /// ```
    /// use oauth2_actix::revocation::LoadedEntries;
    ///
    /// let nothing = LoadedEntries::later(Vec::new(), *b"17");
    /// # drop(nothing);
    /// ```
    #[must_use]
    pub fn later(entries: Vec<RevocationEntry>, position: impl Into<Vec<u8>>) -> Self {
        Self { entries, position: position.into(), is_complete: false, has_more: false }
    }

    /// Notes that these entries are a page, and that more follow after its position. The next page is loaded at once, with
    /// the position of this one and a separate time limit. The list is used after the last page.
    ///
    /// A page has at least one entry, since its position must be another one than that of the page before.
    ///
    /// ```
    /// use oauth2_actix::revocation::{LoadedEntries, RevocationEntry};
    ///
    /// fn page(entries: Vec<RevocationEntry>, last_number: u64, is_last: bool) -> LoadedEntries {
    ///     let page = LoadedEntries::later(entries, last_number.to_be_bytes());
    ///     if is_last { page } else { page.with_more() }
    /// }
    /// # drop(page(Vec::new(), 0, true));
    /// ```
    #[must_use]
    pub fn with_more(mut self) -> Self {
        self.has_more = true;
        self
    }
}
