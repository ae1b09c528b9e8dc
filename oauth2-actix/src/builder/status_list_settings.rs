//! The status lists of providers.

use std::{sync::Arc, time::Duration};

use crate::{
    builder::OAuth2Builder,
    http::client::Clients,
    keys::fetcher::Fetchers,
    outbound::thread::CallThread,
    provider::ResolvedProvider,
    status_list::{Parts, StatusLists},
};

impl OAuth2Builder {
    /// Returns the status lists of each provider, by its index. Empty if none has any.
    pub(super) fn status_lists(
        &self,
        providers: &[Arc<ResolvedProvider>],
        clients: &Arc<Clients>,
        timeout: Duration,
        thread: Option<&Arc<CallThread>>,
        fetchers: Option<&Fetchers>,
    ) -> Vec<Option<Arc<StatusLists>>> {
        let Some(thread) = thread else { return Vec::new() };
        let configured = self.providers.iter().zip(providers);
        let lists = configured.map(|((_, provider), resolved)| {
            let settings = provider.status_list.as_ref()?;
            let parts = Parts {
                provider: Arc::clone(resolved),
                issuers: provider.issuers.clone(),
                dangerous_allow_http: provider.dangerous_allow_http,
                timeout: provider.fetch_timeout.unwrap_or(timeout),
                clients: Arc::clone(clients),
                thread: Arc::clone(thread),
                fetchers: fetchers.cloned(),
                clock: self.clock.clone(),
            };
            Some(Arc::new(StatusLists::new(settings, parts)))
        });
        lists.collect()
    }
}
