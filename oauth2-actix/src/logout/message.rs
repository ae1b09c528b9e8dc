//! The claims that all signed messages of a provider have: the issuer, the id and the time.

use std::{borrow::Cow, time::Duration};

use serde_json::Value;

use crate::{json::object::Object, token::lifetime};

/// What is wrong with a message, for the log. It contains no part of the message.
pub(super) type Problem = Cow<'static, str>;

/// What logout tokens and security event tokens have in common.
#[derive(Debug, PartialEq)]
pub(super) struct Message<'a> {
    pub(super) issuer: &'a str,
    pub(super) id: &'a str,
    /// The `iat` since the Unix epoch.
    pub(super) issued_at: Duration,
    /// When the message is no longer accepted, since the Unix epoch. Its id need not be stored then.
    pub(super) ends: Duration,
}

impl<'a> Message<'a> {
    /// Reads `iss`, `jti` and `iat`, which is mandatory and not in the future.
    pub(super) fn read(
        claims: &'a Object,
        now: Duration,
        leeway: Duration,
        ends: Duration,
    ) -> Result<Self, Problem> {
        let issuer = text(claims, "iss")?.ok_or("`iss` is missing")?;
        let id = text(claims, "jti")?.ok_or("`jti` is missing")?;
        let issued_at = lifetime::numeric_date(claims, "iat").map_err(|error| error.to_string())?;
        let issued_at = Duration::try_from_secs_f64(issued_at.ok_or("`iat` is missing")?)
            .map_err(|_| "`iat` is out of range")?;
        if issued_at > now.saturating_add(leeway.max(CLOCK_SKEW)) {
            return Err("`iat` is in the future".into());
        }
        Ok(Self { issuer, id, issued_at, ends })
    }
}

/// Reads an optional claim that is a string and not empty.
pub(super) fn text<'a>(claims: &'a Object, name: &'static str) -> Result<Option<&'a str>, Problem> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
        Some(_) => Err(format!("`{name}` is empty or not a string").into()),
    }
}

/// How far ahead the clock of the issuer may be. An `iat` in the future revokes only tokens with an earlier `iat` of the
/// same clock.
const CLOCK_SKEW: Duration = Duration::from_secs(60);
