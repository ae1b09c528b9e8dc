//! The options on the command line.

use std::{path::PathBuf, str::FromStr, time::Duration};

use oauth2_actix::Algorithm;

pub(crate) struct Options {
    pub(crate) algorithm: Algorithm,
    pub(crate) rounds: usize,
    /// How long each API is under load in a round.
    pub(crate) duration: Duration,
    /// The file for a plot.
    pub(crate) plot: Option<PathBuf>,
}

impl Options {
    pub(crate) fn parse(words: &[String]) -> Result<Self, String> {
        let mut options = Self {
            algorithm: Algorithm::RS256,
            rounds: 10,
            duration: Duration::from_secs(2),
            plot: None,
        };
        for pair in words.chunks(2) {
            let [name, value] = pair else { return Err(format!("{:?} needs a value", pair[0])) };
            match name.as_str() {
                "--algorithm" => options.algorithm = parsed(name, value)?,
                "--rounds" => options.rounds = parsed(name, value)?,
                "--seconds" => {
                    let duration = Duration::try_from_secs_f64(parsed(name, value)?);
                    options.duration = duration.map_err(|error| format!("{name}: {error}"))?;
                }
                "--plot" => options.plot = Some(value.into()),
                _ => return Err(format!("{name:?} is not an option")),
            }
        }
        if options.rounds == 0 || options.duration.is_zero() {
            return Err("--rounds and --seconds are 0: expected more".to_owned());
        }
        Ok(options)
    }
}

fn parsed<T: FromStr<Err: ToString>>(name: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|error: T::Err| format!("{name}: {}", error.to_string()))
}

pub(crate) const USAGE: &str = "\
cargo run --release -p oauth2-actix-bench --bin load -- OPTIONS

  --algorithm RS256     of the signatures; also ES256, EdDSA
  --rounds 10           how often each API is measured
  --seconds 2           how long each API is under load in a round
  --plot FILE.svg       also write a plot";
