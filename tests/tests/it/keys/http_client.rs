//! The HTTP client for keys: what developers can change, and what they cannot.

use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
};

use oauth2_actix::{
    Algorithm, Keys, OAuth2Builder, Provider,
    reqwest::{
        self, Certificate, ClientBuilder, Identity, Proxy,
        header::{HeaderMap, HeaderValue},
        redirect::Policy,
    },
    tenants::{Tenant, TenantLookup, Tenants},
    testing::Token,
};
use oauth2_actix_tests::{
    alone,
    key_server::{Answer, KeyServer},
    keys::key,
    policy,
    tls::{Authority, TlsFront},
};
use serde_json::json;

const ISSUER: &str = "https://idp.test";
const OPENID: &str = "/.well-known/openid-configuration";

fn good_keys() -> Answer {
    Answer::json(&key(Algorithm::ES256).jwk_set())
}

fn keys_at(url: &str) -> OAuth2Builder {
    let provider = Provider::new().issuer(ISSUER).audience("api").keys(url);
    // Without a refresh interval, nothing is fetched before `warm_up`, so that requests can be counted.
    policy::builder().provider("p", provider)
}

/// Returns why the keys could not be fetched, or `None`.
async fn fault(builder: OAuth2Builder) -> Option<String> {
    let oauth2 = builder.build().unwrap();
    let error = oauth2.warm_up().await.err()?;
    let cause = error.failures().next().unwrap().1.to_owned();
    assert_eq!(oauth2.key_status()[0].last_error.as_ref().unwrap().cause, cause);
    Some(cause)
}

/// A key server that is also an issuer, behind TLS.
struct Tls {
    server: KeyServer,
    front: TlsFront,
}

impl Tls {
    fn new(
        identity: &oauth2_actix_tests::tls::Identity,
        client_authority: Option<&Authority>,
    ) -> Self {
        let server = KeyServer::start(good_keys()).unwrap();
        let front = TlsFront::start(&server, identity, client_authority);
        let document = json!({"issuer": front.url_of(""), "jwks_uri": front.url_of("/jwks.json")});
        server.answer_at(OPENID, Answer::json(&document));
        Self { server, front }
    }

    /// Returns builders with keys by URL and by discovery.
    fn both(&self) -> [OAuth2Builder; 2] {
        let issuer =
            Provider::new().issuer(self.front.url_of("")).audience("api").keys(Keys::discover());
        let by_discovery = policy::builder().provider("p", issuer);
        [keys_at(&self.front.url_of("/jwks.json")), by_discovery]
    }
}

fn trusting(authority: &Authority) -> impl Fn(ClientBuilder) -> ClientBuilder + use<> {
    let certificate = Certificate::from_pem(&authority.pem()).unwrap();
    move |client| client.tls_certs_merge([certificate.clone()])
}

#[tokio::test]
async fn private_ca_is_trusted_if_configured() {
    let (authority, other) = (Authority::new("ours"), Authority::new("ours"));
    let tls = Tls::new(&authority.issue("localhost", 30), None);
    for builder in tls.both() {
        let cause = fault(builder).await.expect("not trusted");
        assert!(cause.contains("certificate") && cause.contains("UnknownIssuer"), "{cause}");
    }
    for builder in tls.both() {
        let cause =
            fault(builder.configure_http_client(trusting(&other))).await.expect("not trusted");
        assert!(cause.contains("certificate"), "{cause}");
    }
    for builder in tls.both() {
        let only = Certificate::from_pem(&other.pem()).unwrap();
        let builder =
            builder.configure_http_client(move |client| client.tls_certs_only([only.clone()]));
        assert!(fault(builder).await.expect("not trusted").contains("certificate"));
    }
    assert_eq!(tls.server.requests(), 0, "an untrusted server gets no request");
    for builder in tls.both() {
        assert_eq!(fault(builder.configure_http_client(trusting(&authority))).await, None);
    }
    assert_eq!((tls.server.requests_at(OPENID), tls.server.requests_at("/jwks.json")), (1, 2));

    // Name and validity of the certificate are still checked.
    for (identity, word) in [
        (authority.issue("other.example", 30), "not valid for name"),
        (authority.issue("localhost", 0), "expired"),
    ] {
        let tls = Tls::new(&identity, None);
        for builder in tls.both() {
            let cause =
                fault(builder.configure_http_client(trusting(&authority))).await.expect(word);
            assert!(cause.contains("certificate") && cause.contains(word), "{cause}");
        }
        assert_eq!(tls.server.requests(), 0);
    }
}

