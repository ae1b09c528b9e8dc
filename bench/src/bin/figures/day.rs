//! A simulated day with a key server that fails at random, in every way.
//!
//! Invariant at each step: a token signed by a key of the last set that the policy obtained is accepted at
//! once, as long as the stale window lasts. The seed determines the answers and the rotations of the key
//! server. It does not determine the jitter of the fetcher.

use oauth2_actix_tests::key_server::{Answer, KeyServer};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use futures_util::FutureExt;
use oauth2_actix::{
    Algorithm, ErrorKind, OAuth2,
    status::{KeyState, KeyStatus},
    testing::{ManualClock, SigningKey, Token},
};
use oauth2_actix_bench as kit;
use tokio::task::JoinHandle;

use crate::{
    api::{AUDIENCE, ISSUER, jwk_set},
    report::Report,
};

pub(crate) fn run(report: &mut Report, arguments: &[String]) {
    let seed = match arguments.first() {
        Some(seed) => seed.parse().expect("a seed is a number"),
        None => SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos().into(),
    };
    report.figure("seed", seed);
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(1).enable_all();
    runtime.build().unwrap().block_on(async {
        let start = Instant::now();
        let mut day = Day::begin(seed).await;
        for _ in 0..STEPS {
            day.step().await;
        }
        day.report(report);
        day.end(report).await;
        report.figure("real time", format_args!("{:.1?}", start.elapsed()));
    });
}

/// How the key server answers for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mode {
    Good,
    Status500,
    Hang,
    Reset,
    TruncatedBody,
    EmptySet,
    Garbage,
}

const FAULTS: [Mode; 6] =
    [Mode::Status500, Mode::Hang, Mode::Reset, Mode::TruncatedBody, Mode::EmptySet, Mode::Garbage];

/// A key, and a token that it signed.
#[derive(Clone)]
struct Signer {
    key: SigningKey,
    token: String,
}

impl Signer {
    fn new(number: u64) -> Self {
        let key = SigningKey::generate(Algorithm::ES256, &format!("key-{number}"));
        let token = Token::new(ISSUER, AUDIENCE).expires_in(7 * 86_400).sign(&key);
        Self { key, token }
    }
}

struct Day {
    random: Random,
    server: KeyServer,
    clock: ManualClock,
    oauth2: OAuth2,
    mode: Mode,
    /// The number of steps that this mode still lasts.
    mode_steps: u64,
    made: u64,
    /// The keys that the provider publishes. It signs with the first.
    published: Vec<Signer>,
    /// The last set that the policy obtained.
    obtained: Vec<Signer>,
    /// Requests that wait for a fetch that hangs.
    waiting: Vec<JoinHandle<Result<(), ErrorKind>>>,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    /// The number of fetches in each mode.
    met: BTreeMap<Mode, u64>,
    rotations: u64,
    rotations_with_overlap: u64,
    /// The number of fetched sets that differed from the set before.
    obtained: u64,
    checks: u64,
    checks_while_waiting: u64,
    /// Requests with tokens of unknown keys, by result.
    unknown_accepted: u64,
    unknown_rejected: u64,
    unknown_unavailable: u64,
    longest_without: Duration,
}

impl Day {
    async fn begin(seed: u64) -> Self {
        let published = vec![Signer::new(1)];
        let server = KeyServer::start(jwk_set([&published[0].key])).unwrap();
        let clock = ManualClock::new();
        let oauth2 = OAuth2::builder()
            .provider("idp", kit::provider(server.url()))
            .key_refresh_minutes(5)
            .clock(clock.clone())
            .build()
            .unwrap();
        oauth2.warm_up().await.unwrap();
        let mut day = Self {
            random: Random(seed),
            server,
            clock,
            oauth2,
            mode: Mode::Good,
            mode_steps: 10,
            made: 1,
            obtained: published.clone(),
            published,
            waiting: Vec::new(),
            counts: Counts::default(),
        };
        day.counts.met.insert(Mode::Good, 1);
        // Requests that wait for a fetch resume before the next refresh is planned.
        day.until("a refresh is planned", |day| day.status().next_refresh_seconds.is_some()).await;
        day
    }

    async fn step(&mut self) {
        self.plan();
        let send_unknown = self.random.one_in(4);
        let made_up = self.random.one_in(2);
        let before = self.status();
        let requests = self.server.requests();
        self.clock.advance(STEP);
        match before.next_refresh_seconds {
            // A fetch was hanging. It has timed out, and the next attempt is not due yet.
            None => self.until_fetched(&before).await,
            Some(due) if due < STEP.as_secs() => self.until_attempted(&before, requests).await,
            Some(_) => {}
        }
        self.check();
        for request in std::mem::take(&mut self.waiting) {
            let outcome = within(request).await.unwrap();
            self.count_unknown(outcome);
        }
        if send_unknown {
            self.send_unknown(made_up).await;
            self.check();
        }
    }

