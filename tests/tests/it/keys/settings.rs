//! The settings of key fetching: their ranges, their serde form and their effect.

use std::time::Duration;

use futures_util::poll;
use oauth2_actix::{ErrorKind, OAuth2, OAuth2Builder, Provider, testing::ManualClock};
use oauth2_actix_tests::{
    fetched::{ISSUER, is_unavailable, jwk_set, new_key, token},
    key_server::{Answer, KeyServer},
    policy,
};
use serde_json::json;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

fn builder(server: &KeyServer) -> OAuth2Builder {
    let provider = Provider::new().issuer(ISSUER).audience("api").keys(server.url());
    policy::builder().provider("idp", provider).key_refresh(HOUR)
}

async fn verify(oauth2: &OAuth2, token: &str) -> Result<(), ErrorKind> {
    oauth2.verify(token).await.map(drop).map_err(|error| error.kind().clone())
}

#[tokio::test]
async fn stale_window_setting_is_applied() {
    let key = new_key("1");
    let server = KeyServer::start(jwk_set(&[&key])).unwrap();
    let clock = ManualClock::new();
    let oauth2 = builder(&server).stale_window(2 * HOUR).clock(clock.clone()).build().unwrap();
    assert_eq!(verify(&oauth2, &token(&key)).await, Ok(()));
    server.answer(Answer::status(500));
    clock.advance(2 * HOUR - Duration::from_millis(1));
    assert_eq!(verify(&oauth2, &token(&key)).await, Ok(()));
    clock.advance(Duration::from_millis(1));
    assert!(is_unavailable(&verify(&oauth2, &token(&key)).await));
}

#[tokio::test]
async fn cooldown_setting_is_applied() {
    let key = new_key("1");
    let server = KeyServer::start(jwk_set(&[&key])).unwrap();
    let clock = ManualClock::new();
    let oauth2 = builder(&server)
        .unknown_key_cooldown(Duration::from_secs(60))
        .clock(clock.clone())
        .build()
        .unwrap();
    assert_eq!(verify(&oauth2, &token(&key)).await, Ok(()));
    let unknown = token(&new_key("made-up"));
    for fetches in 2..5 {
        for _ in 0..20 {
            assert_eq!(verify(&oauth2, &unknown).await, Err(ErrorKind::UnknownKey));
        }
        clock.advance(Duration::from_millis(59_999));
        assert_eq!(verify(&oauth2, &unknown).await, Err(ErrorKind::UnknownKey));
        assert_eq!(server.requests(), fetches);
        clock.advance(Duration::from_millis(1));
    }
}

#[test]
fn key_settings_out_of_range_are_build_errors() {
    let server = KeyServer::start(jwk_set(&[&new_key("1")])).unwrap();
    let (ms, s) = (Duration::from_millis, Duration::from_secs);
    for (field, good, bad) in [
        (
            "stale_window_minutes",
            [builder(&server).stale_window(HOUR), builder(&server).stale_window(s(365 * 86_400))],
            [
                builder(&server).stale_window(HOUR - ms(1)),
                builder(&server).stale_window(s(365 * 86_400) + ms(1)),
            ],
        ),
        (
            "unknown_key_cooldown_seconds",
            [
                builder(&server).unknown_key_cooldown(s(1)),
                builder(&server).unknown_key_cooldown(HOUR),
            ],
            [
                builder(&server).unknown_key_cooldown(ms(999)),
                builder(&server).unknown_key_cooldown(HOUR + ms(1)),
            ],
        ),
        (
            "fetch_timeout_seconds",
            [builder(&server).fetch_timeout(ms(100)), builder(&server).fetch_timeout(MINUTE)],
            [
                builder(&server).fetch_timeout(ms(99)),
                builder(&server).fetch_timeout(MINUTE + ms(1)),
            ],
        ),
    ] {
        for builder in good {
            assert!(builder.build().is_ok(), "{field}");
        }
        for builder in bad {
            assert_eq!(builder.build().unwrap_err().field(), field);
        }
    }
}

#[tokio::test]
async fn key_settings_are_read_through_serde() {
    let key = new_key("1");
    let server = KeyServer::start(jwk_set(&[&key])).unwrap();
    let clock = ManualClock::new();
    let settings = json!({
        "providers": {"idp": {"issuer": ISSUER, "audience": "api", "keys": server.url()}},
        "key_refresh_minutes": 60,
        "stale_window_minutes": 90,
        "unknown_key_cooldown_seconds": 300,
        "fetch_timeout_seconds": 2,
    });
    let builder = policy::from_json(settings).unwrap();
    let oauth2 = builder.clock(clock.clone()).build().unwrap();
    assert_eq!(verify(&oauth2, &token(&key)).await, Ok(()));
    let unknown = token(&new_key("made-up"));
    assert_eq!(oauth2.key_status()[0].stale_in_seconds, Some(90 * 60));
    assert_eq!(verify(&oauth2, &unknown).await, Err(ErrorKind::UnknownKey));
    clock.advance(Duration::from_secs(299));
    assert_eq!(verify(&oauth2, &unknown).await, Err(ErrorKind::UnknownKey));
    assert_eq!(server.requests(), 2);
    server.answer(Answer::hang());
    let mut refresh = Box::pin(oauth2.refresh_keys());
    assert!(poll!(refresh.as_mut()).is_pending());
    server.wait_for_requests(3);
    clock.advance(Duration::from_secs(2));
    assert!(refresh.await.unwrap_err().to_string().contains("within 2 s"));
}
