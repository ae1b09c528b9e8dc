//! Key servers with invalid responses.

use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::mpsc,
    time::Duration,
};

use oauth2_actix::{
    Algorithm, ErrorKind, OAuth2, Provider,
    status::KeyState,
    testing::{ManualClock, SigningKey, Token},
};
use oauth2_actix_tests::{
    key_server::{Answer, KeyServer},
    keys::key,
    policy,
    wait::PATIENCE,
};

const ISSUER: &str = "https://idp.test";
const HOUR: Duration = Duration::from_secs(3600);

fn policy(url: String, clock: &ManualClock) -> OAuth2 {
    let provider = Provider::new().issuer(ISSUER).audience("api").keys(url).key_refresh(HOUR);
    policy::builder().provider("p", provider).clock(clock.clone()).build().unwrap()
}

pub(super) fn answering(answer: Answer) -> (KeyServer, OAuth2) {
    let server = KeyServer::start(answer).unwrap();
    let oauth2 = policy(server.url(), &ManualClock::new());
    (server, oauth2)
}

pub(super) async fn verify(oauth2: &OAuth2, token: &str) -> Result<(), ErrorKind> {
    oauth2.verify(token).await.map(drop).map_err(|error| error.kind().clone())
}

pub(super) fn token(key: &SigningKey) -> String {
    Token::new(ISSUER, "api").sign(key)
}

pub(super) fn good() -> &'static SigningKey {
    key(Algorithm::ES256)
}

pub(super) fn document() -> Vec<u8> {
    good().jwk_set().to_string().into_bytes()
}

/// Asserts that the first fetch fails with this cause, and that a later one keeps the keys.
pub(super) async fn assert_rejected(name: &str, answer: Answer, cause: &str) {
    let (server, oauth2) = answering(answer.clone());
    let rejected = verify(&oauth2, &token(good())).await;
    assert!(matches!(rejected, Err(ErrorKind::KeysUnavailable { .. })), "{name}: {rejected:?}");
    let status = oauth2.key_status().remove(0);
    assert_eq!((status.state, status.keys.len()), (KeyState::Unavailable, 0), "{name}");
    let reported = status.last_error.unwrap().cause;
    assert!(reported.contains(cause), "{name}: {reported:?} does not contain {cause:?}");
    assert_eq!(server.requests(), 1, "{name}");

    server.answer(Answer::body(200, &[], &document()));
    oauth2.refresh_keys().await.unwrap();
    server.answer(answer);
    assert!(oauth2.refresh_keys().await.is_err(), "{name}");
    assert_eq!(oauth2.key_status()[0].state, KeyState::Failing, "{name}");
    assert_eq!(verify(&oauth2, &token(good())).await, Ok(()), "{name}: the keys stay");
    assert_eq!(server.requests(), 3, "{name}");
}

/// The body of another status is not read.
#[tokio::test]
async fn status_other_than_200_is_a_failure() {
    let target = KeyServer::start(Answer::body(200, &[], &document())).unwrap();
    for status in [
        201, 202, 203, 204, 205, 206, 207, 226, 300, 301, 302, 303, 305, 306, 307, 308, 400, 401,
        402, 403, 404, 405, 406, 407, 408, 410, 418, 421, 425, 429, 451, 499, 500, 501, 502, 503,
        504, 511, 599,
    ] {
        let headers: &[(&str, &str)] = match status {
            206 => &[("content-range", "bytes 0-9/10")],
            300..=399 => &[("location", &target.url())],
            401 => &[("www-authenticate", "Basic realm=\"keys\"")],
            429 | 503 => &[("retry-after", "0")],
            _ => &[],
        };
        // 204 and 205 have no body.
        let body = if matches!(status, 204 | 205) { Vec::new() } else { document() };
        let cause = match status {
            300..=399 => format!("redirects (status {status}"),
            _ => format!("status is {status}"),
        };
        assert_rejected(&status.to_string(), Answer::body(status, headers, &body), &cause).await;
    }
    assert_eq!(target.requests(), 0, "no redirect is followed");
}

