//! The answers to a load, and statistics of them.

use std::{collections::BTreeMap, time::Duration};

use oauth2_actix_bench::statistics;

/// One request and its answer.
#[derive(Clone, Copy)]
pub(crate) struct Sample<K> {
    pub(crate) kind: K,
    /// Since the start of the load.
    pub(crate) began: Duration,
    pub(crate) latency: Duration,
    /// 0 if there was no answer.
    pub(crate) status: u16,
}

impl<K> Sample<K> {
    pub(crate) fn ended(&self) -> Duration {
        self.began + self.latency
    }
}

/// Returns how many answers had each status, as text.
pub(crate) fn statuses<'a, K: 'a>(samples: impl IntoIterator<Item = &'a Sample<K>>) -> String {
    let mut counts = BTreeMap::<u16, u64>::new();
    for sample in samples {
        *counts.entry(sample.status).or_default() += 1;
    }
    if counts.is_empty() {
        return "none".to_owned();
    }
    let texts: Vec<String> =
        counts.iter().map(|(status, count)| format!("{status} x {count}")).collect();
    texts.join(", ")
}

/// Returns how many answers had another status.
pub(crate) fn other_than<'a, K: 'a>(
    status: u16,
    samples: impl IntoIterator<Item = &'a Sample<K>>,
) -> usize {
    samples.into_iter().filter(|sample| sample.status != status).count()
}

/// Returns the latency that this share of the requests did not exceed (nearest rank).
pub(crate) fn percentile<'a, K: 'a>(
    share: f64,
    samples: impl IntoIterator<Item = &'a Sample<K>>,
) -> Duration {
    let mut latencies: Vec<Duration> = samples.into_iter().map(|sample| sample.latency).collect();
    latencies.sort_unstable();
    statistics::percentile(share, &latencies)
}

/// Formats a duration in milliseconds.
pub(crate) fn milliseconds(duration: Duration) -> String {
    format!("{:.3} ms", duration.as_secs_f64() * 1e3)
}
