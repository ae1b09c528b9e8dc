//! The thread that makes calls. actix's workers run one thing at a time, and end their calls when they end.

use std::{io, thread};

use tokio::{runtime::Handle, sync::oneshot, task::JoinHandle};

/// The handle to the thread. The thread ends when the handle is dropped, and so do its calls.
#[derive(Debug)]
pub(crate) struct CallThread {
    runtime: Handle,
    _end: oneshot::Sender<()>,
}

impl CallThread {
    pub(crate) fn start() -> io::Result<Self> {
        let (end, ended) = oneshot::channel::<()>();
        let (started, start) = std::sync::mpsc::channel();
        thread::Builder::new().name("oauth2-calls".into()).spawn(move || {
            match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => {
                    let _ = started.send(Ok(runtime.handle().clone()));
                    // A call that panics ends alone: each is a task.
                    let _ = runtime.block_on(ended);
                    // Does not wait for a name resolution that is in progress.
                    runtime.shutdown_background();
                }
                Err(error) => {
                    let _ = started.send(Err(error));
                }
            }
        })?;
        let runtime = start.recv().map_err(io::Error::other)??;
        Ok(Self { runtime, _end: end })
    }

    /// Runs a call to its end, whether or not anything waits for it.
    pub(crate) fn spawn<F>(&self, call: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.runtime.spawn(call)
    }
}
