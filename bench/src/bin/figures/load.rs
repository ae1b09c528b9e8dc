//! The load: keep-alive connections, each with a thread, that send at a given rate.
//!
//! The threads block. Tasks would add the latency of their scheduler.

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
    /// Requests per second, due whether or not earlier ones are answered (an open loop). `None`: each
    /// connection sends as soon as its last request is answered.
    pub(crate) rate: Option<u32>,
    /// The start of the load. Times of samples count from it.
    pub(crate) start: Instant,
    pub(crate) duration: Duration,
}

impl Load {
    /// Sends requests until `choose` returns `None` or the duration has passed. `choose` is called with the
    /// index of a request, just before it is sent.
    ///
    /// If all connections were busy when a request was due, its latency counts from that time: a request that
    /// queues because the server is slow is slow itself. Otherwise it counts from the time of sending, so
    /// that a late timer of the sender does not count.
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

    /// Sends a request, reads the response, and returns its status.
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

/// Returns a request with this token.
pub(crate) fn request(token: &str) -> Arc<[u8]> {
    oauth2_actix_bench::request(token).into()
}

/// Longer than the API may take for any response.
const TIMEOUT: Duration = Duration::from_secs(70);
