//! An API that starts without keys: many requests at once, and a provider that is down at first. The policy
//! has a manual clock, so that no figure depends on the speed of the machine.

use oauth2_actix_tests::key_server::{Answer, KeyServer};
use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use oauth2_actix::{
    Algorithm, OAuth2, Provider,
    testing::{IdentityProvider, LocalServer, ManualClock, SigningKey, Token},
};

use actix_web::{App, HttpServer};

use crate::{
    api::{AUDIENCE, Api, ISSUER, jwk_set},
    load::{Connection, request},
    report::Report,
    samples::{Sample, milliseconds, other_than, percentile, statuses},
};

pub(crate) fn run(report: &mut Report, _: &[String]) {
    at_once(report);
    thread::scope(|scope| {
        let rejecting = scope.spawn(rejects_connections);
        let failing = scope.spawn(answers_500);
        for (what, outage) in [
            ("the provider rejects connections at first", rejecting.join().unwrap()),
            ("the provider answers 500 at first", failing.join().unwrap()),
        ] {
            report.heading(what);
            outage.report(report);
        }
    });
}

fn at_once(report: &mut Report) {
    report.heading("500 requests at once");
    let key = SigningKey::generate(Algorithm::ES256, "key-1");
    // The answer is held until all requests wait.
    let (answer, release) = jwk_set([&key]).held();
    let server = KeyServer::start(answer).unwrap();
    let api = Api::start(&policy(ISSUER, &server.url(), &ManualClock::new()));
    let request = request(&Token::new(ISSUER, AUDIENCE).sign(&key));
    let start = Instant::now();
    let (samples, released) = thread::scope(|scope| {
        let requests: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                let mut connection = Connection::open(api.address());
                let request = Arc::clone(&request);
                scope.spawn(move || {
                    let began = start.elapsed();
                    let status = connection.send(&request).unwrap_or(0);
                    Sample { kind: (), began, latency: start.elapsed() - began, status }
                })
            })
            .collect();
        let deadline = Instant::now() + Duration::from_secs(60);
        while api.arrived() < AT_ONCE || server.requests() == 0 {
            assert!(Instant::now() < deadline, "{} requests arrived", api.arrived());
            thread::sleep(Duration::from_millis(2));
        }
        let released = start.elapsed();
        release.release();
        let samples: Vec<_> = requests.into_iter().map(|request| request.join().unwrap()).collect();
        (samples, released)
    });
    let others = other_than(200, &samples);
    report.bound("statuses", statuses(&samples), "only 200", others == 0);
    let early = samples.iter().filter(|sample| sample.ended() < released).count();
    report.bound("answered before the keys were sent", early, "none", early == 0);
    report.bound("fetches", server.requests(), "1", server.requests() == 1);
    let last = samples.iter().map(Sample::ended).max().unwrap_or_default();
    report.figure("from the release of the keys to the last answer", milliseconds(last - released));
    report.figure(
        "slowest request, with the time for which the keys were held",
        milliseconds(percentile(1.0, &samples)),
    );
}

/// A provider that was down when the API started. Times count from the start of the API, by its clock.
struct Outage {
    up: Duration,
    first_success: Duration,
    /// The number of failed fetches.
    failures: u64,
    /// When the last failure was seen.
    last_failure: Duration,
    /// The answers before the first success.
    others: Vec<Sample<()>>,
}

fn rejects_connections() -> Outage {
    // The port is bound, so that no other process gets it, but no process listens on it.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let issuer = format!("http://{}", socket.local_addr().unwrap());
    let idp = IdentityProvider::new(&issuer, AUDIENCE);
    let request = request(&idp.token().sign(&idp.key()));
    let clock = ManualClock::new();
    let oauth2 = policy(idp.issuer(), &idp.jwks_url(), &clock);
    // The server lives until the end of the experiment.
    let mut served = None;
    Outage::observe(&oauth2, &clock, &request, || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let listener = {
            let _entered = runtime.enter();
            socket.listen(1024).unwrap().into_std().unwrap()
        };
        served = Some(LocalServer::listen(listener, move |listener| {
            let app = move || App::new().configure(|config| idp.configure(config));
            Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
        }));
    })
}

