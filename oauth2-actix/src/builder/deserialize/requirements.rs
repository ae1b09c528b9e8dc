//! Reads requirements, as the values of `policies` and of `require`.
//!
//! A requirement is a map with one of these names: `claim` (beside it `value`, `any_of`, `all_of` or nothing),
//! `scopes`, `any_scope`, `policy`, `acr`, `auth_age_seconds`, `actor` (beside it `issuer` or nothing),
//! `not_delegated`, `dpop`, `any` and `all`.

use std::{ops::RangeInclusive, time::Duration};

use serde_json::{Map, Value};

use super::input::Input;
use crate::{
    authorize::requirement::{self, ClaimValue, ClaimValues, Requirement},
    config::error::{ConfigError, ConfigErrorKind, Faults},
    token::scope::is_scope_token,
};

/// Reads one requirement.
pub(super) fn read(input: Input<'_>) -> Result<Requirement, ConfigError> {
    read_nested(input, 0)
}

fn read_nested(mut input: Input<'_>, depth: usize) -> Result<Requirement, ConfigError> {
    input.parse_text_that_begins_with('{')?;
    if depth > MAX_DEPTH {
        let problem = format!("requirements are nested more than {MAX_DEPTH} deep");
        return Err(input.fault(ConfigErrorKind::OutOfRange, problem));
    }
    let Value::Object(members) = &mut input.value else {
        return Err(input.wrong_type(EXPECTED));
    };
    let mut members = std::mem::take(members);
    members.retain(|_, value| !value.is_null());
    let mut named = FORMS.into_iter().filter_map(|form| Some((form, members.remove(form)?)));
    let (Some((form, value)), None) = (named.next(), named.next()) else {
        return Err(input.fault(ConfigErrorKind::WrongType, format_args!("must be {EXPECTED}")));
    };
    let nested = |value| Input { provider: input.provider, field: input.field.clone(), value };
    let requirement = match form {
        "claim" => claim(value, &mut members)
            .map_err(|problem| input.fault(ConfigErrorKind::WrongType, problem))?,
        "scopes" => requirement::scopes(not_empty(nested(value).texts()?, &input)?),
        "any_scope" => requirement::any_scope(not_empty(nested(value).texts()?, &input)?),
        "policy" => requirement::policy(nested(value).text()?),
        "acr" => {
            let values = not_empty(nested(value).texts()?, &input)?;
            if let Some(wrong) = values.iter().find(|acr| !is_scope_token(acr)) {
                let problem = format_args!(
                    "{wrong:?} is not a value of `acr`; expected printable ASCII without spaces, quotes and \
                     backslashes"
                );
                return Err(input.fault(ConfigErrorKind::Invalid, problem));
            }
            requirement::acr(values)
        }
        "auth_age_seconds" => {
            let max_age = nested(value).seconds()?;
            if !AUTH_AGE.contains(&max_age) {
                let problem = "the age of the authentication must be between 1 s and 365 days";
                return Err(input.fault(ConfigErrorKind::OutOfRange, problem));
            }
            requirement::auth_age(max_age)
        }
        "actor" => {
            let subjects = not_empty(nested(value).texts()?, &input)?;
            if subjects.iter().any(String::is_empty) {
                let problem = "the subject of an actor must not be empty";
                return Err(input.fault(ConfigErrorKind::Empty, problem));
            }
            match members.remove("issuer") {
                None => requirement::actor(subjects),
                Some(issuer) => requirement::actor_of(nested(issuer).text()?, subjects),
            }
        }
        "not_delegated" | "dpop" => match (nested(value).flag()?, form) {
            (true, "dpop") => requirement::dpop(),
            (true, _) => requirement::not_delegated(),
            (false, form) => {
                let problem =
                    format!("`{form}` must be true; there is no requirement for the contrary");
                return Err(input.fault(ConfigErrorKind::Invalid, problem));
            }
        },
        _ => {
            let Value::Array(parts) = value else {
                return Err(nested(value).wrong_type("a list of requirements"));
            };
            let mut faults = Faults::default();
            let parts: Vec<Requirement> = parts
                .into_iter()
                .filter_map(|part| faults.take(read_nested(nested(part), depth + 1)))
                .collect();
            faults.into_result()?;
            let parts = not_empty(parts, &input)?;
            if form == "any" { requirement::any(parts) } else { requirement::all(parts) }
        }
    };
    match members.keys().next() {
        None => Ok(requirement),
        Some(other) => {
            let problem = format_args!("unknown member {other:?} beside {form:?}");
            Err(input.fault(ConfigErrorKind::Unknown, problem))
        }
    }
}

/// An empty list would reject every token.
fn not_empty<T>(values: Vec<T>, input: &Input<'_>) -> Result<Vec<T>, ConfigError> {
    if values.is_empty() {
        let problem =
            "the list is empty, so no token could satisfy it; expected at least one value";
        return Err(input.fault(ConfigErrorKind::Empty, problem));
    }
    Ok(values)
}

/// Reads the claim of this name, with the values beside it.
fn claim(name: Value, members: &mut Map<String, Value>) -> Result<Requirement, String> {
    let Value::String(name) = name else {
        return Err("`claim` must be the name of a claim, or a JSON pointer".to_owned());
    };
    if name.is_empty() {
        return Err("the name of the claim must not be empty".to_owned());
    }
    let mut given = ["value", "any_of", "all_of"]
        .into_iter()
        .filter_map(|member| Some((member, members.remove(member)?)));
    let values = match (given.next(), given.next()) {
        (None, _) => ClaimValues::present(),
        (Some(("value", value)), None) => ClaimValues::any_of([claim_value(value)?]),
        (Some((member, Value::Array(list))), None) if !list.is_empty() => {
            let list = list.into_iter().map(claim_value).collect::<Result<Vec<_>, _>>()?;
            if member == "any_of" { ClaimValues::any_of(list) } else { ClaimValues::all_of(list) }
        }
        (Some((member, _)), None) => {
            return Err(format!("`{member}` must be a list of values, and not empty"));
        }
        (Some(_), Some(_)) => {
            return Err("expected one of `value`, `any_of` and `all_of`".to_owned());
        }
    };
    Ok(requirement::claim(name, values))
}

fn claim_value(value: Value) -> Result<ClaimValue, String> {
    match value {
        Value::String(text) => Ok(text.into()),
        Value::Bool(flag) => Ok(flag.into()),
        Value::Number(number) if number.is_i64() => Ok(number.as_i64().unwrap_or_default().into()),
        Value::Number(number) if number.is_u64() => Ok(number.as_u64().unwrap_or_default().into()),
        _ => Err("a value must be text, an integer, true or false".to_owned()),
    }
}

const FORMS: [&str; 11] = [
    "claim",
    "scopes",
    "any_scope",
    "policy",
    "acr",
    "auth_age_seconds",
    "actor",
    "not_delegated",
    "dpop",
    "any",
    "all",
];
const EXPECTED: &str = "a map with one of `claim`, `scopes`, `any_scope`, `policy`, `acr`, `auth_age_seconds`, \
     `actor`, `not_delegated`, `dpop`, `any` and `all`";
const AUTH_AGE: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(365 * 24 * 60 * 60);
const MAX_DEPTH: usize = 16;
