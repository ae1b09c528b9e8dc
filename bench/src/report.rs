//! Prints figures, and counts the bounds that are missed.

use std::{fmt::Display, process::ExitCode};

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
