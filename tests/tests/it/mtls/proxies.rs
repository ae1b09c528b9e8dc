//! The certificate that a proxy sends in a header. Loopback stands for the proxy and for other peers.

use std::{
    net::{TcpListener, TcpStream},
    os::unix::net::{UnixListener, UnixStream},
};

use actix_web::{App, HttpServer};
use base64::{Engine, prelude::BASE64_STANDARD};
use oauth2_actix::{
    mtls::{self, ForwardedCertificate},
    testing::LocalServer,
};
use oauth2_actix_tests::tls::{Authority, Identity};
use rustls::version::TLS13;

use super::{
    client::get,
    server::{Library, Server, plain, routes},
};

const SECRET: &str = "4f1e5d2c3b4a59687786958493a2b1c0";

fn client_of_the_proxy() -> Identity {
    Authority::new("authority").issue("client", 30)
}

fn byte_sequence(identity: &Identity) -> String {
    format!(":{}:", BASE64_STANDARD.encode(identity.certificate().to_der().unwrap()))
}

/// As nginx encodes it.
fn escaped_pem(pem: &[u8]) -> String {
    pem.iter()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' => char::from(*byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

fn trusting(peer: &str) -> ForwardedCertificate {
    ForwardedCertificate::rfc9440().from_peers([peer])
}

fn line(identity: &Identity) -> String {
    format!("Client-Cert: {}", byte_sequence(identity))
}

/// Returns the answer to a request of 127.0.0.1 with these header lines.
fn answer(forwarded: ForwardedCertificate, lines: &[String]) -> String {
    let server = plain(TcpListener::bind("127.0.0.1:0").unwrap(), Some(forwarded));
    get(&mut TcpStream::connect(server.address()).unwrap(), lines).1
}

#[test]
fn certificate_of_every_kind_of_proxy_is_read() {
    let identity = client_of_the_proxy();
    let der = identity.certificate().to_der().unwrap();
    let pem = escaped_pem(&identity.certificate().to_pem().unwrap());
    let hash: String =
        openssl::sha::sha256(&der).iter().map(|byte| format!("{byte:02x}")).collect();
    for (forwarded, line) in [
        (ForwardedCertificate::rfc9440(), line(&identity)),
        (ForwardedCertificate::nginx("X-Pem"), format!("X-Pem: {pem}")),
        (
            ForwardedCertificate::haproxy("X-Der"),
            format!("X-Der: {}", BASE64_STANDARD.encode(&der)),
        ),
        (
            ForwardedCertificate::envoy(),
            format!(
                "X-Forwarded-Client-Cert: By=spiffe://a/b;Hash={hash};Cert=\"{pem}\";DNS=client"
            ),
        ),
    ] {
        let forwarded = forwarded.from_peers(["127.0.0.0/8"]);
        assert_eq!(answer(forwarded, std::slice::from_ref(&line)), identity.x5t_s256(), "{line}");
    }
}

#[test]
fn header_spoofed_by_an_untrusted_peer_is_refused() {
    let text = answer(trusting("127.0.0.2"), &[line(&client_of_the_proxy())]);
    assert_eq!(
        text,
        "client-cert was sent by 127.0.0.1; expected it from the configured proxy alone"
    );
}

#[test]
fn header_with_an_address_of_the_proxy_in_x_forwarded_for_is_refused() {
    let spoofed = [
        line(&client_of_the_proxy()),
        "X-Forwarded-For: 127.0.0.2".to_owned(),
        "Forwarded: for=127.0.0.2".to_owned(),
    ];
    let text = answer(trusting("127.0.0.2"), &spoofed);
    assert!(text.contains("was sent by 127.0.0.1"), "{text}");
}

#[test]
fn header_with_two_lines_is_refused() {
    let authority = Authority::new("authority");
    let lines = ["victim", "attacker"].map(|name| line(&authority.issue(name, 30)));
    let text = answer(trusting("127.0.0.1"), &lines);
    assert_eq!(text, "client-cert was sent more than once; expected it once");
}

#[test]
fn pem_with_two_certificates_is_refused() {
    let authority = Authority::new("authority");
    let [victim, attacker] = ["victim", "attacker"].map(|name| authority.issue(name, 30));
    for pair in [[&victim, &attacker], [&attacker, &victim]] {
        let pem = pair.map(|identity| identity.certificate().to_pem().unwrap()).concat();
        let forwarded = ForwardedCertificate::nginx("X-Pem").from_peers(["127.0.0.1"]);
        let text = answer(forwarded, &[format!("X-Pem: {}", escaped_pem(&pem))]);
        assert!(text.starts_with("x-pem is malformed; expected one certificate"), "{text}");
    }
}

#[test]
fn truncated_or_lengthened_der_is_refused() {
    let der = client_of_the_proxy().certificate().to_der().unwrap();
    for changed in [&der[..der.len() - 1], &der[..4], &[&der[..], &[0]].concat()] {
        let line = format!("Client-Cert: :{}:", BASE64_STANDARD.encode(changed));
        let text = answer(trusting("127.0.0.1"), &[line]);
        assert!(text.starts_with("client-cert is malformed; expected"), "{text}");
    }
}

#[test]
fn certificate_of_the_proxy_itself_is_not_that_of_a_client() {
    let server = Server::start(Library::Rustls, Some(trusting("127.0.0.1")));
    let proxy = server.authority.issue("proxy", 30);
    let proxy_client = server.client(Some(&proxy), &TLS13);
    let text = proxy_client.get(server.address(), &[]).body;
    assert!(text.starts_with("the proxy sent no certificate in client-cert"), "{text}");

    // The client's is that of the header.
    let client = client_of_the_proxy();
    let answer = proxy_client.get(server.address(), &[line(&client)]);
    assert_eq!(answer.body, client.x5t_s256());
}

#[test]
fn connection_with_a_certificate_of_its_own_cannot_add_the_header() {
    let server = Server::start(Library::OpenSsl, Some(trusting("127.0.0.2")));
    let attacker = server.authority.issue("attacker", 30);
    let client = server.client(Some(&attacker), &TLS13);
    let text = client.get(server.address(), &[line(&client_of_the_proxy())]).body;
    assert!(text.starts_with("client-cert was sent by 127.0.0.1"), "{text}");

    // Without the header it is a client like any other.
    assert_eq!(client.get(server.address(), &[]).body, attacker.x5t_s256());
}

#[test]
fn proxy_at_a_unix_socket_needs_the_secret() {
    let folder = std::env::temp_dir().join(format!("mtls-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let identity = client_of_the_proxy();
    let secret = format!("X-Proxy-Secret: {SECRET}");
    let by_secret = ForwardedCertificate::rfc9440().with_secret_header("X-Proxy-Secret", SECRET);
    for (name, forwarded, lines, expected) in [
        ("right", by_secret.clone(), vec![line(&identity), secret.clone()], identity.x5t_s256()),
        ("missing", by_secret.clone(), vec![line(&identity)], refused_by_address()),
        ("peers", trusting("127.0.0.1"), vec![line(&identity)], refused_by_address()),
        (
            "wrong",
            by_secret,
            vec![line(&identity), format!("{secret}0")],
            "x-proxy-secret came without the secret of the proxy, in a request of a peer without an address; expected it \
             once in every request of the proxy"
                .to_owned(),
        ),
    ] {
        let path = folder.join(name);
        let socket = UnixListener::bind(&path).unwrap();
        let _server = LocalServer::start(move |_| {
            let routes = routes(Some(forwarded));
            let app = move || App::new().configure(routes.clone());
            let server = HttpServer::new(app).on_connect(mtls::on_connect).workers(1);
            Ok(server.listen_uds(socket)?.run())
        })
        .unwrap();
        assert_eq!(get(&mut UnixStream::connect(&path).unwrap(), &lines).1, expected, "{name}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

fn refused_by_address() -> String {
    "client-cert was sent by a peer without an address; expected it from the configured proxy alone"
        .to_owned()
}

#[test]
fn ipv4_peer_of_an_ipv6_listener_is_known_by_its_ipv4_address() {
    let listener = TcpListener::bind("[::ffff:127.0.0.1]:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let _server = plain(listener, Some(trusting("127.0.0.1")));
    let identity = client_of_the_proxy();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    assert_eq!(get(&mut stream, &[line(&identity)]).1, identity.x5t_s256());
}
