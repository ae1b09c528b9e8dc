//! The messages of the attribute macros: one mistake a file, one message a mistake.

#![allow(missing_docs)]

/// Messages differ between compilers, so they are compared under this one only.
const COMPILER: &str = "rustc 1.95.";

#[test]
fn messages() {
    let version = std::process::Command::new("rustc").arg("--version").output().unwrap().stdout;
    if String::from_utf8_lossy(&version).starts_with(COMPILER) {
        trybuild::TestCases::new().compile_fail("ui/fail/*.rs");
    } else {
        println!("not compared: this is not {COMPILER}");
    }
}
