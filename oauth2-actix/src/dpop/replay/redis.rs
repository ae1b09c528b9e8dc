//! The store of used proofs that the processes of an API share.

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::{FutureExt, future::BoxFuture};
use redis::Value;

use crate::{
    dpop::replay::{Insertion, ReplayStore, UsedProof},
    store::{
        RedisConnection,
        buckets::{Answer, Bucket, Buckets},
        connection::Reserve,
    },
    util::{clock::Clock, log_rate::Throttle},
};

/// A store of used proofs in Redis, for APIs of several processes: a proof that one process accepted is refused by all.
///
/// Each proof takes one round trip, and about 160 bytes of Redis until it has expired.
///
/// Redis may be restarted, and may lose its data. The store notes in Redis since when the server has forgotten nothing, and
/// then answers [`Insertion::Unavailable`] for a proof that may have been used before: for 6 s and the accepted clock skew
/// of proofs after a restart, a loss of data or a failover, and with nonces for 11 s and until the client has a later
/// nonce. No proof is accepted twice because of one.
///
/// It also answers [`Insertion::Unavailable`] while Redis cannot be reached, has no memory left, or its clock and that of
/// this process differ by more than 5 s.
///
/// ```
/// use oauth2_actix::{dpop::RedisReplayStore, store::RedisServer};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let redis = RedisServer::new("redis://127.0.0.1:6379").connect()?;
/// let replay = RedisReplayStore::new(&redis);
/// # drop(replay);
/// # Ok(())
/// # }
/// ```
///
/// # What Redis needs
///
/// - Redis 5 or later, or Valkey. Its user needs the commands `INFO`, `EVAL`, `MULTI`, `EXEC`, `SET`, `GET`, `TIME`, `PING` and, in
///   a Cluster, `CLUSTER SLOTS`, and the keys that begin with the [prefix](crate::store::RedisServer::key_prefix).
/// - `maxmemory-policy noeviction`, if `maxmemory` is set. With another policy Redis forgets proofs that can still be
///   replayed, and the store logs an error.
/// - No proxy that stays connected while the server behind it is replaced, since the store would not notice it.
/// - With replicas, `min-replicas-to-write 1`: a master that was cut off from its replicas otherwise accepts proofs beside
///   its successor, until it rejoins them.
///
/// One-time use of proofs: [RFC 9449 §11.1](https://www.rfc-editor.org/rfc/rfc9449#section-11.1).
#[derive(Clone, Debug)]
pub struct RedisReplayStore {
    buckets: Buckets,
    clocks: Arc<Throttle>,
}

impl RedisReplayStore {
    /// Creates a store that uses this connection. It does not wait for the connection.
    #[must_use]
    pub fn new(connection: &RedisConnection) -> Self {
        Self {
            buckets: Buckets::new(connection, "dpop"),
            clocks: Arc::new(Throttle::new(Clock::System)),
        }
    }
}

impl ReplayStore for RedisReplayStore {
    fn insert_once(&self, proof: UsedProof) -> BoxFuture<'static, Insertion> {
        let bucket = Bucket::of(proof.id[0]);
        // 128 bits of a hash: a second proof with the same ones cannot be found, and would be refused.
        let key = self.buckets.key(bucket, &URL_SAFE_NO_PAD.encode(&proof.id[..16]));
        let mut insert = redis::cmd("SET");
        insert.arg(key).arg(1).arg("NX").arg("PX").arg(millis_to_keep(&proof));
        let answer = self.buckets.run(bucket, vec![insert], Reserve::None);
        let clocks = Arc::clone(&self.clocks);
        async move {
            match answer.await {
                Err(unavailable) => Insertion::Unavailable(Box::new(unavailable)),
                Ok(answer) => match judge(&answer, &proof) {
                    Ok(true) => Insertion::Fresh,
                    Ok(false) => Insertion::Seen,
                    Err(doubt) => {
                        if let Doubt::Clocks(difference) = doubt
                            && clocks.allows()
                        {
                            tracing::warn!(
                                target: "oauth2_actix",
                                difference_ms = difference.as_millis() as u64,
                                "the clocks of this process and of Redis differ: proofs get 503"
                            );
                        }
                        Insertion::Unavailable(doubt.into())
                    }
                },
            }
        }
        .boxed()
    }
}

/// Why an inserted proof may have been used before.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Doubt {
    #[error("the clocks of this process and of Redis differ by {} ms, expected at most {} ms", .0.as_millis(), MAX_DIFFERENCE.as_millis())]
    Clocks(Duration),
    #[error("the proof may have been used before Redis was restarted, lost its data or took over")]
    Lost,
    #[error("Redis gave an unexpected answer")]
    Unexpected,
}

/// Decides on the answer of Redis: whether the proof is fresh.
///
/// All times are compared with the one clock of Redis, since the clocks of processes differ. A proof was accepted only
/// while that clock showed at least `proof.since - MAX_DIFFERENCE`. If its key is missing although the proof was accepted,
/// that was before `remembers_since`, so that `proof.since - MAX_DIFFERENCE` is not after `remembers_since`.
fn judge(answer: &Answer, proof: &UsedProof) -> Result<bool, Doubt> {
    match answer.values.as_slice() {
        // The proof was stored before, whatever else is uncertain.
        [Value::Nil] => return Ok(false),
        [Value::Okay] => {}
        _ => return Err(Doubt::Unexpected),
    }
    let difference = proof.now.abs_diff(answer.time);
    if difference > MAX_DIFFERENCE {
        return Err(Doubt::Clocks(difference));
    }
    // Holds because of `now`, unless another caller than this crate made the proof.
    let ahead = proof.since.saturating_sub(answer.time);
    if ahead > MAX_DIFFERENCE {
        return Err(Doubt::Clocks(ahead));
    }
    let earliest = answer.remembers_since.saturating_add(MAX_DIFFERENCE + SERVER_DIFFERENCE);
    if proof.since <= earliest {
        return Err(Doubt::Lost);
    }
    Ok(true)
}

