//! Lets a request without a valid token reach public resources, and nothing else.
//!
//! actix routes a request as soon as a service is called, and neither a handler nor an extractor runs
//! before the future of that call is polled. A request without a valid token is therefore routed with
//! an [`Admission`] in its extensions, which the middleware of a public resource grants. If it has not
//! been granted when the call returns, the future is dropped and the request is rejected.

use std::{
    cell::{Cell, OnceCell},
    future::{Ready, ready},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use actix_web::{
    HttpMessage,
    dev::{Extensions, Service, ServiceRequest, ServiceResponse, Transform},
    http::Method,
};

use super::{
    hidden::remember_mounted, known::KnownRoutes, pattern::has_dot_segment, shapes::SHAPES,
    table::ROUTES,
};
use crate::{
    authorize::rule::AccessRule,
    token::claims::{Anonymous, Claims},
};

/// The permission to reach a public resource, in the extensions of a request without a valid token.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    is_granted: Rc<Cell<bool>>,
    /// The access rule of the route that the router took the request to.
    rule: Rc<Cell<Option<&'static AccessRule>>>,
    known: Rc<KnownRoutes>,
    /// The admission of an outer policy that routes the same request.
    outer: Option<Rc<Self>>,
}

impl Admission {
    /// Puts an admission into the extensions of a request that is about to be routed.
    ///
    /// An outer policy that routes the same request shares it: what is not public for this policy is not
    /// public for the outer one.
    pub(crate) fn offer(request: &ServiceRequest, known: &Rc<KnownRoutes>) -> Self {
        let mut extensions = request.extensions_mut();
        let outer = extensions.get::<Self>().filter(|outer| !outer.is_granted()).cloned();
        let is_granted =
            outer.as_ref().map(|outer| Rc::clone(&outer.is_granted)).unwrap_or_default();
        let admission = Self {
            is_granted,
            rule: Rc::default(),
            known: Rc::clone(known),
            outer: outer.map(Rc::new),
        };
        extensions.insert(admission.clone());
        admission
    }

    /// Returns whether an outer policy is routing this request, and will drop it unless it is public.
    pub(crate) fn is_pending(request: &ServiceRequest) -> bool {
        request.extensions().get::<Self>().is_some_and(|outer| !outer.is_granted())
    }

    /// Returns whether an inner service has kept the request after its future was dropped.
    pub(crate) fn is_kept(&self) -> bool {
        self.outer.is_none() && Rc::strong_count(&self.is_granted) > 1
    }

    pub(super) fn set_rule(&self, rule: &'static AccessRule) {
        self.rule.set(Some(rule));
        if let Some(outer) = &self.outer {
            outer.set_rule(rule);
        }
    }

    /// Returns the access rule of the route, if the request was routed to one with a rule.
    pub(crate) fn rule(&self) -> Option<&'static AccessRule> {
        self.rule.get()
    }

    fn record(&self, pattern: &Arc<str>, method: &Method) {
        self.known.record(pattern, method);
        if let Some(outer) = &self.outer {
            outer.record(pattern, method);
        }
    }

    /// Returns whether the router took the request to a public resource.
    pub(crate) fn is_granted(&self) -> bool {
        self.is_granted.get()
    }
}

/// Returns whether a request without a valid token must be routed to find out if it is public. Otherwise it may be
/// rejected without routing, unless the policy routes all requests.
pub(crate) fn must_be_routed(request: &ServiceRequest) -> bool {
    !ROUTES.is_empty()
        && (SHAPES.may_be_public(request.method(), request.match_info().as_str())
            // An outer policy routes it already.
            || Admission::is_pending(request))
}

thread_local! {
    static HAS_PUBLIC_ACCESS: Cell<bool> = const { Cell::new(false) };
}

/// Returns whether an app of this worker has a [`PublicAccess`], so that any request may be for a public
/// resource. actix builds the services of an app before the middleware around them, on the thread that serves
/// them.
pub(crate) fn has_public_access() -> bool {
    HAS_PUBLIC_ACCESS.get()
}

