//! Child processes of this program: experiments that measure a whole process run a part in one of them.

use std::{env, process::Command};

use crate::{cached_memory, memory, neighbours, sessions};

type Child = fn(&[String]);

/// The first argument of each child process, and the function that takes the other arguments.
pub(crate) const CHILDREN: [(&str, Child); 4] = [
    (memory::CHILD, memory::child),
    (cached_memory::CHILD, cached_memory::child),
    (neighbours::CHILD, neighbours::child),
    (sessions::CHILD, sessions::child),
];

/// Runs a child process to its end, and returns the numbers that it prints.
pub(crate) fn numbers<const COUNT: usize>(arguments: &[&str]) -> [u64; COUNT] {
    let program = env::current_exe().unwrap();
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let numbers: Vec<u64> = text.split_whitespace().map(|word| word.parse().unwrap()).collect();
    numbers.try_into().unwrap_or_else(|_| panic!("{arguments:?} printed {text:?}"))
}
