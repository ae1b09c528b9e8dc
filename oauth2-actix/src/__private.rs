//! What the attribute macros' output needs. Not for anybody else: it may change at any time.

pub use std::sync::LazyLock;
use std::{
    future::{Ready, ready},
    marker::PhantomData,
};

pub use actix_web::{
    HttpRequest,
    dev::{AppService, HttpServiceFactory},
};
pub use linkme;

pub use crate::public::{PublicRoute, ROUTES, register, warn_unless_wrapped};

use actix_web::{FromRequest, dev::Payload};

use crate::{
    claims::Claims,
    error::{Error, ErrorKind},
};

/// A demand of an attribute.
pub trait Demand {
    /// Nothing, or why the request is refused.
    fn check(claims: &Claims, request: &HttpRequest) -> Result<(), Error>;
}

/// The hidden argument of a handler: there only if the demand is met.
#[derive(Debug)]
pub struct Demanded<D>(PhantomData<D>);

impl<D: Demand> FromRequest for Demanded<D> {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(
            Claims::of_request(request)
                .and_then(|claims| D::check(&claims, request))
                .map(|()| Self(PhantomData)),
        )
    }
}

/// Asks a user's function.
pub fn ask<F: Predicate<Marker>, Marker>(
    function: F,
    claims: &Claims,
    request: &HttpRequest,
) -> Result<(), Error> {
    function.ask(claims, request)
}

/// A function of the claims, or of the claims and the request.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no function that can be asked whether a token permits this",
    label = "not such a function",
    note = "write `fn(&Claims) -> bool` or `fn(&Claims, &HttpRequest) -> bool`; in the place of bool \
            there may be a Result whose error is a text for the log"
)]
pub trait Predicate<Marker> {
    /// Asks it.
    fn ask(self, claims: &Claims, request: &HttpRequest) -> Result<(), Error>;
}

impl<F: FnOnce(&Claims) -> V, V: Answer> Predicate<(V,)> for F {
    fn ask(self, claims: &Claims, _: &HttpRequest) -> Result<(), Error> {
        self(claims).into_result()
    }
}

impl<F: FnOnce(&Claims, &HttpRequest) -> V, V: Answer> Predicate<(V, ())> for F {
    fn ask(self, claims: &Claims, request: &HttpRequest) -> Result<(), Error> {
        self(claims, request).into_result()
    }
}

/// What such a function answers.
pub trait Answer {
    /// Nothing, or the refusal.
    fn into_result(self) -> Result<(), Error>;
}

impl Answer for bool {
    fn into_result(self) -> Result<(), Error> {
        if self { Ok(()) } else { Err(ErrorKind::ClaimInsufficient.into()) }
    }
}

impl<E: std::fmt::Display> Answer for Result<(), E> {
    fn into_result(self) -> Result<(), Error> {
        // The text is our user's, and goes to the log.
        self.map_err(|why| Error::from(ErrorKind::ClaimInsufficient).with_source(why.to_string()))
    }
}