fn answers_500() -> Outage {
    let key = SigningKey::generate(Algorithm::ES256, "key-1");
    let server = KeyServer::start(Answer::status(500)).unwrap();
    let request = request(&Token::new(ISSUER, AUDIENCE).sign(&key));
    let clock = ManualClock::new();
    let oauth2 = policy(ISSUER, &server.url(), &clock);
    Outage::observe(&oauth2, &clock, &request, || server.answer(jwk_set([&key])))
}

impl Outage {
    /// Sends a request at each tick of the clock, and starts the provider after `DOWN`.
    fn observe(
        oauth2: &OAuth2,
        clock: &ManualClock,
        request: &[u8],
        start_provider: impl FnOnce(),
    ) -> Self {
        let api = Api::start(oauth2);
        let mut start_provider = Some(start_provider);
        let mut now = Duration::ZERO;
        let mut outage = Self {
            up: Duration::MAX,
            first_success: Duration::MAX,
            failures: 0,
            last_failure: Duration::ZERO,
            others: Vec::new(),
        };
        loop {
            assert!(now < DOWN + Duration::from_secs(90), "no request was accepted");
            if now >= DOWN
                && let Some(start_provider) = start_provider.take()
            {
                start_provider();
                outage.up = now;
            }
            // The request waits for an attempt that is due, which is over once it is answered.
            let status = Connection::open(api.address()).send(request).unwrap_or(0);
            let failures = oauth2.key_status()[0].fetches.failed;
            if failures > outage.failures {
                (outage.failures, outage.last_failure) = (failures, now);
            }
            if status == 200 {
                outage.first_success = now;
                break;
            }
            outage.others.push(Sample { kind: (), began: now, latency: Duration::ZERO, status });
            clock.advance(TICK);
            now += TICK;
        }
        outage
    }

    fn report(&self, report: &mut Report) {
        let seconds = |duration: Duration| format!("{:.2} s", duration.as_secs_f64());
        report.figure("failed fetches", self.failures);
        report.figure("last failed fetch at", seconds(self.last_failure));
        report.figure("start of the provider at", seconds(self.up));
        let others = other_than(503, &self.others);
        report.bound(
            "statuses before the first success",
            statuses(&self.others),
            "only 503",
            others == 0,
        );
        // 1 s after the first failure, doubled with each, up to 60 s.
        let backoff = Duration::from_secs((1 << (self.failures.max(1) - 1).min(6)).min(60));
        let after_up = self.first_success.saturating_sub(self.up);
        report.bound(
            "first success, after the start of the provider",
            seconds(after_up),
            format_args!(
                "at most the backoff after {} failures, {} s",
                self.failures,
                backoff.as_secs()
            ),
            self.first_success >= self.up && after_up <= backoff + TICK,
        );
        let after_failure = self.first_success - self.last_failure;
        let (least, most) = (backoff.mul_f64(0.8), backoff + TICK);
        report.bound(
            "first success, after the last failed fetch",
            seconds(after_failure),
            format_args!("at least 0.8 of the backoff, at most the backoff and a tick of {TICK:?}"),
            (least..=most).contains(&after_failure),
        );
    }
}

fn policy(issuer: &str, keys: &str, clock: &ManualClock) -> OAuth2 {
    let provider = Provider::new().issuer(issuer).audience(AUDIENCE).keys(keys);
    OAuth2::builder()
        .provider("idp", provider)
        .key_refresh_minutes(30)
        .clock(clock.clone())
        .build()
        .unwrap()
}

const AT_ONCE: u64 = 500;
const DOWN: Duration = Duration::from_secs(8);
/// The time between two requests.
const TICK: Duration = Duration::from_millis(50);
