//! Nonces of another time or service (RFC 9449 §8 and §9).

use std::time::Duration;

use oauth2_actix::{dpop::Dpop, testing::ManualClock};
use serde_json::{Value, json};

use super::{INVALID, Target, builder, challenges, dpop};

#[actix_web::test]
async fn proof_needs_a_nonce_of_this_service() {
    let clock = ManualClock::new();
    let secret = |byte: u8| [byte; 32];
    let nonces = |dpop: Dpop| dpop.nonce_lifetime(Duration::from_secs(100));
    let behind = |dpop| Target::behind(builder(nonces(dpop)).clock(clock.clone()));
    let target = behind(dpop().nonce_secret(secret(1)));
    let nonce_of = |target: &Target| {
        let answer = target.send(&target.lines(&target.proof().sign(&target.client)));
        assert_eq!((answer.status, answer.error().as_str()), (401, "use_dpop_nonce"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(challenges(&answer).len(), 2);
        answer.header("dpop-nonce").unwrap().to_owned()
    };
    let send = |target: &Target, nonce: &Value| {
        let proof = target.proof().claim("nonce", nonce.clone()).sign(&target.client);
        target.send(&target.lines(&proof))
    };
    let nonce = nonce_of(&target);
    assert!(nonce.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
    let answer = send(&target, &json!(nonce));
    assert_eq!((answer.status, answer.header("dpop-nonce")), (200, None), "a fresh nonce");
    // A client's clock does not matter.
    let proof = target.proof().claim("nonce", nonce.as_str()).claim("iat", 1);
    assert_eq!(target.send(&target.lines(&proof.sign(&target.client))).status, 200);

    let other = behind(dpop().nonce_secret(secret(2)));
    let nonce_of_another = nonce_of(&other);
    let mut changed = nonce.clone().into_bytes();
    changed[0] = if changed[0] == b'A' { b'B' } else { b'A' };
    let changed = String::from_utf8(changed).unwrap();
    for wrong in [
        json!(nonce_of_another),
        json!(changed),
        json!(format!("{nonce}=")),
        json!(&nonce[1..]),
        json!(""),
        json!("canary"),
        json!([nonce]),
        json!(1),
        json!(null),
        json!("x".repeat(2_000)),
    ] {
        let answer = send(&target, &wrong);
        assert_eq!(answer.status, 401, "{wrong}");
        assert!(["use_dpop_nonce", INVALID].contains(&answer.error().as_str()), "{wrong}");
        assert!(answer.header("dpop-nonce").is_some(), "{wrong}");
    }

    clock.advance(Duration::from_secs(60));
    let answer = send(&target, &json!(nonce));
    assert_eq!(answer.status, 200);
    let fresh =
        answer.header("dpop-nonce").expect("a fresh nonce before the old one ends").to_owned();
    clock.advance(Duration::from_secs(45));
    assert_eq!(send(&target, &json!(nonce)).error(), "use_dpop_nonce", "an old one");
    assert_eq!(send(&target, &json!(fresh)).status, 200);

    // While the secret is replaced, both are accepted.
    let rotated = behind(dpop().nonce_secret(secret(3)).previous_nonce_secret(secret(1)));
    let proof = rotated.proof().claim("nonce", fresh).sign(&rotated.client);
    assert_eq!(rotated.send(&rotated.lines(&proof)).status, 200);
    assert_eq!(send(&rotated, &json!(nonce_of(&rotated))).status, 200);
}
