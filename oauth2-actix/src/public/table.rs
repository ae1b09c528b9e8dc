//! The link-time table of all `#[public]` routes.

use std::{fmt, sync::LazyLock};

use actix_web::http::Method;
use linkme::distributed_slice;

/// Every `#[public]` attribute of the program adds its routes here when it is linked.
#[doc(hidden)]
#[distributed_slice]
pub static ROUTES: [PublicRoute];

/// Returns all routes of the program with `#[public]`, by handler and pattern. Their patterns lack the
/// prefixes of scopes, which are known only when an app is built.
///
/// Compare it with a snapshot in a test, so that every new public route is visible in review:
///
/// ```standalone_crate
/// use oauth2_actix::public;
///
/// let surface: Vec<String> = public::routes()
///     .map(|route| format!("{} {} {}", route.methods().join(","), route.pattern(), route.handler()))
///     .collect();
/// assert_eq!(surface, Vec::<String>::new());
/// ```
///
/// Routes of a crate that is not linked into the program are missing. File and line are for people; they
/// change with every edit, so leave them out of a snapshot.
pub fn routes() -> impl Iterator<Item = &'static PublicRoute> {
    SORTED.iter().copied()
}

static SORTED: LazyLock<Vec<&'static PublicRoute>> = LazyLock::new(|| {
    let mut routes: Vec<_> = ROUTES.iter().collect();
    routes.sort_by_key(|route| (route.handler, route.pattern, route.methods));
    routes
});

/// One route of a handler with `#[public]`. See [`routes`].
#[derive(Clone, Copy)]
pub struct PublicRoute {
    methods: &'static [&'static str],
    pattern: &'static str,
    handler: &'static str,
    name: &'static str,
    file: &'static str,
    line: u32,
}

impl PublicRoute {
    #[doc(hidden)]
    #[must_use]
    pub const fn new(
        methods: &'static [&'static str],
        pattern: &'static str,
        handler: &'static str,
        name: &'static str,
        file: &'static str,
        line: u32,
    ) -> Self {
        Self { methods, pattern, handler, name, file, line }
    }

    /// Returns the methods that are public, such as `GET`.
    #[must_use]
    pub fn methods(&self) -> &'static [&'static str] {
        self.methods
    }

    /// Returns the pattern of the routing macro, without the prefixes of scopes.
    #[must_use]
    pub fn pattern(&self) -> &'static str {
        self.pattern
    }

    /// Returns the path of the handler, such as `my_api::routes::health`.
    #[must_use]
    pub fn handler(&self) -> &'static str {
        self.handler
    }

    /// Returns the name of the resource, which is that of the handler unless the routing macro sets another.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the source file.
    #[must_use]
    pub fn file(&self) -> &'static str {
        self.file
    }

    /// Returns the line of the attribute.
    #[must_use]
    pub fn line(&self) -> u32 {
        self.line
    }

    pub(super) fn allows(&self, method: &Method) -> bool {
        self.methods.contains(&method.as_str())
    }

    pub(super) fn has_literal_segment(&self) -> bool {
        self.pattern.split('/').any(|segment| !segment.is_empty() && !segment.contains('{'))
    }

    /// Returns the prefix of `pattern` if it ends with this route's own pattern, as `Resource::register`
    /// joins them: a non-empty pattern gets a leading slash.
    pub(super) fn prefix_in<'a>(&self, pattern: &'a str) -> Option<&'a str> {
        let own = self.pattern.strip_prefix('/');
        match own {
            None if self.pattern.is_empty() => Some(pattern),
            own => pattern.strip_suffix(own.unwrap_or(self.pattern))?.strip_suffix('/'),
        }
    }
}

impl fmt::Debug for PublicRoute {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} {} {} ({}:{})",
            self.methods.join(","),
            self.pattern,
            self.handler,
            self.file,
            self.line
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_that_ends_with_that_of_a_route_has_a_prefix() {
        let prefix = |own: &'static str, pattern: &'static str| {
            PublicRoute::new(&["GET"], own, "h", "h", "f", 1).prefix_in(pattern)
        };
        assert_eq!(prefix("/health", "/api/health"), Some("/api"));
        assert_eq!(prefix("/health", "/health"), Some(""));
        assert_eq!(prefix("health", "/api/health"), Some("/api"));
        assert_eq!(prefix("", "/api/{x}"), Some("/api/{x}"));
        assert_eq!(prefix("/", "/api/"), Some("/api"));
        assert_eq!(prefix("/{tail:.*}", "/api/{tail:.*}"), Some("/api"));
        assert_eq!(prefix("/health", "/api/unhealth"), None);
        assert_eq!(prefix("/health", "/api/healthy"), None);
        assert_eq!(prefix("/{a}", "/{b}"), None);
    }
}
