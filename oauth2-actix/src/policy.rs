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
use crate::token_places::TokenPlaces;
use crate::{
    accepted::{Accepted, By},
    bearer::{Credentials, Place},
    claims::Claims,
    clock::Clock,
    error::{Error, ErrorKind},
    jws::UnverifiedJws,
    key_engine::EngineHandle,
    key_set::{Generation, KeySet, Tried, Verdict},
    key_thread::KeyThread,
    object::Object,
    provider_policy::{ProviderKeys, ProviderPolicy},
    public::PublicPaths,
    remote_keys::{Cause, Refresh, RemoteKeys, Snapshot, Waited, unavailable},
    telemetry,
    tenants::Found,
    token_cache::VerifiedTokens,
    validation::{self, Lifetime, TimeLimits},
};

/// Everything that was configured, checked and resolved. What changes in it are keys, and the notes of
/// what the log has said already.
pub(crate) struct Policy {
    pub(crate) providers: Vec<Arc<ProviderPolicy>>,
    /// Which providers may accept a token of an issuer, in the order of their configuration.
    pub(crate) by_issuer: HashMap<String, Vec<usize>>,
    pub(crate) time_limits: TimeLimits,
    pub(crate) max_token_length: usize,
    /// Where a token may stand besides the `Authorization` header. None: nowhere.
    #[cfg(feature = "websocket")]
    pub(crate) token_places: Option<TokenPlaces>,
    pub(crate) realm: String,
    pub(crate) missing_token: crate::MissingToken,
    pub(crate) public: PublicPaths,
    /// None: every token is verified at every request.
    pub(crate) verified: Option<VerifiedTokens>,
    pub(crate) on_refusal: Option<RefusalHook>,
    pub(crate) clock: Clock,
    /// None if there is nothing to fetch or look up.
    pub(crate) keys: Option<KeyThread>,
    pub(crate) preflight_explained: AtomicBool,
    pub(crate) stray_explained: AtomicBool,
}

pub(crate) type RefusalHook =
    Arc<dyn Fn(&HttpRequest, &Error, HttpResponse) -> HttpResponse + Send + Sync>;

/// What is known of a token without waiting for anything.
#[derive(Debug)]
pub(crate) enum Decision {
    Accepted(Claims),
    Refused(Error),
    /// Keys that are not at hand may decide otherwise.
    Waiting(Box<Pending>),
}

/// A token that passed every cheap check and waits for keys, or for its issuer to be looked up.
pub(crate) struct Pending {
    token: Box<[u8]>,
    jws: UnverifiedJws,
    /// The providers whose keys may decide, each with the reason why they must be waited for.
    /// None: nothing is known of the issuer yet.
    wanted: Option<Vec<Wanted>>,
    /// What the keys at hand say.
    verdict: Error,
    arrived: u64,
}

/// A provider whose keys may decide, and why they must be waited for.
type Wanted = (Arc<ProviderPolicy>, Cause);

/// What the keys at hand say of a token.
enum Asked {
    Accepted(Grounds),
    Undecided {
        wanted: Vec<Wanted>,
        verdict: Error,
    },
    /// The issuer must be looked up.
    IssuerUnknown,
}

/// Whose keys verified a token, which of them, and when its times are good.
struct Grounds {
    provider: Arc<ProviderPolicy>,
    generation: Generation,
    lifetime: Lifetime,
}

