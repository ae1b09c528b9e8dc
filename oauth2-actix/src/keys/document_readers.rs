//! Reads fetched documents outside the thread that fetches the keys of all providers. An attacker who
//! controls a document decides how long it takes to read, within the limits, and must not delay other
//! providers.

use tokio::sync::Semaphore;

/// The reader panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the fetch panicked")]
pub(crate) struct ReaderLost;

/// The limit on concurrent reads of one kind of document in this process.
#[derive(Debug)]
pub(crate) struct Readers(Semaphore);

/// The readers for the keys of configured providers.
pub(crate) static PROVIDER_KEYS: Readers = Readers(Semaphore::const_new(2));

/// The readers for the keys of tenants. They are separate, so that tenants do not delay configured providers.
pub(crate) static TENANT_KEYS: Readers = Readers(Semaphore::const_new(1));

/// The readers for the metadata documents of issuers.
pub(crate) static DISCOVERY: Readers = Readers(Semaphore::const_new(1));

impl Readers {
    /// Runs `read` on a thread that may block, as soon as one of these readers is free. A running `read`
    /// continues if this future is dropped.
    pub(crate) async fn run<T: Send + 'static>(
        &'static self,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ReaderLost> {
        let reader = self.0.acquire().await.map_err(|_| ReaderLost)?;
        let read = tokio::task::spawn_blocking(move || {
            let read = read();
            drop(reader);
            read
        });
        read.await.map_err(|_| ReaderLost)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures_util::FutureExt;

    use super::*;

    /// Runs on a runtime of one thread, like the fetchers.
    #[tokio::test]
    async fn a_slow_document_delays_neither_the_thread_nor_other_readers() {
        static ONE: Readers = Readers(Semaphore::const_new(1));
        static OTHER: Readers = Readers(Semaphore::const_new(1));
        let (release, released) = mpsc::channel();
        let slow = tokio::spawn(ONE.run(move || released.recv().is_ok()));
        let (ran, has_run) = mpsc::channel();
        let mut next = Box::pin(ONE.run(move || ran.send(())));
        // The first read has the only reader of its kind once it was polled.
        tokio::task::yield_now().await;
        assert_eq!(OTHER.run(|| 7).await.expect("read"), 7);
        assert!(next.as_mut().now_or_never().is_none());
        assert!(has_run.try_recv().is_err());
        release.send(()).expect("it waits");
        assert!(slow.await.expect("ended").expect("read"));
        next.await.expect("read").expect("sent");
    }

    #[tokio::test]
    async fn a_panic_and_a_dropped_future_release_their_reader() {
        static ONE: Readers = Readers(Semaphore::const_new(1));
        let panicked = ONE.run(|| panic!("a defect")).await;
        assert!(matches!(panicked, Err::<(), _>(ReaderLost)));
        let (release, released) = mpsc::channel::<()>();
        let mut dropped = Box::pin(ONE.run(move || released.recv().is_ok()));
        assert!(dropped.as_mut().now_or_never().is_none());
        drop(dropped);
        // The read continues.
        release.send(()).expect("it waits");
        assert!(ONE.run(|| true).await.expect("read"));
    }
}
