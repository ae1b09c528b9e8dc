//! The memory of processes, and of a policy in a process of its own.

use std::{
    fs,
    time::{Duration, Instant},
};

use crate::{api::wait, child, providers::policy};

/// The resident memory of a process, in KiB.
pub(crate) struct Memory {
    /// Without a policy.
    pub(crate) before: u64,
    /// With a policy that has fetched no keys.
    pub(crate) built: u64,
    /// With all keys.
    pub(crate) warm: u64,
    pub(crate) warm_up: Duration,
}

impl Memory {
    /// Measures a policy of this number of providers. The server has their keys.
    pub(crate) fn measure(server: &str, providers: usize) -> Self {
        let [before, built, warm, micros] =
            child::numbers(&[CHILD, server, &providers.to_string()]);
        Self { before, built, warm, warm_up: Duration::from_micros(micros) }
    }
}

/// Runs in the child process: prints the numbers for [`Memory::measure`].
pub(crate) fn child(arguments: &[String]) {
    let [server, providers] = arguments else { panic!("SERVER PROVIDERS") };
    let before = resident();
    let oauth2 = policy(server, 0..providers.parse().unwrap());
    let built = resident();
    let start = Instant::now();
    wait(oauth2.warm_up()).unwrap();
    let warm_up = start.elapsed().as_micros();
    println!("{before} {built} {} {warm_up}", resident());
}

/// Returns the resident memory of this process, in KiB.
pub(crate) fn resident() -> u64 {
    resident_of("self")
}

/// Returns the resident memory of a process, in KiB. It is counted page by page; `statm` may lag by some
/// pages for each thread.
pub(crate) fn resident_of(process: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap();
    let line = text.lines().find(|line| line.starts_with("Rss:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

pub(crate) const CHILD: &str = "memory-child";
