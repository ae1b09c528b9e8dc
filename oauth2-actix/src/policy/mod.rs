//! The finished policy, and its decision on one token: the path of a request.

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

/// Everything that was configured, checked and resolved. What changes in it are keys, and the notes of
/// what the log has said already.
pub(crate) struct Policy {
    pub(crate) providers: Vec<Arc<ResolvedProvider>>,
    /// Which providers may accept a token of an issuer, in the order of their configuration.
    pub(crate) by_issuer: HashMap<String, Vec<usize>>,
    /// Which provider accepts tokens without an issuer, by the trust domain of their subject.
    pub(crate) by_trust_domain: HashMap<String, usize>,
    /// The keys of `by_issuer`, in the order of their configuration.
    pub(crate) issuers: Vec<String>,
    pub(crate) time_limits: TimeLimits,
    pub(crate) max_token_length: usize,
    /// Where a token may be sent besides the `Authorization` header. None: nowhere.
    pub(crate) token_sources: Option<TokenSources>,
    pub(crate) realm: String,
    pub(crate) missing_token: crate::config::missing_token::MissingToken,
    pub(crate) public: PublicPaths,
    /// None: every token is verified at every request.
    pub(crate) verified: Option<VerifiedTokens>,
    pub(crate) on_rejection: Option<RejectionHook>,
    pub(crate) clock: Clock,
    /// None if there is nothing to fetch or look up.
    pub(crate) keys: Option<KeyThread>,
    pub(crate) preflight_warned: AtomicBool,
    pub(crate) hidden_routes: HiddenRoutes,
    /// Whether each request without a valid token is routed before it is rejected.
    pub(crate) routes_all: bool,
}

pub(crate) type RejectionHook =
    Arc<dyn Fn(&HttpRequest, &Error, HttpResponse) -> HttpResponse + Send + Sync>;

/// What is known of a token without waiting for anything.
#[derive(Debug)]
pub(crate) enum Decision {
    Accepted(Claims),
    Rejected(Error),
    /// Keys that are not at hand may decide otherwise.
    Waiting(Box<Pending>),
}

/// A token that passed every cheap check and waits for keys, or for its issuer to be looked up.
pub(crate) struct Pending {
    token: Box<[u8]>,
    jws: UnverifiedJws,
    /// The keys that may decide. None: nothing is known of the issuer yet.
    pending_keys: Option<Vec<PendingKeys>>,
    /// What the keys at hand say.
    rejection: Error,
    ticket: u64,
}

/// Keys of a provider that may decide, and why they must be waited for.
struct PendingKeys {
    provider: Arc<ResolvedProvider>,
    remote: Arc<RemoteKeySet>,
    cause: FetchReason,
}

/// What the keys at hand say of a token.
enum LocalDecision {
    Accepted(Acceptance),
    Undecided {
        pending_keys: Vec<PendingKeys>,
        rejection: Error,
    },
    /// The issuer must be looked up.
    UnknownIssuer,
}

/// Whose keys verified a token, which of them, and when its times are good.
struct Acceptance {
    provider: Arc<ResolvedProvider>,
    key_set_id: KeySetId,
    lifetime: Lifetime,
}

impl Policy {
    /// What a request has where a token should be, and where that is.
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

    /// Decides on a token with the keys at hand. Synchronous, and bounded in work by the length
    /// of the token and 16 signature checks for each source of keys of its issuer and audience.
    #[inline]
    pub(crate) fn decide(&self, credentials: &Credentials<'_>) -> Decision {
        match self.find_cached(credentials.as_bytes()) {
            Some(claims) => Decision::Accepted(claims),
            None => self.verify(credentials).unwrap_or_else(Decision::Rejected),
        }
    }

    /// The claims of a token that was verified before, if all that could have changed has not.
    fn find_cached(&self, token: &[u8]) -> Option<Claims> {
        let verified = self.verified.as_ref()?;
        let claims = verified.find(token).filter(|claims| self.still_accepts(claims.verified()));
        telemetry::token_recalled(claims.is_some());
        claims
    }

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

    /// Notifies of changes of the keys of the provider that accepted a token. None: its keys do not change,
    /// or are fetched for every request, or the provider is gone.
    #[cfg(feature = "websocket")]
    pub(crate) fn key_changes(&self, accepted: &VerifiedToken) -> Option<watch::Receiver<()>> {
        match accepted.by.provider {
            ProviderId::Configured(index) => self.providers.get(index)?.changes(),
            tenant_id => {
                self.tenant_of(&accepted.claims).filter(|tenant| tenant.id == tenant_id)?.changes()
            }
        }
    }

    /// The tenant whose issuer the token has, if that is known.
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

