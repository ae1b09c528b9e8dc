//! Reads the settings of introspection.

use super::{Setting, Settings, input::Input, read_map, set};
use crate::config::{error::ConfigError, introspection::Introspection, names, provider::Provider};

pub(super) fn read(provider: &mut Provider, input: Input<'_>) -> Result<(), ConfigError> {
    let mut introspection = Introspection::default();
    read_map(&mut introspection, input)?;
    provider.introspection = Some(introspection);
    Ok(())
}

impl Settings for Introspection {
    const SETTINGS: &'static [Setting<Self>] = settings! {
        ENDPOINT: at | discover => |introspection, input| {
            input.text().map(|url| introspection.endpoint = Some(url))
        };
        CLIENT_AUTHENTICATION: authentication = client_authentication();
        TOKEN_PREFIX: token_prefix = text();
        EVERY_TOKEN: every_token = flag();
        SIGNED: signed = flag();
        CACHE_SECONDS: cache = seconds();
        NEGATIVE_CACHE_SECONDS: negative_cache = seconds();
        MAX_CALLS: max_calls = number();
        DANGEROUS_WITHOUT_AUDIENCE: dangerous_without_audience = flag();
    };
}
