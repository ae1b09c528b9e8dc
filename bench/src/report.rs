//! Figures as they are printed, and whether their bounds hold.

use std::{fmt::Display, process::ExitCode};

/// What an experiment found.
#[derive(Debug, Default)]
pub struct Report {
    missed: usize,
}

impl Report {
    /// What the next figures are of.
    pub fn heading(&self, what: impl Display) {
        println!("\n  {what}");
    }

    /// A figure that nothing is asked of.
    pub fn figure(&self, what: impl Display, value: impl Display) {
        println!("    {:<60} {value}", what.to_string());
    }

    /// A figure and what is asked of it.
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

    /// What the process says of all bounds.
    pub fn end(self) -> ExitCode {
        if self.missed == 0 {
            ExitCode::SUCCESS
        } else {
            println!("\n  {} missed", self.missed);
            ExitCode::FAILURE
        }
    }
}
