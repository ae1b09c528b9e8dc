//! Lists that are loaded in pages.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{FutureExt, future::BoxFuture};
use oauth2_actix::{
    ErrorKind, OAuth2,
    revocation::{
        DenyList, LoadedEntries, Revocation, RevocationEntry, RevocationStore, StoreError,
    },
};
use oauth2_actix_tests::{log, wait::until};

use super::{ISSUER, builder, is_revoked, kind, sign, token};

/// A store of pages, which needs a while for each of them.
#[derive(Clone, Default)]
struct Pages(Arc<State>);

#[derive(Default)]
struct State {
    entries: Mutex<Vec<RevocationEntry>>,
    /// The time of a page, in milliseconds.
    latency: u64,
    /// The page that fails, the first time that it is loaded.
    fails_at: Mutex<Option<usize>>,
    /// The first entry of each page that was loaded.
    loads: Mutex<Vec<usize>>,
    /// Whether each page has the same position.
    is_stuck: AtomicBool,
}

const PAGE: usize = 3;
const SUBJECTS: usize = 18;
const LATENCY: Duration = Duration::from_millis(400);

impl Pages {
    /// A store with the entries of 18 subjects.
    async fn filled(fails_at: Option<usize>) -> Self {
        let added = Self::default();
        let oauth2 = process(&added);
        for sub in 0..SUBJECTS {
            oauth2.revoke(Revocation::subject(ISSUER, &sub.to_string())).await.unwrap();
        }
        let entries = added.0.entries.lock().unwrap().clone();
        Self(Arc::new(State {
            entries: Mutex::new(entries),
            latency: u64::try_from(LATENCY.as_millis()).unwrap(),
            fails_at: Mutex::new(fails_at),
            ..State::default()
        }))
    }

    /// Returns the first entries of the pages that were loaded first.
    fn loads(&self, count: usize) -> Vec<usize> {
        self.0.loads.lock().unwrap()[..count].to_vec()
    }
}

impl RevocationStore for Pages {
    fn add(&self, entry: RevocationEntry) -> BoxFuture<'static, Result<(), StoreError>> {
        self.0.entries.lock().unwrap().push(entry);
        async { Ok(()) }.boxed()
    }

    fn load(&self, after: Option<&[u8]>) -> BoxFuture<'static, Result<LoadedEntries, StoreError>> {
        let (this, is_first) = (self.clone(), after.is_none());
        let first = after.map_or(0, |position| usize::from(position[0]));
        async move {
            tokio::time::sleep(Duration::from_millis(this.0.latency)).await;
            this.0.loads.lock().unwrap().push(first);
            if this.0.fails_at.lock().unwrap().take_if(|page| *page == first / PAGE).is_some() {
                return Err("the connection was lost".into());
            }
            let entries = this.0.entries.lock().unwrap();
            let end = entries.len().min(first + PAGE);
            let page = entries[first..end].to_vec();
            let stuck = this.0.is_stuck.load(Ordering::SeqCst);
            let position = [if stuck { 0 } else { u8::try_from(end).unwrap() }];
            let loaded = match is_first {
                true => LoadedEntries::all(page, position),
                false => LoadedEntries::later(page, position),
            };
            Ok(if end < entries.len() { loaded.with_more() } else { loaded })
        }
        .boxed()
    }
}

fn process(store: &Pages) -> OAuth2 {
    builder().deny_list(DenyList::with_store(store.clone())).build().unwrap()
}

fn of(sub: usize) -> String {
    sign(&token().claim("sub", sub.to_string()))
}

/// The pages together take longer than the time limit of a load.
#[tokio::test]
async fn list_is_loaded_although_its_pages_together_take_long() {
    let store = Pages::filled(None).await;
    let start = Instant::now();
    let oauth2 = process(&store);
    until("the first page", || oauth2.deny_list_status().unwrap().entries > 0).await;
    assert!(!oauth2.is_ready(), "there are more pages");
    assert!(is_revoked(&oauth2, &of(0)).await, "what is known is rejected");
    assert_eq!(kind(&oauth2, &of(SUBJECTS)).await, Some(ErrorKind::RevocationStatusUnavailable));
    until("the last page", || oauth2.is_ready()).await;
    assert!(start.elapsed() > Duration::from_secs(2), "{:?}", start.elapsed());
    assert_eq!(store.loads(6), [0, 3, 6, 9, 12, 15]);
    for sub in 0..SUBJECTS {
        assert!(is_revoked(&oauth2, &of(sub)).await, "{sub}");
    }
    assert!(!is_revoked(&oauth2, &of(SUBJECTS)).await);
}

#[tokio::test]
async fn load_that_was_interrupted_goes_on_at_the_page_that_failed() {
    let store = Pages::filled(Some(3)).await;
    let oauth2 = process(&store);
    until("the last page", || oauth2.is_ready()).await;
    assert_eq!(store.loads(7), [0, 3, 6, 9, 9, 12, 15]);
    assert!(is_revoked(&oauth2, &of(0)).await && is_revoked(&oauth2, &of(SUBJECTS - 1)).await);
    // No entry counts as lost, and none is added again.
    assert_eq!(oauth2.deny_list_status().unwrap().unsaved, 0);
    assert_eq!(store.0.entries.lock().unwrap().len(), SUBJECTS);
}

#[tokio::test]
async fn page_with_the_position_of_the_one_before_is_an_error() {
    log::keep();
    let store = Pages::filled(None).await;
    store.0.is_stuck.store(true, Ordering::SeqCst);
    let oauth2 = process(&store);
    until("it is logged", || {
        !log::lines_with(&["cannot be loaded", "the same position twice"]).is_empty()
    })
    .await;
    assert!(!oauth2.is_ready());
}
