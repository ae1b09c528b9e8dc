//! A key server that sends scripted responses, byte by byte: also those that no valid server sends.

use std::{
    collections::HashMap,
    fmt,
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::Value;

/// A key server on loopback that sends scripted responses and counts requests.
///
/// ```
/// use oauth2_actix_tests::key_server::{Answer, KeyServer};
///
/// let server = KeyServer::start(Answer::status(500))?;
/// server.answer(Answer::json(&serde_json::json!({"keys": []})));
/// assert_eq!(server.requests(), 0);
///
/// // An identity provider with a metadata document.
/// let issuer = server.url_of("");
/// server.answer_at(
///     "/.well-known/openid-configuration",
///     Answer::json(&serde_json::json!({"issuer": issuer, "jwks_uri": server.url()})),
/// );
/// assert_eq!(server.requests_at("/.well-known/openid-configuration"), 0);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct KeyServer {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    script: Mutex<Script>,
    requests: AtomicU64,
    stopped: AtomicBool,
}

/// The responses by path, and the requests so far.
struct Script {
    anywhere: Answer,
    at: HashMap<String, Answer>,
    requested: HashMap<String, u64>,
    last: String,
}

impl KeyServer {
    /// Starts a server that responds with this answer until it is replaced.
    ///
    /// # Errors
    ///
    /// If there is no port or no thread.
    pub fn start(answer: Answer) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            script: Mutex::new(Script {
                anywhere: answer,
                at: HashMap::new(),
                requested: HashMap::new(),
                last: String::new(),
            }),
            requests: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
        });
        let shared = Arc::clone(&state);
        std::thread::Builder::new().name("key-server".into()).spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || shared.serve(stream));
            }
        })?;
        Ok(Self { address, state })
    }

    /// Returns the URL of its key document.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of("/jwks.json")
    }

    /// Returns the URL of a path on it.
    #[must_use]
    pub fn url_of(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Sets the answer for all paths that [`KeyServer::answer_at`] does not set.
    pub fn answer(&self, answer: Answer) {
        self.state.script().anywhere = answer;
    }

    /// Sets the answer for this path.
    pub fn answer_at(&self, path: &str, answer: Answer) {
        self.state.script().at.insert(path.to_owned(), answer);
    }

    /// Returns the number of requests for this path, with any query.
    #[must_use]
    pub fn requests_at(&self, path: &str) -> u64 {
        self.state.script().requested.get(path).copied().unwrap_or_default()
    }

    /// Returns the request line, headers and body of the last request, or an empty text before the first.
    #[must_use]
    pub fn last_request(&self) -> String {
        self.state.script().last.clone()
    }

    /// Returns the number of requests.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.state.requests.load(Ordering::SeqCst)
    }

    /// Waits for this many requests, for at most a minute.
    ///
    /// # Panics
    ///
    /// If there are fewer by then.
    pub fn wait_for_requests(&self, count: u64) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.requests() < count {
            assert!(Instant::now() < deadline, "{} of {count} requests", self.requests());
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for KeyServer {
    fn drop(&mut self) {
        self.state.stopped.store(true, Ordering::SeqCst);
        // Wakes the listening thread.
        let _ = TcpStream::connect(self.address);
    }
}

impl fmt::Debug for KeyServer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "KeyServer({}, {} requests)", self.address, self.requests())
    }
}

impl State {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, mut stream: TcpStream) {
        let _ = stream.set_read_timeout(Some(PATIENCE));
        let Some(path) = waiting_path(&stream) else { return };
        let answer = {
            let script = self.script();
            script.at.get(&path).unwrap_or(&script.anywhere).clone()
        };
        let mut head = Vec::new();
        let mut buffer = [0; 1024];
        // Closing a connection with an unread request resets it.
        while !answer.resets && !head.windows(4).any(|window| window == b"\r\n\r\n") {
            match stream.read(&mut buffer) {
                Ok(0) | Err(_) => return,
                Ok(count) => head.extend_from_slice(&buffer[..count]),
            }
        }
        // A request with a body has it in the log too, after the headers.
        while !answer.resets && missing_body(&head) > 0 {
            match stream.read(&mut buffer) {
                Ok(0) | Err(_) => return,
                Ok(count) => head.extend_from_slice(&buffer[..count]),
            }
        }
        {
            let mut script = self.script();
            *script.requested.entry(path).or_default() += 1;
            script.last = String::from_utf8_lossy(&head).into_owned();
        }
        self.requests.fetch_add(1, Ordering::SeqCst);
        if answer.resets {
            return;
        }
        if let Some(gate) = &answer.held {
            gate.wait();
        }
        if answer.hangs {
            // Waits until the client closes the connection.
            let _ = stream.read(&mut buffer);
            return;
        }
        let _ = match answer.drip {
            None => stream.write_all(&answer.bytes),
            Some(pause) => answer.bytes.iter().try_for_each(|byte| {
                std::thread::sleep(pause);
                stream.write_all(&[*byte])
            }),
        };
    }
}

