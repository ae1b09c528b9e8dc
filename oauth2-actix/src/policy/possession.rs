//! Whether a request proves that its client has what its token is bound to. It is checked with every request, also if
//! the token is cached.

use std::{sync::Arc, time::Duration};

use actix_web::{HttpMessage, HttpRequest, dev::ServiceRequest, http::header::HeaderName};
use futures_util::{FutureExt, future::BoxFuture};

#[cfg(feature = "websocket")]
use crate::request::upgrade;
use crate::{
    dpop::{
        proof::{Presented, ProofChecker, ProofFault},
        replay::{Insertion, ReplayStore, UsedProof},
    },
    error::{Error, ErrorKind, challenge::Scheme},
    mtls,
    policy::Policy,
    request::bearer::TokenSource,
    token::claims::Claims,
    util::{clock::Clock, units::Unit},
};

/// The checks of proofs, for policies with at least one provider whose tokens may be bound to a DPoP key.
pub(crate) struct DpopChecks {
    pub(crate) checker: ProofChecker,
    pub(crate) store: Arc<dyn ReplayStore>,
    /// The algorithms of proofs, separated by spaces, for challenges.
    pub(crate) algorithms: String,
    /// Whether every token must be bound to a key.
    pub(crate) is_required: bool,
}

impl DpopChecks {
    /// Returns a nonce for the next proof of a client, if proofs must have one.
    pub(crate) fn issue_nonce(&self, clock: &Clock) -> Option<String> {
        self.checker.nonces.as_ref().map(|nonces| nonces.issue(clock.unix_time()))
    }
}

/// Whether a request has proved the possession of what its token is bound to.
pub(crate) enum Possession {
    Proven,
    Missing(Error),
    /// The proof is looked up in the store of used proofs.
    Pending(PendingProof),
}

/// A proof that passed every other check, and is being stored.
pub(crate) struct PendingProof {
    id: [u8; 32],
    insertion: BoxFuture<'static, Insertion>,
}

impl PendingProof {
    /// Waits for the answer of the store, at most for this time.
    pub(crate) async fn settle(self, limit: Duration) -> (SettledProof, Insertion) {
        let insertion = tokio::time::timeout(limit, self.insertion).await.unwrap_or_else(|_| {
            Insertion::Unavailable(format!("no answer of the store within {}", Unit(limit)).into())
        });
        (SettledProof(self.id), insertion)
    }
}

/// The id of a proof that a store has answered for.
pub(crate) struct SettledProof([u8; 32]);

/// The nonce for the client's next proof, in the request's extensions until the response is written.
pub(crate) struct FreshNonce(pub(crate) String);

/// The proof that an outer middleware has stored for this request, so that an inner one with the same store does not
/// take it for a second use. A proof that was rejected is not one.
struct StoredProof {
    id: [u8; 32],
    store: Arc<dyn ReplayStore>,
}

impl Policy {
    /// Checks the possession of what an accepted token is bound to.
    pub(crate) fn check_possession(
        &self,
        request: &ServiceRequest,
        claims: &Claims,
        source: TokenSource,
    ) -> Possession {
        let verified = claims.verified();
        let confirmation = verified.confirmation.as_deref().copied().unwrap_or_default();
        if let Some(certificate) = confirmation.certificate
            && let Err(error) = self.check_certificate(request.request(), &certificate)
        {
            return Possession::Missing(error.with_provider(&verified.by.name));
        }
        let checked = match (confirmation.key, source.scheme()) {
            (None, Scheme::Bearer) => Ok(None),
            (None, Scheme::Dpop) => Err(ErrorKind::NotDpopBound.into()),
            (Some(_), Scheme::Bearer) => {
                Err(Error::from(ErrorKind::SenderConstrained).with_hint(SENT_AS_BEARER))
            }
            (Some(key), Scheme::Dpop) => {
                self.check_proof(request, &confirmation.token_hash, &key, source).map(Some)
            }
        };
        let missing = |error: Error| Possession::Missing(error.with_provider(&verified.by.name));
        match checked {
            Err(error) => missing(error),
            Ok(None) => Possession::Proven,
            Ok(Some(used)) => match self.store_proof(request, used) {
                Possession::Missing(error) => missing(error),
                other => other,
            },
        }
    }

    /// Checks that the client has the certificate that a token is bound to (RFC 8705 §3).
    fn check_certificate(&self, request: &HttpRequest, expected: &[u8; 32]) -> Result<(), Error> {
        let proxy = self.certificate_proxy.as_ref();
        let mismatch = |problem| Error::from(ErrorKind::CertificateMismatch { problem });
        match mtls::client_certificate(request, proxy) {
            // Both hashes are public, so that the time of the comparison tells nothing.
            Ok(Some(certificate)) if certificate.sha256() == expected => Ok(()),
            Ok(Some(_)) => Err(mismatch("the client used another one")),
            Ok(None) => {
                let hint = mtls::hint(request, proxy);
                Err(mismatch("the client used none").with_hint(hint))
            }
            Err(fault) => {
                Err(mismatch("the header with the certificate is not accepted").with_source(fault))
            }
        }
    }