    /// The claims of a token that was just verified. It is remembered, if there is a place for it.
    fn accept(&self, acceptance: Acceptance, claims: Object, token: &[u8]) -> Claims {
        let Acceptance { provider, key_set_id, lifetime } = acceptance;
        let now = self.clock.unix_time();
        // Where every request wants fresh keys, it would never be asked for.
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

    /// Whether no keys that another provider may get can make the token that one's.
    fn is_first(&self, provider: &Arc<ResolvedProvider>, claims: &Object) -> bool {
        let of_issuer = validation::issuer(claims).ok().and_then(|iss| self.by_issuer.get(iss));
        of_issuer
            .into_iter()
            .flatten()
            .map(|index| &self.providers[*index])
            .take_while(|before| !Arc::ptr_eq(before, provider))
            .all(|before| before.remotes().next().is_none() || !before.names_audience(claims))
    }

    /// The cheap checks, then the signature under the keys of each provider that may accept it.
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
        // Before a lookup, which costs more.
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

    /// Asks the provider of the SPIFFE trust domain that a token without `iss` names in its `sub`
    /// (JWT-SVID §3.1). `error` says what is wrong with the `iss`.
    #[cold]
    fn check_trust_domain(
        &self,
        error: Error,
        jws: &UnverifiedJws,
        signed: &[u8],
    ) -> Result<LocalDecision, Error> {
        let claims = &jws.claims;
        // One that is null or of another type is not absent.
        if claims.contains("iss") || self.by_trust_domain.is_empty() {
            return Err(error);
        }
        let named = validation::trust_domain(claims);
        match named.and_then(|trust_domain| self.by_trust_domain.get(trust_domain)) {
            Some(index) => self.check_providers([&self.providers[*index]].into_iter(), jws, signed),
            None => Err(error
                .with_expected("an `iss`, or as `sub` a SPIFFE ID of a configured trust domain")),
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
            // A profile that checks the proof of possession will be asked here.
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
        // Without a verdict, keys are waited for, and what they say ranks higher than this.
        let rejection = rejection.unwrap_or_else(|| ErrorKind::AlgorithmNotAllowed.into());
        Ok(LocalDecision::Undecided { pending_keys, rejection })
    }

    /// Asks the keys in memory of each source of a provider. Adds those that must be waited for. None: no
    /// source has any keys.
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
                // HMAC is for inline keys alone.
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
                // The more telling one.
                (SignatureCheck::SignatureInvalid(_), _)
                | (_, None | Some(SignatureCheck::UnknownKey(Tried { tried: 0, .. }))) => {
                    result = Some(found);
                }
                _ => {}
            }
        }
        if matches!(result, Some(SignatureCheck::SignatureInvalid(_))) {
            // A source has the key that the token names, so it is not unknown: a bad signature causes no
            // fetch at the others.
            let mut index = 0;
            pending_keys.retain(|source| {
                index += 1;
                index <= before || !matches!(source.cause, FetchReason::UnknownKey { .. })
            });
        }
        result
    }

    fn unknown_issuer(&self, issuer: &str) -> Error {
        // A trailing slash is the most common mistake, with Auth0 and Microsoft Entra above all.
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

    /// Why a public request with this token has no claims. It never waits, but the next one may find
    /// the keys: they are asked for, under the same bounds as by requests that wait.
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

    /// Why a request with a token that is not decided is rejected without waiting.
    pub(crate) fn undecided_error(&self) -> Error {
        unavailable(Duration::ZERO)
    }

    /// Waits for what a token needs, and decides.
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
                // Never: the issuer was just looked up. A refusal whatever happens.
                LocalDecision::UnknownIssuer => return Err(pending.rejection),
            },
        };
        let mut rejection = pending.rejection.clone();
        // Side by side: several providers of one issuer may all be slow.
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

    /// Waits for a token's issuer to be looked up, and asks the keys at hand.
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
    /// Waits for keys, and checks the signature with them.
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

    /// What the signature covers.
    fn signed(&self) -> &[u8] {
        &self.token[..self.jws.signed_len]
    }
}

/// The issuers in the order of the providers that have them.
pub(crate) fn in_order(by_issuer: &HashMap<String, Vec<usize>>) -> Vec<String> {
    let mut issuers: Vec<(&Vec<usize>, &String)> =
        by_issuer.iter().map(|(issuer, indices)| (indices, issuer)).collect();
    issuers.sort();
    issuers.into_iter().map(|(_, issuer)| issuer.clone()).collect()
}

/// None of the issuer's providers has an audience that the token names.
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

/// Settings for a log line: at most the first eight.
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

/// Audiences of a token that are compared with configured ones to explain a rejection.
const MAX_COMPARED: usize = 4;

/// Of two reasons to refuse, the one that tells more of why.
fn most_specific(one: Error, other: Error) -> Error {
    fn rank(error: &Error) -> u8 {
        match error.kind() {
            // Whatever else is wrong, these keys might have accepted the token.
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
            // Never reached for a verified token; a refusal whatever happens.
            SignatureCheck::UnknownKey(_)
            | SignatureCheck::SignatureInvalid(_)
            | SignatureCheck::Verified(_) => ErrorKind::SignatureInvalid,
        }
        .into()
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Nothing of the token.
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
