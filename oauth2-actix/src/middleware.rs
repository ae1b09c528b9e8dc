//! The middleware service of `OAuth2`: the only file that implements actix's `Transform` and `Service` for
//! requests. `headers.rs` sets the headers of responses.

mod headers;

use std::{
    future::{Future, Ready, ready},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready as poll_ready},
};

use actix_web::{
    HttpMessage, HttpRequest,
    body::{EitherBody, MessageBody},
    dev::{Service, ServiceRequest, ServiceResponse, Transform},
    test::TestRequest,
};
use futures_util::future::LocalBoxFuture;
use pin_project_lite::pin_project;

use self::headers::{
    keep_headers, set_fresh_nonce, set_token_source_headers, set_token_source_headers_on_error,
};
use crate::{
    builder::oauth2::OAuth2,
    dpop::replay::Insertion,
    error::Error,
    exchange::ExchangeError,
    policy::{
        Decision, Pending,
        possession::{PendingProof, Possession, SettledProof},
        principal::PrincipalValue,
    },
    public::{Admission, KnownRoutes, PathAccess, PathWatch, has_public_access, must_be_routed},
    request::bearer::TokenSource,
    response::ResponseContext,
    token::{
        claims::{Anonymous, Claims},
        principal::CurrentPrincipal,
    },
    util::telemetry::Passed,
};

impl<S, B> Transform<S, ServiceRequest> for OAuth2
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = actix_web::Error> + 'static,
    B: MessageBody,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = actix_web::Error;
    type Transform = OAuth2Middleware<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        ready(Ok(OAuth2Middleware(Rc::new(Shared {
            service,
            oauth2: self.clone(),
            known_routes: Rc::default(),
            routes_all: self.0.routes_all || has_public_access(),
        }))))
    }
}

/// The service that `OAuth2` creates around another service.
#[doc(hidden)]
#[derive(Debug)]
pub struct OAuth2Middleware<S>(Rc<Shared<S>>);

#[derive(Debug)]
struct Shared<S> {
    service: S,
    oauth2: OAuth2,
    known_routes: Rc<KnownRoutes>,
    /// Whether each request without a valid token is routed before it is rejected.
    routes_all: bool,
}

impl<S, B> Service<ServiceRequest> for OAuth2Middleware<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = actix_web::Error> + 'static,
    B: MessageBody,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = actix_web::Error;
    type Future = OAuth2Future<S, S::Future>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.service.poll_ready(context)
    }

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let shared = Rc::clone(&self.0);
        let policy = &shared.oauth2.0;
        let (decision, source) = match policy.credentials(request.head()) {
            Ok((credentials, source)) => (policy.decide(&credentials), source),
            Err(error) => (Decision::Rejected(error), TokenSource::Header),
        };
        let state = match decision {
            // A bound token is never enough, whatever the policy.
            Decision::Accepted(claims)
                if !policy.decides_further && claims.verified().confirmation.is_none() =>
            {
                State::inner(&shared, request, Ok(claims))
            }
            Decision::Accepted(claims) => State::decided_further(&shared, request, claims, source),
            // Only a request that is rejected or would have to wait is checked for being public.
            Decision::Rejected(error) => State::without_claims(&shared, request, error, None),
            Decision::Waiting(pending) => {
                let path = request.match_info().as_str();
                if policy.public.access(path) != PathAccess::Private
                    || policy.may_be_for_own_service(path)
                    || shared.known_routes.has_route_of(&request)
                    || Admission::is_pending(&request)
                {
                    let reason = policy.anonymous_reason(&pending);
                    let undecided = policy.error_of_undecided(&pending);
                    State::without_claims(&shared, request, reason, Some(undecided))
                } else {
                    State::Waiting {
                        decision: Box::pin(resolve(shared.oauth2.clone(), pending)),
                        request: Some(request),
                    }
                }
            }
        };
        OAuth2Future { shared, source, state }
    }
}

/// The claims of an accepted token, and what the application has loaded for it.
struct Caller {
    claims: Claims,
    principal: Option<PrincipalValue>,
}

/// What a request has waited for.
enum Progress {
    /// The token was accepted.
    Token(Claims),
    /// The store of used proofs has answered.
    Proof(Claims, SettledProof, Insertion),
    /// The application has loaded the caller.
    Caller(Caller),
}

async fn resolve(oauth2: OAuth2, pending: Box<Pending>) -> Result<Progress, Error> {
    oauth2.0.resolve(pending).await.map(Progress::Token)
}

async fn settle(proof: PendingProof, claims: Claims) -> Result<Progress, Error> {
    let limit = claims.verified().by.rules.check_timeout;
    let (proof, insertion) = proof.settle(limit).await;
    // The store may have taken seconds.
    claims.verified().check_again()?;
    Ok(Progress::Proof(claims, proof, insertion))
}

