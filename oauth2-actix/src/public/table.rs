//! The compile-time table of all `#[public]` routes, and which of them a path may be.

use std::{collections::HashMap, fmt, sync::LazyLock};

use actix_web::{dev::ResourceDef, http::Method};
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

    fn allows(&self, method: &Method) -> bool {
        self.methods.contains(&method.as_str())
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

/// The routes by what their patterns match, so that a path meets only those that it may be.
pub(super) struct Index {
    /// Patterns without dynamic segments, by their text.
    exact: HashMap<&'static str, Vec<&'static PublicRoute>>,
    /// Patterns whose segments stay within slashes, by the number of slashes and the first segment;
    /// an empty one where that is dynamic.
    by_shape: HashMap<(usize, &'static str), Vec<(ResourceDef, &'static PublicRoute)>>,
    /// Patterns with a regular expression, which may match across slashes.
    anywhere: Vec<(ResourceDef, &'static PublicRoute)>,
}

/// Made at the first anonymous request; empty without any `#[public]`.
pub(super) static INDEX: LazyLock<Index> = LazyLock::new(|| Index::new(ROUTES.iter()));

impl Index {
    fn new(routes: impl Iterator<Item = &'static PublicRoute>) -> Self {
        let mut index =
            Self { exact: HashMap::new(), by_shape: HashMap::new(), anywhere: Vec::new() };
        for route in routes {
            let pattern = normalized(route.pattern);
            if !pattern.contains('{') {
                index.exact.entry(pattern).or_default().push(route);
                continue;
            }
            // actix itself has accepted the pattern, or the app would not have been made.
            let Ok(definition) = std::panic::catch_unwind(|| ResourceDef::new(pattern)) else {
                continue;
            };
            if pattern.contains(':') || pattern.contains("}*") {
                index.anywhere.push((definition, route));
            } else {
                let first = first_segment(pattern);
                let first = if first.contains('{') { "" } else { first };
                let shape = (pattern.matches('/').count(), first);
                index.by_shape.entry(shape).or_default().push((definition, route));
            }
        }
        index
    }

    pub(super) fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.by_shape.is_empty() && self.anywhere.is_empty()
    }

    /// The routes that `path` may be under some prefix, each with where its own part begins.
    pub(super) fn candidates<'a>(
        &'a self,
        path: &'a str,
        method: &'a Method,
    ) -> impl Iterator<Item = (usize, &'static PublicRoute)> + 'a {
        let slashes = path.matches('/').count().min(MAX_SLASHES);
        let starts = path
            .match_indices('/')
            .map(|(at, _)| at)
            .take(MAX_SLASHES)
            .chain([path.len()])
            .enumerate();
        starts
            .flat_map(move |(before, at)| {
                let rest = &path[at..];
                let exact = self.exact.get(rest).into_iter().flatten().copied();
                let of_shape = |first| self.by_shape.get(&(slashes - before, first));
                let dynamic = [of_shape(first_segment(rest)), of_shape("")]
                    .into_iter()
                    .flatten()
                    .flatten()
                    .chain(&self.anywhere)
                    .filter(move |(definition, _)| definition.is_match(rest))
                    .map(|(_, route)| *route);
                exact.chain(dynamic).map(move |route| (at, route))
            })
            .filter(|(_, route)| route.allows(method))
    }
}

/// What stands between the first two slashes.
fn first_segment(path: &str) -> &str {
    path.split('/').nth(1).unwrap_or_default()
}

/// As `Resource::register` has it: a pattern that is not empty begins with a slash.
fn normalized(pattern: &'static str) -> &'static str {
    if pattern.is_empty() || pattern.starts_with('/') {
        pattern
    } else {
        // actix puts a slash before it; so few write it without one that these are simply slower.
        Box::leak(format!("/{pattern}").into_boxed_str())
    }
}

/// Longer paths are not public by a mark. Bounds the work for a path of nothing but slashes.
const MAX_SLASHES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn index(patterns: &'static [(&'static [&'static str], &'static str)]) -> Index {
        Index::new(patterns.iter().map(|(methods, pattern)| {
            &*Box::leak(Box::new(PublicRoute::new(methods, pattern, pattern, "f", 1, "id")))
        }))
    }

    fn found(index: &Index, method: &Method, path: &str) -> Vec<(usize, &'static str)> {
        index.candidates(path, method).map(|(at, route)| (at, route.pattern())).collect()
    }

    #[test]
    fn a_path_meets_the_routes_that_it_may_be() {
        let index = index(&[
            (&["GET"], "/health"),
            (&["GET", "HEAD"], "/items/{id}"),
            (&["POST"], "/items/{id}"),
            (&["GET"], "/files/{tail:.*}"),
            (&["GET"], ""),
            (&["GET"], "bare"),
        ]);
        let get = |path| found(&index, &Method::GET, path);
        assert_eq!(get("/health"), [(0, "/health"), (7, "")]);
        assert_eq!(get("/api/health"), [(4, "/health"), (11, "")]);
        assert_eq!(get("/a/b/items/7"), [(4, "/items/{id}"), (12, "")]);
        assert_eq!(get("/x/bare"), [(2, "bare"), (7, "")]);
        assert_eq!(get("/files/a/b")[0], (0, "/files/{tail:.*}"));
        assert_eq!(found(&index, &Method::POST, "/items/7"), [(0, "/items/{id}")]);
        assert_eq!(found(&index, &Method::DELETE, "/health"), []);
        assert!(!get("/healthy").iter().any(|(_, pattern)| *pattern == "/health"));
    }

    #[test]
    fn a_path_of_slashes_costs_no_more_than_the_bound() {
        let index = index(&[(&["GET"], "/{a}")]);
        assert!(found(&index, &Method::GET, &"/".repeat(60_000)).is_empty());
    }
}
