//! How a request without a valid token reaches a `#[public]` handler, and nothing else.
//!
//! `#[public]` registers its service twice: as it stands, and in a scope of its own whose prefix is
//! a *mark* that stands for this handler. An anonymous request may only take the second way: its
//! path gets the mark, so that no pattern but the marked one is meant, and the scope's default
//! service refuses whatever the handler's own guards turn away. Where a catch-all, a default
//! service or a middleware that rewrites paths takes the request elsewhere, the marked scope was
//! not entered, and the request is dropped before anything is polled: no handler has run.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    future::{Ready, ready},
    rc::Rc,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use actix_web::{
    HttpMessage, HttpRequest, HttpResponse,
    dev::{AppService, HttpServiceFactory, Service, ServiceRequest, Url},
    error::UrlGenerationError,
    guard::GuardContext,
    http::Uri,
    web,
};
use futures_util::future::Either;

use super::{
    rewrite::will_be_marked,
    table::{PublicRoute, ROUTES, SHAPES},
};
use crate::{
    claims::{Anonymous, Claims},
    error::Error,
};

/// The ids of handlers that some app of the process has registered, in their order.
static REGISTERED: Mutex<Vec<&'static str>> = Mutex::new(Vec::new());

/// Registers a `#[public]` service: what the macro's output calls.
#[doc(hidden)]
pub fn register<M, S>(config: &mut AppService, id: &'static str, marked: M, service: S)
where
    M: HttpServiceFactory + 'static,
    S: HttpServiceFactory + 'static,
{
    {
        let mut registered = REGISTERED.lock().unwrap_or_else(PoisonError::into_inner);
        if !registered.contains(&id) {
            registered.push(id);
        }
    }
    // The marked one first: of two resources with one name, `url_for` takes the last.
    web::scope(&prefix(id))
        .wrap_fn(|mut request, service| {
            if Admission::enter(&mut request) {
                Either::Left(service.call(request))
            } else {
                // Somebody wrote the mark into a path.
                let nothing = HttpResponse::NotFound().finish();
                Either::Right(ready(Ok(request.into_response(nothing))))
            }
        })
        .service(marked)
        // Serves nothing. The resource map of an app can be asked for a name at once.
        .service(web::resource(MOUNTED).name(&prefix(id)))
        .default_service(web::to(not_public))
        .register(config);
    service.register(config);
}

/// A guard that `#[public]` adds to its routes. It turns no request away, and warns once of one that no
/// `OAuth2` has seen: a public handler asks for no claims, so a missing `.wrap(oauth2)` would not show.
#[doc(hidden)]
pub fn warn_unless_wrapped(context: &GuardContext<'_>) -> bool {
    static WARNED: AtomicBool = AtomicBool::new(false);
    if !WARNED.load(Ordering::Relaxed) {
        let extensions = context.req_data();
        let is_seen = extensions.contains::<Claims>() || extensions.contains::<Anonymous>();
        if !is_seen && !WARNED.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                target: "oauth2_actix", path = context.head().uri.path(),
                "a request reached a #[public] route that no OAuth2 middleware is mounted around: routes \
                 beside it are open to all too; add .wrap(oauth2) to the App (this is said once)"
            );
        }
    }
    true
}

/// What the guards of a public handler turn away is as private as anything.
fn not_public(request: HttpRequest) -> Ready<Result<HttpResponse, Error>> {
    ready(Claims::of_request(&request).map(|_| HttpResponse::NotFound().finish()))
}

/// The way of one anonymous request into a marked scope.
pub(crate) struct Mark {
    marked: Uri,
    admission: Admission,
}

/// In the extensions of a request that was sent into a marked scope.
pub(crate) struct Admission {
    entered: Cell<bool>,
    /// The path as it was.
    unmarked: Uri,
    /// Where in the router's path the mark stands, and how long it is.
    at: u16,
    length: u16,
}

/// Which `#[public]` routes a pattern of an app may be, learnt as requests come. One for each app and
/// worker; as large as the app has patterns.
#[derive(Debug, Default)]
pub(crate) struct KnownPatterns(RefCell<HashMap<String, Rc<[Candidate]>>>);

/// A `#[public]` route that a pattern ends with.
#[derive(Debug)]
struct Candidate {
    route: &'static PublicRoute,
    mark: String,
    /// The pattern, and the mark in its place.
    marked_pattern: String,
    /// How many slashes stand before the mark.
    slashes: usize,
}

impl KnownPatterns {
    fn candidates(&self, request: &HttpRequest, pattern: &str) -> Rc<[Candidate]> {
        if let Some(known) = self.0.borrow().get(pattern) {
            return Rc::clone(known);
        }
        let candidates: Rc<[Candidate]> = Candidate::all(request, pattern).into();
        self.0.borrow_mut().insert(pattern.to_owned(), Rc::clone(&candidates));
        candidates
    }
}

impl Candidate {
    /// Those whose handlers this app has, in the order of their registration: the router too takes
    /// the first.
    fn all(request: &HttpRequest, pattern: &str) -> Vec<Self> {
        let is_mounted = |mark: &str| {
            let found = request.resource_map().url_for(request, mark, [""; 0]);
            !matches!(found, Err(UrlGenerationError::ResourceNotFound))
        };
        let registered = REGISTERED.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut candidates: Vec<(usize, Self)> = ROUTES
            .iter()
            .filter_map(|route| {
                let order = registered.iter().position(|id| *id == route.id())?;
                let before = route.prefix_in(pattern)?;
                let mark = Some(prefix(route.id())).filter(|mark| is_mounted(mark))?;
                let marked_pattern = [before, &mark, &pattern[before.len()..]].concat();
                let slashes = before.matches('/').count();
                Some((order, Self { route, mark, marked_pattern, slashes }))
            })
            .collect();
        candidates.sort_by_key(|(order, _)| *order);
        candidates.into_iter().map(|(_, candidate)| candidate).collect()
    }
}

