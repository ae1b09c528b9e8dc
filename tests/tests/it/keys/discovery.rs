//! Keys from the issuer's own word: which document is asked, what is believed of it, and when it is
//! asked again.

use std::time::Duration;

use oauth2_actix::{
    Algorithm, ErrorKind, Keys, OAuth2, OAuth2Builder, Provider,
    status::{KeyState, KeyStatus},
    testing::{ManualClock, SigningKey, Token},
};
use oauth2_actix_tests::{
    key_server::{Answer, KeyServer},
    keys::key,
    policy,
    wait::{PATIENCE, until},
};
use serde_json::{Value, json};

const OPENID: &str = "/.well-known/openid-configuration";
const OAUTH: &str = "/.well-known/oauth-authorization-server";
const JWKS: &str = "/jwks.json";
const HOUR: Duration = Duration::from_secs(3600);

/// An issuer that has a document at neither place yet, and good keys.
struct Issuer {
    server: KeyServer,
    clock: ManualClock,
    name: String,
    path: &'static str,
}

impl Issuer {
    fn at(path: &'static str) -> Self {
        let server = KeyServer::start(Answer::status(404)).unwrap();
        server.answer_at(JWKS, good_keys());
        let name = server.url_of(path);
        Self { server, clock: ManualClock::new(), name, path }
    }

    /// The same, with the document that it should have.
    fn with_document(path: &'static str) -> Self {
        let issuer = Self::at(path);
        issuer.publish(&issuer.server.url());
        issuer
    }

    fn openid(&self) -> String {
        format!("{}{OPENID}", self.path.trim_end_matches('/'))
    }

    fn oauth(&self) -> String {
        format!("{OAUTH}{}", self.path.trim_end_matches('/'))
    }

    /// The document, naming these keys.
    fn document(&self, jwks_uri: &str) -> Answer {
        Answer::json(&json!({"issuer": self.name, "jwks_uri": jwks_uri, "scopes_supported": []}))
    }

    fn publish(&self, jwks_uri: &str) {
        self.server.answer_at(&self.openid(), self.document(jwks_uri));
    }

    /// Requests for the first document, the second one, and the keys.
    fn asked(&self) -> [u64; 3] {
        [&self.openid(), &self.oauth(), JWKS].map(|path| self.server.requests_at(path))
    }

    fn provider(&self) -> Provider {
        Provider::new().issuer(&self.name).audience("api").keys(Keys::discover())
    }

    fn policy(&self, refresh: Option<Duration>) -> OAuth2 {
        let mut provider = self.provider();
        if let Some(refresh) = refresh {
            provider = provider.key_refresh(refresh);
        }
        policy::builder().provider("p", provider).clock(self.clock.clone()).build().unwrap()
    }

    async fn verify(&self, oauth2: &OAuth2, key: &SigningKey) -> Result<(), ErrorKind> {
        let token = Token::new(&self.name, "api").expires_in(365 * 86_400).sign(key);
        oauth2.verify(&token).await.map(drop).map_err(|error| error.kind().clone())
    }

    /// The cause for which this document, if it is all there is, gives no keys.
    async fn refusal(&self, document: Answer) -> String {
        self.server.answer_at(&self.openid(), document);
        let error = self.policy(None).warm_up().await.expect_err("refused");
        error.failures().next().unwrap().1.to_owned()
    }
}

fn good_keys() -> Answer {
    Answer::json(&key(Algorithm::ES256).jwk_set())
}

fn status(oauth2: &OAuth2) -> KeyStatus {
    oauth2.key_status().remove(0)
}

