//! The policy's end of the tenants: what is known of an issuer, and a way to wait for more.

use std::{
    collections::HashSet,
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use tokio::sync::{mpsc, oneshot};

use super::{
    lookups::{Ask, Lookups},
    table::{IssuerLookup, Table},
};
use crate::{
    config::tenants::Tenants,
    keys::fetcher::Fetchers,
    provider::{Defaults, ResolvedProvider},
    util::places::Place,
};

#[derive(Debug)]
pub(crate) struct Directory {
    table: Arc<Table>,
    asks: mpsc::UnboundedSender<Ask>,
    /// Of requests whose issuer nothing is known of.
    unknown_issuers: Arc<AtomicUsize>,
}

impl Directory {
    /// The directory, and what makes its lookups, to be run.
    pub(crate) fn new(
        tenants: Tenants,
        defaults: Defaults,
        taken: HashSet<String>,
        fetchers: Fetchers,
    ) -> (Self, impl Future<Output = ()>) {
        let (asks, inbox) = mpsc::unbounded_channel();
        let table = Arc::new(Table::new(&tenants, defaults.timeout, fetchers.clock().clone()));
        let lookups = Lookups::new(tenants.lookup, Arc::clone(&table), defaults, taken, fetchers);
        (Self { table, asks, unknown_issuers: Arc::default() }, lookups.run(inbox))
    }

    /// What is known of an issuer now. Asks for more in the background, where that is due.
    pub(crate) fn find(&self, issuer: &str) -> IssuerLookup {
        if issuer.len() > MAX_ISSUER {
            return IssuerLookup::NotATenant;
        }
        let (found, is_due) = self.table.find(issuer);
        if is_due {
            // One at a time for each tenant, so that it needs no place.
            let issuer = issuer.to_owned();
            let _ = self.asks.send(Ask { issuer, again: true, reply: None, place: None });
        }
        found
    }

    /// Has an issuer looked up, without waiting for it.
    pub(crate) fn poke(&self, issuer: &str) {
        self.ask(issuer, None);
    }

    /// Waits for an issuer to be looked up.
    pub(crate) async fn look_up(&self, issuer: &str) -> IssuerLookup {
        let (reply, answer) = oneshot::channel();
        self.ask(issuer, Some(reply));
        answer.await.unwrap_or(IssuerLookup::Unavailable(Duration::ZERO))
    }

    /// Drops the reply if too many wait already: for this tenant, or for unknown_issuers together.
    fn ask(&self, issuer: &str, reply: Option<oneshot::Sender<IssuerLookup>>) {
        let waiters = self.table.waiters(issuer);
        let Some(place) = Place::take(waiters.as_ref().unwrap_or(&self.unknown_issuers)) else {
            tracing::debug!(target: "oauth2_actix", "too many requests wait for lookups of tenants");
            return;
        };
        let (issuer, place) = (issuer.to_owned(), Some(place));
        let _ = self.asks.send(Ask { issuer, again: false, reply, place });
    }

    /// The tenants at hand.
    pub(crate) fn tenants(&self) -> Vec<Arc<ResolvedProvider>> {
        self.table.tenants()
    }
}

/// Bytes of an issuer that is looked up.
const MAX_ISSUER: usize = 512;
