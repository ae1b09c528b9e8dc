//! What a policy knows beside the claims of its tokens, when a requirement is checked.

use std::{any::Any, collections::HashMap, fmt, sync::Arc, time::Duration};

/// The scope hierarchy, the named policies, the time limit of asynchronous checks, the leeway, and the resource
/// identifiers. The claims of every token of a policy share it.
pub(crate) struct Rules {
    pub(crate) scopes: ScopeHierarchy,
    /// The named policies. Their type belongs to `authorize`, which this folder does not import.
    pub(crate) policies: Arc<dyn Any + Send + Sync>,
    /// How long an asynchronous check may take.
    pub(crate) check_timeout: Duration,
    /// The tolerated clock skew.
    pub(crate) leeway: Duration,
    /// The identifiers of this API, as authorization details name it (RFC 9396 §2.2). Without any, a detail that
    /// names locations grants nothing.
    pub(crate) resources: Vec<String>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            scopes: ScopeHierarchy::default(),
            policies: Arc::new(()),
            check_timeout: DEFAULT_CHECK_TIMEOUT,
            leeway: Duration::ZERO,
            resources: Vec::new(),
        }
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Rules")
            .field("scopes", &self.scopes)
            .field("check_timeout", &self.check_timeout)
            .field("leeway", &self.leeway)
            .field("resources", &self.resources)
            .finish_non_exhaustive()
    }
}

/// Which scopes imply which, resolved: a scope has all scopes that its implied scopes imply.
#[derive(Debug, Default)]
pub(crate) struct ScopeHierarchy {
    /// Each implied scope with the scopes that imply it, sorted.
    implied_by: Vec<(String, Vec<String>)>,
}

impl ScopeHierarchy {
    /// Resolves the hierarchy. The error is a scope that implies itself.
    pub(crate) fn resolve(implied: &[(String, Vec<String>)]) -> Result<Self, String> {
        let mut direct: HashMap<&str, Vec<&str>> = HashMap::new();
        for (scope, others) in implied {
            direct.entry(scope).or_default().extend(others.iter().map(String::as_str));
        }
        let mut implied_by: HashMap<String, Vec<String>> = HashMap::new();
        for scope in direct.keys() {
            let mut reached: Vec<&str> = Vec::new();
            let mut next = vec![*scope];
            while let Some(current) = next.pop() {
                for other in direct.get(current).into_iter().flatten() {
                    if other == scope {
                        return Err((*scope).to_owned());
                    }
                    if !reached.contains(other) {
                        reached.push(other);
                        next.push(other);
                    }
                }
            }
            for other in reached {
                implied_by.entry(other.to_owned()).or_default().push((*scope).to_owned());
            }
        }
        let mut implied_by: Vec<_> = implied_by.into_iter().collect();
        implied_by.sort();
        implied_by.iter_mut().for_each(|(_, scopes)| scopes.sort());
        Ok(Self { implied_by })
    }

    /// Returns the scopes that imply a scope.
    pub(crate) fn implying(&self, scope: &str) -> &[String] {
        match self.implied_by.binary_search_by(|(implied, _)| implied.as_str().cmp(scope)) {
            Ok(found) => &self.implied_by[found].1,
            Err(_) => &[],
        }
    }
}

/// The default time limit of an asynchronous check.
pub(crate) const DEFAULT_CHECK_TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn hierarchy(implied: &[(&str, &[&str])]) -> Result<ScopeHierarchy, String> {
        let owned: Vec<_> = implied
            .iter()
            .map(|(scope, others)| {
                ((*scope).to_owned(), others.iter().map(|other| (*other).to_owned()).collect())
            })
            .collect();
        ScopeHierarchy::resolve(&owned)
    }

    #[test]
    fn hierarchy_is_transitive_and_has_one_direction() {
        let scopes = hierarchy(&[
            ("admin", &["write", "users"]),
            ("write", &["read"]),
            ("users", &["read"]),
        ])
        .expect("no cycle");
        assert_eq!(scopes.implying("read"), ["admin", "users", "write"]);
        assert_eq!(scopes.implying("write"), ["admin"]);
        assert!(scopes.implying("admin").is_empty());
        assert!(scopes.implying("unknown").is_empty());
    }

    #[test]
    fn scope_that_implies_itself_is_an_error() {
        assert_eq!(hierarchy(&[("a", &["a"])]).expect_err("a cycle"), "a");
        let longer = hierarchy(&[("a", &["b"]), ("b", &["c"]), ("c", &["a"])]);
        assert!(["a", "b", "c"].contains(&&*longer.expect_err("a cycle")));
        // A cycle behind a scope is one of its own scopes.
        assert_eq!(hierarchy(&[("x", &["a"]), ("a", &["a"])]).expect_err("a cycle"), "a");
    }
}
