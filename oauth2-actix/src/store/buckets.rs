//! The keys of one store, and since when a server has lost none of them.
//!
//! The keys are in 64 buckets. All keys of a bucket have the same hash tag, so that a transaction on them is possible in a
//! Cluster. One key of each bucket, the *marker*, says which run of a server has its keys, and since when. A transaction
//! reads the marker with the keys: if it is missing or of another run, the server may have lost keys.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use redis::{Cmd, Pipeline, Value};
use tokio::sync::watch;

use crate::store::connection::{RedisConnection, Reserve, Unavailable};

/// The keys of one store.
#[derive(Clone, Debug)]
pub(crate) struct Buckets {
    connection: RedisConnection,
    store: Arc<str>,
}

/// One of the 64 parts of the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Bucket(u8);

/// The response to a transaction.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The responses to the commands of the store.
    pub(crate) values: Vec<Value>,
    /// The time of the server's clock, since the Unix epoch.
    pub(crate) time: Duration,
    /// The time of the server's clock since which it has lost no key of the bucket.
    pub(crate) remembers_since: Duration,
}

impl Buckets {
    /// Creates the store with this name, and lets each server write its markers when it is connected.
    pub(crate) fn new(connection: &RedisConnection, store: &str) -> Self {
        let store: Arc<str> = store.into();
        connection.register(Arc::clone(&store));
        Self { connection: connection.clone(), store }
    }

    /// Returns the key with this name in a bucket.
    pub(crate) fn key(&self, bucket: Bucket, name: &str) -> String {
        key(self.connection.key_prefix(), &self.store, bucket, name)
    }

    /// Returns the receiver of notices on a channel with the name of a key.
    pub(crate) fn subscribe(&self, bucket: Bucket, name: &str) -> watch::Receiver<()> {
        self.connection.subscribe(bucket, self.key(bucket, name))
    }

    /// Runs commands on keys of one bucket, as a transaction. They are sent before this returns.
    pub(crate) fn run(
        &self,
        bucket: Bucket,
        commands: Vec<Cmd>,
        reserve: Reserve,
    ) -> BoxFuture<'static, Result<Answer, Unavailable>> {
        // `Pipeline::atomic` cannot be used: it panics where a server refuses MULTI (redis 1.8.1).
        let mut pipeline = Pipeline::with_capacity(commands.len() + 4);
        pipeline.cmd("MULTI");
        for command in commands {
            pipeline.add_command(command);
        }
        pipeline.cmd("GET").arg(self.key(bucket, MARKER)).cmd("TIME").cmd("EXEC");
        match self.connection.submit(Arc::clone(&self.store), bucket, pipeline, reserve) {
            Err(unavailable) => std::future::ready(Err(unavailable)).boxed(),
            Ok(answer) => async { answer.await.unwrap_or(Err(Unavailable::Ended)) }.boxed(),
        }
    }
}

impl Bucket {
    /// Returns the bucket of a key whose hash begins with this byte.
    pub(crate) fn of(hash: u8) -> Self {
        Self(hash >> 2)
    }

    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..COUNT).map(Self)
    }

    pub(super) fn index(self) -> usize {
        self.0.into()
    }

    /// Returns the slot of its keys in a Cluster.
    pub(super) fn slot(self) -> u16 {
        slot(self.0.to_string().as_bytes())
    }
}

impl Answer {
    /// Reads the responses. Fails with [`Unavailable::Lost`] if the marker is not of this run of a server.
    pub(super) fn read(mut values: Vec<Value>, run_id: &str) -> Result<Self, Unavailable> {
        let unexpected = || Unavailable::Refused("a response of an unexpected form".into());
        let time = values.pop().and_then(|value| time(&value)).ok_or_else(unexpected)?;
        let remembers_since = match values.pop() {
            Some(Value::BulkString(marker)) => read_marker(&marker, run_id),
            Some(Value::Nil) => None,
            _ => return Err(unexpected()),
        };
        let remembers_since = remembers_since.ok_or(Unavailable::Lost)?;
        Ok(Self { values, time, remembers_since })
    }
}

