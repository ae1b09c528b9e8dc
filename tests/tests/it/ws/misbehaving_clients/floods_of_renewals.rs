//! Renewals in great numbers and at the same time.

use super::*;

#[tokio::test]
async fn rejected_renewals_leave_session_and_cache_unchanged() {
    let setup = Setup::new();
    let mut client = setup.open("/").await;
    let bad = setup.token(60 * MINUTE).claim("aud", "another");
    for number in 0..3000 {
        let (token, reason) = match number % 3 {
            0 => (sign(&bad.clone().claim("jti", number.to_string())), "audience_mismatch"),
            1 => (format!("{number}.y.z"), "token_malformed"),
            _ => ("x".repeat(20_000), "token_too_long"),
        };
        client.send(&frame(TEXT, format!("renew {token}").as_bytes())).await;
        assert_eq!(client.receive_text().await, reason);
    }
    // None of them is cached.
    assert_eq!(setup.oauth2.token_cache_status().entries, 1);
    setup.clock.advance(MINUTE);
    assert_eq!(client.rest().await, EXPIRED);
    setup.is_empty().await;
}

#[tokio::test]
async fn concurrent_renewals_leave_claims_and_end_of_one_token() {
    let setup = Setup::new();
    let mut client = setup.open("/").await;
    let token =
        |jti: &str, minutes: u32| sign(&setup.token(minutes * MINUTE).claim("jti", jti.to_owned()));
    let race = format!("race {} {}", token("ten", 10), token("twenty", 20));
    client.send(&frame(TEXT, race.as_bytes())).await;
    let lasts = match client.receive_text().await.as_str() {
        "\"ten\"" => 10,
        "\"twenty\"" => 20,
        other => panic!("{other}"),
    };
    setup.clock.advance(lasts * MINUTE - Duration::from_secs(1));
    client.send(&frame(TEXT, b"one")).await;
    assert_eq!(client.receive_text().await, "echo one");
    setup.clock.advance(Duration::from_secs(1));
    assert_eq!(client.rest().await, EXPIRED);
    setup.is_empty().await;
}
