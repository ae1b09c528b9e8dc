//! Measured times: medians, percentiles, and the CPU time of a thread.

use std::{fs, io, path::Path, time::Duration};

/// Returns the median, or the greater of the two in the middle.
#[must_use]
pub fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Returns the time that this share of the times does not exceed (nearest rank). Without times it is zero.
#[must_use]
pub fn percentile(share: f64, sorted: &[Duration]) -> Duration {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied().unwrap_or_default()
}

/// Returns how long a thread has run, in user and kernel mode. `thread` is its directory below `/proc`.
///
/// `schedstat` counts nanoseconds, `stat` hundredths of a second.
pub fn cpu_time(thread: &Path) -> io::Result<Duration> {
    let text = fs::read_to_string(thread.join("schedstat"))?;
    let nanoseconds = text.split(' ').next().unwrap_or_default().parse();
    nanoseconds.map(Duration::from_nanos).map_err(io::Error::other)
}
