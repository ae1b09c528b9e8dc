//! The named policies: requirements that handlers refer to by name.

use std::collections::BTreeMap;

use crate::{
    authorize::{requirement::Requirement, rule::RULED_ROUTES},
    token::rules::Rules,
};

/// The policies of an `OAuth2`, by name.
#[derive(Debug, Default)]
pub(crate) struct Policies(BTreeMap<String, Requirement>);

impl Policies {
    pub(crate) fn new(policies: impl IntoIterator<Item = (String, Requirement)>) -> Self {
        Self(policies.into_iter().collect())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Requirement> {
        self.0.get(name)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Returns the name of a policy that refers to itself, directly or by others.
    pub(crate) fn cycle(&self) -> Option<&str> {
        self.0.keys().map(String::as_str).find(|name| {
            let mut reached: Vec<&str> = Vec::new();
            let mut next = vec![*name];
            while let Some(current) = next.pop() {
                for other in self.get(current).map(Requirement::policy_names).unwrap_or_default() {
                    if other == *name {
                        return true;
                    }
                    if !reached.contains(&other) {
                        reached.push(other);
                        next.push(other);
                    }
                }
            }
            false
        })
    }

    /// Returns each name that a policy or a handler of the program uses and that is not defined, with what uses
    /// it.
    pub(crate) fn undefined(&self) -> Vec<(&str, String)> {
        let of_policies = self.0.iter().flat_map(|(name, requirement)| {
            let used = requirement.policy_names();
            used.into_iter().map(move |used| (used, format!("policy {name:?}")))
        });
        let of_handlers = RULED_ROUTES.iter().flat_map(|row| {
            (row.rule)().policies().iter().map(|name| (*name, format!("handler {}", row.handler)))
        });
        let mut undefined: Vec<_> =
            of_policies.chain(of_handlers).filter(|(name, _)| self.get(name).is_none()).collect();
        undefined.sort();
        undefined.dedup_by(|one, other| one.0 == other.0);
        undefined
    }
}

/// Returns a policy of the `OAuth2` that accepted a token.
pub(crate) fn find<'a>(rules: &'a Rules, name: &str) -> Option<&'a Requirement> {
    rules.policies.downcast_ref::<Policies>()?.get(name)
}