impl Mark {
    /// The public route that this request is for, if the router would take it there.
    ///
    /// actix's resource map says which pattern a path is for, whatever the guards. If that pattern
    /// ends with the one of a `#[public]` route, the map must also know the marked path, under just
    /// the pattern with the mark. Costs one search of the map, and one more for each such route that
    /// allows the method; neither for a path that looks like no `#[public]` route.
    pub(crate) fn find(request: &ServiceRequest, known: &KnownPatterns) -> Option<Self> {
        if ROUTES.is_empty() {
            return None;
        }
        let path = request.match_info().as_str();
        if path.len() > MAX_PATH || path.contains(MARK) || !SHAPES.may_end(path) {
            return None;
        }
        // What scopes outside have taken of the path already.
        let taken = path.len() - request.match_info().unprocessed().len();
        let map = request.resource_map();
        let candidates = known.candidates(request.request(), &map.match_pattern(path)?);
        candidates
            .iter()
            .filter(|candidate| candidate.route.allows(request.method()))
            .take(MAX_CANDIDATES)
            .find_map(|candidate| {
                let Candidate { mark, marked_pattern, slashes, .. } = candidate;
                let at = position(path, *slashes)?;
                let marked = [&path[..at], mark, &path[at..]].concat();
                if at < taken || map.match_pattern(&marked).as_ref() != Some(marked_pattern) {
                    return None;
                }
                let marked_uri = marked_uri(request.uri(), *slashes, mark)?;
                if Url::new(marked_uri.clone()).path() != marked {
                    return None;
                }
                let admission = Admission {
                    entered: Cell::new(false),
                    unmarked: request.uri().clone(),
                    at: u16::try_from(at).ok()?,
                    length: u16::try_from(mark.len()).ok()?,
                };
                Some(Self { marked: marked_uri, admission })
            })
    }

    /// Puts the mark into the router's path. The request's URI stays as it is.
    pub(crate) fn apply(self, request: &mut ServiceRequest) -> Rc<Admission> {
        let admission = Rc::new(self.admission);
        will_be_marked(request);
        request.match_info_mut().get_mut().update(&self.marked);
        request.extensions_mut().insert(Rc::clone(&admission));
        admission
    }
}

impl Admission {
    /// Whether the router took the request into the marked scope.
    pub(crate) fn was_used(&self) -> bool {
        self.entered.get()
    }

    /// Takes the mark out again, so that the handler sees the path that the client sent.
    fn enter(request: &mut ServiceRequest) -> bool {
        let Some(admission) = request.extensions().get::<Rc<Self>>().cloned() else {
            return false;
        };
        // Once: a path that still has the mark after it was taken out is nobody's.
        if admission.entered.replace(true) {
            return false;
        }
        let (at, length) = (admission.at, admission.length);
        request.match_info_mut().update_with_reindex(
            Url::new(admission.unmarked.clone()),
            |index| {
                if index >= at + length { index - length } else { index.min(at) }
            },
        );
        true
    }
}

/// Whether another `OAuth2` further out has sent this request into a marked scope.
pub(crate) fn is_admitted(request: &ServiceRequest) -> bool {
    request.match_info().as_str().contains(MARK)
        && request
            .extensions()
            .get::<Rc<Admission>>()
            .is_some_and(|admission| !admission.was_used())
}

/// The mark's own segment, of characters that stand for themselves in a URI's path.
fn prefix(id: &str) -> String {
    let plain = |c: char| {
        let stands_for_itself = c.is_ascii_alphanumeric() || matches!(c, ':' | '_' | '-');
        if stands_for_itself { c } else { '-' }
    };
    MARK.chars().chain(id.chars().map(plain)).collect()
}

/// Where the slash of this number stands; the end, if there are just so many.
fn position(path: &str, slashes: usize) -> Option<usize> {
    let mut found = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
    found.nth(slashes)
}

/// The URI with the mark before the slash of this number, or at the end of its path. The router's
/// path has the same slashes: an encoded one is never decoded.
fn marked_uri(uri: &Uri, slashes: usize, mark: &str) -> Option<Uri> {
    let raw = uri.path();
    let (before, after) = raw.split_at(position(raw, slashes)?);
    [before, mark, after].concat().parse().ok()
}

const MARK: &str = "/~public~";

const MOUNTED: &str = "/~public~mounted";

/// A search of the resource map takes longer the longer the path is, and this many bytes are plenty.
const MAX_PATH: usize = 4 * 1024;

/// Public routes that end one pattern, allow one method, and are tried. Several only differ by the
/// scope that they are in, such as those of the pattern `""`.
const MAX_CANDIDATES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_stands_before_a_segment_or_at_the_end() {
        let marked = |uri: &str, slashes| {
            marked_uri(&uri.parse().expect("a URI"), slashes, "/~public~x")
                .map(|uri| uri.to_string())
        };
        assert_eq!(marked("/api/a?q=/", 1).as_deref(), Some("/api/~public~x/a"));
        assert_eq!(marked("/api/a", 0).as_deref(), Some("/~public~x/api/a"));
        assert_eq!(marked("/api%2Fa/b", 1).as_deref(), Some("/api%2Fa/~public~x/b"));
        assert_eq!(marked("/api", 1).as_deref(), Some("/api/~public~x"));
        assert_eq!(marked("http://x.test/api/a", 1).as_deref(), Some("/api/~public~x/a"));
        assert_eq!(marked("/api", 5), None);
    }
}
