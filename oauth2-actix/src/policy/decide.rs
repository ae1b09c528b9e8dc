//! The decision on a token with cached keys. It does not wait.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

#[cfg(feature = "websocket")]
use tokio::sync::watch;

use crate::{
    api_keys::Found,
    error::{Error, ErrorKind},
    jose::{
        jws::UnverifiedJws,
        key_set::{SignatureCheck, Tried},
    },
    json::object::Object,
    keys::remote::{FetchReason, Refresh, RemoteKeySet, unavailable},
    provider::{ProviderKeys, ResolvedProvider, tenants::IssuerLookup},
    request::bearer::Credentials,
    status_list::StatusLists,
    token::{
        claims::Claims,
        confirmation::Confirmation,
        lifetime::{self, Lifetime},
        revocable::revocable,
        validation,
        verified::{ProviderId, VerifiedBy, VerifiedToken},
    },
    util::telemetry,
};

use super::{
    Policy,
    rank::{audience_mismatch, most_specific, signature_rejection},
    wait::{Pending, PendingKeys, PendingSignature},
};

/// The decision on a token without waiting.
#[derive(Debug)]
pub(crate) enum Decision {
    Accepted(Claims),
    Rejected(Error),
    /// Keys that are not cached may decide otherwise.
    Waiting(Box<Pending>),
}

/// The decision on a token by the cached keys.
pub(super) enum LocalDecision {
    Accepted(Acceptance),
    Undecided {
        pending_keys: Vec<PendingKeys>,
        rejection: Error,
    },
    /// The issuer must be looked up.
    UnknownIssuer,
}

/// The provider that accepts a token, what verified it, and its lifetime.
pub(super) struct Acceptance {
    pub(super) provider: Arc<ResolvedProvider>,
    pub(super) verified_by: VerifiedBy,
    pub(super) lifetime: Lifetime,
    /// What the token is bound to, which every request must prove.
    pub(super) confirmation: Option<Box<Confirmation>>,
}

impl Policy {
    /// Decides on a token with the cached keys. Synchronous, and bounded in work by the length of the token
    /// and 16 signature checks for each key source of its issuer and audience.
    #[inline]
    pub(crate) fn decide(&self, credentials: &Credentials<'_>) -> Decision {
        match self.find_cached(credentials.as_bytes()) {
            Some(claims) => match claims.verified().check_revocation() {
                Ok(()) => Self::decide_status(claims),
                Err(error) => Decision::Rejected(error),
            },
            None => self.verify(credentials).unwrap_or_else(Decision::Rejected),
        }
    }

    /// Decides on a token that is accepted except for the status that its issuer publishes.
    #[inline]
    fn decide_status(claims: Claims) -> Decision {
        match claims.verified().check_status() {
            Ok(()) => Decision::Accepted(claims),
            // Its list must be fetched.
            Err(error) if error.is_unavailable() => {
                Decision::Waiting(Box::new(Pending::Status(claims)))
            }
            Err(error) => Decision::Rejected(error),
        }
    }

    /// Returns the claims of a token in the cache, if it is still accepted.
    fn find_cached(&self, token: &[u8]) -> Option<Claims> {
        let verified = self.verified.as_ref()?;
        let claims = verified.find(token).filter(|claims| self.still_accepts(claims.verified()));
        telemetry::token_cache_lookup(claims.is_some());
        claims
    }

    /// Returns whether an accepted token would still be accepted now.
    pub(crate) fn still_accepts(&self, accepted: &VerifiedToken) -> bool {
        let VerifiedToken { by, verified_by, lifetime, claims, .. } = accepted;
        lifetime.contains(self.clock.unix_time())
            && accepted.status.as_ref().is_none_or(|status| status.is_kept())
            && match by.provider {
                ProviderId::Configured(index) => self
                    .providers
                    .get(index)
                    .is_some_and(|provider| provider.still_verifies(verified_by, &self.clock)),
                ProviderId::ApiKeys(index) => self
                    .api_keys
                    .as_ref()
                    .is_some_and(|keys| keys.still_verifies(index, verified_by, &self.clock)),
                // The issuer may belong to another tenant by now.
                tenant_id @ ProviderId::Tenant(_) => self.tenant_of(claims).is_some_and(|tenant| {
                    tenant.id == tenant_id && tenant.still_verifies(verified_by, &self.clock)
                }),
            }
    }

