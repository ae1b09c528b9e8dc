//! A middleware on `jsonwebtoken`, as a good engineer writes it by hand. Keys are parsed once and shared
//! without a lock, no future is boxed, and the handler finds all claims in the extensions of the request.

use std::{
    collections::HashMap,
    future::{Ready, ready},
    sync::Arc,
    task::{Context, Poll},
};

use actix_web::{
    HttpMessage, HttpResponse,
    body::{BoxBody, EitherBody, MessageBody},
    dev::{Service, ServiceRequest, ServiceResponse, Transform},
    http::header::{AUTHORIZATION, HeaderMap, WWW_AUTHENTICATE},
};
use futures_util::{
    TryFutureExt,
    future::{Either, MapOk},
};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header, jwk::JwkSet};
use serde_json::{Map, Value};

/// The claims of an accepted token, in the extensions of the request.
pub(crate) struct Claims(#[allow(dead_code)] Map<String, Value>); // No handler here reads them.

/// The middleware.
#[derive(Clone)]
pub(crate) struct Bearer(Arc<Verifier>);

struct Verifier {
    keys: HashMap<String, DecodingKey>,
    validation: Validation,
}

impl Bearer {
    pub(crate) fn new(jwk_set: &str, algorithm: Algorithm, issuer: &str, audience: &str) -> Self {
        let set: JwkSet = serde_json::from_str(jwk_set).unwrap();
        let keys = set.keys.iter().map(|jwk| {
            let kid = jwk.common.key_id.clone().unwrap();
            (kid, DecodingKey::from_jwk(jwk).unwrap())
        });
        let mut validation = Validation::new(algorithm);
        validation.set_issuer(&[issuer]);
        validation.set_audience(&[audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.validate_nbf = true;
        validation.leeway = 0;
        Self(Arc::new(Verifier { keys: keys.collect(), validation }))
    }
}

impl Verifier {
    fn verify(&self, headers: &HeaderMap) -> Option<Claims> {
        let token = headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")?;
        let key = self.keys.get(&decode_header(token).ok()?.kid?)?;
        Some(Claims(decode(token, key, &self.validation).ok()?.claims))
    }
}

impl<S, B> Transform<S, ServiceRequest> for Bearer
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = actix_web::Error>,
    B: MessageBody,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = actix_web::Error;
    type Transform = BearerMiddleware<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        ready(Ok(BearerMiddleware { service, verifier: Arc::clone(&self.0) }))
    }
}

pub(crate) struct BearerMiddleware<S> {
    service: S,
    verifier: Arc<Verifier>,
}

impl<S, B> Service<ServiceRequest> for BearerMiddleware<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = actix_web::Error>,
    B: MessageBody,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = actix_web::Error;
    type Future = Either<MapOk<S::Future, ToLeft<B>>, Ready<Result<Self::Response, Self::Error>>>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let Some(claims) = self.verifier.verify(request.headers()) else {
            let rejection =
                HttpResponse::Unauthorized().insert_header((WWW_AUTHENTICATE, "Bearer")).finish();
            let response = request.into_response(rejection).map_into_right_body();
            return Either::Right(ready(Ok(response)));
        };
        request.extensions_mut().insert(claims);
        Either::Left(self.service.call(request).map_ok(ServiceResponse::map_into_left_body))
    }
}

type ToLeft<B> = fn(ServiceResponse<B>) -> ServiceResponse<EitherBody<B, BoxBody>>;
