//! Items that the output of the attribute macros uses. Not public API: it may change at any time.

use std::{
    future::{Future, Ready, ready},
    marker::PhantomData,
    time::Duration,
};

pub use actix_web::HttpRequest;
pub use linkme;

pub use crate::{
    authorize::rule::{
        AccessRule, Check, PendingChecks, RULED_ROUTES, RuledRouteRow, requirements,
    },
    public::{PublicResource, PublicRoute, ROUTES, RuledRoute},
};

use actix_web::{FromRequest, dev::Payload};
use futures_util::future::{Either, LocalBoxFuture};
use serde_json::Value;

#[cfg(feature = "testing")]
use crate::mtls::{self, ClientCertificate, ForwardedCertificate};
use crate::{
    authorize::requirement::{self, ClaimValue, Requirement},
    error::{Error, ErrorKind},
    token::{claims::Claims, rules::Rules, scope::is_scope_token},
    util::units::Unit,
};

/// The hidden argument of a handler, whose extraction performs the check.
#[derive(Debug)]
pub struct Checked<C>(PhantomData<C>);

impl<C: Check + 'static> FromRequest for Checked<C> {
    type Error = Error;
    type Future = Either<Ready<Result<Self, Error>>, LocalBoxFuture<'static, Result<Self, Error>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let mut pending = PendingChecks::new();
        let checked = match Claims::of_request(request) {
            Ok(claims) => C::check(&claims, request, &mut pending),
            // A request without a valid token, which a public path has let through.
            Err(error) => Err(with_scopes(error, C::rule())),
        };
        if checked.is_ok() && !pending.is_empty() {
            return Either::Right(Box::pin(async {
                for check in pending {
                    check.await?;
                }
                C::rule().record_satisfied();
                Ok(Self(PhantomData))
            }));
        }
        if checked.is_ok() {
            C::rule().record_satisfied();
        }
        Either::Left(ready(checked.map(|()| Self(PhantomData))))
    }
}

fn with_scopes(error: Error, rule: &AccessRule) -> Error {
    match rule.challenged_scopes(&Rules::default()) {
        Some(scopes) => error.with_scopes(scopes),
        None => error,
    }
}

/// Calls the developer's function, or adds its future to the checks that must be waited for.
pub fn call_predicate<F: Predicate<Marker>, Marker>(
    function: F,
    claims: &Claims,
    request: &HttpRequest,
    pending: &mut PendingChecks,
) -> Result<(), Error> {
    function.call(claims, request, pending).map_err(|error| described::<F>(error, claims))
}

fn described<F>(error: Error, claims: &Claims) -> Error {
    error
        .with_provider(&claims.verified().by.name)
        .with_expected(format!("predicate {}", std::any::type_name::<F>()))
}

/// A function of the claims, or of the claims and the request.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be used as an authorization predicate",
    label = "not an authorization predicate",
    note = "expected `fn(&Claims) -> bool` or `fn(&Claims, &HttpRequest) -> bool`; instead of bool, it \
            may return a Result whose error is written to the log",
    note = "an async function takes its arguments by value and returns a Result: \
            `async fn(Claims) -> Result<bool, E>` or `async fn(Claims, HttpRequest) -> Result<bool, E>`"
)]
pub trait Predicate<Marker> {
    /// Calls the function.
    fn call(
        self,
        claims: &Claims,
        request: &HttpRequest,
        pending: &mut PendingChecks,
    ) -> Result<(), Error>;
}

impl<F: FnOnce(&Claims) -> V, V: Outcome> Predicate<(V,)> for F {
    fn call(self, claims: &Claims, _: &HttpRequest, _: &mut PendingChecks) -> Result<(), Error> {
        self(claims).into_result()
    }
}

impl<F: FnOnce(&Claims, &HttpRequest) -> V, V: Outcome> Predicate<(V, ())> for F {
    fn call(
        self,
        claims: &Claims,
        request: &HttpRequest,
        _: &mut PendingChecks,
    ) -> Result<(), Error> {
        self(claims, request).into_result()
    }
}

/// The marker of an asynchronous function.
#[derive(Debug)]
pub struct Asynchronous;

impl<F, A, E> Predicate<(A, E, Asynchronous)> for F
where
    F: FnOnce(Claims) -> A + 'static,
    A: Future<Output = Result<bool, E>> + 'static,
    E: std::fmt::Display + 'static,
{
    fn call(
        self,
        claims: &Claims,
        _: &HttpRequest,
        pending: &mut PendingChecks,
    ) -> Result<(), Error> {
        pending.push(Box::pin(within_time::<F, _, _>(self(claims.clone()), claims.clone())));
        Ok(())
    }
}

