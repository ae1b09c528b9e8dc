//! The one thread on which keys are fetched and tenants are looked up.

use std::{collections::HashSet, io, panic, sync::Arc};

use crate::{
    clock::Clock,
    key_engine::EngineHandle,
    provider_policy::Defaults,
    tenants::{Directory, Tenants},
};

/// The policy's hold on the thread: it ends when this is dropped, whatever is under way.
#[derive(Debug)]
pub(crate) struct KeyThread {
    pub(crate) engine: EngineHandle,
    pub(crate) tenants: Option<Directory>,
}

impl KeyThread {
    /// The tenants come with the names that they may not have.
    pub(crate) fn start(
        defaults: Defaults,
        tenants: Option<(Tenants, HashSet<String>)>,
        clock: Clock,
    ) -> io::Result<Self> {
        let (engine, run_engine) = EngineHandle::new(Arc::clone(&defaults.clients), clock);
        let (tenants, run_lookups) = match tenants {
            None => (None, None),
            Some((tenants, taken)) => {
                let (directory, run) = Directory::new(tenants, defaults, taken, engine.clone());
                (Some(directory), Some(run))
            }
        };
        let (started, start) = std::sync::mpsc::channel();
        std::thread::Builder::new().name("oauth2-keys".into()).spawn(move || {
            match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => {
                    let _ = started.send(Ok(()));
                    let run = async move {
                        // Each ends with the handles to it; the lookups hold one to the engine.
                        if let Some(run_lookups) = run_lookups {
                            tokio::join!(run_engine, run_lookups);
                        } else {
                            run_engine.await;
                        }
                    };
                    let run = panic::AssertUnwindSafe(|| runtime.block_on(run));
                    if panic::catch_unwind(run).is_err() {
                        tracing::error!(
                            target: "oauth2_actix",
                            "the thread that fetches keys has panicked: the keys at hand serve until \
                             they are stale, and none are fetched until a restart"
                        );
                    }
                    // Not to wait for a name that is still being resolved.
                    runtime.shutdown_background();
                }
                Err(error) => {
                    let _ = started.send(Err(error));
                }
            }
        })?;
        start.recv().map_err(io::Error::other)??;
        Ok(Self { engine, tenants })
    }
}
