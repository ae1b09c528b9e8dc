//! The shapes of requests for public routes, so that others are rejected without being routed.

use std::{collections::HashMap, sync::LazyLock};

use actix_web::http::Method;

use super::table::{PublicRoute, ROUTES};

/// The shapes of all `#[public]` routes of the program.
pub(super) static SHAPES: LazyLock<Shapes> = LazyLock::new(|| Shapes::new(ROUTES.iter()));

/// Methods, and the segments that a path must end with. Empty segments do not count, so that an inner
/// `NormalizePath` makes no difference.
#[derive(Default)]
pub(super) struct Shapes {
    /// Methods by the number of segments and the first of them, which is empty if it is dynamic.
    plain: HashMap<(usize, &'static str), Methods>,
    /// Methods by the first segment, for patterns with a regular expression, which may match any number of
    /// segments.
    spanning: HashMap<&'static str, Methods>,
    /// Methods of the pattern `/`. In a scope, it matches only a path that ends with a slash.
    slash: Methods,
    /// The largest number of segments in `plain`.
    longest: usize,
}

type Methods = Vec<&'static str>;

impl Shapes {
    fn new<'a>(routes: impl Iterator<Item = &'a PublicRoute>) -> Self {
        let mut shapes = Self::default();
        for route in routes {
            let pattern = route.pattern();
            let segments = || pattern.split('/').filter(|segment| !segment.is_empty());
            let first = segments().next().unwrap_or_default();
            let first = if first.contains('{') { "" } else { first };
            let methods = if pattern.ends_with('*') && !pattern.ends_with("}*") {
                // actix drops the text before an unnamed tail.
                shapes.spanning.entry("").or_default()
            } else if pattern.contains(':') || pattern.contains("}*") {
                shapes.spanning.entry(first).or_default()
            } else if pattern == "/" {
                &mut shapes.slash
            } else {
                let count = segments().count();
                shapes.longest = shapes.longest.max(count);
                shapes.plain.entry((count, first)).or_default()
            };
            for method in route.methods() {
                if !methods.contains(method) {
                    methods.push(method);
                }
            }
        }
        shapes
    }

    /// Returns whether a request may be for a public route, wherever that is mounted. If the result is false,
    /// the request is for no public route. The exception is an inner middleware, other than `NormalizePath`,
    /// that changes the method or the path.
    pub(super) fn may_be_public(&self, method: &Method, path: &str) -> bool {
        let method = method.as_str();
        let allow = |methods: Option<&Methods>| methods.is_some_and(|all| all.contains(&method));
        if allow(self.plain.get(&(0, "")))
            || allow(self.spanning.get(""))
            || (path.ends_with('/') && self.slash.contains(&method))
        {
            return true;
        }
        let segments = path.rsplit('/').filter(|segment| !segment.is_empty());
        for (before, segment) in segments.enumerate() {
            if before == MAX_SEARCHED_SEGMENTS {
                return true;
            }
            let count = before + 1;
            let is_plain = count <= self.longest
                && (allow(self.plain.get(&(count, segment)))
                    || allow(self.plain.get(&(count, ""))));
            if is_plain || (!self.spanning.is_empty() && allow(self.spanning.get(segment))) {
                return true;
            }
            if count >= self.longest && self.spanning.is_empty() {
                break;
            }
        }
        false
    }
}

/// The number of segments from which a path is routed without a search.
const MAX_SEARCHED_SEGMENTS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn shapes(patterns: &[&'static str]) -> Shapes {
        let routes: Vec<PublicRoute> = patterns
            .iter()
            .map(|pattern| PublicRoute::new(&["GET", "HEAD"], pattern, "h", "h", "f", 1))
            .collect();
        Shapes::new(routes.iter())
    }

    #[test]
    fn paths_that_no_public_route_has_are_ruled_out() {
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
            "/health/",
            "//api//health//",
            "/items//7/",
        ] {
            assert!(some.may_be_public(&Method::GET, path), "{path}");
            assert!(some.may_be_public(&Method::HEAD, path), "{path}");
            assert!(!some.may_be_public(&Method::POST, path), "{path}");
        }
        for path in ["", "/", "/healthy", "/items", "/items/7/8", "/filesystem/a", "/x"] {
            assert!(!some.may_be_public(&Method::GET, path), "{path}");
        }
        assert!(some.may_be_public(&Method::GET, &"/a".repeat(40)), "not searched");
        assert!(!shapes(&[]).may_be_public(&Method::GET, "/x"));
    }

    #[test]
    fn patterns_without_a_literal_segment_rule_out_few_paths() {
        let may = |pattern, path| shapes(&[pattern]).may_be_public(&Method::GET, path);
        assert!(may("", "/anything"));
        assert!(may("", ""));
        assert!(may("/{a}", "/x/y"));
        assert!(!may("/{a}", "/"));
        assert!(may("/", "/api/"));
        assert!(may("/", "/"));
        assert!(!may("/", "/api"));
        assert!(may("/{a:.*}/x", "/y"));
        assert!(may("/{a}*", "/y/z"));
        assert!(may("/tails/{id}/*", "/x/7"));
    }
}