    /// Returns a receiver of changes of the keys of the provider that accepted a token. None if its keys do
    /// not change, or are fetched for every request, or the provider was removed.
    #[cfg(feature = "websocket")]
    pub(crate) fn key_changes(&self, accepted: &VerifiedToken) -> Option<watch::Receiver<()>> {
        match accepted.by.provider {
            ProviderId::Configured(index) => self.providers.get(index)?.changes(),
            ProviderId::ApiKeys(_) => None,
            tenant_id @ ProviderId::Tenant(_) => {
                self.tenant_of(&accepted.claims).filter(|tenant| tenant.id == tenant_id)?.changes()
            }
        }
    }

    /// Returns the tenant whose issuer the token has, if it is in the table.
    fn tenant_of(&self, claims: &Object) -> Option<Arc<ResolvedProvider>> {
        let tenants = self.keys.as_ref()?.tenants.as_ref()?;
        match tenants.find(validation::issuer(claims).ok()?) {
            IssuerLookup::Tenant(tenant) => Some(tenant),
            _ => None,
        }
    }

    /// Checks that an accepted token is for the resource that a path is in. An audience of the provider's own is for
    /// all of them.
    pub(crate) fn check_resource(&self, claims: &Claims, path: &str) -> Result<(), Error> {
        if !self.resources.are_several() {
            return Ok(());
        }
        let accepted = claims.verified();
        if self.is_for_all_resources(accepted) || self.resources.are_named(&accepted.claims, path) {
            return Ok(());
        }
        let error = Error::from(ErrorKind::AudienceMismatch { difference: None })
            .with_provider(&accepted.by.name);
        Err(match self.resources.get(self.resources.index_of(path)) {
            Some(resource) => error.with_expected(resource.uri.text()),
            None => error,
        })
    }

    /// Returns whether a token names an audience of its provider, which is one for all resources.
    fn is_for_all_resources(&self, accepted: &VerifiedToken) -> bool {
        let claims = &accepted.claims;
        let provider = match accepted.by.provider {
            ProviderId::Configured(index) => self.providers.get(index).cloned(),
            ProviderId::ApiKeys(_) => None,
            ProviderId::Tenant(_) => self.tenant_of(claims),
        };
        provider.is_some_and(|provider| {
            validation::names_audience(claims, &provider.audience_claim, &provider.audiences)
        })
    }

    /// Returns whether a token is for every resource that the token of a session is for.
    #[cfg(feature = "websocket")]
    pub(crate) fn is_for_resources_of(&self, renewed: &Claims, current: &Claims) -> bool {
        let (renewed, current) = (renewed.verified(), current.verified());
        !self.resources.are_several()
            || self.is_for_all_resources(renewed)
            || self.resources.are_named_as_in(
                &renewed.claims,
                &current.claims,
                self.is_for_all_resources(current),
            )
    }