impl Policy {
    /// What a request has where a token should be, and where that is.
    pub(crate) fn credentials<'a>(
        &self,
        head: &'a RequestHead,
    ) -> Result<(Credentials<'a>, Place), Error> {
        #[cfg(feature = "websocket")]
        if let Some(places) = &self.token_places {
            return places.credentials(head, self.max_token_length);
        }
        Ok((Credentials::from_headers(head.headers(), self.max_token_length)?, Place::Header))
    }

    /// Decides on a token with the keys at hand. Synchronous, and bounded in work by the length
    /// of the token and 16 signature checks for each provider of its issuer and audience.
    pub(crate) fn decide(&self, credentials: &Credentials<'_>) -> Decision {
        match self.recall(credentials.as_bytes()) {
            Some(claims) => Decision::Accepted(claims),
            None => self.verify(credentials).unwrap_or_else(Decision::Refused),
        }
    }

    /// The claims of a token that was verified before, if all that could have changed has not.
    fn recall(&self, token: &[u8]) -> Option<Claims> {
        let verified = self.verified.as_ref()?;
        let claims = verified.find(token).filter(|claims| self.still_accepts(claims.accepted()));
        telemetry::token_recalled(claims.is_some());
        claims
    }

    pub(crate) fn still_accepts(&self, accepted: &Accepted) -> bool {
        let Accepted { by, generation, lifetime, claims, .. } = accepted;
        lifetime.contains(self.clock.unix_time())
            && match by {
                By::Configured(provider) => provider.verifies_with(*generation, &self.clock),
                By::Tenant { policy, .. } => self.tenant_of(claims).is_some_and(|tenant| {
                    // Not another's by now.
                    Arc::as_ptr(&tenant) == policy.as_ptr()
                        && tenant.verifies_with(*generation, &self.clock)
                }),
            }
    }

    /// The tenant whose issuer the token has, if that is known.
    fn tenant_of(&self, claims: &Object) -> Option<Arc<ProviderPolicy>> {
        let tenants = self.keys.as_ref()?.tenants.as_ref()?;
        match tenants.find(validation::issuer(claims).ok()?) {
            Found::Tenant(tenant) => Some(tenant),
            _ => None,
        }
    }

    fn verify(&self, credentials: &Credentials<'_>) -> Result<Decision, Error> {
        let token = credentials.token()?.as_str();
        let jws = UnverifiedJws::parse(token)?;
        let token = token.as_bytes();
        let (wanted, verdict) = match self.ask_keys_at_hand(&jws, &token[..jws.signed_len])? {
            Asked::Accepted(grounds) => {
                return Ok(Decision::Accepted(self.accept(grounds, jws.claims, token)));
            }
            Asked::Undecided { wanted, verdict } if wanted.is_empty() => return Err(verdict),
            Asked::Undecided { wanted, verdict } => (Some(wanted), verdict),
            Asked::IssuerUnknown => (None, unavailable(Duration::ZERO)),
        };
        Ok(Decision::Waiting(Box::new(Pending {
            token: token.into(),
            jws,
            wanted,
            verdict,
            arrived: self.keys.as_ref().map_or(0, |keys| keys.engine.ticket()),
        })))
    }

    /// The claims of a token that was just verified. It is remembered, if there is a place for it.
    fn accept(&self, grounds: Grounds, claims: Object, token: &[u8]) -> Claims {
        let Grounds { provider, generation, lifetime } = grounds;
        let now = self.clock.unix_time();
        // Where every request wants fresh keys, it would never be asked for.
        let remembers = !provider.wants_fresh_keys() && self.is_first(&provider, &claims);
        let place = self.verified.as_ref().filter(|_| remembers).and_then(|verified| {
            let place = verified.place_for(token, now)?;
            Some((verified, place))
        });
        let token = if place.is_some() { token.into() } else { Box::default() };
        let (by, clock) = (By::from(provider), self.clock.clone());
        let claims = Claims::new(Accepted { by, generation, lifetime, claims, token, clock });
        if let Some((verified, place)) = place {
            verified.insert(&claims, place, now);
        }
        claims
    }

    /// Whether no keys that another provider may get can make the token that one's.
    fn is_first(&self, provider: &Arc<ProviderPolicy>, claims: &Object) -> bool {
        let of_issuer = validation::issuer(claims).ok().and_then(|iss| self.by_issuer.get(iss));
        of_issuer
            .into_iter()
            .flatten()
            .map(|index| &self.providers[*index])
            .take_while(|before| !Arc::ptr_eq(before, provider))
            .all(|before| before.remote().is_none() || !before.names_audience(claims))
    }

    /// The cheap checks, then the signature under the keys of each provider that may accept it.
    fn ask_keys_at_hand(&self, jws: &UnverifiedJws, signed: &[u8]) -> Result<Asked, Error> {
        let issuer = validation::issuer(&jws.claims)?;
        if let Some(indices) = self.by_issuer.get(issuer) {
            let candidates = indices.iter().map(|index| &self.providers[*index]);
            return self.ask(candidates, jws, signed);
        }
        let Some(tenants) = self.keys.as_ref().and_then(|keys| keys.tenants.as_ref()) else {
            return Err(self.issuer_unknown(issuer));
        };
        // Before a lookup, which costs more.
        validation::check_types(&jws.claims)?;
        validation::check_times(&jws.claims, self.clock.unix_time(), self.time_limits)?;
        match tenants.find(issuer) {
            Found::Tenant(provider) => self.ask([&provider].into_iter(), jws, signed),
            Found::Nobody => Err(self.issuer_unknown(issuer)),
            Found::Unavailable(retry_after) => Err(unavailable(retry_after)),
            Found::Unknown => Ok(Asked::IssuerUnknown),
        }
    }

    /// Asks the keys at hand of the providers of the token's issuer.
    fn ask<'a>(
        &self,
        of_issuer: impl Iterator<Item = &'a Arc<ProviderPolicy>>,
        jws: &UnverifiedJws,
        signed: &[u8],
    ) -> Result<Asked, Error> {
        let claims = &jws.claims;
        validation::check_types(claims)?;
        let mut candidates =
            of_issuer.filter(|provider| provider.names_audience(claims)).peekable();
        if candidates.peek().is_none() {
            return Err(ErrorKind::AudienceMismatch.into());
        }
        let lifetime = validation::check_times(claims, self.clock.unix_time(), self.time_limits)?;
        let mut verdict = Error::from(ErrorKind::AlgorithmNotAllowed);
        let mut wanted = Vec::new();
        for provider in candidates {
            if !provider.algorithms.contains(jws.header.alg) {
                continue;
            }
            if provider.require_at_jwt && !jws.header.is_access_token {
                verdict = more_telling(verdict, ErrorKind::TypeNotAllowed.into());
                continue;
            }
            let check = |keys: &KeySet| keys.verify(&jws.header, signed, &jws.signature);
            let found = match &provider.keys {
                ProviderKeys::Inline(keys) => check(keys),
                ProviderKeys::Remote(remote) => match remote.usable(&self.clock).as_deref() {
                    Some(Some(snapshot)) => {
                        let found = check(&snapshot.keys);
                        if matches!(found, Verdict::KeyUnknown { .. })
                            && remote.timing.refresh != Refresh::Never
                        {
                            telemetry::keys_looked_up("unknown");
                            let cause = remote.unknown(jws.header.kid.as_deref());
                            wanted.push((Arc::clone(provider), cause));
                        } else {
                            telemetry::keys_looked_up("hit");
                        }
                        found
                    }
                    _ => {
                        let cause = match remote.timing.refresh {
                            Refresh::Always => Cause::Fresh,
                            _ => Cause::Missing,
                        };
                        telemetry::keys_looked_up("missing");
                        wanted.push((Arc::clone(provider), cause));
                        continue;
                    }
                },
            };
            if let Verdict::Verified(generation) = found {
                let provider = Arc::clone(provider);
                return Ok(Asked::Accepted(Grounds { provider, generation, lifetime }));
            }
            verdict = more_telling(verdict, found.into());
        }
        Ok(Asked::Undecided { wanted, verdict })
    }

    fn issuer_unknown(&self, issuer: &str) -> Error {
        // The mistake that everybody makes once, with Auth0 or Microsoft Entra.
        let slash_differs = match issuer.strip_suffix('/') {
            Some(without) => self.by_issuer.contains_key(without),
            None => self.by_issuer.contains_key(&format!("{issuer}/")),
        };
        ErrorKind::IssuerUnknown { slash_differs }.into()
    }

    /// Why a public request with this token has no claims. It never waits, but the next one may find
    /// the keys: they are asked for, under the same bounds as by requests that wait.
    pub(crate) fn not_now(&self, pending: &Pending) -> Error {
        let Some(keys) = &self.keys else { return pending.verdict.clone() };
        let mut why = pending.verdict.clone();
        let Some(wanted) = &pending.wanted else {
            if let (Some(tenants), Ok(issuer)) =
                (&keys.tenants, validation::issuer(&pending.jws.claims))
            {
                tenants.poke(issuer);
            }
            return why;
        };
        for (provider, cause) in wanted {
            let Some(remote) = provider.remote() else { continue };
            remote.poke(&keys.engine, *cause);
            if !matches!(cause, Cause::UnknownKey { .. }) {
                why = unavailable(Duration::ZERO);
            }
        }
        why
    }

    /// Waits for what a token needs, and decides.
    pub(crate) async fn resolve(&self, mut pending: Box<Pending>) -> Result<Claims, Error> {
        let Some(keys) = &self.keys else { return Err(pending.verdict) };
        let wanted = match pending.wanted.take() {
            Some(wanted) => wanted,
            None => match self.look_up(keys, &pending).await? {
                // The wait may have taken seconds, but the times were checked after it.
                Asked::Accepted(grounds) => {
                    return Ok(self.accept(grounds, pending.jws.claims, &pending.token));
                }
                Asked::Undecided { wanted, verdict } => {
                    pending.verdict = verdict;
                    wanted
                }
                // Never: the issuer was just looked up. A refusal whatever happens.
                Asked::IssuerUnknown => return Err(pending.verdict),
            },
        };
        let mut verdict = pending.verdict.clone();
        // Side by side: several providers of one issuer may all be slow.
        let mut waits: FuturesUnordered<_> =
            wanted.iter().map(|wanted| pending.wait_for(&keys.engine, wanted)).collect();
        while let Some((provider, found)) = waits.next().await {
            match found {
                Ok(Verdict::Verified(generation)) => {
                    drop(waits);
                    let provider = Arc::clone(provider);
                    // The wait may have taken seconds.
                    let lifetime = validation::check_times(
                        &pending.jws.claims,
                        self.clock.unix_time(),
                        self.time_limits,
                    )?;
                    let grounds = Grounds { provider, generation, lifetime };
                    return Ok(self.accept(grounds, pending.jws.claims, &pending.token));
                }
                Ok(found) => verdict = more_telling(verdict, found.into()),
                Err(error) => verdict = more_telling(verdict, error),
            }
        }
        Err(verdict)
    }

    /// Waits for a token's issuer to be looked up, and asks the keys at hand.
    async fn look_up(&self, keys: &KeyThread, pending: &Pending) -> Result<Asked, Error> {
        let Some(tenants) = &keys.tenants else { return Err(pending.verdict.clone()) };
        let issuer = validation::issuer(&pending.jws.claims)?;
        match tenants.look_up(issuer).await {
            Found::Tenant(provider) => {
                self.ask([&provider].into_iter(), &pending.jws, pending.signed())
            }
            Found::Nobody => Err(self.issuer_unknown(issuer)),
            Found::Unavailable(retry_after) => Err(unavailable(retry_after)),
            Found::Unknown => Err(unavailable(Duration::ZERO)),
        }
    }
}

