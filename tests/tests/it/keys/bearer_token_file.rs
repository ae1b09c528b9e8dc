//! A key set that requires a bearer token from a file that is renewed, as that of a Kubernetes API server.

use std::{
    fs,
    path::{Path, PathBuf},
};

use oauth2_actix::{
    Algorithm, Keys, OAuth2, OAuth2Builder, Provider,
    testing::{ManualClock, Token},
};
use oauth2_actix_tests::{
    key_server::{Answer, KeyServer},
    keys::key,
    log, policy,
};
use serde_json::json;

const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
const OPENID: &str = "/.well-known/openid-configuration";

/// A token file that is removed with the test.
struct TokenFile(PathBuf);

impl TokenFile {
    fn new(name: &str, content: &str) -> Self {
        let path = std::env::temp_dir().join(format!("oauth2-actix-{name}-{}", std::process::id()));
        fs::write(&path, content).unwrap();
        Self(path)
    }

    fn write(&self, content: impl AsRef<[u8]>) {
        fs::write(&self.0, content).unwrap();
    }
}

impl Drop for TokenFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn good_keys() -> Answer {
    Answer::json(&key(Algorithm::ES256).jwk_set())
}

fn policy(keys: Keys) -> OAuth2 {
    let provider = Provider::new().issuer(ISSUER).audience("api").keys(keys);
    policy::builder().provider("kubernetes", provider).clock(ManualClock::new()).build().unwrap()
}

/// Returns the `Authorization` of the last request.
fn authorization(server: &KeyServer) -> Option<String> {
    let request = server.last_request();
    let line =
        request.lines().find(|line| line.to_ascii_lowercase().starts_with("authorization:"))?;
    Some(line.split_once(": ").unwrap().1.to_owned())
}

async fn fault(oauth2: &OAuth2) -> String {
    let error = oauth2.refresh_keys().await.expect_err("no token");
    error.failures().next().unwrap().1.to_owned()
}

#[tokio::test]
async fn token_file_is_read_for_each_fetch() {
    log::keep();
    let file = TokenFile::new("renewed", "canary-first.token~+/=\n");
    let server = KeyServer::start(good_keys()).unwrap();
    for keys in [
        Keys::url(server.url()).bearer_token_file(&file.0),
        Keys::from(json!({"url": server.url(), "bearer_token_file": file.0})),
    ] {
        file.write("canary-first.token~+/=\n");
        let oauth2 = policy(keys);
        oauth2.warm_up().await.unwrap();
        assert_eq!(authorization(&server).as_deref(), Some("Bearer canary-first.token~+/="));
        let token = Token::new(ISSUER, "api").sign(key(Algorithm::ES256));
        assert!(oauth2.verify(&token).await.is_ok());
        file.write("canary-second");
        oauth2.refresh_keys().await.unwrap();
        assert_eq!(authorization(&server).as_deref(), Some("Bearer canary-second"));
        let shown = format!("{oauth2:?} {:?}", oauth2.key_status());
        assert!(!shown.contains("canary-"), "{shown}");
    }
    assert!(log::lines_with(&["canary-"]).is_empty());
}

#[tokio::test]
async fn discovery_sends_the_token_to_the_document_host_only() {
    let file = TokenFile::new("discovery", "the-token");
    let (own, other) =
        (KeyServer::start(Answer::status(404)).unwrap(), KeyServer::start(good_keys()).unwrap());
    own.answer_at("/jwks", good_keys());
    let document = |jwks_uri: &str| {
        own.answer_at(OPENID, Answer::json(&json!({"issuer": ISSUER, "jwks_uri": jwks_uri})));
    };
    document(&own.url_of("/jwks"));
    let at = json!({"discover": own.url_of(""), "bearer_token_file": file.0});
    let oauth2 = policy(Keys::from(at));
    // Observed where the document is missing.
    own.answer_at(OPENID, Answer::status(404));
    assert!(oauth2.warm_up().await.is_err());
    assert_eq!(authorization(&own).as_deref(), Some("Bearer the-token"));
    document(&own.url_of("/jwks"));
    oauth2.warm_up().await.unwrap();
    assert!(own.last_request().starts_with("GET /jwks "));
    assert_eq!(authorization(&own).as_deref(), Some("Bearer the-token"));
    // Another port of the same host is another server.
    document(&other.url());
    own.answer_at("/jwks", Answer::status(404));
    oauth2.refresh_keys().await.unwrap();
    assert_eq!(other.requests(), 1);
    assert_eq!(authorization(&other), None);
}

