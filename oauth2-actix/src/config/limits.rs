//! The ranges of the settings that are durations or numbers.

use std::{
    fmt::{self, Display},
    ops::RangeInclusive,
    time::Duration,
};

use crate::{
    config::{
        error::{ConfigError, ConfigErrorKind},
        names,
    },
    util::units::Unit,
};

/// The range of a setting.
#[derive(Debug)]
pub(crate) struct Limit<T> {
    /// The name of the setting.
    field: &'static str,
    range: RangeInclusive<T>,
    /// The meaning of zero, if zero is allowed besides the range.
    zero: Option<&'static str>,
}

/// A value with a range: a duration or a number.
pub(crate) trait Amount: Copy + PartialOrd {
    const ZERO: Self;
    const MAX: Self;

    /// Returns the value as text, with its unit.
    fn text(self) -> impl Display;
}

impl Amount for Duration {
    const ZERO: Self = Self::ZERO;
    const MAX: Self = Self::MAX;

    fn text(self) -> impl Display {
        Unit(self)
    }
}

impl Amount for usize {
    const ZERO: Self = 0;
    const MAX: Self = Self::MAX;

    fn text(self) -> impl Display {
        self
    }
}

impl<T: Amount> Limit<T> {
    const fn new(field: &'static str, range: RangeInclusive<T>) -> Self {
        Self { field, range, zero: None }
    }

    /// Checks a value of the policy, or of the provider with this name.
    pub(crate) fn check(&self, provider: Option<&str>, value: T) -> Result<(), ConfigError> {
        if self.range.contains(&value) || (self.zero.is_some() && value == T::ZERO) {
            return Ok(());
        }
        Err(ConfigError::new(provider, self.field, self).of_kind(ConfigErrorKind::OutOfRange))
    }

    pub(crate) fn check_if_set(
        &self,
        provider: Option<&str>,
        value: Option<T>,
    ) -> Result<(), ConfigError> {
        value.map_or(Ok(()), |value| self.check(provider, value))
    }
}

impl<T: Amount> Display for Limit<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (least, most) = (*self.range.start(), *self.range.end());
        match self.zero {
            Some(meaning) => write!(
                formatter,
                "must be 0 ({meaning}) or between {} and {}",
                least.text(),
                most.text()
            ),
            None if least == T::ZERO => write!(formatter, "must be at most {}", most.text()),
            None if most == T::MAX => write!(formatter, "must be at least {}", least.text()),
            None => write!(formatter, "must be between {} and {}", least.text(), most.text()),
        }
    }
}

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
const SECOND: Duration = Duration::from_secs(1);

pub(crate) const LEEWAY: Limit<Duration> =
    Limit::new(names::LEEWAY_SECONDS, Duration::ZERO..=Duration::from_secs(10 * 60));
pub(crate) const TOKEN_AGE: Limit<Duration> =
    Limit::new(names::MAX_TOKEN_AGE_SECONDS, SECOND..=YEAR);
pub(crate) const KEY_REFRESH: Limit<Duration> = Limit {
    field: names::KEY_REFRESH_MINUTES,
    range: SECOND..=YEAR,
    zero: Some("fresh keys for every request"),
};
pub(crate) const STALE_WINDOW: Limit<Duration> =
    Limit::new(names::STALE_WINDOW_MINUTES, Duration::ZERO..=YEAR);
pub(crate) const COOLDOWN: Limit<Duration> =
    Limit::new(names::UNKNOWN_KEY_COOLDOWN_SECONDS, SECOND..=Duration::from_secs(60 * 60));
pub(crate) const FETCH_TIMEOUT: Limit<Duration> =
    Limit::new(names::FETCH_TIMEOUT_SECONDS, Duration::from_millis(100)..=MINUTE);
pub(crate) const PRINCIPAL_LIFETIME: Limit<Duration> =
    Limit::new(names::PRINCIPAL_LIFETIME_SECONDS, Duration::ZERO..=DAY);
pub(crate) const CHECK_TIMEOUT: Limit<Duration> =
    Limit::new(names::CHECK_TIMEOUT_SECONDS, Duration::from_millis(10)..=MINUTE);
pub(crate) const TENANT_LIFETIME: Limit<Duration> =
    Limit::new(names::TENANT_LIFETIME, SECOND..=DAY);
pub(crate) const TENANT_REJECTION_LIFETIME: Limit<Duration> =
    Limit::new(names::TENANT_REJECTION_LIFETIME, SECOND..=DAY);
pub(crate) const TENANT_CAPACITY: Limit<usize> = Limit::new(names::TENANT_CAPACITY, 1..=usize::MAX);
pub(crate) const MAX_TOKEN_LENGTH: Limit<usize> =
    Limit::new(names::MAX_TOKEN_LENGTH, 1..=usize::MAX);
