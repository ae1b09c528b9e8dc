//! Remembers the proofs that were used, so that each is accepted once (RFC 9449 §11.1).
//!
//! - `memory`: [`MemoryReplayStore`](memory::MemoryReplayStore), in the memory of the process
//! - `redis`: `RedisReplayStore`, which several processes share (a feature)

pub(crate) mod memory;

#[cfg(feature = "redis")]
pub(crate) mod redis;

use std::time::Duration;

use futures_util::future::BoxFuture;

/// A store of proofs that were used. Each proof is accepted once
/// ([RFC 9449 §11.1](https://www.rfc-editor.org/rfc/rfc9449#section-11.1)).
///
/// A store must never forget a proof before [`UsedProof::until`]. One that is full, or cannot be reached, answers
/// [`Insertion::Unavailable`], and the request gets 503.
///
/// ```
/// use futures_util::{FutureExt, future::BoxFuture};
/// use oauth2_actix::dpop::{Insertion, ReplayStore, UsedProof};
///
/// /// Accepts no proof.
/// struct Down;
///
/// impl ReplayStore for Down {
///     fn insert_once(&self, _: UsedProof) -> BoxFuture<'static, Insertion> {
///         async { Insertion::Unavailable("the store is down".into()) }.boxed()
///     }
/// }
/// ```
pub trait ReplayStore: Send + Sync + 'static {
    /// Stores a proof, unless it is stored. A proof was stored if its [`UsedProof::id`] was.
    ///
    /// The middleware polls the future once before it waits, so that a store in memory costs no wait.
    fn insert_once(&self, proof: UsedProof) -> BoxFuture<'static, Insertion>;
}

/// What a [`ReplayStore`] found.
#[derive(Debug)]
#[non_exhaustive]
pub enum Insertion {
    /// The proof was not stored. It is now.
    Fresh,
    /// The proof was stored before.
    Seen,
    /// The store cannot tell: it is full, or cannot be reached. The reason is for the log.
    Unavailable(Box<dyn std::error::Error + Send + Sync>),
}

/// A valid proof, as a [`ReplayStore`] sees it. All times are since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UsedProof {
    /// The SHA-256 of the client's key, the method, the URI and the `jti`.
    pub id: [u8; 32],
    /// The SHA-256 thumbprint of the client's key ([RFC 7638](https://www.rfc-editor.org/rfc/rfc7638)).
    pub key: [u8; 32],
    /// The earliest time at which the proof can have been used first: a store that has lost what it knew at a later
    /// time cannot tell whether the proof is fresh.
    pub since: Duration,
    /// The time of the check.
    pub now: Duration,
    /// The time until which the proof would be accepted.
    pub until: Duration,
}

#[cfg(feature = "testing")]
impl UsedProof {
    /// Creates a proof, for the tests of a [`ReplayStore`].
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use oauth2_actix::dpop::UsedProof;
    ///
    /// let [since, now, until] = [970, 1000, 1060].map(Duration::from_secs);
    /// let proof = UsedProof::new([1; 32], [2; 32], since..until, now);
    /// assert_eq!(proof.until, until);
    /// ```
    #[must_use]
    pub const fn new(
        id: [u8; 32],
        key: [u8; 32],
        accepted: std::ops::Range<Duration>,
        now: Duration,
    ) -> Self {
        Self { id, key, since: accepted.start, now, until: accepted.end }
    }
}
