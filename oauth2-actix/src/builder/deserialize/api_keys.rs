//! Reads API keys.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;

use super::{Setting, Settings, input::Input, read_map, set};
use crate::{
    api_keys::{ApiKey, ApiKeys},
    builder::OAuth2Builder,
    config::{
        error::{ConfigError, Faults},
        names,
    },
};

impl Settings for ApiKeys {
    const SETTINGS: &'static [Setting<Self>] = settings! {
        PREFIX: new => |keys, input| input.text().map(|prefix| keys.prefix = prefix);
        KEYS: key => read_keys;
        REQUIRE_CHECKSUM: require_checksum = flag();
        CACHE_SECONDS: cache = seconds();
        NEGATIVE_CACHE_SECONDS: negative_cache = seconds();
        MAX_CALLS: max_calls = number();
        DANGEROUS_WITHOUT_BINDING: dangerous_without_binding = flag();
    };
}

/// The members of one key.
#[derive(Default)]
struct Members {
    hashes: Vec<String>,
    claims: Value,
    expires: Option<Duration>,
}

impl Settings for Members {
    const SETTINGS: &'static [Setting<Self>] = settings! {
        HASHES: new => |members, input| input.separated().map(|hashes| members.hashes = hashes);
        CLAIMS: claims => |members, input| input.map().map(|claims| members.claims = claims.into());
        EXPIRES_AT_UNIX_SECONDS: expires => |members, input| {
            input.seconds().map(|time| members.expires = Some(time))
        };
    };
}

pub(super) fn read(builder: &mut OAuth2Builder, input: Input<'_>) -> Result<(), ConfigError> {
    let mut faults = Faults::default();
    let field = input.field.clone();
    for (name, value) in input.map()? {
        let mut keys = ApiKeys::default();
        let field = format!("{field}.{name}").into();
        faults.take(read_map(&mut keys, Input { provider: None, field, value }));
        builder.api_keys.push((name, keys));
    }
    faults.into_result()
}

fn read_keys(keys: &mut ApiKeys, input: Input<'_>) -> Result<(), ConfigError> {
    let mut faults = Faults::default();
    let field = input.field.clone();
    for (name, value) in input.map()? {
        let mut members = Members::default();
        let field = format!("{field}.{name}").into();
        faults.take(read_map(&mut members, Input { provider: None, field, value }));
        let mut key = ApiKey::new(name, members.hashes).claims(members.claims);
        if let Some(expires) = members.expires {
            // A later time than the clock can show is an error as one without an end would be.
            key = key.expires(UNIX_EPOCH.checked_add(expires).unwrap_or(UNIX_EPOCH));
        }
        keys.keys.push(key);
    }
    faults.into_result()
}
