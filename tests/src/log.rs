//! Captures what is logged while the suite runs.

use std::{
    io,
    sync::{Mutex, OnceLock, PoisonError},
};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{filter::Targets, fmt, layer::SubscriberExt, util::SubscriberInitExt};

static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// Starts to capture the log of the library in this process, at every level. A test calls it first.
pub fn keep() {
    start(Targets::new().with_target("oauth2_actix", LevelFilter::TRACE));
}

/// Starts to capture the log of every crate, at every level. For a process that runs one test.
pub fn keep_all() {
    start(Targets::new().with_default(LevelFilter::TRACE));
}

fn start(filter: Targets) {
    static STARTED: OnceLock<()> = OnceLock::new();
    STARTED.get_or_init(|| {
        let layer = fmt::layer().with_ansi(false).with_writer(|| Sink);
        tracing_subscriber::registry().with(layer).with(filter).init();
    });
}

/// Returns everything that was captured.
#[must_use]
pub fn text() -> String {
    let lines = LINES.lock().unwrap_or_else(PoisonError::into_inner).clone();
    String::from_utf8_lossy(&lines).into_owned()
}

/// Returns the lines that contain all of these words.
#[must_use]
pub fn lines_with(words: &[&str]) -> Vec<String> {
    text()
        .lines()
        .filter(|line| words.iter().all(|word| line.contains(word)))
        .map(str::to_owned)
        .collect()
}

struct Sink;

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