    /// Sets the answers of the key server for this step. It draws the same random numbers for the same seed,
    /// independently of the fetcher.
    fn plan(&mut self) {
        self.mode_steps = self.mode_steps.saturating_sub(1);
        if self.mode_steps == 0 {
            let good = self.mode != Mode::Good || self.random.one_in(3);
            self.mode = if good { Mode::Good } else { FAULTS[self.random.below(6) as usize] };
            // Up to ten minutes, and in one of 16 cases up to two hours.
            let longest = if self.random.one_in(16) { 240 } else { 20 };
            self.mode_steps = 1 + self.random.below(longest);
        }
        if self.random.one_in(40) {
            self.made += 1;
            let next = Signer::new(self.made);
            if self.random.one_in(2) {
                self.published.insert(0, next);
                self.published.truncate(3);
                self.counts.rotations_with_overlap += 1;
            } else {
                self.published = vec![next];
                self.counts.rotations += 1;
            }
        }
        let set = jwk_set(self.published.iter().map(|signer| &signer.key));
        let cut = self.random.below(200) as usize;
        self.server.answer(match self.mode {
            Mode::Good => set,
            Mode::Status500 => Answer::status(500),
            Mode::Hang => Answer::hang(),
            Mode::Reset => Answer::reset(),
            // The head has about 100 bytes, so that some answers end in it.
            Mode::TruncatedBody => set.truncated(cut),
            Mode::EmptySet => Answer::json(&serde_json::json!({"keys": []})),
            Mode::Garbage => {
                let garbage: &[&[u8]] = &[
                    b"",
                    b"{\"keys\": [{\"kty\": \"EC\", \"kid\": \"key-1\"",
                    b"<!doctype html><title>Bad gateway</title>",
                    b"{\"keys\": [{\"kty\": \"EC\", \"crv\": \"P-256\", \"x\": \"AA\", \"y\": \"AA\"}]}",
                    b"\xff\xfe\x00\x01",
                    b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
                    b"null",
                ];
                Answer::body(200, &[], garbage[cut % garbage.len()])
            }
        });
    }

    /// Waits until the attempt that is due was made, and has ended unless the server hangs.
    async fn until_attempted(&mut self, before: &KeyStatus, requests: u64) {
        if self.mode == Mode::Hang {
            self.until("the key server has a request", |day| day.server.requests() > requests)
                .await;
        } else {
            self.until_fetched(before).await;
            assert_eq!(self.server.requests(), requests + 1, "requests of one attempt");
        }
        *self.counts.met.entry(self.mode).or_default() += 1;
    }

    /// Waits until one more fetch has ended, and records its result.
    async fn until_fetched(&mut self, before: &KeyStatus) {
        let ended = |status: &KeyStatus| status.fetches.succeeded + status.fetches.failed;
        let last = ended(before);
        self.until("a fetch ends", |day| {
            let status = day.status();
            ended(&status) > last && status.next_refresh_seconds.is_some()
        })
        .await;
        let after = self.status();
        assert_eq!(ended(&after), last + 1, "fetches in one step");
        if after.fetches.succeeded > before.fetches.succeeded {
            assert_eq!(self.mode, Mode::Good, "keys were fetched from a fault");
            assert_eq!(after.state, KeyState::Fresh);
            if kids(&self.obtained) != kids(&self.published) {
                self.counts.obtained += 1;
            }
            self.obtained = self.published.clone();
        } else if before.next_refresh_seconds.is_some() {
            assert_ne!(self.mode, Mode::Good, "{:?}", after.last_error);
        }
    }

    /// Waits until `done`. Until then, keys that are in the last set and in the next one must be accepted.
    async fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + TIMEOUT;
        let next = kids(&self.published);
        while !done(self) {
            assert!(
                Instant::now() < deadline,
                "{what}: expected within {TIMEOUT:?}, {:?}",
                self.status()
            );
            for signer in &self.obtained {
                if self.mode != Mode::Good || next.contains(&signer.key.kid()) {
                    self.assert_accepted(signer);
                    self.counts.checks_while_waiting += 1;
                }
            }
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
    }

    /// Checks the invariant for every key of the last set.
    fn check(&mut self) {
        let status = self.status();
        let actual: Vec<&str> = status.keys.iter().filter_map(|key| key.kid.as_deref()).collect();
        assert_eq!(actual, kids(&self.obtained), "the keys in the status");
        for signer in &self.obtained {
            self.assert_accepted(signer);
            self.counts.checks += 1;
        }
        let age = Duration::from_secs(status.age_seconds.unwrap_or_default());
        self.counts.longest_without = self.counts.longest_without.max(age);
    }

    fn assert_accepted(&self, signer: &Signer) {
        let outcome = self.oauth2.verify(&signer.token).now_or_never();
        let outcome = outcome.map(|outcome| outcome.map(drop));
        assert!(
            matches!(outcome, Some(Ok(()))),
            "a token of {} is rejected or waits: {outcome:?}; {:?}",
            signer.key.kid(),
            self.status()
        );
    }

