//! When the keys of a provider are fetched, and for how long they are used.

use std::time::Duration;

use crate::{
    config::{
        error::{ConfigError, ConfigErrorKind},
        names,
        provider::Provider,
    },
    keys::remote::{Refresh, Timing},
    provider::Defaults,
};

/// Returns how keys are fetched. The builder has rejected values outside their ranges.
pub(super) fn timing(
    name: &str,
    provider: &Provider,
    defaults: &Defaults,
) -> Result<Timing, ConfigError> {
    let refresh = match provider.key_refresh.or(defaults.key_refresh) {
        None => Refresh::Never,
        Some(Duration::ZERO) => Refresh::Always,
        Some(interval) => Refresh::Every(interval),
    };
    let interval = match refresh {
        Refresh::Every(interval) => interval,
        Refresh::Never | Refresh::Always => Duration::ZERO,
    };
    let stale_window = match provider.stale_window.or(defaults.stale_window) {
        None => DEFAULT_STALE_WINDOW.max(interval.saturating_mul(2)),
        Some(window) if window >= interval => window,
        Some(_) => {
            return Err(ConfigError::of_provider(
                name,
                names::STALE_WINDOW_MINUTES,
                "must not be shorter than the refresh interval, or keys go stale before they are \
                 fetched again",
            )
            .of_kind(ConfigErrorKind::Conflict));
        }
    };
    Ok(Timing {
        refresh,
        stale_window,
        cooldown: provider.unknown_key_cooldown.unwrap_or(defaults.cooldown),
        timeout: provider.fetch_timeout.unwrap_or(defaults.timeout),
    })
}

const DEFAULT_STALE_WINDOW: Duration = Duration::from_secs(24 * 60 * 60);
