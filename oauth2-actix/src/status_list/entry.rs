//! The status of one token.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::sync::watch;

use super::{List, StatusLists};
use crate::{
    error::{Error, ErrorKind},
    token::status::TokenStatus,
};

/// The entry of a token in a list.
pub(super) struct Entry {
    pub(super) lists: Arc<StatusLists>,
    pub(super) list: Arc<List>,
    pub(super) index: u64,
}

impl TokenStatus for Entry {
    fn check(&self) -> Result<(), Error> {
        let now = self.lists.parts.clock.monotonic();
        let current = self.list.current.load();
        let Some(current) = current.as_ref().filter(|current| now < current.usable_until) else {
            return Err(self.lists.unavailable("its status list is not in memory"));
        };
        self.lists.refresh(&self.list, now);
        match current.statuses.get(self.index) {
            Some(VALID) => Ok(()),
            Some(_) => Err(self.lists.of_provider(ErrorKind::TokenRevoked.into())),
            None => {
                let error = Error::from(ErrorKind::ClaimInvalid { claim: "status" });
                Err(self.lists.of_provider(error.with_expected("an index within the list")))
            }
        }
    }

    fn is_kept(&self) -> bool {
        !self.list.is_removed.load(Ordering::Relaxed)
    }

    fn wait(&self) -> BoxFuture<'static, Result<(), Error>> {
        let (lists, list) = (Arc::clone(&self.lists), Arc::clone(&self.list));
        async move { lists.wait_for(&list).await }.boxed()
    }

    fn request(&self) -> Error {
        self.lists.start(&self.list);
        self.lists.unavailable("its status list is not in memory")
    }

    fn changes(&self) -> watch::Receiver<()> {
        self.list.changes.subscribe()
    }

    fn next_check(&self) -> Duration {
        let refresh_at = Duration::from_millis(self.list.refresh_at.load(Ordering::Relaxed));
        let current = self.list.current.load();
        current.as_ref().map_or(refresh_at, |current| refresh_at.min(current.usable_until))
    }
}

/// The only status with which a token is accepted (§7.1): others are invalid, suspended or unknown.
const VALID: u8 = 0;
