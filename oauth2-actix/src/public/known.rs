//! The patterns of public routes that requests have reached.
//!
//! A request whose token needs keys that must be fetched first cannot wait once it has been routed. If its
//! path has one of these patterns, it is routed at once.

use std::{cell::RefCell, sync::Arc};

use actix_web::{dev::ServiceRequest, http::Method};

/// The patterns of `#[public]` routes, scopes included, and their methods. There is one instance for each
/// policy of an app and worker, and its size is bounded by the number of such routes.
#[derive(Debug, Default)]
pub(crate) struct KnownRoutes(RefCell<Vec<Known>>);

#[derive(Debug)]
struct Known {
    pattern: Arc<str>,
    method: Method,
}

impl KnownRoutes {
    pub(super) fn record(&self, pattern: &Arc<str>, method: &Method) {
        let is_known =
            |known: &Known| Arc::ptr_eq(&known.pattern, pattern) && known.method == *method;
        if !self.0.borrow().iter().any(is_known) {
            self.0
                .borrow_mut()
                .push(Known { pattern: Arc::clone(pattern), method: method.clone() });
        }
    }

    /// Returns whether a request has the method and a pattern of a route that was public before. The router
    /// may still take it elsewhere.
    pub(crate) fn has_route_of(&self, request: &ServiceRequest) -> bool {
        let path = request.match_info().as_str();
        let known = self.0.borrow();
        let mut of_method =
            known.iter().filter(|known| known.method == request.method()).peekable();
        if of_method.peek().is_none() {
            return false;
        }
        // The scopes of a pattern may repeat a name, so the whole pattern cannot be compiled.
        let first = request.resource_map().match_pattern(path);
        of_method.any(|known| {
            first.as_deref() == Some(&*known.pattern) || matches_path(&known.pattern, path)
        })
    }
}

/// Returns whether a pattern without expressions and tails matches a path.
fn matches_path(pattern: &str, path: &str) -> bool {
    if pattern.contains(':') || pattern.contains('*') {
        return false;
    }
    let (mut patterns, mut segments) = (pattern.split('/'), path.split('/'));
    loop {
        match (patterns.next(), segments.next()) {
            (None, None) => return true,
            (Some(pattern), Some(segment)) if segment_matches(pattern, segment) => {}
            _ => return false,
        }
    }
}

fn segment_matches(pattern: &str, segment: &str) -> bool {
    let (Some((before, _)), Some((_, after))) = (pattern.split_once('{'), pattern.rsplit_once('}'))
    else {
        return pattern == segment;
    };
    segment.len() > before.len() + after.len()
        && segment.starts_with(before)
        && segment.ends_with(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_the_paths_that_the_router_would_match() {
        for (pattern, path) in [
            ("/health", "/health"),
            ("/{a}/{a}/items/{id}", "/x/y/items/7"),
            ("/v{n}/st{m}us", "/v1/status"),
            ("/api/", "/api/"),
            ("", ""),
        ] {
            assert!(matches_path(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in [
            ("/health", "/health/"),
            ("/{a}", "/"),
            ("/{a}", "/x/y"),
            ("/v{n}", "/v"),
            ("/v{n}", "/x1"),
            ("/{a:.*}", "/x"),
            ("/{a}*", "/x"),
        ] {
            assert!(!matches_path(pattern, path), "{pattern} {path}");
        }
    }
}
