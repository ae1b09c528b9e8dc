//! The log and the command line of the example programs.

use std::{
    env,
    io::{self, IsTerminal},
};

use tracing_subscriber::EnvFilter;

/// Logs to standard error, with colours only if that is a terminal.
///
/// # Errors
///
/// `RUST_LOG` is not a valid filter.
pub fn start_log() -> Result<(), String> {
    tracing_subscriber::fmt()
        .with_env_filter(log_filter()?)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
    Ok(())
}

/// Returns the filter in `RUST_LOG`, or a filter for `info` and every rejected request.
///
/// # Errors
///
/// `RUST_LOG` is not a valid filter.
pub fn log_filter() -> Result<EnvFilter, String> {
    let text = env::var("RUST_LOG").unwrap_or_default();
    let text = if text.is_empty() { "info,oauth2_actix=debug" } else { &text };
    EnvFilter::try_new(text).map_err(|error| format!("RUST_LOG: {error}"))
}

/// Returns the port of `--port`, 8080 by default, and the other arguments.
///
/// # Errors
///
/// An unknown option, or a port that is not a number from 0 to 65535. 0 is any free port.
pub fn port_and_rest(
    arguments: impl IntoIterator<Item = String>,
) -> Result<(u16, Vec<String>), String> {
    let (mut port, mut rest) = (8080, Vec::new());
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--port" => {
                let number = arguments.next().ok_or("--port: the number is missing")?;
                port = number.parse().map_err(|_| {
                    format!("--port: expected a number from 0 to 65535, found {number:?}")
                })?;
            }
            option if option.starts_with('-') => return Err(format!("unknown option {option:?}")),
            _ => rest.push(argument),
        }
    }
    Ok((port, rest))
}

#[cfg(test)]
mod tests {
    use super::port_and_rest;

    fn read(line: &str) -> Result<(u16, Vec<String>), String> {
        port_and_rest(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn port_is_8080_or_that_of_the_option() {
        assert_eq!(read(""), Ok((8080, vec![])));
        assert_eq!(read("a.json --port 9310"), Ok((9310, vec!["a.json".to_owned()])));
        assert_eq!(read("--port 0 a.json"), Ok((0, vec!["a.json".to_owned()])));
    }

    #[test]
    fn wrong_argument_is_an_error_with_the_expected_value() {
        for (line, message) in [
            ("--port", "--port: the number is missing"),
            ("--port x", "--port: expected a number from 0 to 65535, found \"x\""),
            ("--port 70000", "--port: expected a number from 0 to 65535, found \"70000\""),
            ("--prot 80", "unknown option \"--prot\""),
        ] {
            assert_eq!(read(line), Err(message.to_owned()), "{line}");
        }
    }
}
