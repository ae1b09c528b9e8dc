//! A streaming body that ends when the token of its request expires.

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

/// Ends a body when the token of its request expires, or is no longer valid: for server-sent events and long downloads.
///
/// Without it, a response that has begun continues after its token has expired. The body ends with an error at `exp` plus
/// the leeway, or when the [deny list](crate::revocation), a [status list](crate::Provider::status_list),
/// [introspection](crate::introspection) or the [source of API keys](crate::api_keys::ApiKeys::source) rejects the token. So
/// no client mistakes a partial download for a complete one. An `EventSource` connects again, and is rejected without a
/// fresh token. [`ExpiringBody::truncate_silently`] ends the body without an error.
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
    let end = Box::pin(async move { claims.verified().ended().await });
    ExpiringBody { body, end, is_silent: false, is_over: false }
}

pin_project! {
    /// A body that ends when the token of its request expires: see [`until_expiry`].
    pub struct ExpiringBody<B> {
        #[pin]
        body: B,
        end: LocalBoxFuture<'static, Error>,
        is_silent: bool,
        is_over: bool,
    }
}

impl<B> ExpiringBody<B> {
    /// Ends the body without an error, as if it were complete: for clients that take an error for a failure
    /// of the server and can use a partial body.
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
            // The body may end early, so its length is unknown.
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
