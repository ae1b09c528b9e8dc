//! Prints figures, and counts the bounds that are missed.

use std::{fmt::Display, process::ExitCode, time::Duration};

use crate::statistics;

/// The output of one experiment.
#[derive(Debug, Default)]
pub struct Report {
    missed: usize,
}

impl Report {
    /// Prints the heading of the next figures.
    pub fn heading(&self, what: impl Display) {
        println!("\n  {what}");
    }

    /// Prints a figure without a bound.
    pub fn figure(&self, what: impl Display, value: impl Display) {
        println!("    {:<60} {value}", what.to_string());
    }

    /// Prints a figure, its bound, and whether the bound holds.
    pub fn bound(
        &mut self,
        what: impl Display,
        value: impl Display,
        bound: impl Display,
        holds: bool,
    ) {
        let result = if holds { "ok" } else { "MISSED" };
        println!("    {:<60} {value}  [{bound}: {result}]", what.to_string());
        self.missed += usize::from(!holds);
    }

    /// Shows percentiles of times, in microseconds.
    pub fn times(&self, times: &mut [Duration]) {
        times.sort_unstable();
        for (name, share) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("maximum", 1.0)] {
            let time = statistics::percentile(share, times);
            self.figure(name, format_args!("{:.0} us", time.as_secs_f64() * 1e6));
        }
    }

    /// Returns the exit status of the process: success if all bounds hold.
    pub fn end(self) -> ExitCode {
        if self.missed == 0 {
            ExitCode::SUCCESS
        } else {
            println!("\n  {} missed", self.missed);
            ExitCode::FAILURE
        }
    }
}
