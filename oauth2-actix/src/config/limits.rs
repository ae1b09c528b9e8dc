//! The ranges of the settings that are durations.

use std::{fmt, ops::RangeInclusive, time::Duration};

use crate::{
    config::error::{ConfigError, ConfigErrorKind},
    util::units::Unit,
};

/// The range of a setting.
#[derive(Debug)]
pub(crate) struct Limit {
    /// The name of the setting in the serde form.
    field: &'static str,
    range: RangeInclusive<Duration>,
    /// The meaning of zero, if zero is allowed besides the range.
    zero: Option<&'static str>,
}

impl Limit {
    /// Checks a value of the policy, or of the provider with this name.
    pub(crate) fn check(&self, provider: Option<&str>, value: Duration) -> Result<(), ConfigError> {
        if self.range.contains(&value) || (self.zero.is_some() && value.is_zero()) {
            return Ok(());
        }
        Err(ConfigError::new(provider, self.field, self).of_kind(ConfigErrorKind::OutOfRange))
    }

    pub(crate) fn check_if_set(
        &self,
        provider: Option<&str>,
        value: Option<Duration>,
    ) -> Result<(), ConfigError> {
        value.map_or(Ok(()), |value| self.check(provider, value))
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (least, most) = (Unit(*self.range.start()), Unit(*self.range.end()));
        match self.zero {
            Some(meaning) => {
                write!(formatter, "must be 0 ({meaning}) or between {least} and {most}")
            }
            None if least.0.is_zero() => write!(formatter, "must be at most {most}"),
            None => write!(formatter, "must be between {least} and {most}"),
        }
    }
}

const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

pub(crate) const LEEWAY: Limit =
    Limit { field: "leeway_seconds", range: Duration::ZERO..=Duration::from_secs(600), zero: None };
pub(crate) const TOKEN_AGE: Limit =
    Limit { field: "max_token_age_seconds", range: Duration::from_secs(1)..=YEAR, zero: None };
pub(crate) const KEY_REFRESH: Limit = Limit {
    field: "key_refresh_minutes",
    range: Duration::from_secs(1)..=YEAR,
    zero: Some("fresh keys for every request"),
};
pub(crate) const STALE_WINDOW: Limit =
    Limit { field: "stale_window_minutes", range: Duration::ZERO..=YEAR, zero: None };
pub(crate) const COOLDOWN: Limit = Limit {
    field: "unknown_key_cooldown_seconds",
    range: Duration::from_secs(1)..=Duration::from_secs(60 * 60),
    zero: None,
};
pub(crate) const FETCH_TIMEOUT: Limit = Limit {
    field: "fetch_timeout_seconds",
    range: Duration::from_millis(100)..=Duration::from_secs(60),
    zero: None,
};

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
