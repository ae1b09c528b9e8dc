//! An accepted token: its claims, the keys that verified it and its lifetime.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures_util::future::BoxFuture;

use crate::{
    error::{Error, ErrorKind},
    jose::key_set::KeySetId,
    json::object::{Object, block},
    revocation::Revocable,
    token::{
        confirmation::Confirmation, lifetime::Lifetime, principal::PrincipalSlot, rules::Rules,
        status::TokenStatus,
    },
    util::{backoff::random, clock::Clock, telemetry::AcceptedRequests},
};

/// The data that clones of [`Claims`](crate::Claims) share.
pub(crate) struct VerifiedToken {
    pub(crate) by: AcceptedBy,
    pub(crate) verified_by: VerifiedBy,
    pub(crate) lifetime: Lifetime,
    pub(crate) claims: Object,
    /// The token itself: the key of the cache, and the value that applications exchange for another token.
    pub(crate) token: Box<[u8]>,
    /// What the token is bound to, if that is checked with every request.
    pub(crate) confirmation: Option<Box<Confirmation>>,
    /// What the application loads for the token. Empty unless it loads something.
    pub(crate) principal: OnceLock<Box<PrincipalSlot>>,
    /// What the deny list is searched for. None if there is no list.
    pub(crate) revocable: Option<Box<Revocable>>,
    /// The entry of the token in a status list. None if none is checked.
    pub(crate) status: Option<Arc<dyn TokenStatus>>,
    /// The clock that the token's times are checked against.
    pub(crate) clock: Clock,
}

/// The provider that accepted a token.
#[derive(Clone, Debug)]
pub(crate) struct AcceptedBy {
    pub(crate) provider: ProviderId,
    pub(crate) name: Arc<str>,
    /// The counter of requests with this provider's tokens.
    pub(crate) requests: AcceptedRequests,
    /// The scope hierarchy and the named policies.
    pub(crate) rules: Arc<Rules>,
}

/// What found the token to be genuine.
#[derive(Clone)]
pub(crate) enum VerifiedBy {
    /// A key of this set.
    Keys(KeySetId),
    /// The issuer, by introspection.
    Introspection(Arc<Introspected>),
    /// The hash of an API key.
    ApiKey(Arc<VerifiedApiKey>),
}

/// An API key that was found.
pub(crate) struct VerifiedApiKey {
    /// The SHA-256 of its text.
    pub(crate) hash: [u8; 32],
    /// The response of its source. None if the key is configured.
    pub(crate) found: Option<Introspected>,
}

impl VerifiedBy {
    /// Returns the response by which the token is accepted, which is cached for a limited time.
    pub(crate) fn introspected(&self) -> Option<&Introspected> {
        match self {
            Self::Keys(_) => None,
            Self::Introspection(introspected) => Some(introspected),
            Self::ApiKey(key) => key.found.as_ref(),
        }
    }
}

/// The response of an introspection endpoint, or of a source of API keys.
pub(crate) struct Introspected {
    /// The response is used until this time since the Unix epoch, and until this monotonic time: a wall clock that is set
    /// back does not prolong it.
    pub(crate) until: Duration,
    pub(crate) until_monotonic: Duration,
    /// Sends the request again.
    pub(crate) issuer: Arc<dyn Revalidate>,
}

impl Introspected {
    /// Returns a response that was requested at this time since the Unix epoch, and at this monotonic time.
    pub(crate) fn new(
        requested_at: (Duration, Duration),
        lifetime: Duration,
        issuer: Arc<dyn Revalidate>,
    ) -> Self {
        let (time, monotonic) = requested_at;
        let until = time.saturating_add(lifetime);
        Self { until, until_monotonic: monotonic.saturating_add(lifetime), issuer }
    }

    /// Returns whether the response may be used now.
    pub(crate) fn is_usable(&self, clock: &Clock) -> bool {
        clock.unix_time() < self.until && clock.monotonic() < self.until_monotonic
    }
}

/// An issuer, or a source of API keys, that can say again whether a token is active.
pub(crate) trait Revalidate: Send + Sync {
    /// Checks whether a token is still active. Returns the monotonic time until which the response is used.
    fn revalidate(&self, token: &[u8]) -> BoxFuture<'static, Result<Duration, Error>>;
}

