//! A provider that hangs during a background refresh. Requests whose key is known must not notice.
//!
//! Four APIs under the same load at the same time: for one, a single fetch hangs for all the time;
//! for one, fetches run into the default time limit again and again; for two, the provider never
//! hangs. The third is the run without a hang: whatever else the machine does meanwhile hits all.
//! What this would hide is a hang that takes the machine from all, so the time that key threads spend
//! on a CPU is measured too. The fourth, beside the third, shows how far two p99s are apart by chance.

use oauth2_actix_tests::key_server::KeyServer;
use std::{
    fs,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use oauth2_actix::{
    Algorithm, OAuth2,
    testing::{SigningKey, Token},
};
use oauth2_actix_bench::{self as kit, statistics::cpu_time};

use crate::{
    api::{AUDIENCE, Api, ISSUER, jwk_set, wait},
    load::{Load, request},
    report::Report,
    samples::{Sample, milliseconds, other_than, percentile, statuses},
};

pub(crate) fn run(report: &mut Report, _: &[String]) {
    let key = SigningKey::generate(Algorithm::ES256, "key-1");
    let request = request(&Token::new(ISSUER, AUDIENCE).expires_in(3600).sign(&key));
    let long = Subject::start(&key, Some(Duration::from_secs(60)));
    let short = Subject::start(&key, None);
    let (control, other_control) = (Subject::start(&key, None), Subject::start(&key, None));
    let start = Instant::now();
    let load = |subject: &Subject| {
        let (address, rate) = (subject.api.address(), Some(RATE));
        let load = Load { address, connections: 8, rate, start, duration: TOTAL };
        load.run(|_| Some(((), Arc::clone(&request))))
    };
    let hangs = |subject: &Subject| -> Vec<Hang> {
        let hang = |at: Duration| {
            thread::sleep((start + at).saturating_duration_since(Instant::now()));
            subject.hang(&key, start)
        };
        HANGS.into_iter().map(hang).collect()
    };
    let busy_before = key_threads_busy();
    let ([long, short, control, other_control], [long_hangs, short_hangs]) =
        thread::scope(|scope| {
            let loads = [&long, &short, &control, &other_control]
                .map(|subject| scope.spawn(move || load(subject)));
            let hangs = [&long, &short].map(|subject| scope.spawn(move || hangs(subject)));
            let hangs = hangs.map(|hangs| hangs.join().unwrap());
            (loads.map(|load| load.join().unwrap()), hangs)
        });
    let busy = key_threads_busy() - busy_before;

    report.heading("one fetch hangs all the time (fetch_timeout 60 s)");
    let alone = long_hangs.iter().all(|hang| hang.fetches == 1 && hang.only_one_fetch);
    report.bound("fetches that hung, by window", fetches(&long_hangs), "1, to the end", alone);
    let ratio = compare(report, &long, &control, &long_hangs);
    report.bound("p99: ratio", format_args!("{ratio:.3}"), "at most 1.2", ratio <= 1.2);

    report.heading("fetches hang for 5 s each (the default fetch_timeout)");
    let several = short_hangs.iter().all(|hang| hang.fetches > 1);
    report.bound("fetches that hung, by window", fetches(&short_hangs), "several", several);
    let ratio = compare(report, &short, &control, &short_hangs);
    report.bound("p99: ratio", format_args!("{ratio:.3}"), "at most 1.2", ratio <= 1.2);

    report.heading("two APIs without a hang, in the windows of the first");
    let ratio = compare(report, &other_control, &control, &long_hangs);
    report.figure("p99: ratio, by chance", format_args!("{ratio:.3}"));

    report.heading("all");
    let share = busy.as_secs_f64() / TOTAL.as_secs_f64();
    report.bound(
        "key threads, time on a CPU",
        format_args!("{:.0} ms in {} s", busy.as_secs_f64() * 1e3, TOTAL.as_secs()),
        "at most 1 %, so that no API suffers from another's",
        share <= 0.01,
    );
    let others = other_than(200, &control);
    report.bound("statuses of the API without a hang", statuses(&control), "only 200", others == 0);
}

fn fetches(hangs: &[Hang]) -> String {
    format!("{:?}", hangs.iter().map(|hang| hang.fetches).collect::<Vec<_>>())
}

/// An API with hangs, and one without, in the windows of the hangs and apart from them. The ratio of
/// their p99 in the windows.
fn compare(
    report: &mut Report,
    subject: &[Sample<()>],
    control: &[Sample<()>],
    hangs: &[Hang],
) -> f64 {
    let others = other_than(200, subject);
    report.bound("statuses", statuses(subject), "only 200", others == 0);
    let windows: Vec<String> = hangs
        .iter()
        .map(|hang| format!("{:.1} s", (hang.ended - hang.began).as_secs_f64()))
        .collect();
    report.figure("windows", windows.join(", "));
    // What is neither is the time until a refresh falls due, and until the provider is well again.
    let during = |sample: &Sample<()>| {
        hangs.iter().any(|hang| hang.began <= sample.began && sample.began < hang.ended)
    };
    let apart = |sample: &Sample<()>| {
        hangs.iter().all(|hang| sample.ended() < hang.set || hang.recovered <= sample.began)
    };
    let count = subject.iter().filter(|sample| during(sample)).count();
    report.figure("requests in the windows", count);
    let latency = |share, samples: &[Sample<()>], within: &dyn Fn(&Sample<()>) -> bool| {
        percentile(share, samples.iter().filter(|sample| within(sample)))
    };
    for share in [0.5, 0.9, 0.99, 0.999] {
        let with = latency(share, subject, &during);
        let without = latency(share, control, &during);
        report.figure(
            format_args!("p{}, and that of the one without a hang", share * 100.0),
            format_args!("{}, {}", milliseconds(with), milliseconds(without)),
        );
    }
    // For a machine that is otherwise idle.
    let in_time = [subject, control].map(|samples| {
        latency(0.99, samples, &during).div_duration_f64(latency(0.99, samples, &apart))
    });
    report.figure(
        "p99 in the windows to that apart from them, both",
        format_args!("{:.3}, {:.3}", in_time[0], in_time[1]),
    );
    latency(0.99, subject, &during).div_duration_f64(latency(0.99, control, &during))
}

/// The time that the threads of this process that fetch keys have spent on a CPU.
fn key_threads_busy() -> Duration {
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten().map(|task| task.path());
    tasks
        .filter(|task| {
            fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == KEY_THREAD)
        })
        .filter_map(|task| cpu_time(&task).ok())
        .sum()
}