impl Pending {
    /// Waits for one provider's keys and tries them. A flight that began before the request
    /// arrived may have missed the token's key, so it earns one more.
    async fn wait_for<'a>(
        &self,
        engine: &EngineHandle,
        (provider, cause): &'a Wanted,
    ) -> (&'a Arc<ProviderPolicy>, Result<Verdict, Error>) {
        let found = match provider.remote() {
            Some(remote) => self.ask_again(engine, remote, *cause).await,
            // Never: only providers whose keys are fetched are waited for.
            None => Ok(Verdict::KeyUnknown(Tried::default())),
        };
        (provider, found)
    }

    /// What the signature covers.
    fn signed(&self) -> &[u8] {
        &self.token[..self.jws.signed_len]
    }

    fn verify(&self, snapshot: &Snapshot) -> Verdict {
        snapshot.keys.verify(&self.jws.header, self.signed(), &self.jws.signature)
    }

    async fn ask_again(
        &self,
        engine: &EngineHandle,
        remote: &Arc<RemoteKeys>,
        mut cause: Cause,
    ) -> Result<Verdict, Error> {
        let kid = self.jws.header.kid.as_deref();
        let mut joined_early = false;
        loop {
            let (snapshot, last) = match remote.wait(engine, cause, self.arrived).await? {
                Waited::Fetched { snapshot, after_request } => (
                    snapshot,
                    after_request || joined_early || remote.timing.refresh == Refresh::Never,
                ),
                // Between our look at the keys and now, others' fetch may have brought new ones.
                Waited::CoolingDown => match remote.snapshot() {
                    Some(snapshot) => return Ok(self.verify(&snapshot)),
                    None => return Ok(Verdict::KeyUnknown(Tried::default())),
                },
            };
            let found = self.verify(&snapshot);
            if !matches!(found, Verdict::KeyUnknown { .. }) {
                return Ok(found);
            }
            if last {
                // A fetch for want of any keys did not look for this one.
                if let (Some(kid), Cause::UnknownKey { .. }) = (kid, cause) {
                    remote.sought().insert(kid);
                }
                return Ok(found);
            }
            joined_early = true;
            cause = remote.unknown(kid);
        }
    }
}

