//! Snapshots that are not used.

use super::*;

#[tokio::test]
async fn snapshot_past_the_stale_window_is_not_used() {
    log::keep();
    let known = new_key("known");
    let setup = Setup::new("too-old", jwk_set(&[&known]));
    setup.write_and_stop().await;
    let of =
        |window: Duration| setup.builder(setup.provider()).stale_window(window).build().unwrap();
    setup.clock.advance(2 * HOUR - Duration::from_secs(1));
    let oauth2 = of(2 * HOUR);
    assert_eq!(verify(&oauth2, &known).await, Ok(()));
    // It becomes stale while it is used, too.
    setup.clock.advance(Duration::from_secs(1));
    assert!(unavailable(&verify(&oauth2, &known).await));
    assert_eq!(status(&oauth2).state, KeyState::Unavailable);
    let oauth2 = of(2 * HOUR);
    assert!(!oauth2.is_ready());
    assert!(unavailable(&verify(&oauth2, &known).await));
    let why = ["WARN", "older than the stale window", "provider=too-old", "keys_age_seconds=7200"];
    assert_eq!(log::lines_with(&why).len(), 1);
    // A longer window accepts it.
    assert_eq!(verify(&of(3 * HOUR), &known).await, Ok(()));
}

/// Asserts that the snapshot is not used after this change.
async fn assert_rejected(setup: &Setup, why: &str, change: impl FnOnce(&Path)) {
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
    // Restores the snapshot.
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
    setup.write_and_stop().await;
    let edit = |change: fn(&mut Value)| {
        move |path: &Path| {
            let mut record: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
            change(&mut record);
            fs::write(path, record.to_string()).unwrap();
        }
    };
    let no_object = "not a JSON object";
    for content in ["", "garbage", "[]", r#"{"format": 1, "format": 1}"#] {
        assert_rejected(&setup, no_object, |path| fs::write(path, content).unwrap()).await;
    }
    assert_rejected(&setup, no_object, |path| {
        let content = fs::read(path).unwrap();
        fs::write(path, &content[..content.len() / 2]).unwrap();
    })
    .await;
    assert_rejected(&setup, "UTF-8", |path| fs::write(path, b"{\"\xff\": 1}").unwrap()).await;
    let format = "not in the format of this version";
    assert_rejected(&setup, format, edit(|record| record["format"] = json!(2))).await;
    assert_rejected(&setup, format, |path| fs::write(path, "{}").unwrap()).await;
    let damaged = "it is damaged";
    assert_rejected(&setup, damaged, edit(|record| record["fetched_at"] = json!(1))).await;
    assert_rejected(
        &setup,
        damaged,
        edit(|record| {
            record["document"] = json!(new_key("attacker").jwk_set().to_string());
        }),
    )
    .await;
    assert_rejected(&setup, damaged, edit(|record| record["digest"] = json!(null))).await;
    let lacks = "lacks the keys or their time";
    assert_rejected(&setup, lacks, edit(|record| record["document"] = json!(["x"]))).await;
    assert_rejected(&setup, lacks, edit(|record| record["fetched_at"] = json!("1"))).await;
    assert_rejected(&setup, lacks, edit(|record| record["fetched_at"] = json!(-1))).await;
    let another = "belongs to another provider or source";
    assert_rejected(&setup, another, edit(|record| record["id"] = json!("x"))).await;
    assert_rejected(&setup, "other users may write", |path| {
        fs::set_permissions(path, fs::Permissions::from_mode(0o620)).unwrap();
    })
    .await;
    // Only root can change the owner.
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    if is_root {
        assert_rejected(&setup, "belongs to another user", |path| {
            std::os::unix::fs::chown(path, Some(12_345), None).unwrap();
        })
        .await;
    }
    let no_file = "not a regular file";
    assert_rejected(&setup, no_file, |path| {
        fs::remove_file(path).unwrap();
        fs::create_dir(path).unwrap();
    })
    .await;
    assert_rejected(&setup, no_file, |path| {
        let elsewhere = path.with_extension("elsewhere");
        fs::rename(path, &elsewhere).unwrap();
        symlink(&elsewhere, path).unwrap();
    })
    .await;
    fs::remove_file(setup.files().remove(0).with_extension("elsewhere")).unwrap();
    assert_rejected(&setup, no_file, |path| {
        fs::remove_file(path).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
    })
    .await;
    assert_rejected(&setup, "too large", |path| {
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
    setup.write_and_stop().await;
    for url in [setup.server.url_of("/other"), format!("{}?tenant=x", setup.server.url())] {
        let provider = Provider::new().issuer(ISSUER).audience("api").keys(url);
        let oauth2 = setup.builder(provider).build().unwrap();
        assert!(unavailable(&verify(&oauth2, &known).await));
    }
    // Keys that the settings no longer allow are not used either.
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
    setup.write_and_stop().await;
    setup.clock = early;
    let oauth2 = setup.start();
    assert!(unavailable(&verify(&oauth2, &known).await));
    assert_eq!(log::lines_with(&["WARN", "lies in the future", "provider=future"]).len(), 1);
    setup.clock.advance(Duration::from_secs(10));
    assert_eq!(verify(&setup.start(), &known).await, Ok(()));
}
