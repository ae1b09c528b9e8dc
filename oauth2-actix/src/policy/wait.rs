//! The decision on a token that waits for keys, or for its issuer to be looked up.

use std::{fmt, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};

use crate::{
    api_keys::Lookup,
    error::Error,
    introspection::IntrospectionCall,
    jose::{
        jws::UnverifiedJws,
        key_set::{KeySet, SignatureCheck},
    },
    keys::{
        fetcher::{Fetchers, TokenParts},
        remote::{FetchReason, RemoteKeySet, unavailable},
    },
    provider::{ResolvedProvider, background::KeyThread, tenants::IssuerLookup},
    token::{claims::Claims, lifetime, validation, verified::VerifiedBy},
};

use super::{
    Policy,
    decide::{Acceptance, LocalDecision},
    rank::{most_specific, signature_rejection},
};

/// A token that is not decided on yet.
pub(crate) enum Pending {
    /// Its signature is not checked.
    Signature(PendingSignature),
    /// It is not introspected.
    Introspection(IntrospectionCall),
    /// It is not looked up in the source of API keys.
    ApiKey(Lookup),
    /// It is accepted, except that its status list is not there.
    Status(Claims),
}

/// A token that passed every cheap check and waits for keys, or for its issuer to be looked up.
pub(crate) struct PendingSignature {
    pub(super) token: Box<[u8]>,
    pub(super) jws: UnverifiedJws,
    /// The keys that may decide. None if the issuer was not looked up yet.
    pub(super) pending_keys: Option<Vec<PendingKeys>>,
    /// The rejection by the cached keys.
    pub(super) rejection: Error,
    pub(super) ticket: u64,
}

/// The keys of a source that may decide, and the reason to wait for them.
pub(super) struct PendingKeys {
    pub(super) provider: Arc<ResolvedProvider>,
    pub(super) remote: Arc<RemoteKeySet>,
    pub(super) reason: FetchReason,
}

impl Policy {
    /// Returns why a public request with this token has no claims. A public request never waits, but requests
    /// a fetch, with the same limits as requests that wait, so that the next one may have claims.
    pub(crate) fn anonymous_reason(&self, pending: &Pending) -> Error {
        match pending {
            Pending::Signature(pending) => self.reason_without_keys(pending),
            Pending::Introspection(call) => call.start_in_background(),
            Pending::ApiKey(lookup) => lookup.start_in_background(),
            Pending::Status(claims) => match &claims.verified().status {
                Some(status) => status.request(),
                None => self.undecided_error(),
            },
        }
    }

    fn reason_without_keys(&self, pending: &PendingSignature) -> Error {
        let Some(keys) = &self.keys else { return pending.rejection.clone() };
        let mut error = pending.rejection.clone();
        let Some(pending_keys) = &pending.pending_keys else {
            if let (Some(tenants), Ok(issuer)) =
                (&keys.tenants, validation::issuer(&pending.jws.claims))
            {
                tenants.request_lookup(issuer);
            }
            return error;
        };
        for PendingKeys { remote, reason, .. } in pending_keys {
            keys.fetchers.request_refresh(remote, *reason);
            if !matches!(reason, FetchReason::UnknownKey { .. }) {
                error = unavailable(Duration::ZERO);
            }
        }
        error
    }

    /// Returns the error for a request with an undecided token that must not wait.
    pub(crate) fn error_of_undecided(&self, pending: &Pending) -> Error {
        match pending {
            Pending::Signature(_) => self.undecided_error(),
            Pending::Introspection(call) => call.undecided(),
            Pending::ApiKey(lookup) => lookup.undecided(),
            Pending::Status(_) => self.undecided_error(),
        }
    }

    /// Returns the error for a request that is undecided and must not wait.
    pub(crate) fn undecided_error(&self) -> Error {
        unavailable(Duration::ZERO)
    }

    /// Waits for what a token needs, and decides.
    pub(crate) async fn resolve(&self, pending: Box<Pending>) -> Result<Claims, Error> {
        match *pending {
            Pending::Signature(pending) => {
                Self::resolve_status(self.resolve_signature(pending).await?).await
            }
            Pending::Status(claims) => Self::resolve_status(claims).await,
            Pending::Introspection(call) => {
                let claims = call.response().await?;
                // The request may have waited for seconds for the response to an earlier request.
                claims.verified().check_again()?;
                Ok(claims)
            }
            Pending::ApiKey(lookup) => {
                let claims = lookup.response().await?;
                claims.verified().check_again()?;
                Ok(claims)
            }
        }
    }

