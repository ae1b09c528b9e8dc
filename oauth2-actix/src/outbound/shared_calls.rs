//! One call for concurrent requests with the same content.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::{Semaphore, watch};

use crate::{keys::remote::MAX_WAITERS, outbound::thread::CallThread, util::clock::Clock};

/// The identity of a call: a SHA-256 of everything that the result depends on.
pub(crate) type CallKey = [u8; 32];

/// The calls of one kind, each with the requests that wait for it. A call beyond the limit waits in a queue: after a restart,
/// many requests need one at the same time.
pub(crate) struct SharedCalls<T> {
    started: Arc<Started<T>>,
    calls: Arc<Semaphore>,
    max_calls: usize,
    waiters: Semaphore,
    clock: Clock,
}

/// The calls in progress or in the queue.
type Started<T> = Mutex<HashMap<CallKey, watch::Receiver<Option<Result<T, SharedCallError>>>>>;

/// Why a request gets no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SharedCallError {
    /// Too many requests wait for calls, or the call has waited in the queue for [`MAX_QUEUE_TIME`].
    TooMany,
    /// The call has panicked, or the policy was dropped.
    Cancelled,
}

impl<T: Clone + Send + Sync + 'static> SharedCalls<T> {
    /// Allows this many concurrent calls. At most [`MAX_WAITERS`] calls wait in the queue, and as many requests wait for them.
    pub(crate) fn new(max_calls: usize, clock: &Clock) -> Self {
        Self {
            started: Arc::default(),
            calls: Arc::new(Semaphore::new(max_calls)),
            max_calls,
            waiters: Semaphore::new(max_calls + MAX_WAITERS),
            clock: clock.clone(),
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
        result.ok().and_then(|result| result.clone()).unwrap_or(Err(SharedCallError::Cancelled))
    }

    /// Starts a call unless one with the same key is in progress. The caller does not have to wait for it.
    pub(crate) fn start<F>(
        &self,
        thread: &CallThread,
        id: CallKey,
        call: impl FnOnce() -> F,
    ) -> Result<watch::Receiver<Option<Result<T, SharedCallError>>>, SharedCallError>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut started = lock(&self.started);
        if let Some(call) = started.get(&id) {
            return Ok(call.clone());
        }
        if started.len() >= self.max_calls + MAX_WAITERS {
            return Err(SharedCallError::TooMany);
        }
        let (sender, receiver) = watch::channel(None);
        started.insert(id, receiver.clone());
        drop(started);
        let entry = Entry { started: Arc::clone(&self.started), id };
        let (calls, clock) = (Arc::clone(&self.calls), self.clock.clone());
        let call = call();
        let last = clock.monotonic().saturating_add(MAX_QUEUE_TIME);
        thread.spawn(async move {
            let permit = tokio::select! {
                biased;
                () = clock.sleep_until(last) => None,
                permit = calls.acquire_owned() => permit.ok(),
            };
            let result = match &permit {
                Some(_) => Ok(call.await),
                None => Err(SharedCallError::TooMany),
            };
            // Removed before the result is sent, so that a request which has seen the result starts another call.
            drop(entry);
            drop(permit);
            sender.send_replace(Some(result));
        });
        Ok(receiver)
    }

    /// Returns the number of calls in progress, without those in the queue.
    pub(crate) fn in_progress(&self) -> usize {
        self.max_calls - self.calls.available_permits()
    }
}

/// The entry of a call, which ends with the call, also if that panics.
struct Entry<T> {
    started: Arc<Started<T>>,
    id: CallKey,
}

impl<T> Drop for Entry<T> {
    fn drop(&mut self) {
        lock(&self.started).remove(&self.id);
    }
}

/// The longest time of a call in the queue.
const MAX_QUEUE_TIME: Duration = Duration::from_secs(5);

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
        let calls: SharedCalls<usize> = SharedCalls::new(4, &Clock::default());
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
    async fn calls_beyond_the_limit_wait_in_a_bounded_queue() {
        let thread = CallThread::start().expect("a thread");
        let calls: SharedCalls<u64> = SharedCalls::new(2, &Clock::default());
        let gate = Arc::new(Semaphore::new(0));
        let key = |number: u64| {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&number.to_le_bytes());
            key
        };
        let call = |number: u64| {
            let gate = Arc::clone(&gate);
            move || async move {
                gate.acquire().await.expect("open").forget();
                number
            }
        };
        let waiting =
            join_all((0..10).map(|number| calls.result(&thread, key(number), call(number))));
        let checked = async {
            while calls.in_progress() < 2 {
                tokio::task::yield_now().await;
            }
            for number in 10..2 + MAX_WAITERS as u64 {
                calls.start(&thread, key(number), call(number)).expect("room in the queue");
            }
            let full = calls.start(&thread, key(9999), call(9999)).map(drop);
            assert_eq!(full, Err(SharedCallError::TooMany));
            assert_eq!(calls.in_progress(), 2);
            gate.add_permits(2 + MAX_WAITERS);
        };
        let (results, ()) = tokio::join!(waiting, checked);
        let expected: Vec<_> = (0..10).map(Ok).collect();
        assert_eq!(results, expected);
    }

    #[cfg(feature = "testing")]
    #[tokio::test]
    async fn call_leaves_the_queue_after_its_time() {
        let clock = crate::util::manual_clock::ManualClock::new();
        let thread = CallThread::start().expect("a thread");
        let calls: SharedCalls<()> = SharedCalls::new(1, &Clock::Manual(clock.clone()));
        let _running = calls.start(&thread, [1; 32], std::future::pending).expect("started");
        while calls.in_progress() == 0 {
            tokio::task::yield_now().await;
        }
        let queued = calls.result(&thread, [2; 32], || async {});
        let advanced = async {
            while clock.sleepers() < 1 {
                tokio::task::yield_now().await;
            }
            clock.advance(MAX_QUEUE_TIME);
        };
        let (result, ()) = tokio::join!(queued, advanced);
        assert_eq!(result, Err(SharedCallError::TooMany));
        assert_eq!(lock(&calls.started).len(), 1);
    }

    #[tokio::test]
    async fn call_that_panics_is_cancelled_and_leaves_no_entry() {
        let thread = CallThread::start().expect("a thread");
        let calls: SharedCalls<()> = SharedCalls::new(1, &Clock::default());
        for _ in 0..3 {
            let lost = calls.result(&thread, [1; 32], || async { panic!("a bug") }).await;
            assert_eq!(lost, Err(SharedCallError::Cancelled));
        }
        assert_eq!(calls.result(&thread, [1; 32], || async {}).await, Ok(()));
    }

    #[tokio::test]
    async fn calls_end_with_the_thread() {
        let thread = CallThread::start().expect("a thread");
        let calls: SharedCalls<()> = SharedCalls::new(1, &Clock::default());
        let mut call = calls.start(&thread, [1; 32], std::future::pending).expect("started");
        drop(thread);
        assert!(call.wait_for(Option::is_some).await.is_err());
    }
}
