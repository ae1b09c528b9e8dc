//! A token that was accepted: what it says, and on what acceptance and for how long that counts.

use std::{fmt, sync::Arc, time::Duration};

use crate::{
    error::ErrorKind,
    jose::key_set::KeySetId,
    json::object::{Object, block},
    token::validation::Lifetime,
    util::{clock::Clock, telemetry::AcceptedRequests},
};

/// What [`Claims`](crate::Claims) share.
pub(crate) struct VerifiedToken {
    pub(crate) by: AcceptedBy,
    /// Of the keys that verified it.
    pub(crate) key_set_id: KeySetId,
    pub(crate) lifetime: Lifetime,
    pub(crate) claims: Object,
    /// The token itself: the key of the cache, and for applications that exchange it.
    pub(crate) token: Box<[u8]>,
    /// By which its times are judged.
    pub(crate) clock: Clock,
}

/// The provider that accepted a token.
#[derive(Clone, Debug)]
pub(crate) struct AcceptedBy {
    pub(crate) provider: ProviderId,
    pub(crate) name: Arc<str>,
    /// Counts requests with its tokens.
    pub(crate) requests: AcceptedRequests,
}

/// Names a provider of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProviderId {
    /// The index among the providers known at build time.
    Configured(usize),
    /// A tenant. A tenant that is removed and found again has another number.
    Tenant(u64),
}

impl VerifiedToken {
    /// Waits until the times of the token no longer permit it, and returns the reason.
    pub(crate) async fn expired(&self) -> ErrorKind {
        loop {
            let now = self.clock.unix_time();
            if !self.lifetime.contains(now) {
                return self.lifetime.reason(&self.claims, now);
            }
            // The wall clock may be set meanwhile.
            let sleep = self.lifetime.remaining(now).min(LONGEST_SLEEP);
            self.clock.sleep_until(self.clock.monotonic() + sleep).await;
        }
    }

    /// The bytes that it takes.
    pub(crate) fn size(&self) -> usize {
        block(size_of::<Self>() + COUNTS) + block(self.token.len()) + self.claims.heap_size()
    }
}

/// Neither the token nor what a claim says.
impl fmt::Debug for VerifiedToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("VerifiedToken")
            .field("claims", &self.claims)
            .finish_non_exhaustive()
    }
}

/// Between two looks at the wall clock.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// Those of an `Arc`.
const COUNTS: usize = 2 * size_of::<usize>();

#[cfg(any(test, feature = "testing"))]
impl VerifiedToken {
    /// Claims without a token, accepted by a provider of this name until the end of the year 9999.
    pub(crate) fn of(provider: &str, claims: Object) -> Self {
        use crate::jose::key_set::KeySet;

        let name: Arc<str> = provider.into();
        Self {
            key_set_id: KeySet::new(Vec::new()).id(),
            by: AcceptedBy {
                provider: ProviderId::Configured(0),
                requests: AcceptedRequests::of(&name),
                name,
            },
            lifetime: Lifetime::without_end(),
            claims,
            token: Box::default(),
            clock: Clock::default(),
        }
    }
}
