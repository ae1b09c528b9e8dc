//! A circuit breaker: after failures, calls fail at once for a time, so that a server can recover.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    outbound::failure::Severity,
    util::{
        backoff::{MAX_BACKOFF, backoff},
        clock::Clock,
    },
};

/// The circuit breaker of one endpoint: closed, open, or half-open.
///
/// It opens after one failure to connect, or after [`TOLERATED`] other failures without a success: a client controls what
/// is sent, so that one failed request must not open it. After the backoff it is half-open and permits a few probes. The
/// first success closes it.
#[derive(Debug)]
pub(crate) struct Breaker {
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The failures since the last success.
    failures: u32,
    /// The number of times that it has opened since the last success. Zero: it is closed.
    openings: u32,
    /// No call begins before this monotonic time.
    retry_at: Duration,
    /// The probes in progress.
    probes: usize,
    last_failure: Option<(Duration, String)>,
}

/// The permission for one call, which ends with [`Breaker::succeeded`] or [`Breaker::failed`].
#[derive(Debug)]
#[must_use = "the end of the call must be noted"]
pub(crate) struct Pass {
    began_at: Duration,
    is_probe: bool,
}

impl Pass {
    /// Returns whether the breaker is half-open, so that the call shows whether the endpoint works again.
    pub(crate) fn is_probe(&self) -> bool {
        self.is_probe
    }
}

impl Breaker {
    pub(crate) fn new(clock: &Clock) -> Self {
        Self { clock: clock.clone(), state: Mutex::default() }
    }

    /// Permits a call, or returns the time after which one may be permitted.
    pub(crate) fn enter(&self) -> Result<Pass, Duration> {
        let now = self.clock.monotonic();
        let mut state = self.state();
        if state.openings == 0 {
            return Ok(Pass { began_at: now, is_probe: false });
        }
        if now < state.retry_at {
            return Err(state.retry_at - now);
        }
        if state.probes >= MAX_PROBES {
            if now < state.retry_at + LONGEST_CALL {
                return Err(MIN_WAIT);
            }
            // Calls have a time limit: these have panicked.
            state.probes = 0;
        }
        state.probes += 1;
        Ok(Pass { began_at: now, is_probe: true })
    }

    /// Returns the time after which a call may begin, if none may now.
    pub(crate) fn wait(&self) -> Option<Duration> {
        let now = self.clock.monotonic();
        let state = self.state();
        (state.openings > 0 && now < state.retry_at).then(|| state.retry_at - now)
    }

    /// Notes a call with a valid response.
    pub(crate) fn succeeded(&self, pass: Pass) {
        let mut state = self.state();
        // What began before the breaker opened tells nothing about the endpoint now.
        if pass.is_probe || state.openings == 0 {
            let last_failure = state.last_failure.take();
            *state = State { last_failure, ..State::default() };
        }
    }

    /// Notes a call that has failed. Returns the time after which a request may be retried. `after` is the `Retry-After` of
    /// the endpoint.
    pub(crate) fn failed(
        &self,
        pass: Pass,
        severity: Severity,
        after: Option<Duration>,
        cause: &str,
    ) -> Duration {
        if severity == Severity::Request {
            self.succeeded(pass);
            self.state().last_failure = Some((self.clock.unix_time(), cause.to_owned()));
            return MIN_WAIT;
        }
        let now = self.clock.monotonic();
        let mut state = self.state();
        state.last_failure = Some((self.clock.unix_time(), cause.to_owned()));
        if pass.is_probe {
            state.probes = state.probes.saturating_sub(1);
        }
        state.failures = state.failures.saturating_add(1);
        let opens = match state.openings {
            0 => severity == Severity::Endpoint || after.is_some() || state.failures >= TOLERATED,
            // Calls that began before the breaker opened have failed together.
            _ => pass.is_probe && pass.began_at >= state.retry_at,
        };
        if opens {
            state.openings = state.openings.saturating_add(1);
            let wait = backoff(state.openings).max(after.unwrap_or_default().min(MAX_BACKOFF));
            state.retry_at = now + wait;
        }
        state.retry_at.saturating_sub(now).max(MIN_WAIT)
    }