pub(crate) const CACHE_ENTRIES: Limit<usize> = Limit::new(names::CACHE_ENTRIES, 0..=10_000_000);
pub(crate) const DPOP_MAX_AGE: Limit<Duration> =
    Limit::new(names::DPOP_MAX_AGE, SECOND..=Duration::from_secs(10 * 60));
pub(crate) const DPOP_CLOCK_SKEW: Limit<Duration> =
    Limit::new(names::DPOP_CLOCK_SKEW, Duration::ZERO..=Duration::from_secs(5 * 60));
pub(crate) const DPOP_NONCE_LIFETIME: Limit<Duration> =
    Limit::new(names::DPOP_NONCE_LIFETIME, Duration::from_secs(10)..=Duration::from_secs(60 * 60));
/// The length of a secret for nonces, in bytes: that of the MAC's hash (RFC 2104 §3).
pub(crate) const DPOP_NONCE_SECRET: Limit<usize> =
    Limit::new(names::DPOP_NONCE_SECRET, 32..=usize::MAX);
pub(crate) const INTROSPECTION_CACHE: Limit<Duration> =
    Limit::new(names::INTROSPECTION_CACHE, Duration::ZERO..=Duration::from_secs(60 * 60));
pub(crate) const INTROSPECTION_NEGATIVE_CACHE: Limit<Duration> =
    Limit::new(names::INTROSPECTION_NEGATIVE_CACHE, Duration::ZERO..=MINUTE);
pub(crate) const INTROSPECTION_CALLS: Limit<usize> =
    Limit::new(names::INTROSPECTION_CALLS, 1..=1024);
pub(crate) const DENY_LIST_TOKEN_LIFETIME: Limit<Duration> =
    Limit::new(names::DENY_LIST_TOKEN_LIFETIME, SECOND..=YEAR);
pub(crate) const DENY_LIST_ENTRIES: Limit<usize> =
    Limit::new(names::DENY_LIST_ENTRIES, 1..=10_000_000);
pub(crate) const DENY_LIST_USE_LAST_LIST: Limit<Duration> =
    Limit::new(names::DENY_LIST_USE_LAST_LIST, Duration::from_secs(3)..=DAY);
pub(crate) const API_KEYS_CACHE: Limit<Duration> =
    Limit::new(names::API_KEYS_CACHE, Duration::ZERO..=Duration::from_secs(60 * 60));
pub(crate) const API_KEYS_NEGATIVE_CACHE: Limit<Duration> =
    Limit::new(names::API_KEYS_NEGATIVE_CACHE, Duration::ZERO..=MINUTE);
pub(crate) const API_KEYS_CALLS: Limit<usize> = Limit::new(names::API_KEYS_CALLS, 1..=1024);
pub(crate) const EXCHANGE_CALLS: Limit<usize> = Limit::new(names::EXCHANGE_CALLS, 1..=1024);
pub(crate) const EXCHANGE_ENTRIES: Limit<usize> =
    Limit::new(names::EXCHANGE_ENTRIES, 0..=1_000_000);
pub(crate) const STATUS_LIST_MAX_AGE: Limit<Duration> =
    Limit::new(names::STATUS_LIST_MAX_AGE, SECOND..=DAY);
pub(crate) const STATUS_LIST_BYTES: Limit<usize> =
    Limit::new(names::STATUS_LIST_BYTES, 1024..=64 * 1024 * 1024);
/// How many key sources a provider may have.
pub(crate) const MAX_SOURCES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn range_is_shown_as_numbers_with_units() {
        for (limit, shown) in [
            (LEEWAY, "must be at most 600 s"),
            (TOKEN_AGE, "must be between 1 s and 365 days"),
            (KEY_REFRESH, "must be 0 (fresh keys for every request) or between 1 s and 365 days"),
            (STALE_WINDOW, "must be at most 365 days"),
            (COOLDOWN, "must be between 1 s and 3600 s"),
            (FETCH_TIMEOUT, "must be between 100 ms and 60 s"),
        ] {
            assert_eq!(limit.to_string(), shown);
        }
    }

    #[test]
    fn value_outside_its_range_is_out_of_range() {
        let seconds = Duration::from_secs;
        assert!(LEEWAY.check(None, seconds(600)).is_ok());
        assert!(KEY_REFRESH.check(None, Duration::ZERO).is_ok());
        assert!(COOLDOWN.check(None, Duration::ZERO).is_err());
        let error = LEEWAY.check(Some("p"), seconds(601)).expect_err("too long");
        assert_eq!(error.kind(), ConfigErrorKind::OutOfRange);
        assert_eq!((error.provider(), error.field()), (Some("p"), "leeway_seconds"));
    }
}
