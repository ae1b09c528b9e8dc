//! The deny list that the processes of an API share through Redis.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{FutureExt, future::BoxFuture};
use redis::Value;
use tokio::{sync::watch, time::sleep};

use super::{
    entry::RevocationEntry,
    store::{LoadedEntries, RevocationStore, StoreError},
};
use crate::store::{
    RedisConnection,
    buckets::{Answer, Bucket, Buckets},
    connection::{Reserve, Unavailable},
};

/// A [`RevocationStore`] in Redis. An entry that one process adds reaches every other within a second: by a notice, or by the
/// load that each process makes every 500 ms.
///
/// A load without new entries is one round trip. Loads also write, at least once a second, so a master that has lost its
/// replicas refuses them if `min-replicas-to-write` is set. An entry takes about 400 bytes of Redis, until 5 minutes after
/// its end. An entry that another one covers is removed, and [`add`](RevocationStore::add) fails above twice
/// [`max_entries`](super::DenyList::max_entries). Redis stores hashes, and no claims.
///
/// Redis may be restarted, and may lose its data. Each process detects that the server or its data has changed, loads all
/// entries again, and adds those that are missing. Only an entry that no running process has is lost. While Redis cannot be
/// reached, [`DenyList::when_unavailable`](super::DenyList::when_unavailable) says what happens.
///
/// ```
/// use oauth2_actix::{revocation::{DenyList, RedisRevocationStore}, store::RedisServer};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let redis = RedisServer::new("redis://127.0.0.1:6379").connect()?;
/// let deny_list = DenyList::with_store(RedisRevocationStore::new(&redis));
/// # drop(deny_list);
/// # Ok(())
/// # }
/// ```
///
/// # What Redis needs
///
/// - Redis 5 or later, or Valkey. Its user needs the commands `INFO`, `EVAL`, `MULTI`, `EXEC`, `GET`, `SET`, `INCR`, `ZADD`,
///   `ZREM`, `ZSCORE`, `ZCARD`, `ZRANGE`, `ZRANGEBYSCORE`, `HGET`, `HSET`, `HDEL`, `PEXPIREAT`, `TIME`, `PING` and, in a
///   Cluster, `CLUSTER SLOTS`, and the keys that begin with the [prefix](crate::store::RedisServer::key_prefix). For notices also `PUBLISH` and `SUBSCRIBE`, and the channels that begin
///   with it; without them, entries arrive by the next load.
/// - `maxmemory-policy noeviction`, if `maxmemory` is set.
/// - Persistence, if Redis and all processes may end at the same time. With replicas, `min-replicas-to-write 1`, and
///   `min-replicas-max-lag` as short as a revoked token may be accepted after a network partition.
/// - A clock that differs by less than 5 minutes from those of the processes.
#[derive(Clone, Debug)]
pub struct RedisRevocationStore {
    buckets: Buckets,
    changed: watch::Receiver<()>,
    /// The maximum number of entries.
    max_rows: Arc<AtomicUsize>,
    /// When the last write of a load began that the server has confirmed.
    written_at: Arc<Mutex<Option<Instant>>>,
}

impl RedisRevocationStore {
    /// Creates a store that uses this connection, and a second connection for notices. It does not wait for either.
    #[must_use]
    pub fn new(connection: &RedisConnection) -> Self {
        let buckets = Buckets::new(connection, "revoked");
        let changed = buckets.subscribe(bucket(), CHANNEL);
        let max_rows = Arc::new(AtomicUsize::new(DEFAULT_MAX_ROWS));
        Self { buckets, changed, max_rows, written_at: Arc::default() }
    }

    fn key(&self, name: &str) -> String {
        self.buckets.key(bucket(), name)
    }