    /// Sends a token of an unknown key: of the newest key, or with a made-up key id.
    async fn send_unknown(&mut self, made_up: bool) {
        let newest = &self.published[0];
        let token = if made_up || kids(&self.obtained).contains(&newest.key.kid()) {
            let token = Token::new(ISSUER, AUDIENCE).expires_in(7 * 86_400);
            token.header("kid", "made-up").sign(&newest.key)
        } else {
            newest.token.clone()
        };
        let before = self.status();
        let requests = self.server.requests();
        // The token causes a fetch: none is in progress, the last one did not fail, and a step is longer than
        // the cooldown.
        let fetches = before.next_refresh_seconds.is_some() && before.state == KeyState::Fresh;
        let oauth2 = self.oauth2.clone();
        let request = tokio::spawn(async move {
            oauth2.verify(&token).await.map(drop).map_err(|error| error.kind().clone())
        });
        if fetches {
            self.until_attempted(&before, requests).await;
        }
        if self.status().next_refresh_seconds.is_none() {
            // The request waits for a fetch that hangs, until the clock is advanced.
            self.waiting.push(request);
        } else {
            let outcome = within(request).await.unwrap();
            self.count_unknown(outcome);
        }
    }

    fn count_unknown(&mut self, outcome: Result<(), ErrorKind>) {
        match outcome {
            Ok(()) => self.counts.unknown_accepted += 1,
            Err(ErrorKind::UnknownKey) => self.counts.unknown_rejected += 1,
            Err(ErrorKind::KeysUnavailable { .. }) => self.counts.unknown_unavailable += 1,
            Err(other) => panic!("{other:?}"),
        }
    }

    fn status(&self) -> KeyStatus {
        self.oauth2.key_status().remove(0)
    }

    fn report(&self, report: &mut Report) {
        let counts = &self.counts;
        let fetches = self.status().fetches;
        let total = fetches.succeeded + fetches.failed;
        report.figure("steps of 30 s", STEPS);
        // A violation panics, so that the count is 0 here.
        report.bound("tokens of the last set, rejected or made to wait", 0, "0", true);
        report.figure("  checked after each step", counts.checks);
        report.figure("  checked while a fetch was expected", counts.checks_while_waiting);
        report.bound("fetches", total, "at least 300", total >= 300);
        for mode in std::iter::once(Mode::Good).chain(FAULTS) {
            let met = counts.met.get(&mode).copied().unwrap_or_default();
            report.bound(format_args!("  in mode {mode:?}"), met, "more than 0", met > 0);
        }
        for (what, count) in [
            ("rotations without overlap", counts.rotations),
            ("rotations with overlap", counts.rotations_with_overlap),
            ("new sets obtained", counts.obtained),
            ("tokens of unknown keys: accepted after a fetch", counts.unknown_accepted),
            ("tokens of unknown keys: rejected", counts.unknown_rejected),
            ("tokens of unknown keys: 503", counts.unknown_unavailable),
        ] {
            report.bound(what, count, "more than 0", count > 0);
        }
        report.figure(
            "longest time without a successful fetch",
            format_args!("{:?}", counts.longest_without),
        );
    }

    /// Simulates an outage longer than the stale window. The keys must be used until its end, and no longer.
    async fn end(&mut self, report: &mut Report) {
        self.server.answer(jwk_set(self.published.iter().map(|signer| &signer.key)));
        // Ends a fetch that hangs.
        self.clock.advance(STEP);
        within(self.oauth2.refresh_keys()).await.unwrap();
        self.obtained = self.published.clone();
        self.server.answer(Answer::status(500));
        let left = self.status().stale_in_seconds.unwrap();
        self.clock.advance(Duration::from_secs(left - 1));
        self.check();
        self.clock.advance(Duration::from_secs(2));
        let mut stale = true;
        for signer in &self.obtained {
            let outcome = within(self.oauth2.verify(&signer.token)).await;
            let kind = outcome.map(drop).map_err(|error| error.kind().clone());
            stale &= matches!(kind, Err(ErrorKind::KeysUnavailable { .. }));
        }
        report.bound(
            "an outage of 24 h: the keys are used until its last second",
            true,
            "true",
            true,
        );
        report.bound("  503 afterwards", stale, "true", stale);
    }
}

fn kids(signers: &[Signer]) -> Vec<&str> {
    signers.iter().map(|signer| signer.key.kid()).collect()
}

async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(TIMEOUT, future).await.expect("a result within the timeout")
}

/// SplitMix64: small, and the same numbers for the same seed on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

const STEP: Duration = Duration::from_secs(30);
const STEPS: u64 = 24 * 60 * 2;
/// In real time, for steps of milliseconds. It only ends a run that hangs.
const TIMEOUT: Duration = Duration::from_secs(60);