    fn verify(&self, credentials: &Credentials<'_>) -> Result<Decision, Error> {
        let token = credentials.token()?.as_str();
        if let Some(all) = &self.api_keys
            && let Some(keys) = all.of_token(token)?
        {
            return match keys.find(token)? {
                Found::Claims(claims) => {
                    claims.verified().check_revocation()?;
                    self.remember(&claims);
                    Ok(Decision::Accepted(claims))
                }
                Found::NotYet(lookup) => Ok(Decision::Waiting(Box::new(Pending::ApiKey(lookup)))),
            };
        }
        let introspectors = self.introspectors.as_ref();
        if let Some(introspector) = introspectors.and_then(|all| all.of_token(token)) {
            let call = introspector.introspect(token)?;
            return Ok(Decision::Waiting(Box::new(Pending::Introspection(call))));
        }
        let jws = UnverifiedJws::parse(token)?;
        let token = token.as_bytes();
        let (pending_keys, rejection) = match self
            .check_with_cached_keys(&jws, &token[..jws.signed_len])?
        {
            LocalDecision::Accepted(acceptance) => {
                let claims = self.accept(acceptance, jws.claims, token)?;
                return Ok(Self::decide_status(claims));
            }
            LocalDecision::Undecided { pending_keys, rejection } if pending_keys.is_empty() => {
                return Err(rejection);
            }
            LocalDecision::Undecided { pending_keys, rejection } => (Some(pending_keys), rejection),
            LocalDecision::UnknownIssuer => (None, unavailable(Duration::ZERO)),
        };
        Ok(Decision::Waiting(Box::new(Pending::Signature(PendingSignature {
            token: token.into(),
            jws,
            pending_keys,
            rejection,
            ticket: self.keys.as_ref().map_or(0, |keys| keys.fetchers.ticket()),
        }))))
    }

    /// Returns the claims of a token that was just verified, unless the deny list has it, and caches it if there is a slot for
    /// it.
    pub(super) fn accept(
        &self,
        acceptance: Acceptance,
        claims: Object,
        token: &[u8],
    ) -> Result<Claims, Error> {
        let Acceptance { provider, verified_by, lifetime, confirmation } = acceptance;
        let confirmation = confirmation.map(|confirmation| confirmation.of_token(token));
        let now = self.clock.unix_time();
        // With fresh keys for every request, the cached token would never be used.
        let is_cacheable =
            provider.still_verifies(&verified_by, &self.clock) && self.is_first(&provider, &claims);
        let revocable = self.revocations.as_ref().map(|list| {
            list.note_lifetime(lifetime.remaining(now));
            revocable(list, &claims, token, &verified_by)
        });
        let status = match self.status_lists_of(&provider) {
            Some(lists) => lists.status_of(&claims)?,
            None => None,
        };
        let (by, clock, token) = (provider.accepted_by(), self.clock.clone(), token.into());
        let claims = Claims::new(VerifiedToken {
            by,
            verified_by,
            lifetime,
            claims,
            token,
            confirmation,
            principal: OnceLock::new(),
            revocable,
            status,
            clock,
        });
        claims.verified().check_revocation()?;
        if let Some(counts) = &self.scope_counts {
            counts.count(&claims);
        }
        if is_cacheable {
            self.cache(&claims, now);
        }
        Ok(claims)
    }

    /// Counts and caches the claims of a token that its issuer has just answered for.
    pub(crate) fn remember(&self, claims: &Claims) {
        if let Some(counts) = &self.scope_counts {
            counts.count(claims);
        }
        if self.still_accepts(claims.verified()) {
            self.cache(claims, self.clock.unix_time());
        }
    }

    /// Returns the status lists of a provider.
    fn status_lists_of(&self, provider: &ResolvedProvider) -> Option<&Arc<StatusLists>> {
        match provider.id {
            ProviderId::Configured(index) => self.status_lists.get(index)?.as_ref(),
            ProviderId::Tenant(_) | ProviderId::ApiKeys(_) => None,
        }
    }

    /// Caches a token, if there is a slot for it.
    fn cache(&self, claims: &Claims, now: Duration) {
        if let Some(verified) = &self.verified
            && let Some(slot) = verified.slot_for(&claims.verified().token, now)
        {
            verified.insert(claims, slot, now);
        }
    }

