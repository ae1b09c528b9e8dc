//! The time of a request that is rejected before a signature is checked, in a whole app in process, and the
//! part of it that the middleware adds.

use std::time::{Duration, Instant};

use actix_web::{App, HttpResponse, test::init_service, web};
use oauth2_actix::{
    Algorithm, TokenCacheConfig,
    testing::{SigningKey, Token},
};
use oauth2_actix_bench::{self as kit, InProcess, statistics::median};

use crate::{policies::policy, report::Report, turns::micros};

pub(crate) fn run(report: &mut Report, _: &[String]) {
    let key = SigningKey::generate(Algorithm::RS256, "key-1");
    let signed = |token: Token| format!("Bearer {}", kit::padded(token, &key, 800).sign(&key));
    let token = kit::token();
    let kinds: [(&str, Option<String>, u16); 7] = [
        ("no token", None, 400),
        ("another scheme", Some("Basic dXNlcjpwYXNzd29yZA==".to_owned()), 400),
        ("malformed header", Some("Bearer not a token".to_owned()), 400),
        ("malformed token", Some(format!("Bearer {}", "x".repeat(800))), 401),
        ("wrong issuer", Some(signed(token.clone().claim("iss", "https://other.test"))), 401),
        ("wrong audience", Some(signed(token.clone().claim("aud", "other"))), 401),
        ("expired", Some(signed(token.expires_in(-60))), 401),
    ];
    let oauth2 = policy(&key, TokenCacheConfig::new());
    let app = App::new().route("/", web::get().to(HttpResponse::Ok)).wrap(oauth2);
    let (app, bare) = (InProcess::new(init_service(app)), kit::bare());
    report.heading("tokens of 800 bytes with 12 claims, if any");
    for (what, authorization, status) in &kinds {
        let authorization = authorization.as_deref();
        let [rejected, passed] = times([(&app, *status), (&bare, 200)], authorization);
        let own = rejected.saturating_sub(passed);
        report.bound(
            what,
            format_args!(
                "{:.2} us, {:.2} us of them from the middleware",
                micros(rejected),
                micros(own)
            ),
            "at most 3 us",
            rejected <= BOUND,
        );
    }
}

/// Returns the median time of one request to each app. They take turns. The requests are built beforehand.
fn times(arms: [(&InProcess, u16); 2], authorization: Option<&str>) -> [Duration; 2] {
    let mut times = [(); 2].map(|()| Vec::new());
    for round in 0..ROUNDS {
        for turn in 0..2 {
            let arm = (round + turn) % 2;
            let (app, status) = arms[arm];
            let requests = [(); EACH].map(|()| kit::authorized("/", authorization));
            let start = Instant::now();
            let right = requests
                .into_iter()
                .filter_map(|request| (app.call(request) == status).then_some(()))
                .count();
            times[arm].push(start.elapsed() / EACH as u32);
            assert_eq!(right, EACH);
        }
    }
    times.map(median)
}

const BOUND: Duration = Duration::from_micros(3);
const ROUNDS: usize = 2001;
/// Requests that are timed together, because reading the clock takes time too.
const EACH: usize = 16;