/// Returns how long Redis keeps the proof. The clock of one process may be ahead of that of Redis, and that of another
/// process behind it.
fn millis_to_keep(proof: &UsedProof) -> u64 {
    let rest = proof.until.saturating_sub(proof.now).saturating_add(2 * MAX_DIFFERENCE);
    u64::try_from(rest.as_millis()).unwrap_or(u64::MAX).min(MAX_MILLIS)
}

/// The largest difference between the clocks of a process and of Redis.
const MAX_DIFFERENCE: Duration = Duration::from_secs(5);

/// The difference that is tolerated between the clocks of two Redis servers of which one takes over from the other.
const SERVER_DIFFERENCE: Duration = Duration::from_secs(1);

/// Redis refuses times that overflow its own.
const MAX_MILLIS: u64 = 1 << 53;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_proof_is_seen_whatever_the_clocks_show() {
        let answer = answer(Value::Nil, 500, 500);
        assert_eq!(judge(&answer, &proof(90, 100)), Ok(false));
    }

    #[test]
    fn proof_from_after_the_loss_is_fresh_and_an_earlier_one_is_not() {
        let answer = answer(Value::Okay, 100, 80);
        assert_eq!(judge(&answer, &proof(86, 100)), Err(Doubt::Lost));
        assert_eq!(judge(&answer, &proof(87, 100)), Ok(true));
    }

    #[test]
    fn clocks_that_differ_leave_a_doubt_in_both_directions() {
        for (now, result) in [
            (95, Ok(true)),
            (105, Ok(true)),
            (94, Err(Doubt::Clocks(Duration::from_secs(6)))),
            (106, Err(Doubt::Clocks(Duration::from_secs(6)))),
        ] {
            assert_eq!(judge(&answer(Value::Okay, 100, 10), &proof(90, now)), result, "{now}");
        }
        let future = proof(106, 100);
        let result = judge(&answer(Value::Okay, 100, 10), &future);
        assert_eq!(result, Err(Doubt::Clocks(Duration::from_secs(6))));
    }

    #[test]
    fn unexpected_answers_leave_a_doubt() {
        for value in [Value::Int(1), Value::BulkString(b"OK".to_vec()), Value::Array(vec![])] {
            assert_eq!(judge(&answer(value, 100, 10), &proof(90, 100)), Err(Doubt::Unexpected));
        }
        let none = Answer { values: vec![], time: Duration::ZERO, remembers_since: Duration::ZERO };
        assert_eq!(judge(&none, &proof(90, 100)), Err(Doubt::Unexpected));
    }

    /// Enumerates the clocks of two processes and a loss between two uses: the second use is never fresh.
    #[test]
    fn proof_that_was_used_before_a_loss_is_never_fresh_for_any_clocks() {
        let mut both_accepted_alone = 0;
        for (first_ahead, second_ahead) in (-6..=6).flat_map(|a| (-6..=6).map(move |b| (a, b))) {
            for since in 90..=110 {
                for (used, lost, replayed) in [(100, 100, 100), (100, 100, 107), (100, 103, 140)] {
                    let first = proof(since, shifted(used, first_ahead));
                    if first.since > first.now {
                        continue;
                    }
                    let accepted = judge(&answer(Value::Okay, used, 10), &first) == Ok(true);
                    let second = proof(since, shifted(replayed, second_ahead));
                    let replay = judge(&answer(Value::Okay, replayed, lost), &second) == Ok(true);
                    assert!(!(accepted && replay), "{first_ahead} {second_ahead} {since}");
                    both_accepted_alone += usize::from(accepted || replay);
                }
            }
        }
        assert!(both_accepted_alone > 100);
    }

    /// Enumerates the clocks of two processes: while the second accepts the proof, Redis has not forgotten it.
    #[test]
    fn proof_is_kept_for_as_long_as_any_process_accepts_it() {
        for (first_ahead, second_ahead) in (-5..=5).flat_map(|a| (-5..=5).map(move |b| (a, b))) {
            let first = proof(90, shifted(100, first_ahead));
            let forgotten = 100_000 + millis_to_keep(&first);
            let accepted_until = (first.until.as_millis() as i64) - second_ahead * 1000;
            assert!(i64::try_from(forgotten).unwrap() >= accepted_until);
        }
        let endless = UsedProof { until: Duration::MAX, ..proof(90, 100) };
        assert_eq!(millis_to_keep(&endless), MAX_MILLIS);
        let past = UsedProof { until: Duration::ZERO, ..proof(90, 100) };
        assert_eq!(millis_to_keep(&past), 10_000);
    }

    fn shifted(time: i64, by: i64) -> u64 {
        u64::try_from(time + by).unwrap()
    }

    fn answer(value: Value, time: impl TryInto<u64>, remembers_since: impl TryInto<u64>) -> Answer {
        let seconds = |time: Option<u64>| Duration::from_secs(time.unwrap());
        Answer {
            values: vec![value],
            time: seconds(time.try_into().ok()),
            remembers_since: seconds(remembers_since.try_into().ok()),
        }
    }

    fn proof(since: impl TryInto<u64>, now: u64) -> UsedProof {
        UsedProof {
            id: [1; 32],
            key: [2; 32],
            since: Duration::from_secs(since.try_into().ok().unwrap()),
            now: Duration::from_secs(now),
            until: Duration::from_secs(200),
        }
    }
}
