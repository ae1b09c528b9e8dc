//! The certificate of a connection.

use std::{net::TcpListener, sync::Arc};

use actix_web::{App, HttpServer};
use oauth2_actix::{mtls, testing::LocalServer};
use rustls::{
    pki_types::ServerName,
    version::{TLS12, TLS13},
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::http::Request;

use super::{
    client::get,
    server::{LIBRARIES, Library, Server, plain, routes},
};

#[test]
fn certificate_of_the_connection_is_found_with_every_library_and_version() {
    for library in LIBRARIES {
        for version in [&TLS12, &TLS13] {
            let server = Server::start(library, None);
            let identity = server.authority.issue("client", 30);
            let client = server.client(Some(&identity), version);
            let answer = client.get(server.address(), &[]);
            assert_eq!(answer.body, identity.x5t_s256(), "{library:?} {version:?}");
        }
    }
}

#[test]
fn clients_with_certificates_of_one_authority_are_told_apart() {
    let server = Server::start(Library::Rustls, None);
    let [ann, bob] = ["ann", "bob"].map(|name| server.authority.issue(name, 30));
    let of = |identity| {
        let client = server.client(Some(identity), &TLS13);
        client.get(server.address(), &[]).body
    };
    assert_eq!([of(&ann), of(&bob)], [ann.x5t_s256(), bob.x5t_s256()]);
    assert_ne!(ann.x5t_s256(), bob.x5t_s256());
}

#[test]
fn connection_without_a_certificate_has_none_and_the_log_says_so() {
    for library in LIBRARIES {
        let server = Server::start(library, None);
        let client = server.client(None, &TLS13);
        let answer = client.get(server.address(), &[]);
        assert!(answer.body.starts_with("the client used no certificate"), "{}", answer.body);
    }
}

#[test]
fn resumed_session_has_the_certificate_of_the_handshake_that_began_it() {
    for library in LIBRARIES {
        for version in [&TLS12, &TLS13] {
            let server = Server::start(library, None);
            let identity = server.authority.issue("client", 30);
            let client = server.client(Some(&identity), version);
            let answers = [(); 3].map(|()| client.get(server.address(), &[]));
            assert!(!answers[0].is_resumed);
            assert!(answers[1].is_resumed && answers[2].is_resumed, "{library:?} {version:?}");
            for answer in answers {
                assert_eq!(answer.body, identity.x5t_s256(), "{library:?} {version:?}");
            }
        }
    }
}

#[test]
fn resumed_session_without_a_certificate_has_none() {
    for library in LIBRARIES {
        let server = Server::start(library, None);
        let client = server.client(None, &TLS13);
        client.get(server.address(), &[]);
        let answer = client.get(server.address(), &[]);
        assert!(answer.is_resumed, "{library:?}");
        assert!(answer.body.starts_with("the client used no certificate"), "{}", answer.body);
    }
}

#[tokio::test]
async fn streams_of_one_http2_connection_have_its_certificate() {
    for library in LIBRARIES {
        let server = Server::start(library, None);
        let identity = server.authority.issue("client", 30);
        let client = server.client(Some(&identity), &TLS13);
        let mut config = (*client.0).clone();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let stream = TcpStream::connect(server.address()).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
        let (mut requests, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        for _ in 0..3 {
            let request = Request::get("https://localhost/").body(()).unwrap();
            let (response, _) = requests.send_request(request, true).unwrap();
            let mut body = response.await.unwrap().into_body();
            let mut text = Vec::new();
            while let Some(part) = body.data().await {
                text.extend_from_slice(&part.unwrap());
            }
            assert_eq!(String::from_utf8(text).unwrap(), identity.x5t_s256(), "{library:?}");
        }
    }
}

#[test]
fn connection_without_tls_has_no_certificate_and_the_log_says_so() {
    let server = plain(TcpListener::bind("127.0.0.1:0").unwrap(), None);
    let mut stream = std::net::TcpStream::connect(server.address()).unwrap();
    let (_, text) = get(&mut stream, &[]);
    assert!(text.starts_with("the connection has no TLS"), "{text}");
}

#[test]
fn server_without_on_connect_has_no_certificate_and_the_log_says_so() {
    let server = LocalServer::start(|listener| {
        Ok(HttpServer::new(|| App::new().configure(routes(None)))
            .workers(1)
            .listen(listener)?
            .run())
    })
    .unwrap();
    let mut stream = std::net::TcpStream::connect(server.address()).unwrap();
    let (_, text) = get(&mut stream, &[]);
    assert!(text.contains("HttpServer::on_connect(oauth2_actix::mtls::on_connect)"), "{text}");
}

#[test]
fn closure_of_the_developer_can_call_on_connect() {
    struct Marker;
    let server = LocalServer::start(|listener| {
        let server = HttpServer::new(|| App::new().configure(routes(None))).workers(1).on_connect(
            |connection, extensions| {
                extensions.insert(Marker);
                mtls::on_connect(connection, extensions);
            },
        );
        Ok(server.listen(listener)?.run())
    })
    .unwrap();
    let mut stream = std::net::TcpStream::connect(server.address()).unwrap();
    let (_, text) = get(&mut stream, &[]);
    assert!(text.starts_with("the connection has no TLS"), "{text}");
}