/// Of two reasons to refuse, the one that tells more of why.
fn more_telling(one: Error, other: Error) -> Error {
    fn rank(error: &Error) -> u8 {
        match error.kind() {
            // Whatever else is wrong, these keys might have accepted the token.
            ErrorKind::KeysUnavailable { .. } => 4,
            ErrorKind::KeysUntried { .. } => 3,
            ErrorKind::SignatureInvalid => 2,
            ErrorKind::KeyUnknown | ErrorKind::TypeNotAllowed => 1,
            _ => 0,
        }
    }
    if rank(&other) > rank(&one) { other } else { one }
}

impl From<Verdict> for Error {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::AlgorithmNotAllowed => ErrorKind::AlgorithmNotAllowed,
            Verdict::KeyUnknown(Tried { tried: 0, .. }) => ErrorKind::KeyUnknown,
            Verdict::KeyUnknown(Tried { tried, fitting })
            | Verdict::SignatureInvalid(Tried { tried, fitting })
                if tried < fitting =>
            {
                ErrorKind::KeysUntried { tried, fitting }
            }
            // Never reached for a verified token; a refusal whatever happens.
            Verdict::KeyUnknown(_) | Verdict::SignatureInvalid(_) | Verdict::Verified(_) => {
                ErrorKind::SignatureInvalid
            }
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
