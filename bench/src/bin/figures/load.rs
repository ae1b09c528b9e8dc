//! The load: keep-alive connections, each with a thread, that send at a given pace.
//!
//! Threads that block rather than tasks: what is measured then holds no scheduler of ours.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::samples::Sample;

/// How a load is sent.
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    pub(crate) connections: usize,
    /// Requests per second, due whether or not earlier ones are answered (an open loop). None: each
    /// connection sends as soon as its last request is answered.
    pub(crate) rate: Option<u32>,
    /// When the load starts; times of samples count from here.
    pub(crate) start: Instant,
    pub(crate) duration: Duration,
}

impl Load {
    /// Sends what `choose` says for the nth request, at the moment when it is sent, until it says
    /// nothing or the time is over.
    ///
    /// A latency counts from the moment when the request was due, if every connection was busy
    /// then: a request that has to queue because the server is slow is slow itself. It counts from
    /// the moment of sending if only the sender's own timer was late.
    pub(crate) fn run<K: Send>(
        &self,
        choose: impl Fn(u64) -> Option<(K, Arc<[u8]>)> + Sync,
    ) -> Vec<Sample<K>> {
        let next = AtomicU64::new(0);
        let (next, choose) = (&next, &choose);
        thread::scope(|scope| {
            let connections: Vec<_> = (0..self.connections)
                .map(|_| scope.spawn(move || self.run_connection(next, choose)))
                .collect();
            connections.into_iter().flat_map(|connection| connection.join().unwrap()).collect()
        })
    }

    fn run_connection<K>(
        &self,
        next: &AtomicU64,
        choose: &impl Fn(u64) -> Option<(K, Arc<[u8]>)>,
    ) -> Vec<Sample<K>> {
        let mut connection = Connection::open(self.address);
        let mut samples = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let free = Instant::now().max(self.start);
            let due = match self.rate {
                Some(rate) => self.start + Duration::from_secs(index) / rate,
                None => free,
            };
            if due >= self.start + self.duration {
                return samples;
            }
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let began = if due < free { due } else { Instant::now() };
            let Some((kind, request)) = choose(index) else { return samples };
            let status = connection.send(&request).unwrap_or_else(|_| {
                connection = Connection::open(self.address);
                0
            });
            samples.push(Sample {
                kind,
                began: began.duration_since(self.start),
                latency: began.elapsed(),
                status,
            });
        }
    }
}

/// A connection that is kept alive.
pub(crate) struct Connection(BufReader<TcpStream>);

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.set_write_timeout(Some(TIMEOUT)).unwrap();
        Self(BufReader::new(stream))
    }

    /// Sends a request and reads its answer. The status.
    pub(crate) fn send(&mut self, request: &[u8]) -> io::Result<u16> {
        self.0.get_mut().write_all(request)?;
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut length = 0;
        loop {
            line.clear();
            self.0.read_line(&mut line)?;
            match line.trim_end().split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.parse().map_err(io::Error::other)?;
                }
                Some(_) => {}
                None if line == "\r\n" => break,
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        io::copy(&mut (&mut self.0).take(length), &mut io::sink())?;
        Ok(status)
    }
}

/// A request with this token.
pub(crate) fn request(token: &str) -> Arc<[u8]> {
    oauth2_actix_bench::request(token).into()
}

/// Longer than anything that the API may take.
const TIMEOUT: Duration = Duration::from_secs(70);
