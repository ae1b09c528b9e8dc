//! The session itself, and the task that ends it.

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
    request::bearer::Credentials,
    token::claims::Claims,
};

/// A WebSocket session that ends with its token. A clone is of the same session, and can be sent to other
/// threads.
#[derive(Clone)]
pub struct Session {
    inner: actix_ws::Session,
    shared: Arc<Shared>,
}

impl Session {
    pub(super) fn new(inner: actix_ws::Session, shared: Arc<Shared>) -> Self {
        Self { inner, shared }
    }

    /// The claims of the token that counts now: the last one that renewed the session.
    #[must_use]
    pub fn claims(&self) -> Claims {
        self.shared.state.claims()
    }

    /// Whether it was ended for its token. Nothing can be sent then.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        *self.shared.state.ended.borrow()
    }

    /// Lets a fresh token decide from now on when the session ends. The token may come as the application
    /// likes, in a message mostly.
    ///
    /// It must be of the same provider, issuer and subject, and meet what [`Upgrade::require`](super::Upgrade::require)
    /// demands. What handlers and macros have asked of the first one is not asked again.
    ///
    /// # Errors
    ///
    /// Why it is refused, [`ErrorKind::SubjectMismatch`] among the reasons. The session goes on until the
    /// token that it has ends.
    pub async fn renew(&self, oauth2: &OAuth2, token: &str) -> Result<Claims, Error> {
        let renewed = oauth2.verify(token).await?;
        let state = &self.shared.state;
        let current = state.claims();
        let is_same = renewed.provider() == current.provider()
            && renewed.issuer() == current.issuer()
            && renewed.subject().is_some()
            && renewed.subject() == current.subject();
        if !is_same {
            return Err(ErrorKind::SubjectMismatch.into());
        }
        if let Some(requirement) = &state.requirement {
            renewed.require(requirement)?;
        }
        {
            let mut current = state.lock();
            if self.has_ended() {
                let accepted = current.claims.verified();
                let now = accepted.clock.unix_time();
                return Err(accepted.lifetime.reason(&accepted.claims, now).into());
            }
            *current = Current { claims: renewed.clone(), renewal_token: Some(token.into()) };
        }
        state.renewed.notify_one();
        Ok(renewed)
    }

    /// Sends a text.
    ///
    /// # Errors
    ///
    /// [`Closed`]: the session has ended, or the client has gone.
    pub async fn text(&mut self, text: impl Into<ByteString>) -> Result<(), Closed> {
        unless_ended(self.shared.state.ended.subscribe(), self.inner.text(text)).await
    }

    /// Sends bytes.
    ///
    /// # Errors
    ///
    /// [`Closed`]: the session has ended, or the client has gone.
    pub async fn binary(&mut self, bytes: impl Into<Bytes>) -> Result<(), Closed> {
        unless_ended(self.shared.state.ended.subscribe(), self.inner.binary(bytes)).await
    }

    /// Sends a ping of at most 125 bytes.
    ///
    /// # Errors
    ///
    /// [`Closed`]: the session has ended, or the client has gone.
    pub async fn ping(&mut self, bytes: &[u8]) -> Result<(), Closed> {
        unless_ended(self.shared.state.ended.subscribe(), self.inner.ping(bytes)).await
    }

    /// Answers a ping.
    ///
    /// # Errors
    ///
    /// [`Closed`]: the session has ended, or the client has gone.
    pub async fn pong(&mut self, bytes: &[u8]) -> Result<(), Closed> {
        unless_ended(self.shared.state.ended.subscribe(), self.inner.pong(bytes)).await
    }

    /// Closes it for a reason of yours.
    ///
    /// # Errors
    ///
    /// [`Closed`]: the session has ended before, or the client has gone.
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

/// A client that reads nothing holds up no handler beyond the end.
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

/// What a session's handles share. With the last of them, the task that would end it goes.
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
        // What has ended the session has a close frame to send, and ends by itself.
        if !*self.state.ended.borrow() {
            self.watcher.abort();
        }
    }
}

/// A token that is checked again when its keys have changed.
pub(super) struct Revalidation {
    oauth2: OAuth2,
    token: Box<[u8]>,
}

impl Revalidation {
    /// That of a request.
    pub(super) fn new(oauth2: OAuth2, request: &HttpRequest) -> Result<Self, Error> {
        let token = oauth2.0.credentials(request.head())?.0.as_bytes().into();
        Ok(Self { oauth2, token })
    }

    async fn decide(&self) -> Result<Claims, Error> {
        self.oauth2.decide(&Credentials::from_bytes((&*self.token).into(), usize::MAX)?).await
    }
}

