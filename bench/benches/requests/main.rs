//! What a request costs, in process: `cargo bench -p oauth2-actix-bench`, or with `-- hit` only
//! those whose names contain that.
//!
//! Through a whole actix app, since that is what a user pays: from a request that is there already to
//! the status of its answer and the end of both. `hit::bare` is what of that is not ours.

// A tool for tests says so when its own assumptions fail.
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
    // So that a sample is more than a moment. Options on the command line come first.
    divan::Divan::default().min_time(Duration::from_millis(300)).config_with_args().main();
}
