//! The text of a requirement: what the table of access rules, errors and logs show.

use std::fmt;

use super::{ClaimValues, Node, Requirement};
use crate::{authorize::policies, token::rules::Rules};

impl Requirement {
    /// Describes the requirement. With the rules of an `OAuth2`, a policy is described by its name and meaning.
    pub(crate) fn describe(&self, rules: Option<&Rules>) -> String {
        let joined = |parts: &[Self], word: &str| {
            let parts: Vec<String> = parts.iter().map(|part| part.describe(rules)).collect();
            format!("({})", parts.join(word))
        };
        match &*self.0 {
            Node::Claim { name, values } => format!("claim {name}{values}"),
            Node::Scopes { required, all } => {
                let scopes: Vec<String> =
                    required.iter().map(|scope| with_implying(scope, rules)).collect();
                format!("{} {}", if *all { "scope" } else { "any scope of" }, scopes.join(" "))
            }
            Node::Any(parts) => joined(parts, " or "),
            Node::All(parts) => joined(parts, " and "),
            Node::Policy(name) => match rules.and_then(|rules| policies::find(rules, name)) {
                Some(policy) => format!("policy {name}: {}", policy.describe(rules)),
                None => format!("policy {name}"),
            },
            Node::Acr(values) => {
                let word = if values.len() == 1 { "acr" } else { "any acr of" };
                format!("{word} {}", values.join(" "))
            }
            Node::AuthAge(max_age) => {
                format!("authentication within {} s", max_age.as_secs_f64())
            }
            Node::Actor { subjects, issuer } => {
                let subjects = ClaimValues::any_of(subjects.iter().map(String::as_str));
                match issuer {
                    None => format!("actor{subjects}"),
                    Some(issuer) => format!("actor of {issuer:?}{subjects}"),
                }
            }
            Node::NotDelegated => "not delegated".to_owned(),
            Node::Dpop => "dpop".to_owned(),
            Node::Detail { detail_type, name, .. } => {
                format!("authorization detail {detail_type} that {name} accepts")
            }
            Node::Custom { name, .. } => format!("predicate {name}"),
        }
    }

    /// Adds the parts of the requirement, all of which are required. Each scope is a part.
    pub(crate) fn describe_parts(&self, rules: Option<&Rules>, into: &mut Vec<String>) {
        match &*self.0 {
            Node::All(parts) if !parts.is_empty() => {
                parts.iter().for_each(|part| part.describe_parts(rules, into));
            }
            Node::Scopes { required, all: true } if !required.is_empty() => {
                let scopes = required.iter().map(|scope| with_implying(scope, rules));
                into.extend(scopes.map(|scope| format!("scope {scope}")));
            }
            _ => into.push(self.describe(rules)),
        }
    }
}

/// Returns a scope, and those that imply it in parentheses.
fn with_implying(scope: &str, rules: Option<&Rules>) -> String {
    match rules.map(|rules| rules.scopes.implying(scope)) {
        None | Some([]) => scope.to_owned(),
        Some(implying) => format!("{scope} (or {})", implying.join(", ")),
    }
}

/// Writes a stable text in the developer's own terms, such as `claim role = "admin"`.
impl fmt::Display for Requirement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.describe(None))
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Claim { name, values } => {
                formatter.debug_tuple("Claim").field(name).field(values).finish()
            }
            Self::Scopes { required, all } => {
                let name = if *all { "AllScopes" } else { "AnyScope" };
                formatter.debug_tuple(name).field(required).finish()
            }
            Self::Any(parts) => formatter.debug_tuple("Any").field(parts).finish(),
            Self::All(parts) => formatter.debug_tuple("All").field(parts).finish(),
            Self::Policy(name) => formatter.debug_tuple("Policy").field(name).finish(),
            Self::Acr(values) => formatter.debug_tuple("Acr").field(values).finish(),
            Self::AuthAge(max_age) => formatter.debug_tuple("AuthAge").field(max_age).finish(),
            Self::Actor { subjects, issuer } => {
                formatter.debug_tuple("Actor").field(subjects).field(issuer).finish()
            }
            Self::NotDelegated => formatter.write_str("NotDelegated"),
            Self::Dpop => formatter.write_str("Dpop"),
            Self::Detail { detail_type, name, .. } => {
                formatter.debug_tuple("Detail").field(detail_type).field(name).finish()
            }
            Self::Custom { name, .. } => formatter.debug_tuple("Custom").field(name).finish(),
        }
    }
}
