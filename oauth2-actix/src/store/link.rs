//! One connection to one server.

use std::{
    cell::{Cell, RefCell},
    collections::HashSet,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, Cmd, ErrorKind, Pipeline, RedisError, Value, aio::MultiplexedConnection,
};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::watch,
    task::JoinHandle,
    time::timeout,
};

use crate::store::{
    address::{Access, Address, Endpoint},
    buckets::{self, Bucket},
    connection::RESERVED,
    server::Resolved,
};

/// A connection whose server is not known yet. It ends when this is dropped.
pub(super) struct Wire {
    connection: MultiplexedConnection,
    driver: JoinHandle<()>,
}

impl Wire {
    /// Connects and logs in. The caller limits the time.
    pub(super) async fn open(
        address: &Address,
        access: &Access,
        settings: &Resolved,
    ) -> Result<Self, Arc<str>> {
        let stream = connect(address, access, settings).await?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_pipeline_buffer_size(settings.max_waiting + RESERVED);
        let opened = MultiplexedConnection::new_with_config(&access.login, stream, config).await;
        let (connection, driver) = opened.map_err(|error| text(&error))?;
        let driver = tokio::task::spawn_local(driver);
        Ok(Self { connection, driver })
    }

    pub(super) async fn ask<T: redis::FromRedisValue>(
        &self,
        command: &Cmd,
    ) -> Result<T, RedisError> {
        command.query_async(&mut self.connection.clone()).await
    }

