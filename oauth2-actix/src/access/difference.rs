//! What changed between two tables of access rules.

use std::fmt;

use super::routes::{Route, Routes};

/// A change of a route's access rule between two tables: see [`Routes::changes_since`].
///
/// `Display` says it in words: ``weaker: `POST /refunds` no longer requires scope refunds:write``.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    effect: Effect,
    text: String,
}

/// Whether a change lets more or fewer requests through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Effect {
    /// A requirement is gone, or a route without a requirement is new: more requests are let through.
    Weaker,
    /// A requirement is new, or a route with a requirement is new.
    Stricter,
    /// One requirement replaces another, or a route is gone from the table, which it also is if only its
    /// attribute was removed: people must judge.
    Different,
}

impl Change {
    /// Returns whether more or fewer requests are let through.
    #[must_use]
    pub fn effect(&self) -> Effect {
        self.effect
    }
}

impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let effect = match self.effect {
            Effect::Weaker => "weaker",
            Effect::Stricter => "stricter",
            Effect::Different => "different",
        };
        write!(formatter, "{effect}: {}", self.text)
    }
}

impl Routes {
    /// Returns what has changed since an earlier table. A route is the same if its methods, pattern and handler
    /// are, or if its handler was moved and no other route has its methods and pattern.
    ///
    /// ```
    /// use oauth2_actix::access::{Effect, Routes};
    ///
    /// let table = |access: &str| {
    ///     let route = r#"{"methods": ["POST"], "pattern": "/refunds", "handler": "my_api::refund", "access": "#;
    ///     Routes::from_json(&format!("[{route}[{access}]}}]"))
    /// };
    /// let (old, new) = (table(r#""scope refunds:write""#)?, table(r#""authenticated""#)?);
    /// let changes = new.changes_since(&old);
    /// assert_eq!(
    ///     changes[0].to_string(),
    ///     "weaker: `POST /refunds` no longer requires scope refunds:write"
    /// );
    /// assert_eq!(changes[0].effect(), Effect::Weaker);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    #[must_use]
    pub fn changes_since(&self, old: &Self) -> Vec<Change> {
        let (mut before, mut after): (Vec<&Route>, Vec<&Route>) =
            (old.iter().collect(), self.iter().collect());
        let mut pairs = Vec::new();
        let same = |one: &Route, other: &Route| {
            one.label() == other.label() && one.handler() == other.handler()
        };
        take_pairs(&mut before, &mut after, &mut pairs, same);
        let is_only = |route: &Route, table: &Self| {
            table.iter().filter(|other| other.label() == route.label()).count() == 1
        };
        let moved = |one: &Route, other: &Route| {
            one.pattern().is_some()
                && one.label() == other.label()
                && is_only(one, old)
                && is_only(other, self)
        };
        take_pairs(&mut before, &mut after, &mut pairs, moved);
        let mut changes: Vec<(String, Change)> = Vec::new();
        for (old, new) in pairs {
            if old.handler() != new.handler() {
                let text = format!(
                    "`{}` is handled by {} instead of {}",
                    new.label(),
                    new.handler(),
                    old.handler()
                );
                changes.push((new.label(), Change { effect: Effect::Different, text }));
            }
            changes.extend(changes_of(old, new).into_iter().map(|change| (new.label(), change)));
        }
        for gone in before {
            // The route may still be there, without its attribute.
            let text =
                format!("`{}` is gone from the table; it required: {}", gone.label(), access(gone));
            changes.push((gone.label(), Change { effect: Effect::Different, text }));
        }
        for new in after {
            let is_open = new.is_public() || new.access() == ["authenticated"];
            let effect = if is_open { Effect::Weaker } else { Effect::Stricter };
            let text = format!("`{}` is new; it requires: {}", new.label(), access(new));
            changes.push((new.label(), Change { effect, text }));
        }
        changes.sort_by(|one, other| one.0.cmp(&other.0));
        changes.into_iter().map(|(_, change)| change).collect()
    }
}

/// Moves the pairs of routes that are the same out of both lists.
fn take_pairs<'a>(
    before: &mut Vec<&'a Route>,
    after: &mut Vec<&'a Route>,
    pairs: &mut Vec<(&'a Route, &'a Route)>,
    is_same: impl Fn(&Route, &Route) -> bool,
) {
    before.retain(|old| match after.iter().position(|new| is_same(old, new)) {
        Some(position) => {
            pairs.push((old, after.remove(position)));
            false
        }
        None => true,
    });
}

