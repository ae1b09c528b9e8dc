//! The thread that loads the list from the store. It ends with the list.

use std::{
    io, panic,
    sync::{Arc, Weak},
    thread,
    time::Duration,
};

use futures_util::{StreamExt, stream};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout, timeout_at},
};

use super::{
    entry::RevocationEntry,
    list::Revocations,
    store::{RevocationStore, StoreError},
    table::Table,
};
use crate::util::{clock::Clock, log_rate::Throttle};

/// Starts the thread. It ends when the sender of `woken` is dropped.
pub(super) fn start(
    list: Weak<Revocations>,
    store: Arc<dyn RevocationStore>,
    clock: Clock,
    woken: mpsc::Receiver<()>,
) -> io::Result<()> {
    let (started, start) = std::sync::mpsc::channel();
    thread::Builder::new().name("oauth2-revoked".into()).spawn(move || {
        match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => {
                let _ = started.send(Ok(()));
                let warnings = Throttle::new(clock.clone());
                let mut task = Task {
                    list,
                    store,
                    clock,
                    warnings,
                    position: None,
                    whole: None,
                    ahead: i128::MIN,
                    is_failing: false,
                };
                let run = panic::AssertUnwindSafe(|| runtime.block_on(task.run(woken)));
                if panic::catch_unwind(run).is_err() {
                    tracing::error!(
                        target: "oauth2_actix",
                        "the thread that loads the deny list has panicked: requests with a token get 503 until a \
                         restart, once the list is too old"
                    );
                }
                runtime.shutdown_background();
            }
            Err(error) => {
                let _ = started.send(Err(error));
            }
        }
    })?;
    start.recv().map_err(io::Error::other)?
}

struct Task {
    list: Weak<Revocations>,
    store: Arc<dyn RevocationStore>,
    clock: Clock,
    warnings: Throttle,
    /// The position after the last page that was loaded. Without it, all entries are loaded.
    position: Option<Vec<u8>>,
    /// The entries of the pages so far, while all entries are loaded.
    whole: Option<Table>,
    /// How far the wall clock was ahead of the monotonic clock at most since all entries were loaded, in milliseconds.
    ahead: i128,
    /// Whether an outage was logged, whose end is logged too.
    is_failing: bool,
}

impl Task {
    async fn run(&mut self, mut woken: mpsc::Receiver<()>) {
        loop {
            let began = self.clock.monotonic();
            // Made before the load, so that a change during the load is noticed.
            let changed = self.store.changed();
            let loaded = self.load(began).await;
            let Some(list) = self.list.upgrade() else { return };
            let mut is_unfinished = false;
            match loaded {
                Ok(true) => continue,
                Ok(false) => {
                    if std::mem::take(&mut self.is_failing) {
                        tracing::info!(target: "oauth2_actix", "the deny list can be loaded again");
                    }
                    is_unfinished = self.save(&list).await;
                }
                Err(cause) => {
                    list.note_failure();
                    if self.warnings.allows() {
                        self.is_failing = true;
                        tracing::warn!(
                            target: "oauth2_actix",
                            %cause,
                            "the deny list cannot be loaded: the last known one is used for as long as \
                             `when_unavailable` says, and then requests with a token get 503"
                        );
                    }
                }
            }
            drop(list);
            if is_unfinished {
                continue;
            }
            let next = began + POLL_INTERVAL;
            tokio::select! {
                biased;
                woken = woken.recv() => if woken.is_none() { return },
                // Several changes at once cause one load.
                () = changed => tokio::time::sleep(SHORTEST_INTERVAL).await,
                () = self.clock.sleep_until(next) => {}
            }
        }
    }