    async fn append(self, entry: RevocationEntry) -> Result<(), StoreError> {
        let mut command = redis::cmd("EVAL");
        command.arg(ADD).arg(4).arg(self.key(LOG)).arg(self.key(ENDS)).arg(self.key(NUMBER));
        command.arg(self.key(BY_HASH));
        let until = u64::try_from(entry.until().as_millis()).unwrap_or(u64::MAX);
        command.arg(&entry.to_bytes()).arg(until).arg(MILLIS_TO_KEEP).arg(self.key(CHANNEL));
        let max_rows = self.max_rows.load(Ordering::Relaxed);
        let answer = self.run_writing(command.arg(max_rows), Reserve::Additions).await?;
        match answer.values.as_slice() {
            [Value::Int(-1)] => Err(format!(
                "the deny list in Redis is full; expected at most {max_rows} entries, twice max_entries"
            )
            .into()),
            [Value::Int(_)] => Ok(()),
            _ => Err(unexpected()),
        }
    }

    /// Loads a page of the entries after a position. `None` begins with the first one.
    async fn read(self, after: Option<Position>) -> Result<LoadedEntries, StoreError> {
        let mut after = after;
        loop {
            let page = self.read_page(after.map_or(0, |position| position.number)).await?;
            if let Some(before) = after
                && (before.remembers_since != page.position.remembers_since
                    || page.last < before.number)
            {
                // Another server, or one that has lost keys: numbers may have been used again.
                after = None;
                continue;
            }
            let has_more = page.entries.len() >= PAGE;
            let end = if has_more { page.position.number } else { page.last };
            let end = Position { number: end, ..page.position }.to_bytes();
            let loaded = match after {
                None => LoadedEntries::all(page.entries, end),
                Some(_) => LoadedEntries::later(page.entries, end),
            };
            return Ok(if has_more { loaded.with_more() } else { loaded });
        }
    }

    async fn read_page(&self, after: u64) -> Result<Page, StoreError> {
        let mut command = redis::cmd("EVAL");
        command.arg(READ).arg(2).arg(self.key(LOG)).arg(self.key(NUMBER)).arg(after).arg(PAGE);
        Page::read(&self.run_reading(&command).await?).ok_or_else(unexpected)
    }

    /// Runs a script that only reads, at least twice a second with a write in the same transaction. A master without replicas
    /// refuses the write if `min-replicas-to-write` is set. A process that reaches only this master must not treat the list
    /// as fresh.
    async fn run_reading(&self, script: &redis::Cmd) -> Result<Answer, StoreError> {
        let begun = Instant::now();
        let last = *self.written_at.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| begun.saturating_duration_since(last) < WRITE_INTERVAL) {
            return self.run(vec![script.clone()], Reserve::Loads).await;
        }
        let answer = self.run_writing(script, Reserve::Loads).await?;
        *self.written_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(begun);
        Ok(answer)
    }

    /// Runs a script with a write in the same transaction. Versions before 7 do not apply `min-replicas-to-write` to writes
    /// of a script.
    async fn run_writing(
        &self,
        script: &redis::Cmd,
        reserve: Reserve,
    ) -> Result<Answer, StoreError> {
        let mut write = redis::cmd("SET");
        write.arg(self.key(BEAT)).arg("").arg("PX").arg(MILLIS_TO_KEEP);
        let mut answer = self.run(vec![write, script.clone()], reserve).await?;
        // The response to the write.
        answer.values.drain(..answer.values.len().min(1));
        Ok(answer)
    }

    /// Runs a transaction. It is run again if the server is a new one, whose marker is being written.
    async fn run(&self, commands: Vec<redis::Cmd>, reserve: Reserve) -> Result<Answer, StoreError> {
        let mut attempts = 0;
        loop {
            match self.buckets.run(bucket(), commands.clone(), reserve).await {
                Err(Unavailable::Lost) if attempts < MAX_RETRIES => {
                    attempts += 1;
                    sleep(RETRY_AFTER).await;
                }
                answer => return answer.map_err(Into::into),
            }
        }
    }
}

impl RevocationStore for RedisRevocationStore {
    fn add(&self, entry: RevocationEntry) -> BoxFuture<'static, Result<(), StoreError>> {
        self.clone().append(entry).boxed()
    }

    fn load(&self, after: Option<&[u8]>) -> BoxFuture<'static, Result<LoadedEntries, StoreError>> {
        self.clone().read(after.and_then(Position::from_bytes)).boxed()
    }

    fn set_max_entries(&self, max_entries: usize) {
        self.max_rows.store(max_entries.saturating_mul(2), Ordering::Relaxed);
    }

    fn changed(&self) -> BoxFuture<'static, ()> {
        let mut changed = self.changed.clone();
        // Only later changes.
        changed.mark_unchanged();
        async move {
            if changed.changed().await.is_err() {
                // The thread of the connection has ended.
                std::future::pending::<()>().await;
            }
        }
        .boxed()
    }
}

