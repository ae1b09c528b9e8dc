//! The session, and the task that ends it.

use std::{
    fmt,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use actix_web::{HttpRequest, web::Bytes};
use actix_ws::{CloseReason, Closed};
use bytestring::ByteString;
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
    time::timeout,
};

use crate::{
    authorize::requirement::Requirement,
    builder::oauth2::OAuth2,
    error::{Error, ErrorKind},
    policy::possession,
    request::bearer::Credentials,
    token::claims::Claims,
};

/// A WebSocket session that ends with its token. A clone is a handle to the same session, and can be sent to
/// other threads.
#[derive(Clone)]
pub struct Session {
    inner: actix_ws::Session,
    shared: Arc<Shared>,
}

impl Session {
    pub(super) fn new(inner: actix_ws::Session, shared: Arc<Shared>) -> Self {
        Self { inner, shared }
    }

    /// Returns the claims of the current token: the last one that renewed the session.
    #[must_use]
    pub fn claims(&self) -> Claims {
        self.shared.state.claims()
    }

    /// Returns whether the session was ended because of its token. Nothing can be sent then.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        *self.shared.state.ended.borrow()
    }

    /// Replaces the session's token with a newer one, whose expiry then ends the session. The
    /// application chooses how a client sends it, usually in a message.
    ///
    /// It must have the same provider, issuer, subject and `act`, be bound to the same key or certificate of the client or
    /// to none as the session's is, be for the same resource if there are several, and satisfy the requirement of
    /// [`Upgrade::require`](super::Upgrade::require). Requirements of handlers and macros are not checked again.
    ///
    /// # Errors
    ///
    /// The reason for which the token is rejected, for example [`ErrorKind::SubjectMismatch`]. The session
    /// continues until its current token expires. If the session has ended, the reason of its end, for example
    /// [`ErrorKind::TokenRevoked`].
    pub async fn renew(&self, oauth2: &OAuth2, token: &str) -> Result<Claims, Error> {
        let renewed = oauth2.decide_text(token).await?;
        let state = &self.shared.state;
        let current = state.claims();
        let is_same = renewed.provider() == current.provider()
            && renewed.issuer() == current.issuer()
            && renewed.subject().is_some()
            && renewed.subject() == current.subject()
            // Another actor may not do what the session's may.
            && renewed.get("act") == current.get("act")
            // The session has shown what its token is bound to. There is no proof of anything else.
            && possession::is_bound_alike(&renewed, &current)
            && oauth2.0.is_for_resources_of(&renewed, &current);
        if !is_same {
            return Err(ErrorKind::SubjectMismatch.into());
        }
        if let Some(requirement) = &state.requirement {
            renewed.require(requirement)?;
        }
        {
            let mut current = state.lock();
            if let Some(reason) = &current.ended_by {
                return Err(reason.clone());
            }
            current.claims = renewed.clone();
            current.renewal_token = Some(token.into());
        }
        state.renewed.notify_one();
        Ok(renewed)
    }

    /// Sends a text.
    ///
    /// # Errors
    ///
    /// [`Closed`]: the session has ended, or the client has disconnected.
    pub async fn text(&mut self, text: impl Into<ByteString>) -> Result<(), Closed> {
        unless_ended(self.shared.state.ended.subscribe(), self.inner.text(text)).await
    }

    /// Sends bytes.
    ///
    /// # Errors
    ///
    /// [`Closed`]: the session has ended, or the client has disconnected.
    pub async fn binary(&mut self, bytes: impl Into<Bytes>) -> Result<(), Closed> {
        unless_ended(self.shared.state.ended.subscribe(), self.inner.binary(bytes)).await
    }

    /// Sends a ping of at most 125 bytes.
    ///
    /// # Errors
    ///
    /// [`Closed`]: the session has ended, or the client has disconnected.
    pub async fn ping(&mut self, bytes: &[u8]) -> Result<(), Closed> {
        unless_ended(self.shared.state.ended.subscribe(), self.inner.ping(bytes)).await
    }

    /// Answers a ping.
    ///
    /// # Errors
    ///
    /// [`Closed`]: the session has ended, or the client has disconnected.
    pub async fn pong(&mut self, bytes: &[u8]) -> Result<(), Closed> {
        unless_ended(self.shared.state.ended.subscribe(), self.inner.pong(bytes)).await
    }

    /// Closes the session with a reason of the application.
    ///
    /// # Errors
    ///
    /// [`Closed`]: the session has ended before, or the client has disconnected.
    pub async fn close(self, reason: Option<CloseReason>) -> Result<(), Closed> {
        unless_ended(self.shared.state.ended.subscribe(), self.inner.close(reason)).await
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Session")
            .field("claims", &self.claims())
            .field("has_ended", &self.has_ended())
            .finish_non_exhaustive()
    }
}

