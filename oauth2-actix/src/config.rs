//! The configuration through serde. Read by hand from a strict value, so that every error names
//! the provider and the field, whatever the format.

use std::{fmt::Display, time::Duration};

use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::{Map, Value};

use crate::{
    BuildError, Keys, MissingToken, OAuth2Builder, Provider, TokenCache, json::StrictValue,
};

impl<'de> Deserialize<'de> for OAuth2Builder {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let StrictValue(value) = StrictValue::deserialize(deserializer)?;
        read_policy(value).map_err(D::Error::custom)
    }
}

fn read_policy(value: Value) -> Result<OAuth2Builder, BuildError> {
    let Value::Object(fields) = value else {
        return Err(BuildError::of_policy("oauth2", "it is not a map of settings"));
    };
    let mut builder = OAuth2Builder::default();
    for (name, value) in fields {
        match name.as_str() {
            "providers" => {
                for (name, provider) in read::<Map<String, Value>>("providers", value)? {
                    let provider = read_provider(&name, provider)?;
                    builder = builder.provider(name, provider);
                }
            }
            "public_paths" => {
                builder = builder.public_paths(read::<Vec<String>>("public_paths", value)?);
            }
            "key_refresh_minutes" => builder = read_refresh(builder, value)?,
            "leeway_seconds" => {
                builder = builder.leeway(Duration::from_secs(read("leeway_seconds", value)?));
            }
            "realm" => builder = builder.realm(read::<String>("realm", value)?),
            "missing_token" => {
                builder = builder.missing_token(match value.as_str() {
                    Some("bad_request") => MissingToken::BadRequest,
                    Some("unauthorized") => MissingToken::Unauthorized,
                    _ => {
                        let problem = "it is neither \"bad_request\" nor \"unauthorized\"";
                        return Err(BuildError::of_policy("missing_token", problem));
                    }
                });
            }
            "max_token_length" => {
                builder = builder.max_token_length(read("max_token_length", value)?);
            }
            "max_token_age_seconds" => {
                let seconds = read("max_token_age_seconds", value)?;
                builder = builder.max_token_age(Duration::from_secs(seconds));
            }
            "token_cache" => builder = builder.token_cache(read_token_cache(value)?),
            "crypto_library" => {
                builder = builder.crypto_library(read("crypto_library", value)?);
            }
            #[cfg(feature = "websocket")]
            "token_from_subprotocol" => {
                builder.token_places.subprotocol = read("token_from_subprotocol", value)?;
            }
            #[cfg(feature = "websocket")]
            "token_from_query" => {
                builder.token_places.query = Some(read("token_from_query", value)?);
            }
            #[cfg(feature = "websocket")]
            "token_from_cookie" => {
                builder.token_places.cookie = Some(read("token_from_cookie", value)?);
            }
            "stale_window_minutes" => {
                let minutes: u32 = read("stale_window_minutes", value)?;
                builder = builder.stale_window(Duration::from_secs(60 * u64::from(minutes)));
            }
            "unknown_key_cooldown_seconds" => {
                let seconds = read("unknown_key_cooldown_seconds", value)?;
                builder = builder.unknown_key_cooldown(Duration::from_secs(seconds));
            }
            "key_snapshot" => {
                builder = builder.key_snapshot(read::<std::path::PathBuf>("key_snapshot", value)?);
            }
            "fetch_timeout_seconds" => {
                let seconds = read("fetch_timeout_seconds", value)?;
                builder = builder.fetch_timeout(Duration::from_secs(seconds));
            }
            _ => return Err(BuildError::of_policy("oauth2", unknown(&name, POLICY_FIELDS))),
        }
    }
    Ok(builder)
}

/// Minutes for all providers, or for each by name.
fn read_refresh(mut builder: OAuth2Builder, value: Value) -> Result<OAuth2Builder, BuildError> {
    const FIELD: &str = "key_refresh_minutes";
    let Value::Object(by_name) = value else {
        return Ok(builder.key_refresh_minutes(read(FIELD, value)?));
    };
    for (name, minutes) in by_name {
        let minutes: u32 = serde_json::from_value(minutes)
            .map_err(|error| BuildError::of_provider(&name, FIELD, error))?;
        builder.key_refresh_of.insert(name, Duration::from_secs(60 * u64::from(minutes)));
    }
    Ok(builder)
}

