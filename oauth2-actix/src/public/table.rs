//! The compile-time table of all `#[public]` routes.

use std::{collections::HashSet, fmt, sync::LazyLock};

use actix_web::http::Method;
use linkme::distributed_slice;

/// Every `#[public]` attribute of the program adds its routes here when it is linked.
#[doc(hidden)]
#[distributed_slice]
pub static ROUTES: [PublicRoute];

/// All routes of the program that `#[public]` opens, by handler and pattern. Prefixes of scopes are
/// not in it: they are known only when an app is made.
///
/// Snapshot it in a test, and no route becomes public without somebody seeing it in review:
///
/// ```standalone_crate
/// use oauth2_actix::public_routes;
///
/// let surface: Vec<String> = public_routes()
///     .map(|route| format!("{} {} {}", route.methods().join(","), route.pattern(), route.handler()))
///     .collect();
/// assert_eq!(surface, Vec::<String>::new());
/// ```
///
/// Routes of a crate that is not linked into the program are not there. File and line are, for
/// people; they change with every edit, so leave them out of a snapshot.
pub fn public_routes() -> impl Iterator<Item = &'static PublicRoute> {
    SORTED.iter().copied()
}

static SORTED: LazyLock<Vec<&'static PublicRoute>> = LazyLock::new(|| {
    let mut routes: Vec<_> = ROUTES.iter().collect();
    routes.sort_by_key(|route| (route.handler, route.pattern, route.methods));
    routes
});

/// One route of a handler with `#[public]`. See [`public_routes`].
#[derive(Clone, Copy)]
pub struct PublicRoute {
    methods: &'static [&'static str],
    pattern: &'static str,
    handler: &'static str,
    file: &'static str,
    line: u32,
    id: &'static str,
}

impl PublicRoute {
    #[doc(hidden)]
    #[must_use]
    pub const fn new(
        methods: &'static [&'static str],
        pattern: &'static str,
        handler: &'static str,
        file: &'static str,
        line: u32,
        id: &'static str,
    ) -> Self {
        Self { methods, pattern, handler, file, line, id }
    }

    /// The methods that are public, such as `GET`.
    #[must_use]
    pub fn methods(&self) -> &'static [&'static str] {
        self.methods
    }

    /// The pattern of the routing macro, without the prefixes of scopes.
    #[must_use]
    pub fn pattern(&self) -> &'static str {
        self.pattern
    }

    /// The path of the handler, such as `my_api::routes::health`.
    #[must_use]
    pub fn handler(&self) -> &'static str {
        self.handler
    }

    /// The source file.
    #[must_use]
    pub fn file(&self) -> &'static str {
        self.file
    }

    /// The line of the attribute.
    #[must_use]
    pub fn line(&self) -> u32 {
        self.line
    }

    /// What tells one handler from any other, in characters that a URI's path may hold.
    pub(super) fn id(&self) -> &'static str {
        self.id
    }

    pub(super) fn allows(&self, method: &Method) -> bool {
        self.methods.contains(&method.as_str())
    }

    /// Whether `pattern` ends with this route's own one, as `Resource::register` has it: what is not
    /// empty begins with a slash. Then what comes before it.
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

/// What paths of public routes look like, so that others need not be searched for.
pub(super) static SHAPES: LazyLock<Shapes> = LazyLock::new(|| Shapes::new(ROUTES.iter()));

#[derive(Default)]
pub(super) struct Shapes {
    /// Slashes, and the first segment: empty where that is dynamic.
    plain: HashSet<(usize, &'static str)>,
    /// First segments of patterns with a regular expression, which may match across slashes.
    spanning: HashSet<&'static str>,
}

impl Shapes {
    fn new<'a>(routes: impl Iterator<Item = &'a PublicRoute>) -> Self {
        let mut shapes = Self::default();
        for route in routes {
            let pattern = route.pattern.strip_prefix('/');
            let first = pattern.unwrap_or(route.pattern).split('/').next().unwrap_or_default();
            let first = if first.contains('{') { "" } else { first };
            if route.pattern.contains(':') || route.pattern.contains("}*") {
                shapes.spanning.insert(first);
            } else {
                let slash_put_before = pattern.is_none() && !route.pattern.is_empty();
                let slashes = route.pattern.matches('/').count() + usize::from(slash_put_before);
                shapes.plain.insert((slashes, first));
            }
        }
        shapes
    }

    /// Whether some end of `path` may be a public route's own part. No false *no*.
    pub(super) fn may_end(&self, path: &str) -> bool {
        let slashes = path.matches('/').count();
        if slashes > MANY_SLASHES {
            return true;
        }
        let ends = path.match_indices('/').map(|(at, _)| &path[at + 1..]).enumerate();
        self.plain.contains(&(0, ""))
            || ends.into_iter().any(|(before, rest)| {
                let first = rest.split('/').next().unwrap_or_default();
                let left = slashes - before;
                self.plain.contains(&(left, first))
                    || self.plain.contains(&(left, ""))
                    || self.spanning.contains(first)
                    || self.spanning.contains("")
            })
    }
}

/// Not worth counting through.
const MANY_SLASHES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_rule_out_what_no_public_route_looks_like() {
        let shapes = |patterns: &[&'static str]| {
            let routes: Vec<PublicRoute> = patterns
                .iter()
                .map(|pattern| PublicRoute::new(&["GET"], pattern, "h", "f", 1, "id"))
                .collect();
            Shapes::new(routes.iter())
        };
        let some = shapes(&["/health", "/items/{id}", "/files/{tail:.*}", "bare"]);
        for path in [
            "/health",
            "/api/health",
            "/a/b/items/7",
            "/items/7",
            "/files/",
            "/x/files/a/b/c",
            "/bare",
            "/x/bare",
        ] {
            assert!(some.may_end(path), "{path}");
        }
        for path in ["/", "/healthy", "/health/", "/items", "/items/7/8", "/filesystem/a", "/x"] {
            assert!(!some.may_end(path), "{path}");
        }
        assert!(shapes(&[""]).may_end("/anything"));
        assert!(shapes(&["/{a}"]).may_end("/x/y"));
        assert!(shapes(&["/"]).may_end("/api/"));
        assert!(shapes(&["/{a:.*}/x"]).may_end("/y"));
        assert!(some.may_end(&"/".repeat(40)), "not counted through");
        assert!(!shapes(&[]).may_end("/x"));
    }

    #[test]
    fn a_pattern_ends_with_a_routes_own() {
        let prefix = |own: &'static str, pattern: &'static str| {
            PublicRoute::new(&["GET"], own, "h", "f", 1, "id").prefix_in(pattern)
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