    /// Returns whether no earlier provider of the issuer could accept the token after a fetch. An earlier
    /// provider could if its keys are fetched and it has an audience of the token.
    fn is_first(&self, provider: &Arc<ResolvedProvider>, claims: &Object) -> bool {
        let of_issuer = validation::issuer(claims).ok().and_then(|iss| self.by_issuer.get(iss));
        of_issuer
            .into_iter()
            .flatten()
            .map(|index| &self.providers[*index])
            .take_while(|before| !Arc::ptr_eq(before, provider))
            .all(|before| before.remotes().next().is_none() || !before.names_audience(claims))
    }

    /// Makes the cheap checks, then the signature check with the keys of each provider that may accept the
    /// token.
    fn check_with_cached_keys(
        &self,
        jws: &UnverifiedJws,
        signed: &[u8],
    ) -> Result<LocalDecision, Error> {
        let issuer = match validation::issuer(&jws.claims) {
            Ok(issuer) => issuer,
            Err(error) => return self.check_trust_domain(error, jws, signed),
        };
        if let Some(indices) = self.by_issuer.get(issuer) {
            let candidates = indices.iter().map(|index| &self.providers[*index]);
            return self.check_providers(candidates, jws, signed);
        }
        let Some(tenants) = self.keys.as_ref().and_then(|keys| keys.tenants.as_ref()) else {
            return Err(self.unknown_issuer(issuer));
        };
        // These checks come before a lookup, which costs more.
        validation::check_types(&jws.claims)?;
        lifetime::check_times(&jws.claims, self.clock.unix_time(), self.time_limits)?;
        match tenants.find(issuer) {
            IssuerLookup::Tenant(provider) => {
                self.check_providers([&provider].into_iter(), jws, signed)
            }
            IssuerLookup::NotATenant => Err(self.unknown_issuer(issuer)),
            IssuerLookup::Unavailable(retry_after) => Err(unavailable(retry_after)),
            IssuerLookup::NotLookedUp => Ok(LocalDecision::UnknownIssuer),
        }
    }

    /// Checks a token without `iss` with the provider of the SPIFFE trust domain that its `sub` names
    /// (JWT-SVID §3.1). `error` is the error about the `iss`.
    #[cold]
    fn check_trust_domain(
        &self,
        error: Error,
        jws: &UnverifiedJws,
        signed: &[u8],
    ) -> Result<LocalDecision, Error> {
        let claims = &jws.claims;
        // An `iss` that is null or of another type is not a missing one.
        if claims.contains("iss") || self.by_trust_domain.is_empty() {
            return Err(error);
        }
        let named = validation::trust_domain(claims);
        match named.and_then(|trust_domain| self.by_trust_domain.get(trust_domain)) {
            Some(index) => self.check_providers([&self.providers[*index]].into_iter(), jws, signed),
            None => Err(error
                .with_expected("an `iss`, or a SPIFFE ID of a configured trust domain as `sub`")),
        }
    }

