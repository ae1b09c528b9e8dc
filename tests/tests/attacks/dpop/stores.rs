//! Stores of used proofs that are full, slow or down (RFC 9449 §11.1).

use std::time::Duration;

use futures_util::future::BoxFuture;
use oauth2_actix::{
    Algorithm,
    dpop::{Insertion, MemoryReplayStore, ReplayStore, UsedProof},
    testing::{DpopProof, SigningKey, Token},
};

use super::{INVALID, ME, Target, builder, challenges, dpop, dpop_token, header};
use crate::target::{AUDIENCE, ISSUER, bearer, es256, good};

/// A store that answers with one outcome.
struct Stub(fn() -> Insertion);

impl ReplayStore for Stub {
    fn insert_once(&self, _: UsedProof) -> BoxFuture<'static, Insertion> {
        let insertion = self.0;
        Box::pin(async move {
            // The answer comes later.
            tokio::task::yield_now().await;
            insertion()
        })
    }
}

#[actix_web::test]
async fn store_that_cannot_answer_is_503_and_never_acceptance() {
    let target = Target::behind(builder(
        dpop().replay_store(Stub(|| Insertion::Unavailable("canary".into()))),
    ));
    let answer = target.send(&target.lines(&target.proof().sign(&target.client)));
    assert_eq!((answer.status, answer.error().as_str()), (503, "temporarily_unavailable"));
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert!(challenges(&answer).is_empty() && !answer.body.contains("canary"));
    assert_eq!(target.api.private_calls(), 0);
    // Public routes are served, without the claims.
    let proof = DpopProof::new("GET", "https://api.test/optional", &target.token);
    let lines = target.lines(&proof.sign(&target.client));
    assert_eq!(target.send_to("GET", "/optional", &lines).body, "anonymous");
    let unbound = good().sign(es256());
    assert_eq!(target.send(&[bearer(&unbound)]).status, 200, "needs no store");
}

/// A store that never answers.
struct Hanging;

impl ReplayStore for Hanging {
    fn insert_once(&self, _: UsedProof) -> BoxFuture<'static, Insertion> {
        Box::pin(std::future::pending())
    }
}

#[actix_web::test]
async fn store_that_hangs_is_503_after_the_time_limit_of_checks() {
    let limit = Duration::from_millis(50);
    let target = Target::behind(builder(dpop().replay_store(Hanging)).check_timeout(limit));
    let answer = target.send(&target.lines(&target.proof().sign(&target.client)));
    assert_eq!((answer.status, answer.error().as_str()), (503, "temporarily_unavailable"));
    assert_eq!(target.api.private_calls(), 0);
}

#[actix_web::test]
async fn store_that_cannot_answer_gives_a_fresh_nonce() {
    let settings = dpop().nonce_secret([1; 32]);
    let store = || Stub(|| Insertion::Unavailable("canary".into()));
    let target = Target::behind(builder(settings.replay_store(store())));
    let answer = target.send(&target.lines(&target.proof().sign(&target.client)));
    let nonce = answer.header("dpop-nonce").unwrap().to_owned();
    let proof = target.proof().claim("nonce", nonce).sign(&target.client);
    let answer = target.send(&target.lines(&proof));
    assert_eq!(answer.status, 503);
    assert!(answer.header("dpop-nonce").is_some(), "{answer:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

#[actix_web::test]
async fn store_that_answers_later_is_waited_for() {
    let fresh = Target::behind(builder(dpop().replay_store(Stub(|| Insertion::Fresh))));
    fresh.still_works("a slow store");
    let seen = Target::behind(builder(dpop().replay_store(Stub(|| Insertion::Seen))));
    let answer = seen.send(&seen.lines(&seen.proof().sign(&seen.client)));
    assert_eq!((answer.status, answer.error().as_str()), (401, INVALID));
    assert_eq!(seen.api.private_calls(), 0);
}

#[actix_web::test]
async fn flood_of_proofs_of_one_client_does_not_block_another() {
    let store = MemoryReplayStore::new().max_per_key(50);
    let target = Target::behind(builder(dpop().replay_store(store)));
    let mut refused = 0;
    for _ in 0..80 {
        let answer = target.send(&target.lines(&target.proof().sign(&target.client)));
        refused += usize::from(answer.status == 503);
        assert!([200, 503].contains(&answer.status), "{answer:?}");
    }
    assert_eq!(refused, 30, "beyond the limit of one key");
    let other = SigningKey::generate(Algorithm::ES256, "other");
    let token = Token::new(ISSUER, AUDIENCE).bound_to(&other).sign(es256());
    let proof = DpopProof::new("GET", ME, &token).sign(&other);
    assert_eq!(target.send(&[dpop_token(&token), header(&proof)]).status, 200);
}