async fn load_principal(oauth2: OAuth2, claims: Claims) -> Result<Progress, Error> {
    let principal = match &oauth2.0.principal {
        None => None,
        Some(source) => Some(oauth2.0.load_principal(source, &claims).await?),
    };
    Ok(Progress::Caller(Caller { claims, principal }))
}

pin_project! {
    /// The response of `OAuth2`. It allocates only if it must wait for keys.
    #[doc(hidden)]
    pub struct OAuth2Future<S, F> {
        shared: Rc<Shared<S>>,
        source: TokenSource,
        #[pin]
        state: State<F>,
    }
}

impl<S, F> std::fmt::Debug for OAuth2Future<S, F> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("OAuth2Future").finish_non_exhaustive()
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F> {
        Waiting {
            decision: LocalBoxFuture<'static, Result<Progress, Error>>,
            request: Option<ServiceRequest>,
        },
        Inner {
            #[pin]
            answer: F,
            response_context: ResponseContext,
            passed: Passed,
        },
        // Boxed, so that accepted requests do not carry its size. The response is made when this is polled:
        // an outer policy may drop it before, and rejects the request itself.
        Rejected {
            rejection: Option<Box<(HttpRequest, Error)>>,
        },
        // An inner middleware has replaced the public path. The request is gone.
        Rewritten {
            rejection: Option<Box<(ResponseContext, Error)>>,
        },
    }
}

impl<F> State<F> {
    /// Checks the resource and what the token is bound to, and calls the inner service with the principal.
    fn decided_further<S>(
        shared: &Shared<S>,
        request: ServiceRequest,
        claims: Claims,
        source: TokenSource,
    ) -> Self
    where
        S: Service<ServiceRequest, Future = F>,
    {
        let policy = &shared.oauth2.0;
        if let Err(error) = policy.check_resource(&claims, request.match_info().as_str()) {
            return Self::without_claims(shared, request, error, None);
        }
        match policy.check_possession(&request, &claims, source) {
            Possession::Missing(error) => Self::without_claims(shared, request, error, None),
            Possession::Proven => Self::possessed(shared, request, claims),
            // An outer policy is routing this request, and drops it unless it reaches a public route at once.
            Possession::Pending(_) if Admission::is_pending(&request) => {
                let error = policy.undecided_error();
                Self::without_claims(shared, request, error, None)
            }
            Possession::Pending(proof) => {
                Self::Waiting { decision: Box::pin(settle(proof, claims)), request: Some(request) }
            }
        }
    }

    /// Calls the inner service with the principal, after all other checks.
    fn possessed<S>(shared: &Shared<S>, request: ServiceRequest, claims: Claims) -> Self
    where
        S: Service<ServiceRequest, Future = F>,
    {
        match shared.oauth2.0.principal {
            None => Self::inner_of_resource(shared, request, Ok(claims)),
            Some(_) => Self::with_principal(shared, request, claims),
        }
    }

    /// Calls the inner service with the principal that is cached with the token, or waits until it is loaded.
    fn with_principal<S>(shared: &Shared<S>, request: ServiceRequest, claims: Claims) -> Self
    where
        S: Service<ServiceRequest, Future = F>,
    {
        match shared.oauth2.0.cached_principal(&claims) {
            Some(principal) => {
                Self::accepted(shared, request, Caller { claims, principal: Some(principal) })
            }
            // An outer policy is routing this request, and drops it unless it reaches a public route at once.
            None if Admission::is_pending(&request) => {
                let error = shared.oauth2.0.undecided_error();
                Self::without_claims(shared, request, error, None)
            }
            None => Self::Waiting {
                decision: Box::pin(load_principal(shared.oauth2.clone(), claims)),
                request: Some(request),
            },
        }
    }

    /// Calls the inner service with the claims and the principal.
    fn accepted<S>(shared: &Shared<S>, request: ServiceRequest, caller: Caller) -> Self
    where
        S: Service<ServiceRequest, Future = F>,
    {
        let Caller { claims, principal } = caller;
        if let Some(value) = principal {
            let principal = CurrentPrincipal { claims: claims.clone(), value };
            request.extensions_mut().insert(principal);
        }
        Self::inner_of_resource(shared, request, Ok(claims))
    }

    /// Calls the inner service, and keeps the protected resource that the request is for. With one resource it need
    /// not be kept.
    fn inner_of_resource<S>(
        shared: &Shared<S>,
        request: ServiceRequest,
        claims: Result<Claims, Error>,
    ) -> Self
    where
        S: Service<ServiceRequest, Future = F>,
    {
        let policy = &shared.oauth2.0;
        let index = policy.resources.index_of(request.match_info().as_str());
        let scheme = policy.scheme_of(request.request());
        let mut state = Self::inner(shared, request, claims);
        if let Self::Inner { response_context, .. } = &mut state {
            response_context.set_resource(index);
            response_context.set_scheme(scheme);
        }
        state
    }

