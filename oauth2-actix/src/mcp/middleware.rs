//! The service that applies the rules around an endpoint.

use std::{
    future::{Ready, ready},
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
};

use actix_http::{Payload, h1};
use actix_web::{
    HttpMessage, HttpResponse,
    body::{BoxBody, EitherBody, MessageBody},
    dev::{Service, ServiceRequest, ServiceResponse, Transform},
    http::{
        Method,
        header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, ORIGIN},
    },
    web::{Bytes, BytesMut},
};
use futures_util::{StreamExt, future::LocalBoxFuture};

use super::{
    access::{Access, Rules},
    headers::{self, Declared},
    operation::Body,
    refusal::Refusal,
    session::{Caller, SESSION_ID},
};
use crate::{
    error::{Error, ErrorKind},
    token::{
        claims::Claims,
        expiring_body::{ExpiringBody, until_expiry},
    },
};

/// The body of a response: of the inner service, with an end at the token's expiry if it is a stream of events,
/// or of a rejection.
type AccessBody<B> = EitherBody<EitherBody<B, ExpiringBody<B>>>;

impl<S, B> Transform<S, ServiceRequest> for Access
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = actix_web::Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<AccessBody<B>>;
    type Error = actix_web::Error;
    type Transform = AccessMiddleware<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        ready(Ok(AccessMiddleware { service: Rc::new(service), rules: Arc::clone(&self.0) }))
    }
}

/// The service that applies the rules around another service.
#[doc(hidden)]
#[derive(Debug)]
pub struct AccessMiddleware<S> {
    service: Rc<S>,
    rules: Arc<Rules>,
}

impl<S, B> Service<ServiceRequest> for AccessMiddleware<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = actix_web::Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<AccessBody<B>>;
    type Error = actix_web::Error;
    type Future = LocalBoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&self, mut request: ServiceRequest) -> Self::Future {
        let (service, rules) = (Rc::clone(&self.service), Arc::clone(&self.rules));
        Box::pin(async move {
            let claims = match rules.admit(&mut request).await {
                Ok(claims) => claims,
                Err(rejection) => {
                    // Not `ServiceRequest::into_response`, which removes the error that the outer `OAuth2` looks for.
                    let request = request.into_parts().0;
                    let response = ServiceResponse::new(request, rejection.response());
                    return Ok(response.map_into_right_body());
                }
            };
            let mut response = service.call(request).await?;
            let headers = response.headers_mut();
            if headers.contains_key(SESSION_ID) {
                rules.tags.bind(headers, Caller::of(&claims).as_ref());
            }
            let is_stream = is_event_stream(headers);
            Ok(response.map_body(|_, body| EitherBody::Left {
                body: if is_stream {
                    EitherBody::Right { body: until_expiry(&claims, body) }
                } else {
                    EitherBody::left(body)
                },
            }))
        })
    }
}

/// Why a request does not reach the inner service.
enum Rejection {
    /// The outer `OAuth2` rewrites this response, for this request.
    OfToken(Error),
    OfMessage(Refusal),
}

impl Rejection {
    fn response(self) -> HttpResponse<BoxBody> {
        match self {
            Self::OfToken(error) => HttpResponse::from_error(error),
            Self::OfMessage(refusal) => refusal.response(),
        }
    }
}

impl From<Error> for Rejection {
    fn from(error: Error) -> Self {
        Self::OfToken(error)
    }
}

impl From<Refusal> for Rejection {
    fn from(refusal: Refusal) -> Self {
        Self::OfMessage(refusal)
    }
}

impl Rules {
    /// Checks a request, and prepares it for the inner service. Returns the claims of its token.
    async fn admit(&self, request: &mut ServiceRequest) -> Result<Claims, Rejection> {
        let claims = Claims::of_request(request.request())?;
        self.check_origin(request.headers(), &claims)?;
        if request.headers().contains_key(SESSION_ID) {
            self.tags.admit(request.headers_mut(), Caller::of(&claims).as_ref())?;
        }
        if *request.method() != Method::POST {
            self.check(&[], &claims)??;
            return Ok(claims);
        }
        headers::check_media_type(request.headers())?;
        let declared = Declared::read(request.headers())?;
        if self.decides_by_headers
            && let Some(call) = declared.call()
        {
            self.check(&[call], &claims)??;
            return Ok(claims);
        }
        let length =
            request.headers().get(CONTENT_LENGTH).and_then(|it| it.to_str().ok()?.parse().ok());
        if length.is_some_and(|length: usize| length > self.max_body) {
            return Err(Refusal::TooLarge.into());
        }
        let bytes = read(request.take_payload(), self.max_body).await?;
        let body = Body::read(&bytes)?;
        Declared::read(request.headers())?.check(&body)?;
        self.check(body.calls(), &claims)??;
        drop(body);
        request.set_payload(payload_of(bytes));
        Ok(claims)
    }

    /// Checks that a page that sends the request may do so.
    fn check_origin(&self, headers: &HeaderMap, claims: &Claims) -> Result<(), Error> {
        let resources = &claims.verified().by.rules.resources;
        let own = resources.iter().filter_map(|resource| origin_of(resource));
        let allowed = || self.origins.iter().map(String::as_str).chain(own.clone());
        let is_allowed = |origin: &[u8]| allowed().any(|it| it.as_bytes() == origin);
        let mut origins = headers.get_all(ORIGIN);
        match (origins.next(), origins.next()) {
            (None, _) => Ok(()),
            (Some(origin), None) if is_allowed(origin.as_bytes()) => Ok(()),
            _ => Err(ErrorKind::OriginNotAllowed.into()),
        }
    }
}

/// Returns the scheme, host and port of the identifier of a resource, which are in lower case.
fn origin_of(resource: &str) -> Option<&str> {
    let host = resource.find("://")? + "://".len();
    let length = resource[host..].find(['/', '?']).unwrap_or(resource.len() - host);
    Some(&resource[..host + length])
}

/// Reads a body of limited length.
async fn read(mut payload: Payload, limit: usize) -> Result<Bytes, Refusal> {
    const INCOMPLETE: Refusal = Refusal::Parse("The body is incomplete.");
    let Some(first) = payload.next().await else { return Ok(Bytes::new()) };
    let first = first.map_err(|_| INCOMPLETE)?;
    let mut body = None;
    let mut length = first.len();
    while length <= limit
        && let Some(chunk) = payload.next().await
    {
        let chunk = chunk.map_err(|_| INCOMPLETE)?;
        length = length.saturating_add(chunk.len());
        if length <= limit {
            body.get_or_insert_with(|| BytesMut::from(&*first)).extend_from_slice(&chunk);
        }
    }
    if length > limit {
        return Err(Refusal::TooLarge);
    }
    // Most bodies are one chunk, which is not copied.
    Ok(body.map_or(first, BytesMut::freeze))
}

/// Returns a payload of these bytes.
fn payload_of(bytes: Bytes) -> Payload {
    let (_, mut payload) = h1::Payload::create(true);
    payload.unread_data(bytes);
    Payload::from(payload)
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    const EVENT_STREAM: &str = "text/event-stream";
    let essence = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok()?.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case(EVENT_STREAM))
}