#[tokio::test]
async fn keys_fetched_over_tls_verify_tokens() {
    let authority = Authority::new("ours");
    let tls = Tls::new(&authority.issue("localhost", 30), None);
    let [by_url, by_discovery] = tls.both();
    for (issuer, builder) in [(ISSUER, by_url), (&tls.front.url_of(""), by_discovery)] {
        let oauth2 = builder.configure_http_client(trusting(&authority)).build().unwrap();
        let token = Token::new(issuer, "api").sign(key(Algorithm::ES256));
        assert!(oauth2.verify(&token).await.is_ok(), "{issuer}");
    }
}

#[tokio::test]
async fn client_certificate_is_sent_if_required() {
    let (authority, clients, others) =
        (Authority::new("servers"), Authority::new("clients"), Authority::new("others"));
    let tls = Tls::new(&authority.issue("localhost", 30), Some(&clients));
    let with = |identity: &oauth2_actix_tests::tls::Identity| {
        let identity = Identity::from_pem(&identity.pem()).unwrap();
        let trusting = trusting(&authority);
        move |client| trusting(client).identity(identity.clone())
    };
    for builder in tls.both() {
        let cause = fault(builder.configure_http_client(trusting(&authority)))
            .await
            .expect("no certificate");
        assert!(cause.contains("no response"), "{cause}");
    }
    for builder in tls.both() {
        let of_others = with(&others.issue("client", 30));
        let cause = fault(builder.configure_http_client(of_others)).await.expect("untrusted");
        assert!(cause.contains("no response"), "{cause}");
    }
    assert_eq!(tls.server.requests(), 0);
    for builder in tls.both() {
        assert_eq!(
            fault(builder.configure_http_client(with(&clients.issue("client", 30)))).await,
            None
        );
    }
    assert_eq!(tls.server.requests(), 3);
}

#[tokio::test]
async fn redirects_are_not_followed_whatever_a_closure_configures() {
    let target = KeyServer::start(good_keys()).unwrap();
    let authority = Authority::new("ours");
    let tls = Tls::new(&authority.issue("localhost", 30), None);
    for status in [301, 302, 303, 307, 308] {
        tls.server.answer(Answer::redirect(status, &target.url()));
        let [by_url, by_discovery] = tls.both();
        for builder in [keys_at(&tls.server.url()), by_url, by_discovery] {
            let trusting = trusting(&authority);
            let builder = builder.configure_http_client(move |client| {
                trusting(client).redirect(Policy::limited(10))
            });
            let cause = fault(builder).await.expect("rejected");
            assert!(cause.contains("redirects"), "{cause}");
        }
    }
    assert_eq!(target.requests(), 0);
    assert_eq!(tls.server.requests_at("/jwks.json"), 15);
}

#[tokio::test]
async fn custom_client_follows_redirects_by_its_own_policy() {
    let target = KeyServer::start(good_keys()).unwrap();
    let server = KeyServer::start(Answer::redirect(302, &target.url())).unwrap();
    let client = |policy: Policy| {
        reqwest::Client::builder().redirect(policy).no_proxy().tls_certs_only([]).build().unwrap()
    };
    let builder = keys_at(&server.url()).dangerous_http_client(client(Policy::none()));
    assert!(fault(builder).await.expect("rejected").contains("redirects"));
    assert_eq!((server.requests(), target.requests()), (1, 0));
    let builder = keys_at(&server.url()).dangerous_http_client(client(Policy::limited(10)));
    assert_eq!(fault(builder).await, None);
    assert_eq!((server.requests(), target.requests()), (2, 1));

    let both = keys_at(&server.url())
        .dangerous_http_client(client(Policy::none()))
        .configure_http_client(|client| client)
        .build()
        .unwrap_err();
    assert_eq!((both.provider(), both.field()), (None, "dangerous_http_client"));
}