/// Returns how many bytes of the request's body were not read, by its `Content-Length`.
pub(crate) fn missing_body(read: &[u8]) -> usize {
    let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") else { return 0 };
    let head = String::from_utf8_lossy(&read[..end]).to_ascii_lowercase();
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    length.unwrap_or(0_usize).saturating_sub(read.len() - end - 4)
}

/// Returns the path of the unread request, whose first line arrives in one piece.
fn waiting_path(stream: &TcpStream) -> Option<String> {
    let mut start = [0; 1024];
    let count = stream.peek(&mut start).ok().filter(|count| *count > 0)?;
    let start = String::from_utf8_lossy(&start[..count]);
    let target = start.split(' ').nth(1).unwrap_or_default();
    Some(target.split('?').next().unwrap_or_default().to_owned())
}

/// A response of a [`KeyServer`].
#[derive(Clone)]
pub struct Answer {
    bytes: Arc<[u8]>,
    drip: Option<Duration>,
    hangs: bool,
    resets: bool,
    held: Option<Arc<Gate>>,
}

impl Answer {
    /// Responds with 200 and a JSON document.
    #[must_use]
    pub fn json(document: &Value) -> Self {
        Self::body(200, &[("content-type", "application/json")], document.to_string().as_bytes())
    }

    /// Responds with a status and no body.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self::body(status, &[], b"")
    }

    /// Redirects to another URL.
    #[must_use]
    pub fn redirect(status: u16, location: &str) -> Self {
        Self::body(status, &[("location", location)], b"")
    }

    /// Responds with a status, headers, and a body with its length.
    #[must_use]
    pub fn body(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Self {
        let mut head = format!("HTTP/1.1 {status} Scripted\r\nconnection: close\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        Self::raw([head.as_bytes(), body].concat())
    }

    /// Sends exactly these bytes, and closes the connection.
    #[must_use]
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes: Vec<u8> = bytes.into();
        Self { bytes: bytes.into(), drip: None, hangs: false, resets: false, held: None }
    }

    /// Reads the request and never responds.
    #[must_use]
    pub fn hang() -> Self {
        Self { hangs: true, ..Self::raw("") }
    }

    /// Resets the connection without reading the request.
    #[must_use]
    pub fn reset() -> Self {
        Self { resets: true, ..Self::raw("") }
    }

    /// Sends this answer one byte at a time.
    #[must_use]
    pub fn dripping(mut self, pause: Duration) -> Self {
        self.drip = Some(pause);
        self
    }

    /// Cuts this answer off after this many bytes.
    #[must_use]
    pub fn truncated(self, length: usize) -> Self {
        Self { bytes: self.bytes[..length.min(self.bytes.len())].into(), ..self }
    }

    /// Holds this answer until it is released (or for 30 s).
    #[must_use]
    pub fn held(mut self) -> (Self, Release) {
        let gate = Arc::new(Gate::default());
        self.held = Some(Arc::clone(&gate));
        (self, Release(gate))
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Answer({} bytes)", self.bytes.len())
    }
}

/// Releases a held [`Answer`] when it is dropped.
#[derive(Debug)]
pub struct Release(Arc<Gate>);

impl Release {
    /// Releases the answer.
    pub fn release(self) {}
}

impl Drop for Release {
    fn drop(&mut self) {
        *self.0.open.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.opened.notify_all();
    }
}

#[derive(Debug, Default)]
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn wait(&self) {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.opened.wait_timeout_while(open, PATIENCE, |open| !*open));
    }
}

const PATIENCE: Duration = Duration::from_secs(30);