#[tokio::test]
async fn keys_are_fetched_from_the_discovered_jwks_uri() {
    for path in ["", "/", "/realms/shop", "/realms/shop/"] {
        let issuer = Issuer::with_document(path);
        let config = json!({
            "providers": {
                "p": {"issuer": issuer.name, "audience": "api", "keys": {"discover": true}},
            },
        });
        let configured = policy::from_json(config).unwrap().build().unwrap();
        for (count, oauth2) in [(1, issuer.policy(None)), (2, configured)] {
            assert_eq!(issuer.asked(), [count - 1, 0, count - 1], "nothing before it is needed");
            assert_eq!(issuer.verify(&oauth2, key(Algorithm::ES256)).await, Ok(()), "{path:?}");
            assert_eq!(issuer.asked(), [count, 0, count], "{path:?}");
            let status = status(&oauth2);
            assert_eq!(status.source, format!("discovery of {}", issuer.name));
            assert_eq!(status.discovered, Some(issuer.server.url()));
            assert_eq!(status.state, KeyState::Fresh);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_requests_at_cold_start_cause_one_discovery() {
    let issuer = Issuer::at("");
    let (document, release) = issuer.document(&issuer.server.url()).held();
    issuer.server.answer_at(OPENID, document);
    let oauth2 = issuer.policy(Some(HOUR));
    let token = Token::new(&issuer.name, "api").sign(key(Algorithm::ES256));
    let requests: Vec<_> = (0..100)
        .map(|_| {
            let (oauth2, token) = (oauth2.clone(), token.clone());
            tokio::spawn(async move { oauth2.verify(&token).await.is_ok() })
        })
        .collect();
    until("the document is asked", || issuer.asked()[0] == 1).await;
    release.release();
    for request in requests {
        assert!(request.await.unwrap());
    }
    assert_eq!(issuer.asked(), [1, 0, 1]);
}

#[test]
fn invalid_key_settings_name_provider_and_field() {
    for (keys, word) in [
        (json!({"discover": false}), "`discover` is neither true nor a URL"),
        (json!({"discover": 1}), "`discover` is neither true nor a URL"),
        (json!({"discover": null}), "`discover` is neither true nor a URL"),
        (json!({"discover": "idp.example"}), "`discover` is neither true nor a URL"),
        (json!({"discover": "http://idp.example"}), "the URL is http"),
        (json!({"discover": "https://idp.example?x"}), "has a query"),
        (json!({"discover": true, "file": "x"}), "are two sources: write a list"),
        (json!({"discover": true, "keys": []}), "\"keys\" does not belong beside `discover`"),
        (json!({"file": "x", "url": "x"}), "are two sources: write a list"),
        (json!({"url": 1}), "`url` is not text"),
        (json!({"url": "idp.example/jwks"}), "cannot be read"),
        (json!({"inline": 1}), "`inline` is neither text nor JSON keys"),
        (json!({"inline": "https://idp.example/jwks"}), "use `Keys::url"),
        (json!({"file": 1}), "`file` is not a path"),
        (json!({"file": ""}), "`file` is not a path"),
        (json!({"file": null}), "`file` is not a path"),
        (json!({"file": ["x"]}), "`file` is not a path"),
        (json!({"discovery": true}), "neither a JWK set"),
        (json!({"Discover": true}), "neither a JWK set"),
        (json!(1), "neither text nor JSON keys"),
        (json!(null), "missing"),
    ] {
        let config = json!({
            "providers": {
                "wrong-one": {"issuer": "https://idp.test", "audience": "api", "keys": keys},
            },
        });
        let error = match serde_json::from_value::<OAuth2Builder>(config) {
            Err(error) => error.to_string(),
            Ok(builder) => builder.build().expect_err(word).to_string(),
        };
        for word in ["provider \"wrong-one\"", "keys: ", word] {
            assert!(error.contains(word), "{keys}: {error:?} does not say {word:?}");
        }
    }
}

#[test]
fn issuer_that_is_not_a_url_is_a_build_error() {
    let build = |issuer: &str, allow_http: bool| {
        let provider = Provider::new()
            .issuer(issuer)
            .audience("api")
            .keys(Keys::discover())
            .dangerous_allow_http(allow_http);
        policy::builder().provider("p", provider).build()
    };
    for (issuer, word) in [
        ("accounts.google.com", "cannot be read"),
        ("urn:example:idp", "neither https nor http"),
        ("ftp://idp.example", "neither https nor http"),
        ("http://idp.example", "http"),
        ("https://user:secret@idp.example", "password"),
        ("https://idp.example/?tenant=1", "query"),
        ("https://idp.example/#x", "fragment"),
        ("https://", "cannot be read"),
    ] {
        let error = build(issuer, false).expect_err(issuer);
        assert_eq!((error.provider(), error.field()), (Some("p"), "keys"), "{error}");
        let error = error.to_string();
        assert!(error.contains("issuer") && error.contains(word), "{issuer}: {error}");
        assert!(!error.contains("secret"), "{error}");
    }
    assert!(build("http://keycloak:8080/realms/x", true).is_ok());
    assert!(build("https://idp.example/realms/x", false).is_ok());
}

#[tokio::test]
async fn first_of_several_issuers_is_discovered() {
    let (first, second) = (Issuer::with_document("/one"), Issuer::with_document("/two"));
    let provider = first.provider().issuer(&second.name).issuer("accounts.example");
    let oauth2 = policy::builder().provider("p", provider).build().unwrap();
    for issuer in [second.name.as_str(), "accounts.example", &first.name] {
        let token = Token::new(issuer, "api").sign(key(Algorithm::ES256));
        assert!(oauth2.verify(&token).await.is_ok(), "{issuer}");
    }
    assert_eq!((first.asked(), second.asked()), ([1, 0, 1], [0, 0, 0]));
}

#[tokio::test]
async fn oauth_metadata_is_fetched_if_the_openid_document_fails() {
    let elsewhere = KeyServer::start(good_keys()).unwrap();
    for path in ["", "/realms/shop"] {
        let issuer = Issuer::at(path);
        let named = issuer.server.url();
        issuer.server.answer_at(&issuer.oauth(), issuer.document(&named));
        let other = json!({"issuer": "https://other.example", "jwks_uri": elsewhere.url()});
        for (index, first) in [
            Answer::status(404),
            Answer::status(500),
            Answer::status(204),
            Answer::redirect(301, &elsewhere.url()),
            Answer::redirect(302, &issuer.server.url_of(&issuer.oauth())),
            Answer::redirect(307, &elsewhere.url()),
            Answer::redirect(308, &elsewhere.url()),
            Answer::body(200, &[("content-type", "text/html")], b"<html>not here</html>"),
            Answer::json(&other),
            Answer::json(&json!({"issuer": issuer.name})),
        ]
        .into_iter()
        .enumerate()
        {
            issuer.server.answer_at(&issuer.openid(), first);
            let oauth2 = issuer.policy(None);
            assert_eq!(issuer.verify(&oauth2, key(Algorithm::ES256)).await, Ok(()), "{index}");
            let count = index as u64 + 1;
            assert_eq!(issuer.asked(), [count; 3], "{index}");
            assert_eq!(status(&oauth2).discovered, Some(issuer.server.url()));
        }
    }
    assert_eq!(elsewhere.requests(), 0);
}

#[tokio::test]
async fn failed_connection_causes_no_second_document_request() {
    let issuer = Issuer::at("");
    issuer.server.answer_at(OAUTH, issuer.document(&issuer.server.url()));
    let too_large = vec![b' '; 1024 * 1024 + 1];
    let endless = [b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".as_slice(), &too_large].concat();
    for (document, word) in [
        (Answer::reset(), "no answer"),
        (Answer::raw(""), "no answer"),
        (Answer::body(200, &[], &too_large), "larger than"),
        (Answer::raw(endless), "larger than"),
        (issuer.document(&issuer.server.url()).truncated(120), "broke off"),
    ] {
        let refusal = issuer.refusal(document).await;
        assert!(refusal.contains(word), "{refusal}");
    }
    assert_eq!(issuer.asked(), [5, 0, 0]);
}

#[tokio::test]
async fn failure_of_both_documents_reports_the_first_one() {
    let issuer = Issuer::at("/x");
    let refusal = issuer.refusal(Answer::status(410)).await;
    assert!(refusal.contains("status is 410"), "{refusal}");
    assert_eq!(issuer.asked(), [1, 1, 0]);
}

#[tokio::test]
async fn document_with_another_issuer_is_rejected() {
    let issuer = Issuer::at("/x");
    let name = issuer.name.as_str();
    let port = name.rsplit_once(':').unwrap().1.trim_end_matches("/x");
    let keys = issuer.server.url();
    for found in [
        json!(format!("{name}/")),
        json!(format!("{name} ")),
        json!(name.replace("http", "HTTP")),
        json!(name.replace("http", "https")),
        json!(name.replace("/x", "/X")),
        json!(name.replace("/x", "/%78")),
        json!(name.replace("/x", "")),
        json!(name.replace("/x", "/y/../x")),
        json!(name.replace("127.0.0.1", "localhost")),
        json!(name.replace(&format!(":{port}"), ":1")),
        json!(name.replace(&format!(":{port}"), "")),
        json!("https://other.example/x"),
        json!(""),
        json!([name]),
        json!(null),
    ] {
        let document = Answer::json(&json!({"issuer": found, "jwks_uri": keys}));
        let refusal = issuer.refusal(document).await;
        assert!(refusal.contains("not of the configured issuer"), "{found}: {refusal}");
        if let Some(found) = found.as_str() {
            assert!(refusal.contains(&format!("{found:?}")), "{refusal}");
        }
    }
    assert_eq!(issuer.server.requests_at(JWKS), 0);

    // The other way round: the slash belongs to the issuer.
    let slashed = Issuer::at("/x/");
    let document = json!({"issuer": slashed.server.url_of("/x"), "jwks_uri": slashed.server.url()});
    let refusal = slashed.refusal(Answer::json(&document)).await;
    assert!(refusal.contains("trailing slash included"), "{refusal}");
}

#[tokio::test]
async fn invalid_documents_are_rejected() {
    let issuer = Issuer::at("/x");
    let name = json!(issuer.name);
    let keys = json!(issuer.server.url());
    let naming = |uri: &str| json!({"issuer": issuer.name, "jwks_uri": uri}).to_string();
    for (document, word) in [
        (String::new(), "not a JSON object"),
        ("[]".to_owned(), "not a JSON object"),
        ("\u{feff}{}".to_owned(), "no issuer"),
        (format!(r#"{{"issuer":{name},"issuer":{name},"jwks_uri":{keys}}}"#), "member twice"),
        (
            format!(r#"{{"issuer":{name},"jwks_uri":"https://evil.example/","jwks_uri":{keys}}}"#),
            "member twice",
        ),
        (format!(r#"{{"issuer":{name},"jwks_uri":{keys}"#), "not accepted: EOF"),
        (
            format!(r#"{{"issuer":{name},"jwks_uri":"\ud800"}}"#),
            "not accepted: unexpected end of hex",
        ),
        (format!(r#"{{"jwks_uri":{keys}}}"#), "no issuer"),
        (format!(r#"{{"issuer":{name}}}"#), "no `jwks_uri`"),
        (format!(r#"{{"issuer":{name},"jwks_uri":[{keys}]}}"#), "no `jwks_uri`"),
        (format!(r#"{{"issuer":{name},"jwks_uri":null}}"#), "no `jwks_uri`"),
        (naming("http://keys.example/jwks"), "an http `jwks_uri`"),
        (naming("http://169.254.169.254/latest"), "configure the https URL of the keys"),
        (naming("http://0.0.0.0/jwks"), "names no host"),
        (naming("file:///etc/keys.json"), "neither https nor http"),
        (naming("https://user:secret@keys.example/"), "password"),
        (naming("/jwks.json"), "cannot be read"),
        (naming(""), "cannot be read"),
    ] {
        let refusal = issuer.refusal(Answer::body(200, &[], document.as_bytes())).await;
        assert!(refusal.contains(word), "{document}: {refusal}");
        assert!(refusal.contains(OPENID) && !refusal.contains("secret"), "{document}: {refusal}");
    }
    assert_eq!(issuer.server.requests_at(JWKS), 0);
}

/// What a provider writes into members that decide nothing does not take its keys away.
#[tokio::test]
async fn unread_members_of_a_document_may_be_invalid() {
    let issuer = Issuer::at("/x");
    let (name, keys) = (json!(issuer.name), json!(issuer.server.url()));
    for unread in [
        r#""\ud800""#,
        r#"{"y":1,"y":2}"#,
        "1e999",
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
    ] {
        let document =
            format!(r#"{{"x":{unread},"issuer":{name},"jwks_uri":{keys},"x":{unread}}}"#);
        issuer.server.answer_at(&issuer.openid(), Answer::body(200, &[], document.as_bytes()));
        let oauth2 = issuer.policy(None);
        assert_eq!(issuer.verify(&oauth2, key(Algorithm::ES256)).await, Ok(()), "{unread:.20}");
    }
}

/// inputs/03: the issuer has a loopback name, and its document names a host of the network inside.
#[tokio::test]
async fn http_jwks_uri_is_fetched_only_if_http_is_allowed() {
    let issuer = Issuer::at("/realms/x");
    let port = issuer.server.url_of("").rsplit_once(':').unwrap().1.to_owned();
    let inside = format!("http://keycloak:{port}{JWKS}");
    let document = json!({"issuer": issuer.name, "jwks_uri": inside});
    let refusal = issuer.refusal(Answer::json(&document)).await;
    assert!(refusal.contains("an http `jwks_uri`"), "{refusal}");
    assert_eq!(issuer.server.requests_at(JWKS), 0);
    let oauth2 = policy::builder()
        .provider("p", issuer.provider().dangerous_allow_http(true))
        .configure_http_client(|client| client.resolve("keycloak", ([127, 0, 0, 1], 0).into()))
        .build()
        .unwrap();
    assert_eq!(issuer.verify(&oauth2, key(Algorithm::ES256)).await, Ok(()));
    assert_eq!(issuer.server.requests_at(JWKS), 1);
    assert_eq!(status(&oauth2).discovered, Some(inside));
}

#[tokio::test]
async fn failure_at_the_jwks_uri_is_reported_and_redirects_are_not_followed() {
    let elsewhere = KeyServer::start(good_keys()).unwrap();
    let issuer = Issuer::with_document("/x");
    for (answer, word) in [
        (Answer::redirect(301, &elsewhere.url()), "redirects"),
        (Answer::redirect(302, &elsewhere.url()), "redirects"),
        (Answer::redirect(303, &elsewhere.url()), "redirects"),
        (Answer::redirect(307, &elsewhere.url()), "redirects"),
        (Answer::redirect(308, &elsewhere.url()), "redirects"),
        (Answer::status(500), "status is 500"),
        (Answer::json(&json!({"keys": []})), "no keys"),
        (issuer.document(&elsewhere.url()), "a discovery document"),
    ] {
        issuer.server.answer_at(JWKS, answer);
        let error = issuer.policy(None).warm_up().await.unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
    assert_eq!(elsewhere.requests(), 0);
    assert_eq!(issuer.asked(), [8, 0, 8]);
}

#[tokio::test]
async fn jwks_uri_may_name_another_host() {
    let keys = KeyServer::start(good_keys()).unwrap();
    let issuer = Issuer::at("");
    issuer.publish(&keys.url_of("/elsewhere?kind=sig"));
    let oauth2 = issuer.policy(None);
    assert_eq!(issuer.verify(&oauth2, key(Algorithm::ES256)).await, Ok(()));
    assert!(keys.last_request().starts_with("GET /elsewhere?kind=sig HTTP/1.1\r\n"));
    // Not the query: it may hold a secret.
    assert_eq!(status(&oauth2).discovered, Some(keys.url_of("/elsewhere")));
    assert_eq!((keys.requests(), issuer.asked()), (1, [1, 0, 0]));
}

#[tokio::test]
async fn refresh_fetches_keys_without_the_document() {
    let issuer = Issuer::with_document("/x");
    let oauth2 = issuer.policy(Some(HOUR));
    assert_eq!(issuer.verify(&oauth2, key(Algorithm::ES256)).await, Ok(()));
    for refreshes in 1..=10 {
        issuer.clock.advance(HOUR);
        until("a refresh", || status(&oauth2).fetches.succeeded == refreshes + 1).await;
        assert_eq!(issuer.asked(), [1, 0, refreshes + 1]);
    }
    // An unknown key too.
    let unknown = SigningKey::generate(Algorithm::ES256, "unknown");
    assert_eq!(issuer.verify(&oauth2, &unknown).await, Err(ErrorKind::UnknownKey));
    assert_eq!(issuer.asked(), [1, 0, 12]);
}

#[tokio::test]
async fn moved_jwks_uri_is_followed_within_one_fetch() {
    let next = SigningKey::generate(Algorithm::ES256, "next");
    let elsewhere = KeyServer::start(Answer::json(&next.jwk_set())).unwrap();
    let elsewhere_url = elsewhere.url_of("/v2/keys");
    for gone in [
        Answer::status(404),
        Answer::status(500),
        Answer::reset(),
        Answer::redirect(302, &elsewhere.url()),
        Answer::body(200, &[], b"<html>moved</html>"),
        Answer::json(&json!({"keys": []})),
    ] {
        let issuer = Issuer::with_document("/x");
        let oauth2 = issuer.policy(Some(HOUR));
        assert_eq!(issuer.verify(&oauth2, key(Algorithm::ES256)).await, Ok(()));
        let before = elsewhere.requests();
        issuer.server.answer_at(JWKS, gone);
        issuer.publish(&elsewhere_url);
        assert_eq!(issuer.verify(&oauth2, &next).await, Ok(()), "in the same request");
        assert_eq!(issuer.asked(), [2, 0, 2]);
        assert_eq!(status(&oauth2).discovered.as_ref(), Some(&elsewhere_url));
        // From now on only there.
        oauth2.refresh_keys().await.unwrap();
        assert_eq!(issuer.asked(), [2, 0, 2]);
        assert_eq!(elsewhere.requests(), before + 2);
        assert_eq!(status(&oauth2).fetches.failed, 0);
    }
}

#[tokio::test]
async fn failed_keys_at_an_unchanged_jwks_uri_are_fetched_once() {
    let issuer = Issuer::with_document("/x");
    let oauth2 = issuer.policy(Some(HOUR));
    oauth2.warm_up().await.unwrap();
    issuer.server.answer_at(JWKS, Answer::status(503));
    let error = oauth2.refresh_keys().await.unwrap_err().to_string();
    assert!(error.contains("status is 503"), "{error}");
    assert_eq!(issuer.asked(), [2, 0, 2], "the document names the same place");
    let status = status(&oauth2);
    assert_eq!((status.state, status.fetches.failed), (KeyState::Failing, 1));
    // The keys at hand serve on.
    assert_eq!(issuer.verify(&oauth2, key(Algorithm::ES256)).await, Ok(()));
}

#[tokio::test]
async fn failure_of_keys_and_document_reports_both() {
    let issuer = Issuer::with_document("/x");
    let oauth2 = issuer.policy(Some(HOUR));
    oauth2.warm_up().await.unwrap();
    issuer.server.answer_at(JWKS, Answer::status(503));
    issuer.server.answer_at(&issuer.openid(), Answer::status(502));
    let error = oauth2.refresh_keys().await.unwrap_err().to_string();
    assert!(error.contains("status is 503") && error.contains("status is 502"), "{error}");
}

#[tokio::test]
async fn document_is_fetched_again_after_a_day() {
    let elsewhere = KeyServer::start(good_keys()).unwrap();
    let issuer = Issuer::with_document("/x");
    let oauth2 = issuer.policy(None);
    oauth2.warm_up().await.unwrap();
    // The keys have moved, and the old ones are still there.
    issuer.publish(&elsewhere.url());
    issuer.clock.advance(24 * HOUR - Duration::from_millis(1));
    oauth2.refresh_keys().await.unwrap();
    assert_eq!((issuer.asked(), elsewhere.requests()), ([1, 0, 2], 0));
    issuer.clock.advance(Duration::from_millis(1));
    oauth2.refresh_keys().await.unwrap();
    assert_eq!((issuer.asked(), elsewhere.requests()), ([2, 0, 2], 1));
    assert_eq!(status(&oauth2).discovered, Some(elsewhere.url()));
    // And not again for a day.
    issuer.clock.advance(24 * HOUR - Duration::from_millis(1));
    oauth2.refresh_keys().await.unwrap();
    assert_eq!((issuer.asked(), elsewhere.requests()), ([2, 0, 2], 2));
    issuer.clock.advance(Duration::from_millis(1));
    oauth2.refresh_keys().await.unwrap();
    assert_eq!((issuer.asked(), elsewhere.requests()), ([3, 0, 2], 3));
}

#[tokio::test]
async fn keys_are_refreshed_while_the_document_is_missing() {
    let issuer = Issuer::with_document("/x");
    let oauth2 = issuer.policy(Some(10 * HOUR));
    assert_eq!(issuer.verify(&oauth2, key(Algorithm::ES256)).await, Ok(()));
    let next = SigningKey::generate(Algorithm::ES256, "next");
    issuer.server.answer_at(JWKS, Answer::json(&next.jwk_set()));
    for (index, gone) in [
        Answer::status(404),
        Answer::reset(),
        Answer::json(&json!({"issuer": "https://other.example"})),
    ]
    .into_iter()
    .enumerate()
    {
        issuer.server.answer_at(&issuer.openid(), gone);
        for _ in 0..4 {
            let before = status(&oauth2).fetches.succeeded;
            issuer.clock.advance(8 * HOUR);
            until("a refresh", || status(&oauth2).fetches.succeeded == before + 1).await;
        }
        assert!(issuer.asked()[0] > index as u64 + 1, "it is looked for");
    }
    assert_eq!(issuer.verify(&oauth2, &next).await, Ok(()));
    assert_eq!(status(&oauth2).fetches.failed, 0);
}

#[tokio::test]
async fn document_and_keys_share_one_timeout() {
    let issuer = Issuer::at("/x");
    let (document, release) = issuer.document(&issuer.server.url()).held();
    issuer.server.answer_at(&issuer.openid(), document);
    issuer.server.answer_at(JWKS, Answer::hang());
    let oauth2 = issuer.policy(None);
    let warming = tokio::spawn({
        let oauth2 = oauth2.clone();
        async move { oauth2.warm_up().await }
    });
    until("the document is asked", || issuer.asked()[0] == 1).await;
    issuer.clock.advance(Duration::from_millis(4_900));
    release.release();
    until("the keys are asked", || issuer.asked()[2] == 1).await;
    assert!(!warming.is_finished());
    issuer.clock.advance(Duration::from_millis(100));
    let error = warming.await.unwrap().unwrap_err().to_string();
    assert!(error.contains("no complete answer within 5 s"), "{error}");
}

#[tokio::test]
async fn document_is_fetched_first_after_a_failure() {
    let issuer = Issuer::with_document("/x");
    let oauth2 = issuer.policy(None);
    oauth2.warm_up().await.unwrap();
    // The old place does not answer in time, and says nothing of having moved.
    issuer.server.answer_at(JWKS, Answer::hang());
    let refreshing = tokio::spawn({
        let oauth2 = oauth2.clone();
        async move { oauth2.refresh_keys().await }
    });
    until("the keys are asked", || issuer.asked()[2] == 2).await;
    issuer.clock.advance(Duration::from_secs(5));
    assert!(refreshing.await.unwrap().is_err());
    let elsewhere = KeyServer::start(good_keys()).unwrap();
    issuer.publish(&elsewhere.url());
    oauth2.refresh_keys().await.unwrap();
    assert_eq!((issuer.asked(), elsewhere.requests()), ([2, 0, 2], 1));
}

#[tokio::test]
async fn hanging_document_does_not_prevent_a_refresh() {
    let issuer = Issuer::with_document("/x");
    let oauth2 = issuer.policy(None);
    oauth2.warm_up().await.unwrap();
    let next = SigningKey::generate(Algorithm::ES256, "next");
    issuer.server.answer_at(JWKS, Answer::json(&next.jwk_set()));
    issuer.server.answer_at(&issuer.openid(), Answer::hang());
    for asked in 2..4 {
        issuer.clock.advance(24 * HOUR);
        let refreshing = tokio::spawn({
            let oauth2 = oauth2.clone();
            async move { oauth2.refresh_keys().await }
        });
        until("the document is asked", || issuer.asked()[0] == asked).await;
        // It has half of the time.
        issuer.clock.advance(Duration::from_millis(2_500));
        let refreshed = tokio::time::timeout(PATIENCE, refreshing).await;
        refreshed.expect("in time").unwrap().unwrap();
        assert_eq!(issuer.asked(), [asked, 0, asked]);
    }
    assert_eq!(issuer.verify(&oauth2, &next).await, Ok(()));
}

#[tokio::test]
async fn keys_recover_before_the_document_does() {
    let issuer = Issuer::with_document("/x");
    let oauth2 = issuer.policy(None);
    oauth2.warm_up().await.unwrap();
    issuer.server.answer_at(&issuer.openid(), Answer::status(404));
    issuer.server.answer_at(JWKS, Answer::status(503));
    for _ in 0..2 {
        let error = oauth2.refresh_keys().await.unwrap_err().to_string();
        assert!(error.contains("status is 503") && error.contains("status is 404"), "{error}");
    }
    // The keys are back before the document is.
    let next = SigningKey::generate(Algorithm::ES256, "next");
    issuer.server.answer_at(JWKS, Answer::json(&next.jwk_set()));
    oauth2.refresh_keys().await.unwrap();
    assert_eq!(issuer.verify(&oauth2, &next).await, Ok(()));
    assert_eq!(status(&oauth2).discovered, Some(issuer.server.url()));
    // And the document's word counts as soon as it is there.
    let elsewhere = KeyServer::start(good_keys()).unwrap();
    issuer.publish(&elsewhere.url());
    oauth2.refresh_keys().await.unwrap();
    assert_eq!(elsewhere.requests(), 1);
}

#[tokio::test]
async fn symmetric_keys_are_never_discovered() {
    let issuer = Issuer::with_document("");
    let set: Value = json!({"keys": [key(Algorithm::HS256).public_jwk()]});
    issuer.server.answer_at(JWKS, Answer::json(&set));
    let error = issuer.policy(None).warm_up().await.unwrap_err().to_string();
    assert!(error.contains("no usable key"), "{error}");
    let named = issuer.provider().algorithms([Algorithm::HS256]);
    let error = policy::builder().provider("p", named).build().unwrap_err();
    assert_eq!((error.provider(), error.field()), (Some("p"), "algorithms"));
}

/// inputs/03: a public issuer, and a document that is reached by an internal name.
#[tokio::test]
async fn document_may_be_at_another_address_than_the_issuer() {
    let public = "https://sso.example/realms/shop";
    for (issuer, at, document) in [
        (public, "/realms/shop", "/realms/shop/.well-known/openid-configuration"),
        (public, "/realms/shop/", "/realms/shop/.well-known/openid-configuration"),
        (public, "/realms/shop", "/.well-known/oauth-authorization-server/realms/shop"),
        (public, "/x/.well-known/openid-configuration", "/x/.well-known/openid-configuration"),
        (public, "/.well-known/x?policy=b2c_1", "/.well-known/x"),
        ("accounts.example", "/", OPENID),
    ] {
        let server = KeyServer::start(Answer::status(404)).unwrap();
        server.answer_at(JWKS, good_keys());
        let publish = |issuer: &str| {
            let names = json!({"issuer": issuer, "jwks_uri": server.url()});
            server.answer_at(document, Answer::json(&names));
        };
        publish(issuer);
        let address = server.url_of(at);
        let token = Token::new(issuer, "api").sign(key(Algorithm::ES256));
        for keys in [Keys::discover_at(&address), Keys::from(json!({"discover": address}))] {
            publish(issuer);
            let provider = Provider::new().issuer(issuer).audience("api").keys(keys);
            let oauth2 = policy::builder().provider("p", provider).build().unwrap();
            assert!(oauth2.verify(&token).await.is_ok(), "{issuer} at {at}");
            let status = status(&oauth2);
            let shown = format!("discovery of {issuer} at {}", address.split('?').next().unwrap());
            assert_eq!((status.source, status.discovered), (shown, Some(server.url())));
            // The address is not the issuer, and what is there must be the issuer's own word.
            for other in [&address, &format!("{issuer}/"), "https://evil.example"] {
                publish(other);
                server.answer_at(JWKS, Answer::status(404));
                let error = oauth2.refresh_keys().await.unwrap_err().to_string();
                // Of two documents, the first one's fault is told.
                let is_first = !document.contains("oauth-authorization-server");
                assert!(!is_first || error.contains(&format!("issuer {other:?}")), "{error}");
                server.answer_at(JWKS, good_keys());
            }
        }
        assert!(!server.last_request().contains("policy") || at.contains('?'));
    }
}

#[tokio::test]
async fn exact_document_address_is_the_only_one_fetched() {
    let server = KeyServer::start(Answer::status(404)).unwrap();
    let at = server.url_of(OPENID);
    let provider = Provider::new().issuer("https://sso.example").audience("api");
    let oauth2 =
        policy::builder().provider("p", provider.keys(Keys::discover_at(at))).build().unwrap();
    assert!(oauth2.warm_up().await.is_err());
    assert_eq!((server.requests(), server.requests_at(OPENID)), (1, 1));
}