/// Up to where the entries were loaded, and from which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    /// Since when the server has lost nothing, in milliseconds of its clock.
    remembers_since: u64,
    /// The number of the last entry.
    number: u64,
}

impl Position {
    fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.remembers_since.to_be_bytes());
        bytes[8..].copy_from_slice(&self.number.to_be_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (remembers_since, number) = bytes.split_first_chunk()?;
        Some(Self {
            remembers_since: u64::from_be_bytes(*remembers_since),
            number: u64::from_be_bytes(number.try_into().ok()?),
        })
    }
}

/// Some entries, in the order of their numbers.
#[derive(Debug)]
struct Page {
    entries: Vec<RevocationEntry>,
    /// The position after them.
    position: Position,
    /// The number of the last entry of the server.
    last: u64,
}

impl Page {
    fn read(answer: &Answer) -> Option<Self> {
        let [Value::Array(parts)] = answer.values.as_slice() else { return None };
        let [last, pairs] = parts.as_slice() else { return None };
        let (last, pairs): (u64, Vec<(Vec<u8>, u64)>) =
            (redis::from_redis_value_ref(last).ok()?, redis::from_redis_value_ref(pairs).ok()?);
        let number = pairs.last().map_or(last, |(_, number)| *number);
        let entries = pairs.iter().map(|(entry, _)| RevocationEntry::from_bytes(entry));
        let remembers_since = u64::try_from(answer.remembers_since.as_millis()).ok()?;
        Some(Self {
            entries: entries.collect::<Option<_>>()?,
            position: Position { remembers_since, number },
            last,
        })
    }
}

/// All keys are in one bucket. So a script can use them together.
fn bucket() -> Bucket {
    Bucket::of(0)
}

fn unexpected() -> StoreError {
    Arc::<str>::from("the response of Redis has an unexpected form").to_string().into()
}

/// The entries by number.
const LOG: &str = "entries";
/// The entries by end.
const ENDS: &str = "ends";
/// The times of the entries of each hash. A new entry replaces those that it covers.
const BY_HASH: &str = "hashes";
/// The number of the last entry. It never expires, so no number is used twice.
const NUMBER: &str = "number";
/// What loads write. Its value has no meaning.
const BEAT: &str = "beat";
/// The channel of notices.
const CHANNEL: &str = "added";