    /// Sends all commands at once. Fails if one of them does.
    async fn send(&self, commands: &Pipeline) -> Result<Vec<Value>, Failure> {
        let mut connection = self.connection.clone();
        let answers = connection.send_packed_commands(commands, 0, commands.len()).await?;
        first_error(&answers)?;
        Ok(answers)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// A stream to a server, with TLS or without.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Io for S {}

/// Opens a stream to a server. The caller limits the time.
pub(super) async fn connect(
    address: &Address,
    access: &Access,
    settings: &Resolved,
) -> Result<Box<dyn Io>, Arc<str>> {
    let stream = TcpStream::connect((address.host.as_str(), address.port)).await;
    let stream = stream.map_err(|error| error.to_string())?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let Some(tls) = settings.tls.as_ref().filter(|_| access.is_tls) else {
        return Ok(Box::new(stream));
    };
    let name = ServerName::try_from(address.host.clone());
    let name = name.map_err(|_| "TLS: the host is not the name of a server")?;
    let stream = tls.connect(name, stream).await.map_err(|error| format!("TLS: {error}"))?;
    Ok(Box::new(stream))
}

/// A connection to a master. One run of the server ends all its connections, so the run id applies to all responses.
pub(super) struct Link {
    wire: Wire,
    pub(super) endpoint: Endpoint,
    pub(super) run_id: String,
    /// The policy of a memory limit, if it lets Redis remove keys.
    pub(super) evicts_by: Option<String>,
    end: watch::Sender<Option<End>>,
    /// How many commands in a row have timed out.
    timeouts: Cell<u32>,
    has_worked: Cell<bool>,
    worked_since_check: Cell<bool>,
    /// The markers that are being written.
    marking: RefCell<HashSet<(Arc<str>, Bucket)>>,
}

/// Why a link can no longer be used.
#[derive(Clone, Debug)]
pub(super) enum End {
    /// The connection was closed, or the server is no longer the master.
    Closed(Arc<str>),
    /// The server does not respond.
    Silent(Arc<str>),
}

impl Link {
    /// Connects to a server, and checks that it is a master.
    pub(super) async fn open(endpoint: &Endpoint, settings: &Resolved) -> Result<Self, Arc<str>> {
        let wire = Wire::open(&endpoint.address, &endpoint.access, settings).await?;
        let mut info = String::new();
        for section in ["server", "replication", "memory"] {
            let mut command = redis::cmd("INFO");
            command.arg(section);
            let part: String = wire.ask(&command).await.map_err(|error| {
                format!("INFO, which tells whether the server was restarted: {}", text(&error))
            })?;
            info.push_str(&part);
            info.push('\n');
        }
        let run_id = field(&info, "run_id").filter(|id| !id.is_empty());
        let run_id =
            run_id.ok_or("INFO has no run_id, expected that of a Redis server")?.to_owned();
        if field(&info, "role") != Some("master") {
            return Err("the server is a replica, expected a master".into());
        }
        let policy = field(&info, "maxmemory_policy").filter(|policy| *policy != "noeviction");
        let is_limited = field(&info, "maxmemory").is_some_and(|bytes| bytes != "0");
        Ok(Self {
            evicts_by: policy.filter(|_| is_limited).map(str::to_owned),
            wire,
            endpoint: endpoint.clone(),
            run_id,
            end: watch::Sender::new(None),
            timeouts: Cell::new(0),
            has_worked: Cell::new(false),
            worked_since_check: Cell::new(false),
            marking: RefCell::default(),
        })
    }

    /// Sends a transaction. Returns the responses to its commands.
    pub(super) async fn send(&self, commands: &Pipeline) -> Result<Vec<Value>, Failure> {
        let answer = self.wire.send(commands).await;
        // An error of Redis is also a response.
        if !answer.as_ref().is_err_and(|failure| failure.is_broken) {
            self.note_answer();
        }
        match answer?.pop() {
            Some(Value::Array(values)) => {
                first_error(&values)?;
                Ok(values)
            }
            _ => Err(Failure::of_server("", "a response of an unexpected form")),
        }
    }

    /// Writes the markers that are missing. Returns how many were.
    pub(super) async fn mark(
        &self,
        prefix: &str,
        stores: &[Arc<str>],
        buckets: &[Bucket],
    ) -> Result<usize, Failure> {
        let mut commands = Pipeline::new();
        for store in stores {
            for bucket in buckets {
                commands.add_command(buckets::mark(prefix, store, *bucket, &self.run_id));
            }
        }
        if commands.is_empty() {
            return Ok(0);
        }
        let written = self.wire.send(&commands).await?;
        Ok(written.iter().filter(|written| **written == Value::Int(1)).count())
    }

    /// Reserves the writing of one marker. Returns `None` while it is being written.
    pub(super) fn reserve_mark(
        self: &Rc<Self>,
        store: &Arc<str>,
        bucket: Bucket,
    ) -> Option<Reservation> {
        let marker = (Arc::clone(store), bucket);
        let is_first = self.marking.borrow_mut().insert(marker.clone());
        is_first.then(|| Reservation { link: Rc::clone(self), marker })
    }

    fn note_answer(&self) {
        self.timeouts.set(0);
        self.has_worked.set(true);
        self.worked_since_check.set(true);
    }

    /// Notes that a command timed out.
    pub(super) fn note_timeout(&self) {
        self.timeouts.set(self.timeouts.get() + 1);
        if self.timeouts.get() >= MAX_TIMEOUTS {
            self.end(End::Silent(
                format!("{MAX_TIMEOUTS} commands in a row have timed out").into(),
            ));
        }
    }

    /// Ends the link. Only the first reason counts.
    pub(super) fn end(&self, end: End) {
        self.end.send_if_modified(|reason| {
            let is_first = reason.is_none();
            if is_first {
                *reason = Some(end);
            }
            is_first
        });
    }

    pub(super) fn has_worked(&self) -> bool {
        self.has_worked.get()
    }

    /// Waits for the end of the link, and checks an idle one from time to time.
    pub(super) async fn ended(&self, limit: Duration) -> End {
        let mut end = self.end.subscribe();
        let mut check = tokio::time::interval(CHECK_INTERVAL);
        check.reset();
        let check = async {
            loop {
                check.tick().await;
                if self.worked_since_check.replace(false) {
                    continue;
                }
                match timeout(limit, self.wire.ask::<Value>(&redis::cmd("PING"))).await {
                    Ok(Err(error)) if error.is_unrecoverable_error() => {
                        return End::Closed(text(&error));
                    }
                    Ok(_) => self.note_answer(),
                    Err(_) => return End::Silent("PING has timed out".into()),
                }
            }
        };
        tokio::select! {
            // The sender is a part of this link.
            reason = end.wait_for(Option::is_some) => {
                let reason = reason.ok().and_then(|reason| reason.clone());
                reason.unwrap_or_else(|| End::Closed("dropped".into()))
            }
            reason = check => reason,
        }
    }
}

/// The right to write one marker. The next one may, when this is dropped.
pub(super) struct Reservation {
    link: Rc<Link>,
    marker: (Arc<str>, Bucket),
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.link.marking.borrow_mut().remove(&self.marker);
    }
}

/// A command without a result.
#[derive(Debug)]
pub(super) struct Failure {
    /// The code of an error of Redis, such as `OOM`.
    code: Box<str>,
    pub(super) text: Arc<str>,
    /// Whether the connection cannot be used any more.
    pub(super) is_broken: bool,
}

impl Failure {
    fn of_server(code: &str, details: &str) -> Self {
        let text = format!("{code} {details}");
        Self { code: code.into(), text: text.trim().into(), is_broken: false }
    }

    pub(super) fn is_one_of(&self, codes: &[&str]) -> bool {
        codes.contains(&&*self.code)
    }
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        Self {
            code: error.code().unwrap_or_default().into(),
            text: text(&error),
            is_broken: error.is_unrecoverable_error() || error.kind() == ErrorKind::Io,
        }
    }
}

fn first_error(answers: &[Value]) -> Result<(), Failure> {
    let error = answers.iter().find_map(|answer| match answer {
        Value::ServerError(error) => {
            Some(Failure::of_server(error.code(), error.details().unwrap_or_default()))
        }
        _ => None,
    });
    error.map_or(Ok(()), Err)
}

/// Returns the message of an error. The crate `redis` puts no credentials into it.
pub(super) fn text(error: &RedisError) -> Arc<str> {
    error.to_string().trim().into()
}

fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':'))
}

/// How many commands in a row may time out before a connection is made again.
const MAX_TIMEOUTS: u32 = 5;

/// The time between two checks of an idle connection.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