/// `false`, or its bounds.
fn read_token_cache(value: Value) -> Result<TokenCache, BuildError> {
    const FIELD: &str = "token_cache";
    let Value::Object(bounds) = value else {
        return match value {
            Value::Bool(false) => Ok(TokenCache::off()),
            Value::Bool(true) => Ok(TokenCache::new()),
            _ => Err(BuildError::of_policy(FIELD, "it is neither a bool nor a map of bounds")),
        };
    };
    let mut cache = TokenCache::new();
    for (name, value) in bounds {
        cache = match name.as_str() {
            "max_entries" => cache.max_entries(read(FIELD, value)?),
            "max_bytes" => cache.max_bytes(read(FIELD, value)?),
            _ => {
                let problem = unknown(&name, &["max_entries", "max_bytes"]);
                return Err(BuildError::of_policy(FIELD, problem));
            }
        };
    }
    Ok(cache)
}

fn read_provider(name: &str, value: Value) -> Result<Provider, BuildError> {
    let Value::Object(fields) = value else {
        return Err(BuildError::of_provider(name, "providers", "it is not a map of settings"));
    };
    let mut provider = Provider::new();
    for (field, value) in fields {
        match field.as_str() {
            "issuer" => provider.issuers = one_or_several(name, "issuer", value)?,
            "audience" => provider.audiences = one_or_several(name, "audience", value)?,
            "audience_claim" => {
                provider =
                    provider.audience_claim(read_of::<String>(name, "audience_claim", value)?);
            }
            "keys" => provider = provider.keys(read_keys(name, "keys", value)?),
            "initial_keys" => {
                provider = provider.initial_keys(read_keys(name, "initial_keys", value)?);
            }
            "algorithms" => provider.algorithms = Some(read_of(name, "algorithms", value)?),
            "require_at_jwt" => {
                provider = provider.require_at_jwt(read_of(name, "require_at_jwt", value)?);
            }
            "dangerous_allow_http" => {
                let allow = read_of(name, "dangerous_allow_http", value)?;
                provider = provider.dangerous_allow_http(allow);
            }
            _ => {
                let problem = unknown(&field, PROVIDER_FIELDS);
                return Err(BuildError::of_provider(name, "providers", problem));
            }
        }
    }
    Ok(provider)
}

fn read_keys(name: &str, field: &'static str, value: Value) -> Result<Keys, BuildError> {
    Keys::read(value).map_err(|problem| BuildError::of_provider(name, field, problem))
}

fn one_or_several(
    provider: &str,
    field: &'static str,
    value: Value,
) -> Result<Vec<String>, BuildError> {
    match value {
        Value::String(one) => Ok(vec![one]),
        several => read_of(provider, field, several),
    }
}

fn read<T: serde::de::DeserializeOwned>(
    field: &'static str,
    value: Value,
) -> Result<T, BuildError> {
    serde_json::from_value(value).map_err(|error| BuildError::of_policy(field, error))
}

fn read_of<T: serde::de::DeserializeOwned>(
    provider: &str,
    field: &'static str,
    value: Value,
) -> Result<T, BuildError> {
    serde_json::from_value(value).map_err(|error| BuildError::of_provider(provider, field, error))
}

fn unknown(name: &str, known: &[&str]) -> impl Display {
    format!("there is no setting {name:?}, only {}", known.join(", "))
}

const POLICY_FIELDS: &[&str] = &[
    "providers",
    "public_paths",
    "key_refresh_minutes",
    "leeway_seconds",
    "realm",
    "missing_token",
    "max_token_length",
    "max_token_age_seconds",
    "token_cache",
    "crypto_library",
    #[cfg(feature = "websocket")]
    "token_from_subprotocol",
    #[cfg(feature = "websocket")]
    "token_from_query",
    #[cfg(feature = "websocket")]
    "token_from_cookie",
    "stale_window_minutes",
    "unknown_key_cooldown_seconds",
    "fetch_timeout_seconds",
    "key_snapshot",
];

const PROVIDER_FIELDS: &[&str] = &[
    "issuer",
    "audience",
    "audience_claim",
    "keys",
    "initial_keys",
    "algorithms",
    "require_at_jwt",
    "dangerous_allow_http",
];