/// Adds an entry unless another one covers it, removes those that it covers and some that have expired, and notifies the
/// other processes. Returns -1 if there is no room. A script is one step.
///
/// The keys are the entries by number, the entries by end, the number of the last entry, and the entries by their hash. The
/// arguments are the entry, its end, the time to keep it, the channel, and the maximum number of entries. Times are compared
/// byte by byte, since numbers in Lua are not exact and the order of strings depends on the locale.
const ADD: &str = "\
    local function less(one, other) for i = 1, 8 do \
        local a, b = string.byte(one, i), string.byte(other, i) \
        if a ~= b then return a < b end end return false end \
    local function covers(one, other) \
        return not less(one, other) and not less(string.sub(one, 9), string.sub(other, 9)) end \
    local function remove(entry) \
        redis.call('ZREM', KEYS[1], entry) redis.call('ZREM', KEYS[2], entry) \
        local hash, times = string.sub(entry, 1, 24), string.sub(entry, 25) \
        local known, rest = redis.call('HGET', KEYS[4], hash) or '', '' \
        for i = 1, #known, 16 do local one = string.sub(known, i, i + 15) \
            if one ~= times then rest = rest .. one end end \
        if rest == '' then redis.call('HDEL', KEYS[4], hash) \
        elseif rest ~= known then redis.call('HSET', KEYS[4], hash, rest) end end \
    local time = redis.call('TIME') \
    local over = time[1] * 1000 - tonumber(ARGV[3]) \
    local old = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', over, 'LIMIT', 0, 1000) \
    for _, entry in ipairs(old) do remove(entry) end \
    local hash, times = string.sub(ARGV[1], 1, 24), string.sub(ARGV[1], 25) \
    local known, rest, covered = redis.call('HGET', KEYS[4], hash) or '', '', {} \
    for i = 1, #known, 16 do local one = string.sub(known, i, i + 15) \
        if covers(one, times) and redis.call('ZSCORE', KEYS[1], hash .. one) then return 0 end \
        if covers(times, one) then covered[#covered + 1] = hash .. one else rest = rest .. one end end \
    if redis.call('ZCARD', KEYS[1]) - #covered >= tonumber(ARGV[5]) then return -1 end \
    for _, entry in ipairs(covered) do \
        redis.call('ZREM', KEYS[1], entry) redis.call('ZREM', KEYS[2], entry) end \
    redis.call('ZADD', KEYS[1], redis.call('INCR', KEYS[3]), ARGV[1]) \
    redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1]) \
    redis.call('HSET', KEYS[4], hash, rest .. times) \
    local last = redis.call('ZRANGE', KEYS[2], -1, -1, 'WITHSCORES')[2] \
    local gone = string.format('%.0f', tonumber(last) + tonumber(ARGV[3])) \
    for _, key in ipairs({KEYS[1], KEYS[2], KEYS[4]}) do redis.call('PEXPIREAT', key, gone) end \
    redis.pcall('PUBLISH', ARGV[4], '') \
    return 1";

/// Returns the number of the last entry, and some of the entries after another number.
const READ: &str = "local after = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. ARGV[1], '+inf', \
                    'WITHSCORES', 'LIMIT', 0, ARGV[2]) \
                    return {redis.call('GET', KEYS[2]) or '0', after}";

/// How many entries are loaded at once. A response has 300 KB then.
const PAGE: usize = 5_000;

/// The maximum number of entries, if no list sets it.
const DEFAULT_MAX_ROWS: usize = 200_000;

/// How long an entry is kept after its end: more than the clocks differ.
const MILLIS_TO_KEEP: u64 = 5 * 60 * 1000;

/// The time after which a load writes again.
const WRITE_INTERVAL: Duration = Duration::from_millis(500);

const MAX_RETRIES: u32 = 5;
const RETRY_AFTER: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(last: &str, pairs: Vec<Value>) -> Answer {
        let bulk = |text: &str| Value::BulkString(text.into());
        Answer {
            values: vec![Value::Array(vec![bulk(last), Value::Array(pairs)])],
            time: Duration::from_secs(9),
            remembers_since: Duration::from_millis(7),
        }
    }

    #[test]
    fn position_is_the_same_after_it_was_bytes() {
        let position = Position { remembers_since: 1_800_000_000_123, number: 17 };
        assert_eq!(Position::from_bytes(&position.to_bytes()), Some(position));
        assert_eq!(Position::from_bytes(b"17"), None);
        assert_eq!(Position::from_bytes(&[0; 17]), None);
    }

    #[test]
    fn page_is_read_whole_or_not_at_all() {
        let entry = || Value::BulkString(vec![1; RevocationEntry::LENGTH]);
        let number = |text: &str| Value::BulkString(text.into());
        let page = Page::read(&answer("9", vec![entry(), number("5")])).unwrap();
        assert_eq!((page.entries.len(), page.last), (1, 9));
        assert_eq!(page.position, Position { remembers_since: 7, number: 5 });
        let empty = Page::read(&answer("9", vec![])).unwrap();
        assert_eq!(empty.position.number, 9);
        let short = Value::BulkString(vec![1; RevocationEntry::LENGTH - 1]);
        for pairs in [vec![short, number("5")], vec![entry()], vec![entry(), number("x")]] {
            assert!(Page::read(&answer("9", pairs)).is_none());
        }
        assert!(Page::read(&answer("x", vec![])).is_none());
        assert!(Page::read(&Answer { values: vec![Value::Nil], ..answer("9", vec![]) }).is_none());
    }
}
