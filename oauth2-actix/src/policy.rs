//! The finished policy, and its decision on one token: the path of a request.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Map, Value};

use crate::{
    algorithm::AlgorithmSet,
    bearer::BearerToken,
    claims::Claims,
    clock::Clock,
    error::{Error, ErrorKind},
    jws::UnverifiedJws,
    key_engine::EngineHandle,
    key_set::{KeySet, Verdict},
    public::PublicPaths,
    remote_keys::{Cause, Refresh, RemoteKeys, Waited, unavailable},
    validation,
};

/// Everything that was configured, checked and resolved. What changes in it are keys, and the notes of
/// what the log has said already.
pub(crate) struct Policy {
    pub(crate) providers: Vec<ProviderPolicy>,
    /// Which providers may accept a token of an issuer, in the order of their configuration.
    pub(crate) by_issuer: HashMap<String, Vec<usize>>,
    pub(crate) leeway: Duration,
    pub(crate) max_token_length: usize,
    pub(crate) realm: String,
    pub(crate) missing_token: crate::MissingToken,
    pub(crate) public: PublicPaths,
    pub(crate) on_refusal: Option<RefusalHook>,
    pub(crate) clock: Clock,
    /// None if no provider has anything to fetch.
    pub(crate) engine: Option<EngineHandle>,
    pub(crate) preflight_explained: AtomicBool,
    pub(crate) stray_explained: AtomicBool,
}

pub(crate) type RefusalHook =
    Arc<dyn Fn(&HttpRequest, &Error, HttpResponse) -> HttpResponse + Send + Sync>;

/// One provider of the policy.
#[derive(Debug)]
pub(crate) struct ProviderPolicy {
    pub(crate) name: Arc<str>,
    pub(crate) audiences: Vec<String>,
    pub(crate) audience_claim: String,
    pub(crate) algorithms: AlgorithmSet,
    pub(crate) keys: ProviderKeys,
}

#[derive(Debug)]
pub(crate) enum ProviderKeys {
    /// Given inline.
    Inline(KeySet),
    /// Published at a URL; the number is its slot in the key engine.
    Remote(Arc<RemoteKeys>, usize),
}

/// What is known of a token without waiting for anything.
#[derive(Debug)]
pub(crate) enum Decision {
    Accepted(Claims),
    Refused(Error),
    /// Keys that are not at hand may decide otherwise.
    Waiting(Box<Pending>),
}

/// A token that passed every cheap check and waits for keys.
pub(crate) struct Pending {
    signed: Box<[u8]>,
    jws: UnverifiedJws,
    /// The providers whose keys may decide, each with the reason why they must be waited for.
    wanted: Vec<(usize, Cause)>,
    /// What the keys at hand say.
    verdict: Error,
    arrived: u64,
}

/// What the keys at hand say of a token.
enum Asked {
    /// The provider of this index accepts it.
    Accepted(usize),
    Undecided {
        wanted: Vec<(usize, Cause)>,
        verdict: Error,
    },
}

impl Policy {
    /// Decides on a token with the keys at hand. Synchronous, and bounded in work by the length
    /// of the token and four signature checks for each provider of its issuer and audience.
    pub(crate) fn decide(&self, token: BearerToken<'_>) -> Decision {
        self.try_decide(token).unwrap_or_else(Decision::Refused)
    }

    fn try_decide(&self, token: BearerToken<'_>) -> Result<Decision, Error> {
        let token = token.as_str();
        if token.len() > self.max_token_length {
            let limit = self.max_token_length;
            return Err(ErrorKind::TokenTooLong { length: token.len(), limit }.into());
        }
        let jws = UnverifiedJws::parse(token)?;
        let signed = &token.as_bytes()[..jws.signed_len];
        match self.ask_keys_at_hand(&jws, signed)? {
            Asked::Accepted(index) => {
                let name = Arc::clone(&self.providers[index].name);
                Ok(Decision::Accepted(Claims::new(name, jws.claims)))
            }
            Asked::Undecided { wanted, verdict } if wanted.is_empty() => Err(verdict),
            Asked::Undecided { wanted, verdict } => Ok(Decision::Waiting(Box::new(Pending {
                signed: signed.into(),
                jws,
                wanted,
                verdict,
                arrived: self.engine.as_ref().map_or(0, EngineHandle::ticket),
            }))),
        }
    }

    /// The cheap checks, then the signature under the keys of each provider that may accept it.
    fn ask_keys_at_hand(&self, jws: &UnverifiedJws, signed: &[u8]) -> Result<Asked, Error> {
        let candidates = self.candidates(&jws.claims)?;
        validation::check_times(&jws.claims, self.clock.unix_time(), self.leeway)?;
        let mut verdict = Error::from(ErrorKind::AlgorithmNotAllowed);
        let mut wanted = Vec::new();
        for index in candidates {
            let provider = &self.providers[index];
            if !provider.algorithms.contains(jws.header.alg) {
                continue;
            }
            let check = |keys: &KeySet| keys.verify(&jws.header, signed, &jws.signature);
            let found = match &provider.keys {
                ProviderKeys::Inline(keys) => check(keys),
                ProviderKeys::Remote(remote, _) => match remote.usable(&self.clock).as_deref() {
                    Some(Some(snapshot)) => {
                        let found = check(&snapshot.keys);
                        if matches!(found, Verdict::KeyUnknown { .. })
                            && remote.refresh != Refresh::Never
                        {
                            wanted.push((index, Cause::UnknownKey));
                        }
                        found
                    }
                    _ => {
                        let cause = match remote.refresh {
                            Refresh::Always => Cause::Always,
                            _ => Cause::Missing,
                        };
                        wanted.push((index, cause));
                        continue;
                    }
                },
            };
            if found == Verdict::Verified {
                return Ok(Asked::Accepted(index));
            }
            verdict = more_telling(verdict, found.into());
        }
        Ok(Asked::Undecided { wanted, verdict })
    }

