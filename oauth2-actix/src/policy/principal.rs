//! The principal of an accepted token: cached with the token, or loaded by the function of the application.

use std::{any::Any, fmt, sync::Arc, time::Duration};

use futures_util::future::LocalBoxFuture;

use super::Policy;
use crate::{
    error::{Error, ErrorKind},
    token::{
        claims::Claims,
        principal::{CachedPrincipal, PrincipalError},
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
            let _loading = slot.loading.lock().await;
            if let Some(value) = self.cached_principal(claims) {
                return Ok(value);
            }
            let value = (source.callback)(claims.clone()).await?;
            if !source.lifetime.is_zero() {
                let until = self.clock.monotonic() + source.lifetime;
                slot.cached
                    .store(Some(Arc::new(CachedPrincipal { value: Arc::clone(&value), until })));
            }
            Ok(value)
        };
        let limit = self.rules.check_timeout;
        let PrincipalError { kind, reason } = match tokio::time::timeout(limit, load).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => error,
            Err(_) => PrincipalError {
                kind: ErrorKind::CheckUnavailable,
                reason: format!("no principal within {}", Unit(limit)),
            },
        };
        Err(Error::from(kind).with_provider(&claims.verified().by.name).with_source(reason))
    }
}

pub(crate) const DEFAULT_PRINCIPAL_LIFETIME: Duration = Duration::from_secs(60);
