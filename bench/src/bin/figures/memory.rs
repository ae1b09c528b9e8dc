//! The memory of a policy, measured in a process of its own.

use std::{
    fs,
    time::{Duration, Instant},
};

use crate::{api::wait, child, providers::policy};

/// The resident memory of a process, in KiB.
pub(crate) struct Memory {
    /// Before there was a policy.
    pub(crate) before: u64,
    /// With a policy that has fetched nothing.
    pub(crate) built: u64,
    /// With all keys.
    pub(crate) warm: u64,
    pub(crate) warm_up: Duration,
}

impl Memory {
    /// Measures a policy of so many providers whose keys this server has.
    pub(crate) fn measure(server: &str, providers: usize) -> Self {
        let [before, built, warm, micros] =
            child::numbers(&[CHILD, server, &providers.to_string()]);
        Self { before, built, warm, warm_up: Duration::from_micros(micros) }
    }
}

/// The other process: prints what [`Memory::measure`] reads.
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

/// Of this process, in KiB.
pub(crate) fn resident() -> u64 {
    resident_of("self")
}

/// KiB. Counted page by page, where `statm` may be behind by some for each thread.
pub(crate) fn resident_of(process: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap();
    let line = text.lines().find(|line| line.starts_with("Rss:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

pub(crate) const CHILD: &str = "memory-child";
