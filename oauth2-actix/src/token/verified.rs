//! A token that was accepted: what it says, and on what grounds and for how long that counts.

use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use crate::{
    error::ErrorKind,
    jose::key_set::Generation,
    json::object::{Object, block},
    provider::ProviderPolicy,
    token::validation::Lifetime,
    util::{clock::Clock, telemetry::AcceptedRequests},
};

/// What [`Claims`](crate::Claims) share.
pub(crate) struct Accepted {
    pub(crate) by: By,
    /// Of the keys that verified it.
    pub(crate) generation: Generation,
    pub(crate) lifetime: Lifetime,
    pub(crate) claims: Object,
    /// The token itself: the key of the cache, and for applications that exchange it.
    pub(crate) token: Box<[u8]>,
    /// By which its times are judged.
    pub(crate) clock: Clock,
}

/// The provider that accepts a token.
pub(crate) enum By {
    Configured(Arc<ProviderPolicy>),
    /// A tenant that goes is not kept by its tokens, nor are its keys.
    Tenant {
        name: Arc<str>,
        policy: Weak<ProviderPolicy>,
        requests: AcceptedRequests,
    },
}

impl By {
    pub(crate) fn name(&self) -> &str {
        self.shared_name()
    }

    pub(crate) fn shared_name(&self) -> &Arc<str> {
        match self {
            Self::Configured(provider) => &provider.name,
            Self::Tenant { name, .. } => name,
        }
    }

    /// Counts requests with its tokens.
    pub(crate) fn accepted_requests(&self) -> AcceptedRequests {
        match self {
            Self::Configured(provider) => provider.accepted_requests.clone(),
            Self::Tenant { requests, .. } => requests.clone(),
        }
    }

    /// Tells when there are other keys. None: they do not change, or are fetched for every request, so
    /// that each look would be a change.
    #[cfg(feature = "websocket")]
    pub(crate) fn changes_of_keys(&self) -> Option<tokio::sync::watch::Receiver<()>> {
        let provider = match self {
            Self::Configured(provider) => Arc::clone(provider),
            Self::Tenant { policy, .. } => policy.upgrade()?,
        };
        provider.changes()
    }
}

impl From<Arc<ProviderPolicy>> for By {
    fn from(provider: Arc<ProviderPolicy>) -> Self {
        if provider.is_tenant {
            Self::Tenant {
                name: Arc::clone(&provider.name),
                policy: Arc::downgrade(&provider),
                requests: provider.accepted_requests.clone(),
            }
        } else {
            Self::Configured(provider)
        }
    }
}

impl Accepted {
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
impl fmt::Debug for Accepted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Accepted").field("claims", &self.claims).finish_non_exhaustive()
    }
}

/// Between two looks at the wall clock.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// Those of an `Arc`.
const COUNTS: usize = 2 * size_of::<usize>();

#[cfg(any(test, feature = "testing"))]
impl Accepted {
    /// Claims without a token, accepted by a provider of this name until the end of the year 9999.
    pub(crate) fn of(provider: &str, claims: Object) -> Self {
        use crate::jose::key_set::KeySet;

        let keys = KeySet::new(Vec::new());
        Self {
            generation: keys.generation(),
            by: By::Configured(Arc::new(ProviderPolicy::of_keys(provider, keys))),
            lifetime: Lifetime::without_end(),
            claims,
            token: Box::default(),
            clock: Clock::default(),
        }
    }
}
