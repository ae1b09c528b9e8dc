//! No calls for a while after failures, so that requests fail at once and a server can recover.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::util::{
    backoff::{MAX_BACKOFF, backoff},
    clock::Clock,
};

/// The state of the calls to one endpoint.
///
/// It opens after one failure to connect, or after [`TOLERATED`] other failures without a success: a client can choose
/// what the endpoint is asked, and must not be able to make it look unavailable by one question. Once the backoff is
/// over, a few calls are let through, and the first success closes it.
#[derive(Debug)]
pub(crate) struct Breaker {
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The failures since the last success.
    failures: u32,
    /// The times that the breaker has opened since the last success.
    openings: u32,
    /// No call begins before this monotonic time.
    retry_at: Duration,
    /// The calls that try whether the endpoint works again.
    trials: usize,
    last_failure: Option<(Duration, String)>,
}

/// The permission for one call, which ends with [`Pass::succeeded`] or [`Pass::failed`].
#[derive(Debug)]
#[must_use = "the end of the call must be noted"]
pub(crate) struct Pass {
    began_at: Duration,
    is_trial: bool,
}

/// How a call has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    /// The endpoint cannot be reached, or rejects this API: other calls will fail too.
    Endpoint,
    /// This call has failed: others may succeed.
    Call,
}

impl Breaker {
    pub(crate) fn new(clock: &Clock) -> Self {
        Self { clock: clock.clone(), state: Mutex::default() }
    }

    /// Lets a call through, or returns the time after which one may be.
    pub(crate) fn enter(&self) -> Result<Pass, Duration> {
        let now = self.clock.monotonic();
        let mut state = self.state();
        if state.openings == 0 {
            return Ok(Pass { began_at: now, is_trial: false });
        }
        if now < state.retry_at {
            return Err(state.retry_at - now);
        }
        if state.trials >= TRIALS {
            if now < state.retry_at + LONGEST_TRIAL {
                return Err(LEAST_WAIT);
            }
            // Calls have a time limit: these have ended without a note, by a panic.
            state.trials = 0;
        }
        state.trials += 1;
        Ok(Pass { began_at: now, is_trial: true })
    }

    /// Returns the time after which a call may begin, if none may now.
    pub(crate) fn wait(&self) -> Option<Duration> {
        let now = self.clock.monotonic();
        let state = self.state();
        (state.openings > 0 && now < state.retry_at).then(|| state.retry_at - now)
    }

    /// Notes the end of a call that the endpoint has answered.
    pub(crate) fn succeeded(&self, pass: Pass) {
        let mut state = self.state();
        // What began before the breaker opened tells nothing about the endpoint now.
        if pass.is_trial || state.openings == 0 {
            let last_failure = state.last_failure.take();
            *state = State { last_failure, ..State::default() };
        }
    }

    /// Notes the end of a call whose question alone was refused: the endpoint works.
    pub(crate) fn answered(&self, pass: Pass, cause: &str) {
        self.succeeded(pass);
        self.state().last_failure = Some((self.clock.unix_time(), cause.to_owned()));
    }

    /// Notes the end of a call that has failed. Returns after which time a request may be tried again. `after` is what the
    /// endpoint asks for in `Retry-After`.
    pub(crate) fn failed(
        &self,
        pass: Pass,
        severity: Severity,
        after: Option<Duration>,
        cause: &str,
    ) -> Duration {
        let now = self.clock.monotonic();
        let mut state = self.state();
        state.last_failure = Some((self.clock.unix_time(), cause.to_owned()));
        if pass.is_trial {
            state.trials = state.trials.saturating_sub(1);
        }
        state.failures = state.failures.saturating_add(1);
        let opens = match state.openings {
            0 => severity == Severity::Endpoint || after.is_some() || state.failures >= TOLERATED,
            // Calls that began before the breaker opened have failed together.
            _ => pass.is_trial && pass.began_at >= state.retry_at,
        };
        if opens {
            state.openings = state.openings.saturating_add(1);
            let wait = backoff(state.openings).max(after.unwrap_or_default().min(MAX_BACKOFF));
            state.retry_at = now + wait;
        }
        state.retry_at.saturating_sub(now).max(LEAST_WAIT)
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

/// The failures in a row that do not open the breaker, plus one.
const TOLERATED: u32 = 5;

/// The calls that may try at once whether the endpoint works again.
const TRIALS: usize = 4;

/// No call takes this long.
const LONGEST_TRIAL: Duration = Duration::from_secs(120);

const LEAST_WAIT: Duration = Duration::from_secs(1);

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
        let trials: Vec<Pass> = (0..TRIALS).map(|_| breaker.enter().expect("a trial")).collect();
        assert!(breaker.enter().is_err(), "more trials than allowed");
        for trial in trials {
            breaker.succeeded(trial);
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
        for (asked, kept) in [(7, 7), (3600, 60)] {
            let (breaker, clock) = breaker();
            let pass = breaker.enter().expect("a call");
            let after = Some(Duration::from_secs(asked));
            let wait = breaker.failed(pass, Severity::Call, after, "busy");
            assert_eq!(wait, Duration::from_secs(kept));
            clock.advance(Duration::from_secs(kept) - Duration::from_millis(1));
            assert!(breaker.enter().is_err());
            clock.advance(Duration::from_millis(1));
            assert!(breaker.enter().is_ok());
        }
    }
}
