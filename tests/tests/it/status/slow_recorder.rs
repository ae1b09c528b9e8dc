//! A slow recorder of metrics: a metric that is recorded after the status has changed is seen to be missing.

use std::{collections::BTreeMap, thread, time::Duration};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

/// Several times the interval at which tests poll the status.
const DELAY: Duration = Duration::from_millis(5);

struct SlowRecorder(DebuggingRecorder);

/// Installs the recorder for the process, and returns the snapshotter that reads its metrics.
pub(super) fn install() -> Snapshotter {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    assert!(metrics::set_global_recorder(SlowRecorder(recorder)).is_ok());
    snapshotter
}

/// Returns the metrics by name and labels. Reading resets counters and gauges.
pub(super) fn read(snapshotter: &Snapshotter) -> BTreeMap<String, DebugValue> {
    let seen = snapshotter.snapshot().into_vec().into_iter();
    seen.map(|(key, _, _, value)| {
        let labels = key.key().labels();
        let labels: Vec<_> =
            labels.map(|label| format!("{}={}", label.key(), label.value())).collect();
        (format!("{} {}", key.key().name(), labels.join(" ")), value)
    })
    .collect()
}

impl Recorder for SlowRecorder {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.0.describe_counter(key, unit, description);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.0.describe_gauge(key, unit, description);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.0.describe_histogram(key, unit, description);
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        thread::sleep(DELAY);
        self.0.register_counter(key, metadata)
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        thread::sleep(DELAY);
        self.0.register_gauge(key, metadata)
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        thread::sleep(DELAY);
        self.0.register_histogram(key, metadata)
    }
}
