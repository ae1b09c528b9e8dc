//! Warns of `#[public]` routes that a middleware hides from the router.

use std::{
    collections::HashSet,
    fmt,
    sync::{
        Arc, LazyLock, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU16, Ordering},
    },
};

use actix_web::{dev::ServiceRequest, http::Method};

use super::table::{PublicRoute, ROUTES};

/// The warnings that one policy has logged, and the searches that it may still make.
#[derive(Debug)]
pub(crate) struct HiddenRoutes {
    warned_patterns: Mutex<HashSet<String>>,
    /// The searches left in this burst. Reset when a request is not admitted.
    searches_left: AtomicU16,
    /// The total number of searches.
    searches_made: AtomicU16,
    kept_request_warned: AtomicBool,
}

impl Default for HiddenRoutes {
    fn default() -> Self {
        Self {
            warned_patterns: Mutex::default(),
            searches_left: AtomicU16::new(SEARCHES_AT_ONCE),
            searches_made: AtomicU16::new(0),
            kept_request_warned: AtomicBool::new(false),
        }
    }
}

/// A `#[public]` route that a request seems to be for, to be logged if the router does not reach it.
#[derive(Debug)]
pub(crate) struct Candidate {
    method: Method,
    pattern: String,
    route: &'static PublicRoute,
}

impl HiddenRoutes {
    /// Finds the `#[public]` route that the path of a request is for, before the request is routed.
    ///
    /// A search of the resource map takes as long as routing. The first requests are searched for, and later
    /// ones after a request was not admitted, up to a total limit.
    pub(crate) fn candidate(&self, request: &ServiceRequest) -> Option<Candidate> {
        let count = |counter: &AtomicU16, next: fn(u16) -> Option<u16>| {
            counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
        };
        if !count(&self.searches_left, |left| left.checked_sub(1))
            || !count(&self.searches_made, |searches_made| {
                (searches_made < MAX_SEARCHES).then_some(searches_made + 1)
            })
        {
            return None;
        }
        let pattern = request.resource_map().match_pattern(request.match_info().as_str())?;
        let route = ROUTES
            .iter()
            .filter(|route| route.allows(request.method()) && route.prefix_in(&pattern).is_some())
            // The end of a pattern is not enough. That of a route without a literal segment, such as `/{id}`,
            // is the end of almost any pattern, and the route may be mounted elsewhere.
            .find(|route| {
                was_mounted(&pattern) || (route.has_literal_segment() && !is_mounted(route))
            })?;
        Some(Candidate { method: request.method().clone(), pattern, route })
    }

    /// Logs once that a middleware kept a request that was rejected. `inside` is the type of the service that
    /// `OAuth2` wraps.
    pub(crate) fn warn_once_of_kept_request(&self, inside: &str) {
        if !self.kept_request_warned.swap(true, Ordering::Relaxed) {
            tracing::error!(
                target: "oauth2_actix",
                inside,
                "a middleware inside OAuth2 has kept a request that OAuth2 rejected: if it spawns the service that \
                 it wraps, or polls it within `call`, private handlers run without a token; wrap it around the App \
                 after OAuth2, or call the next service in the future that it returns (logged once)"
            );
        }
    }

    /// Warns, once for each pattern, that a public route was not reached. `inside` is the type of the service
    /// that `OAuth2` wraps.
    pub(crate) fn warn_once_of_hidden_route(&self, candidate: Option<Candidate>, inside: &str) {
        if self.searches_made.load(Ordering::Relaxed) < MAX_SEARCHES {
            self.searches_left.store(SEARCHES_AT_ONCE, Ordering::Relaxed);
        }
        let Some(Candidate { method, pattern, route }) = candidate else { return };
        let mut warned_patterns =
            self.warned_patterns.lock().unwrap_or_else(PoisonError::into_inner);
        if !warned_patterns.insert(pattern.clone()) {
            return;
        }
        drop(warned_patterns);
        let scope = route.prefix_in(&pattern).unwrap_or_default();
        tracing::warn!(
            target: "oauth2_actix",
            method = method.as_str(),
            pattern,
            inside,
            "a request without a valid token, in the form of a #[public] route, was rejected, because the router \
             did not reach such a route at once. Either a route or default service took the request first, by its \
             pattern, guards or order of registration. Or a middleware {}, waits before it calls \
             the next service (from_fn, sessions) or responds itself (rate limits, requirements): wrap it \
             around the App after OAuth2, which puts it outside; or around the scope of the private routes \
             only; or make it an extractor (logged once for each route)",
            MiddlewareLocation(scope),
        );
    }
}

/// The whole patterns of all `#[public]` resources that a request has reached, with or without a token.
static MOUNTED: LazyLock<Mutex<HashSet<Arc<str>>>> = LazyLock::new(Mutex::default);

pub(super) fn remember_mounted(pattern: &Arc<str>) {
    MOUNTED.lock().unwrap_or_else(PoisonError::into_inner).insert(Arc::clone(pattern));
}

fn was_mounted(pattern: &str) -> bool {
    MOUNTED.lock().unwrap_or_else(PoisonError::into_inner).contains(pattern)
}

fn is_mounted(route: &PublicRoute) -> bool {
    let mounted = MOUNTED.lock().unwrap_or_else(PoisonError::into_inner);
    mounted.iter().any(|pattern| route.prefix_in(pattern).is_some())
}

/// The possible locations of a middleware that hides a route of this scope.
struct MiddlewareLocation<'a>(&'a str);

impl fmt::Display for MiddlewareLocation<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            formatter.write_str("on the App, inside OAuth2")
        } else {
            write!(formatter, "on the scope {}, or around it inside OAuth2", self.0)
        }
    }
}

/// The most searches of one policy.
const MAX_SEARCHES: u16 = 1_024;

/// The searches allowed at the start, and after each request that was not admitted.
const SEARCHES_AT_ONCE: u16 = 32;