/// The identity of a provider within a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProviderId {
    /// The index among the configured providers.
    Configured(usize),
    /// The number of a tenant. A tenant that is removed and found again gets another number.
    Tenant(u64),
    /// The index among the sets of API keys.
    ApiKeys(usize),
}

impl VerifiedToken {
    /// Checks that the token has neither expired nor been revoked while something else was waited for.
    pub(crate) fn check_again(&self) -> Result<(), Error> {
        let now = self.clock.unix_time();
        if self.lifetime.contains(now) {
            self.check_revocation()?;
            return self.check_status();
        }
        let error = Error::from(self.lifetime.reason(&self.claims, now));
        Err(error.with_provider(&self.by.name))
    }

    /// Waits until the token is no longer accepted, and returns the reason: it has expired, or its issuer says that it
    /// is no longer active or valid. A token with a status in a list was not introspected.
    pub(crate) async fn ended(&self) -> Error {
        if let Some(status) = &self.status {
            return tokio::select! {
                biased;
                reason = self.expired() => reason.into(),
                reason = self.status_ended(&**status) => reason,
            };
        }
        let Some(introspected) = self.verified_by.introspected() else {
            return self.expired().await.into();
        };
        tokio::select! {
            biased;
            reason = self.expired() => reason.into(),
            reason = self.inactive(introspected) => reason,
        }
    }

    /// Introspects the token again before the last response may no longer be used, at most once in about
    /// [`LEAST_REVALIDATION`]. Returns why the token is not accepted. While requests fail, the token is accepted for
    /// [`GRACE`] after the last response has ended.
    ///
    /// The time of each check has a random part: sessions that were opened together, such as after a restart, would exceed
    /// the limit of calls otherwise, and those that never get a response would end.
    async fn inactive(&self, introspected: &Introspected) -> Error {
        let later = |until: Duration| until.max(self.clock.monotonic() + LEAST_REVALIDATION);
        let mut until = later(introspected.until_monotonic);
        loop {
            let early = until.saturating_sub(self.clock.monotonic()).mul_f64(0.2 * random());
            self.clock.sleep_until(until.saturating_sub(early)).await;
            match introspected.issuer.revalidate(&self.token).await {
                Ok(next) => until = later(next),
                Err(error) if !error.is_unavailable() => return error,
                Err(error) if self.clock.monotonic() >= until.saturating_add(GRACE) => {
                    return error;
                }
                Err(_) => {
                    let pause = LEAST_INTERVAL.mul_f64(0.5 + random());
                    self.clock.sleep_until(self.clock.monotonic() + pause).await;
                }
            }
        }
    }

    /// Returns the first whole second since the Unix epoch at which the token is of no use in the cache.
    pub(crate) fn cached_until(&self) -> u64 {
        let expires_at = self.lifetime.expires_at();
        self.verified_by
            .introspected()
            .map_or(expires_at, |found| expires_at.min(found.until.as_secs().saturating_add(1)))
    }

    /// Checks that no entry of the deny list revokes the token.
    #[inline]
    pub(crate) fn check_revocation(&self) -> Result<(), Error> {
        let Some(revocable) = &self.revocable else { return Ok(()) };
        revocable.check().map_err(|kind| Error::from(kind).with_provider(&self.by.name))
    }

    /// Checks the status that the issuer publishes, if it is looked up. The error is an unavailability if it is not
    /// known now.
    #[inline]
    pub(crate) fn check_status(&self) -> Result<(), Error> {
        self.status.as_ref().map_or(Ok(()), |status| status.check())
    }

    /// Returns why the issuer no longer says that the token is valid. If its list cannot be fetched, the token is accepted
    /// for [`GRACE`] after the last one.
    async fn status_ended(&self, status: &dyn TokenStatus) -> Error {
        let mut changes = status.changes();
        let mut last_known = self.clock.monotonic();
        loop {
            let checked = match status.wait().await {
                Ok(()) => status.check(),
                Err(error) => Err(error),
            };
            let now = self.clock.monotonic();
            let next_check = match checked {
                Ok(()) => {
                    last_known = now;
                    status.next_check().max(now.saturating_add(LEAST_INTERVAL))
                }
                Err(error) if !error.is_unavailable() => return error,
                Err(error) if now >= last_known.saturating_add(GRACE) => return error,
                Err(_) => now.saturating_add(LEAST_INTERVAL),
            };
            tokio::select! {
                biased;
                // Fails if the list is gone, which the token itself keeps.
                _ = changes.changed() => {}
                () = self.clock.sleep_until(next_check) => {}
            }
        }
    }

