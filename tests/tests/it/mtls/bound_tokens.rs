//! Tokens that are bound to a certificate.

use std::net::{SocketAddr, TcpListener, TcpStream};

use actix_web::web;
use base64::{Engine, prelude::BASE64_STANDARD};
use oauth2_actix::{
    Algorithm, Binding, Claims, Provider, mtls::ForwardedCertificate, testing::Token,
};
use oauth2_actix_tests::{keys::key, log, policy, tls::Identity};
use rustls::version::{TLS12, TLS13};
use serde_json::json;

use super::{
    client::{Client, get},
    server::{LIBRARIES, Library, Server, plain_with_routes},
};

/// A policy in front of one route. It accepts bound tokens, and others unless bound ones are required.
fn routes(
    binding: Binding,
    forwarded: Option<ForwardedCertificate>,
) -> impl Fn(&mut web::ServiceConfig) + Clone + Send + 'static {
    let provider = Provider::new()
        .issuer(ISSUER)
        .audience("api")
        .keys(key(Algorithm::ES256).jwk_set())
        .certificate_bound(binding);
    let mut builder = policy::builder().provider("p", provider);
    if let Some(forwarded) = forwarded {
        builder = builder.forwarded_certificate(forwarded);
    }
    let oauth2 = builder.build().unwrap();
    move |config| {
        let scope = web::scope("").wrap(oauth2.clone()).route("/me", web::get().to(me));
        config.service(scope);
    }
}

async fn me(claims: Claims) -> String {
    claims.subject().unwrap().to_owned()
}

/// The header line with a token that is bound to a certificate, or to none.
fn token(subject: &str, bound_to: Option<&Identity>) -> String {
    let token = Token::new(ISSUER, "api").claim("sub", subject);
    let token = match bound_to {
        Some(identity) => token.claim("cnf", json!({"x5t#S256": identity.x5t_s256()})),
        None => token,
    };
    format!("Authorization: Bearer {}", token.sign(key(Algorithm::ES256)))
}

fn client_cert(identity: &Identity) -> String {
    let der = identity.certificate().to_der().unwrap();
    format!("Client-Cert: :{}:", BASE64_STANDARD.encode(der))
}

/// The status for a token on a connection of its own.
fn status(client: &Client, address: SocketAddr, token: &str) -> u16 {
    client.get(address, &[token.to_owned()]).status
}

#[test]
fn bound_token_is_accepted_only_on_connections_with_its_certificate() {
    for library in LIBRARIES {
        for version in [&TLS12, &TLS13] {
            let server = Server::with_routes(library, routes(Binding::Required, None));
            let [ann, bob] = ["ann", "bob"].map(|name| server.authority.issue(name, 30));
            let clients = [Some(&ann), Some(&bob), None].map(|it| server.client(it, version));
            let token = token("ann", Some(&ann));
            // Three times, since the token is cached after the first, and the sessions are resumed.
            for _ in 0..3 {
                let statuses = clients.each_ref().map(|it| status(it, server.address(), &token));
                assert_eq!(statuses, [200, 401, 401], "{library:?} {version:?}");
            }
        }
    }
}

#[test]
fn token_that_is_not_bound_is_accepted_only_if_bound_ones_are_not_required() {
    for (binding, expected) in [(Binding::Required, 401), (Binding::Allowed, 200)] {
        let server = Server::with_routes(Library::Rustls, routes(binding, None));
        let ann = server.authority.issue("ann", 30);
        for client in [Some(&ann), None].map(|it| server.client(it, &TLS13)) {
            assert_eq!(status(&client, server.address(), &token("x", None)), expected);
        }
    }
}

#[test]
fn bound_token_without_its_certificate_is_rejected_where_others_are_allowed() {
    let server = Server::with_routes(Library::OpenSsl, routes(Binding::Allowed, None));
    let [ann, bob] = ["ann", "bob"].map(|name| server.authority.issue(name, 30));
    let clients = [Some(&ann), Some(&bob), None].map(|it| server.client(it, &TLS13));
    let token = token("ann", Some(&ann));
    let statuses = clients.each_ref().map(|it| status(it, server.address(), &token));
    assert_eq!(statuses, [200, 401, 401]);
}

#[test]
fn log_says_why_a_bound_token_has_no_certificate() {
    log::keep();
    let ann = oauth2_actix_tests::tls::Authority::new("authority").issue("log-reason", 30);
    let server = plain_with_routes(
        TcpListener::bind("127.0.0.1:0").unwrap(),
        routes(Binding::Required, None),
    );
    let subject = "without-tls";
    let mut stream = TcpStream::connect(server.address()).unwrap();
    let (status, body) = get(&mut stream, &[token(subject, Some(&ann))]);
    assert_eq!(status, 401);
    assert!(body.contains("invalid_token"), "{body}");
    let lines = log::lines_with(&["request rejected", "the connection has no TLS"]);
    assert!(!lines.is_empty(), "{}", log::text());
}

#[test]
fn bound_token_behind_a_proxy_is_accepted_only_with_its_certificate_in_the_header() {
    let by_proxy = || ForwardedCertificate::rfc9440().from_peers(["127.0.0.1"]);
    let server = Server::with_routes(Library::Rustls, routes(Binding::Required, Some(by_proxy())));
    let [ann, bob, proxy] = ["ann", "bob", "proxy"].map(|name| server.authority.issue(name, 30));
    let proxy_client = server.client(Some(&proxy), &TLS13);
    let ask = |bound_to, lines: &[String]| {
        let lines = [&[token("ann", Some(bound_to))], lines].concat();
        proxy_client.get(server.address(), &lines).status
    };
    assert_eq!(ask(&ann, &[client_cert(&ann)]), 200);
    assert_eq!(ask(&ann, &[client_cert(&bob)]), 401);
    assert_eq!(ask(&ann, &[]), 401);
    assert_eq!(ask(&ann, &["Client-Cert:".to_owned()]), 401);
    assert_eq!(ask(&ann, &[client_cert(&ann), client_cert(&ann)]), 401);
    // The proxy's own certificate is not that of a client.
    assert_eq!(ask(&proxy, &[]), 401);
}

#[test]
fn bound_token_with_the_header_of_the_proxy_from_another_peer_is_rejected() {
    let forwarded = ForwardedCertificate::rfc9440().from_peers(["127.0.0.2"]);
    let server = Server::with_routes(Library::OpenSsl, routes(Binding::Required, Some(forwarded)));
    let [ann, bob] = ["ann", "bob"].map(|name| server.authority.issue(name, 30));
    let ask = |client: &Client, lines: &[String]| {
        let lines = [&[token("ann", Some(&ann))], lines].concat();
        client.get(server.address(), &lines).status
    };
    let [ann_client, bob_client] = [&ann, &bob].map(|it| server.client(Some(it), &TLS13));
    assert_eq!(ask(&bob_client, &[client_cert(&ann)]), 401);
    assert_eq!(ask(&bob_client, &[client_cert(&ann), "X-Forwarded-For: 127.0.0.2".into()]), 401);
    // Not even with the certificate that the client really has.
    assert_eq!(ask(&ann_client, &[client_cert(&ann)]), 401);
    assert_eq!(ask(&ann_client, &[]), 200);
}

const ISSUER: &str = "https://idp.test";
