//! Middleware that enforces a requirement around a scope or resource.

use std::{
    future::{Future, Ready, ready},
    pin::Pin,
    task::{Context, Poll},
};

use actix_web::{
    body::{EitherBody, MessageBody},
    dev::{Service, ServiceRequest, ServiceResponse, Transform},
};
use pin_project_lite::pin_project;

use crate::{authorize::requirement::Requirement, token::claims::Claims};

impl<S, B> Transform<S, ServiceRequest> for Requirement
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = actix_web::Error>,
    B: MessageBody,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = actix_web::Error;
    type Transform = RequirementMiddleware<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        ready(Ok(RequirementMiddleware { service, requirement: self.clone() }))
    }
}

/// The service that enforces a requirement around another service.
#[doc(hidden)]
#[derive(Debug)]
pub struct RequirementMiddleware<S> {
    service: S,
    requirement: Requirement,
}

impl<S, B> Service<ServiceRequest> for RequirementMiddleware<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = actix_web::Error>,
    B: MessageBody,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = actix_web::Error;
    type Future = RequirementFuture<S::Future>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let result = Claims::of_request(request.request())
            .and_then(|claims| self.requirement.check(&claims));
        match result {
            Ok(()) => RequirementFuture::Inner { future: self.service.call(request) },
            Err(error) => {
                // The outer `OAuth2` rewrites this response, for this request. It looks for the error in it, which
                // `ServiceRequest::into_response` would remove.
                RequirementFuture::Rejected { response: Some(request.error_response(error)) }
            }
        }
    }
}

pin_project! {
    #[doc(hidden)]
    #[non_exhaustive]
    #[project = Projection]
    pub enum RequirementFuture<F> {
        Inner {
            #[pin]
            future: F,
        },
        Rejected {
            response: Option<ServiceResponse>,
        },
    }
}

impl<F, B> Future for RequirementFuture<F>
where
    F: Future<Output = Result<ServiceResponse<B>, actix_web::Error>>,
    B: MessageBody,
{
    type Output = Result<ServiceResponse<EitherBody<B>>, actix_web::Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            Projection::Inner { future } => {
                future.poll(context).map_ok(ServiceResponse::map_into_left_body)
            }
            Projection::Rejected { response } => {
                let response = response.take().expect("polled after completion");
                Poll::Ready(Ok(response.map_into_right_body()))
            }
        }
    }
}