/// Makes a whole scope or resource public: everything in it, for every method, and all responses of a default
/// service for paths in it. Paths with a segment `.` or `..` stay private.
///
/// For handlers that are registered by `.route(…)`, for scopes, and for services such as
/// `actix_files::Files`. For a handler with a routing macro, use [`public`](macro@crate::public), which
/// is limited to the macro's methods and listed by [`routes`](crate::public::routes).
///
/// ```
/// use actix_web::{App, HttpResponse, web};
/// use oauth2_actix::public::PublicAccess;
///
/// let app = App::new()
///     .service(web::resource("/status").wrap(PublicAccess).route(web::get().to(HttpResponse::Ok)))
///     .service(
///         web::scope("/docs")
///             .wrap(PublicAccess)
///             .route("/{page}", web::get().to(HttpResponse::Ok)),
///     );
/// # drop(app);
/// ```
///
/// Add it last, so that it is outside of the scope's other middleware. Around a whole `App`, inside `OAuth2`,
/// it makes every route public. In such an app, a middleware inside `OAuth2` that spawns the service it
/// wraps, or polls it within `call`, must not wrap private routes: see `docs/public-routes.md`.
///
/// In an app that uses it, each request without a valid token is routed before it is rejected, as with
/// [`route_before_rejection`](crate::OAuth2Builder::route_before_rejection): a rejection costs routing, and
/// its response has a copy of the request.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::exhaustive_structs)] // Written as a value.
pub struct PublicAccess;

/// The counterpart of [`PublicAccess`] for the resources of a `#[public]` handler.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::exhaustive_structs)]
pub struct PublicResource;

impl<S, B> Transform<S, ServiceRequest> for PublicAccess
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = actix_web::Error>,
{
    type Response = ServiceResponse<B>;
    type Error = actix_web::Error;
    type Transform = PublicService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        HAS_PUBLIC_ACCESS.set(true);
        ready(Ok(PublicService { service, pattern: None }))
    }
}

impl<S, B> Transform<S, ServiceRequest> for PublicResource
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = actix_web::Error>,
{
    type Response = ServiceResponse<B>;
    type Error = actix_web::Error;
    type Transform = PublicService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        ready(Ok(PublicService { service, pattern: Some(OnceCell::new()) }))
    }
}

/// A public service.
#[doc(hidden)]
#[derive(Debug)]
pub struct PublicService<S> {
    service: S,
    /// The whole pattern of a `#[public]` resource, scopes included, set by its first request. None for
    /// [`PublicAccess`]: a scope has many patterns.
    pattern: Option<OnceCell<Option<Arc<str>>>>,
}

impl<S, B> Service<ServiceRequest> for PublicService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = actix_web::Error>,
{
    type Response = ServiceResponse<B>;
    type Error = actix_web::Error;
    type Future = S::Future;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&self, request: ServiceRequest) -> Self::Future {
        admit(&request, self.pattern.as_ref());
        self.service.call(request)
    }
}

/// Grants the admission of a request that has reached a public service of this crate. Its path must be one that
/// the policy routes before it rejects.
pub(crate) fn grant_admission(request: &ServiceRequest) {
    if let Some(admission) = request.extensions().get::<Admission>() {
        admission.is_granted.set(true);
    }
}

fn admit(request: &ServiceRequest, pattern: Option<&OnceCell<Option<Arc<str>>>>) {
    let is_public_access = pattern.is_none();
    let pattern = pattern.and_then(|known| known.get_or_init(|| mounted_pattern(request)).as_ref());
    let extensions = request.extensions();
    let Some(admission) = extensions.get::<Admission>() else {
        if !is_public_access {
            warn_once_unless_wrapped(request, &extensions);
        }
        return;
    };
    // A service in the scope may resolve the path to one outside of it.
    if is_public_access && has_dot_segment(request.match_info().as_str()) {
        return;
    }
    if admission.is_granted.replace(true) {
        return;
    }
    if let Some(pattern) = pattern {
        admission.record(pattern, request.method());
    }
}

fn mounted_pattern(request: &ServiceRequest) -> Option<Arc<str>> {
    let pattern = Arc::from(request.match_pattern()?);
    remember_mounted(&pattern);
    Some(pattern)
}

/// Warns once of a request that no `OAuth2` has seen: a public handler needs no claims, so a missing
/// `.wrap(oauth2)` would go unnoticed.
fn warn_once_unless_wrapped(request: &ServiceRequest, extensions: &Extensions) {
    static WARNED: AtomicBool = AtomicBool::new(false);
    if WARNED.load(Ordering::Relaxed)
        || extensions.contains::<Claims>()
        || extensions.contains::<Anonymous>()
    {
        return;
    }
    if !WARNED.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            target: "oauth2_actix", path = request.path(),
            "a request reached a #[public] route that no OAuth2 middleware is mounted around: private \
             routes beside it need no token either; add .wrap(oauth2) to the App (logged once)"
        );
    }
}