    /// Loads a page of what was added since the last time. Returns whether there are more pages.
    async fn load(&mut self, began: Duration) -> Result<bool, StoreError> {
        self.begin_again_after_a_wrong_time();
        let load = self.store.load(self.position.as_deref());
        let loaded = timeout(LOAD_TIMEOUT, load)
            .await
            .unwrap_or_else(|_| Err("no response of the store within 2 s".into()))?;
        let Some(list) = self.list.upgrade() else { return Ok(false) };
        if loaded.has_more && self.position.as_ref() == Some(&loaded.position) {
            self.begin_again();
            return Err("the store returned the same position twice; expected a later one".into());
        }
        if loaded.is_complete {
            self.whole = Some(Table::new());
        }
        if !list.insert_loaded(&loaded.entries) {
            // The next load begins again, when entries have expired.
            self.begin_again();
            let most = list.max_entries().saturating_mul(2);
            return Err(format!(
                "the store has too many entries; expected at most {most}, twice max_entries"
            )
            .into());
        }
        self.ahead = self.ahead.max(self.time_ahead());
        if let Some(whole) = &self.whole {
            let now = list.now();
            loaded.entries.iter().for_each(|entry| {
                whole.insert(entry, now, usize::MAX);
            });
        }
        self.position = Some(loaded.position);
        if loaded.has_more {
            return Ok(true);
        }
        if let Some(whole) = self.whole.take() {
            let missing = list.missing_from(&whole);
            let lost = list.count_confirmed(&missing);
            if lost > 0 {
                tracing::error!(
                    target: "oauth2_actix",
                    entries = lost,
                    "the store of the deny list has lost entries: this process adds those that it has again"
                );
            }
            list.keep_unsaved(missing);
        }
        // Each earlier page has what was added before it, by the order of positions.
        list.note_load(began);
        Ok(false)
    }

    /// Loads all entries again if the wall clock was set back. If it was ahead by mistake, entries were treated as expired.
    fn begin_again_after_a_wrong_time(&mut self) {
        if self.time_ahead().saturating_add(CLOCK_DRIFT) < self.ahead {
            tracing::info!(
                target: "oauth2_actix",
                "the clock was set back: all entries of the deny list are loaded again"
            );
            self.begin_again();
        }
    }

    fn begin_again(&mut self) {
        (self.position, self.whole, self.ahead) = (None, None, i128::MIN);
    }

    fn time_ahead(&self) -> i128 {
        let millis = |time: Duration| i128::try_from(time.as_millis()).unwrap_or(i128::MAX);
        millis(self.clock.unix_time()) - millis(self.clock.monotonic())
    }

    /// Adds entries that the store does not have: as many as it accepts in a short time, since the next load must not be
    /// late. Returns whether more are to be added.
    async fn save(&mut self, list: &Revocations) -> bool {
        let mut entries = list.take_unsaved();
        if entries.is_empty() {
            return false;
        }
        let deadline = Instant::now() + SAVE_TIME;
        let later = entries.split_off(entries.len().min(SAVED_AT_ONCE));
        let store = &self.store;
        let added = stream::iter(entries)
            .map(|entry| async move {
                let added = timeout_at(deadline, store.add(entry)).await;
                (entry, added.unwrap_or_else(|_| Err("no response of the store within 1 s".into())))
            })
            .buffer_unordered(CONCURRENT_ADDITIONS);
        let results: Vec<(RevocationEntry, Result<(), StoreError>)> = added.collect().await;
        let (mut failed, mut cause) = (Vec::new(), None);
        for (entry, result) in results {
            if let Err(error) = result {
                failed.push(entry);
                cause = Some(error);
            }
        }
        let is_unfinished = !later.is_empty() && cause.is_none();
        list.end_saving(failed.into_iter().chain(later));
        if let Some(cause) = cause
            && self.warnings.allows()
        {
            tracing::warn!(
                target: "oauth2_actix",
                %cause,
                "an entry of the deny list cannot be stored: other processes may accept what it revokes"
            );
        }
        is_unfinished
    }
}

/// The time between two loads. An entry reaches each process within this time and that of a load.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// The time between a notice of a change and the load.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

/// How far the wall clock may go back without a new load of all entries, in milliseconds.
const CLOCK_DRIFT: i128 = 1_000;

/// The time for one page. With the one after it, it is within the age that a list may have.
const LOAD_TIMEOUT: Duration = Duration::from_secs(2);

/// How many entries are added between two loads, and how many of them at the same time.
const SAVED_AT_ONCE: usize = 2_000;
const CONCURRENT_ADDITIONS: usize = 32;

/// The time for that.
const SAVE_TIME: Duration = Duration::from_secs(1);