impl<F, A, E> Predicate<(A, E, Asynchronous, ())> for F
where
    F: FnOnce(Claims, HttpRequest) -> A + 'static,
    A: Future<Output = Result<bool, E>> + 'static,
    E: std::fmt::Display + 'static,
{
    fn call(
        self,
        claims: &Claims,
        request: &HttpRequest,
        pending: &mut PendingChecks,
    ) -> Result<(), Error> {
        let answer = self(claims.clone(), request.clone());
        pending.push(Box::pin(within_time::<F, _, _>(answer, claims.clone())));
        Ok(())
    }
}

/// Waits for an asynchronous check, at most for the time that is set. A check that fails or takes longer gives
/// 503: the client did nothing wrong.
async fn within_time<F, A, E>(answer: A, claims: Claims) -> Result<(), Error>
where
    A: Future<Output = Result<bool, E>>,
    E: std::fmt::Display,
{
    let limit = claims.verified().by.rules.check_timeout;
    let result = match tokio::time::timeout(limit, answer).await {
        // The token may have expired in the meantime.
        Ok(Ok(true)) => return claims.verified().check_again(),
        Ok(Ok(false)) => predicate_failed(),
        Ok(Err(error)) => Error::from(ErrorKind::CheckUnavailable).with_source(error.to_string()),
        Err(_) => Error::from(ErrorKind::CheckUnavailable)
            .with_source(format!("no result within {}", Unit(limit))),
    };
    Err(described::<F>(result, &claims))
}

/// The result of a function that is not asynchronous.
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

/// Checks the name of a policy that is given as a constant. Evaluated at compile time.
///
/// # Panics
///
/// Panics if the text is empty.
#[must_use]
#[track_caller]
pub const fn policy_name(name: &'static str) -> &'static str {
    assert!(!name.is_empty(), "the name of the policy is empty");
    name
}

/// Checks a value of `acr` that is given as a constant. Evaluated at compile time.
///
/// # Panics
///
/// Panics if the text cannot be in `acr_values` (RFC 9470 §3).
#[must_use]
#[track_caller]
pub const fn acr(value: &'static str) -> &'static str {
    assert!(
        is_scope_token(value),
        "the value of `acr` is invalid; expected one or more printable ASCII characters without spaces, quotes \
         and backslashes (RFC 9470 §3)"
    );
    value
}

/// Checks an age of the authentication that is given as a constant. Evaluated at compile time.
///
/// # Panics
///
/// Panics if it is zero.
#[must_use]
#[track_caller]
pub const fn auth_age(seconds: u64) -> Duration {
    assert!(seconds > 0, "the age of the authentication is zero; expected a number of seconds");
    Duration::from_secs(seconds)
}

/// Checks the subject of an actor that is given as a constant. Evaluated at compile time.
///
/// # Panics
///
/// Panics if the text is empty.
#[must_use]
#[track_caller]
pub const fn actor(subject: &'static str) -> &'static str {
    assert!(!subject.is_empty(), "the subject of the actor is empty");
    subject
}

/// Checks the type of an authorization detail that is given as a constant. Evaluated at compile time.
///
/// # Panics
///
/// Panics if the text is empty.
#[must_use]
#[track_caller]
pub const fn detail_type(detail_type: &'static str) -> &'static str {
    assert!(!detail_type.is_empty(), "the type of the authorization detail is empty");
    detail_type
}

/// Requires an authorization detail that the function of this path accepts.
pub fn authorization_detail(
    detail_type: &'static str,
    accept: fn(&Value) -> bool,
    path: &'static str,
) -> Requirement {
    requirement::named_authorization_detail(detail_type, accept, path)
}

/// Converts a constant into the value of a claim.
pub fn claim_value<V: Into<ClaimValue>>(value: V) -> ClaimValue {
    value.into()
}

/// Returns the certificate of a client, or the text that a rejection has in the log. For the tests of `mtls`.
#[cfg(feature = "testing")]
pub fn client_certificate(
    request: &HttpRequest,
    forwarded: Option<&ForwardedCertificate>,
) -> Result<ClientCertificate, String> {
    let proxy = forwarded.map(ForwardedCertificate::resolve).transpose();
    let proxy = proxy.map_err(|error| error.to_string())?;
    let found = mtls::client_certificate(request, proxy.as_ref());
    found.map_err(|fault| fault.to_string())?.ok_or_else(|| mtls::hint(request, proxy.as_ref()))
}