/// What decides when a session ends.
pub(super) struct State {
    current: Mutex<Current>,
    requirement: Option<Requirement>,
    renewed: Notify,
    ended: watch::Sender<bool>,
}

/// What counts at present.
struct Current {
    claims: Claims,
    /// The token that renewed the session last, until the task has seen it.
    renewal_token: Option<Box<str>>,
}

impl State {
    pub(super) fn new(claims: Claims, requirement: Option<Requirement>) -> (Arc<Self>, Ended) {
        let (ended, receiver) = watch::channel(false);
        let current = Mutex::new(Current { claims, renewal_token: None });
        (Arc::new(Self { current, requirement, renewed: Notify::new(), ended }), receiver)
    }

    fn claims(&self) -> Claims {
        self.lock().claims.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the end, and ends the session.
    pub(super) async fn watch(
        self: Arc<Self>,
        session: actix_ws::Session,
        mut revalidation: Option<Revalidation>,
    ) {
        let reason = loop {
            let (claims, reason) = self.wait_for_end(&mut revalidation).await;
            // The handler hears of it first: it sends and hears nothing from now on.
            if self.end_if_current(&claims) {
                break reason;
            }
        };
        tracing::debug!(target: "oauth2_actix", reason = %reason, "a WebSocket session ends");
        let (code, reason) = reason.answer().close;
        let reason = CloseReason { code: code.into(), description: Some(reason.to_owned()) };
        // For a client that reads what it was sent before. Others get none.
        let _ = timeout(CLOSE_TIMEOUT, session.close(Some(reason))).await;
    }

    /// Ends it, unless another token counts by now: who was told that it is renewed can rely on it.
    fn end_if_current(&self, claims: &Claims) -> bool {
        let current = self.lock();
        let is_current = Arc::ptr_eq(current.claims.shared(), claims.shared());
        if is_current {
            self.ended.send_replace(true);
        }
        is_current
    }

    /// Whose time is over when it ends, and why.
    async fn wait_for_end(&self, revalidation: &mut Option<Revalidation>) -> (Claims, Error) {
        let mut changes = revalidation
            .as_ref()
            .and_then(|revalidation| revalidation.oauth2.0.key_changes(self.claims().verified()));
        loop {
            let (claims, renewal_token) = {
                let mut current = self.lock();
                // Whether anybody follows it or not, nobody else wants it.
                (current.claims.clone(), current.renewal_token.take())
            };
            let accepted = claims.verified();
            let mut expired = pin!(accepted.expired());
            let next_check = accepted.clock.monotonic() + CHECK_INTERVAL;
            if let Some(changes) = &mut changes {
                changes.borrow_and_update();
            }
            if let Some(revalidation) = revalidation {
                if let Some(token) = renewal_token {
                    revalidation.token = token.into_boxed_bytes();
                }
                if !revalidation.oauth2.0.still_accepts(accepted) {
                    // Keys may have to be waited for: neither beyond the end, nor for a token that was renewed.
                    tokio::select! {
                        biased;
                        reason = &mut expired => return (claims.clone(), reason.into()),
                        () = self.renewed.notified() => continue,
                        decided = revalidation.decide() => match decided {
                            Ok(renewed) => self.replace(&claims, renewed),
                            Err(reason) => return (claims.clone(), reason),
                        },
                    }
                }
            }
            tokio::select! {
                biased;
                reason = expired => return (claims.clone(), reason.into()),
                () = self.renewed.notified() => {}
                () = changed(&mut changes) => {}
                () = accepted.clock.sleep_until(next_check), if revalidation.is_some() => {}
            }
        }
    }

    /// Another check of the same token counts from now on, unless another token does.
    fn replace(&self, before: &Claims, renewed: Claims) {
        let mut current = self.lock();
        if Arc::ptr_eq(current.claims.shared(), before.shared()) {
            current.claims = renewed;
        }
    }
}

/// Never, if there are none to come.
async fn changed(changes: &mut Option<watch::Receiver<()>>) {
    match changes {
        Some(receiver) => {
            if receiver.changed().await.is_err() {
                // The tenant has gone. It is looked for once more, and then only now and then.
                *changes = None;
            }
        }
        None => std::future::pending().await,
    }
}

/// For the close frame to be taken.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Between two checks of a followed token whose keys report no change: a tenant may have another provider.
const CHECK_INTERVAL: Duration = Duration::from_secs(60);

/// Says true once the session has ended.
pub(super) type Ended = watch::Receiver<bool>;
