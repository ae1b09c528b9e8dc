//! The load: keep-alive connections, each of which sends its next request when the last one is answered. One
//! thread polls the kernel, so that no scheduler of tasks is measured.
//!
//! The thread never sleeps: on a virtual machine, a server takes 9 us to wake a sleeping peer with each
//! answer, as long as for a request or two. A slower server would do so more often.

use std::{
    hint,
    io::{ErrorKind, Read, Write},
    net::SocketAddr,
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token, net::TcpStream};
use oauth2_actix_bench::statistics::percentile;

use crate::{
    cores::cpu_time,
    server::{ANSWER, Server},
};

pub(crate) struct Generator {
    poll: Poll,
    connections: Vec<Connection>,
    /// The id of the process of the server.
    process: u32,
}

/// The measurements of a server under load.
pub(crate) struct Measured {
    pub(crate) requests_per_second: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    /// The CPU time of the server for each request.
    pub(crate) cpu: Duration,
    /// The share of the time in which the server ran on its core.
    pub(crate) server: f64,
    /// The share of the time in which the generator was not idle.
    pub(crate) generator: f64,
}

impl Generator {
    pub(crate) fn new(server: &Server) -> Self {
        let poll = Poll::new().unwrap();
        let connections = (0..CONNECTIONS)
            .map(|index| {
                let mut connection = Connection::open(server.address());
                let registry = poll.registry();
                registry
                    .register(&mut connection.stream, Token(index), Interest::READABLE)
                    .unwrap();
                connection
            })
            .collect();
        Self { poll, connections, process: server.process() }
    }

    /// Sends requests until there are no more or the duration has passed, and waits for the last answers.
    pub(crate) fn run(
        &mut self,
        duration: Duration,
        requests: &mut dyn Iterator<Item = &[u8]>,
    ) -> Measured {
        let cpu_before = cpu_time(self.process);
        let start = Instant::now();
        let mut latencies = Vec::with_capacity(1 << 20);
        let mut waiting = 0;
        for (connection, request) in self.connections.iter_mut().zip(&mut *requests) {
            connection.send(request, Instant::now());
            waiting += 1;
        }
        let mut events = Events::with_capacity(CONNECTIONS);
        let (mut idle, mut last) = (Duration::ZERO, start);
        while waiting > 0 {
            let polled = Instant::now();
            self.poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
            if events.is_empty() {
                // After a pause there are several answers, and the server is busy at the same time.
                while polled.elapsed() < PAUSE {
                    hint::spin_loop();
                }
                idle += polled.elapsed();
                assert!(polled - last < TIMEOUT, "no answer for {TIMEOUT:?}");
            }
            for event in &events {
                let connection = &mut self.connections[event.token().0];
                if !connection.is_answered() {
                    continue;
                }
                last = Instant::now();
                latencies.push(last - connection.sent);
                match requests.next() {
                    Some(request) if last - start < duration => connection.send(request, last),
                    _ => waiting -= 1,
                }
            }
        }
        let elapsed = last - start;
        let cpu = cpu_time(self.process) - cpu_before;
        latencies.sort_unstable();
        let count = latencies.len();
        Measured {
            requests_per_second: count as f64 / elapsed.as_secs_f64(),
            p50: percentile(0.5, &latencies),
            p99: percentile(0.99, &latencies),
            cpu: cpu.div_f64(count as f64),
            server: cpu.div_duration_f64(elapsed),
            generator: 1.0 - idle.div_duration_f64(elapsed),
        }
    }
}

struct Connection {
    stream: TcpStream,
    /// When the last request was sent.
    sent: Instant,
    answer: [u8; 4096],
    received: usize,
}

impl Connection {
    fn open(address: SocketAddr) -> Self {
        let stream = std::net::TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_nonblocking(true).unwrap();
        let stream = TcpStream::from_std(stream);
        Self { stream, sent: Instant::now(), answer: [0; 4096], received: 0 }
    }

    fn send(&mut self, request: &[u8], now: Instant) {
        self.sent = now;
        self.received = 0;
        // No other request is unanswered, so that this one fits into the buffer of the kernel.
        assert_eq!(self.stream.write(request).unwrap(), request.len());
    }

    /// Reads what has arrived, and returns whether the answer is complete. Panics if it is not the expected
    /// one.
    fn is_answered(&mut self) -> bool {
        loop {
            match self.stream.read(&mut self.answer[self.received..]) {
                Ok(0) => panic!("the connection is closed"),
                Ok(length) => self.received += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(error) => panic!("{error}"),
            }
            let answer = &self.answer[..self.received];
            let status = STATUS.len().min(answer.len());
            assert!(answer[..status] == STATUS[..status], "{}", String::from_utf8_lossy(answer));
            if answer.ends_with(ANSWER.as_bytes())
                && answer[..answer.len() - ANSWER.len()].ends_with(b"\r\n\r\n")
            {
                return true;
            }
        }
    }
}

pub(crate) const CONNECTIONS: usize = 32;
const STATUS: &[u8] = b"HTTP/1.1 200 ";
/// Short against the time for a request of each connection.
const PAUSE: Duration = Duration::from_micros(20);
/// Far longer than the server takes for an answer.
const TIMEOUT: Duration = Duration::from_secs(5);
