//! A provider that hangs during a background refresh. Requests with known keys must not be slower.
//!
//! Four APIs are under the same load at the same time. For the first, a single fetch hangs all the time. For
//! the second, several fetches run into the default timeout. The providers of the others never hang. The
//! third is the control: other load on the machine affects all alike. This would hide a hang that takes CPU
//! time from all, so the CPU time of the key threads is measured too. The fourth shows how far two p99s
//! differ by chance.

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
        "CPU time of the key threads",
        format_args!("{:.0} ms in {} s", busy.as_secs_f64() * 1e3, TOTAL.as_secs()),
        "at most 1 %, so that no API slows down another",
        share <= 0.01,
    );
    let others = other_than(200, &control);
    report.bound("statuses of the API without a hang", statuses(&control), "only 200", others == 0);
}

fn fetches(hangs: &[Hang]) -> String {
    format!("{:?}", hangs.iter().map(|hang| hang.fetches).collect::<Vec<_>>())
}

/// Compares an API with hangs to one without, inside and outside of the windows of the hangs. Returns the
/// ratio of their p99s in the windows.
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
    // The time until a refresh is due, and until the provider has recovered, is in neither.
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
            format_args!("p{}, and that of the control", share * 100.0),
            format_args!("{}, {}", milliseconds(with), milliseconds(without)),
        );
    }
    // Meaningful only on a machine that is otherwise idle.
    let in_time = [subject, control].map(|samples| {
        latency(0.99, samples, &during).div_duration_f64(latency(0.99, samples, &apart))
    });
    report.figure(
        "p99 inside of the windows to that outside, both",
        format_args!("{:.3}, {:.3}", in_time[0], in_time[1]),
    );
    latency(0.99, subject, &during).div_duration_f64(latency(0.99, control, &during))
}

/// Returns the CPU time of the threads of this process that fetch keys.
fn key_threads_busy() -> Duration {
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten().map(|task| task.path());
    tasks
        .filter(|task| {
            fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == KEY_THREAD)
        })
        .filter_map(|task| cpu_time(&task).ok())
        .sum()
}

/// A provider, and the API with its keys.
struct Subject {
    server: KeyServer,
    oauth2: OAuth2,
    api: Api,
}

/// The times of a hang, since the start of the load.
struct Hang {
    /// When the provider was set to hang at the next request.
    set: Duration,
    /// When that request arrived.
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

    /// Makes the provider hang in the next refresh, for 30 s. Waits until it has recovered.
    fn hang(&self, key: &SigningKey, start: Instant) -> Hang {
        // No fetch is in progress that would get the earlier answer.
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.oauth2.key_status()[0].next_refresh_seconds.is_none_or(|seconds| seconds < 1) {
            assert!(Instant::now() < deadline, "no refresh is planned");
            thread::sleep(Duration::from_millis(2));
        }
        let set = start.elapsed();
        let before = self.server.requests();
        let (answer, release) = jwk_set([key]).held();
        self.server.answer(answer);
        // The refresh is due within 3 s.
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

/// The name of the library's threads that fetch keys.
const KEY_THREAD: &str = "oauth2-keys";
/// Requests per second for each API.
const RATE: u32 = 400;
/// How long the key server holds an answer, counted from the request.
const HANG: Duration = Duration::from_secs(30);
/// How long before the end of a hang the number of ended fetches is read.
const EARLY: Duration = Duration::from_millis(100);
/// When hangs begin, with about the same time before, between and after them.
const HANGS: [Duration; 2] = [Duration::from_secs(15), Duration::from_secs(80)];
const TOTAL: Duration = Duration::from_secs(130);
