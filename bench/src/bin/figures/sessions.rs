//! 5,000 WebSocket sessions whose tokens expire in the same second. Each must be closed in time, with the
//! reason, and leave nothing in the server, which is a process of its own.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write, stdin, stdout},
    net::SocketAddr,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, rt, web};
use futures_util::future::join_all;
use oauth2_actix::{
    Algorithm, Claims, OAuth2, TokenCacheConfig, requirement,
    testing::{LocalServer, SigningKey, Token},
    ws,
};
use oauth2_actix_bench as kit;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::Runtime,
    sync::Semaphore,
    task::JoinHandle,
    time::timeout,
};

use crate::{
    api::{AUDIENCE, ISSUER},
    memory::resident_of,
    report::Report,
};

pub(crate) fn run(report: &mut Report, _: &[String]) {
    raise_limit();
    let key = SigningKey::generate(Algorithm::EdDSA, "key-1");
    let mut server = Server::start(&key);
    let runtime = Runtime::new().unwrap();
    let before = server.state();
    report.heading(format_args!(
        "{COUNT} sessions of actix-ws alone, behind the same policy, left by their clients"
    ));
    let clients = Clients::open(report, &runtime, &key, &mut server, "/plain");
    let plain = clients.each;
    clients.leave(&runtime);
    let mut first = cleared(report, &mut server, &before);
    for number in 1..=ROUNDS {
        report.heading(format_args!("round {number}: {COUNT} sessions, leeway 0, two workers"));
        let clients = Clients::open(report, &runtime, &key, &mut server, "/");
        report.figure(
            "of these, more than actix-ws alone",
            format_args!("{:.1} KiB", clients.each - plain),
        );
        clients.wait_for_close(report, &runtime);
        let after = cleared(report, &mut server, &before);
        if number == 1 {
            first = after;
            continue;
        }
        let growth = after.resident as f64 / first.resident as f64;
        report.bound(
            "against the first round",
            format_args!("{growth:.3}"),
            "at most 1.05",
            growth <= 1.05,
        );
    }
    report.heading("the server, before the first session and after the last");
    report.figure("resident before", &before);
    let kept = (first.resident as f64 - before.resident as f64) / 1024.0;
    report.bound(
        "kept",
        format_args!("{kept:.1} MiB"),
        format_args!("at most {MOST_KEPT_MIB} MiB"),
        kept <= MOST_KEPT_MIB,
    );
}

/// Reports what is left after all sessions have ended. Memory is compared without the free memory of the
/// allocator, which depends on the busiest moment of each worker.
fn cleared(report: &mut Report, server: &mut Server, before: &State) -> State {
    let after = server.settled(before);
    report.bound(
        "threads, descriptors, handlers, timers, connections left",
        format_args!("{}, before {}", after.counts(), before.counts()),
        "as before",
        after.counts() == before.counts(),
    );
    report.figure("resident", &after);
    let trimmed = server.trimmed();
    report.figure("resident, without the free memory of the allocator", &trimmed);
    trimmed
}

/// Open sessions whose tokens expire at the same time.
struct Clients {
    tasks: Vec<JoinHandle<End>>,
    leave: Arc<Semaphore>,
    exp: u64,
    /// The memory of the server for each session, in KiB.
    each: f64,
}

impl Clients {
    fn open(
        report: &mut Report,
        runtime: &Runtime,
        key: &SigningKey,
        server: &mut Server,
        path: &str,
    ) -> Self {
        let before = server.state();
        let exp = since_epoch().as_secs() + LIFETIME;
        let token = Token::new(ISSUER, AUDIENCE).claim("exp", exp);
        let requests: Vec<String> = (0..COUNT)
            .map(|number| {
                handshake(path, &token.clone().claim("jti", number.to_string()).sign(key))
            })
            .collect();
        let start = Instant::now();
        let address = server.address;
        let gate = Arc::new(Semaphore::new(AT_ONCE));
        let leave = Arc::new(Semaphore::new(0));
        let opened = Arc::new(AtomicUsize::new(0));
        let tasks = requests
            .into_iter()
            .map(|request| {
                let (gate, opened, leave) = (gate.clone(), opened.clone(), leave.clone());
                runtime.spawn(client(address, request, gate, opened, leave))
            })
            .collect();
        while opened.load(Ordering::SeqCst) < COUNT {
            assert!(since_epoch().as_secs() < exp, "expected all sessions to be open before `exp`");
            thread::sleep(Duration::from_millis(5));
        }
        report.figure("all are open after", format_args!("{:.2} s", start.elapsed().as_secs_f64()));
        let open = server.state();
        report.figure("resident while they are open", &open);
        let each = (open.resident as f64 - before.resident as f64) / COUNT as f64;
        report.figure("for each", format_args!("{each:.1} KiB"));
        Self { tasks, leave, exp, each }
    }

