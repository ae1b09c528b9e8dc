//! The policy: all settings, resolved, and the decision on one token.
//!
//! Owns the path of a token from bytes to claims: cheap checks, the signature check with cached keys, the
//! wait for keys or for a tenant, and the cache of verified tokens. It imports `config`, `error`, `jose`,
//! `json`, `keys`, `provider`, `public`, `request`, `token` and `util`, and may import floors 1 to 7.
//!
//! - this file: `Policy` and its decision, in two steps: `decide` without waiting, and `resolve`, which
//!   waits.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use actix_web::{HttpRequest, HttpResponse, dev::RequestHead};
use futures_util::{StreamExt, stream::FuturesUnordered};
#[cfg(feature = "websocket")]
use tokio::sync::watch;

use crate::{
    error::{Difference, Error, ErrorKind},
    jose::{
        algorithm::Algorithm,
        jws::UnverifiedJws,
        key_set::{KeySet, KeySetId, SignatureCheck, Tried},
    },
    json::object::Object,
    keys::{
        fetcher::{Fetchers, TokenParts},
        remote::{FetchReason, Refresh, RemoteKeySet, unavailable},
    },
    provider::{ProviderKeys, ResolvedProvider, background::KeyThread, tenants::IssuerLookup},
    public::{HiddenRoutes, PublicPaths},
    request::{
        bearer::{Credentials, TokenSource},
        token_source::TokenSources,
    },
    token::{
        cache::VerifiedTokens,
        claims::Claims,
        validation::{self, Lifetime, TimeLimits},
        verified::{ProviderId, VerifiedToken},
    },
    util::{clock::Clock, telemetry},
};

/// Everything that was configured, checked and resolved. Only its keys, its caches and its records of logged
/// warnings change.
pub(crate) struct Policy {
    pub(crate) providers: Vec<Arc<ResolvedProvider>>,
    /// The indexes of the providers that may accept a token of an issuer, in the order of the configuration.
    pub(crate) by_issuer: HashMap<String, Vec<usize>>,
    /// The index of the provider that accepts tokens without an issuer, by the trust domain of their subject.
    pub(crate) by_trust_domain: HashMap<String, usize>,
    /// The keys of `by_issuer`, in the order of the configuration.
    pub(crate) issuers: Vec<String>,
    pub(crate) time_limits: TimeLimits,
    pub(crate) max_token_length: usize,
    /// The locations of a token besides the `Authorization` header. None if there are none.
    pub(crate) token_sources: Option<TokenSources>,
    pub(crate) realm: String,
    pub(crate) missing_token: crate::config::missing_token::MissingToken,
    pub(crate) public: PublicPaths,
    /// The cache of verified tokens. None if it is disabled.
    pub(crate) verified: Option<VerifiedTokens>,
    pub(crate) on_rejection: Option<RejectionHook>,
    pub(crate) clock: Clock,
    /// The thread that fetches keys. None if there is nothing to fetch or look up.
    pub(crate) keys: Option<KeyThread>,
    pub(crate) preflight_warned: AtomicBool,
    pub(crate) hidden_routes: HiddenRoutes,
    /// Whether each request without a valid token is routed before it is rejected.
    pub(crate) routes_all: bool,
}

pub(crate) type RejectionHook =
    Arc<dyn Fn(&HttpRequest, &Error, HttpResponse) -> HttpResponse + Send + Sync>;

/// The decision on a token without waiting.
#[derive(Debug)]
pub(crate) enum Decision {
    Accepted(Claims),
    Rejected(Error),
    /// Keys that are not cached may decide otherwise.
    Waiting(Box<Pending>),
}

/// A token that passed every cheap check and waits for keys, or for its issuer to be looked up.
pub(crate) struct Pending {
    token: Box<[u8]>,
    jws: UnverifiedJws,
    /// The keys that may decide. None if the issuer was not looked up yet.
    pending_keys: Option<Vec<PendingKeys>>,
    /// The rejection by the cached keys.
    rejection: Error,
    ticket: u64,
}

/// The keys of a source that may decide, and the reason to wait for them.
struct PendingKeys {
    provider: Arc<ResolvedProvider>,
    remote: Arc<RemoteKeySet>,
    cause: FetchReason,
}

/// The decision on a token by the cached keys.
enum LocalDecision {
    Accepted(Acceptance),
    Undecided {
        pending_keys: Vec<PendingKeys>,
        rejection: Error,
    },
    /// The issuer must be looked up.
    UnknownIssuer,
}

/// The provider and the key set that verified a token, and the token's lifetime.
struct Acceptance {
    provider: Arc<ResolvedProvider>,
    key_set_id: KeySetId,
    lifetime: Lifetime,
}

