//! The principal of an accepted token: cached with the token, or loaded by the function of the application.

use std::{
    any::Any,
    fmt,
    sync::{Arc, OnceLock, atomic::Ordering},
    time::Duration,
};

use futures_util::future::LocalBoxFuture;

use super::Policy;
use crate::{
    error::{Error, ErrorKind},
    token::{
        claims::Claims,
        principal::{CachedPrincipal, PrincipalError},
        verified::VerifiedToken,
    },
    util::units::Unit,
};

/// A principal of any type.
pub(crate) type PrincipalValue = Arc<dyn Any + Send + Sync>;

/// The function of the application.
pub(crate) type PrincipalCallback = Arc<
    dyn Fn(Claims) -> LocalBoxFuture<'static, Result<PrincipalValue, PrincipalError>> + Send + Sync,
>;

/// The function, and how long its results are used.
pub(crate) struct PrincipalSource {
    pub(crate) callback: PrincipalCallback,
    pub(crate) lifetime: Duration,
}

impl fmt::Debug for PrincipalSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PrincipalSource")
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}

impl Policy {
    /// Returns the principal of an accepted token that is cached with it.
    pub(crate) fn cached_principal(&self, claims: &Claims) -> Option<PrincipalValue> {
        let slot = claims.verified().principal.get()?;
        let cached = slot.cached.load();
        cached
            .as_ref()
            .filter(|cached| self.clock.monotonic() < cached.until)
            .map(|cached| Arc::clone(&cached.value))
    }

    /// Returns the principal of an accepted token. Requests with the same token wait for one call.
    pub(crate) async fn load_principal(
        &self,
        source: &PrincipalSource,
        claims: &Claims,
    ) -> Result<PrincipalValue, Error> {
        let load = async {
            let slot = claims.verified().principal.get_or_init(Box::default);
            if source.lifetime.is_zero() {
                return (source.callback)(detached(claims)).await;
            }
            let calls_before = slot.calls.load(Ordering::Acquire);
            let mut last_error = slot.loading.lock().await;
            if let Some(value) = self.cached_principal(claims) {
                return Ok(value);
            }
            // The error of a call that ended while this request waited is its error too.
            if slot.calls.load(Ordering::Acquire) != calls_before
                && let Some((kind, reason)) = &*last_error
            {
                return Err(PrincipalError { kind: kind.clone(), reason: reason.clone() });
            }
            let result = (source.callback)(detached(claims)).await;
            *last_error = match &result {
                Ok(value) => {
                    let until = self.clock.monotonic() + source.lifetime;
                    let cached = CachedPrincipal { value: Arc::clone(value), until };
                    slot.cached.store(Some(Arc::new(cached)));
                    None
                }
                Err(error) => Some((error.kind.clone(), error.reason.clone())),
            };
            slot.calls.fetch_add(1, Ordering::Release);
            result
        };
        let limit = self.rules.check_timeout;
        let PrincipalError { kind, reason } = match tokio::time::timeout(limit, load).await {
            // The token may have expired in the meantime.
            Ok(Ok(value)) => return claims.verified().check_again().map(|()| value),
            Ok(Err(error)) => error,
            Err(_) => PrincipalError {
                kind: ErrorKind::CheckUnavailable,
                reason: format!("no principal within {}", Unit(limit)),
            },
        };
        Err(Error::from(kind).with_provider(&claims.verified().by.name).with_source(reason))
    }
}

/// Returns claims for the function of the application. They do not own the cached principal, so that a principal
/// that keeps them does not keep itself.
fn detached(claims: &Claims) -> Claims {
    let VerifiedToken {
        by,
        verified_by,
        lifetime,
        claims,
        token,
        confirmation,
        revocable,
        status,
        clock,
        ..
    } = claims.verified();
    Claims::new(VerifiedToken {
        by: by.clone(),
        verified_by: verified_by.clone(),
        lifetime: *lifetime,
        claims: claims.clone(),
        token: token.clone(),
        confirmation: confirmation.clone(),
        principal: OnceLock::new(),
        revocable: revocable.clone(),
        status: status.clone(),
        clock: clock.clone(),
    })
}

pub(crate) const DEFAULT_PRINCIPAL_LIFETIME: Duration = Duration::from_secs(60);
