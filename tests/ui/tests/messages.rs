//! The messages of the attribute macros: one mistake in each file of `fail`, one message for each mistake.
//!
//! Each program is compiled against the libraries that Cargo has built for this test, so that no dependency is built
//! a second time. `MESSAGES=overwrite cargo test -p oauth2-actix-tests-ui` writes the messages of today.

#![allow(missing_docs, clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::Command;

/// Messages differ between compilers, so they are compared under this one only.
const COMPILER: &str = "rustc 1.95.";

const ARGUMENTS: &[&str] = oauth2_actix_tests_ui_arguments::compiler_arguments!();

#[test]
fn messages() {
    let version = Command::new(rustc()).arg("--version").output().unwrap().stdout;
    let version = String::from_utf8_lossy(&version);
    if !version.starts_with(COMPILER) {
        let problem =
            format!("messages are compared under {COMPILER}x only, and this is {version}");
        // A gate that passes says that they were compared.
        assert!(std::env::var_os("CI").is_none(), "{problem}");
        println!("not compared: {problem}");
        return;
    }

    let overwrite = std::env::var_os("MESSAGES").is_some_and(|value| value == "overwrite");
    let mut programs: Vec<_> =
        fs::read_dir("fail").unwrap().map(|entry| entry.unwrap().path()).collect();
    programs.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    programs.sort();
    assert!(!programs.is_empty(), "no programs in `fail`");

    let mut problems = Vec::new();
    for program in &programs {
        let name = program.display();
        let Some(messages) = messages_of(program) else {
            problems.push(format!("{name} compiles; an error is expected"));
            continue;
        };
        let expected = program.with_extension("stderr");
        if overwrite {
            fs::write(&expected, &messages).unwrap();
        } else if fs::read_to_string(&expected).ok().as_ref() != Some(&messages) {
            problems.push(format!(
                "{name} has other messages than {}:\n{messages}",
                expected.display()
            ));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
}

/// What the compiler writes for a program that it refuses.
fn messages_of(program: &Path) -> Option<String> {
    let output = Command::new(rustc())
        .args([
            "--edition=2024",
            "--crate-type=bin",
            "--emit=metadata",
            "--color=never",
            "--diagnostic-width=140",
        ])
        .arg("--out-dir")
        .arg(env!("CARGO_TARGET_TMPDIR"))
        .args(libraries())
        .arg(program)
        .output()
        .unwrap();
    (!output.status.success()).then(|| normalised(&String::from_utf8(output.stderr).unwrap()))
}

/// The arguments that name libraries: `--extern name=file` and `-L dependency=folder`.
fn libraries() -> Vec<&'static str> {
    let pairs = ARGUMENTS.windows(2).filter(|pair| ["--extern", "-L"].contains(&pair[0]));
    let libraries: Vec<_> = pairs.flatten().copied().collect();
    assert!(
        libraries.iter().any(|library| library.starts_with("oauth2_actix=")),
        "the compiler's arguments name no library `oauth2_actix`: {ARGUMENTS:?}",
    );
    libraries
}

fn rustc() -> std::ffi::OsString {
    std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())
}

/// The messages without what changes with the library's code: its line numbers, the margin that they widen, and the
/// number of types left out of a list.
fn normalised(messages: &str) -> String {
    let mut lines = Vec::new();
    for line in messages.lines().filter(|line| !is_summary(line)) {
        let text = line.trim_start();
        let number = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, rest) = text.split_at(number);
        lines.push(if let Some(position) = text.strip_prefix("--> ") {
            let position = if position.starts_with("fail/") {
                position
            } else {
                position.split(':').next().unwrap()
            };
            format!(" --> {position}")
        } else if rest.trim_start().starts_with(['|', '=']) {
            format!("{} {}", if number.is_empty() { " " } else { number }, rest.trim_start())
        } else if text.starts_with("and ") && text.ends_with(" others") {
            "      and $N others".to_owned()
        } else if text.len() < line.len() {
            format!("      {text}")
        } else {
            line.to_owned()
        });
    }
    format!("{}\n", lines.join("\n").trim_end())
}

/// Whether a line only counts the errors or names the page that explains one.
fn is_summary(line: &str) -> bool {
    ["error: aborting due to", "For more information about", "Some errors have"]
        .iter()
        .any(|start| line.starts_with(start))
}
