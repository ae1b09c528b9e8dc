//! Streams of events end with their token.

use std::time::Duration;

use oauth2_actix::{Algorithm, mcp, testing::ManualClock};
use oauth2_actix_tests::{
    keys::key,
    mcp::{Endpoint, bare_token, policy_of_tokens, tool_call},
};

#[tokio::test]
async fn stream_of_events_ends_at_the_expiry_of_its_token() {
    let clock = ManualClock::new();
    let oauth2 = policy_of_tokens().clock(clock.clone());
    let endpoint = Endpoint::behind(oauth2, mcp::Access::builder());
    let exp = clock.unix_seconds() + 60;
    let token = bare_token().claim("sub", "ann").claim("exp", exp).sign(key(Algorithm::ES256));
    let start = async |method: &str, media_type: &str| {
        let request = endpoint
            .request(method, &token)
            .header("content-type", "application/json")
            .header("x-content-type", media_type)
            .body(tool_call("a"));
        let mut response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.chunk().await.unwrap().unwrap(), "data: 1\n\n");
        response
    };
    let mut streams = Vec::new();
    for (method, media_type) in [
        ("POST", "text/event-stream"),
        ("GET", "text/event-stream"),
        ("POST", "Text/Event-Stream; charset=utf-8"),
    ] {
        streams.push(start(method, media_type).await);
    }
    let mut other = start("POST", "application/octet-stream").await;
    // The time passes, leeway included.
    clock.advance(Duration::from_secs(120));
    for stream in &mut streams {
        assert!(stream.chunk().await.is_err(), "no end");
    }
    assert!(futures_util::poll!(std::pin::pin!(other.chunk())).is_pending());
}