    /// Closes all connections without a close frame.
    fn leave(self, runtime: &Runtime) {
        self.leave.close();
        runtime.block_on(join_all(self.tasks));
    }

    /// Waits until the server has closed all sessions.
    fn wait_for_close(self, report: &mut Report, runtime: &Runtime) {
        let Self { tasks, exp, .. } = self;
        let ends: Vec<End> = runtime.block_on(async {
            let ends = timeout(Duration::from_secs(LIFETIME + 20), join_all(tasks)).await;
            ends.expect("all are closed").into_iter().map(Result::unwrap).collect()
        });
        let expired = ends.iter().filter(|end| end.frame == TOKEN_EXPIRED).count();
        report.bound("closed with 1008 `token expired`", expired, "all", expired == COUNT);
        let mut times: Vec<f64> =
            ends.iter().map(|end| end.closed_at.as_secs_f64() - exp as f64).collect();
        times.sort_by(f64::total_cmp);
        let (first, median, last) = (times[0], times[COUNT / 2], times[COUNT - 1]);
        report.bound(
            "first close, after `exp`",
            format_args!("{first:.3} s"),
            "not before",
            first >= 0.0,
        );
        report.figure("median close, after `exp`", format_args!("{median:.3} s"));
        report.bound(
            "last close, after `exp`",
            format_args!("{last:.3} s"),
            "at most 2 s",
            last <= 2.0,
        );
    }
}

/// The end of a session, as its client saw it.
struct End {
    frame: Vec<u8>,
    closed_at: Duration,
}

/// Opens a session, reads its close frame and answers it, or leaves when `leave` is closed.
async fn client(
    address: SocketAddr,
    request: String,
    gate: Arc<Semaphore>,
    opened: Arc<AtomicUsize>,
    leave: Arc<Semaphore>,
) -> End {
    let permit = gate.acquire().await.unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    drop(head);
    drop(permit);
    opened.fetch_add(1, Ordering::SeqCst);
    let mut frame = vec![0; TOKEN_EXPIRED.len()];
    let count = tokio::select! {
        count = stream.read(&mut frame) => count.unwrap(),
        _ = leave.acquire() => 0,
    };
    let closed_at = since_epoch();
    frame.truncate(count);
    if frame.is_empty() {
        return End { frame, closed_at };
    }
    // Masked with zeros: 1008 as well.
    let _ = stream.write_all(b"\x88\x82\0\0\0\0\x03\xf0").await;
    let _ = stream.read_to_end(&mut frame).await;
    End { frame, closed_at }
}

fn handshake(path: &str, token: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: api\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Authorization: Bearer {token}\r\n\r\n"
    )
}

