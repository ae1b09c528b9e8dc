//! The thread on which keys are fetched and tenants are looked up.

use std::{
    collections::HashSet,
    io, panic,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use crate::{
    config::tenants::Tenants,
    keys::{
        fetcher::Fetchers,
        remote::{FetchReason, Refresh},
    },
    provider::{Defaults, ResolvedProvider, tenants::Directory},
    util::clock::Clock,
};

/// The policy's handle to the thread. The thread ends when the handle is dropped, even during a fetch.
#[derive(Debug)]
pub(crate) struct KeyThread {
    pub(crate) fetchers: Fetchers,
    pub(crate) tenants: Option<Directory>,
}

impl KeyThread {
    /// Starts the thread. Tenants must not use any of the reserved names.
    pub(crate) fn start(
        defaults: Defaults,
        tenants: Option<(Tenants, HashSet<String>)>,
        clock: Clock,
    ) -> io::Result<Self> {
        let (fetchers, run_fetchers) = Fetchers::new(Arc::clone(&defaults.clients), clock);
        let (tenants, run_lookups) = match tenants {
            None => (None, None),
            Some((tenants, reserved_names)) => {
                let (directory, run) =
                    Directory::new(tenants, defaults, reserved_names, fetchers.clone());
                (Some(directory), Some(run))
            }
        };
        let (started, start) = std::sync::mpsc::channel();
        thread::Builder::new().name("oauth2-keys".into()).spawn(move || {
            match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => {
                    let _ = started.send(Ok(()));
                    let run = async move {
                        // Each task ends when all handles to it are dropped; the lookups hold a handle to the
                        // engine.
                        if let Some(run_lookups) = run_lookups {
                            tokio::join!(run_fetchers, run_lookups);
                        } else {
                            run_fetchers.await;
                        }
                    };
                    let run = panic::AssertUnwindSafe(|| runtime.block_on(run));
                    if panic::catch_unwind(run).is_err() {
                        tracing::error!(
                            target: "oauth2_actix",
                            "the thread that fetches keys has panicked: the cached keys are used until \
                             they are stale, and none are fetched until a restart"
                        );
                    }
                    // Does not wait for a name resolution that is in progress.
                    runtime.shutdown_background();
                }
                Err(error) => {
                    let _ = started.send(Err(error));
                }
            }
        })?;
        start.recv().map_err(io::Error::other)??;
        Ok(Self { fetchers, tenants })
    }

    /// Starts the first fetches of a new policy's provider: to refresh its keys, or to replace its initial
    /// keys or its snapshot.
    pub(crate) fn start_fetching(&self, provider: &ResolvedProvider) {
        for remote in provider.remotes() {
            let is_refreshed = matches!(remote.timing.refresh, Refresh::Every(_));
            if is_refreshed || remote.snapshot().is_some() {
                self.fetchers.request_refresh(remote, FetchReason::Missing);
            }
        }
    }

    /// Starts the first fetch of each source that was not fetched yet, without waiting.
    pub(crate) fn fetch_first(&self, provider: &ResolvedProvider) {
        for remote in provider.remotes() {
            if !remote.is_always_fetched() && !remote.was_fetched() {
                self.fetchers.request_refresh(remote, FetchReason::Missing);
            }
        }
    }
}

/// Warns once if a policy is built on a worker of actix-server.
pub(crate) fn warn_on_worker() {
    static WARNED: AtomicBool = AtomicBool::new(false);
    let current = thread::current();
    // actix-server's workers are arbiters of actix-rt, or its own threads if it runs on tokio without
    // actix-rt.
    let is_worker = current.name().is_some_and(|name| {
        name.starts_with("actix-server worker")
            || (name.starts_with("actix-rt|") && name.contains("arbiter"))
    });
    if is_worker && !WARNED.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            target: "oauth2_actix",
            "a policy was built on a worker of actix-server, as in the closure of HttpServer::new: each \
             worker then has its own keys, token cache and store of used proofs, and fetches for itself; build it once before, \
             and clone it in the closure (logged once)"
        );
    }
}
