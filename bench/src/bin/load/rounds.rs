//! Measures all contenders in turns, and compares them.

use std::{fmt, time::Duration};

use crate::{
    cores,
    generator::{Generator, Measured},
    options::Options,
    server::{Contender, Server},
    tokens::Tokens,
};

/// The tokens of a load.
#[derive(Clone, Copy)]
pub(crate) enum Scenario {
    Repeated,
    New,
}

impl Scenario {
    pub(crate) const ALL: [Self; 2] = [Self::Repeated, Self::New];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Repeated => "one token, in every request",
            Self::New => "a new token in every request",
        }
    }

    /// Measures all contenders under load, round by round.
    pub(crate) fn run(self, options: &Options, tokens: &Tokens) -> Column {
        cores::pin_to(cores::GENERATOR);
        let mut column = Column { rounds: Contender::ALL.map(|_| Vec::new()), disturbed: 0 };
        for round in 0..options.rounds {
            for turn in 0..Contender::ALL.len() {
                // Each round starts with another contender.
                let index = (round + turn) % Contender::ALL.len();
                let mut measured = self.measure(Contender::ALL[index], options, tokens);
                for _ in 0..TRIES {
                    if measured.server >= UNDISTURBED {
                        break;
                    }
                    column.disturbed += 1;
                    measured = self.measure(Contender::ALL[index], options, tokens);
                }
                column.rounds[index].push(measured);
            }
        }
        column
    }

    /// Measures a contender in a new process, which has seen no token. The memory layout differs in each
    /// round.
    fn measure(self, contender: Contender, options: &Options, tokens: &Tokens) -> Measured {
        let mut requests: Box<dyn Iterator<Item = &[u8]>> = match self {
            Self::Repeated => Box::new(tokens.repeated()),
            Self::New if contender.caches() => Box::new(tokens.new_ones()),
            // To the others, a repeated token is a new one.
            Self::New => Box::new(tokens.new_ones().cycle()),
        };
        let server = Server::start(contender, tokens);
        let mut generator = Generator::new(&server);
        generator.run(Duration::MAX, &mut requests.by_ref().take(WARM_UP));
        generator.run(options.duration, &mut requests)
    }
}

/// The rounds of each contender.
pub(crate) struct Column {
    rounds: [Vec<Measured>; Contender::ALL.len()],
    /// How often a contender was measured again, since another process used a core.
    pub(crate) disturbed: usize,
}

impl Column {
    fn of(&self, contender: Contender) -> &[Measured] {
        &self.rounds[contender as usize]
    }

    pub(crate) fn requests_per_second(&self, contender: Contender) -> Spread {
        Spread::of(self.of(contender).iter().map(|measured| measured.requests_per_second))
    }

    /// Returns the ratio of the requests per second to those of `to`, round by round.
    pub(crate) fn ratio(&self, contender: Contender, to: Contender) -> Spread {
        let pairs = self.of(contender).iter().zip(self.of(to));
        Spread::of(pairs.map(|(one, other)| one.requests_per_second / other.requests_per_second))
    }

    /// Returns how busy the generator was with the fastest contender, in the median round.
    pub(crate) fn busiest_generator(&self) -> f64 {
        self.medians(|measured| measured.generator).fold(0.0, f64::max)
    }

    /// Returns how busy the least busy contender was, in the median round.
    pub(crate) fn idlest_server(&self) -> f64 {
        self.medians(|measured| measured.server).fold(1.0, f64::min)
    }

    fn medians(&self, value: fn(&Measured) -> f64) -> impl Iterator<Item = f64> {
        self.rounds.iter().map(move |rounds| Spread::of(rounds.iter().map(value)).median)
    }
}

impl fmt::Display for Column {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [name, rate, p50, p99, cpu, plain, by_hand] =
            ["", "requests/s", "p50", "p99", "CPU each", "to plain", "to by hand"];
        writeln!(
            formatter,
            "    {name:<15}{rate:>11}{p50:>10}{p99:>10}{cpu:>10}   {plain:<23}{by_hand:<23}server  load"
        )?;
        for contender in Contender::ALL {
            let median = |value: fn(&Measured) -> f64| {
                Spread::of(self.of(contender).iter().map(value)).median
            };
            writeln!(
                formatter,
                "    {:<15}{:>11.0}{:>7.3} ms{:>7.3} ms{:>7.2} us   {:<23}{:<23}{:>4.0} %{:>4.0} %",
                contender.name(),
                self.requests_per_second(contender).median,
                median(|measured| milliseconds(measured.p50)),
                median(|measured| milliseconds(measured.p99)),
                median(|measured| milliseconds(measured.cpu) * 1e3),
                self.ratio(contender, Contender::Plain).to_string(),
                self.ratio(contender, Contender::ByHand).to_string(),
                median(|measured| measured.server * 100.0),
                median(|measured| measured.generator * 100.0),
            )?;
        }
        Ok(())
    }
}

/// The median of several figures, and their range.
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_unstable_by(f64::total_cmp);
        let (low, high) = ((values.len() - 1) / 2, values.len() / 2);
        let median = f64::midpoint(values[low], values[high]);
        Self { median, min: values[0], max: values[values.len() - 1] }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:.3} ({:.3}..{:.3})", self.median, self.min, self.max)
    }
}

/// The share of its core that a server under load has if no other process runs. With less, it is measured
/// again.
pub(crate) const UNDISTURBED: f64 = 0.95;
/// How often a contender is measured again in a round.
const TRIES: usize = 30;

/// Requests before the measurement: more tokens than `OAuth2` caches by default, so that its cache is full.
pub(crate) const WARM_UP: usize = 40_000;

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
