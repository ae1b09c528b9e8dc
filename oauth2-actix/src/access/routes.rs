//! The table of all routes with an access rule.

use std::{fmt, slice, vec};

use serde::{Deserialize, Serialize};

use crate::{authorize::rule::RULED_ROUTES, public, token::rules::Rules};

/// Returns all routes of the program that have an access rule, sorted by pattern, methods and handler. A policy
/// is shown by its name: [`OAuth2::access_routes`](crate::OAuth2::access_routes) shows its meaning too.
#[must_use]
pub fn routes() -> Routes {
    Routes::of_program(None)
}

/// The routes of a program with their access rules: see [`routes`].
///
/// `Display` writes one line for each route, such as `POST /refunds scope refunds:write (my_api::refund)`. The
/// serde form is a list of maps with `methods`, `pattern`, `handler` and `access`. Both are stable: they change
/// only if a route or its rule changes, and not with line numbers or compilers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Routes(Vec<Route>);

/// A route and its access rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    pattern: Option<String>,
    methods: Vec<String>,
    handler: String,
    access: Vec<String>,
    #[serde(skip)]
    name: String,
    #[serde(skip)]
    location: Option<(&'static str, u32)>,
}

impl Routes {
    pub(crate) fn of_program(rules: Option<&Rules>) -> Self {
        let owned = |methods: &[&str]| methods.iter().map(|method| (*method).to_owned()).collect();
        let public = public::ROUTES.iter().map(|route| Route {
            methods: owned(route.methods()),
            pattern: Some(route.pattern().to_owned()),
            handler: route.handler().to_owned(),
            access: vec!["public".to_owned()],
            name: route.name().to_owned(),
            location: Some((route.file(), route.line())),
        });
        let ruled = RULED_ROUTES.iter().map(|row| Route {
            methods: owned(row.methods),
            pattern: row.pattern.map(str::to_owned),
            handler: row.handler.to_owned(),
            access: (row.rule)().parts(rules),
            name: row.name.to_owned(),
            location: Some((row.file, row.line)),
        });
        let mut routes: Vec<Route> = public.chain(ruled).collect();
        routes.sort();
        Self(routes)
    }

    /// Adds a route of a service of this crate that needs no token.
    pub(crate) fn add_public(&mut self, method: &str, pattern: &str, handler: &str) {
        self.0.push(Route {
            pattern: Some(pattern.to_owned()),
            methods: vec![method.to_owned()],
            handler: handler.to_owned(),
            access: vec!["public".to_owned()],
            name: String::new(),
            location: None,
        });
        self.0.sort();
    }

    /// Returns the routes in their order.
    pub fn iter(&self) -> slice::Iter<'_, Route> {
        self.0.iter()
    }

    /// Returns the table as JSON, one route after the other, with a line feed at the end: the form of a
    /// snapshot.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Text and lists of text can always be written.
        let json = serde_json::to_string_pretty(self).unwrap_or_default();
        format!("{json}\n")
    }

    /// Reads a table from JSON.
    ///
    /// # Errors
    ///
    /// The error of the JSON parser, or of a member that is missing, unknown, of another type or empty.
    pub fn from_json(json: &str) -> Result<Self, serde_json::Error> {
        let mut routes: Self = serde_json::from_str(json)?;
        if let Some(route) = routes.iter().find(|route| route.access.is_empty()) {
            let problem =
                format!("`{}` has no access rule; expected at least one part", route.label());
            return Err(serde::de::Error::custom(problem));
        }
        routes.0.sort();
        Ok(routes)
    }
}

impl IntoIterator for Routes {
    type Item = Route;
    type IntoIter = vec::IntoIter<Route>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Routes {
    type Item = &'a Route;
    type IntoIter = slice::Iter<'a, Route>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl fmt::Display for Routes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|route| writeln!(formatter, "{route}"))
    }
}

impl Route {
    /// Returns the methods, such as `GET`. Empty if the attribute is not above a routing macro.
    #[must_use]
    pub fn methods(&self) -> &[String] {
        &self.methods
    }

    /// Returns the pattern of the routing macro, without the prefixes of scopes. None if the attribute is not
    /// above a routing macro.
    #[must_use]
    pub fn pattern(&self) -> Option<&str> {
        self.pattern.as_deref()
    }

    /// Returns the path of the handler, such as `my_api::routes::refund`.
    #[must_use]
    pub fn handler(&self) -> &str {
        &self.handler
    }

    /// Returns the parts of the access rule, all of which are required: `public`, `authenticated`, or
    /// requirements such as `scope refunds:write`.
    #[must_use]
    pub fn access(&self) -> &[String] {
        &self.access
    }

    /// Returns whether the route needs no token.
    #[must_use]
    pub fn is_public(&self) -> bool {
        self.access == ["public"]
    }

    /// Returns the source file and the line of the attribute, for people. None for a table that was read from
    /// JSON.
    #[must_use]
    pub fn location(&self) -> Option<(&'static str, u32)> {
        self.location
    }

    /// Returns the name of the resource. Empty for a table that was read from JSON.
    #[cfg(feature = "testing")]
    pub(crate) fn resource_name(&self) -> &str {
        &self.name
    }

    /// Returns the methods and the pattern, or the handler of a route without them.
    pub(super) fn label(&self) -> String {
        match &self.pattern {
            Some(pattern) => format!("{} {pattern}", self.methods.join(",")),
            None => format!("handler {}", self.handler),
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let access = self.access.join(" and ");
        match &self.pattern {
            Some(_) => write!(formatter, "{} {access} ({})", self.label(), self.handler),
            None => write!(formatter, "{} {access}", self.label()),
        }
    }
}
