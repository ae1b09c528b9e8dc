//! The scopes that a requirement names.

use super::{Node, Requirement};
use crate::{
    authorize::policies,
    token::{claims::Claims, rules::Rules, scope},
};

impl Requirement {
    /// Returns whether a part that the claims do not satisfy requires scopes.
    pub(super) fn lacks_scope(&self, claims: &Claims) -> bool {
        if self.is_met(claims) {
            return false;
        }
        match &*self.0 {
            Node::Scopes { .. } => true,
            Node::Any(parts) | Node::All(parts) => {
                parts.iter().any(|part| part.lacks_scope(claims))
            }
            Node::Policy(name) => policies::find(&claims.verified().by.rules, name)
                .is_some_and(|policy| policy.lacks_scope(claims)),
            _ => false,
        }
    }

    /// Returns all scopes that the requirement names, separated by spaces, as a challenge shows them. A scope
    /// that another one implies is left out if both are required. None if there are none.
    pub(crate) fn challenged_scopes(&self, rules: &Rules) -> Option<String> {
        let (mut scopes, mut has_alternatives) = (Vec::new(), false);
        self.collect_scopes(rules, &mut scopes, &mut has_alternatives);
        // A challenge may contain only valid scope tokens (RFC 6750 §3); other scopes can never be granted.
        scopes.retain(|scope| scope::is_scope_token(scope));
        let is_implied = |scope: &str| {
            let implying = rules.scopes.implying(scope);
            !has_alternatives && scopes.iter().any(|other| implying.iter().any(|it| it == other))
        };
        let needed: Vec<&str> = scopes.iter().copied().filter(|scope| !is_implied(scope)).collect();
        (!needed.is_empty()).then(|| needed.join(" "))
    }

    /// Returns the alternatives of scopes that the requirement needs, whatever claims it needs besides. None if
    /// there are too many.
    #[cfg(feature = "utoipa")]
    pub(crate) fn scope_alternatives(&self, rules: &Rules) -> Option<Vec<Vec<String>>> {
        const MOST: usize = 16;
        let alternatives = match &*self.0 {
            Node::Scopes { required, all: true } => vec![required.clone()],
            Node::Scopes { required, all: false } => {
                required.iter().map(|scope| vec![scope.clone()]).collect()
            }
            Node::Any(parts) => {
                let mut all = Vec::new();
                for part in parts {
                    all.extend(part.scope_alternatives(rules)?);
                }
                all
            }
            Node::All(parts) => {
                let mut combined = vec![Vec::new()];
                for part in parts {
                    let alternatives = part.scope_alternatives(rules)?;
                    combined = combined
                        .iter()
                        .flat_map(|before: &Vec<String>| {
                            alternatives.iter().map(move |scopes| {
                                let mut both = before.clone();
                                both.extend(
                                    scopes.iter().filter(|scope| !before.contains(scope)).cloned(),
                                );
                                both
                            })
                        })
                        .take(MOST + 1)
                        .collect();
                }
                combined
            }
            Node::Policy(name) => match policies::find(rules, name) {
                Some(policy) => policy.scope_alternatives(rules)?,
                None => vec![Vec::new()],
            },
            _ => vec![Vec::new()],
        };
        (alternatives.len() <= MOST).then_some(alternatives)
    }

    /// Returns all scopes that the requirement names, for the lists of scopes that an API uses.
    pub(crate) fn named_scopes(&self, rules: &Rules) -> Vec<String> {
        let mut scopes = Vec::new();
        self.collect_scopes(rules, &mut scopes, &mut false);
        scopes.into_iter().map(str::to_owned).collect()
    }

    /// Adds the scopes that the requirement names, and notes if one of several would do.
    fn collect_scopes<'a>(
        &'a self,
        rules: &'a Rules,
        into: &mut Vec<&'a str>,
        has_alternatives: &mut bool,
    ) {
        match &*self.0 {
            Node::Scopes { required, all } => {
                *has_alternatives |= !all && required.len() > 1;
                for scope in required {
                    if !into.contains(&scope.as_str()) {
                        into.push(scope);
                    }
                }
            }
            Node::Any(parts) | Node::All(parts) => {
                *has_alternatives |= matches!(&*self.0, Node::Any(_)) && parts.len() > 1;
                for part in parts {
                    part.collect_scopes(rules, into, has_alternatives);
                }
            }
            Node::Policy(name) => {
                if let Some(policy) = policies::find(rules, name) {
                    policy.collect_scopes(rules, into, has_alternatives);
                }
            }
            _ => {}
        }
    }
}