    /// The providers whose issuer and audience the claims name.
    fn candidates<'a>(
        &'a self,
        claims: &'a Map<String, Value>,
    ) -> Result<impl Iterator<Item = usize> + 'a, Error> {
        let issuer = validation::issuer(claims)?;
        let Some(indices) = self.by_issuer.get(issuer) else {
            return Err(
                ErrorKind::IssuerUnknown { slash_differs: self.slash_differs(issuer) }.into()
            );
        };
        validation::check_types(claims)?;
        let mut candidates = indices
            .iter()
            .copied()
            .filter(|index| {
                let provider = &self.providers[*index];
                validation::names_audience(claims, &provider.audience_claim, &provider.audiences)
            })
            .peekable();
        if candidates.peek().is_none() {
            return Err(ErrorKind::AudienceMismatch.into());
        }
        Ok(candidates)
    }

    /// The mistake that everybody makes once, with Auth0 or Microsoft Entra.
    fn slash_differs(&self, issuer: &str) -> bool {
        match issuer.strip_suffix('/') {
            Some(without) => self.by_issuer.contains_key(without),
            None => self.by_issuer.contains_key(&format!("{issuer}/")),
        }
    }

    /// Why a public request with this token has no claims. It never waits, but the next one may find
    /// the keys: they are asked for, under the same bounds as by requests that wait.
    pub(crate) fn not_now(&self, pending: &Pending) -> Error {
        let Some(engine) = &self.engine else { return pending.verdict.clone() };
        let mut why = pending.verdict.clone();
        for (index, cause) in &pending.wanted {
            let ProviderKeys::Remote(remote, slot) = &self.providers[*index].keys else { continue };
            remote.poke(engine, *slot, *cause);
            if *cause != Cause::UnknownKey {
                why = unavailable(Duration::ZERO);
            }
        }
        why
    }

    /// Waits for the keys that a token needs, and decides.
    pub(crate) async fn resolve(&self, mut pending: Box<Pending>) -> Result<Claims, Error> {
        let Some(engine) = &self.engine else { return Err(pending.verdict) };
        for (index, cause) in std::mem::take(&mut pending.wanted) {
            let provider = &self.providers[index];
            let ProviderKeys::Remote(remote, slot) = &provider.keys else { continue };
            match pending.wait_for(engine, remote, *slot, cause).await {
                Ok(Verdict::Verified) => {
                    // The wait may have taken seconds.
                    validation::check_times(
                        &pending.jws.claims,
                        self.clock.unix_time(),
                        self.leeway,
                    )?;
                    return Ok(Claims::new(provider.name.clone(), pending.jws.claims));
                }
                Ok(found) => pending.verdict = more_telling(pending.verdict, found.into()),
                Err(error) => pending.verdict = more_telling(pending.verdict, error),
            }
        }
        Err(pending.verdict)
    }
}

impl Pending {
    /// Waits for one provider's keys and tries them. A flight that began before the request
    /// arrived may have missed the token's key, so it earns one more.
    async fn wait_for(
        &mut self,
        engine: &EngineHandle,
        remote: &RemoteKeys,
        slot: usize,
        cause: Cause,
    ) -> Result<Verdict, Error> {
        let mut cause = cause;
        let mut joined_early = false;
        loop {
            let (snapshot, last) = match remote.wait(engine, slot, cause, self.arrived).await? {
                Waited::Fetched { snapshot, after_request } => {
                    (snapshot, after_request || joined_early || remote.refresh == Refresh::Never)
                }
                // Between our look at the keys and now, others' fetch may have brought new ones.
                Waited::CoolingDown => match remote.snapshot() {
                    Some(snapshot) => (snapshot, true),
                    None => return Ok(Verdict::KeyUnknown { tried: false }),
                },
            };
            let found = snapshot.keys.verify(&self.jws.header, &self.signed, &self.jws.signature);
            if !matches!(found, Verdict::KeyUnknown { .. }) || last {
                return Ok(found);
            }
            joined_early = true;
            cause = Cause::UnknownKey;
        }
    }
}

/// Of two reasons to refuse, the one that tells more of why.
fn more_telling(one: Error, other: Error) -> Error {
    fn rank(error: &Error) -> u8 {
        match error.kind() {
            // Whatever else is wrong, these keys might have accepted the token.
            ErrorKind::KeysUnavailable { .. } => 3,
            ErrorKind::SignatureInvalid => 2,
            ErrorKind::KeyUnknown => 1,
            _ => 0,
        }
    }
    if rank(&other) > rank(&one) { other } else { one }
}

impl From<Verdict> for Error {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::AlgorithmNotAllowed => ErrorKind::AlgorithmNotAllowed,
            Verdict::KeyUnknown { tried: false } => ErrorKind::KeyUnknown,
            // Never reached for a verified token; a refusal whatever happens.
            Verdict::KeyUnknown { tried: true } | Verdict::SignatureInvalid | Verdict::Verified => {
                ErrorKind::SignatureInvalid
            }
        }
        .into()
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Nothing of the token.
        formatter.debug_struct("Pending").field("wanted", &self.wanted).finish_non_exhaustive()
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Policy")
            .field("providers", &self.providers)
            .field("leeway", &self.leeway)
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}
