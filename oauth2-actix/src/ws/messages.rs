//! The messages of a client, until the session ends.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use actix_ws::AggregatedMessageStream;
use futures_util::{Stream, future::BoxFuture};

use super::{
    frames::MaxFrameSize,
    session::{Ended, Shared},
};

/// The messages of a session. The stream ends when the client sends no more, and when the session ends: later
/// messages are dropped. It also ends after an error, which a client that violates the protocol causes: what
/// follows is meaningless ([RFC 6455 §7.1.7](https://www.rfc-editor.org/rfc/rfc6455#section-7.1.7)).
pub struct MessageStream<S = actix_ws::MessageStream> {
    stream: S,
    ended: BoxFuture<'static, ()>,
    is_over: bool,
    max_frame_size: MaxFrameSize,
    /// A handle to the session, so that a handler which only receives keeps the session open.
    _shared: Arc<Shared>,
}

impl MessageStream {
    pub(super) fn new(
        stream: actix_ws::MessageStream,
        max_frame_size: MaxFrameSize,
        shared: Arc<Shared>,
        mut ended: Ended,
    ) -> Self {
        let ended = Box::pin(async move {
            // The sender lives as long as `shared`, so this cannot fail.
            let _ = ended.wait_for(|ended| *ended).await;
        });
        Self { stream, ended, is_over: false, max_frame_size, _shared: shared }
    }

    /// Sets the maximum length of a frame, in bytes. Default 64 KiB; a longer frame is an error as soon as it
    /// begins.
    #[must_use]
    pub fn max_frame_size(self, bytes: usize) -> Self {
        self.max_frame_size.set(bytes);
        self.map(|stream| stream.max_frame_size(bytes))
    }

    /// Joins messages that are sent in several frames, up to 1 MiB.
    #[must_use]
    pub fn aggregate_continuations(self) -> MessageStream<AggregatedMessageStream> {
        self.map(actix_ws::MessageStream::aggregate_continuations)
    }
}

impl<S> MessageStream<S> {
    fn map<T>(self, map: impl FnOnce(S) -> T) -> MessageStream<T> {
        let Self { stream, ended, is_over, max_frame_size, _shared } = self;
        MessageStream { stream: map(stream), ended, is_over, max_frame_size, _shared }
    }
}

impl<S: Stream<Item = Result<M, E>> + Unpin, M, E> MessageStream<S> {
    /// Returns the next message. `None` if the client sends no more, or the session has ended.
    pub async fn recv(&mut self) -> Option<Result<M, E>> {
        poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }
}

impl<S: Stream<Item = Result<M, E>> + Unpin, M, E> Stream for MessageStream<S> {
    type Item = Result<M, E>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        if self.ended.as_mut().poll(context).is_ready() {
            self.is_over = true;
            return Poll::Ready(None);
        }
        let polled = Pin::new(&mut self.stream).poll_next(context);
        self.is_over = matches!(polled, Poll::Ready(None | Some(Err(_))));
        polled
    }
}

impl<S> fmt::Debug for MessageStream<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("MessageStream")
            .field("is_over", &self.is_over)
            .finish_non_exhaustive()
    }
}
