//! A day of tokens that are issued, used and revoked, while the endpoint fails from time to time. Each decision is compared
//! with what the page promises.

use super::*;

/// The bound that the page states: the cache time, plus the time limit of an introspection request.
const BOUND: u64 = 65;
/// A backoff has at most this length, and the request is sent in the next step.
const RECOVERY: u64 = 60 + STEP;
const STEP: u64 = 6;
const DAY: u64 = 24 * 3600;

/// Numbers that are the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

struct Issued {
    text: String,
    expires_at: u64,
    revoked_at: Option<u64>,
}

#[derive(Default, Debug)]
struct Counts {
    accepted: u64,
    revoked: u64,
    unavailable: u64,
    late: u64,
}

#[tokio::test]
async fn revoked_tokens_are_rejected_within_the_stated_delay_over_a_simulated_day() {
    let setup = Setup::start(Answer::status(500));
    let start = setup.clock.unix_seconds();
    let mut numbers = Numbers(7);
    let mut tokens: Vec<Issued> = Vec::new();
    let mut counts = Counts::default();
    let mut outage: Option<(u64, Answer)> = None;
    let mut last_outage = 0;
    let mut issued = 0;
    for step in 0..DAY / STEP {
        let now = start + step * STEP;
        // An outage each hour or so, of up to ten minutes, of each kind that needs no time limit.
        match &outage {
            Some((until, _)) if now >= *until => outage = None,
            None if numbers.below(600) == 0 => {
                let answer = match numbers.below(4) {
                    0 => Answer::status(500),
                    1 => Answer::reset(),
                    2 => Answer::status(401),
                    _ => Answer::body(200, &[("content-type", "text/html")], b"<html>"),
                };
                outage = Some((now + numbers.below(600), answer));
            }
            _ => {}
        }
        if outage.is_some() {
            last_outage = now;
        }
        tokens.retain(|token| token.expires_at + 120 > now);
        if tokens.len() < 20 {
            let (text, expires_at) = (format!("token-{issued}"), now + 300 + numbers.below(3600));
            issued += 1;
            tokens.push(Issued { text, expires_at, revoked_at: None });
        }
        let chosen = usize::try_from(numbers.below(tokens.len() as u64)).unwrap();
        let token = &mut tokens[chosen];
        if token.revoked_at.is_none() && numbers.below(40) == 0 {
            token.revoked_at = Some(now);
            counts.revoked += 1;
        }
        let is_active = token.revoked_at.is_none() && token.expires_at > now;
        setup.server.answer(match &outage {
            Some((_, answer)) => answer.clone(),
            None if is_active => setup.active(json!({"exp": token.expires_at})),
            None => Answer::json(&json!({"active": false})),
        });
        match setup.verify(&token.text).await {
            Ok(()) => {
                counts.accepted += 1;
                assert!(now < token.expires_at, "{} has expired", token.text);
                if let Some(revoked_at) = token.revoked_at {
                    counts.late += 1;
                    assert!(now - revoked_at <= BOUND, "{} s after", now - revoked_at);
                }
            }
            Err(ErrorKind::IntrospectionUnavailable { .. }) => {
                counts.unavailable += 1;
                assert!(now - last_outage <= RECOVERY, "{} s after the outage", now - last_outage);
            }
            Err(ErrorKind::TokenInactive | ErrorKind::Expired { .. }) => {
                assert!(!is_active, "{} is active", token.text);
            }
            Err(error) => panic!("{error}"),
        }
        setup.clock.advance(seconds(STEP));
    }
    // All of it has happened.
    assert!(
        counts.accepted > 5_000 && counts.revoked > 100 && counts.unavailable > 100,
        "{counts:?}"
    );
    if std::env::var_os(policy::TOKEN_CACHE).is_none() {
        assert!(counts.late > 10, "{counts:?}");
    }
}