    fn check_proof(
        &self,
        request: &ServiceRequest,
        token_hash: &[u8; 32],
        key: &[u8; 32],
        source: TokenSource,
    ) -> Result<UsedProof, Error> {
        // Without the checks, no token is bound to a key that is checked.
        let Some(dpop) = &self.dpop else { return Err(ErrorKind::SenderConstrained.into()) };
        let head = request.head();
        let checked = dpop.checker.check(&Presented {
            proof: proof_of(request, source)?,
            method: head.method.as_str(),
            path: head.uri.path(),
            is_handshake: is_handshake(request),
            token_hash,
            thumbprint: key,
            now: self.clock.unix_time(),
        });
        match checked {
            Ok(checked) => {
                if let Some(nonce) = checked.fresh_nonce {
                    request.extensions_mut().insert(FreshNonce(nonce));
                }
                Ok(checked.used)
            }
            Err(ProofFault::Invalid(problem)) => Err(ErrorKind::ProofInvalid { problem }.into()),
            Err(ProofFault::OtherKey) => Err(ErrorKind::ProofKeyMismatch.into()),
            Err(ProofFault::NonceRequired) => Err(ErrorKind::NonceRequired.into()),
        }
    }

    /// Stores a proof that passed every other check.
    fn store_proof(&self, request: &ServiceRequest, used: UsedProof) -> Possession {
        let Some(dpop) = &self.dpop else {
            return Possession::Missing(ErrorKind::SenderConstrained.into());
        };
        let id = used.id;
        let is_stored = |stored: &StoredProof| {
            stored.id == id
                && std::ptr::addr_eq(Arc::as_ptr(&stored.store), Arc::as_ptr(&dpop.store))
        };
        if request.extensions().get::<StoredProof>().is_some_and(is_stored) {
            return Possession::Proven;
        }
        let mut insertion = dpop.store.insert_once(used);
        match (&mut insertion).now_or_never() {
            None => Possession::Pending(PendingProof { id, insertion }),
            Some(insertion) => match self.check_insertion(request, SettledProof(id), insertion) {
                Ok(()) => Possession::Proven,
                Err(error) => Possession::Missing(error),
            },
        }
    }

    /// Checks what the store has answered.
    pub(crate) fn check_insertion(
        &self,
        request: &ServiceRequest,
        proof: SettledProof,
        insertion: Insertion,
    ) -> Result<(), Error> {
        match insertion {
            Insertion::Fresh => {
                if let Some(dpop) = &self.dpop {
                    let store = Arc::clone(&dpop.store);
                    request.extensions_mut().insert(StoredProof { id: proof.0, store });
                }
                Ok(())
            }
            Insertion::Seen => Err(ErrorKind::ProofReplayed.into()),
            Insertion::Unavailable(reason) => {
                Err(Error::from(ErrorKind::ReplayStoreUnavailable).with_source(reason))
            }
        }
    }

    /// Returns the scheme of a request's token, for the challenge.
    pub(crate) fn scheme_of(&self, request: &HttpRequest) -> Scheme {
        match &self.dpop {
            None => Scheme::Bearer,
            Some(_) => self
                .credentials(request.head())
                .map_or(Scheme::Bearer, |(_, source)| source.scheme()),
        }
    }
}

/// Checks that a token which was not sent in a request is a bearer token: there is no proof for a bound one.
pub(crate) fn check_unbound(claims: &Claims) -> Result<(), Error> {
    match &claims.verified().confirmation {
        None => Ok(()),
        Some(_) => {
            let error = Error::from(ErrorKind::SenderConstrained);
            Err(error.with_provider(&claims.verified().by.name))
        }
    }
}

/// Returns whether two tokens are bound to the same key and certificate, or both to none.
#[cfg(feature = "websocket")]
pub(crate) fn is_bound_alike(one: &Claims, other: &Claims) -> bool {
    let bound_to = |claims: &Claims| {
        let confirmation = claims.verified().confirmation.as_deref();
        confirmation.map(|confirmation| (confirmation.key, confirmation.certificate))
    };
    bound_to(one) == bound_to(other)
}

/// Returns the proof of a request, of which there must be one (RFC 9449 §4.3, item 1).
fn proof_of(request: &ServiceRequest, source: TokenSource) -> Result<&[u8], Error> {
    let invalid = |problem| Err(ErrorKind::ProofInvalid { problem }.into());
    let mut headers = request.headers().get_all(&DPOP);
    #[cfg(feature = "websocket")]
    if source == TokenSource::DpopSubprotocol {
        if headers.next().is_some() {
            return invalid("there is one in a subprotocol, and a DPoP header beside it");
        }
        return match upgrade::offered_proof(request.headers()) {
            Some(proof) => Ok(proof.as_bytes()),
            None => invalid("no proof follows the token in the subprotocols"),
        };
    }
    let _ = source;
    match (headers.next(), headers.next()) {
        (Some(proof), None) => Ok(proof.as_bytes()),
        (None, _) => invalid("the request has no DPoP header"),
        (Some(_), Some(_)) => invalid("the request has more than one DPoP header"),
    }
}

fn is_handshake(request: &ServiceRequest) -> bool {
    #[cfg(feature = "websocket")]
    return upgrade::is_handshake(request.head());
    #[cfg(not(feature = "websocket"))]
    {
        let _ = request;
        false
    }
}

const SENT_AS_BEARER: &str = "the token is bound to a DPoP key and was sent as a bearer token; expected the scheme \
     DPoP in `Authorization`, and a proof in the header DPoP";

/// The header with the proof (RFC 9449 §4.1).
const DPOP: HeaderName = HeaderName::from_static("dpop");
