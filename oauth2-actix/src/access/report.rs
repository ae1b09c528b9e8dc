//! What tokens may do and need not: input for narrower scopes.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, PoisonError},
};

use super::routes::{Route, Routes};
use crate::{
    authorize::rule::RULED_ROUTES,
    token::{claims::Claims, rules::Rules},
};

/// Scopes that tokens have and no route requires, and access rules that no token has satisfied: see
/// [`OAuth2::access_report`](crate::OAuth2::access_report).
///
/// It knows the rules of attributes. Requirements around scopes, and checks in handlers such as
/// [`Claims::has_scope`](crate::Claims::has_scope), are not in the table.
#[derive(Clone, Debug, Default, serde::Serialize)]
#[non_exhaustive]
pub struct AccessReport {
    /// Each scope that no route requires and that implies none that a route requires, with the number of
    /// verified tokens that had it. A token in the cache counts once.
    pub scopes_not_required: BTreeMap<String, u64>,
    /// The routes whose rule no token has satisfied since the program started.
    pub routes_never_permitted: Vec<Route>,
    /// Whether there were more scopes than are counted: 1,024 different ones, and 100 of one token.
    pub is_incomplete: bool,
}

impl fmt::Display for AccessReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (scope, tokens) in &self.scopes_not_required {
            writeln!(formatter, "no route requires scope {scope}, which {tokens} tokens had")?;
        }
        for route in &self.routes_never_permitted {
            writeln!(formatter, "no token satisfied {route}")?;
        }
        if self.is_incomplete {
            writeln!(formatter, "there were more than {MAX_SCOPES} different scopes")?;
        }
        Ok(())
    }
}

/// The scopes of the tokens that were verified, counted.
#[derive(Debug, Default)]
pub(crate) struct ScopeCounts(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    tokens: BTreeMap<String, u64>,
    is_incomplete: bool,
}

impl ScopeCounts {
    /// Counts the scopes of a token that was just verified.
    pub(crate) fn count(&self, claims: &Claims) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (index, scope) in claims.scopes().enumerate() {
            if index == MAX_SCOPES_OF_A_TOKEN {
                counts.is_incomplete = true;
                break;
            }
            let has_room = counts.tokens.len() < MAX_SCOPES && scope.len() <= MAX_LENGTH;
            match counts.tokens.get_mut(scope) {
                Some(tokens) => *tokens += 1,
                None if has_room => {
                    counts.tokens.insert(scope.to_owned(), 1);
                }
                None => counts.is_incomplete = true,
            }
        }
    }

    pub(crate) fn report(&self, rules: &Rules) -> AccessReport {
        let mut required: Vec<String> = Vec::new();
        for row in RULED_ROUTES {
            if let Some(requirement) = (row.rule)().requirement() {
                for scope in requirement.named_scopes(rules) {
                    required.extend(rules.scopes.implying(&scope).iter().cloned());
                    required.push(scope);
                }
            }
        }
        let never: Vec<&str> = RULED_ROUTES
            .iter()
            .filter(|row| !(row.rule)().was_satisfied())
            .map(|row| row.handler)
            .collect();
        let routes = Routes::of_program(Some(rules)).into_iter();
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        AccessReport {
            scopes_not_required: counts
                .tokens
                .iter()
                .filter(|(scope, _)| !required.contains(scope))
                .map(|(scope, tokens)| (scope.clone(), *tokens))
                .collect(),
            routes_never_permitted: routes
                .filter(|route| !route.is_public() && never.contains(&route.handler()))
                .collect(),
            is_incomplete: counts.is_incomplete,
        }
    }
}

/// The most scopes of one token that are counted, since a lock is held while they are counted.
const MAX_SCOPES_OF_A_TOKEN: usize = 100;

/// The most different scopes that are counted.
const MAX_SCOPES: usize = 1_024;

/// The longest scope that is counted, in bytes.
const MAX_LENGTH: usize = 256;
