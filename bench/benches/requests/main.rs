//! Measures the time of a request in process: `cargo bench -p oauth2-actix-bench`. With `-- hit`, only
//! benchmarks with `hit` in their names run.
//!
//! A request goes through a whole actix app, as in production. The time starts with a complete request, and
//! ends when the status was read and the response was dropped. `hit::bare` is the part that the middleware
//! does not add.

// A measuring program panics where its own assumptions fail.
#![allow(clippy::unwrap_used)]

mod api;
mod hit;
mod many;
mod miss;
mod predicates;
mod public;
mod rejections;
mod size;
mod tasks;

use std::time::Duration;

fn main() {
    // Longer than the default, for less noise. Options on the command line override it.
    divan::Divan::default().min_time(Duration::from_millis(300)).config_with_args().main();
}
