//! Requests that wait for keys.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{Answer, FetchRequest, Fetchers, Reply};
use crate::{
    error::Error,
    jose::key_set::{KeySet, SignatureCheck, Tried},
    keys::remote::{FetchReason, GateDecision, Refresh, RemoteKeySet, Snapshot, unavailable},
};

/// The parts of a token that are needed to find its key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TokenParts<'a> {
    pub(crate) kid: Option<&'a str>,
    /// What the signature covers.
    pub(crate) signed: &'a [u8],
    pub(crate) signature: &'a [u8],
}

/// How a wait ended without an error.
enum Waited {
    Fetched {
        snapshot: Arc<Snapshot>,
        after_request: bool,
    },
    /// No fetch may look for the token's key now.
    Cooldown {
        retry_after: Option<Duration>,
    },
}

impl Fetchers {
    /// Waits for keys, and checks a token's signature with them. `arrived` is the ticket of the request.
    ///
    /// A fetch that began before the request arrived may have missed the token's key. If it does not have the key, the
    /// request causes one more fetch.
    pub(crate) async fn wait_for_key(
        &self,
        remote: &Arc<RemoteKeySet>,
        mut reason: FetchReason,
        arrived: u64,
        token: TokenParts<'_>,
        check: impl Fn(&KeySet) -> SignatureCheck,
    ) -> Result<SignatureCheck, Error> {
        let signature = (token.signed, token.signature);
        let mut has_waited = false;
        loop {
            let (snapshot, is_last) = match self.wait(remote, reason, arrived).await? {
                Waited::Fetched { snapshot, after_request } => {
                    let is_last =
                        after_request || has_waited || remote.timing.refresh == Refresh::Never;
                    (snapshot, is_last)
                }
                Waited::Cooldown { retry_after } => {
                    // Another request's fetch may have returned new keys since the first check.
                    let found = match remote.snapshot() {
                        Some(snapshot) => check(&snapshot.keys),
                        None => SignatureCheck::UnknownKey(Tried::default()),
                    };
                    return match (found, retry_after) {
                        (SignatureCheck::UnknownKey(_), Some(wait)) => Err(unavailable(wait)),
                        _ => Ok(found),
                    };
                }
            };
            let found = check(&snapshot.keys);
            if !matches!(found, SignatureCheck::UnknownKey(_)) {
                return Ok(found);
            }
            if is_last {
                // A fetch because of missing keys did not look for this key.
                if matches!(reason, FetchReason::UnknownKey { .. }) {
                    remote.state().missing_kids.insert(token.kid, signature);
                }
                return Ok(found);
            }
            has_waited = true;
            reason = remote.unknown_key(token.kid, signature);
        }
    }

    /// Fetches for the operator: neither backoff nor cooldown applies. With [`FetchReason::Start`], a fetch in
    /// progress is enough.
    pub(crate) async fn fetch_now(
        &self,
        remote: &Arc<RemoteKeySet>,
        reason: FetchReason,
    ) -> Result<(), Error> {
        self.ask(remote, reason, self.ticket(), None).await.map(drop)
    }

    async fn wait(
        &self,
        remote: &Arc<RemoteKeySet>,
        reason: FetchReason,
        arrived: u64,
    ) -> Result<Waited, Error> {
        // A flood of invented key ids, or of requests while there are no keys, ends here and costs the fetcher
        // nothing.
        let decision = remote.state().gate.decide(reason, self.clock.monotonic());
        if decision != GateDecision::Open {
            return held(decision);
        }
        let Ok(permit) = Arc::clone(&remote.waiters).try_acquire_owned() else {
            tracing::debug!(target: "oauth2_actix", provider = %remote.provider, "too many requests wait for keys");
            return Err(unavailable(Duration::ZERO));
        };
        self.ask(remote, reason, arrived, Some(Arc::new(permit))).await
    }

    async fn ask(
        &self,
        remote: &Arc<RemoteKeySet>,
        reason: FetchReason,
        arrived: u64,
        permit: Option<Arc<OwnedSemaphorePermit>>,
    ) -> Result<Waited, Error> {
        loop {
            let (sender, answer) = oneshot::channel();
            let reply = Some(Reply { sender, _permit: permit.clone() });
            self.send(remote, FetchRequest { reason, arrived, reply });
            // The fetcher drops what it cannot answer.
            let Ok(answer) = answer.await else { return Err(unavailable(Duration::ZERO)) };
            match answer {
                // That fetch began before this request arrived. The next one begins after it.
                Answer::Fetched { after_request: false, .. }
                | Answer::Failed { after_request: false, .. }
                    if reason == FetchReason::Fresh => {}
                Answer::Fetched { snapshot, after_request } => {
                    return Ok(Waited::Fetched { snapshot, after_request });
                }
                Answer::Failed { retry_after, .. } => return Err(unavailable(retry_after)),
                Answer::Held(decision) => return held(decision),
            }
        }
    }
}

/// Returns the result for a request that may not cause a fetch.
fn held(decision: GateDecision) -> Result<Waited, Error> {
    match decision {
        GateDecision::Cooldown { retry_after } => Ok(Waited::Cooldown { retry_after }),
        GateDecision::Backoff(wait) => Err(unavailable(wait)),
        GateDecision::Open => Err(unavailable(Duration::ZERO)),
    }
}