#[tokio::test]
async fn headers_that_a_closure_adds_are_sent() {
    let server = KeyServer::start(good_keys()).unwrap();
    assert_eq!(fault(keys_at(&server.url())).await, None);
    let request = server.last_request();
    assert!(request.starts_with("GET /jwks.json HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("user-agent: oauth2-actix/"), "{request}");
    assert!(request.contains("accept-encoding: gzip\r\n"), "{request}");
    assert!(!request.contains("cookie"), "{request}");

    let builder = keys_at(&server.url()).configure_http_client(|client| {
        let mut headers = HeaderMap::new();
        headers.insert("x-api-key", HeaderValue::from_static("abc"));
        client.default_headers(headers).user_agent("ours/1")
    });
    assert_eq!(fault(builder).await, None);
    let request = server.last_request();
    assert!(request.contains("x-api-key: abc\r\n") && request.contains("user-agent: ours/1\r\n"));
}

#[tokio::test]
async fn closure_runs_once_for_loopback_and_once_for_other_hosts() {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let server = KeyServer::start(good_keys()).unwrap();
    let mut builder = policy::builder().configure_http_client(move |client| {
        count.fetch_add(1, Ordering::SeqCst);
        client
    });
    for index in 0..5 {
        let of = |host: &str| Provider::new().issuer(format!("https://{host}")).audience("api");
        let (here, there) = (format!("here-{index}"), format!("there-{index}"));
        builder = builder
            .provider(&here, of(&here).keys(server.url()))
            .provider(&there, of(&there).keys("https://idp.example/jwks.json"));
    }
    let oauth2 = builder.build().unwrap();
    let token = Token::new("https://here-3", "api").sign(key(Algorithm::ES256));
    assert!(oauth2.verify(&token).await.is_ok());
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn closure_that_makes_no_client_is_a_build_error() {
    let broken = |client: ClientBuilder| client.user_agent("two\nlines");
    let of = |keys: Keys| {
        let provider = Provider::new().issuer("https://idp.test").audience("api").keys(keys);
        policy::builder().provider("broken-client", provider).configure_http_client(broken)
    };
    for keys in
        [Keys::from("https://idp.test/jwks"), Keys::from("http://[::1]/jwks"), Keys::discover()]
    {
        let error = of(keys.clone()).build().expect_err("no client");
        assert_eq!((error.provider(), error.field()), (Some("broken-client"), "keys"), "{keys:?}");
        assert!(error.to_string().contains("HTTP client"), "{error}");
        assert_is_no_debug_output(&error.to_string());
    }
    struct NoTenants;
    impl TenantLookup for NoTenants {
        async fn find_by_issuer(
            &self,
            _: &str,
        ) -> Result<Option<Tenant>, Box<dyn std::error::Error + Send + Sync>> {
            Ok(None)
        }
    }
    let error =
        policy::builder().tenants(Tenants::new(NoTenants)).configure_http_client(broken).build();
    let error = error.expect_err("no client").to_string();
    assert!(error.contains("HTTP client"), "{error}");
    assert_is_no_debug_output(&error);
    // Without keys from HTTP, no client is needed.
    assert!(of(Keys::file("/nowhere")).build().is_ok());

    // A client that is needed later, since a document names another host, is a failed fetch.
    let server = KeyServer::start(Answer::status(404)).unwrap();
    let issuer = server.url_of("");
    let document = json!({"issuer": issuer, "jwks_uri": "https://localhost:1/jwks.json"});
    server.answer_at(OPENID, Answer::json(&document));
    let provider = Provider::new().issuer(&issuer).audience("api").keys(Keys::discover());
    let builder = policy::builder()
        .provider("p", provider)
        // reqwest rejects this setting where other certificates are trusted.
        .configure_http_client(|client| client.tls_danger_accept_invalid_hostnames(true));
    let cause = fault(builder).await.expect("no client");
    assert!(cause.contains("no HTTP client"), "{cause}");
    assert_is_no_debug_output(&cause);
}

/// Asserts that this is the display text of reqwest, not its `Debug`.
#[track_caller]
fn assert_is_no_debug_output(error: &str) {
    for of_debug in ["reqwest::Error", "kind:", "Error {", "source:"] {
        assert!(!error.contains(of_debug), "{error}");
    }
}

#[tokio::test]
async fn proxy_is_used_for_other_hosts_only() {
    let server = KeyServer::start(good_keys()).unwrap();
    let proxy = KeyServer::start(Answer::status(502)).unwrap();
    let through = |builder: OAuth2Builder| {
        let url = proxy.url_of("");
        builder.configure_http_client(move |client| client.proxy(Proxy::all(&url).unwrap()))
    };
    let cause = fault(through(keys_at("https://idp.example/jwks.json"))).await.expect("502");
    assert!(cause.contains("no response"), "{cause}");
    let request = proxy.last_request();
    assert!(request.starts_with("CONNECT idp.example:443 HTTP/1.1\r\n"), "{request}");
    // Discovery uses the proxy too.
    let provider = Provider::new()
        .issuer("https://sso.example:8443/realms/x")
        .audience("api")
        .keys(Keys::discover());
    assert!(fault(through(policy::builder().provider("p", provider))).await.is_some());
    let request = proxy.last_request();
    assert!(request.starts_with("CONNECT sso.example:8443 HTTP/1.1\r\n"), "{request}");
    assert_eq!(proxy.requests(), 2);
    // Plain http to this host does not use the proxy.
    assert_eq!(fault(through(keys_at(&server.url()))).await, None);
    let by_name = server.url().replace("127.0.0.1", "localhost");
    assert_eq!(fault(through(keys_at(&by_name))).await, None);
    assert_eq!((server.requests(), proxy.requests()), (2, 2));
    // Plain http to other hosts does, where it is allowed.
    proxy.answer(good_keys());
    let provider = Provider::new()
        .issuer(ISSUER)
        .audience("api")
        .keys("http://keycloak:8080/certs")
        .dangerous_allow_http(true);
    assert_eq!(fault(through(policy::builder().provider("p", provider))).await, None);
    let request = proxy.last_request();
    assert!(request.starts_with("GET http://keycloak:8080/certs HTTP/1.1\r\n"), "{request}");
}

/// The key URL of the child, which has an environment of its own.
const KEYS_OF_CHILD: &str = "OAUTH2_ACTIX_TESTS_KEYS";

#[tokio::test]
#[ignore = "run by proxy_of_the_environment_is_used_for_other_hosts_only, in an environment of its own"]
async fn alone_keys_are_fetched() {
    let Ok(url) = std::env::var(KEYS_OF_CHILD) else { return };
    println!("outcome: {:?}", fault(keys_at(&url)).await);
}

fn outcome_in_a_child(url: &str, environment: &[(&str, &str)]) -> String {
    let mut child = alone::command(module_path!(), "alone_keys_are_fetched");
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUEST_METHOD"] {
        child.env_remove(name).env_remove(name.to_lowercase());
    }
    child.env(KEYS_OF_CHILD, url).envs(environment.iter().copied());
    let output = child.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text.split("outcome: ").nth(1).and_then(|rest| rest.lines().next()).unwrap().to_owned()
}

#[test]
fn proxy_of_the_environment_is_used_for_other_hosts_only() {
    let server = KeyServer::start(good_keys()).unwrap();
    let front = TlsFront::start(&server, &Authority::new("ours").issue("localhost", 30), None);
    let proxy = KeyServer::start(Answer::status(502)).unwrap();
    let proxy_url = proxy.url_of("");
    let proxy_url = proxy_url.as_str();

    // For other hosts, in upper or lower case.
    let mut requests = 0;
    for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"] {
        let outcome = outcome_in_a_child("https://idp.example/jwks.json", &[(name, proxy_url)]);
        assert!(outcome.contains("no response"), "{outcome}");
        requests += 1;
        assert_eq!(proxy.requests(), requests, "{name}");
        let request = proxy.last_request();
        assert!(request.starts_with("CONNECT idp.example:443 HTTP/1.1\r\n"), "{request}");
    }

    // https to this host uses the proxy too, unless NO_PROXY names it.
    let port = front.url_of("").rsplit_once(':').unwrap().1.to_owned();
    let url = front.url_of("/jwks.json");
    outcome_in_a_child(&url, &[("HTTPS_PROXY", proxy_url)]);
    requests += 1;
    assert_eq!(proxy.requests(), requests);
    assert!(proxy.last_request().starts_with(&format!("CONNECT localhost:{port} ")));
    for (name, hosts) in [("NO_PROXY", "localhost"), ("no_proxy", "idp.example, localhost")] {
        let outcome = outcome_in_a_child(&url, &[("HTTPS_PROXY", proxy_url), (name, hosts)]);
        // A direct connection to the server, whose certificate the child does not trust.
        assert!(outcome.contains("certificate"), "{outcome}");
        assert_eq!(proxy.requests(), requests, "{name}");
    }

    // Plain http to this host never uses the proxy.
    let all =
        ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"].map(|name| (name, proxy_url));
    assert_eq!(outcome_in_a_child(&server.url(), &all), "None");
    assert_eq!((server.requests(), proxy.requests()), (1, requests));
}

/// Returns the https URL of a server that sends these bytes after the first ones from the client.
fn no_tls(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("https://localhost:{}/jwks.json", listener.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer);
        }
    });
    url
}

