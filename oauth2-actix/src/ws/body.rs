//! What the session sends, as actix has it: it goes when the connection does.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use actix_web::{
    body::{BodySize, BoxBody, MessageBody},
    web::Bytes,
};
use tokio::task::AbortHandle;

use super::session::Ended;

/// Ends the watch over a session whose connection has gone. That the client sends no more, or nonsense, is
/// no such sign: it may hear for as long as it likes.
pub(super) struct Body {
    body: BoxBody,
    watcher: AbortHandle,
    ended: Ended,
}

impl Body {
    pub(super) fn new(body: BoxBody, watcher: AbortHandle, ended: Ended) -> Self {
        Self { body, watcher, ended }
    }
}

impl MessageBody for Body {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(context)
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        // What has ended the session finds out by itself.
        if !*self.ended.borrow() {
            self.watcher.abort();
        }
    }
}