/// A provider, and an API that trusts it.
struct Subject {
    server: KeyServer,
    oauth2: OAuth2,
    api: Api,
}

/// When a hang was, since the load's start.
struct Hang {
    /// From when on the provider would hang if it were asked.
    set: Duration,
    /// When it was asked.
    began: Duration,
    ended: Duration,
    recovered: Duration,
    fetches: u64,
    only_one_fetch: bool,
}

impl Subject {
    fn start(key: &SigningKey, fetch_timeout: Option<Duration>) -> Self {
        let server = KeyServer::start(jwk_set([key])).unwrap();
        let mut builder = OAuth2::builder()
            .provider("idp", kit::provider(server.url()))
            .key_refresh(Duration::from_secs(3))
            .stale_window(Duration::from_secs(3600));
        if let Some(timeout) = fetch_timeout {
            builder = builder.fetch_timeout(timeout);
        }
        let oauth2 = builder.build().unwrap();
        wait(oauth2.warm_up()).unwrap();
        let api = Api::start(&oauth2);
        Self { server, oauth2, api }
    }

    /// Hangs in the next refresh, and for 30 s from then on. Waits until all is well again.
    fn hang(&self, key: &SigningKey, start: Instant) -> Hang {
        // None is under way that would be answered as before.
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.oauth2.key_status()[0].next_refresh_seconds.is_none_or(|seconds| seconds < 1) {
            assert!(Instant::now() < deadline, "no refresh is planned");
            thread::sleep(Duration::from_millis(2));
        }
        let set = start.elapsed();
        let before = self.server.requests();
        let (answer, release) = jwk_set([key]).held();
        self.server.answer(answer);
        // The refresh falls due within 3 s.
        self.server.wait_for_requests(before + 1);
        let began = start.elapsed();
        let ended_before = self.ended_fetches();
        thread::sleep(HANG - EARLY);
        let only_one_fetch = self.ended_fetches() == ended_before;
        thread::sleep(EARLY);
        let ended = start.elapsed();
        let fetches = self.server.requests() - before;
        self.server.answer(jwk_set([key]));
        drop(release);
        wait(self.oauth2.refresh_keys()).unwrap();
        let recovered = start.elapsed();
        Hang { set, began, ended, recovered, fetches, only_one_fetch }
    }

    fn ended_fetches(&self) -> u64 {
        let counts = self.oauth2.key_status()[0].fetches;
        counts.succeeded + counts.failed
    }
}

/// The library's name for them.
const KEY_THREAD: &str = "oauth2-keys";
/// Requests per second for each API.
const RATE: u32 = 400;
/// For as long as a key server holds an answer, counted from the request.
const HANG: Duration = Duration::from_secs(30);
/// By so much earlier it is seen that the fetch has not ended.
const EARLY: Duration = Duration::from_millis(100);
/// When hangs begin: with about as much time before, between and after.
const HANGS: [Duration; 2] = [Duration::from_secs(15), Duration::from_secs(80)];
const TOTAL: Duration = Duration::from_secs(130);
