//! Experiments with bounds: key fetching under load and under faults, on loopback, and token verification, in
//! process.
//!
//! Each experiment prints one figure per line, with its bound if there is one. The exit status is a failure
//! if a bound is missed. Build it with `--release`, and run it on an idle machine, since it measures times.
//! On a busy machine `chrt -r 1` gives `hang`, `providers` and the experiments in process priority over other
//! programs.

// A measuring program panics where its own assumptions fail.
#![allow(clippy::unwrap_used)]

mod api;
mod cached_memory;
mod child;
mod cold_start;
mod day;
mod distinct;
mod flood;
mod garbage;
mod hang;
mod load;
mod many;
mod mcp;
mod memory;
mod misses;
mod neighbours;
mod policies;
mod providers;
mod random;
mod rejections;
mod rotation;
mod samples;
mod sessions;
mod threads;
mod turns;

use std::{
    env,
    process::{Command, ExitCode},
};

use oauth2_actix_bench::report::{self, Report};

use crate::child::CHILDREN;

type Experiment = fn(&mut Report, &[String]);

const EXPERIMENTS: [(&str, &str, Experiment); 16] = [
    ("rotation", "keys rotated without overlap, under load", rotation::run),
    ("hang", "a provider that hangs for 30 s during a refresh, under load", hang::run),
    ("flood", "10,000 tokens with made-up key ids", flood::run),
    (
        "cold-start",
        "500 requests at once without keys; a provider that is down first",
        cold_start::run,
    ),
    (
        "providers",
        "1,000 providers with 10 keys each against one with one; argument: an algorithm",
        providers::run,
    ),
    (
        "neighbours",
        "hostile tenants beside a provider that rotates its key; arguments: their number, and seconds",
        neighbours::run,
    ),
    ("garbage", "rejected tokens, against a good token", garbage::run),
    ("misses", "a new token, against the check of its signature", misses::run),
    ("rejections", "requests that are rejected before a signature is checked", rejections::run),
    ("many", "1,000 providers and 1,000 keys against one each, with a cached token", many::run),
    ("mcp", "calls of MCP tools with a body of 4 KiB, with and without access rules", mcp::run),
    ("distinct", "10,000 and 1,000,000 tokens in rotation; some minutes", distinct::run),
    ("cached-memory", "the memory of 100,000 cached tokens", cached_memory::run),
    ("threads", "cached tokens, on one thread and on two", threads::run),
    ("sessions", "5,000 WebSocket sessions whose tokens expire at once", sessions::run),
    ("day", "24 simulated hours with faults at random; argument: a seed", day::run),
];

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let Some((name, rest)) = words.split_first() else { return usage() };
    if let Some((_, run)) = CHILDREN.iter().find(|(child, _)| child == name) {
        run(rest);
        return ExitCode::SUCCESS;
    }
    match name.as_str() {
        "all" => all(),
        name => match EXPERIMENTS.iter().find(|(known, ..)| *known == name) {
            Some((name, what, run)) => {
                println!("{name}: {what}");
                let mut report = Report::default();
                run(&mut report, rest);
                report.end()
            }
            None => usage(),
        },
    }
}

/// Runs each experiment in a process of its own, so that none depends on another.
fn all() -> ExitCode {
    let program = env::current_exe().unwrap();
    let mut missed = Vec::new();
    for (name, ..) in EXPERIMENTS {
        if !Command::new(&program).arg(name).status().unwrap().success() {
            missed.push(name);
        }
        println!();
    }
    if missed.is_empty() {
        println!("all bounds hold");
        ExitCode::SUCCESS
    } else {
        println!("missed bounds in: {}", missed.join(", "));
        ExitCode::FAILURE
    }
}

fn usage() -> ExitCode {
    eprintln!("cargo run --release -p oauth2-actix-bench --bin figures -- NAME\n");
    for (name, what, _) in EXPERIMENTS {
        eprintln!("  {name:<13} {what}");
    }
    eprintln!("  {:<13} all of these", "all");
    ExitCode::from(2)
}