    /// Checks a token with the cached keys of the providers of its issuer or trust domain.
    pub(super) fn check_providers<'a>(
        &self,
        of_issuer: impl Iterator<Item = &'a Arc<ResolvedProvider>> + Clone,
        jws: &UnverifiedJws,
        signed: &[u8],
    ) -> Result<LocalDecision, Error> {
        let claims = &jws.claims;
        validation::check_types(claims)?;
        let candidates = of_issuer.clone().filter(|provider| provider.names_audience(claims));
        let Some(first) = candidates.clone().next() else {
            return Err(audience_mismatch(of_issuer, claims));
        };
        let lifetime = lifetime::check_times(claims, self.clock.unix_time(), self.time_limits)
            .map_err(|error| error.with_provider(&first.name))?;
        let mut rejection: Option<Error> = None;
        let mut pending_keys = Vec::new();
        for provider in candidates {
            let mut reject = |error: Error| {
                let error = error.with_provider(&provider.name);
                rejection = Some(match rejection.take() {
                    None => error,
                    Some(earlier) => most_specific(earlier, error),
                });
            };
            let confirmation = match provider.check(jws) {
                Ok(confirmation) => confirmation,
                Err(error) => {
                    reject(error);
                    continue;
                }
            };
            match self.check_signature(provider, jws, signed, &mut pending_keys) {
                None => {}
                Some(SignatureCheck::Verified(key_set_id)) => {
                    let verified_by = VerifiedBy::Keys(key_set_id);
                    let checked = provider.check_verified(
                        claims,
                        (verified_by.clone(), lifetime),
                        &confirmation,
                        &self.clock,
                    );
                    if let Err(error) = checked {
                        reject(error);
                        continue;
                    }
                    let provider = Arc::clone(provider);
                    return Ok(LocalDecision::Accepted(Acceptance {
                        provider,
                        verified_by,
                        lifetime,
                        confirmation,
                    }));
                }
                Some(found) => reject(signature_rejection(provider, jws.header.alg, found)),
            }
        }
        // Without a rejection, each provider waits for keys. This error is a placeholder: the check with those
        // keys returns the real one.
        let rejection = rejection.unwrap_or_else(|| ErrorKind::AlgorithmNotAllowed.into());
        Ok(LocalDecision::Undecided { pending_keys, rejection })
    }

    /// Checks the signature with the cached keys of each source of a provider, and adds the keys that must be
    /// waited for. Returns None if no source has any keys.
    fn check_signature(
        &self,
        provider: &Arc<ResolvedProvider>,
        jws: &UnverifiedJws,
        signed: &[u8],
        pending_keys: &mut Vec<PendingKeys>,
    ) -> Option<SignatureCheck> {
        let (header, before) = (&jws.header, pending_keys.len());
        let mut result = None;
        let mut add_pending = |remote: &Arc<RemoteKeySet>, reason| {
            let (provider, remote) = (Arc::clone(provider), Arc::clone(remote));
            pending_keys.push(PendingKeys { provider, remote, reason });
        };
        for keys in &provider.keys {
            let found = match keys {
                ProviderKeys::Inline(keys) => keys.verify(header, signed, &jws.signature),
                // HMAC is used with inline keys only.
                ProviderKeys::Remote(remote) if !remote.policy.allowed.contains(header.alg) => {
                    continue;
                }
                ProviderKeys::Remote(remote) => match remote.usable(&self.clock).as_deref() {
                    Some(Some(snapshot)) => {
                        let found = snapshot.keys.verify(header, signed, &jws.signature);
                        if matches!(found, SignatureCheck::UnknownKey { .. })
                            && remote.looks_for_unknown_keys()
                        {
                            telemetry::keys_looked_up("unknown");
                            let token = (signed, &*jws.signature);
                            add_pending(remote, remote.unknown_key(header.kid.as_deref(), token));
                        } else {
                            telemetry::keys_looked_up("hit");
                        }
                        found
                    }
                    _ => {
                        telemetry::keys_looked_up("missing");
                        let is_per_request = remote.timing.refresh == Refresh::Always;
                        add_pending(
                            remote,
                            if is_per_request { FetchReason::Fresh } else { FetchReason::Missing },
                        );
                        continue;
                    }
                },
            };
            match (found, result) {
                (SignatureCheck::Verified(_), _) => return Some(found),
                // The same key at another source is not an unbound one.
                (SignatureCheck::BoundToAnother(_), _) => {
                    result = Some(found);
                    break;
                }
                // Keeps the more specific result.
                (SignatureCheck::SignatureInvalid(_), _)
                | (_, None | Some(SignatureCheck::UnknownKey(Tried { tried: 0, .. }))) => {
                    result = Some(found);
                }
                _ => {}
            }
        }
        if matches!(
            result,
            Some(SignatureCheck::SignatureInvalid(_) | SignatureCheck::BoundToAnother(_))
        ) {
            // A source has the key that the token names, so the key is not unknown: a bad signature causes no
            // fetch of the other sources.
            let mut index = 0;
            pending_keys.retain(|source| {
                index += 1;
                index <= before || !matches!(source.reason, FetchReason::UnknownKey { .. })
            });
        }
        result
    }
}
