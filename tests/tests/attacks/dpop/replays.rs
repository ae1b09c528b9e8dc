//! Proofs that are used again (RFC 9449 §11.1).

use std::time::Duration;

use oauth2_actix::{
    Algorithm,
    testing::{DpopProof, ManualClock, SigningKey},
};

use super::{BASE, INVALID, Target, builder, dpop, dpop_token, header, now};
use crate::target::{es256, good};

#[actix_web::test]
async fn proof_that_is_used_twice_is_rejected() {
    let target = Target::start();
    let proof = target.proof().sign(&target.client);
    assert_eq!(target.send(&target.lines(&proof)).status, 200);
    target.rejects("replay", &proof, INVALID);
    // The signature of ECDSA is another one each time.
    let again = target.proof().claim("jti", "canary-jti-1").claim("iat", now());
    assert_eq!(target.send(&target.lines(&again.sign(&target.client))).status, 200);
    target.rejects("replay, signed again", &again.sign(&target.client), INVALID);
    let later = again.claim("iat", now() + 1);
    target.rejects("replay with another iat", &later.sign(&target.client), INVALID);
}

#[actix_web::test]
async fn proof_with_the_jti_of_another_client_or_request_is_accepted() {
    let target = Target::start();
    let other = SigningKey::generate(Algorithm::EdDSA, "other");
    let token = good().bound_to(&other).sign(es256());
    let proof = |method: &str, uri: &str| {
        DpopProof::new(method, uri, &token).claim("jti", "same").sign(&other)
    };
    let own = target.proof().claim("jti", "same").sign(&target.client);
    assert_eq!(target.send(&target.lines(&own)).status, 200);
    for (method, path) in [("GET", "/me"), ("POST", "/me"), ("GET", "/bare")] {
        let lines = [dpop_token(&token), header(&proof(method, &format!("{BASE}{path}")))];
        assert_eq!(target.send_to(method, path, &lines).status, 200, "{method} {path}");
    }
}

#[actix_web::test]
async fn replay_at_the_end_of_a_proof_s_life_is_rejected() {
    let clock = ManualClock::new();
    let target = Target::behind(builder(dpop()).clock(clock.clone()));
    let proof = target.proof().claim("iat", clock.unix_seconds() + 9).sign(&target.client);
    assert_eq!(target.send(&target.lines(&proof)).status, 200);
    // Until it is too old, the store remembers it.
    for _ in 0..80 {
        clock.advance(Duration::from_secs(1));
        let answer = target.send(&target.lines(&proof));
        assert_eq!((answer.status, answer.error().as_str()), (401, INVALID));
    }
}
