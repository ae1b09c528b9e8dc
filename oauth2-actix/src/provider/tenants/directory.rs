//! The policy's side of the tenants: finds the result of an earlier lookup, and waits for a new one.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio::sync::{Semaphore, mpsc, oneshot};

use super::{
    lookups::{LookupRequest, Lookups},
    table::{IssuerLookup, Table},
};
use crate::{
    config::tenants::Tenants,
    keys::{fetcher::Fetchers, remote::MAX_WAITERS},
    provider::{Defaults, ResolvedProvider},
};

#[derive(Debug)]
pub(crate) struct Directory {
    table: Arc<Table>,
    requests: mpsc::UnboundedSender<LookupRequest>,
    /// Bounds the requests that wait for an issuer which is not in the table.
    unknown_issuer_waiters: Arc<Semaphore>,
}

impl Directory {
    /// Returns the directory, and the future that runs its lookups.
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
        let unknown_issuer_waiters = Arc::new(Semaphore::new(MAX_WAITERS));
        (Self { table, requests, unknown_issuer_waiters }, lookups.run(inbox))
    }

    /// Returns the current result for an issuer. Requests a refresh in the background if one is due.
    pub(crate) fn find(&self, issuer: &str) -> IssuerLookup {
        if issuer.len() > MAX_ISSUER {
            return IssuerLookup::NotATenant;
        }
        let (found, is_due) = self.table.find(issuer);
        if is_due {
            // There is one refresh at a time for each tenant, so it needs no permit.
            let issuer = issuer.to_owned();
            let _ = self.requests.send(LookupRequest {
                issuer,
                is_refresh: true,
                reply: None,
                permit: None,
            });
        }
        found
    }

    /// Requests a lookup of an issuer, without waiting for it.
    pub(crate) fn request_lookup(&self, issuer: &str) {
        self.send_request(issuer, None);
    }

    /// Looks an issuer up, and waits for the result.
    pub(crate) async fn look_up(&self, issuer: &str) -> IssuerLookup {
        let (reply, response) = oneshot::channel();
        self.send_request(issuer, Some(reply));
        response.await.unwrap_or(IssuerLookup::Unavailable(Duration::ZERO))
    }

    /// Sends a request. Drops the reply if too many requests wait already: for this tenant, or for all
    /// unknown issuers together.
    fn send_request(&self, issuer: &str, reply: Option<oneshot::Sender<IssuerLookup>>) {
        let waiters = self.table.waiters(issuer);
        let waiters = waiters.unwrap_or_else(|| Arc::clone(&self.unknown_issuer_waiters));
        let Ok(permit) = waiters.try_acquire_owned() else {
            tracing::debug!(target: "oauth2_actix", "too many requests wait for lookups of tenants");
            return;
        };
        let (issuer, permit) = (issuer.to_owned(), Some(permit));
        let _ = self.requests.send(LookupRequest { issuer, is_refresh: false, reply, permit });
    }

    /// Returns the tenants in the table.
    pub(crate) fn tenants(&self) -> Vec<Arc<ResolvedProvider>> {
        self.table.tenants()
    }
}

/// The longest issuer that is looked up, in bytes.
const MAX_ISSUER: usize = 512;