    /// Calls the inner service, with the claims or the reason why there are none.
    fn inner<S>(shared: &Shared<S>, request: ServiceRequest, claims: Result<Claims, Error>) -> Self
    where
        S: Service<ServiceRequest, Future = F>,
    {
        let mut extensions = request.extensions_mut();
        let passed = match claims {
            Ok(claims) => {
                let passed = Passed::Accepted(claims.verified().by.requests.clone());
                extensions.insert(claims);
                passed
            }
            Err(reason) => {
                // The claims of an outer `OAuth2` are not valid for this one.
                extensions.remove::<Claims>();
                extensions.insert(Anonymous(reason));
                Passed::Public
            }
        };
        drop(extensions);
        let response_context = ResponseContext::of(request.head());
        Self::Inner { answer: shared.service.call(request), response_context, passed }
    }

    /// Calls the inner service for a request that needs no token. Rejects any other, for `rejection` or else
    /// for the reason why it has no claims.
    fn without_claims<S>(
        shared: &Shared<S>,
        request: ServiceRequest,
        reason: Error,
        rejection: Option<Error>,
    ) -> Self
    where
        S: Service<ServiceRequest, Future = F>,
    {
        let policy = &shared.oauth2.0;
        policy.check_documents_once(&request);
        match policy.public.access(request.match_info().as_str()) {
            PathAccess::Public => Self::inner_of_resource(shared, request, Err(reason)),
            PathAccess::PublicUnlessRewritten => {
                Self::public_unless_rewritten(shared, request, reason)
            }
            PathAccess::Private
                if shared.routes_all
                    || must_be_routed(&request)
                    || policy.may_be_for_own_service(request.match_info().as_str()) =>
            {
                Self::routed(shared, request, reason, rejection)
            }
            PathAccess::Private => {
                if let Some(hint) = policy.scope_hint(&request, &reason) {
                    hint.log();
                }
                Self::rejected(request.into_parts().0, rejection.unwrap_or(reason))
            }
        }
    }

    /// Calls the inner service for a path that is public only as it is. The handler runs if the path was not
    /// changed, or if the router took the request to a public resource. Otherwise the future is dropped before
    /// it is polled, and the request is rejected.
    fn public_unless_rewritten<S>(
        shared: &Shared<S>,
        mut request: ServiceRequest,
        reason: Error,
    ) -> Self
    where
        S: Service<ServiceRequest, Future = F>,
    {
        let admission = Admission::offer(&request, &shared.known_routes);
        let watch = PathWatch::start(&mut request);
        let state = Self::inner_of_resource(shared, request, Err(reason.clone()));
        let is_unchanged = watch.is_some_and(|watch| watch.is_unchanged());
        let response_context = match state {
            Self::Inner { response_context, .. } if !is_unchanged && !admission.is_granted() => {
                response_context
            }
            public => return public,
        };
        shared.oauth2.0.public.warn_once_of_rewrite();
        Self::Rewritten { rejection: Some(Box::new((response_context, reason))) }
    }

    /// Lets the router decide. The future is dropped unpolled unless the request was taken to a public
    /// resource.
    fn routed<S>(
        shared: &Shared<S>,
        request: ServiceRequest,
        reason: Error,
        rejection: Option<Error>,
    ) -> Self
    where
        S: Service<ServiceRequest, Future = F>,
    {
        let policy = &shared.oauth2.0;
        let candidate = policy.hidden_routes.candidate(&request);
        let hint = policy.scope_hint(&request, &reason);
        let copy = copy_of(&request);
        let admission = Admission::offer(&request, &shared.known_routes);
        let state = Self::inner_of_resource(shared, request, Err(reason.clone()));
        if admission.is_granted() {
            if let Some(hint) = hint {
                hint.dismiss();
            }
            return state;
        }
        drop(state);
        if admission.is_kept() {
            policy.hidden_routes.warn_once_of_kept_request(std::any::type_name::<S>());
        }
        policy.hidden_routes.warn_once_of_hidden_route(candidate, std::any::type_name::<S>());
        if let Some(hint) = hint {
            hint.log();
        }
        let error = rejection.unwrap_or(reason);
        let scopes = admission.rule().and_then(|rule| rule.challenged_scopes(&policy.rules));
        Self::rejected(
            copy,
            match scopes {
                Some(scopes) => error.with_scopes(scopes),
                None => error,
            },
        )
    }

    fn rejected(request: HttpRequest, reason: Error) -> Self {
        Self::Rejected { rejection: Some(Box::new((request, reason))) }
    }
}