#[tokio::test]
async fn redirects_of_every_kind_are_not_followed() {
    let target = KeyServer::start(Answer::body(200, &[], &document())).unwrap();
    for status in [300, 301, 302, 303, 305, 307, 308] {
        let authority = target.url_of("").replace("http:", "");
        for location in [
            target.url(),
            format!("{authority}/jwks.json"),
            "/elsewhere".to_owned(),
            "?again".to_owned(),
            "http://169.254.169.254/latest/meta-data".to_owned(),
            "file:///etc/passwd".to_owned(),
            "data:application/json,{}".to_owned(),
            String::new(),
        ] {
            let server = KeyServer::start(Answer::redirect(status, &location)).unwrap();
            // Without a refresh, so that nothing is fetched at build.
            let provider = Provider::new().issuer(ISSUER).audience("api").keys(server.url());
            let oauth2 = policy::builder().provider("p", provider).build().unwrap();
            let error = oauth2.warm_up().await.unwrap_err().to_string();
            assert!(error.contains("redirects are not followed"), "{status} {location}: {error}");
            assert_eq!(server.requests(), 1, "{status} {location}");
        }
    }
    let refresh = format!("0; url={}", target.url());
    let answer = Answer::body(200, &[("refresh", &refresh)], b"<html>");
    assert_rejected("a refresh of browsers", answer, "neither JSON").await;
    assert_eq!(target.requests(), 0);
}

/// Providers publish keys under many types, and the content is checked in any case.
#[tokio::test]
async fn content_type_is_ignored() {
    for content_type in [
        None,
        Some("application/json"),
        Some("application/jwk-set+json"),
        Some("application/octet-stream"),
        Some("text/plain; charset=iso-8859-1"),
        Some("text/html"),
        Some("image/png"),
        Some("nonsense"),
    ] {
        let headers: Vec<_> =
            content_type.map(|value| ("content-type", value)).into_iter().collect();
        let (_server, oauth2) = answering(Answer::body(200, &headers, &document()));
        assert_eq!(verify(&oauth2, &token(good())).await, Ok(()), "{content_type:?}");
        let pem = good().public_pem();
        let (_server, oauth2) = answering(Answer::body(200, &headers, pem.as_bytes()));
        assert_eq!(verify(&oauth2, &token(good())).await, Ok(()), "{content_type:?}");
    }
}

fn chunked(chunks: &[&[u8]]) -> Vec<u8> {
    let mut bytes =
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for chunk in chunks {
        bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
        bytes.extend(*chunk);
        bytes.extend(b"\r\n");
    }
    bytes
}

#[tokio::test]
async fn chunked_body_is_read_if_complete() {
    let document = document();
    let (head, tail) = document.split_at(20);
    let whole = [chunked(&[head, tail]), b"0\r\n\r\n".to_vec()].concat();
    let (_server, oauth2) = answering(Answer::raw(whole.clone()));
    assert_eq!(verify(&oauth2, &token(good())).await, Ok(()));
    let (_server, oauth2) =
        answering(Answer::raw(whole.clone()).dripping(Duration::from_micros(100)));
    assert_eq!(verify(&oauth2, &token(good())).await, Ok(()), "slow, but within the timeout");
    for (name, bytes, cause) in [
        ("no last chunk", chunked(&[head, tail]), "broke off"),
        ("half of the chunks", chunked(&[head]), "broke off"),
        ("cut in a chunk", whole[..whole.len() - 20].to_vec(), "broke off"),
        ("a bad length", [chunked(&[head]), b"zz\r\n".to_vec()].concat(), "broke off"),
    ] {
        assert_rejected(name, Answer::raw(bytes), cause).await;
    }
}

#[tokio::test]
async fn body_with_a_wrong_content_length_is_rejected() {
    let with = |length: &str| {
        let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n{length}\r\n\r\n");
        [head.into_bytes(), document()].concat()
    };
    let length = document().len();
    let announced = |length: usize| with(&format!("content-length: {length}"));
    let (_server, oauth2) = answering(Answer::raw(announced(length)));
    assert_eq!(verify(&oauth2, &token(good())).await, Ok(()));
    for (name, bytes, cause) in [
        ("too long", announced(length + 1), "broke off"),
        ("too short", announced(length - 1), "not valid JSON"),
        ("nothing", announced(0), "empty"),
        ("two lengths", with("content-length: 1\r\ncontent-length: 2"), "no response"),
        ("not a number", with("content-length: many"), "no response"),
        ("negative", with("content-length: -1"), "no response"),
        ("beyond all numbers", with("content-length: 99999999999999999999"), "no response"),
    ] {
        assert_rejected(name, Answer::raw(bytes), cause).await;
    }
}

