//! Handshakes that are slow, incomplete or invalid.

use super::*;

#[tokio::test]
async fn handshake_sent_byte_by_byte_is_decided_once() {
    let setup = Setup::new();
    for (token, answer) in [
        (sign(&setup.token(MINUTE)), &b""[..]),
        (sign(&setup.token(MINUTE).claim("aud", "another")), b"\x88\x0f\x03\xf0invalid token"),
    ] {
        let before = setup.counts.requests.load(SeqCst);
        let mut client = setup.connect().await;
        for byte in handshake("/", &token).as_bytes() {
            client.send(&[*byte]).await;
            tokio::task::yield_now().await;
        }
        assert!(client.head().await.starts_with("HTTP/1.1 101 "));
        client.send(&frame(CLOSE, b"")).await;
        client.0.shutdown().await.unwrap();
        assert_eq!(client.rest().await, answer);
        assert_eq!(setup.counts.requests.load(SeqCst), before + 1);
    }
    assert_eq!(setup.counts.begun.load(SeqCst), 1);
    setup.is_empty().await;
}

#[tokio::test]
async fn incomplete_handshake_times_out() {
    let setup = Setup::with_request_timeout(Duration::from_millis(300));
    let mut client = setup.connect().await;
    let handshake = handshake("/", &sign(&setup.token(MINUTE)));
    // All but the last byte.
    client.send(&handshake.as_bytes()[..handshake.len() - 1]).await;
    let answer = String::from_utf8(client.rest().await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert_eq!(setup.counts.requests.load(SeqCst), 0);
    setup.is_empty().await;
}

#[tokio::test]
async fn frames_sent_with_the_handshake_are_received() {
    let setup = Setup::new();
    let mut client = setup.connect().await;
    let handshake = handshake("/", &sign(&setup.token(MINUTE)));
    client.send(&[handshake.as_bytes(), &frame(TEXT, b"one"), &frame(TEXT, b"two")].concat()).await;
    assert!(client.head().await.starts_with("HTTP/1.1 101 "));
    assert_eq!(client.receive_text().await, "echo one");
    assert_eq!(client.receive_text().await, "echo two");
    drop(client);
    setup.is_empty().await;
}

#[tokio::test]
async fn bytes_after_a_rejected_handshake_are_no_request() {
    let setup = Setup::new();
    let rejected = handshake("/", "x.y.z");
    let next = handshake("/", &sign(&setup.token(MINUTE)));
    for follows in [frame(TEXT, b"one"), next.into_bytes()] {
        let before = setup.counts.requests.load(SeqCst);
        let mut client = setup.connect().await;
        client.send(&[rejected.as_bytes(), &follows].concat()).await;
        assert!(client.head().await.starts_with("HTTP/1.1 101 "));
        assert_eq!(client.rest().await, b"\x88\x0f\x03\xf0invalid token");
        assert_eq!(setup.counts.requests.load(SeqCst), before + 1);
    }
    assert_eq!(setup.counts.begun.load(SeqCst), 0);
    setup.is_empty().await;
}

#[tokio::test]
async fn request_that_actix_does_not_upgrade_gets_a_plain_response() {
    let setup = Setup::new();
    for (from, into) in [
        // More than one protocol: the following bytes are read as a request.
        ("Upgrade: websocket", "Upgrade: websocket, other"),
        ("Upgrade: websocket", "Upgrade: websockets"),
        ("Upgrade: websocket", "Upgrade: websocket\r\nUpgrade: other"),
        // RFC 9110 §7.8
        ("HTTP/1.1", "HTTP/1.0"),
    ] {
        for (token, status) in [("x.y.z", "401"), (&sign(&setup.token(MINUTE)), "400")] {
            let mut client = setup.connect().await;
            client.send(handshake("/", token).replacen(from, into, 1).as_bytes()).await;
            let head = client.head().await;
            assert_eq!(head.split(' ').nth(1), Some(status), "{into} {head}");
        }
    }
    assert_eq!(setup.counts.begun.load(SeqCst), 0);
    setup.is_empty().await;
}
