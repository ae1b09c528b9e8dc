//! The store of used proofs in Redis, with a server on loopback: times, memory, and the CPU time of both sides.
//!
//! `cargo run --release -p oauth2-actix-bench --features redis --bin redis [SECONDS]`

// A measuring program panics where its own assumptions fail.
#![allow(clippy::unwrap_used)]

use std::{
    env, fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use oauth2_actix::{
    dpop::{Insertion, RedisReplayStore, ReplayStore, UsedProof},
    store::RedisServer,
};
use oauth2_actix_bench::{report::Report, statistics};
use oauth2_actix_tests::{redis_server::Server, wait};
use tokio::time::interval;

fn main() -> ExitCode {
    let seconds = env::args().nth(1).map_or(60, |seconds| seconds.parse().unwrap());
    let mut report = Report::default();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(run(&mut report, Duration::from_secs(seconds)));
    report.end()
}

async fn run(report: &mut Report, duration: Duration) {
    let server = Server::start();
    server.remember_long();
    let mut proofs = 0;

    report.heading("one proof after the other");
    let store = connect(&server.url()).await;
    let mut times = one_by_one(&store, &mut proofs, 20_000).await;
    report.times(&mut times);

    report.heading(format_args!("{RATE} proofs/s for {} s", duration.as_secs()));
    let before = Usage::of(&server);
    let (mut times, count) = at_rate(&store, &mut proofs, duration).await;
    Usage::of(&server).show_since(report, &before, count);
    let reached = count as f64 / duration.as_secs_f64();
    report.bound(
        "fresh proofs",
        format_args!("{reached:.0}/s"),
        format_args!("at least {}/s", RATE * 99 / 100),
        reached >= (RATE * 99 / 100) as f64,
    );
    report.times(&mut times);

    report.heading("256 proofs in progress at any time");
    let before = Usage::of(&server);
    let start = Instant::now();
    let (mut times, count) = in_parallel(&store, &mut proofs, 256, Duration::from_secs(10)).await;
    let rate = count as f64 / start.elapsed().as_secs_f64();
    report.figure("fresh proofs", format_args!("{rate:.0}/s"));
    Usage::of(&server).show_since(report, &before, count);
    report.times(&mut times);

    report.heading("a network of 0.5 ms in each direction");
    let slow = connect(&format!("redis://127.0.0.1:{}", proxy(server.port))).await;
    let mut times = one_by_one(&slow, &mut proofs, 2_000).await;
    report.times(&mut times);
    let ten = duration.min(Duration::from_secs(10));
    let (mut times, count) = at_rate(&slow, &mut proofs, ten).await;
    report.figure(format_args!("proofs in {} s, at {RATE}/s", ten.as_secs()), count);
    report.times(&mut times);

    report.heading("memory of Redis");
    let keys: u64 = server.run(&["DBSIZE"]).parse().unwrap();
    let used = info(&server, "memory", "used_memory");
    server.run(&["FLUSHALL"]);
    let empty = info(&server, "memory", "used_memory");
    report.figure("keys", keys);
    report.figure("each", format_args!("{:.0} bytes", (used - empty) / keys as f64));
}

/// A store whose server is connected.
async fn connect(url: &str) -> RedisReplayStore {
    let connection = RedisServer::new(url).connect().unwrap();
    wait::until("the connection", || connection.is_ready()).await;
    RedisReplayStore::new(&connection)
}

async fn one_by_one(store: &RedisReplayStore, proofs: &mut u64, count: usize) -> Vec<Duration> {
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        times.push(insert(store, next(proofs)).await.unwrap());
    }
    times
}

/// Sends proofs at [`RATE`], whether or not earlier ones were answered. Returns the times of those that were fresh.
async fn at_rate(
    store: &RedisReplayStore,
    proofs: &mut u64,
    duration: Duration,
) -> (Vec<Duration>, usize) {
    let times = Arc::new(Mutex::new(Vec::new()));
    let mut ticks = interval(Duration::from_millis(1));
    let mut tasks = Vec::new();
    for _ in 0..duration.as_millis() {
        ticks.tick().await;
        for _ in 0..RATE / 1000 {
            let (store, times, proof) = (store.clone(), Arc::clone(&times), next(proofs));
            tasks.push(tokio::spawn(async move {
                let time = insert(&store, proof).await;
                times.lock().unwrap().extend(time);
            }));
        }
    }
    for task in tasks {
        task.await.unwrap();
    }
    let times = std::mem::take(&mut *times.lock().unwrap());
    let count = times.len();
    (times, count)
}

