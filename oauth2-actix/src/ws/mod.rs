//! WebSocket sessions that end with their token.
//!
//! A WebSocket outlives the request that opened it, and by default also its token. [`upgrade`] wraps
//! [`actix_ws`]: the session is closed with 1008 `token expired` at `exp` plus the leeway, even while the
//! handler is busy, unless the client has sent a fresh token before and the handler passed it to
//! [`Session::renew`].
//!
//! ```
//! use actix_web::{Error, HttpRequest, HttpResponse, get, rt, web};
//! use oauth2_actix::{OAuth2, requirement, ws::{self, Message}};
//!
//! #[get("/chat")]
//! async fn chat(
//!     request: HttpRequest,
//!     body: web::Payload,
//!     oauth2: web::Data<OAuth2>,
//! ) -> Result<HttpResponse, Error> {
//!     let (response, mut session, mut messages) = ws::upgrade(&request, body)
//!         .protocols(["chat"])
//!         .require(requirement::scopes(["chat"]))
//!         .start()?;
//!     rt::spawn(async move {
//!         // Ends when the client disconnects, and when the token expires.
//!         while let Some(Ok(message)) = messages.recv().await {
//!             let Message::Text(text) = message else { continue };
//!             let answer = match text.strip_prefix("renew ") {
//!                 Some(token) => match session.renew(&oauth2, token).await {
//!                     Ok(_) => "renewed".into(),
//!                     Err(error) => format!("not renewed: {}", error.description()),
//!                 },
//!                 None => format!("you said {text}"),
//!             };
//!             if session.text(answer).await.is_err() {
//!                 break;
//!             }
//!         }
//!     });
//!     Ok(response)
//! }
//! # fn main() {}
//! ```
//!
//! # What a client sees
//!
//! | Close | When | What to do |
//! | --- | --- | --- |
//! | 1008 `token expired` | at the upgrade, or at `exp` during the session | connect again with a fresh token |
//! | 1008 `token revoked` | at the upgrade, or when the [deny list](crate::revocation) or a [status list](crate::status_list) revokes the token | sign in again |
//! | 1008 `token missing`, `invalid request`, `origin not allowed` | at the upgrade | a mistake of the client: stop |
//! | 1008 `invalid token` | at the upgrade; when [introspection](crate::introspection) reports that the token is not active or not valid any more; when the source of [API keys](crate::api_keys) has no such key any more; when the key is withdrawn ([`Upgrade::revalidate_on_key_change`]) | a fresh token once, then stop |
//! | 1008 `invalid proof` | at the upgrade, without a valid [DPoP](crate::dpop) proof | a new proof once, then stop |
//! | 1008 `nonce required` | at the upgrade, if the DPoP proof needs a nonce | connect again with a proof that has a nonce |
//! | 1008 `insufficient user authentication` | as `insufficient scope` | sign in again, as required |
//! | 1008 `insufficient scope` | at the upgrade, or when claims that introspection reports later do not meet [`Upgrade::require`] | stop, and request more scopes |
//! | 1013 `try again later` | keys, introspection, the deny list, a status list, the source of API keys, the store of used proofs, or a check of the application is not available | connect again after a while |

// Owns the sessions of WebSockets after the handshake. It imports `authorize`, `builder`, `error`, `policy`,
// `request` and `token`.
//
// - this file: completes the handshake and starts a session.
// - `body`: the response body, which stops the watcher when the connection closes.
// - `frames`: rejects a client's frames that are too long, before they are buffered.
// - `messages`: the stream of a client's messages.
// - `session`: the session, and the task that ends it with its token.

mod body;
mod frames;
mod messages;
mod session;

use actix_http::ws::{HandshakeError, verify_handshake};
use actix_web::{HttpRequest, HttpResponse, rt, web::Payload};

pub use self::{messages::MessageStream, session::Session};
/// Re-exports of [`actix_ws`].
pub use actix_ws::{
    AggregatedMessage, CloseCode, CloseReason, Closed, Item, Message, ProtocolError,
};

