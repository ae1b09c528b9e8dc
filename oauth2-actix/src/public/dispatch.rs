//! How a request without a valid token reaches a `#[public]` handler, and nothing else.
//!
//! `#[public]` registers its service twice: as it stands, and in a scope of its own whose prefix is
//! a *mark* that stands for this handler. An anonymous request may only take the second way: its
//! path gets the mark, so that no pattern but the marked one is meant, and the scope's default
//! service refuses whatever the handler's own guards turn away. Where a catch-all, a default
//! service or a middleware that rewrites paths takes the request elsewhere, the marked scope was
//! not entered, and the request is dropped before anything is polled: no handler has run.

use std::{
    cell::Cell,
    future::{Ready, ready},
    rc::Rc,
};

use actix_web::{
    HttpMessage, HttpRequest, HttpResponse,
    dev::{AppService, HttpServiceFactory, Service, ServiceRequest, Url},
    http::Uri,
    web,
};
use futures_util::future::Either;

use super::table::INDEX;
use crate::{claims::Claims, error::Error};

/// Registers a `#[public]` service: what the macro's output calls.
#[doc(hidden)]
pub fn register<M, S>(config: &mut AppService, id: &str, marked: M, service: S)
where
    M: HttpServiceFactory + 'static,
    S: HttpServiceFactory + 'static,
{
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
        .default_service(web::to(not_public))
        .register(config);
    service.register(config);
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

impl Mark {
    /// The public route that this request is for, if the router would take it there.
    ///
    /// actix's resource map says which pattern a path is for, whatever the guards: that of the
    /// marked path must be that of the path, and the mark. Costs two look-ups in the map, and none
    /// where no pattern of a `#[public]` route fits.
    pub(crate) fn find(request: &ServiceRequest) -> Option<Self> {
        if INDEX.is_empty() {
            return None;
        }
        let path = request.match_info().as_str();
        if path.len() > MAX_PATH || path.contains(MARK) {
            return None;
        }
        // What scopes outside have taken of the path already.
        let taken = path.len() - request.match_info().unprocessed().len();
        let map = request.resource_map();
        INDEX.candidates(path, request.method()).take(MAX_CANDIDATES).find_map(|(at, route)| {
            if at < taken {
                return None;
            }
            let mark = prefix(route.id());
            let marked = [&path[..at], &mark, &path[at..]].concat();
            let pattern = map.match_pattern(&marked)?.replacen(&mark, "", 1);
            if map.match_pattern(path)? != pattern {
                return None;
            }
            let slashes = path[..at].matches('/').count();
            let marked_uri = marked_uri(request.uri(), slashes, at == path.len(), &mark)?;
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

/// The URI with the mark before the slash of this number, or at the end of its path. The router's
/// path has the same slashes: an encoded one is never decoded.
fn marked_uri(uri: &Uri, slashes: usize, at_end: bool, mark: &str) -> Option<Uri> {
    let raw = uri.path();
    let at = if at_end { raw.len() } else { raw.match_indices('/').nth(slashes)?.0 };
    let (before, after) = raw.split_at(at);
    [before, mark, after].concat().parse().ok()
}

const MARK: &str = "/~public~";

/// actix counts in 16 bits; this leaves room for the mark.
const MAX_PATH: usize = 32 * 1024;

/// Public routes that one path is tried as.
const MAX_CANDIDATES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_stands_before_a_segment_or_at_the_end() {
        let marked = |uri: &str, slashes, at_end| {
            marked_uri(&uri.parse().expect("a URI"), slashes, at_end, "/~public~x")
                .map(|uri| uri.to_string())
        };
        assert_eq!(marked("/api/a?q=/", 1, false).as_deref(), Some("/api/~public~x/a"));
        assert_eq!(marked("/api/a", 0, false).as_deref(), Some("/~public~x/api/a"));
        assert_eq!(marked("/api%2Fa/b", 1, false).as_deref(), Some("/api%2Fa/~public~x/b"));
        assert_eq!(marked("/api", 1, true).as_deref(), Some("/api/~public~x"));
        assert_eq!(marked("http://x.test/api/a", 1, false).as_deref(), Some("/api/~public~x/a"));
        assert_eq!(marked("/api", 5, false), None);
    }
}
