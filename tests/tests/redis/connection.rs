//! Logins, TLS, and what is logged.

use std::time::Duration;

use oauth2_actix::{dpop::RedisReplayStore, store::RedisServer};
use oauth2_actix_tests::{log, redis_server::Server, tls::Authority, wait};

use crate::{Found, connect, insert, patient, proof, settings};

const PASSWORD: &str = "tulip-7141";

#[tokio::test]
async fn password_is_sent_and_shown_nowhere() {
    log::keep();
    let server =
        Server::with_cli(&["--requirepass", PASSWORD], &["-a", PASSWORD, "--no-auth-warning"]);
    server.remember_long();
    let with_password = |password: &str| {
        patient(RedisServer::new(format!("redis://:{password}@127.0.0.1:{}", server.port)))
    };
    let connection = connect(with_password(PASSWORD)).await;
    let store = RedisReplayStore::new(&connection);
    assert_eq!(insert(&store, proof(1)).await, Found::Fresh);
    for text in [
        format!("{:?}", with_password(PASSWORD)),
        format!("{connection:?} {store:?} {connection:#?}"),
    ] {
        assert!(!text.contains(PASSWORD), "{text}");
    }

    let wrong = "daisy-3390";
    let refused = RedisReplayStore::new(&with_password(wrong).connect().unwrap());
    let answer = insert(&refused, proof(2)).await;
    assert!(answer.reason().contains("cannot be reached"), "{answer:?}");
    assert!(!answer.reason().contains(wrong), "{answer:?}");
    let none = RedisServer::new(server.url());
    let refused = RedisReplayStore::new(&patient(none).connect().unwrap());
    let answer = insert(&refused, proof(2)).await;
    assert!(answer.reason().contains("NOAUTH"), "{answer:?}");
    let log = log::text();
    assert!(log.contains("Redis cannot be used"));
    assert!(!log.contains(PASSWORD) && !log.contains(wrong));
}

#[tokio::test]
async fn user_with_the_documented_permissions_is_sufficient() {
    let server = Server::start();
    server.remember_long();
    let permissions = "+info +eval +multi +exec +set +get +time +ping";
    let mut command = vec!["ACL", "SETUSER", "orders", "on", ">secret", "~oauth2-actix:*"];
    command.extend(permissions.split(' '));
    server.run(&command);
    let url = format!("redis://orders:secret@127.0.0.1:{}", server.port);
    let connection = connect(patient(RedisServer::new(url.as_str()))).await;
    let store = RedisReplayStore::new(&connection);
    assert_eq!(insert(&store, proof(1)).await, Found::Fresh);
    assert_eq!(insert(&store, proof(1)).await, Found::Seen);

    // Without one of them, nothing is accepted.
    for command in ["set", "get", "time", "multi"] {
        server.run(&["ACL", "SETUSER", "orders", &format!("-{command}")]);
        let answer = insert(&store, proof(2)).await;
        assert!(answer.reason().contains("NOPERM"), "{command}: {answer:?}");
        server.run(&["ACL", "SETUSER", "orders", &format!("+{command}")]);
    }
    for command in ["info", "eval"] {
        server.run(&["ACL", "SETUSER", "orders", &format!("-{command}")]);
        let other = patient(RedisServer::new(url.as_str())).connect().unwrap();
        let store = RedisReplayStore::new(&other);
        let answer = insert(&store, proof(3)).await;
        assert!(
            answer.reason().contains(command) || answer.reason().contains("NOPERM"),
            "{answer:?}"
        );
        server.run(&["ACL", "SETUSER", "orders", &format!("+{command}")]);
    }
}