/// Awaits `sent`, or fails as soon as the session ends: a client that reads nothing cannot block the handler any
/// longer.
async fn unless_ended(
    mut ended: Ended,
    sent: impl Future<Output = Result<(), Closed>>,
) -> Result<(), Closed> {
    tokio::select! {
        biased;
        _ = ended.wait_for(|ended| *ended) => Err(Closed),
        sent = sent => sent,
    }
}

/// The data that a session's handles share. Dropping the last handle stops the watcher.
pub(super) struct Shared {
    state: Arc<State>,
    watcher: JoinHandle<()>,
}

impl Shared {
    pub(super) fn new(state: Arc<State>, watcher: JoinHandle<()>) -> Arc<Self> {
        Arc::new(Self { state, watcher })
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // A watcher that has ended the session still sends a close frame, and stops by itself.
        if !*self.state.ended.borrow() {
            self.watcher.abort();
        }
    }
}

/// The token that is checked again when its keys have changed.
pub(super) struct Revalidation {
    oauth2: OAuth2,
    token: Box<[u8]>,
}

impl Revalidation {
    /// Takes the token of a request.
    pub(super) fn new(oauth2: OAuth2, request: &HttpRequest) -> Result<Self, Error> {
        let token = oauth2.0.credentials(request.head())?.0.as_bytes().into();
        Ok(Self { oauth2, token })
    }

    async fn decide(&self) -> Result<Claims, Error> {
        self.oauth2.decide(&Credentials::from_bytes((&*self.token).into(), usize::MAX)?).await
    }
}

/// The state that decides when a session ends.
pub(super) struct State {
    current: Mutex<Current>,
    requirement: Option<Requirement>,
    renewed: Notify,
    ended: watch::Sender<bool>,
}

/// The current token of a session.
struct Current {
    claims: Claims,
    /// The last token that renewed the session, until the watcher takes it.
    renewal_token: Option<Box<str>>,
    /// Why the session has ended.
    ended_by: Option<Error>,
}

impl State {
    pub(super) fn new(claims: Claims, requirement: Option<Requirement>) -> (Arc<Self>, Ended) {
        let (ended, receiver) = watch::channel(false);
        let current = Mutex::new(Current { claims, renewal_token: None, ended_by: None });
        (Arc::new(Self { current, requirement, renewed: Notify::new(), ended }), receiver)
    }

