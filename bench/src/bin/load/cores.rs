//! Which core does what, and how long it did.

use std::{fs, time::Duration};

use oauth2_actix_bench::statistics;
use rustix::thread::{CpuSet, sched_setaffinity};

/// Keeps this thread, and those that it starts from now on, on one core.
pub(crate) fn stay_on(core: usize) {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).expect("this takes two cores");
}

/// How long the threads of a process have run so far, in user and kernel mode.
pub(crate) fn cpu_time(process: u32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    threads.map(|thread| statistics::cpu_time(&thread.unwrap().path()).unwrap()).sum()
}

pub(crate) const SERVER: usize = 0;
pub(crate) const GENERATOR: usize = 1;