#[tokio::test]
async fn https_to_a_plain_http_port_is_named_in_the_error() {
    let url = no_tls(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
    let cause = fault(keys_at(&url)).await.expect("no TLS");
    assert!(cause.contains("may speak plain http"), "{cause}");
}

#[tokio::test]
async fn server_without_a_common_cipher_is_named_in_the_error() {
    // A fatal alert: handshake_failure, then protocol_version (RFC 8446 §6.2).
    for alert in [b"\x15\x03\x03\x00\x02\x02\x28".as_slice(), b"\x15\x03\x03\x00\x02\x02\x46"] {
        let cause = fault(keys_at(&no_tls(alert))).await.expect("no handshake");
        assert!(cause.contains("neither TLS 1.2 with ECDHE nor TLS 1.3"), "{cause}");
    }
}

/// Starts a server that keeps connections open, and closes each one at its second request. Returns its URL
/// and, for each request, the number of its connection.
fn closes_on_reuse() -> (String, mpsc::Receiver<usize>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
    let (requested, is_requested) = mpsc::channel();
    let body = key(Algorithm::ES256).jwk_set().to_string();
    std::thread::spawn(move || {
        for (number, mut stream) in listener.incoming().flatten().enumerate() {
            let (requested, body) = (requested.clone(), body.clone());
            std::thread::spawn(move || {
                for is_first in [true, false] {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        let mut byte = [0];
                        if stream.read(&mut byte).unwrap_or_default() == 0 {
                            return;
                        }
                        head.push(byte[0]);
                    }
                    let _ = requested.send(number);
                    if is_first {
                        let length = body.len();
                        let answer =
                            format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
                        stream.write_all(answer.as_bytes()).unwrap();
                    }
                }
            });
        }
    });
    (url, is_requested)
}

#[tokio::test]
async fn request_on_a_closed_connection_is_retried_once() {
    let (url, requested) = closes_on_reuse();
    let oauth2 = keys_at(&url).build().unwrap();
    for fetch in 1..=3 {
        oauth2.refresh_keys().await.unwrap();
        assert_eq!(oauth2.key_status()[0].fetches.succeeded, fetch);
    }
    // The second fetch finds the first connection closed, and the third the second one.
    assert_eq!(requested.try_iter().collect::<Vec<_>>(), [0, 0, 1, 1, 2]);
}

#[tokio::test]
async fn request_on_a_new_connection_is_not_retried() {
    let server = KeyServer::start(good_keys()).unwrap();
    let oauth2 = keys_at(&server.url()).build().unwrap();
    oauth2.refresh_keys().await.unwrap();
    for (number, answer) in [Answer::reset(), Answer::raw("")].into_iter().enumerate() {
        server.answer(answer);
        assert!(oauth2.refresh_keys().await.is_err());
        assert_eq!(server.requests(), 2 + number as u64);
    }
}
