//! One call for concurrent requests with the same content.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Semaphore, watch};

use crate::outbound::thread::CallThread;

/// The identity of a call: a SHA-256 of everything that the result depends on.
pub(crate) type CallKey = [u8; 32];

/// The calls of one kind that are in progress, each with the requests that wait for it.
pub(crate) struct SharedCalls<T> {
    in_progress: Arc<Mutex<HashMap<CallKey, watch::Receiver<Option<T>>>>>,
    calls: Arc<Semaphore>,
    waiters: Semaphore,
}

/// Why a request gets no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SharedCallError {
    /// Too many calls are in progress, or too many requests wait for them.
    TooMany,
    /// The call has panicked, or the policy was dropped.
    Cancelled,
}

impl<T: Clone + Send + Sync + 'static> SharedCalls<T> {
    /// Allows this many calls at once, and requests that wait for them.
    pub(crate) fn new(calls: usize, waiters: usize) -> Self {
        Self {
            in_progress: Arc::default(),
            calls: Arc::new(Semaphore::new(calls)),
            waiters: Semaphore::new(waiters),
        }
    }

    /// Waits for the result of a call. If no call with this key is in progress, one is started.
    pub(crate) async fn result<F>(
        &self,
        thread: &CallThread,
        id: CallKey,
        call: impl FnOnce() -> F,
    ) -> Result<T, SharedCallError>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let Ok(_waiter) = self.waiters.try_acquire() else { return Err(SharedCallError::TooMany) };
        let mut result = self.start(thread, id, call)?;
        let result = result.wait_for(Option::is_some).await;
        result.ok().and_then(|result| result.clone()).ok_or(SharedCallError::Cancelled)
    }

    /// Starts a call unless one with the same key is in progress. The caller does not have to wait for it.
    pub(crate) fn start<F>(
        &self,
        thread: &CallThread,
        id: CallKey,
        call: impl FnOnce() -> F,
    ) -> Result<watch::Receiver<Option<T>>, SharedCallError>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut in_progress = lock(&self.in_progress);
        if let Some(call) = in_progress.get(&id) {
            return Ok(call.clone());
        }
        let Ok(permit) = Arc::clone(&self.calls).try_acquire_owned() else {
            return Err(SharedCallError::TooMany);
        };
        let (sender, receiver) = watch::channel(None);
        in_progress.insert(id, receiver.clone());
        drop(in_progress);
        let entry = Entry { in_progress: Arc::clone(&self.in_progress), id };
        let call = call();
        thread.spawn(async move {
            let result = call.await;
            // Removed before the result is sent, so that a request which has seen the result starts another call.
            drop(entry);
            drop(permit);
            sender.send_replace(Some(result));
        });
        Ok(receiver)
    }

    /// Returns the number of calls in progress.
    pub(crate) fn in_progress(&self) -> usize {
        lock(&self.in_progress).len()
    }
}

/// The entry of a call in progress, which ends with the call, also if that panics.
struct Entry<T> {
    in_progress: Arc<Mutex<HashMap<CallKey, watch::Receiver<Option<T>>>>>,
    id: CallKey,
}

impl<T> Drop for Entry<T> {
    fn drop(&mut self) {
        lock(&self.in_progress).remove(&self.id);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // It holds whole entries, which no panic leaves half written.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;
    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn requests_with_one_key_share_one_call() {
        let thread = CallThread::start().expect("a thread");
        let calls: SharedCalls<usize> = SharedCalls::new(4, 100);
        let (count, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let call = || {
            let (count, gate) = (Arc::clone(&count), Arc::clone(&gate));
            async move {
                gate.notified().await;
                count.fetch_add(1, Ordering::SeqCst) + 1
            }
        };
        let waiting = join_all((0..50).map(|_| calls.result(&thread, [1; 32], call)));
        let opened = async {
            tokio::task::yield_now().await;
            gate.notify_one();
        };
        let (results, ()) = tokio::join!(waiting, opened);
        assert!(results.iter().all(|result| *result == Ok(1)), "{results:?}");
        assert_eq!(calls.in_progress(), 0);
        gate.notify_one();
        assert_eq!(calls.result(&thread, [1; 32], call).await, Ok(2));
    }

    #[tokio::test]
    async fn more_calls_or_waiters_than_allowed_get_no_result() {
        let thread = CallThread::start().expect("a thread");
        let calls: SharedCalls<()> = SharedCalls::new(1, 1);
        let _running = calls.start(&thread, [1; 32], std::future::pending).expect("started");
        assert!(calls.start(&thread, [2; 32], std::future::pending).is_err());
        let never = calls.result(&thread, [1; 32], std::future::pending);
        let too_many = calls.result(&thread, [1; 32], std::future::pending);
        tokio::select! {
            biased;
            _ = never => panic!("the call never ends"),
            result = too_many => assert_eq!(result, Err(SharedCallError::TooMany)),
        }
    }

    #[tokio::test]
    async fn call_that_panics_is_cancelled_and_leaves_no_entry() {
        let thread = CallThread::start().expect("a thread");
        let calls: SharedCalls<()> = SharedCalls::new(1, 10);
        for _ in 0..3 {
            let lost = calls.result(&thread, [1; 32], || async { panic!("a bug") }).await;
            assert_eq!(lost, Err(SharedCallError::Cancelled));
        }
        assert_eq!(calls.result(&thread, [1; 32], || async {}).await, Ok(()));
    }

    #[tokio::test]
    async fn calls_end_with_the_thread() {
        let thread = CallThread::start().expect("a thread");
        let calls: SharedCalls<()> = SharedCalls::new(1, 10);
        let mut call = calls.start(&thread, [1; 32], std::future::pending).expect("started");
        drop(thread);
        assert!(call.wait_for(Option::is_some).await.is_err());
    }
}
