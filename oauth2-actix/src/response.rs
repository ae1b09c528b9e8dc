//! Turns an error into the response: plain HTTP with challenge and JSON body, or a WebSocket close. Logs the
//! rejection, and warns of a CORS preflight that reached `OAuth2`: actix-cors outside must answer it.

use std::sync::atomic::Ordering;

use actix_web::{
    HttpRequest, HttpResponse,
    dev::{RequestHead, ServiceRequest},
    error::InternalError,
    http::{
        Method, StatusCode,
        header::{self, HeaderValue},
    },
};

use crate::{
    config::missing_token::MissingToken,
    error::{
        Error, ErrorKind,
        challenge::Scheme,
        response::{Api, DpopApi, plain},
    },
    policy::Policy,
    public::ScopeHint,
    util::telemetry,
};

/// The parts of a request that its rejection needs, since the request may be gone when the response is
/// written.
#[derive(Debug)]
pub(crate) struct ResponseContext {
    /// Boxed, since few requests have one and all would carry its size.
    #[cfg(feature = "websocket")]
    handshake: Option<Box<crate::request::upgrade::Handshake>>,
    /// Boxed for the same reason. None if the log level is disabled, and the request is for the first resource.
    details: Option<Box<RequestDetails>>,
}

#[derive(Debug, Default)]
struct RequestDetails {
    /// The request line for the log. None if the log level is disabled.
    line: Option<RequestLine>,
    /// The index of the protected resource that the request is for.
    resource: usize,
    /// The scheme of the request's token.
    scheme: Scheme,
}

/// The method and path of a request, for the log. Without the query, which may contain a token.
#[derive(Debug)]
struct RequestLine {
    method: Method,
    path: String,
}

impl RequestLine {
    fn of(head: &RequestHead) -> Self {
        const SHOWN: usize = 256;
        let path = head.uri.path();
        let end = path.char_indices().nth(SHOWN).map_or(path.len(), |(at, _)| at);
        Self { method: head.method.clone(), path: path[..end].to_owned() }
    }
}

impl ResponseContext {
    #[inline]
    pub(crate) fn of(head: &RequestHead) -> Self {
        let is_logged = tracing::enabled!(target: "oauth2_actix", tracing::Level::DEBUG);
        Self {
            #[cfg(feature = "websocket")]
            handshake: crate::request::upgrade::Handshake::of(head).map(Box::new),
            details: is_logged.then(|| {
                let line = Some(RequestLine::of(head));
                Box::new(RequestDetails { line, ..RequestDetails::default() })
            }),
        }
    }

    /// Sets the protected resource that the request is for, if it is not the first.
    pub(crate) fn set_resource(&mut self, index: usize) {
        if index != 0 {
            self.details.get_or_insert_default().resource = index;
        }
    }

    /// Sets the scheme of the request's token, if it is not `Bearer`.
    pub(crate) fn set_scheme(&mut self, scheme: Scheme) {
        if scheme != Scheme::Bearer {
            self.details.get_or_insert_default().scheme = scheme;
        }
    }

    fn scheme(&self) -> Scheme {
        self.details.as_ref().map_or(Scheme::Bearer, |details| details.scheme)
    }

    fn resource(&self) -> usize {
        self.details.as_ref().map_or(0, |details| details.resource)
    }

    fn log(&self, error: &Error) {
        // A missing middleware was logged as an error already.
        if matches!(error.kind(), ErrorKind::NotConfigured) {
            return;
        }
        let line = self.details.as_ref().and_then(|details| details.line.as_ref());
        tracing::debug!(
            target: "oauth2_actix",
            method = line.map(|line| line.method.as_str()),
            path = line.map(|line| line.path.as_str()),
            provider = error.provider(),
            reason = %error,
            expected = error.expected(),
            hint = error.hint(),
            source = std::error::Error::source(error).map(tracing::field::display),
            "request rejected"
        );
    }

    /// Returns the response that closes the WebSocket, if the request was a handshake.
    #[cfg_attr(not(feature = "websocket"), allow(clippy::unused_self, unused_variables))]
    fn close(&self, error: &Error) -> Option<HttpResponse> {
        #[cfg(feature = "websocket")]
        return self.handshake.as_ref()?.close(error);
        #[cfg(not(feature = "websocket"))]
        None
    }
}

