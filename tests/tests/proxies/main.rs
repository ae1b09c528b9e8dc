//! Client certificates behind nginx and HAProxy, with the certificates and the configurations of `docs/mtls.md`:
//! `cargo test -p oauth2-actix-tests --features proxies --test proxies`. It needs the programs `nginx`, `haproxy` and
//! `openssl`.

#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../it/mtls/client.rs"]
mod client;
mod folder;
mod proxy;

use rustls::version::{TLS12, TLS13};

use crate::proxy::{Kind, Setup};

/// Runs a test behind each proxy.
fn behind_each(test: impl Fn(&Setup)) {
    for kind in [Kind::Nginx, Kind::HaProxy] {
        test(&Setup::start(kind));
    }
}

#[test]
fn right_certificate_is_accepted() {
    behind_each(|setup| {
        for version in [&TLS12, &TLS13] {
            let answer = setup.client(Some("client"), version).get(setup.front(), &[setup.token()]);
            assert_eq!((answer.status, &*answer.body), (200, "client"), "{setup:?}");
        }
    });
}

#[test]
fn certificate_of_another_client_is_rejected() {
    behind_each(|setup| {
        let answer = setup.client(Some("other"), &TLS13).get(setup.front(), &[setup.token()]);
        assert_eq!(answer.status, 401, "{setup:?}");
    });
}

#[test]
fn token_without_a_certificate_is_rejected() {
    behind_each(|setup| {
        let answer = setup.client(None, &TLS13).get(setup.front(), &[setup.token()]);
        assert_eq!(answer.status, 401, "{setup:?}");
    });
}

#[test]
fn header_of_the_client_is_replaced_by_the_proxy() {
    behind_each(|setup| {
        let lines = [setup.token(), setup.header_of("client")];
        for identity in [None, Some("other")] {
            let answer = setup.client(identity, &TLS13).get(setup.front(), &lines);
            assert_eq!(answer.status, 401, "{setup:?} {identity:?}");
        }
        // Nor is it added to that of the proxy.
        let lines = [setup.token(), setup.header_of("other"), setup.header_of("other")];
        let answer = setup.client(Some("client"), &TLS13).get(setup.front(), &lines);
        assert_eq!(answer.status, 200, "{setup:?}");
    });
}

#[test]
fn header_sent_to_the_server_by_another_peer_is_rejected() {
    behind_each(|setup| {
        let lines = [setup.token(), setup.header_of("client")];
        // The proxy is at 127.0.0.1.
        assert_eq!(setup.get_directly_from([127, 0, 0, 2], &lines).0, 401, "{setup:?}");
        assert_eq!(setup.get_directly_from([127, 0, 0, 1], &lines).0, 200, "{setup:?}");
    });
}

#[test]
fn resumed_session_behind_the_proxy_has_its_certificate() {
    behind_each(|setup| {
        let client = setup.client(Some("client"), &TLS13);
        let answers = [(); 2].map(|()| client.get(setup.front(), &[setup.token()]));
        assert_eq!(answers.each_ref().map(|answer| answer.status), [200, 200], "{setup:?}");
        assert!(answers[1].is_resumed, "{setup:?}");
    });
}
