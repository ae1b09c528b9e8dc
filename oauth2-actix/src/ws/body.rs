//! The response body of a session, which actix drops with the connection.

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

/// Stops the watcher of a session whose connection has closed. A client that sends nothing more, or invalid
/// frames, does not stop it: such a client may still receive.
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
        // A watcher that has ended the session stops by itself.
        if !*self.ended.borrow() {
            self.watcher.abort();
        }
    }
}
