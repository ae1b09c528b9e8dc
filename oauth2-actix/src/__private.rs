//! Items that the output of the attribute macros uses. Not public API: it may change at any time.

pub use std::sync::LazyLock;
use std::{
    future::{Ready, ready},
    marker::PhantomData,
};

pub use actix_web::HttpRequest;
pub use linkme;

pub use crate::public::{PublicResource, PublicRoute, ROUTES};

use actix_web::{FromRequest, dev::Payload};

use crate::{
    authorize::requirement::ClaimValue,
    error::{Error, ErrorKind},
    token::{claims::Claims, scope::is_scope_token},
};

/// The check that an attribute makes.
pub trait Check {
    /// Returns an error if the request is rejected.
    fn check(claims: &Claims, request: &HttpRequest) -> Result<(), Error>;
}

/// The hidden argument of a handler, whose extraction performs the check.
#[derive(Debug)]
pub struct Checked<C>(PhantomData<C>);

impl<C: Check> FromRequest for Checked<C> {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(
            Claims::of_request(request)
                .and_then(|claims| C::check(&claims, request))
                .map(|()| Self(PhantomData)),
        )
    }
}

/// Calls the developer's function.
pub fn call_predicate<F: Predicate<Marker>, Marker>(
    function: F,
    claims: &Claims,
    request: &HttpRequest,
) -> Result<(), Error> {
    function.call(claims, request).map_err(|error| {
        error
            .with_provider(&claims.verified().by.name)
            .with_expected(format!("predicate {}", std::any::type_name::<F>()))
    })
}

/// A function of the claims, or of the claims and the request.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be used as an authorization predicate",
    label = "not an authorization predicate",
    note = "expected `fn(&Claims) -> bool` or `fn(&Claims, &HttpRequest) -> bool`; instead of bool, it \
            may return a Result whose error is written to the log"
)]
pub trait Predicate<Marker> {
    /// Calls the function.
    fn call(self, claims: &Claims, request: &HttpRequest) -> Result<(), Error>;
}

impl<F: FnOnce(&Claims) -> V, V: Outcome> Predicate<(V,)> for F {
    fn call(self, claims: &Claims, _: &HttpRequest) -> Result<(), Error> {
        self(claims).into_result()
    }
}

impl<F: FnOnce(&Claims, &HttpRequest) -> V, V: Outcome> Predicate<(V, ())> for F {
    fn call(self, claims: &Claims, request: &HttpRequest) -> Result<(), Error> {
        self(claims, request).into_result()
    }
}

/// The result of such a function.
pub trait Outcome {
    /// Returns an error if the request is rejected.
    fn into_result(self) -> Result<(), Error>;
}

impl Outcome for bool {
    fn into_result(self) -> Result<(), Error> {
        if self { Ok(()) } else { Err(predicate_failed()) }
    }
}

impl<E: std::fmt::Display> Outcome for Result<(), E> {
    fn into_result(self) -> Result<(), Error> {
        // The developer's text is written to the log.
        self.map_err(|error| predicate_failed().with_source(error.to_string()))
    }
}

fn predicate_failed() -> Error {
    ErrorKind::InsufficientClaims { required: "a predicate of the application".into() }.into()
}

/// Checks the name of a claim, or a JSON pointer (RFC 6901 §3), that is given as a constant. Evaluated at
/// compile time.
///
/// # Panics
///
/// Panics if the text is neither.
#[must_use]
#[track_caller]
pub const fn claim_name(name: &'static str) -> &'static str {
    let bytes = name.as_bytes();
    assert!(!bytes.is_empty(), "the claim name is empty; expected a name or a JSON pointer");
    let mut at = 0;
    while bytes[0] == b'/' && at < bytes.len() {
        let is_escape = at + 1 < bytes.len() && matches!(bytes[at + 1], b'0' | b'1');
        assert!(
            bytes[at] != b'~' || is_escape,
            "the JSON pointer is invalid; in a name, `~` is written `~0` and `/` is written `~1`"
        );
        at += 1;
    }
    name
}

/// Checks a scope that is given as a constant. Evaluated at compile time.
///
/// # Panics
///
/// Panics if the text is not a scope-token (RFC 6749 §3.3).
#[must_use]
#[track_caller]
pub const fn scope(scope: &'static str) -> &'static str {
    assert!(
        is_scope_token(scope),
        "the scope is invalid; expected one or more printable ASCII characters without spaces, quotes and \
         backslashes (RFC 6749 §3.3)"
    );
    scope
}

/// Converts a constant into the value of a claim.
pub fn claim_value<V: Into<ClaimValue>>(value: V) -> ClaimValue {
    value.into()
}