impl Policy {
    /// Returns the response to a rejected request. The typed reason is in its extensions, even if the
    /// developer's hook replaces the rest.
    pub(crate) fn reject(&self, request: &HttpRequest, error: &Error) -> HttpResponse {
        self.warn_once_of_preflight(request);
        let mut context = ResponseContext::of(request.head());
        context.set_resource(self.resources.index_of(request.match_info().as_str()));
        context.set_scheme(self.scheme_of(request));
        self.respond(&context, Some(request), error)
    }

    /// Returns an error that renders as the response, for a request that is gone. The hook is not called,
    /// since it needs the request.
    pub(crate) fn reject_late(&self, context: &ResponseContext, error: &Error) -> actix_web::Error {
        InternalError::from_response(error.clone(), self.respond(context, None, error)).into()
    }

    fn respond(
        &self,
        context: &ResponseContext,
        request: Option<&HttpRequest>,
        error: &Error,
    ) -> HttpResponse {
        telemetry::request_rejected(error);
        context.log(error);
        if let Some(mut response) = context.close(error) {
            response.extensions_mut().insert(error.clone());
            return response;
        }
        let status = match (error.kind(), self.missing_token) {
            (ErrorKind::TokenMissing, MissingToken::Unauthorized) => StatusCode::UNAUTHORIZED,
            _ => error.status(),
        };
        let resource = self.resources.get(context.resource());
        let nonce = self.dpop.as_ref().and_then(|dpop| dpop.issue_nonce(&self.clock));
        let dpop = self.dpop.as_ref().map(|dpop| DpopApi {
            algorithms: &dpop.algorithms,
            is_required: dpop.is_required,
            nonce: nonce.as_deref(),
        });
        let api = Api {
            realm: &self.realm,
            metadata_url: resource.map(|resource| resource.metadata_url.as_str()),
            scopes: resource.and_then(|resource| resource.challenge_scopes.as_deref()),
            scheme: context.scheme(),
            dpop,
        };
        let mut response = plain(error, api, status);
        // Also set if the request is gone, where it does no harm.
        if request.is_none_or(|request| request.headers().contains_key(header::ORIGIN)) {
            // An outer actix-cors replaces this only if it exposes headers itself.
            let exposed = if self.has_dpop() {
                "WWW-Authenticate, Retry-After, DPoP-Nonce"
            } else {
                "WWW-Authenticate, Retry-After"
            };
            response
                .headers_mut()
                .insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(exposed));
        }
        if let (Some(hook), Some(request)) = (&self.on_rejection, request) {
            response = hook(request, error, response);
        }
        response.extensions_mut().insert(error.clone());
        response
    }

    /// Returns a hint if `public_paths` seems to contain the path of a request that needs a token.
    #[inline(never)]
    pub(crate) fn scope_hint(
        &self,
        request: &ServiceRequest,
        error: &Error,
    ) -> Option<ScopeHint<'_>> {
        if !matches!(error.kind(), ErrorKind::TokenMissing) {
            return None;
        }
        let path = request.match_info().as_str();
        self.public.scope_hint(path, |path| request.resource_map().match_pattern(path))
    }

    /// Warns if no route of the app serves a metadata document that challenges name. Searches the routes once.
    pub(crate) fn check_documents_once(&self, request: &ServiceRequest) {
        if self.resources.is_empty() || self.documents_checked.swap(true, Ordering::Relaxed) {
            return;
        }
        let routes = request.resource_map();
        let mut paths = self.resources.documents().map(|(path, _)| path);
        if let Some(path) = paths.find(|path| routes.match_pattern(path).is_none()) {
            tracing::warn!(
                target: "oauth2_actix", path,
                "no route of this app serves the metadata document that challenges name, so clients cannot log \
                 in unless another server does: add `.service(oauth2.resource_metadata())` to the App (logged once)"
            );
        }
    }

    /// Warns once of a rejected CORS preflight. A preflight that needs a token can never succeed: browsers
    /// send none with it.
    fn warn_once_of_preflight(&self, request: &HttpRequest) {
        let is_preflight = *request.method() == Method::OPTIONS
            && request.headers().contains_key(header::ORIGIN)
            && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        if is_preflight && !self.preflight_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                target: "oauth2_actix",
                "a CORS preflight was rejected, since it reached OAuth2 before any CORS middleware; \
                 wrap CORS after OAuth2, which puts it outside: `.wrap(oauth2).wrap(cors)` \
                 (logged once)"
            );
        }
    }
}