impl<S, B> Future for OAuth2Future<S, S::Future>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = actix_web::Error>,
    B: MessageBody,
{
    type Output = Result<ServiceResponse<EitherBody<B>>, actix_web::Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProjection::Inner { answer, response_context, passed } => {
                    return Poll::Ready(match poll_ready!(answer.poll(context)) {
                        Ok(response) => {
                            let mut response = finish(this.shared, response, passed);
                            set_token_source_headers(&mut response, *this.source);
                            if this.shared.oauth2.0.has_dpop() {
                                set_fresh_nonce(&mut response);
                            }
                            Ok(response)
                        }
                        Err(error) => {
                            let error = finish_error(this.shared, response_context, error, passed);
                            Err(set_token_source_headers_on_error(error, *this.source))
                        }
                    });
                }
                StateProjection::Rejected { rejection } => {
                    let (request, error) = *rejection.take().expect("polled after completion");
                    let response = this.shared.oauth2.0.reject(&request, &error);
                    let mut response = ServiceResponse::new(request, response);
                    set_token_source_headers(&mut response, *this.source);
                    if this.shared.oauth2.0.has_dpop() {
                        set_fresh_nonce(&mut response);
                    }
                    return Poll::Ready(Ok(response.map_into_right_body()));
                }
                StateProjection::Rewritten { rejection } => {
                    let (response_context, error) =
                        *rejection.take().expect("polled after completion");
                    let error = this.shared.oauth2.0.reject_late(&response_context, &error);
                    return Poll::Ready(Err(set_token_source_headers_on_error(
                        error,
                        *this.source,
                    )));
                }
                StateProjection::Waiting { decision, request } => {
                    let decision = poll_ready!(decision.as_mut().poll(context));
                    let request = request.take().expect("polled after completion");
                    let policy = &this.shared.oauth2.0;
                    match decision {
                        Ok(Progress::Token(claims)) => {
                            State::decided_further(this.shared, request, claims, *this.source)
                        }
                        Ok(Progress::Proof(claims, proof, insertion)) => {
                            match policy.check_insertion(&request, proof, insertion) {
                                Ok(()) => State::possessed(this.shared, request, claims),
                                Err(error) => {
                                    let error = error.with_provider(&claims.verified().by.name);
                                    State::without_claims(this.shared, request, error, None)
                                }
                            }
                        }
                        Ok(Progress::Caller(caller)) => {
                            State::accepted(this.shared, request, caller)
                        }
                        Err(error) => State::without_claims(this.shared, request, error, None),
                    }
                }
            };
            this.state.set(next);
        }
    }
}

/// Copies a request that is routed and may be gone afterwards: method, URI, version, headers and peer
/// address, and nothing else. actix has no other way to make a request.
fn copy_of(request: &ServiceRequest) -> HttpRequest {
    let mut copy = TestRequest::default().to_srv_request();
    *copy.head_mut() = request.head().clone();
    *copy.match_info_mut().get_mut() = request.match_info().get_ref().clone();
    copy.into_parts().0
}

/// Rewrites a response that an extractor or a handler made of this crate's error, which does not have the
/// realm, the hook and the WebSocket close of the policy. A response with another status was changed by an
/// inner service, and is kept.
fn finish<S, B>(
    shared: &Shared<S>,
    response: ServiceResponse<B>,
    passed: &Passed,
) -> ServiceResponse<EitherBody<B>> {
    let error = response
        .response()
        .error()
        .and_then(own_error)
        .filter(|error| error.status() == response.status())
        .cloned();
    match error {
        None => {
            passed.count();
            response.map_into_left_body()
        }
        Some(error) => rewrite_rejection(shared, response, &error).map_into_right_body(),
    }
}

/// Returns this crate's error about the token of the request: also if the token could not be exchanged, because it is no
/// longer accepted.
fn own_error(error: &actix_web::Error) -> Option<&Error> {
    error.as_error::<Error>().or_else(|| error.as_error::<ExchangeError>()?.rejection())
}

fn rewrite_rejection<S, B>(
    shared: &Shared<S>,
    response: ServiceResponse<B>,
    error: &Error,
) -> ServiceResponse {
    let mut rejection = shared.oauth2.0.reject(response.request(), error);
    keep_headers(response.headers(), rejection.headers_mut());
    response.into_response(rejection)
}

/// Rewrites this crate's error if an inner middleware has returned it as `Err`.
fn finish_error<S>(
    shared: &Shared<S>,
    response_context: &ResponseContext,
    error: actix_web::Error,
    passed: &Passed,
) -> actix_web::Error {
    match own_error(&error) {
        Some(own) => shared.oauth2.0.reject_late(response_context, own),
        None => {
            passed.count();
            error
        }
    }
}
