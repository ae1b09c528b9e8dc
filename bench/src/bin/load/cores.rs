//! The cores of the processes, and their CPU time.

use std::{fs, time::Duration};

use oauth2_actix_bench::statistics;
use rustix::thread::{CpuSet, sched_setaffinity};

/// Pins this thread, and the threads that it starts later, to one core.
pub(crate) fn pin_to(core: usize) {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).expect("the machine has two cores");
}

/// Returns how long the threads of a process have run, in user and kernel mode.
pub(crate) fn cpu_time(process: u32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    threads.map(|thread| statistics::cpu_time(&thread.unwrap().path()).unwrap()).sum()
}

pub(crate) const SERVER: usize = 0;
pub(crate) const GENERATOR: usize = 1;
