//! The middleware of a route with an access rule: it tells the rule of a request that is routed without a valid
//! token, so that the challenge of its rejection names the scopes.

use std::{
    fmt,
    future::{Ready, ready},
    marker::PhantomData,
    task::{Context, Poll},
};

use actix_web::{
    HttpMessage,
    dev::{Service, ServiceRequest, ServiceResponse, Transform},
};

use super::admission::Admission;
use crate::authorize::rule::{AccessRule, Check};

/// The middleware of the resources of a handler with an access rule.
pub struct RuledRoute<C>(PhantomData<C>);

impl<C> RuledRoute<C> {
    /// Creates the middleware.
    #[must_use]
    #[allow(clippy::new_without_default)] // Only macros create it.
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<C> fmt::Debug for RuledRoute<C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("RuledRoute")
    }
}

impl<C, S, B> Transform<S, ServiceRequest> for RuledRoute<C>
where
    C: Check,
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = actix_web::Error>,
{
    type Response = ServiceResponse<B>;
    type Error = actix_web::Error;
    type Transform = RuledService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        ready(Ok(RuledService { service, rule: C::rule() }))
    }
}

/// The service of a route with an access rule.
#[derive(Debug)]
pub struct RuledService<S> {
    service: S,
    rule: &'static AccessRule,
}

impl<S, B> Service<ServiceRequest> for RuledService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = actix_web::Error>,
{
    type Response = ServiceResponse<B>;
    type Error = actix_web::Error;
    type Future = S::Future;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&self, request: ServiceRequest) -> Self::Future {
        if let Some(admission) = request.extensions().get::<Admission>() {
            admission.set_rule(self.rule);
        }
        self.service.call(request)
    }
}
