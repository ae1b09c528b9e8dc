//! Tests that need a process of their own, since they count what it has, own its global subscriber or change
//! its environment.

use std::process::Command;

/// Returns the command that runs one ignored test of this binary alone. `module` is the test's
/// `module_path!()`.
#[must_use]
pub fn command(module: &str, test: &str) -> Command {
    let path =
        module.split_once("::").map_or(test.to_owned(), |(_, path)| format!("{path}::{test}"));
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &path, "--ignored", "--nocapture"]);
    command
}

/// Runs that command.
///
/// # Panics
///
/// If the test does not pass.
pub fn run(module: &str, test: &str) {
    let output = command(module, test).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && text.contains("1 passed"), "{text}\n{errors}");
}
