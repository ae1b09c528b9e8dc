//! One call for all requests that ask the same.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Semaphore, watch};

use crate::outbound::thread::CallThread;

/// The identity of a question: a SHA-256 of all that the answer depends on.
pub(crate) type CallKey = [u8; 32];

/// The calls of one kind that are in progress, each with the requests that wait for it.
pub(crate) struct SharedCalls<T> {
    in_progress: Arc<Mutex<HashMap<CallKey, watch::Receiver<Option<T>>>>>,
    calls: Arc<Semaphore>,
    waiters: Semaphore,
}

/// Why a request gets no answer.
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

    /// Waits for the answer to a question. If no call for it is in progress, one is started.
    pub(crate) async fn answer<F>(
        &self,
        thread: &CallThread,
        id: CallKey,
        call: impl FnOnce() -> F,
    ) -> Result<T, SharedCallError>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let Ok(_waiter) = self.waiters.try_acquire() else { return Err(SharedCallError::TooMany) };
        let mut answer = self.start(thread, id, call)?;
        let answer = answer.wait_for(Option::is_some).await;
        answer.ok().and_then(|answer| answer.clone()).ok_or(SharedCallError::Cancelled)
    }

    /// Starts a call unless one for the same question is in progress. Nothing needs to wait for it.
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
            let answer = call.await;
            // Removed before the answer is sent, so that a request which has seen the answer starts another call.
            drop(entry);
            drop(permit);
            sender.send_replace(Some(answer));
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
        let waiting = join_all((0..50).map(|_| calls.answer(&thread, [1; 32], call)));
        let opened = async {
            tokio::task::yield_now().await;
            gate.notify_one();
        };
        let (answers, ()) = tokio::join!(waiting, opened);
        assert!(answers.iter().all(|answer| *answer == Ok(1)), "{answers:?}");
        assert_eq!(calls.in_progress(), 0);
        gate.notify_one();
        assert_eq!(calls.answer(&thread, [1; 32], call).await, Ok(2));
    }

    #[tokio::test]
    async fn more_calls_or_waiters_than_allowed_get_no_answer() {
        let thread = CallThread::start().expect("a thread");
        let calls: SharedCalls<()> = SharedCalls::new(1, 1);
        let _running = calls.start(&thread, [1; 32], std::future::pending).expect("started");
        assert!(calls.start(&thread, [2; 32], std::future::pending).is_err());
        let never = calls.answer(&thread, [1; 32], std::future::pending);
        let too_many = calls.answer(&thread, [1; 32], std::future::pending);
        tokio::select! {
            biased;
            _ = never => panic!("the call never ends"),
            answer = too_many => assert_eq!(answer, Err(SharedCallError::TooMany)),
        }
    }

    #[tokio::test]
    async fn call_that_panics_is_lost_and_leaves_no_entry() {
        let thread = CallThread::start().expect("a thread");
        let calls: SharedCalls<()> = SharedCalls::new(1, 10);
        for _ in 0..3 {
            let lost = calls.answer(&thread, [1; 32], || async { panic!("a bug") }).await;
            assert_eq!(lost, Err(SharedCallError::Cancelled));
        }
        assert_eq!(calls.answer(&thread, [1; 32], || async {}).await, Ok(()));
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
