//! Tests that count what a process has, or own its global subscriber, run in a process of their own.

/// Runs an ignored test of this binary alone, and expects that it passes.
pub(crate) fn run(test: &str) {
    let run = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&run.stdout).into_owned();
    let errors = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(run.status.success() && output.contains("1 passed"), "{output}\n{errors}");
}
