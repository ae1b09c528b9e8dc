//! Frames against the protocol, and clients that neither read nor close.

use super::*;

#[tokio::test]
async fn client_that_ignores_the_close_frame_is_disconnected() {
    let setup = Setup::new();
    let mut client = setup.open("/").await;
    setup.clock.advance(MINUTE);
    assert_eq!(client.receive().await, (CLOSE, EXPIRED[2..].to_vec()));
    // The client leaves its side open. actix waits for one second.
    setup.is_empty().await;
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn half_closed_connection_ends_with_its_token() {
    let setup = Setup::new();
    let mut client = setup.open("/feed").await;
    assert_eq!(client.receive_text().await, "tick");
    client.0.shutdown().await.unwrap();
    until("the receiving task has ended", || setup.counts.tasks.load(SeqCst) == 1).await;
    assert_eq!(client.receive_text().await, "tick");
    setup.clock.advance(MINUTE);
    assert!(client.rest().await.ends_with(EXPIRED));
    setup.is_empty().await;
}

#[tokio::test]
async fn connection_after_a_protocol_error_ends_with_its_token() {
    let setup = Setup::new();
    let mut client = setup.open("/feed").await;
    client.send(&frame(0x83, b"a reserved opcode")).await;
    until("the receiving task has ended", || setup.counts.tasks.load(SeqCst) == 1).await;
    assert_eq!(client.receive_text().await, "tick");
    setup.clock.advance(MINUTE);
    assert!(client.rest().await.ends_with(EXPIRED));
    setup.is_empty().await;
}

#[tokio::test]
async fn session_without_a_connection_keeps_no_timer() {
    let setup = Setup::new();
    let client = setup.open("/keeps").await;
    until("a timer waits for its end", || setup.clock.sleepers() == 1).await;
    client.0.set_zero_linger().unwrap();
    drop(client);
    until("no timer is left", || setup.clock.sleepers() == 0).await;
    // The handler still holds the session.
    assert_eq!(setup.counts.tasks.load(SeqCst), 1);
    setup.counts.release.notify_one();
    setup.is_empty().await;
}

#[tokio::test]
async fn stream_of_messages_ends_after_an_error() {
    // Also for a handler that ignores errors, which would otherwise receive them without end.
    let setup = Setup::new();
    for wrong in [&frame(0x83, b"reserved")[..], b"\x81\x01x", &frame(0x82, &[0; 70_000])] {
        let mut client = setup.open("/tolerant").await;
        client.send(wrong).await;
        client.try_send(&frame(TEXT, b"one")).await;
        assert_eq!(client.receive_text().await, "error");
        assert_eq!(client.rest().await, b"");
    }
    setup.is_empty().await;
}

#[tokio::test]
async fn client_that_reads_nothing_keeps_no_task() {
    let setup = Setup::new();
    let client = setup.open("/flood").await;
    setup.stalls().await;
    setup.clock.advance(MINUTE);
    until("the handler has ended", || setup.counts.tasks.load(SeqCst) == 0).await;
    until("no timer is left", || setup.clock.sleepers() == 0).await;
    // actix keeps what was sent until the client reads it or disconnects.
    assert_eq!(setup.counts.connections.load(SeqCst), 1);
    drop(client);
    setup.is_empty().await;
}

#[tokio::test]
async fn frames_against_the_protocol_end_the_session() {
    let setup = Setup::new();
    let wrong = [
        ("not masked", b"\x81\x01x".to_vec()),
        ("a reserved opcode", frame(0x83, b"x")),
        ("a reserved control opcode", frame(0x8b, b"x")),
        ("a reserved bit", frame(0xc1, b"x")),
        ("longer than 64 KiB", frame(0x82, &[0; 65_537])),
        ("a long ping", frame(PING, &[0; 126])),
        ("a ping in parts", frame(0x09, b"x")),
        ("the middle of nothing", frame(0x00, b"x")),
        ("the end of nothing", frame(0x80, b"x")),
        ("a beginning within a message", [frame(0x01, b"x"), frame(TEXT, b"y")].concat()),
        ("no UTF-8", frame(TEXT, b"\xff")),
        ("a close code of one byte", frame(CLOSE, b"\x03")),
        ("a close code below 1000", frame(CLOSE, b"\x03\xe7")),
        ("a close code that is none on the wire", frame(CLOSE, b"\x03\xed")),
        ("a close reason that is no UTF-8", frame(CLOSE, b"\x03\xe8\xff")),
        ("a length of 2^63", b"\x82\xff\x80\0\0\0\0\0\0\0mask".to_vec()),
    ];
    let count = wrong.len();
    let setup = &setup;
    join_all(wrong.map(|(what, wrong)| async move {
        let mut client = setup.open("/").await;
        client.send(&wrong).await;
        assert_eq!(client.rest().await, b"", "{what}");
    }))
    .await;
    assert_eq!(setup.counts.begun.load(SeqCst), count);
    // The first fragment of a message may be received.
    assert!(setup.counts.received.load(SeqCst) <= 1);
    setup.is_empty().await;
}

#[tokio::test]
async fn frame_over_the_size_limit_ends_the_session_at_once() {
    let setup = Setup::new();
    let mut client = setup.open("/").await;
    // The frame announces a terabyte and has no payload.
    client.send(b"\x82\xff\0\0\x01\0\0\0\0\0mask").await;
    until("the handler has ended", || setup.counts.tasks.load(SeqCst) == 0).await;
    assert_eq!(setup.counts.received.load(SeqCst), 0);
    assert_eq!(client.rest().await, b"");
    setup.is_empty().await;
}

#[tokio::test]
async fn message_over_the_size_limit_ends_the_session() {
    let setup = Setup::new();
    let mut client = setup.open("/whole").await;
    // The limit is 1 MiB.
    client.send(&frame(0x02, &[0; 65_536])).await;
    for _ in 0..15 {
        client.send(&frame(0x00, &[0; 65_536])).await;
    }
    client.send(&frame(PING, b"")).await;
    until("all of it is there", || setup.counts.received.load(SeqCst) == 1).await;
    client.send(&frame(0x00, &[0; 1])).await;
    until("the handler has ended", || setup.counts.tasks.load(SeqCst) == 0).await;
    assert_eq!(setup.counts.received.load(SeqCst), 1);
    assert_eq!(client.rest().await, b"");
    setup.is_empty().await;
}

#[tokio::test]
async fn pings_sent_at_once_are_answered_in_order() {
    let setup = Setup::new();
    let mut client = setup.open("/").await;
    let pings: Vec<u8> =
        (0..5000_u16).flat_map(|number| frame(PING, &number.to_be_bytes())).collect();
    client.send(&pings).await;
    for number in 0..5000_u16 {
        assert_eq!(client.receive().await, (0x8a, number.to_be_bytes().to_vec()));
    }
    client.send(&frame(TEXT, b"still here")).await;
    assert_eq!(client.receive_text().await, "echo still here");
    drop(client);
    setup.is_empty().await;
}
