//! Keys from files.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::Duration,
};

use oauth2_actix::{
    Algorithm, ErrorKind, Keys, OAuth2,
    status::KeyState,
    testing::{ManualClock, SigningKey},
};
use oauth2_actix_tests::{
    key_server::{Answer, KeyServer},
    keys::{EVERY, key},
    log, policy,
    wait::advance_until,
};
use serde_json::{Value, json};

use super::shared::*;
use crate::jose::key_forms::forms;

/// A directory, with a policy that reads `keys.json` in it.
struct Setup {
    directory: PathBuf,
    clock: ManualClock,
    oauth2: OAuth2,
}

impl Setup {
    fn new(name: &str, refresh: Option<Duration>) -> Self {
        Self::start(name, refresh, None)
    }

    /// Writes the file before the first fetch begins.
    fn with(name: &str, refresh: Option<Duration>, text: &str) -> Self {
        Self::start(name, refresh, Some(text))
    }

    fn start(name: &str, refresh: Option<Duration>, text: Option<&str>) -> Self {
        let directory =
            std::env::temp_dir().join(format!("oauth2-actix-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir(&directory).unwrap();
        if let Some(text) = text {
            fs::write(directory.join("keys.json"), text).unwrap();
        }
        let clock = ManualClock::new();
        let mut provider = provider(ISSUER, Keys::file(directory.join("keys.json")));
        if let Some(refresh) = refresh {
            provider = provider.key_refresh(refresh);
        }
        let oauth2 = policy::builder()
            .provider(name, provider)
            .fetch_timeout(PATIENCE)
            .clock(clock.clone())
            .build()
            .unwrap();
        Self { directory, clock, oauth2 }
    }

    fn file(&self) -> PathBuf {
        self.directory.join("keys.json")
    }

    /// Replaces the file atomically.
    fn replace(&self, text: impl AsRef<[u8]>) {
        let new = self.directory.join("keys.json.new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.file()).unwrap();
    }

    async fn verify(&self, key: &SigningKey) -> Result<(), ErrorKind> {
        verify(&self.oauth2, ISSUER, key).await
    }

    /// Advances the clock for twenty checks of the file.
    async fn pass_time(&self) {
        for _ in 0..20 {
            self.clock.advance(SECOND);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn until_keys_are(&self, expected: &[&SigningKey]) {
        let expected: Vec<&str> = expected.iter().map(|key| key.kid()).collect();
        advance_until(&self.clock, STEP, &format!("keys {expected:?}"), || {
            kids(&self.oauth2) == expected && status(&self.oauth2).state == KeyState::Fresh
        })
        .await;
    }

    async fn until_failing(&self, cause: &str) {
        advance_until(&self.clock, STEP, cause, || {
            let status = status(&self.oauth2);
            status.state == KeyState::Failing
                && status.last_error.is_some_and(|error| error.cause.contains(cause))
        })
        .await;
    }
}

impl Drop for Setup {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

#[tokio::test]
async fn file_is_read_at_the_first_request() {
    log::keep();
    let setup = Setup::new("first-need", None);
    let status_before = status(&setup.oauth2);
    assert_eq!(status_before.state, KeyState::NotFetched);
    assert_eq!(status_before.source, format!("file {}", setup.file().display()));
    // The file did not exist when the policy was built.
    let key = new_key("1");
    setup.replace(set(&[&key]));
    assert_eq!(setup.verify(&key).await, Ok(()));
    assert_eq!(setup.verify(&new_key("1")).await, Err(ErrorKind::SignatureInvalid));
    assert_eq!(status(&setup.oauth2).fetches.succeeded, 1);
    // A file needs no refresh, since changes are detected.
    assert!(log::lines_with(&["no key refresh", "first-need"]).is_empty());
}

#[tokio::test]
async fn file_in_every_key_form_is_read() {
    let setup = Setup::new("forms", None);
    let config = json!({
        "providers": {
            "p": {"issuer": ISSUER, "audience": "api", "keys": {"file": setup.file()}},
        },
    });
    for key in EVERY.iter().filter(|key| !key.algorithm().is_symmetric()) {
        for (name, form) in forms(key) {
            setup.replace(match &form {
                Value::String(pem) => pem.clone(),
                json => json.to_string(),
            });
            let builder = policy::from_json(config.clone()).unwrap();
            let accepted = verify(&builder.build().unwrap(), ISSUER, key).await;
            assert_eq!(accepted, Ok(()), "{name} of {}", key.algorithm());
        }
    }
}

#[tokio::test]
async fn changed_file_is_read_again() {
    let (first, second, third) = (new_key("1"), new_key("2"), new_key("3"));
    for (name, refresh) in
        [("changes", None), ("changes-refreshed", Some(HOUR)), ("changes-hot", Some(SECOND))]
    {
        let setup = Setup::with(name, refresh, &set(&[&first]));
        assert_eq!(setup.verify(&first).await, Ok(()));
        setup.replace(set(&[&first, &second]));
        setup.until_keys_are(&[&first, &second]).await;
        assert_eq!(setup.verify(&second).await, Ok(()));
        // Tokens of a removed key are rejected.
        setup.replace(set(&[&second]));
        setup.until_keys_are(&[&second]).await;
        assert_eq!(setup.verify(&first).await, Err(ErrorKind::UnknownKey));
        assert_eq!(setup.verify(&second).await, Ok(()));
        // Written without a new file: another length.
        fs::write(setup.file(), set(&[&second, &third])).unwrap();
        setup.until_keys_are(&[&second, &third]).await;
    }
}

#[tokio::test]
async fn file_is_checked_once_a_second_and_read_only_if_changed() {
    let (first, second) = (new_key("1"), new_key("2"));
    let setup = Setup::with("looks", None, &set(&[&first]));
    assert_eq!(setup.verify(&first).await, Ok(()));
    for changes in 1..=5 {
        setup.pass_time().await;
        assert_eq!(status(&setup.oauth2).fetches.succeeded, changes, "nothing has changed");
        let key = if changes % 2 == 0 { &first } else { &second };
        setup.replace(set(&[key]));
        setup.until_keys_are(&[key]).await;
    }
    let fetches = status(&setup.oauth2).fetches;
    assert_eq!((fetches.succeeded, fetches.failed), (6, 0));
}

#[tokio::test]
async fn file_behind_switched_symlinks_is_read_again() {
    let (first, second) = (new_key("1"), new_key("2"));
    let setup = Setup::new("kubernetes", None);
    // keys.json -> ..data/keys.json, ..data -> ..1
    let version = |name: &str, key: &SigningKey| {
        let directory = setup.directory.join(name);
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("keys.json"), set(&[key])).unwrap();
    };
    version("..1", &first);
    symlink("..1", setup.directory.join("..data")).unwrap();
    symlink("..data/keys.json", setup.file()).unwrap();
    assert_eq!(setup.verify(&first).await, Ok(()));
    setup.pass_time().await;
    assert_eq!(status(&setup.oauth2).fetches.succeeded, 1, "nothing has changed");

    version("..2", &second);
    // The same length and time of modification, but another file.
    let modified = fs::metadata(setup.directory.join("..1/keys.json")).unwrap().modified().unwrap();
    let new = fs::File::options().write(true).open(setup.directory.join("..2/keys.json")).unwrap();
    new.set_modified(modified).unwrap();
    symlink("..2", setup.directory.join("..data_tmp")).unwrap();
    fs::rename(setup.directory.join("..data_tmp"), setup.directory.join("..data")).unwrap();
    fs::remove_dir_all(setup.directory.join("..1")).unwrap();
    setup.until_keys_are(&[&second]).await;
    assert_eq!(setup.verify(&first).await, Err(ErrorKind::UnknownKey));
    assert_eq!(setup.verify(&second).await, Ok(()));
}

#[tokio::test]
async fn missing_file_keeps_its_keys() {
    let (first, second) = (new_key("1"), new_key("2"));
    for (name, refresh) in [("gone", None), ("gone-refreshed", Some(HOUR))] {
        let setup = Setup::with(name, refresh, &set(&[&first]));
        assert_eq!(setup.verify(&first).await, Ok(()));
        fs::remove_file(setup.file()).unwrap();
        if refresh.is_some() {
            setup.clock.advance(HOUR);
            setup.until_failing("No such file").await;
        } else {
            setup.pass_time().await;
            // The file counts as being replaced.
            assert_eq!(status(&setup.oauth2).fetches.failed, 0);
        }
        assert_eq!(setup.verify(&first).await, Ok(()));
        setup.replace(set(&[&second]));
        setup.until_keys_are(&[&second]).await;
    }
}

#[tokio::test]
async fn invalid_file_keeps_the_keys_until_it_is_valid() {
    let (first, second) = (new_key("1"), new_key("2"));
    let setup = Setup::with("spoilt", None, &set(&[&first]));
    assert_eq!(setup.verify(&first).await, Ok(()));
    let good = set(&[&second]);
    let too_large = format!("{good}{}", " ".repeat(1024 * 1024));
    for (spoilt, cause) in [
        (b"".as_slice(), "empty"),
        (b"garbage", "neither JSON nor PEM"),
        (&good.as_bytes()[..good.len() - 2], "not valid JSON"),
        (br#"{"keys": []}"#, "no keys"),
        (b"{\"keys\": [\"\xff\"]}", "valid UTF-8"),
        (too_large.as_bytes(), "larger than"),
    ] {
        setup.replace(spoilt);
        setup.until_failing(cause).await;
        assert_eq!(setup.verify(&first).await, Ok(()), "{cause}");
        setup.replace(set(&[&second]));
        setup.until_keys_are(&[&second]).await;
        setup.replace(set(&[&first]));
        setup.until_keys_are(&[&first]).await;
    }
}

#[tokio::test]
async fn unreadable_file_fails_without_delaying_other_providers() {
    log::keep();
    let key = new_key("1");
    let other = KeyServer::start(Answer::json(&key.jwk_set())).unwrap();
    let setup = Setup::new("not-a-file", None);
    let at = |name: &str| setup.directory.join(name);
    fs::create_dir(at("directory")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(at("fifo")).status().unwrap();
    assert!(made.success());
    symlink("nowhere", at("dangling")).unwrap();
    symlink("loop", at("loop")).unwrap();
    fs::write(at("latin-1"), b"-----BEGIN PUBLIC KEY-----\xe4").unwrap();
    let good = set(&[&key]);
    let padded = |length: usize| format!("{good}{}", " ".repeat(length - good.len()));
    fs::write(at("largest"), padded(1024 * 1024)).unwrap();
    fs::write(at("too-large"), padded(1024 * 1024 + 1)).unwrap();
    for (path, cause) in [
        (at("directory"), "not a regular file"),
        (at("fifo"), "not a regular file"),
        (PathBuf::from("/dev/zero"), "not a regular file"),
        (at("dangling"), "No such file"),
        (at("loop"), "symbolic links"),
        (at("absent"), "No such file"),
        (at("latin-1"), "UTF-8"),
        (at("too-large"), "larger than"),
    ] {
        let name = format!("unreadable-{}", path.file_name().unwrap().display());
        let oauth2 = policy::builder()
            .provider(&name, provider(ISSUER, Keys::file(&path)))
            .provider("good", provider("https://good.test", Keys::from(other.url())))
            .build()
            .unwrap();
        let rejected = verify(&oauth2, ISSUER, &key).await;
        assert!(unavailable(&rejected), "{name}: {rejected:?}");
        assert_eq!(verify(&oauth2, "https://good.test", &key).await, Ok(()), "{name}");
        let status = status(&oauth2);
        assert_eq!(status.state, KeyState::Unavailable);
        assert!(status.last_error.unwrap().cause.contains(cause), "{name}: {cause}");
        let logged = log::lines_with(&["WARN", "keys cannot be fetched", &name, cause]);
        assert_eq!(logged.len(), 1, "{name}");
    }
    fs::rename(at("largest"), setup.file()).unwrap();
    assert_eq!(setup.verify(&key).await, Ok(()));
}

#[tokio::test]
async fn pipe_instead_of_the_file_is_not_opened() {
    let (first, second) = (new_key("1"), new_key("2"));
    let setup = Setup::with("pipe", None, &set(&[&first]));
    assert_eq!(setup.verify(&first).await, Ok(()));
    let pipe = setup.directory.join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    fs::rename(pipe, setup.file()).unwrap();
    setup.until_failing("not a regular file").await;
    assert_eq!(setup.verify(&first).await, Ok(()));
    setup.replace(set(&[&second]));
    setup.until_keys_are(&[&second]).await;
}

#[tokio::test]
async fn file_created_later_is_read_without_a_request() {
    let key = new_key("1");
    let setup = Setup::new("late", None);
    assert!(unavailable(&setup.verify(&key).await));
    setup.replace(set(&[&key]));
    setup.until_keys_are(&[&key]).await;
}

#[tokio::test]
async fn symmetric_key_in_a_file_is_not_used() {
    let secret = key(Algorithm::HS256);
    let setup = Setup::with("secret", None, &secret.jwk_set().to_string());
    let error = setup.oauth2.warm_up().await.unwrap_err().to_string();
    assert!(error.contains("no usable key"), "{error}");
    let named = provider(ISSUER, Keys::file(Path::new("keys.json"))).algorithms([Algorithm::HS256]);
    let error = policy::builder().provider("p", named).build().unwrap_err();
    assert_eq!((error.provider(), error.field()), (Some("p"), "algorithms"));
}