#[tokio::test]
async fn document_over_one_mebibyte_is_rejected() {
    const MAX: usize = 1024 * 1024;
    let padded = |length: usize| {
        let mut document = document();
        document.resize(length, b' ');
        document
    };
    let close = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
    let forms = |length: usize| {
        let body = padded(length);
        [
            ("with its length", Answer::body(200, &[], &body)),
            ("without", Answer::raw([close.as_slice(), &body].concat())),
            ("in chunks", Answer::raw([chunked(&[&body]), b"0\r\n\r\n".to_vec()].concat())),
        ]
    };
    for (name, answer) in forms(MAX) {
        let (_server, oauth2) = answering(answer);
        assert_eq!(verify(&oauth2, &token(good())).await, Ok(()), "{name}");
    }
    for (name, answer) in forms(MAX + 1) {
        assert_rejected(name, answer, "larger than 1048576 bytes").await;
    }
}

/// Starts a server that sends these bytes repeatedly. It reports the start, and how much the client read
/// before it disconnected.
fn endless(head: &'static [u8], again: Vec<u8>) -> (String, mpsc::Receiver<usize>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
    let (taken, is_taken) = mpsc::channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let mut request = [0; 4096];
        let _ = stream.read(&mut request);
        let _ = taken.send(0);
        let _ = stream.write_all(head);
        let mut total = 0;
        while let Ok(count) = stream.write(&again) {
            total += count;
            if total > 1 << 30 {
                break;
            }
        }
        let _ = taken.send(total);
    });
    (url, is_taken)
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_response_is_abandoned() {
    let spaces = vec![b' '; 64 * 1024];
    let chunk = [format!("{:x}\r\n", spaces.len()).as_bytes(), &spaces, b"\r\n"].concat();
    let other = KeyServer::start(Answer::body(200, &[], &document())).unwrap();
    for (head, again, cause, limit) in [
        (b"HTTP/1.1 200 OK\r\n\r\n".as_slice(), spaces.clone(), "larger than", Some(32)),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", chunk, "larger than", Some(32)),
        (b"HTTP/1.1 200 OK\r\n", b"x: y\r\n".repeat(1000), "no response", Some(32)),
        (b"HTTP/1.1 200 OK\r\nx: ", spaces, "no response", Some(32)),
        // Interim responses are skipped until the timeout.
        (b"", b"HTTP/1.1 103 Early\r\n\r\n".repeat(1000), "no complete answer within 5 s", None),
    ] {
        let clock = ManualClock::new();
        let (url, taken) = endless(head, again);
        let of =
            |issuer: &str, url: String| Provider::new().issuer(issuer).audience("api").keys(url);
        let oauth2 = policy::builder()
            .provider("endless", of(ISSUER, url))
            .provider("other", of("https://other.test", other.url()).key_refresh(Duration::ZERO))
            .clock(clock.clone())
            .build()
            .unwrap();
        let waiting = tokio::spawn({
            let oauth2 = oauth2.clone();
            async move { verify(&oauth2, &token(good())).await }
        });
        taken.recv_timeout(PATIENCE).unwrap();
        // Other providers are not delayed.
        let of_other = Token::new("https://other.test", "api").sign(good());
        assert_eq!(verify(&oauth2, &of_other).await, Ok(()), "{cause}");
        if limit.is_none() {
            assert!(!waiting.is_finished());
            clock.advance(Duration::from_secs(5));
        }
        assert!(waiting.await.unwrap().is_err());
        let reported = oauth2.key_status()[0].last_error.clone().unwrap().cause;
        assert!(reported.contains(cause), "{reported}");
        let taken = taken.recv_timeout(2 * PATIENCE).expect("the client disconnects");
        // The limit, and the content of sockets and buffers.
        let limit = limit.unwrap_or(1024) << 20;
        assert!(taken < limit, "{cause}: {taken} bytes");
    }
}

#[tokio::test]
async fn response_that_is_not_http_is_a_failure() {
    for (name, bytes) in [
        ("SSH", b"SSH-2.0-OpenSSH_9.6\r\n".to_vec()),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec()),
        ("HTTP/0.9", document()),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
        ("nothing but lines", b"\r\n\r\n\r\n".to_vec()),
        ("a status of its own", b"HTTP/1.1 20 OK\r\n\r\n".to_vec()),
        ("an upgrade", b"HTTP/1.1 101 Switching\r\nupgrade: x\r\n\r\n".to_vec()),
        ("zeros", vec![0; 64]),
    ] {
        let (_server, oauth2) = answering(Answer::raw(bytes));
        let rejected = verify(&oauth2, &token(good())).await;
        assert!(matches!(rejected, Err(ErrorKind::KeysUnavailable { .. })), "{name}: {rejected:?}");
    }
}
