//! Durations as text.

use std::{fmt, time::Duration};

/// A duration that is shown as a number with its unit.
pub(crate) struct Unit(pub(crate) Duration);

impl fmt::Display for Unit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, millis) = (self.0.as_secs(), self.0.as_millis());
        if seconds == DAY {
            formatter.write_str("1 day")
        } else if seconds >= DAY && seconds % DAY == 0 {
            write!(formatter, "{} days", seconds / DAY)
        } else if millis % 1000 == 0 {
            write!(formatter, "{seconds} s")
        } else {
            write!(formatter, "{millis} ms")
        }
    }
}

const DAY: u64 = 24 * 60 * 60;