    /// Returns the time of the last failure since the Unix epoch, and its cause.
    pub(crate) fn last_failure(&self) -> Option<(Duration, String)> {
        self.state().last_failure.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // It holds plain values, which no panic leaves half written.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The number of failures in a row that opens the breaker.
const TOLERATED: u32 = 5;

/// The most probes in progress.
const MAX_PROBES: usize = 4;

/// No call takes this long.
const LONGEST_CALL: Duration = Duration::from_secs(120);

const MIN_WAIT: Duration = Duration::from_secs(1);

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;
    use crate::util::manual_clock::ManualClock;

    fn breaker() -> (Breaker, ManualClock) {
        let clock = ManualClock::new();
        (Breaker::new(&Clock::Manual(clock.clone())), clock)
    }

    fn fail(breaker: &Breaker, severity: Severity) -> Duration {
        let pass = breaker.enter().expect("a call");
        breaker.failed(pass, severity, None, "down")
    }

    #[test]
    fn failure_to_connect_opens_it_and_one_failed_call_does_not() {
        let (breaker, _) = breaker();
        for _ in 1..TOLERATED {
            fail(&breaker, Severity::Call);
            assert!(breaker.enter().is_ok() && breaker.wait().is_none());
        }
        breaker.succeeded(breaker.enter().expect("a call"));
        for _ in 1..TOLERATED {
            fail(&breaker, Severity::Call);
        }
        assert!(breaker.enter().is_ok(), "a success starts the count again");
        fail(&breaker, Severity::Call);
        assert!(breaker.enter().is_err() && breaker.wait().is_some());
        let (breaker, _) = self::breaker();
        fail(&breaker, Severity::Endpoint);
        assert!(breaker.enter().is_err());
    }

    #[test]
    fn backoff_grows_once_for_each_opening_and_ends_with_a_success() {
        let (breaker, clock) = breaker();
        let passes: Vec<Pass> = (0..100).map(|_| breaker.enter().expect("a call")).collect();
        for pass in passes {
            let wait = breaker.failed(pass, Severity::Endpoint, None, "down");
            assert!(wait <= Duration::from_secs(1), "{wait:?}");
        }
        clock.advance(Duration::from_secs(1));
        let wait = fail(&breaker, Severity::Call);
        assert!(wait > Duration::from_secs(1) && wait <= Duration::from_secs(2), "{wait:?}");
        clock.advance(Duration::from_secs(2));
        let probes: Vec<Pass> =
            (0..MAX_PROBES).map(|_| breaker.enter().expect("a probe")).collect();
        assert!(breaker.enter().is_err(), "more probes than allowed");
        for probe in probes {
            breaker.succeeded(probe);
        }
        assert!(breaker.enter().is_ok() && breaker.wait().is_none());
        assert_eq!(breaker.last_failure().expect("a failure").1, "down");
    }

    #[test]
    fn success_of_an_earlier_call_does_not_close_it() {
        let (breaker, _) = breaker();
        let early = breaker.enter().expect("a call");
        fail(&breaker, Severity::Endpoint);
        breaker.succeeded(early);
        assert!(breaker.enter().is_err());
    }

    #[test]
    fn endpoint_that_asks_for_a_time_gets_it_up_to_a_minute() {
        for (requested, kept) in [(7, 7), (3600, 60)] {
            let (breaker, clock) = breaker();
            let pass = breaker.enter().expect("a call");
            let after = Some(Duration::from_secs(requested));
            let wait = breaker.failed(pass, Severity::Call, after, "busy");
            assert_eq!(wait, Duration::from_secs(kept));
            clock.advance(Duration::from_secs(kept) - Duration::from_millis(1));
            assert!(breaker.enter().is_err());
            clock.advance(Duration::from_millis(1));
            assert!(breaker.enter().is_ok());
        }
    }
}