#[tokio::test]
async fn discovery_at_the_issuer_sends_the_token() {
    let file = TokenFile::new("issuer", "the-token");
    let server = KeyServer::start(Answer::status(404)).unwrap();
    let issuer = server.url_of("");
    server.answer_at("/jwks", good_keys());
    let document = json!({"issuer": issuer, "jwks_uri": server.url_of("/jwks")});
    server.answer_at(OPENID, Answer::json(&document));
    let keys = Keys::discover().bearer_token_file(&file.0);
    let provider = Provider::new().issuer(&issuer).audience("api").keys(keys);
    let oauth2 = policy::builder().provider("p", provider).build().unwrap();
    oauth2.warm_up().await.unwrap();
    assert_eq!(authorization(&server).as_deref(), Some("Bearer the-token"));
}

#[tokio::test]
async fn redirect_target_receives_no_token() {
    let file = TokenFile::new("redirect", "the-token");
    let other = KeyServer::start(good_keys()).unwrap();
    let redirect = Answer::body(302, &[("location", &other.url())], b"");
    let server = KeyServer::start(redirect).unwrap();
    let oauth2 = policy(Keys::url(server.url()).bearer_token_file(&file.0));
    assert!(oauth2.warm_up().await.is_err());
    assert_eq!((server.requests(), other.requests()), (1, 0));
}

#[tokio::test]
async fn invalid_token_file_is_a_failed_fetch_that_names_the_file() {
    log::keep();
    let file = TokenFile::new("spoilt", "");
    let server = KeyServer::start(good_keys()).unwrap();
    let oauth2 = policy(Keys::url(server.url()).bearer_token_file(&file.0));
    let path = file.0.display().to_string();
    for content in [
        "".to_owned(),
        " \n".to_owned(),
        "canary-one canary-two".to_owned(),
        "canary-one\r\nX-Injected: 1".to_owned(),
        "canary-\u{e4}".to_owned(),
        "canary-\0".to_owned(),
        "canary-\u{7f}".to_owned(),
        "c".repeat(64 * 1024 + 1),
    ] {
        file.write(&content);
        let cause = fault(&oauth2).await;
        assert!(cause.contains(&path), "{cause}");
        assert!(!cause.contains("canary-"), "{cause}");
    }
    file.write(b"canary-\xff");
    assert!(fault(&oauth2).await.contains("UTF-8"));
    fs::remove_file(&file.0).unwrap();
    assert!(fault(&oauth2).await.contains("No such file"));
    fs::create_dir(&file.0).unwrap();
    assert!(fault(&oauth2).await.contains("not a regular file"));
    fs::remove_dir(&file.0).unwrap();
    assert_eq!(server.requests(), 0, "nothing is fetched without the token");
    file.write("the-token");
    oauth2.refresh_keys().await.unwrap();
    assert!(log::lines_with(&["canary-"]).is_empty());
}

#[test]
fn token_file_beside_another_source_is_an_error() {
    let set = key(Algorithm::ES256).jwk_set();
    let http = "http://kubernetes.internal/openid/v1/jwks";
    for (keys, word) in [
        (json!({"url": http, "bearer_token_file": "/x"}), "only over https"),
        (
            json!({"discover": "http://internal.example", "bearer_token_file": "/x"}),
            "only over https",
        ),
        (json!({"bearer_token_file": "/x"}), "requires `url` or `discover` beside it"),
        (json!({"file": "/keys.json", "bearer_token_file": "/x"}), "requires `url` or `discover`"),
        (json!({"inline": set, "bearer_token_file": "/x"}), "requires `url` or `discover`"),
        (json!({"url": http, "bearer_token_file": ""}), "is not a path"),
        (json!({"url": http, "bearer_token_file": 1}), "is not a path"),
        (json!({"url": http, "token": "x"}), "\"token\" does not belong beside `url`"),
    ] {
        let config = json!({"providers": {"p": {
            "issuer": ISSUER, "audience": "api", "keys": keys, "dangerous_allow_http": true,
        }}});
        let error = match serde_json::from_value::<OAuth2Builder>(config) {
            Err(error) => error.to_string(),
            Ok(builder) => builder.build().expect_err(word).to_string(),
        };
        assert!(error.contains("provider \"p\": keys: ") && error.contains(word), "{error}");
    }
    let of = |keys: Keys| {
        let provider = Provider::new().issuer(ISSUER).audience("api").keys(keys);
        policy::builder().provider("p", provider).build()
    };
    for keys in [Keys::inline(set), Keys::file(Path::new("/keys.json"))] {
        let error = of(keys.bearer_token_file("/x")).unwrap_err();
        assert_eq!(error.field(), "keys");
    }
    assert!(of(Keys::url("https://kubernetes.default.svc/x").bearer_token_file("/x")).is_ok());
}