/// Returns the command that writes the marker of a bucket, unless it exists. The response is whether it did.
pub(super) fn mark(prefix: &str, store: &str, bucket: Bucket, run_id: &str) -> Cmd {
    let mut command = redis::cmd("EVAL");
    command.arg(MARK).arg(1).arg(key(prefix, store, bucket, MARKER)).arg(format!("{run_id}:"));
    command
}

fn key(prefix: &str, store: &str, bucket: Bucket, name: &str) -> String {
    let mut key = String::with_capacity(prefix.len() + store.len() + name.len() + 7);
    // Writing to a string cannot fail.
    let _ = write!(key, "{prefix}:{store}:{{{}}}:{name}", bucket.0);
    key
}

/// Reads `RUN_ID:MILLISECONDS`.
fn read_marker(marker: &[u8], run_id: &str) -> Option<Duration> {
    let millis = std::str::from_utf8(marker).ok()?.strip_prefix(run_id)?.strip_prefix(':')?;
    Some(Duration::from_millis(millis.parse().ok()?))
}

/// Reads the response to `TIME`: seconds and microseconds.
fn time(value: &Value) -> Option<Duration> {
    let (seconds, micros): (u64, u32) = redis::from_redis_value_ref(value).ok()?;
    Some(Duration::new(seconds, micros.checked_mul(1000).filter(|nanos| *nanos < 1_000_000_000)?))
}

/// CRC-16/XMODEM, modulo the number of slots.
fn slot(hash_tag: &[u8]) -> u16 {
    let crc = hash_tag.iter().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    });
    crc % 16_384
}

pub(super) const COUNT: u8 = 64;
const MARKER: &str = "since";

/// A script is one step: no key can be lost between its clock and its write.
const MARK: &str = "local marker = redis.call('GET', KEYS[1]) \
                    if marker and string.sub(marker, 1, #ARGV[1]) == ARGV[1] then return 0 end \
                    local time = redis.call('TIME') \
                    local millis = time[1] .. string.format('%03d', math.floor(time[2] / 1000)) \
                    redis.call('SET', KEYS[1], ARGV[1] .. millis) \
                    return 1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(slot(b"123456789"), 0x31C3);
        assert_eq!(slot(b"foo"), 12_182);
        assert_eq!(slot(b""), 0);
    }

    #[test]
    fn buckets_are_the_first_six_bits() {
        assert_eq!(Bucket::of(0), Bucket(0));
        assert_eq!(Bucket::of(3), Bucket(0));
        assert_eq!(Bucket::of(4), Bucket(1));
        assert_eq!(Bucket::of(255), Bucket(63));
        assert_eq!(key("p", "dpop", Bucket(7), "x"), "p:dpop:{7}:x");
    }

    #[test]
    fn responses_are_read_only_with_a_marker_of_the_run() {
        let time = || Value::Array(vec![bulk("12"), bulk("345678")]);
        let read = |values| Answer::read(values, "run");
        let answer = read(vec![Value::Okay, bulk("run:9001"), time()]).unwrap();
        assert_eq!(answer.values, [Value::Okay]);
        assert_eq!(answer.time, Duration::from_micros(12_345_678));
        assert_eq!(answer.remembers_since, Duration::from_millis(9001));
        for marker in
            [Value::Nil, bulk("other:9001"), bulk("run9001"), bulk("run:"), bulk("run:-1")]
        {
            let error = read(vec![Value::Okay, marker, time()]).unwrap_err();
            assert!(matches!(error, Unavailable::Lost), "{error}");
        }
        for values in [
            vec![],
            vec![time()],
            vec![Value::Okay, Value::Int(1), time()],
            vec![Value::Okay, bulk("run:9001"), Value::Nil],
            vec![Value::Okay, bulk("run:9001"), Value::Array(vec![bulk("12"), bulk("1000000")])],
        ] {
            let error = read(values).unwrap_err();
            assert!(matches!(error, Unavailable::Refused(_)), "{error}");
        }
    }

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.into())
    }
}