    fn claims(&self) -> Claims {
        self.lock().claims.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the end of the token, and ends the session.
    pub(super) async fn watch(
        self: Arc<Self>,
        session: actix_ws::Session,
        mut revalidation: Option<Revalidation>,
    ) {
        let reason = loop {
            let (claims, reason) = self.wait_for_end(&mut revalidation).await;
            // The handler's side ends first: it can neither send nor receive from now on.
            if self.end_if_current(&claims, &reason) {
                break reason;
            }
        };
        tracing::debug!(target: "oauth2_actix", reason = %reason, "a WebSocket session ends");
        let (code, reason) = reason.answer().close;
        let reason = CloseReason { code: code.into(), description: Some(reason.to_owned()) };
        // Only a client that reads what was sent before gets the close frame.
        let _ = timeout(CLOSE_TIMEOUT, session.close(Some(reason))).await;
    }

    /// Ends the session, unless its token was renewed: a caller of `renew` that got `Ok` can rely on it.
    fn end_if_current(&self, claims: &Claims, reason: &Error) -> bool {
        let mut current = self.lock();
        let is_current = Arc::ptr_eq(current.claims.shared(), claims.shared());
        if is_current {
            current.ended_by = Some(reason.clone());
            self.ended.send_replace(true);
        }
        is_current
    }

    /// Waits until the current token is no longer accepted. Returns its claims and the reason.
    async fn wait_for_end(&self, revalidation: &mut Option<Revalidation>) -> (Claims, Error) {
        let mut changes = revalidation
            .as_ref()
            .and_then(|revalidation| revalidation.oauth2.0.key_changes(self.claims().verified()));
        // Another decision on the same token waits for the next check, also if its answer may not be used again.
        let mut is_just_decided = false;
        loop {
            let (claims, renewal_token) = {
                let mut current = self.lock();
                // Taken even without revalidation, so that the token is not kept.
                (current.claims.clone(), current.renewal_token.take())
            };
            if let (Some(revalidation), Some(token)) = (revalidation.as_mut(), renewal_token) {
                revalidation.token = token.into_boxed_bytes();
            }
            let accepted = claims.verified();
            // It lasts as long as the token, since it counts for how long nothing is known of it.
            let mut ended = pin!(accepted.ended());
            loop {
                let next_check = accepted.clock.monotonic() + CHECK_INTERVAL;
                if let Some(changes) = &mut changes {
                    changes.borrow_and_update();
                }
                let is_decided = std::mem::take(&mut is_just_decided);
                if let Some(revalidation) = revalidation
                    && !is_decided
                    && !revalidation.oauth2.0.still_accepts(accepted)
                {
                    // The check may wait for keys, but not beyond the token's end, nor after a renewal.
                    tokio::select! {
                        biased;
                        reason = &mut ended => return (claims.clone(), reason),
                        () = self.renewed.notified() => break,
                        decided = revalidation.decide() => match decided {
                            Ok(renewed) => match self.replace(&claims, renewed) {
                                Ok(()) => {
                                    is_just_decided = true;
                                    break;
                                }
                                Err(reason) => return (claims.clone(), reason),
                            },
                            // `ended` retries, and ends the session if requests fail for too long.
                            Err(reason)
                                if reason.is_unavailable()
                                    && accepted.verified_by.introspected().is_some() => {}
                            Err(reason) => return (claims.clone(), reason),
                        },
                    }
                }
                tokio::select! {
                    biased;
                    reason = &mut ended => return (claims.clone(), reason),
                    () = self.renewed.notified() => break,
                    () = changed(&mut changes) => {}
                    () = accepted.clock.sleep_until(next_check), if revalidation.is_some() => {}
                }
            }
        }
    }

    /// Replaces the claims by those of another check of the same token, unless the token was renewed. An issuer that was
    /// asked may have given other claims, which must satisfy the requirement too.
    fn replace(&self, before: &Claims, renewed: Claims) -> Result<(), Error> {
        if let Some(requirement) = &self.requirement {
            renewed.require(requirement)?;
        }
        let mut current = self.lock();
        if Arc::ptr_eq(current.claims.shared(), before.shared()) {
            current.claims = renewed;
        }
        Ok(())
    }
}

/// Waits for a change of keys. Never returns if there can be none.
async fn changed(changes: &mut Option<watch::Receiver<()>>) {
    match changes {
        Some(receiver) => {
            if receiver.changed().await.is_err() {
                // The tenant was removed. It is looked up once more at once, and later at each interval.
                *changes = None;
            }
        }
        None => std::future::pending().await,
    }
}

/// The time for a client to read the close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The interval between two checks of a token whose keys report no change: a tenant may have another
/// provider.
const CHECK_INTERVAL: Duration = Duration::from_secs(60);

/// Receives true once the session has ended.
pub(super) type Ended = watch::Receiver<bool>;