use self::{
    body::Body,
    frames::MaxFrameSize,
    session::{Revalidation, Shared, State},
};
use crate::{
    authorize::requirement::Requirement, builder::oauth2::OAuth2, request::upgrade::is_handshake,
    token::claims::Claims,
};

/// Prepares a session for a request that [`OAuth2`] accepted. Nothing happens before [`Upgrade::start`].
pub fn upgrade(request: &HttpRequest, body: Payload) -> Upgrade<'_> {
    Upgrade { request, body, protocols: Vec::new(), requirement: None, revalidate_with: None }
}

/// A session that is not started yet: see [`upgrade`].
#[must_use = "nothing happens before `start`"]
pub struct Upgrade<'a> {
    request: &'a HttpRequest,
    body: Payload,
    protocols: Vec<&'a str>,
    requirement: Option<Requirement>,
    revalidate_with: Option<OAuth2>,
}

impl<'a> Upgrade<'a> {
    /// Sets the application protocols that the handler supports. The first of them that the client offers, in
    /// the client's order, is selected and echoed
    /// ([RFC 6455 §4.2.2](https://www.rfc-editor.org/rfc/rfc6455#section-4.2.2)).
    pub fn protocols(mut self, protocols: impl IntoIterator<Item = &'a str>) -> Self {
        self.protocols.extend(protocols);
        self
    }

    /// Sets a requirement on the claims, for the first token and for every token that renews the session.
    /// Attributes and middleware are checked only at the upgrade.
    pub fn require(mut self, requirement: Requirement) -> Self {
        self.requirement = Some(requirement);
        self
    }

    /// Also ends the session when the token would be rejected for another reason than its times: its key was
    /// removed from the provider's key set, its tenant was removed, or the keys are past their stale window.
    ///
    /// A change of keys is detected at once, the others within a minute. By default, an open session lasts
    /// until the token expires, or is rejected by the deny list, a status list, introspection or the source of
    /// API keys.
    pub fn revalidate_on_key_change(mut self, oauth2: &OAuth2) -> Self {
        self.revalidate_with = Some(oauth2.clone());
        self
    }

    /// Completes the handshake. Return the response to actix, and use session and messages to run the
    /// session, usually in its own task.
    ///
    /// # Errors
    ///
    /// An [`Error`](crate::Error) if there are no claims or they do not satisfy the requirement: return it,
    /// and the client gets close 1008. An error of actix if the request is not a handshake.
    pub fn start(self) -> Result<(HttpResponse, Session, MessageStream), actix_web::Error> {
        let claims = Claims::of_request(self.request)?;
        if let Some(requirement) = &self.requirement {
            claims.require(requirement)?;
        }
        if !is_handshake(self.request.head()) {
            verify_handshake(self.request.head())?;
            return Err(HandshakeError::NoWebsocketUpgrade.into());
        }
        let max_frame_size = MaxFrameSize::by_default();
        let body = max_frame_size.limit(self.request, self.body)?;
        let (response, session, messages) =
            actix_ws::handle_with_protocols(self.request, body, &self.protocols)?;
        let revalidation = match self.revalidate_with {
            Some(oauth2) => Some(Revalidation::new(oauth2, self.request)?),
            None => None,
        };
        let (state, ended) = State::new(claims, self.requirement);
        let watcher = rt::spawn(state.clone().watch(session.clone(), revalidation));
        let response = response
            .map_body(|_, body| Body::new(body, watcher.abort_handle(), ended.clone()))
            .map_into_boxed_body();
        let shared = Shared::new(state, watcher);
        let messages = MessageStream::new(messages, max_frame_size, shared.clone(), ended);
        Ok((response, Session::new(session, shared), messages))
    }
}

impl std::fmt::Debug for Upgrade<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Upgrade")
            .field("protocols", &self.protocols)
            .finish_non_exhaustive()
    }
}
