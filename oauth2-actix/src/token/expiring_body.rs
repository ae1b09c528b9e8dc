//! A streaming body that ends with the token of its request.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use actix_web::{
    body::{BodySize, MessageBody},
    web::Bytes,
};
use futures_util::future::LocalBoxFuture;
use pin_project_lite::pin_project;

use crate::{error::Error, token::claims::Claims};

/// Ends a body when the token of its request does: server-sent events, and downloads that last.
///
/// A response that has begun goes on whatever becomes of the token. This breaks it off at `exp` plus the
/// leeway, with an error, so that nobody takes a part of a download for all of it; an `EventSource` connects
/// again, and is refused without a fresh token. [`ExpiringBody::truncate_silently`] ends it as if it were complete.
///
/// ```
/// use actix_web::{HttpResponse, body::BodyStream, get, web::Bytes};
/// use futures_util::stream;
/// use oauth2_actix::{Claims, until_expiry};
///
/// #[get("/events")]
/// async fn events(claims: Claims) -> HttpResponse {
///     let events = stream::repeat_with(|| Ok::<_, actix_web::Error>(Bytes::from("data: 1\n\n")));
///     HttpResponse::Ok()
///         .content_type("text/event-stream")
///         .body(until_expiry(&claims, BodyStream::new(events)))
/// }
/// # fn main() {}
/// ```
pub fn until_expiry<B>(claims: &Claims, body: B) -> ExpiringBody<B> {
    let claims = claims.clone();
    let end = Box::pin(async move { claims.verified().expired().await.into() });
    ExpiringBody { body, end, is_silent: false, is_over: false }
}

pin_project! {
    /// A body that ends with the token of its request: see [`until_expiry`].
    pub struct ExpiringBody<B> {
        #[pin]
        body: B,
        end: LocalBoxFuture<'static, Error>,
        is_silent: bool,
        is_over: bool,
    }
}

impl<B> ExpiringBody<B> {
    /// Ends it as if it were complete: where a client would take an error for a failure of yours, and can do
    /// with a part.
    #[must_use]
    pub fn truncate_silently(mut self) -> Self {
        self.is_silent = true;
        self
    }
}

impl<B: MessageBody> MessageBody for ExpiringBody<B> {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        match self.body.size() {
            // It may become shorter.
            BodySize::Sized(_) if self.is_silent => BodySize::Stream,
            size => size,
        }
    }

    fn poll_next(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let this = self.project();
        if *this.is_over {
            return Poll::Ready(None);
        }
        if let Poll::Ready(reason) = this.end.as_mut().poll(context) {
            tracing::debug!(target: "oauth2_actix", reason = %reason, "a response ends before it is complete");
            *this.is_over = true;
            return Poll::Ready((!*this.is_silent).then(|| Err(reason.into())));
        }
        let polled = this.body.poll_next(context).map_err(Into::into);
        *this.is_over = matches!(polled, Poll::Ready(None));
        polled
    }
}

impl<B> fmt::Debug for ExpiringBody<B> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ExpiringBody")
            .field("is_over", &self.is_over)
            .finish_non_exhaustive()
    }
}
