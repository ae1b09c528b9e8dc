//! The caller as a type of the application, and the extractor for it.

use std::{
    any::Any,
    fmt,
    future::{Ready, ready},
    ops::Deref,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use actix_web::{FromRequest, HttpMessage, HttpRequest, dev::Payload};
use arc_swap::ArcSwapOption;
use tokio::sync::Mutex;

use crate::{
    error::{Error, ErrorKind},
    token::claims::Claims,
    util::{clock::Clock, log_rate::Throttle},
};

/// What [`OAuth2Builder::principal`](crate::OAuth2Builder::principal) returned for the token of a request.
///
/// ```
/// use actix_web::get;
/// use oauth2_actix::Principal;
///
/// struct User {
///     name: String,
/// }
///
/// #[get("/me")]
/// async fn me(user: Principal<User>) -> String {
///     format!("hello {}", user.name)
/// }
/// # drop(me);
/// ```
///
/// # Errors
///
/// The errors of [`Claims`]. If the `principal` of the `OAuth2` returns another type, or there is none, the
/// response is 500, and the log has an error.
pub struct Principal<T>(Arc<T>);

impl<T> Principal<T> {
    /// Returns the value, shared with the requests of the same token.
    #[must_use]
    pub fn into_inner(self) -> Arc<T> {
        self.0
    }
}

impl<T> Deref for Principal<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> Clone for Principal<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// Shows no value, which is personal data.
impl<T> fmt::Debug for Principal<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Principal<{}>", std::any::type_name::<T>())
    }
}

impl<T: Send + Sync + 'static> FromRequest for Principal<T> {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Claims::of_request(request).and_then(|claims| {
            let current = request.extensions().get::<CurrentPrincipal>().cloned();
            // An outer `OAuth2` may have set the principal of other claims.
            let current = current.filter(|it| Arc::ptr_eq(it.claims.shared(), claims.shared()));
            let value = current.and_then(|current| current.value.downcast::<T>().ok());
            value.map(Self).ok_or_else(|| {
                static LOGGED: Throttle = Throttle::new(Clock::System);
                let expected = std::any::type_name::<T>();
                if LOGGED.allows() {
                    tracing::error!(
                        target: "oauth2_actix", expected,
                        "a handler requires a principal of another type than OAuth2Builder::principal returns, \
                         or none is set"
                    );
                }
                Error::from(ErrorKind::NotConfigured).with_expected(expected)
            })
        }))
    }
}

/// Why a token has no principal, and so the status of the response. Any error that `?` converts is
/// [`unavailable`](Self::unavailable).
#[derive(Debug)]
pub struct PrincipalError {
    pub(crate) kind: ErrorKind,
    pub(crate) reason: String,
}

impl PrincipalError {
    /// The token is not accepted: 401 `invalid_token`. The log has the reason.
    pub fn unauthorized(reason: impl fmt::Display) -> Self {
        Self { kind: ErrorKind::PrincipalUnauthorized, reason: reason.to_string() }
    }

    /// The caller may not use this API: 403 `insufficient_scope`. The log has the reason.
    pub fn forbidden(reason: impl fmt::Display) -> Self {
        Self { kind: ErrorKind::PrincipalForbidden, reason: reason.to_string() }
    }

    /// The principal cannot be loaded now: 503 with `Retry-After`. The log has the reason.
    pub fn unavailable(reason: impl fmt::Display) -> Self {
        Self { kind: ErrorKind::CheckUnavailable, reason: reason.to_string() }
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for PrincipalError {
    fn from(error: E) -> Self {
        Self::unavailable(error)
    }
}

/// The principal of a request, in its extensions.
#[derive(Clone)]
pub(crate) struct CurrentPrincipal {
    pub(crate) claims: Claims,
    pub(crate) value: Arc<dyn Any + Send + Sync>,
}

/// The cached principal of a token, and the lock of the call that loads it.
#[derive(Default)]
pub(crate) struct PrincipalSlot {
    pub(crate) cached: ArcSwapOption<CachedPrincipal>,
    /// The error of the last call, for the requests that waited for it.
    pub(crate) loading: Mutex<Option<(ErrorKind, String)>>,
    /// The number of calls that have ended.
    pub(crate) calls: AtomicU64,
}

/// A principal, and the monotonic time until which it is used.
pub(crate) struct CachedPrincipal {
    pub(crate) value: Arc<dyn Any + Send + Sync>,
    pub(crate) until: Duration,
}