impl Policy {
    /// Returns the token of a request, unverified, and its location.
    #[inline]
    pub(crate) fn credentials<'a>(
        &self,
        head: &'a RequestHead,
    ) -> Result<(Credentials<'a>, TokenSource), Error> {
        if let Some(sources) = &self.token_sources {
            return sources.credentials(head, self.max_token_length);
        }
        Ok((Credentials::from_headers(head.headers(), self.max_token_length)?, TokenSource::Header))
    }

    /// Decides on a token with the cached keys. Synchronous, and bounded in work by the length of the token
    /// and 16 signature checks for each key source of its issuer and audience.
    #[inline]
    pub(crate) fn decide(&self, credentials: &Credentials<'_>) -> Decision {
        match self.find_cached(credentials.as_bytes()) {
            Some(claims) => Decision::Accepted(claims),
            None => self.verify(credentials).unwrap_or_else(Decision::Rejected),
        }
    }

    /// Returns the claims of a token in the cache, if it is still accepted.
    fn find_cached(&self, token: &[u8]) -> Option<Claims> {
        let verified = self.verified.as_ref()?;
        let claims = verified.find(token).filter(|claims| self.still_accepts(claims.verified()));
        telemetry::token_recalled(claims.is_some());
        claims
    }

    /// Returns whether an accepted token would still be accepted now.
    pub(crate) fn still_accepts(&self, accepted: &VerifiedToken) -> bool {
        let VerifiedToken { by, key_set_id, lifetime, claims, .. } = accepted;
        lifetime.contains(self.clock.unix_time())
            && match by.provider {
                ProviderId::Configured(index) => self
                    .providers
                    .get(index)
                    .is_some_and(|provider| provider.verifies_with(*key_set_id, &self.clock)),
                // The issuer may belong to another tenant by now.
                tenant_id => self.tenant_of(claims).is_some_and(|tenant| {
                    tenant.id == tenant_id && tenant.verifies_with(*key_set_id, &self.clock)
                }),
            }
    }

    /// Returns a receiver of changes of the keys of the provider that accepted a token. None if its keys do
    /// not change, or are fetched for every request, or the provider was removed.
    #[cfg(feature = "websocket")]
    pub(crate) fn key_changes(&self, accepted: &VerifiedToken) -> Option<watch::Receiver<()>> {
        match accepted.by.provider {
            ProviderId::Configured(index) => self.providers.get(index)?.changes(),
            tenant_id => {
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

    fn verify(&self, credentials: &Credentials<'_>) -> Result<Decision, Error> {
        let token = credentials.token()?.as_str();
        let jws = UnverifiedJws::parse(token)?;
        let token = token.as_bytes();
        let (pending_keys, rejection) = match self
            .check_with_cached_keys(&jws, &token[..jws.signed_len])?
        {
            LocalDecision::Accepted(acceptance) => {
                return Ok(Decision::Accepted(self.accept(acceptance, jws.claims, token)));
            }
            LocalDecision::Undecided { pending_keys, rejection } if pending_keys.is_empty() => {
                return Err(rejection);
            }
            LocalDecision::Undecided { pending_keys, rejection } => (Some(pending_keys), rejection),
            LocalDecision::UnknownIssuer => (None, unavailable(Duration::ZERO)),
        };
        Ok(Decision::Waiting(Box::new(Pending {
            token: token.into(),
            jws,
            pending_keys,
            rejection,
            ticket: self.keys.as_ref().map_or(0, |keys| keys.fetchers.ticket()),
        })))
    }

    /// Returns the claims of a token that was just verified, and caches it if there is a slot for it.
    fn accept(&self, acceptance: Acceptance, claims: Object, token: &[u8]) -> Claims {
        let Acceptance { provider, key_set_id, lifetime } = acceptance;
        let now = self.clock.unix_time();
        // With fresh keys for every request, the cached token would never be used.
        let is_cacheable =
            provider.verifies_with(key_set_id, &self.clock) && self.is_first(&provider, &claims);
        let slot = self.verified.as_ref().filter(|_| is_cacheable).and_then(|verified| {
            let slot = verified.slot_for(token, now)?;
            Some((verified, slot))
        });
        let (by, clock, token) = (provider.accepted_by(), self.clock.clone(), token.into());
        let claims = Claims::new(VerifiedToken { by, key_set_id, lifetime, claims, token, clock });
        if let Some((verified, slot)) = slot {
            verified.insert(&claims, slot, now);
        }
        claims
    }

    /// Returns whether no earlier provider of the issuer could accept the token after a fetch of its keys.
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
        validation::check_times(&jws.claims, self.clock.unix_time(), self.time_limits)?;
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
    fn check_providers<'a>(
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
        let lifetime = validation::check_times(claims, self.clock.unix_time(), self.time_limits)
            .map_err(|error| error.with_provider(&first.name))?;
        let is_sender_constrained = validation::is_sender_constrained(claims);
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
            // A future check of the proof of possession belongs here.
            if is_sender_constrained && !provider.dangerous_accept_bound_tokens {
                reject(ErrorKind::SenderConstrained.into());
                continue;
            }
            if !provider.algorithms.contains(jws.header.alg) {
                let allowed = provider.algorithms.iter().map(Algorithm::name);
                let error = Error::from(ErrorKind::AlgorithmNotAllowed);
                reject(error.with_expected(listed(allowed)));
                continue;
            }
            if let Err(error) = provider.check_type(jws.header.typ) {
                reject(error);
                continue;
            }
            if let Err(error) = provider.check_subject(claims) {
                reject(error);
                continue;
            }
            match self.check_signature(provider, jws, signed, &mut pending_keys) {
                None => {}
                Some(SignatureCheck::Verified(key_set_id)) => {
                    let provider = Arc::clone(provider);
                    return Ok(LocalDecision::Accepted(Acceptance {
                        provider,
                        key_set_id,
                        lifetime,
                    }));
                }
                Some(found) => reject(found.into()),
            }
        }
        // Without a rejection there are keys to wait for, and their result takes precedence over this one.
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
        let mut add_pending = |remote: &Arc<RemoteKeySet>, cause| {
            let (provider, remote) = (Arc::clone(provider), Arc::clone(remote));
            pending_keys.push(PendingKeys { provider, remote, cause });
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
                // Keeps the more specific result.
                (SignatureCheck::SignatureInvalid(_), _)
                | (_, None | Some(SignatureCheck::UnknownKey(Tried { tried: 0, .. }))) => {
                    result = Some(found);
                }
                _ => {}
            }
        }
        if matches!(result, Some(SignatureCheck::SignatureInvalid(_))) {
            // A source has the key that the token names, so the key is not unknown: a bad signature causes no
            // fetch of the other sources.
            let mut index = 0;
            pending_keys.retain(|source| {
                index += 1;
                index <= before || !matches!(source.cause, FetchReason::UnknownKey { .. })
            });
        }
        result
    }

    fn unknown_issuer(&self, issuer: &str) -> Error {
        // A trailing slash is the most common mistake, above all with Auth0 and Microsoft Entra.
        let slash_differs = match issuer.strip_suffix('/') {
            Some(without) => self.by_issuer.contains_key(without),
            None => self.by_issuer.contains_key(&format!("{issuer}/")),
        };
        let configured = self.issuers.iter().map(String::as_str);
        let difference = if slash_differs {
            Some(Difference::TrailingSlash)
        } else {
            Difference::to_any(issuer, configured.clone())
        };
        let error = Error::from(ErrorKind::UnknownIssuer { difference });
        if self.issuers.is_empty() && !self.by_trust_domain.is_empty() {
            return error.with_expected("no `iss`").with_hint(
                "the token has an `iss`, which is optional for a JWT-SVID: set it as `issuer` of the \
                 provider of its trust domain",
            );
        }
        error.with_expected(listed(configured))
    }

    /// Returns why a public request with this token has no claims. A public request never waits, but requests
    /// a fetch, with the same limits as requests that wait, so that the next one may have claims.
    pub(crate) fn anonymous_reason(&self, pending: &Pending) -> Error {
        let Some(keys) = &self.keys else { return pending.rejection.clone() };
        let mut reason = pending.rejection.clone();
        let Some(pending_keys) = &pending.pending_keys else {
            if let (Some(tenants), Ok(issuer)) =
                (&keys.tenants, validation::issuer(&pending.jws.claims))
            {
                tenants.request_lookup(issuer);
            }
            return reason;
        };
        for PendingKeys { remote, cause, .. } in pending_keys {
            keys.fetchers.request_refresh(remote, *cause);
            if !matches!(cause, FetchReason::UnknownKey { .. }) {
                reason = unavailable(Duration::ZERO);
            }
        }
        reason
    }

    /// Returns the error for a request whose token is undecided and that must not wait.
    pub(crate) fn undecided_error(&self) -> Error {
        unavailable(Duration::ZERO)
    }

    /// Waits for the keys or the tenant that a token needs, and decides.
    pub(crate) async fn resolve(&self, mut pending: Box<Pending>) -> Result<Claims, Error> {
        let Some(keys) = &self.keys else { return Err(pending.rejection) };
        let pending_keys = match pending.pending_keys.take() {
            Some(pending_keys) => pending_keys,
            None => match self.look_up_tenant(keys, &pending).await? {
                // The wait may have taken seconds, but the times were checked after it.
                LocalDecision::Accepted(acceptance) => {
                    return Ok(self.accept(acceptance, pending.jws.claims, &pending.token));
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
                    drop(waits);
                    let provider = Arc::clone(provider);
                    // The wait may have taken seconds.
                    let lifetime = validation::check_times(
                        &pending.jws.claims,
                        self.clock.unix_time(),
                        self.time_limits,
                    )?;
                    let acceptance = Acceptance { provider, key_set_id, lifetime };
                    return Ok(self.accept(acceptance, pending.jws.claims, &pending.token));
                }
                Ok(found) => {
                    let error = Error::from(found).with_provider(&provider.name);
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
        pending: &Pending,
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

impl Pending {
    /// Waits for keys and checks the signature with them.
    async fn wait_for_keys<'a>(
        &self,
        fetchers: &Fetchers,
        PendingKeys { provider, remote, cause }: &'a PendingKeys,
    ) -> (&'a Arc<ResolvedProvider>, Result<SignatureCheck, Error>) {
        let (header, signed, signature) = (&self.jws.header, self.signed(), &*self.jws.signature);
        let token = TokenParts { kid: header.kid.as_deref(), signed, signature };
        let check = |keys: &KeySet| keys.verify(header, signed, signature);
        (provider, fetchers.wait_for_key(remote, *cause, self.ticket, token, check).await)
    }

    /// Returns the signed part of the token.
    fn signed(&self) -> &[u8] {
        &self.token[..self.jws.signed_len]
    }
}

/// Returns the issuers in the order of their providers.
pub(crate) fn in_order(by_issuer: &HashMap<String, Vec<usize>>) -> Vec<String> {
    let mut issuers: Vec<(&Vec<usize>, &String)> =
        by_issuer.iter().map(|(issuer, indices)| (indices, issuer)).collect();
    issuers.sort();
    issuers.into_iter().map(|(_, issuer)| issuer.clone()).collect()
}

/// Returns the error for a token whose audiences match no provider of its issuer.
fn audience_mismatch<'a>(
    of_issuer: impl Iterator<Item = &'a Arc<ResolvedProvider>> + Clone,
    claims: &Object,
) -> Error {
    let configured =
        of_issuer.clone().flat_map(|provider| provider.audiences.iter().map(String::as_str));
    let difference = of_issuer.clone().find_map(|provider| {
        let audiences = provider.audiences.iter().map(String::as_str);
        validation::audiences(claims, &provider.audience_claim)
            .take(MAX_COMPARED)
            .find_map(|audience| Difference::to_any(audience, audiences.clone()))
    });
    let error =
        Error::from(ErrorKind::AudienceMismatch { difference }).with_expected(listed(configured));
    let mut providers = of_issuer;
    match (providers.next(), providers.next()) {
        (Some(only), None) => error.with_provider(&only.name),
        _ => error,
    }
}

/// Joins settings for a log line: at most the first eight.
fn listed<'a>(values: impl Iterator<Item = &'a str>) -> String {
    const SHOWN: usize = 8;
    let mut text = String::new();
    let mut more = 0;
    for (index, value) in values.enumerate() {
        if index >= SHOWN {
            more += 1;
            continue;
        }
        if index > 0 {
            text.push_str(", ");
        }
        text.push_str(value);
    }
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

/// The most audiences of a token that are compared with configured ones to explain a rejection.
const MAX_COMPARED: usize = 4;

/// Returns the more specific of two rejections.
fn most_specific(one: Error, other: Error) -> Error {
    fn rank(error: &Error) -> u8 {
        match error.kind() {
            // These keys might have accepted the token, whatever else is wrong.
            ErrorKind::KeysUnavailable { .. } => 4,
            ErrorKind::KeysUntried { .. } => 3,
            ErrorKind::SignatureInvalid => 2,
            ErrorKind::UnknownKey | ErrorKind::TypeNotAllowed | ErrorKind::SenderConstrained => 1,
            _ => 0,
        }
    }
    if rank(&other) > rank(&one) { other } else { one }
}

impl From<SignatureCheck> for Error {
    fn from(result: SignatureCheck) -> Self {
        match result {
            SignatureCheck::AlgorithmNotAllowed => ErrorKind::AlgorithmNotAllowed,
            SignatureCheck::UnknownKey(Tried { tried: 0, .. }) => ErrorKind::UnknownKey,
            SignatureCheck::UnknownKey(Tried { tried, fitting })
            | SignatureCheck::SignatureInvalid(Tried { tried, fitting })
                if tried < fitting =>
            {
                ErrorKind::KeysUntried { tried, fitting }
            }
            // Unreachable for a verified token. Rejects in any case.
            SignatureCheck::UnknownKey(_)
            | SignatureCheck::SignatureInvalid(_)
            | SignatureCheck::Verified(_) => ErrorKind::SignatureInvalid,
        }
        .into()
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Shows no part of the token.
        formatter.debug_struct("Pending").finish_non_exhaustive()
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Policy")
            .field("providers", &self.providers)
            .field("time_limits", &self.time_limits)
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}