    /// Waits until the token expires, is too old or is revoked, and returns the reason. Also ends when the deny list may
    /// no longer be used.
    pub(crate) async fn expired(&self) -> ErrorKind {
        // Begins before the first check, so that no entry is missed.
        let watch = self.revocable.as_ref().map(|revocable| revocable.watch());
        loop {
            // Read first, so that a clock that moves between both reads ends the sleep early, and not late.
            let started = self.clock.monotonic();
            let now = self.clock.unix_time();
            if !self.lifetime.contains(now) {
                return self.lifetime.reason(&self.claims, now);
            }
            // The sleep is short, since the wall clock may be set in the meantime.
            let mut next_check = started + self.lifetime.remaining(now).min(LONGEST_SLEEP);
            let Some((revocable, watch)) = self.revocable.as_ref().zip(watch.as_ref()) else {
                self.clock.sleep_until(next_check).await;
                continue;
            };
            if let Err(reason) = revocable.check() {
                return reason;
            }
            if let Some(usable_until) = revocable.list().usable_until() {
                next_check = next_check.min(usable_until);
            }
            tokio::select! {
                biased;
                () = watch.changed() => {}
                () = self.clock.sleep_until(next_check) => {}
            }
        }
    }

    /// Returns whether the token is bound to a DPoP key, so that every request with it has a proof.
    pub(crate) fn is_bound_to_key(&self) -> bool {
        self.confirmation.as_ref().is_some_and(|confirmation| confirmation.key.is_some())
    }

    /// Returns the memory that the token takes, in bytes.
    pub(crate) fn size(&self) -> usize {
        let confirmation =
            self.confirmation.as_ref().map_or(0, |_| block(size_of::<Confirmation>()));
        block(size_of::<Self>() + COUNTS)
            + block(self.token.len())
            + confirmation
            + match &self.verified_by {
                VerifiedBy::Introspection(_) => block(size_of::<Introspected>() + COUNTS),
                _ => 0,
            }
            + self.revocable.as_ref().map_or(0, |_| block(size_of::<Revocable>()))
            + self.status.as_ref().map_or(0, |_| block(STATUS))
            + self.claims.heap_size()
    }
}

/// Shows neither the token nor the value of a claim.
impl fmt::Debug for VerifiedToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("VerifiedToken")
            .field("claims", &self.claims)
            .finish_non_exhaustive()
    }
}

/// How long a session or stream continues while its token cannot be checked again.
const GRACE: Duration = Duration::from_secs(60);

/// The least time between two checks of one token that succeed. A shorter cache than this is for requests.
const LEAST_REVALIDATION: Duration = Duration::from_secs(10);

/// The least time between two checks of one token after a failure.
const LEAST_INTERVAL: Duration = Duration::from_secs(1);

/// The longest sleep between two reads of the wall clock.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// The size of the entry of a token in a status list, which is behind an `Arc`.
const STATUS: usize = 5 * size_of::<usize>();

/// The size of the reference counts of an `Arc`.
const COUNTS: usize = 2 * size_of::<usize>();

#[cfg(any(test, feature = "testing"))]
impl VerifiedToken {
    /// Returns claims without a token, accepted by a provider of this name until the end of the year 9999.
    pub(crate) fn of(provider: &str, claims: Object) -> Self {
        use crate::jose::key_set::KeySet;

        let name: Arc<str> = provider.into();
        Self {
            verified_by: VerifiedBy::Keys(KeySet::new(Vec::new()).id()),
            by: AcceptedBy {
                provider: ProviderId::Configured(0),
                requests: AcceptedRequests::of(&name),
                name,
                rules: Arc::default(),
            },
            lifetime: Lifetime::without_end(),
            claims,
            token: Box::default(),
            confirmation: None,
            principal: OnceLock::new(),
            revocable: None,
            status: None,
            clock: Clock::default(),
        }
    }
}
