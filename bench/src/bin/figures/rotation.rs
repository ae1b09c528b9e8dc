//! A provider that rotates without overlap: at one moment it starts to sign with a new key and publishes no
//! other. Tokens of the new key must be accepted from then on.
//!
//! The clock is manual. It advances by a second when the requests of that second are answered, so that no
//! figure depends on the speed of the machine.

use std::{
    sync::{Arc, Mutex, RwLock},
    time::{Duration, Instant},
};

use oauth2_actix::{
    OAuth2, Provider,
    testing::{IdentityProvider, ManualClock, RunningIdentityProvider},
};

use crate::{
    api::{AUDIENCE, Api, wait},
    load::{Load, request},
    report::Report,
    samples::{Sample, milliseconds, other_than, percentile, statuses},
};

pub(crate) fn run(report: &mut Report, _: &[String]) {
    report.heading("tokens of a withdrawn key are no longer sent");
    let quiet = Run::new(20, 0);
    for rotation in &quiet.rotations {
        quiet.report_new_key(report, rotation);
    }
    quiet.report_rest(report);
    let expected = 1 + quiet.rotations.len() as u64;
    report.bound(
        "fetches",
        quiet.fetches,
        format_args!("{expected}: one at the start, one for each rotation"),
        quiet.fetches == expected,
    );

    report.heading("one request in 10 uses the first key, which the first rotation withdrew");
    let noisy = Run::new(30, 10);
    // The withdrawn key is an unknown key too. Its tokens must not delay the fetch of a new key.
    for rotation in &noisy.rotations {
        noisy.report_new_key(report, rotation);
    }
    noisy.report_rest(report);
    let limit = 1 + noisy.seconds / COOLDOWN.as_secs() + 1;
    report.bound(
        "fetches",
        noisy.fetches,
        format_args!(
            "at most {limit}: one at the start, one each {} s, one in reserve",
            COOLDOWN.as_secs()
        ),
        noisy.fetches <= limit,
    );
}

/// The key that signed the token of a request.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// The newest key, after this number of rotations.
    Newest(usize),
    /// A key that is no longer published.
    Withdrawn,
}

struct Rotation {
    /// Counted from 1.
    number: usize,
    /// By the policy's clock.
    second: u64,
    /// When the new key was published, before it signed a token. Real time since the start of the load.
    published: Duration,
}

impl Rotation {
    fn label(&self, what: &str) -> String {
        format!("rotation {} at {} s: {what}", self.number, self.second)
    }
}

/// A finished run under load.
struct Run {
    seconds: u64,
    rotations: Vec<Rotation>,
    samples: Vec<Sample<Kind>>,
    fetches: u64,
}

/// The requests that are sent at present.
struct Requests {
    rotations: usize,
    newest: Arc<[u8]>,
    withdrawn: Option<Arc<[u8]>>,
}

impl Run {
    /// Runs the load. `withdrawn_percent` of it uses the first key after its withdrawal.
    fn new(seconds: u64, withdrawn_percent: u64) -> Self {
        let idp = IdentityProvider::start(AUDIENCE).unwrap();
        let clock = ManualClock::new();
        idp.set_clock(clock.clone());
        let provider = Provider::new().issuer(idp.issuer()).audience(AUDIENCE).keys(idp.jwks_url());
        let oauth2 = OAuth2::builder()
            .provider("idp", provider)
            .key_refresh_minutes(30)
            .unknown_key_cooldown(COOLDOWN)
            .clock(clock.clone())
            .build()
            .unwrap();
        wait(oauth2.warm_up()).unwrap();
        let api = Api::start(&oauth2);
        let newest = signed(&idp);
        let requests = RwLock::new(Requests { rotations: 0, newest, withdrawn: None });
        let load = Load {
            address: api.address(),
            connections: 32,
            rate: None,
            start: Instant::now(),
            // Never reached: each second ends with its last request.
            duration: Duration::from_secs(24 * 60 * 60),
        };
        let (mut samples, rotations) = (Vec::new(), Mutex::new(Vec::new()));
        let rotate = |second| {
            idp.rotate_key();
            let published = load.start.elapsed();
            let newest = signed(&idp);
            let mut requests = requests.write().unwrap();
            let last = std::mem::replace(&mut requests.newest, newest);
            requests.withdrawn.get_or_insert(last);
            requests.rotations += 1;
            let number = requests.rotations;
            rotations.lock().unwrap().push(Rotation { number, second, published });
        };
        for second in 0..seconds {
            samples.extend(load.run(|index| {
                if index >= EACH_SECOND {
                    return None;
                }
                if index == EACH_SECOND / 2 && ROTATIONS.contains(&second) {
                    // At the same time, the other connections send.
                    rotate(second);
                }
                let requests = requests.read().unwrap();
                Some(match &requests.withdrawn {
                    Some(withdrawn) if index * withdrawn_percent % 100 < withdrawn_percent => {
                        (Kind::Withdrawn, Arc::clone(withdrawn))
                    }
                    _ => (Kind::Newest(requests.rotations), Arc::clone(&requests.newest)),
                })
            }));
            clock.advance(Duration::from_secs(1));
        }
        let rotations = rotations.into_inner().unwrap();
        Self { seconds, rotations, samples, fetches: idp.key_requests() }
    }

    /// Returns the answers to tokens of the key of this rotation, except those after the next rotation.
    fn of_new_key(&self, rotation: &Rotation) -> impl Iterator<Item = &Sample<Kind>> {
        let end = self.rotations.get(rotation.number).map(|next| next.published);
        self.samples.iter().filter(move |sample| {
            sample.kind == Kind::Newest(rotation.number)
                && end.is_none_or(|end| sample.ended() < end)
        })
    }

    fn report_new_key(&self, report: &mut Report, rotation: &Rotation) {
        report.bound(
            rotation.label("statuses for tokens of the new key"),
            statuses(self.of_new_key(rotation)),
            "only 200",
            other_than(200, self.of_new_key(rotation)) == 0
                && self.of_new_key(rotation).next().is_some(),
        );
        report.figure(
            rotation.label("slowest of them, which waited for the keys"),
            milliseconds(percentile(1.0, self.of_new_key(rotation))),
        );
    }

    fn report_rest(&self, report: &mut Report) {
        let first = self.rotations[0].published;
        let before = || {
            let of_first = self.samples.iter().filter(|sample| sample.kind == Kind::Newest(0));
            of_first.filter(move |sample| sample.ended() < first)
        };
        report.bound(
            "before the first rotation",
            statuses(before()),
            "only 200",
            other_than(200, before()) == 0,
        );
        let withdrawn = self.samples.iter().filter(|sample| sample.kind == Kind::Withdrawn);
        report.figure(
            "statuses for tokens of a withdrawn key (401 is correct)",
            statuses(withdrawn.filter(|sample| sample.began > first)),
        );
        report.figure("requests", self.samples.len());
    }
}

fn signed(idp: &RunningIdentityProvider) -> Arc<[u8]> {
    request(&idp.token().sign(&idp.key()))
}

/// The number of requests.
const EACH_SECOND: u64 = 300;
/// When keys are rotated, in seconds. The times are more than a cooldown apart.
const ROTATIONS: [u64; 2] = [5, 16];
/// The default.
const COOLDOWN: Duration = Duration::from_secs(10);
