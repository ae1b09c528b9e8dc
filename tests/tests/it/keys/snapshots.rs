//! A start without the provider: keys of the configuration, and keys that an earlier process left.

use std::{
    error::Error,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    time::Duration,
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use oauth2_actix::{
    Algorithm, ErrorKind, KeySource, Keys, OAuth2, OAuth2Builder, Provider,
    status::{KeyState, KeyStatus},
    tenants::{Tenant, TenantLookup, Tenants},
    testing::{ManualClock, SigningKey, Token},
};
use oauth2_actix_tests::{
    key_server::{Answer, KeyServer},
    keys::key,
    log, policy,
    wait::{advance_until, until},
};
use openssl::sha::{sha1, sha256};
use serde_json::{Value, json};

const ISSUER: &str = "https://idp.test";
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

fn new_key(kid: &str) -> SigningKey {
    SigningKey::generate(Algorithm::ES256, kid)
}

fn jwk_set(keys: &[&SigningKey]) -> Answer {
    let keys: Vec<Value> = keys.iter().map(|key| key.public_jwk()).collect();
    Answer::json(&json!({"keys": keys}))
}

async fn verify(oauth2: &OAuth2, key: &SigningKey) -> Result<(), ErrorKind> {
    let token = Token::new(ISSUER, "api").expires_in(365 * 86_400).sign(key);
    oauth2.verify(&token).await.map(drop).map_err(|error| error.kind().clone())
}

fn unavailable(result: &Result<(), ErrorKind>) -> bool {
    matches!(result, Err(ErrorKind::KeysUnavailable { .. }))
}

fn status(oauth2: &OAuth2) -> KeyStatus {
    oauth2.key_status().remove(0)
}

/// A directory, a provider and a clock that outlive the processes of the service: each policy is one.
struct Setup {
    directory: PathBuf,
    server: KeyServer,
    clock: ManualClock,
    /// Of the provider.
    name: String,
}

impl Setup {
    fn new(name: &str, answer: Answer) -> Self {
        let directory = std::env::temp_dir()
            .join(format!("oauth2-actix-snapshot-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        let server = KeyServer::start(answer).unwrap();
        Self { directory, server, clock: ManualClock::new(), name: name.to_owned() }
    }

    fn provider(&self) -> Provider {
        Provider::new().issuer(ISSUER).audience("api").keys(self.server.url())
    }

    fn builder(&self, provider: Provider) -> OAuth2Builder {
        policy::builder()
            .provider(&self.name, provider)
            .key_refresh(HOUR)
            .key_snapshot(&self.directory)
            // The clock runs faster than disks and threads.
            .fetch_timeout(MINUTE)
            .clock(self.clock.clone())
    }

    /// The service starts.
    fn start(&self) -> OAuth2 {
        self.builder(self.provider()).build().unwrap()
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.directory).into_iter().flatten();
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    /// The one snapshot, if there is nothing beside it: no file that is still being written.
    fn record(&self) -> Option<Value> {
        let files = self.files();
        let [file] = files.as_slice() else { return None };
        let is_hidden = file.file_name()?.to_str()?.starts_with('.');
        let text = fs::read_to_string(file).ok().filter(|_| !is_hidden)?;
        serde_json::from_str(&text).ok()
    }

    /// Waits for a snapshot that was fetched now.
    async fn until_written(&self) {
        let now = self.clock.unix_seconds();
        let is_new = || self.record().is_some_and(|record| record["fetched_at"] == json!(now));
        until("the snapshot is written", is_new).await;
    }

    /// Fetches good keys, leaves them on disk and ends; then the provider is down.
    async fn leave(&self) {
        let oauth2 = self.start();
        oauth2.warm_up().await.unwrap();
        self.until_written().await;
        drop(oauth2);
        self.server.answer(Answer::status(503));
    }
}

impl Drop for Setup {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

#[tokio::test]
async fn restart_during_an_outage_uses_the_snapshot() {
    log::keep();
    let (known, next) = (new_key("known"), new_key("next"));
    let setup = Setup::new("restart", jwk_set(&[&known]));
    setup.leave().await;
    setup.clock.advance(10 * MINUTE);
    for round in 1..=3 {
        let oauth2 = setup.start();
        assert!(oauth2.is_ready());
        oauth2.warm_up().await.unwrap();
        assert_eq!(verify(&oauth2, &known).await, Ok(()));
        assert!(unavailable(&verify(&oauth2, &next).await), "of other keys nothing is known");
        assert_eq!(verify(&oauth2, &new_key("known")).await, Err(ErrorKind::SignatureInvalid));
        until("the fetch fails", || status(&oauth2).fetches.failed > 0).await;
        let status = status(&oauth2);
        assert_eq!(status.state, KeyState::Snapshot);
        assert_eq!(serde_json::to_value(status.state).unwrap(), json!("snapshot"));
        // Neither restarts nor failures make it younger.
        assert_eq!(status.age_seconds, Some(600 * round));
        assert_eq!(status.stale_in_seconds, Some(24 * 3600 - 600 * round));
        assert_eq!(status.last_success, None);
        setup.clock.advance(10 * MINUTE);
    }
    assert_eq!(
        log::lines_with(&["INFO", "keys of the snapshot are used", "provider=restart"]).len(),
        3
    );
    // The provider comes back with other keys, and its word counts from then on.
    let oauth2 = setup.start();
    setup.server.answer(jwk_set(&[&next]));
    advance_until(&setup.clock, Duration::from_secs(1), "keys are fetched", || {
        status(&oauth2).state == KeyState::Fresh
    })
    .await;
    assert_eq!(verify(&oauth2, &next).await, Ok(()));
    assert_eq!(verify(&oauth2, &known).await, Err(ErrorKind::UnknownKey));
}

#[tokio::test]
async fn snapshot_without_refresh_is_used_until_stale() {
    let (known, next) = (new_key("known"), new_key("next"));
    let setup = Setup::new("no-refresh", jwk_set(&[&known]));
    setup.leave().await;
    let without = || {
        policy::builder()
            .provider(&setup.name, setup.provider())
            .key_snapshot(&setup.directory)
            .fetch_timeout(MINUTE)
            .clock(setup.clock.clone())
            .build()
            .unwrap()
    };
    setup.clock.advance(23 * HOUR);
    let oauth2 = without();
    assert_eq!(verify(&oauth2, &known).await, Ok(()));
    // What nobody has confirmed for a day is not there for good.
    setup.clock.advance(HOUR);
    assert!(unavailable(&verify(&oauth2, &known).await));
    drop(oauth2);
    let oauth2 = without();
    assert!(unavailable(&verify(&oauth2, &known).await));
    setup.server.answer(jwk_set(&[&next]));
    advance_until(&setup.clock, Duration::from_secs(1), "keys are fetched", || {
        status(&oauth2).state == KeyState::Fresh
    })
    .await;
    setup.clock.advance(1000 * HOUR);
    assert_eq!(verify(&oauth2, &next).await, Ok(()), "these are");
}

#[tokio::test]
async fn snapshot_past_the_stale_window_is_not_used() {
    log::keep();
    let known = new_key("known");
    let setup = Setup::new("too-old", jwk_set(&[&known]));
    setup.leave().await;
    let of =
        |window: Duration| setup.builder(setup.provider()).stale_window(window).build().unwrap();
    setup.clock.advance(2 * HOUR - Duration::from_secs(1));
    let oauth2 = of(2 * HOUR);
    assert_eq!(verify(&oauth2, &known).await, Ok(()));
    // It becomes stale in use, too.
    setup.clock.advance(Duration::from_secs(1));
    assert!(unavailable(&verify(&oauth2, &known).await));
    assert_eq!(status(&oauth2).state, KeyState::Unavailable);
    let oauth2 = of(2 * HOUR);
    assert!(!oauth2.is_ready());
    assert!(unavailable(&verify(&oauth2, &known).await));
    let why = ["WARN", "older than the stale window", "provider=too-old", "keys_age_seconds=7200"];
    assert_eq!(log::lines_with(&why).len(), 1);
    // With a longer one it is.
    assert_eq!(verify(&of(3 * HOUR), &known).await, Ok(()));
}

/// Changes the one snapshot, and looks whether anything of it is used.
async fn assert_refused(setup: &Setup, why: &str, change: impl FnOnce(&Path)) {
    let path = setup.files().remove(0);
    let original = fs::read(&path).unwrap();
    let words = ["WARN", "the key snapshot is not used", &format!("provider={}", setup.name), why];
    let before = log::lines_with(&words).len();
    change(&path);
    let oauth2 = setup.start();
    assert_eq!(status(&oauth2).keys.len(), 0, "{why}");
    assert!(unavailable(&verify(&oauth2, key(Algorithm::ES256)).await), "{why}");
    assert_eq!(log::lines_with(&words).len(), before + 1, "{why}");
    drop(oauth2);
    // Good again.
    if fs::symlink_metadata(&path).unwrap().is_dir() {
        fs::remove_dir(&path).unwrap();
    } else {
        fs::remove_file(&path).unwrap();
    }
    fs::write(&path, original).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(verify(&setup.start(), key(Algorithm::ES256)).await, Ok(()), "after {why}");
}

#[tokio::test]
async fn modified_snapshot_is_not_used() {
    log::keep();
    let setup = Setup::new("touched", Answer::json(&key(Algorithm::ES256).jwk_set()));
    setup.leave().await;
    let edit = |change: fn(&mut Value)| {
        move |path: &Path| {
            let mut record: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
            change(&mut record);
            fs::write(path, record.to_string()).unwrap();
        }
    };
    let no_object = "not a JSON object";
    for content in ["", "garbage", "[]", r#"{"format": 1, "format": 1}"#] {
        assert_refused(&setup, no_object, |path| fs::write(path, content).unwrap()).await;
    }
    assert_refused(&setup, no_object, |path| {
        let content = fs::read(path).unwrap();
        fs::write(path, &content[..content.len() / 2]).unwrap();
    })
    .await;
    assert_refused(&setup, "UTF-8", |path| fs::write(path, b"{\"\xff\": 1}").unwrap()).await;
    let format = "not in the format of this version";
    assert_refused(&setup, format, edit(|record| record["format"] = json!(2))).await;
    assert_refused(&setup, format, |path| fs::write(path, "{}").unwrap()).await;
    let damaged = "it is damaged";
    assert_refused(&setup, damaged, edit(|record| record["fetched_at"] = json!(1))).await;
    assert_refused(
        &setup,
        damaged,
        edit(|record| {
            record["document"] = json!(new_key("attacker").jwk_set().to_string());
        }),
    )
    .await;
    assert_refused(&setup, damaged, edit(|record| record["digest"] = json!(null))).await;
    let lacks = "lacks the keys or their time";
    assert_refused(&setup, lacks, edit(|record| record["document"] = json!(["x"]))).await;
    assert_refused(&setup, lacks, edit(|record| record["fetched_at"] = json!("1"))).await;
    assert_refused(&setup, lacks, edit(|record| record["fetched_at"] = json!(-1))).await;
    let another = "belongs to another provider or source";
    assert_refused(&setup, another, edit(|record| record["id"] = json!("x"))).await;
    assert_refused(&setup, "other users may write", |path| {
        fs::set_permissions(path, fs::Permissions::from_mode(0o620)).unwrap();
    })
    .await;
    // As root, who else could give a file away?
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    if is_root {
        assert_refused(&setup, "belongs to another user", |path| {
            std::os::unix::fs::chown(path, Some(12_345), None).unwrap();
        })
        .await;
    }
    let no_file = "not a regular file";
    assert_refused(&setup, no_file, |path| {
        fs::remove_file(path).unwrap();
        fs::create_dir(path).unwrap();
    })
    .await;
    assert_refused(&setup, no_file, |path| {
        let elsewhere = path.with_extension("elsewhere");
        fs::rename(path, &elsewhere).unwrap();
        symlink(&elsewhere, path).unwrap();
    })
    .await;
    fs::remove_file(setup.files().remove(0).with_extension("elsewhere")).unwrap();
    assert_refused(&setup, no_file, |path| {
        fs::remove_file(path).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
    })
    .await;
    assert_refused(&setup, "too large", |path| {
        let file = fs::OpenOptions::new().append(true).open(path).unwrap();
        file.set_len(4 * 1024 * 1024).unwrap();
    })
    .await;
}

#[tokio::test]
async fn swapped_snapshots_are_not_used() {
    log::keep();
    let keys = [new_key("shared"), new_key("shared")];
    let setup = Setup::new("swapped", jwk_set(&[]));
    let servers = [&keys[0], &keys[1]].map(|key| KeyServer::start(jwk_set(&[key])).unwrap());
    let start = || {
        let provider = |index: usize| {
            let issuer = format!("https://swapped-{index}.test");
            Provider::new().issuer(issuer).audience("api").keys(servers[index].url())
        };
        policy::builder()
            .provider("swapped-0", provider(0))
            .provider("swapped-1", provider(1))
            .key_snapshot(&setup.directory)
            .fetch_timeout(MINUTE)
            .clock(setup.clock.clone())
            .build()
            .unwrap()
    };
    let oauth2 = start();
    oauth2.warm_up().await.unwrap();
    until("both are written", || {
        setup.files().iter().filter(|path| path.extension().is_some_and(|e| e == "json")).count()
            == 2
            && setup.files().len() == 2
    })
    .await;
    drop(oauth2);
    servers.iter().for_each(|server| server.answer(Answer::status(500)));
    let files = setup.files();
    let spare = setup.directory.join("spare");
    fs::rename(&files[0], &spare).unwrap();
    fs::rename(&files[1], &files[0]).unwrap();
    fs::rename(&spare, &files[1]).unwrap();
    let oauth2 = start();
    for (index, key) in keys.iter().enumerate() {
        for issuer in ["https://swapped-0.test", "https://swapped-1.test"] {
            let token = Token::new(issuer, "api").sign(key);
            let error = oauth2.verify(&token).await.unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::KeysUnavailable { .. }), "{index} {error}");
        }
    }
    assert_eq!(log::lines_with(&["WARN", "another provider or source", "swapped-"]).len(), 2);
}

#[tokio::test]
async fn snapshot_of_another_source_is_not_used() {
    let known = new_key("known");
    let setup = Setup::new("moved", jwk_set(&[&known]));
    setup.leave().await;
    for url in [setup.server.url_of("/other"), format!("{}?tenant=x", setup.server.url())] {
        let provider = Provider::new().issuer(ISSUER).audience("api").keys(url);
        let oauth2 = setup.builder(provider).build().unwrap();
        assert!(unavailable(&verify(&oauth2, &known).await));
    }
    // What the provider's settings do not allow any more is not used either.
    let stricter = setup.provider().algorithms([Algorithm::RS256]);
    let oauth2 = setup.builder(stricter).build().unwrap();
    assert_eq!(verify(&oauth2, &known).await, Err(ErrorKind::AlgorithmNotAllowed));
    assert!(!oauth2.is_ready());
}

#[tokio::test]
async fn snapshot_from_the_future_is_not_used() {
    log::keep();
    let known = new_key("known");
    let mut setup = Setup::new("future", jwk_set(&[&known]));
    let early = ManualClock::new();
    setup.clock.advance(Duration::from_secs(10));
    setup.leave().await;
    setup.clock = early;
    let oauth2 = setup.start();
    assert!(unavailable(&verify(&oauth2, &known).await));
    assert_eq!(log::lines_with(&["WARN", "lies in the future", "provider=future"]).len(), 1);
    setup.clock.advance(Duration::from_secs(10));
    assert_eq!(verify(&setup.start(), &known).await, Ok(()));
}

#[tokio::test]
async fn only_public_keys_are_ever_written() {
    let good = new_key("good");
    let mut private = new_key("private").public_jwk();
    private["d"] = json!("canary-d");
    let mut annotated = good.public_jwk();
    annotated["x5c"] = json!(["canary-x5c"]);
    annotated["note"] = json!({"k": "canary-note"});
    let set = json!({
        "keys": [
            annotated, private, {"kty": "oct", "k": "canary-k", "kid": "secret"},
            {"kty": "canary-kty"}, key(Algorithm::HS256).public_jwk(),
        ],
        "password": "canary-password",
    });
    let pem = format!(
        "canary-comment\n{}{}",
        new_key("x").private_pem(),
        key(Algorithm::ES256).public_pem()
    );
    for (index, document) in [set.to_string(), pem].into_iter().enumerate() {
        let setup = Setup::new("public", Answer::body(200, &[], document.as_bytes()));
        setup.leave().await;
        let file = setup.files().remove(0);
        let text = fs::read_to_string(&file).unwrap();
        assert!(!text.contains("canary-") && !text.contains("PRIVATE"), "{text}");
        let secret = key(Algorithm::HS256).public_jwk();
        assert!(!text.contains(secret["k"].as_str().unwrap()));
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(fs::metadata(&setup.directory).unwrap().mode() & 0o7777, 0o700);
        let signing_key = if index == 0 { &good } else { key(Algorithm::ES256) };
        assert_eq!(verify(&setup.start(), signing_key).await, Ok(()));
    }
}

#[tokio::test]
async fn document_of_every_form_is_restored() {
    for algorithm in [Algorithm::ES256, Algorithm::RS256, Algorithm::EdDSA] {
        for (name, form) in crate::jose::key_forms::forms(key(algorithm)) {
            let document = match &form {
                Value::String(pem) => pem.clone(),
                json => json.to_string(),
            };
            let setup = Setup::new("forms", Answer::body(200, &[], document.as_bytes()));
            setup.leave().await;
            let oauth2 = setup.start();
            assert_eq!(verify(&oauth2, key(algorithm)).await, Ok(()), "{name} of {algorithm}");
            assert_eq!(status(&oauth2).state, KeyState::Snapshot);
        }
    }
}

/// Forms that providers publish: with the key's certificate, with and without its thumbprints, and with
/// members that say nothing.
fn published(key: &SigningKey) -> Vec<(&'static str, Value)> {
    let der = der(&key.certificate_pem());
    let (x5t, x5t_s256) =
        (URL_SAFE_NO_PAD.encode(sha1(&der)), URL_SAFE_NO_PAD.encode(sha256(&der)));
    let with = |members: Value| {
        let mut jwk = key.public_jwk();
        jwk.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        jwk
    };
    let certificate = STANDARD.encode(&der);
    let nulls = json!({
        "d": null, "p": null, "oth": null, "k": null, "x5c": null, "x5t": null, "x5u": null,
        "key_ops": null,
    });
    let mut alone = with(nulls.clone());
    alone["keys"] = Value::Null;
    vec![
        ("x5c", with(json!({"x5c": [certificate]}))),
        ("x5c in base64url", with(json!({"x5c": [URL_SAFE_NO_PAD.encode(&der)]}))),
        ("x5c with a chain", with(json!({"x5c": [certificate, "AAAA"]}))),
        ("x5c and x5t", with(json!({"x5c": [certificate], "x5t": x5t}))),
        ("x5c and x5t#S256", with(json!({"x5c": [certificate], "x5t#S256": x5t_s256}))),
        ("all three", with(json!({"x5c": [certificate], "x5t": x5t, "x5t#S256": x5t_s256}))),
        // Some providers write it in hexadecimal before they encode it.
        ("another x5t", with(json!({"x5c": [certificate], "x5t": "RkYwMA"}))),
        ("x5t alone", with(json!({"x5t": x5t}))),
        ("no certificate", with(json!({"x5c": ["MIIB"], "x5t": x5t}))),
        (
            "text after the certificate",
            with(json!({"x5c": [STANDARD.encode([&*der, b"canary"].concat())]})),
        ),
        ("nulls", with(nulls)),
        ("nulls, and `keys` too", alone),
        ("empty lists", with(json!({"oth": [], "key_ops": [], "x5c": []}))),
        ("members that are not read", with(json!({"k": "canary", "note": {"d": "canary"}}))),
    ]
}

#[tokio::test]
async fn keys_are_restored_as_they_are_published() {
    for algorithm in [Algorithm::ES256, Algorithm::RS256] {
        let signer = key(algorithm);
        for (name, jwk) in published(signer) {
            for document in [json!({"keys": [jwk], "kty": null}), jwk.clone()] {
                let setup = Setup::new("published", Answer::json(&document));
                setup.leave().await;
                let text = fs::read_to_string(setup.files().remove(0)).unwrap();
                assert!(!text.contains("canary") && !text.contains("Y2FuYXJ5"), "{name}: {text}");
                let oauth2 = setup.start();
                assert_eq!(verify(&oauth2, signer).await, Ok(()), "{name} of {algorithm}");
                assert_eq!(status(&oauth2).state, KeyState::Snapshot, "{name} of {algorithm}");
            }
        }
    }
}

/// Tokens that name their key by a certificate are verified after a restart too.
#[tokio::test]
async fn thumbprints_select_keys_after_a_restart() {
    let keys: Vec<_> = (0..20).map(|_| new_key("")).collect();
    let certificates: Vec<_> = keys.iter().map(|key| der(&key.certificate_pem())).collect();
    let jwks: Vec<Value> = keys
        .iter()
        .zip(&certificates)
        .map(|(key, der)| {
            let mut jwk = key.bare_jwk();
            jwk["x5c"] = json!([STANDARD.encode(der)]);
            jwk
        })
        .collect();
    let setup = Setup::new("certificates", Answer::json(&json!({"keys": jwks})));
    setup.leave().await;
    let oauth2 = setup.start();
    for (name, thumbprint) in [
        ("x5t", URL_SAFE_NO_PAD.encode(sha1(&certificates[19]))),
        ("x5t#S256", URL_SAFE_NO_PAD.encode(sha256(&certificates[19]))),
    ] {
        let token = Token::new(ISSUER, "api")
            .expires_in(365 * 86_400)
            .header("kid", Value::Null)
            .header(name, thumbprint);
        assert!(oauth2.verify(&token.sign(&keys[19])).await.is_ok(), "{name}");
    }
}

fn der(pem: &str) -> Vec<u8> {
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    STANDARD.decode(body).unwrap()
}

#[tokio::test]
async fn not_modified_response_renews_the_snapshot() {
    let known = new_key("known");
    let body = json!({"keys": [known.public_jwk()]}).to_string();
    let setup = Setup::new("unchanged", Answer::body(200, &[("etag", "\"1\"")], body.as_bytes()));
    let oauth2 = setup.start();
    oauth2.warm_up().await.unwrap();
    setup.until_written().await;
    setup.server.answer(Answer::status(304));
    let asked = setup.server.requests();
    setup.clock.advance(HOUR);
    setup.server.wait_for_requests(asked + 1);
    setup.until_written().await;
    setup.server.answer(Answer::status(500));
    drop(oauth2);
    let oauth2 = setup.start();
    assert_eq!(verify(&oauth2, &known).await, Ok(()));
    assert_eq!(status(&oauth2).age_seconds, Some(0));
}

#[tokio::test]
async fn name_of_a_provider_never_leads_out_of_the_directory() {
    for name in [
        "../../outside",
        "/etc/outside",
        "..",
        ".",
        "a/b",
        "a\\b",
        "nul\0",
        "\u{e4}\n",
        &"x".repeat(5000),
    ] {
        let known = new_key("known");
        let mut setup = Setup::new("names", jwk_set(&[&known]));
        setup.name = name.to_owned();
        // One level down, so that all that is written near it is seen.
        let parent = setup.directory.clone();
        setup.directory = parent.join("inner");
        setup.leave().await;
        assert_eq!(fs::read_dir(&parent).unwrap().count(), 1, "{name:?}");
        let file = setup.files().remove(0);
        let file_name = file.file_name().unwrap().to_str().unwrap();
        assert!(file_name.len() <= 80, "{file_name}");
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        assert!(file_name.chars().all(is_plain), "{file_name}");
        assert!(!file_name.starts_with('.') && !file_name.contains(".."), "{file_name}");
        assert_eq!(verify(&setup.start(), &known).await, Ok(()), "{name:?}");
        fs::remove_dir_all(parent).unwrap();
    }
}

#[tokio::test]
async fn tenants_have_snapshots() {
    struct One(Provider);
    impl TenantLookup for One {
        async fn find_by_issuer(
            &self,
            issuer: &str,
        ) -> Result<Option<Tenant>, Box<dyn Error + Send + Sync>> {
            Ok((issuer == ISSUER).then(|| Tenant::new("../tenant", self.0.clone())))
        }
    }
    let (known, next) = (new_key("known"), new_key("next"));
    let setup = Setup::new("tenant", jwk_set(&[&known]));
    let start = || {
        policy::builder()
            .tenants(Tenants::new(One(setup.provider())))
            .key_refresh(HOUR)
            .key_snapshot(&setup.directory)
            .fetch_timeout(MINUTE)
            .clock(setup.clock.clone())
            .build()
            .unwrap()
    };
    let oauth2 = start();
    assert_eq!(verify(&oauth2, &known).await, Ok(()));
    setup.until_written().await;
    drop(oauth2);
    setup.server.answer(Answer::status(500));
    let oauth2 = start();
    assert_eq!(verify(&oauth2, &known).await, Ok(()));
    assert_eq!(status(&oauth2).state, KeyState::Snapshot);
    assert!(status(&oauth2).tenant);
    // No request waits for it, and it is replaced all the same.
    setup.server.answer(jwk_set(&[&next]));
    advance_until(&setup.clock, Duration::from_secs(1), "keys are fetched", || {
        status(&oauth2).state == KeyState::Fresh
    })
    .await;
    assert_eq!(verify(&oauth2, &known).await, Err(ErrorKind::UnknownKey));
}

#[tokio::test]
async fn snapshots_hold_custom_sources_but_not_files() {
    struct Vault(Option<String>);
    impl KeySource for Vault {
        async fn load(&self) -> Result<String, Box<dyn Error + Send + Sync>> {
            self.0.clone().ok_or_else(|| "sealed".into())
        }
    }
    let known = new_key("known");
    let text = known.jwk_set().to_string();
    let setup = Setup::new("vault", jwk_set(&[]));
    let of = |keys: Keys| Provider::new().issuer(ISSUER).audience("api").keys(keys);
    let oauth2 = setup.builder(of(Keys::source(Vault(Some(text.clone()))))).build().unwrap();
    oauth2.warm_up().await.unwrap();
    setup.until_written().await;
    drop(oauth2);
    let oauth2 = setup.builder(of(Keys::source(Vault(None)))).build().unwrap();
    assert_eq!(verify(&oauth2, &known).await, Ok(()));

    let setup = Setup::new("file", jwk_set(&[]));
    let path = std::env::temp_dir().join(format!("oauth2-actix-kept-{}", std::process::id()));
    fs::write(&path, text).unwrap();
    let oauth2 = setup.builder(of(Keys::file(&path))).build().unwrap();
    oauth2.warm_up().await.unwrap();
    drop(oauth2);
    fs::remove_file(&path).unwrap();
    let oauth2 = setup.builder(of(Keys::file(&path))).build().unwrap();
    assert!(unavailable(&verify(&oauth2, &known).await), "a file that is gone is gone");
    assert_eq!(setup.files(), [] as [PathBuf; 0]);
}

#[tokio::test]
async fn removed_directory_is_logged_and_does_not_affect_requests() {
    log::keep();
    let known = new_key("known");
    let setup = Setup::new("gone", jwk_set(&[&known]));
    let oauth2 = setup.start();
    fs::remove_dir_all(&setup.directory).unwrap();
    oauth2.refresh_keys().await.unwrap();
    assert_eq!(verify(&oauth2, &known).await, Ok(()));
    until("it is said", || {
        log::lines_with(&["WARN", "the key snapshot was not written", "provider=gone"]).len() == 1
    })
    .await;
}

#[test]
fn path_that_is_not_a_directory_is_a_build_error() {
    let path =
        std::env::temp_dir().join(format!("oauth2-actix-no-directory-{}", std::process::id()));
    fs::write(&path, "x").unwrap();
    let provider = || Provider::new().issuer(ISSUER).audience("api").keys("https://idp.test/jwks");
    for path in [path.clone(), path.join("below")] {
        let builder = policy::builder().provider("p", provider()).key_snapshot(&path);
        let error = builder.build().unwrap_err();
        assert_eq!((error.provider(), error.field()), (None, "key_snapshot"), "{error}");
        let config = json!({
            "providers": {"p": {"issuer": ISSUER, "audience": "api", "keys": "https://idp.test/jwks"}},
            "key_snapshot": path,
        });
        let builder: OAuth2Builder = serde_json::from_value(config).unwrap();
        assert_eq!(builder.build().unwrap_err().field(), "key_snapshot");
    }
    fs::remove_file(path).unwrap();
}

#[tokio::test]
async fn initial_keys_verify_until_the_first_successful_fetch() {
    log::keep();
    let (initial, shared, next) = (new_key("initial"), new_key("shared"), new_key("next"));
    for (name, refresh) in [("initial-never", None), ("initial-hour", Some(HOUR))] {
        let setup = Setup::new(name, Answer::status(503));
        let keys = json!({"keys": [initial.public_jwk(), shared.public_jwk()]});
        let mut provider = setup.provider().initial_keys(keys.clone());
        if let Some(refresh) = refresh {
            provider = provider.key_refresh(refresh);
        }
        let oauth2 = policy::builder()
            .provider(name, provider)
            .fetch_timeout(MINUTE)
            .clock(setup.clock.clone())
            .build()
            .unwrap();
        assert_eq!(status(&oauth2).state, KeyState::Initial);
        assert!(oauth2.is_ready());
        oauth2.warm_up().await.unwrap();
        assert_eq!(verify(&oauth2, &initial).await, Ok(()));
        assert_eq!(verify(&oauth2, &new_key("initial")).await, Err(ErrorKind::SignatureInvalid));
        // The provider was never asked with success: of other keys nothing is known.
        assert!(unavailable(&verify(&oauth2, &next).await));
        setup.server.wait_for_requests(1);
        let shown = serde_json::to_value(oauth2.key_status()).unwrap();
        assert_eq!(
            (&shown[0]["state"], &shown[0]["age_seconds"]),
            (&json!("initial"), &json!(null))
        );
        // It is asked until it answers, with or without a refresh and requests.
        setup.server.answer(jwk_set(&[&shared, &next]));
        advance_until(&setup.clock, Duration::from_secs(1), "keys are fetched", || {
            status(&oauth2).state == KeyState::Fresh
        })
        .await;
        for (key, expected) in
            [(&shared, Ok(())), (&next, Ok(())), (&initial, Err(ErrorKind::UnknownKey))]
        {
            assert_eq!(verify(&oauth2, key).await, expected, "{name} {}", key.kid());
        }
    }
    assert_eq!(log::lines_with(&["INFO", "keys fetched", "provider=initial-"]).len(), 2);
}

#[tokio::test]
async fn unknown_key_beside_initial_keys_is_fetched_in_the_same_request() {
    let (initial, next) = (new_key("initial"), new_key("next"));
    let setup = Setup::new("first-need", jwk_set(&[&next]));
    let provider = setup.provider().initial_keys(initial.jwk_set());
    let oauth2 = policy::builder().provider("p", provider).build().unwrap();
    assert_eq!(verify(&oauth2, &next).await, Ok(()));
    assert_eq!(verify(&oauth2, &initial).await, Err(ErrorKind::UnknownKey));
}

#[tokio::test]
async fn initial_keys_become_stale_only_with_refresh() {
    let initial = new_key("initial");
    let setup = Setup::new("initial-stale", Answer::status(500));
    let start = |refresh: Option<Duration>| {
        let mut provider = setup.provider().initial_keys(initial.jwk_set());
        if let Some(refresh) = refresh {
            provider = provider.key_refresh(refresh);
        }
        let builder = policy::builder().provider("p", provider).clock(setup.clock.clone());
        builder.build().unwrap()
    };
    let (refreshed, permanent) = (start(Some(HOUR)), start(None));
    setup.clock.advance(24 * HOUR - Duration::from_secs(1));
    assert_eq!(verify(&refreshed, &initial).await, Ok(()));
    setup.clock.advance(Duration::from_secs(1));
    assert!(unavailable(&verify(&refreshed, &initial).await));
    assert_eq!(status(&refreshed).state, KeyState::Unavailable);
    assert_eq!(verify(&permanent, &initial).await, Ok(()));
}

#[tokio::test]
async fn snapshot_takes_precedence_over_initial_keys() {
    let (initial, known) = (new_key("initial"), new_key("known"));
    let setup = Setup::new("precedence", jwk_set(&[&known]));
    setup.leave().await;
    let start = || setup.builder(setup.provider().initial_keys(initial.jwk_set())).build().unwrap();
    let oauth2 = start();
    assert_eq!(status(&oauth2).state, KeyState::Snapshot);
    assert_eq!(verify(&oauth2, &known).await, Ok(()));
    assert!(unavailable(&verify(&oauth2, &initial).await));
    setup.clock.advance(24 * HOUR);
    let oauth2 = start();
    assert_eq!(status(&oauth2).state, KeyState::Initial, "it is too old");
    assert_eq!(verify(&oauth2, &initial).await, Ok(()));
}

#[test]
fn unusable_initial_keys_are_build_errors() {
    let (url, good) = ("https://idp.test/jwks", key(Algorithm::ES256).jwk_set());
    let secret = key(Algorithm::HS256).jwk_set();
    for (keys, initial, more, word) in [
        (json!(url), json!("https://idp.test/initial"), json!({}), "not given inline"),
        (json!(url), json!({"file": "/etc/keys.json"}), json!({}), "not given inline"),
        (json!(url), json!([good, {"url": url}]), json!({}), "not given inline"),
        (json!(url), json!({"keys": []}), json!({}), "no keys"),
        (json!(url), json!("/etc/keys.json"), json!({}), "the path of a file"),
        (json!(url), json!(7), json!({}), "neither text nor JSON keys"),
        (json!(good), json!(good), json!({}), "all keys are given inline"),
        // Not a way around the rule that HMAC is for inline keys: these stand in for fetched ones.
        (
            json!([url, secret]),
            json!(secret),
            json!({"algorithms": ["HS256", "ES256"]}),
            "no usable key",
        ),
    ] {
        let mut provider =
            json!({"issuer": ISSUER, "audience": "api", "keys": keys, "initial_keys": initial});
        provider.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let config = json!({"providers": {"p": provider}});
        let error = match serde_json::from_value::<OAuth2Builder>(config) {
            Err(error) => error.to_string(),
            Ok(builder) => builder.build().expect_err(word).to_string(),
        };
        assert!(
            error.contains("provider \"p\": initial_keys: ") && error.contains(word),
            "{error}"
        );
    }
    let always =
        Provider::new().issuer(ISSUER).audience("api").keys(url).key_refresh(Duration::ZERO);
    let error = policy::builder().provider("p", always.initial_keys(good)).build().unwrap_err();
    assert_eq!(error.field(), "initial_keys");
}
