//! The policy's end of the tenants: what is known of an issuer, and a way to wait for more.

use std::{
    collections::HashSet,
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use tokio::sync::{mpsc, oneshot};

use super::{
    lookups::{LookupRequest, Lookups},
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
    requests: mpsc::UnboundedSender<LookupRequest>,
    /// Of requests whose issuer nothing is known of.
    unknown_issuer_waiters: Arc<AtomicUsize>,
}

impl Directory {
    /// The directory, and what makes its lookups, to be run.
    pub(crate) fn new(
        tenants: Tenants,
        defaults: Defaults,
        reserved_names: HashSet<String>,
        fetchers: Fetchers,
    ) -> (Self, impl Future<Output = ()>) {
        let (requests, inbox) = mpsc::unbounded_channel();
        let table = Arc::new(Table::new(&tenants, defaults.timeout, fetchers.clock().clone()));
        let lookups =
            Lookups::new(tenants.lookup, Arc::clone(&table), defaults, reserved_names, fetchers);
        (Self { table, requests, unknown_issuer_waiters: Arc::default() }, lookups.run(inbox))
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
            let _ = self.requests.send(LookupRequest {
                issuer,
                is_refresh: true,
                reply: None,
                slot: None,
            });
        }
        found
    }

    /// Has an issuer looked up, without waiting for it.
    pub(crate) fn request_lookup(&self, issuer: &str) {
        self.send_request(issuer, None);
    }

    /// Waits for an issuer to be looked up.
    pub(crate) async fn look_up(&self, issuer: &str) -> IssuerLookup {
        let (reply, response) = oneshot::channel();
        self.send_request(issuer, Some(reply));
        response.await.unwrap_or(IssuerLookup::Unavailable(Duration::ZERO))
    }

    /// Drops the reply if too many wait already: for this tenant, or for unknown_issuers together.
    fn send_request(&self, issuer: &str, reply: Option<oneshot::Sender<IssuerLookup>>) {
        let waiters = self.table.waiters(issuer);
        let Some(slot) = Place::take(waiters.as_ref().unwrap_or(&self.unknown_issuer_waiters))
        else {
            tracing::debug!(target: "oauth2_actix", "too many requests wait for lookups of tenants");
            return;
        };
        let (issuer, slot) = (issuer.to_owned(), Some(slot));
        let _ = self.requests.send(LookupRequest { issuer, is_refresh: false, reply, slot });
    }

    /// The tenants at hand.
    pub(crate) fn tenants(&self) -> Vec<Arc<ResolvedProvider>> {
        self.table.tenants()
    }
}

/// Bytes of an issuer that is looked up.
const MAX_ISSUER: usize = 512;