    /// Waits for the status list of a token, and decides.
    async fn resolve_status(claims: Claims) -> Result<Claims, Error> {
        let token = claims.verified();
        if let Some(status) = &token.status {
            status.wait().await?;
            // The request may have waited for seconds.
            token.check_again()?;
        }
        Ok(claims)
    }

    /// Waits for the keys or the tenant that a token needs, and decides.
    async fn resolve_signature(&self, mut pending: PendingSignature) -> Result<Claims, Error> {
        let Some(keys) = &self.keys else { return Err(pending.rejection) };
        let pending_keys = match pending.pending_keys.take() {
            Some(pending_keys) => pending_keys,
            None => match self.look_up_tenant(keys, &pending).await? {
                // The wait may have taken seconds, but the times were checked after it.
                LocalDecision::Accepted(acceptance) => {
                    return self.accept(acceptance, pending.jws.claims, &pending.token);
                }
                LocalDecision::Undecided { pending_keys, rejection } => {
                    pending.rejection = rejection;
                    pending_keys
                }
                // Unreachable, since the issuer was just looked up. Rejects in any case.
                LocalDecision::UnknownIssuer => return Err(pending.rejection),
            },
        };
        let mut rejection = pending.rejection.clone();
        // Concurrently, since several providers of one issuer may all be slow.
        let mut waits: FuturesUnordered<_> = pending_keys
            .iter()
            .map(|source| pending.wait_for_keys(&keys.fetchers, source))
            .collect();
        while let Some((provider, found)) = waits.next().await {
            match found {
                Ok(SignatureCheck::Verified(key_set_id)) => {
                    // The wait may have taken seconds.
                    let lifetime = lifetime::check_times(
                        &pending.jws.claims,
                        self.clock.unix_time(),
                        self.time_limits,
                    )?;
                    let verified_by = VerifiedBy::Keys(key_set_id);
                    let claims = &pending.jws.claims;
                    let checked = provider.check_confirmation(claims).and_then(|confirmation| {
                        provider.check_verified(
                            claims,
                            (verified_by.clone(), lifetime),
                            &confirmation,
                            &self.clock,
                        )?;
                        Ok(confirmation)
                    });
                    let confirmation = match checked {
                        Ok(confirmation) => confirmation,
                        Err(error) => {
                            let error = error.with_provider(&provider.name);
                            rejection = most_specific(rejection, error);
                            continue;
                        }
                    };
                    let provider = Arc::clone(provider);
                    drop(waits);
                    let acceptance = Acceptance { provider, verified_by, lifetime, confirmation };
                    return self.accept(acceptance, pending.jws.claims, &pending.token);
                }
                Ok(found) => {
                    let error = signature_rejection(provider, pending.jws.header.alg, found);
                    rejection = most_specific(rejection, error);
                }
                Err(error) => {
                    rejection = most_specific(rejection, error.with_provider(&provider.name));
                }
            }
        }
        Err(rejection)
    }

    /// Looks up a token's issuer, and checks the token with the cached keys of its tenant.
    async fn look_up_tenant(
        &self,
        keys: &KeyThread,
        pending: &PendingSignature,
    ) -> Result<LocalDecision, Error> {
        let Some(tenants) = &keys.tenants else { return Err(pending.rejection.clone()) };
        let issuer = validation::issuer(&pending.jws.claims)?;
        match tenants.look_up(issuer).await {
            IssuerLookup::Tenant(provider) => {
                self.check_providers([&provider].into_iter(), &pending.jws, pending.signed())
            }
            IssuerLookup::NotATenant => Err(self.unknown_issuer(issuer)),
            IssuerLookup::Unavailable(retry_after) => Err(unavailable(retry_after)),
            IssuerLookup::NotLookedUp => Err(unavailable(Duration::ZERO)),
        }
    }
}

impl PendingSignature {
    /// Waits for keys and checks the signature with them.
    async fn wait_for_keys<'a>(
        &self,
        fetchers: &Fetchers,
        PendingKeys { provider, remote, reason }: &'a PendingKeys,
    ) -> (&'a Arc<ResolvedProvider>, Result<SignatureCheck, Error>) {
        let (header, signed, signature) = (&self.jws.header, self.signed(), &*self.jws.signature);
        let token = TokenParts { kid: header.kid.as_deref(), signed, signature };
        let check = |keys: &KeySet| keys.verify(header, signed, signature);
        (provider, fetchers.wait_for_key(remote, *reason, self.ticket, token, check).await)
    }

    /// Returns the signed part of the token.
    fn signed(&self) -> &[u8] {
        &self.token[..self.jws.signed_len]
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Shows no part of the token.
        formatter.debug_struct("Pending").finish_non_exhaustive()
    }
}
