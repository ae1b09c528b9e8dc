//! Which core does what, and how long it did.

use std::{fs, path::Path, time::Duration};

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
    threads.map(|thread| of_thread(&thread.unwrap().path())).sum()
}

/// To the nanosecond, where `stat` has hundredths of a second.
fn of_thread(path: &Path) -> Duration {
    let text = fs::read_to_string(path.join("schedstat")).unwrap();
    let nanoseconds = text.split(' ').next().unwrap().parse().unwrap();
    Duration::from_nanos(nanoseconds)
}

pub(crate) const SERVER: usize = 0;
pub(crate) const GENERATOR: usize = 1;
