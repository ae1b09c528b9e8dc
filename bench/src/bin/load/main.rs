//! Requests per second of a small API: without authentication, behind a middleware written by hand, and
//! behind `OAuth2`.
//!
//! Each API is a process of its own on one core, and the load is generated on another core. The APIs take
//! turns, round by round, and are compared within a round. Build it with `--release`, and run it on an idle
//! machine. The exit status is a failure if a bound is missed.

// A measuring program panics where its own assumptions fail.
#![allow(clippy::unwrap_used)]

mod by_hand;
mod cores;
mod generator;
mod machine;
mod options;
mod plot;
mod rounds;
mod server;
mod tokens;

use std::{env, fs, process::ExitCode};

use oauth2_actix::Algorithm;
use oauth2_actix_bench::report::Report;

use crate::{
    options::Options,
    rounds::{Column, Scenario, UNDISTURBED, WARM_UP},
    server::Contender,
    tokens::Tokens,
};

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    if let Some((server::CHILD, rest)) = words.split_first().map(|(word, rest)| (&**word, rest)) {
        server::child(rest);
        return ExitCode::SUCCESS;
    }
    let options = match Options::parse(&words) {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("{problem}\n\n{}", options::USAGE);
            return ExitCode::from(2);
        }
    };
    let mut report = Report::default();
    println!("load: requests per second, against others");
    report.heading("the machine");
    for (what, value) in machine::facts() {
        report.figure(what, value);
    }
    let tokens = Tokens::new(&options);
    report.heading("the load");
    report.figure("tokens", format_args!("{} of {} bytes", options.algorithm, tokens.length));
    report.figure("connections", generator::CONNECTIONS);
    report.figure(
        "rounds",
        format_args!(
            "{} of {:?}, each in a new process after {WARM_UP} requests that are not measured",
            options.rounds, options.duration
        ),
    );
    let scenarios = Scenario::ALL.map(|scenario| (scenario, scenario.run(&options, &tokens)));
    for (scenario, column) in &scenarios {
        report.heading(scenario.title());
        print!("{column}");
        println!("    measured again, since another process used a core: {}", column.disturbed);
    }
    report.heading("bounds (differences under 5 % are noise)");
    bounds(&mut report, options.algorithm, &scenarios);
    if let Some(file) = &options.plot {
        fs::write(file, plot::svg(&options, &scenarios)).unwrap();
    }
    report.end()
}

fn bounds(report: &mut Report, algorithm: Algorithm, scenarios: &[(Scenario, Column)]) {
    for (scenario, column) in scenarios {
        let (what, ratio, least) = match scenario {
            Scenario::Repeated => (
                "a repeated token: ours to plain",
                column.ratio(Contender::Ours, Contender::Plain),
                Some(0.95),
            ),
            Scenario::New => (
                "new tokens: ours to by hand",
                column.ratio(Contender::Ours, Contender::ByHand),
                (algorithm == Algorithm::RS256).then_some(1.2),
            ),
        };
        match least {
            Some(least) => {
                report.bound(what, &ratio, format_args!("at least {least}"), ratio.median >= least);
            }
            None => report.figure(what, ratio),
        }
    }
    // Otherwise the figures are limited by another process or by the generator.
    let idlest = scenarios.iter().map(|(_, column)| column.idlest_server());
    let idlest = idlest.fold(1.0, f64::min);
    report.bound(
        "least share of its core that a server had",
        format_args!("{:.0} %", idlest * 100.0),
        format_args!("at least {:.0} %", UNDISTURBED * 100.0),
        idlest >= UNDISTURBED,
    );
    let busiest = scenarios.iter().map(|(_, column)| column.busiest_generator());
    let busiest = busiest.fold(0.0, f64::max) * 100.0;
    report.bound(
        "most that the generator was busy",
        format_args!("{busiest:.0} %"),
        "under 80 %",
        busiest < 80.0,
    );
}
