//! A token as the deny list sees it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::{
    entry::{TokenFacts, TokenKeys},
    list::Revocations,
    watchers::Watch,
};
use crate::error::ErrorKind;

/// What a verified token keeps for the deny list, if there is one.
#[derive(Debug)]
pub(crate) struct Revocable {
    list: Arc<Revocations>,
    /// The generation of the list in which the token was not revoked.
    checked: AtomicU64,
    keys: TokenKeys,
}

impl Revocable {
    pub(crate) fn new(list: &Arc<Revocations>, facts: &TokenFacts<'_>) -> Self {
        Self { list: Arc::clone(list), checked: AtomicU64::new(0), keys: TokenKeys::of(facts) }
    }

    /// Checks that no entry revokes the token, and that the list may be used.
    #[inline]
    pub(crate) fn check(&self) -> Result<(), ErrorKind> {
        self.list.check(&self.keys, &self.checked)
    }

    pub(crate) fn list(&self) -> &Arc<Revocations> {
        &self.list
    }

    /// Begins to watch for entries that revoke the token.
    pub(crate) fn watch(&self) -> Watch<'_> {
        self.list.watch(&self.keys)
    }
}

impl Clone for Revocable {
    fn clone(&self) -> Self {
        let checked = AtomicU64::new(self.checked.load(Ordering::Relaxed));
        Self { list: Arc::clone(&self.list), checked, keys: self.keys }
    }
}
