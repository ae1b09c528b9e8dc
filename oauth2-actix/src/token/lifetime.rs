//! When a token is valid: `exp`, `nbf` and `iat` with the leeway and the maximum age (RFC 7519 §4.1.4 to §4.1.6).

use std::time::Duration;

#[cfg(any(test, feature = "testing"))]
use super::validation::LAST_SECOND;
use super::validation::numeric_date;
use crate::{
    error::{Error, ErrorKind},
    json::object::Object,
};

/// Checks `exp`, which is mandatory, `nbf`, which is optional, and `iat`, which is mandatory if there is a
/// maximum age. An `iat` in the future is accepted.
pub(crate) fn check_times(
    claims: &Object,
    now: Duration,
    limits: TimeLimits,
) -> Result<Lifetime, Error> {
    let now = now.as_secs_f64();
    let leeway = limits.leeway.as_secs_f64();
    let exp = numeric_date(claims, "exp")?.ok_or(ErrorKind::ClaimInvalid { claim: "exp" })?;
    // "on or after which the JWT MUST NOT be accepted" (RFC 7519 §4.1.4). All of these numbers are finite.
    let mut ends = exp + leeway;
    if now >= ends {
        return Err(ErrorKind::Expired { exp, now, leeway }.into());
    }
    let nbf = numeric_date(claims, "nbf")?.unwrap_or(0.0);
    if nbf > now + leeway {
        return Err(ErrorKind::NotYetValid { nbf, now, leeway }.into());
    }
    let iat = numeric_date(claims, "iat")?;
    if let Some(max_age) = limits.max_age {
        let iat = iat.ok_or(ErrorKind::ClaimInvalid { claim: "iat" })?;
        let max_age = max_age.as_secs_f64();
        let too_old = iat + max_age + leeway;
        if now >= too_old {
            return Err(ErrorKind::TokenTooOld { iat, now, max_age }.into());
        }
        ends = ends.min(too_old);
    }
    Ok(Lifetime { nbf, leeway, ends })
}

/// The period in which a token's times are valid, in seconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Lifetime {
    nbf: f64,
    leeway: f64,
    /// The first moment at which the token has expired, leeway included.
    ends: f64,
}

impl Lifetime {
    /// Returns whether [`check_times`] would accept the token at `now`.
    pub(crate) fn contains(self, now: Duration) -> bool {
        let now = now.as_secs_f64();
        now < self.ends && self.nbf <= now + self.leeway
    }

    /// Returns why the token is not accepted at `now`, where [`Lifetime::contains`] is false.
    pub(crate) fn reason(self, claims: &Object, now: Duration) -> ErrorKind {
        let Self { nbf, leeway, ends } = self;
        let now = now.as_secs_f64();
        let date = |name| numeric_date(claims, name).ok().flatten().unwrap_or_default();
        let (exp, iat) = (date("exp"), date("iat"));
        if now >= exp + leeway {
            ErrorKind::Expired { exp, now, leeway }
        } else if nbf > now + leeway {
            // The clock was set back.
            ErrorKind::NotYetValid { nbf, now, leeway }
        } else {
            ErrorKind::TokenTooOld { iat, now, max_age: ends - leeway - iat }
        }
    }

    /// Returns a lifetime up to the last time that a token may have.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn without_end() -> Self {
        Self { nbf: 0.0, leeway: 0.0, ends: LAST_SECOND }
    }

    /// Returns the time until the token expires.
    pub(crate) fn remaining(self, now: Duration) -> Duration {
        Duration::try_from_secs_f64(self.ends - now.as_secs_f64()).unwrap_or_default()
    }

    /// Returns the first whole second at which the token has expired.
    pub(crate) fn last_second(self) -> u64 {
        self.ends.ceil() as u64
    }
}

/// The limits for the times of a token.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TimeLimits {
    /// The tolerated clock skew.
    pub(crate) leeway: Duration,
    /// The time after its `iat` during which a token is accepted.
    pub(crate) max_age: Option<Duration>,
}
