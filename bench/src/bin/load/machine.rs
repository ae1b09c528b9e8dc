//! The machine, and the versions of what is measured.

use std::{fs, process::Command, thread};

pub(crate) fn facts() -> [(&'static str, String); 5] {
    [
        ("processor", processor()),
        ("load average of the last minute", load_average()),
        ("Rust", rust()),
        ("actix-web", version("actix-web")),
        ("jsonwebtoken", version("jsonwebtoken")),
    ]
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = thread::available_parallelism().map_or(0, usize::from);
    format!("{cores} cores, {}", model.map_or("unknown", |(_, model)| model))
}

fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}

/// Returns the version of the compiler on the path, with which `cargo run` has built this program.
fn rust() -> String {
    let output = Command::new("rustc").arg("--version").output();
    output.map_or_else(
        |_| "unknown".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}

/// Returns the version of a dependency of this program.
fn version(name: &str) -> String {
    let mut lines = LOCK.lines().skip_while(|line| *line != format!("name = {name:?}"));
    let version = lines.nth(1).and_then(|line| line.strip_prefix("version = "));
    version.unwrap_or("unknown").trim_matches('"').to_owned()
}

const LOCK: &str = include_str!("../../../../Cargo.lock");