fn changes_of(old: &Route, new: &Route) -> Vec<Change> {
    let label = new.label();
    if old.is_public() != new.is_public() {
        let (effect, text) = if new.is_public() {
            (
                Effect::Weaker,
                format!("`{label}` no longer requires a token; it required: {}", access(old)),
            )
        } else {
            (Effect::Stricter, format!("`{label}` now requires a token: {}", access(new)))
        };
        return vec![Change { effect, text }];
    }
    let lost = parts_without(old, new);
    let gained = parts_without(new, old);
    // A part that replaces another may be weaker or stricter.
    let is_replaced = !lost.is_empty() && !gained.is_empty();
    let change = |effect, text| Change {
        effect: if is_replaced { Effect::Different } else { effect },
        text,
    };
    let lost = lost
        .into_iter()
        .map(|part| change(Effect::Weaker, format!("`{label}` no longer requires {part}")));
    let gained = gained
        .into_iter()
        .map(|part| change(Effect::Stricter, format!("`{label}` now requires {part}")));
    lost.chain(gained).collect()
}

/// Returns the parts of one rule that the other lacks. Any valid token is no part.
fn parts_without<'a>(one: &'a Route, other: &Route) -> Vec<&'a str> {
    let parts = one.access().iter().filter(|part| !other.access().contains(part));
    parts.map(String::as_str).filter(|part| *part != "authenticated").collect()
}

fn access(route: &Route) -> String {
    route.access().join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(routes: &[(&str, &str, &str, &[&str])]) -> Routes {
        let routes: Vec<_> = routes
            .iter()
            .map(|(method, pattern, handler, access)| {
                serde_json::json!({
                    "methods": [method], "pattern": pattern, "handler": handler, "access": access,
                })
            })
            .collect();
        Routes::from_json(&serde_json::Value::from(routes).to_string()).expect("a table")
    }

    fn changes(old: &Routes, new: &Routes) -> Vec<String> {
        new.changes_since(old).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn changes_are_said_in_words() {
        let old = table(&[
            ("POST", "/refunds", "a::refund", &["scope refunds:write", "claim role = \"staff\""]),
            ("GET", "/orders", "a::orders", &["scope orders:read"]),
            ("GET", "/me", "a::me", &["authenticated"]),
            ("GET", "/old", "a::old", &["authenticated"]),
            ("GET", "/health", "a::health", &["public"]),
            ("GET", "/same", "a::same", &["scope a"]),
        ]);
        let new = table(&[
            ("POST", "/refunds", "a::refund", &["claim role = \"staff\""]),
            ("GET", "/orders", "a::orders", &["scope orders:list"]),
            ("GET", "/me", "a::me", &["scope me"]),
            ("GET", "/new", "a::new", &["public"]),
            ("GET", "/health", "a::health", &["authenticated"]),
            ("GET", "/same", "b::same", &["scope a"]),
        ]);
        assert_eq!(
            changes(&old, &new),
            [
                "stricter: `GET /health` now requires a token: authenticated",
                "stricter: `GET /me` now requires scope me",
                "weaker: `GET /new` is new; it requires: public",
                "different: `GET /old` is gone from the table; it required: authenticated",
                "different: `GET /orders` no longer requires scope orders:read",
                "different: `GET /orders` now requires scope orders:list",
                "different: `GET /same` is handled by b::same instead of a::same",
                "weaker: `POST /refunds` no longer requires scope refunds:write",
            ]
        );
        assert_eq!(changes(&old, &old), Vec::<String>::new());
    }

    #[test]
    fn route_that_becomes_public_is_weaker() {
        let old = table(&[("GET", "/x", "a::x", &["scope a"])]);
        let new = table(&[("GET", "/x", "a::x", &["public"])]);
        assert_eq!(
            changes(&old, &new),
            ["weaker: `GET /x` no longer requires a token; it required: scope a"]
        );
    }

    #[test]
    fn route_that_loses_its_rule_is_not_hidden_by_another_of_its_pattern() {
        let old = table(&[
            ("GET", "/{id}", "users::get", &["authenticated"]),
            ("GET", "/{id}", "orders::get", &["scope a"]),
        ]);
        let new = table(&[
            ("GET", "/{id}", "orders::get", &["scope a"]),
            ("GET", "/{id}", "bills::get", &["authenticated"]),
        ]);
        assert_eq!(
            changes(&old, &new),
            [
                "different: `GET /{id}` is gone from the table; it required: authenticated",
                "weaker: `GET /{id}` is new; it requires: authenticated",
            ]
        );
    }

    #[test]
    fn routes_of_one_pattern_are_told_apart_by_their_handlers() {
        let old = table(&[
            ("GET", "/", "a::index", &["scope a"]),
            ("GET", "/", "b::index", &["scope b"]),
        ]);
        let new = table(&[
            ("GET", "/", "a::index", &["scope a"]),
            ("GET", "/", "b::index", &["scope c"]),
        ]);
        assert_eq!(
            changes(&old, &new),
            [
                "different: `GET /` no longer requires scope b",
                "different: `GET /` now requires scope c",
            ]
        );
    }
}