#[tokio::test]
async fn tls_needs_a_certificate_of_the_configured_authority() {
    let (authority, other) = (Authority::new("redis test"), Authority::new("other test"));
    let server = Server::with_tls(&authority.issue("localhost", 30), None);
    server.remember_long();
    let at = |host: &str| patient(RedisServer::new(format!("rediss://{host}:{}", server.port)));
    for host in ["localhost", "127.0.0.1"] {
        let connection = connect(at(host).root_certificate_pem(authority.pem())).await;
        let store = RedisReplayStore::new(&connection);
        let first = insert(&store, proof(1)).await;
        assert_eq!(first, if host == "localhost" { Found::Fresh } else { Found::Seen });
    }
    let both = [other.pem(), authority.pem()].concat();
    connect(at("localhost").root_certificate_pem(both)).await;

    for settings in [
        // The authorities of the system.
        at("localhost"),
        at("localhost").root_certificate_pem(other.pem()),
        // A name that the certificate does not have.
        at("127.0.0.2").root_certificate_pem(authority.pem()),
        // No TLS on the port.
        patient(RedisServer::new(server.url())),
    ] {
        let store = RedisReplayStore::new(&settings.connect().unwrap());
        let answer = insert(&store, proof(2)).await;
        assert!(answer.reason().contains("cannot be reached"), "{settings:?}: {answer:?}");
    }
}

#[tokio::test]
async fn server_that_asks_for_a_certificate_gets_the_configured_one() {
    let (authority, other) = (Authority::new("redis test"), Authority::new("other test"));
    let server = Server::with_tls(&authority.issue("localhost", 30), Some(&authority));
    let settings = || {
        let url = format!("rediss://localhost:{}", server.port);
        patient(RedisServer::new(url)).root_certificate_pem(authority.pem())
    };
    let own = authority.issue("orders", 30).pem();
    connect(settings().client_certificate_pem(own)).await;
    let of_another_authority = other.issue("orders", 30).pem();
    for settings in [settings(), settings().client_certificate_pem(of_another_authority)] {
        let store = RedisReplayStore::new(&settings.connect().unwrap());
        let answer = insert(&store, proof(1)).await;
        assert!(answer.reason().contains("cannot be reached"), "{answer:?}");
    }
}

#[tokio::test]
async fn tls_to_a_server_without_it_fails() {
    let authority = Authority::new("redis test");
    let server = Server::start();
    let url = format!("rediss://localhost:{}", server.port);
    let settings = RedisServer::new(url)
        .root_certificate_pem(authority.pem())
        .connection_timeout(Duration::from_millis(500))
        .response_timeout(Duration::from_secs(5));
    let store = RedisReplayStore::new(&settings.connect().unwrap());
    let answer = insert(&store, proof(1)).await;
    assert!(answer.reason().contains("did not respond within 500 ms"), "{answer:?}");
}

#[tokio::test]
async fn policy_that_forgets_keys_is_logged_as_an_error() {
    log::keep();
    for policy in ["allkeys-lru", "volatile-lru", "volatile-ttl", "allkeys-random"] {
        let server = Server::with(&["--maxmemory", "100mb", "--maxmemory-policy", policy]);
        connect(settings(&server)).await;
        let name = format!("127.0.0.1:{}", server.port);
        let lines =
            log::lines_with(&["ERROR", "set maxmemory-policy to noeviction", &name, policy]);
        assert_eq!(lines.len(), 1, "{policy}");
    }
    for arguments in [
        ["--maxmemory", "100mb", "--maxmemory-policy", "noeviction"],
        ["--maxmemory", "0", "--maxmemory-policy", "allkeys-lru"],
    ] {
        let server = Server::with(&arguments);
        connect(settings(&server)).await;
        let name = format!("127.0.0.1:{}", server.port);
        assert!(log::lines_with(&["ERROR", &name]).is_empty(), "{arguments:?}");
    }
}

#[tokio::test]
async fn new_server_is_mentioned_in_the_log() {
    log::keep();
    let server = Server::start();
    let connection = connect(settings(&server)).await;
    let _store = RedisReplayStore::new(&connection);
    let name = format!("127.0.0.1:{}", server.port);
    wait::until("the log line", || {
        !log::lines_with(&["INFO", "its earlier data may be missing", &name, "buckets=64"])
            .is_empty()
    })
    .await;
}