async fn in_parallel(
    store: &RedisReplayStore,
    proofs: &mut u64,
    clients: usize,
    duration: Duration,
) -> (Vec<Duration>, usize) {
    let end = Instant::now() + duration;
    let mut tasks = Vec::new();
    for client in 0..clients as u64 {
        let store = store.clone();
        let mut own = *proofs + client * 1_000_000;
        tasks.push(tokio::spawn(async move {
            let mut times = Vec::new();
            while Instant::now() < end {
                times.extend(insert(&store, next(&mut own)).await);
            }
            times
        }));
    }
    *proofs += clients as u64 * 1_000_000;
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.unwrap());
    }
    let count = times.len();
    (times, count)
}

/// Returns the time until the answer, if the proof was fresh.
async fn insert(store: &RedisReplayStore, proof: UsedProof) -> Option<Duration> {
    let start = Instant::now();
    match store.insert_once(proof).await {
        Insertion::Fresh => Some(start.elapsed()),
        Insertion::Seen => panic!("the proofs differ"),
        _ => None,
    }
}

fn next(proofs: &mut u64) -> UsedProof {
    *proofs += 1;
    let mut id = [0; 32];
    // Spreads the numbers over all buckets.
    id[..8].copy_from_slice(&proofs.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
    id[8..16].copy_from_slice(&proofs.to_be_bytes());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    UsedProof::new(id, [7; 32], now..now + Duration::from_secs(300), now)
}

/// The CPU time of the server, and of the thread of the connection.
struct Usage {
    redis: f64,
    thread: f64,
}

impl Usage {
    fn of(server: &Server) -> Self {
        let redis = info(server, "cpu", "used_cpu_user") + info(server, "cpu", "used_cpu_sys");
        let threads = fs::read_dir("/proc/self/task").unwrap();
        let paths: Vec<PathBuf> = threads.map(|thread| thread.unwrap().path()).collect();
        let is_own = |path: &&PathBuf| {
            fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim() == "oauth2-redis")
        };
        let times = paths.iter().filter(is_own).map(|path| statistics::cpu_time(path).unwrap());
        Self { redis, thread: times.sum::<Duration>().as_secs_f64() }
    }

    fn show_since(&self, report: &Report, before: &Self, proofs: usize) {
        for (what, seconds) in [
            ("CPU time of Redis", self.redis - before.redis),
            ("CPU time of the thread of the connection", self.thread - before.thread),
        ] {
            let each = seconds / proofs as f64 * 1e6;
            report.figure(what, format_args!("{each:.1} us for each proof"));
        }
    }
}

fn info(server: &Server, section: &str, field: &str) -> f64 {
    let text = server.run(&["INFO", section]);
    let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    value.unwrap().trim().parse().unwrap()
}

/// Starts a proxy that delays both directions. Returns its port. Its threads sleep more exactly than tokio's timers.
fn proxy(port: u16) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let own = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
            client.set_nodelay(true).unwrap();
            server.set_nodelay(true).unwrap();
            delay(client.try_clone().unwrap(), server.try_clone().unwrap());
            delay(server, client);
        }
    });
    own
}

fn delay(mut from: TcpStream, mut to: TcpStream) {
    let (sender, delayed) = mpsc::channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        let mut buffer = vec![0; 65_536];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            if sender.send((Instant::now() + DELAY, buffer[..count].to_vec())).is_err() {
                return;
            }
        }
    });
    thread::spawn(move || {
        for (due, bytes) in delayed {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                return;
            }
        }
    });
}

/// Proofs in a second.
const RATE: usize = 5_000;
const DELAY: Duration = Duration::from_micros(500);