/// The child process with the server.
struct Server {
    child: Child,
    stdin: ChildStdin,
    answers: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl Server {
    fn start(key: &SigningKey) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args([CHILD, &key.jwk_set().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let mut answers = BufReader::new(child.stdout.take().unwrap());
        let address = line(&mut answers).parse().unwrap();
        // All threads exist once a request was answered.
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
        let mut server = Self { child, stdin, answers, address };
        while server.state().connections > 0 {
            thread::yield_now();
        }
        server
    }

    fn command(&mut self, command: &str) -> String {
        writeln!(self.stdin, "{command}").unwrap();
        line(&mut self.answers)
    }

    fn state(&mut self) -> State {
        let answer = self.command("state");
        let [handlers, ends, connections] = answer
            .split(' ')
            .map(|word| word.parse().unwrap())
            .collect::<Vec<usize>>()
            .try_into()
            .unwrap();
        let process = self.child.id().to_string();
        let count = |what: &str| fs::read_dir(format!("/proc/{process}/{what}")).unwrap().count();
        State {
            threads: count("task"),
            descriptors: count("fd"),
            handlers,
            ends,
            connections,
            resident: resident_of(&process),
        }
    }

    /// Returns the state once its counts are as before, or after 10 s.
    fn settled(&mut self, before: &State) -> State {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let state = self.state();
            if state.counts() == before.counts() || Instant::now() > deadline {
                return state;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Returns the state after the allocator has returned its free memory to the system.
    fn trimmed(&mut self) -> State {
        self.command("trim");
        self.state()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn line(from: &mut impl BufRead) -> String {
    let mut line = String::new();
    from.read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

/// The resources of the server's process.
struct State {
    threads: usize,
    descriptors: usize,
    /// The tasks of handlers.
    handlers: usize,
    /// The requirements of sessions, which are owned by the task and timer that wait for the end of the
    /// token.
    ends: usize,
    connections: usize,
    /// KiB of memory.
    resident: u64,
}

impl State {
    fn counts(&self) -> String {
        let Self { threads, descriptors, handlers, ends, connections, .. } = self;
        format!("{threads} {descriptors} {handlers} {ends} {connections}")
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:.1} MiB", self.resident as f64 / 1024.0)
    }
}

/// Increments a counter for as long as it lives.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[derive(Clone, Default)]
struct Counts {
    handlers: Arc<AtomicUsize>,
    ends: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
}

/// Reads messages until the session ends.
async fn session(
    request: HttpRequest,
    body: web::Payload,
    counts: web::Data<Counts>,
) -> actix_web::Result<HttpResponse> {
    // The state of the session owns its requirements.
    let end = Counted::new(&counts.ends);
    let (response, session, mut messages) = ws::upgrade(&request, body)
        .require(requirement::predicate(move |_: &Claims| {
            let _ = &end;
            true
        }))
        .start()?;
    let alive = Counted::new(&counts.handlers);
    rt::spawn(async move {
        let _alive = alive;
        let _session = session;
        while let Some(Ok(_)) = messages.recv().await {}
    });
    Ok(response)
}

/// The same with actix-ws alone, which does not end with the token.
async fn plain(
    request: HttpRequest,
    body: web::Payload,
    counts: web::Data<Counts>,
) -> actix_web::Result<HttpResponse> {
    let (response, session, mut messages) = actix_ws::handle(&request, body)?;
    let alive = Counted::new(&counts.handlers);
    rt::spawn(async move {
        let _alive = alive;
        let _session = session;
        while let Some(Ok(_)) = messages.recv().await {}
    });
    Ok(response)
}

/// Runs in the child process: starts the server, and answers commands until the input ends.
pub(crate) fn child(arguments: &[String]) {
    let [keys] = arguments else { panic!("KEYS") };
    raise_limit();
    let oauth2 = OAuth2::builder()
        .provider("idp", kit::provider(keys.as_str()))
        .leeway(Duration::ZERO)
        // Each token is sent once, and the memory of a cache would count as that of sessions.
        .token_cache(TokenCacheConfig::disabled())
        .build()
        .unwrap();
    let counts = Counts::default();
    let shared = counts.clone();
    let (started, start) = mpsc::channel();
    let server = LocalServer::start(move |listener| {
        let connections = Arc::clone(&shared.connections);
        let app = move || {
            let _ = started.send(());
            App::new()
                .wrap(oauth2.clone())
                .app_data(web::Data::new(shared.clone()))
                .route("/", web::get().to(session))
                .route("/plain", web::get().to(plain))
        };
        Ok(HttpServer::new(app)
            .workers(WORKERS)
            .on_connect(move |_, extensions| {
                extensions.insert(Counted::new(&connections));
            })
            .listen(listener)?
            .run())
    })
    .unwrap();
    // The state before the first session includes all workers.
    start.iter().take(WORKERS).for_each(drop);
    println!("{}", server.address());
    for command in stdin().lines() {
        match command.unwrap().as_str() {
            "trim" => {
                trim();
                println!("trimmed");
            }
            _ => {
                let [handlers, ends, connections] =
                    [&counts.handlers, &counts.ends, &counts.connections]
                        .map(|count| count.load(Ordering::SeqCst));
                println!("{handlers} {ends} {connections}");
            }
        }
        stdout().flush().unwrap();
    }
}

/// Returns the free memory of the allocator to the system.
fn trim() {
    #[cfg(target_env = "gnu")]
    {
        unsafe extern "C" {
            safe fn malloc_trim(pad: usize) -> std::ffi::c_int;
        }
        malloc_trim(0);
    }
}

/// Raises the limit of file descriptors as far as the system permits.
fn raise_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    assert!(
        maximum.is_none_or(|most| most > COUNT as u64 + 100),
        "{maximum:?} descriptors are too few for {COUNT} sessions"
    );
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

pub(crate) const CHILD: &str = "sessions-child";
const COUNT: usize = 5000;
const ROUNDS: usize = 2;
const WORKERS: usize = 2;
/// In seconds. All sessions must be opened within it.
const LIFETIME: u64 = 12;
/// The number of handshakes at the same time, below the server's backlog.
const AT_ONCE: usize = 100;
const TOKEN_EXPIRED: &[u8] = b"\x88\x0f\x03\xf0token expired";
const MOST_KEPT_MIB: f64 = 4.0;
