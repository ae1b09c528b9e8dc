//! An accepted token: its claims, the keys that verified it and its lifetime.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use crate::{
    error::{Error, ErrorKind},
    jose::key_set::KeySetId,
    json::object::{Object, block},
    token::{
        confirmation::Confirmation, lifetime::Lifetime, principal::PrincipalSlot, rules::Rules,
    },
    util::{clock::Clock, telemetry::AcceptedRequests},
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
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum VerifiedBy {
    /// A key of this set.
    Keys(KeySetId),
    /// The issuer, which was asked. Its answer is used until this time since the Unix epoch.
    #[expect(dead_code, reason = "introspection is added next")]
    Introspection { until: Duration },
}

/// The identity of a provider within a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProviderId {
    /// The index among the configured providers.
    Configured(usize),
    /// The number of a tenant. A tenant that is removed and found again gets another number.
    Tenant(u64),
}

impl VerifiedToken {
    /// Checks that the token has not expired while something else was waited for.
    pub(crate) fn check_lifetime(&self) -> Result<(), Error> {
        let now = self.clock.unix_time();
        if self.lifetime.contains(now) {
            return Ok(());
        }
        let error = Error::from(self.lifetime.reason(&self.claims, now));
        Err(error.with_provider(&self.by.name))
    }

    /// Waits until the token expires or is too old, and returns the reason.
    pub(crate) async fn expired(&self) -> ErrorKind {
        loop {
            // Read first, so that a clock that moves between both reads ends the sleep early, and not late.
            let started = self.clock.monotonic();
            let now = self.clock.unix_time();
            if !self.lifetime.contains(now) {
                return self.lifetime.reason(&self.claims, now);
            }
            // The sleep is short, since the wall clock may be set in the meantime.
            let sleep = self.lifetime.remaining(now).min(LONGEST_SLEEP);
            self.clock.sleep_until(started + sleep).await;
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

/// The longest sleep between two reads of the wall clock.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

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
            clock: Clock::default(),
        }
    }
}
