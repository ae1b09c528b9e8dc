//! What is written to disk, and that it is read as it was published.

use super::*;

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
        setup.write_and_stop().await;
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
            setup.write_and_stop().await;
            let oauth2 = setup.start();
            assert_eq!(verify(&oauth2, key(algorithm)).await, Ok(()), "{name} of {algorithm}");
            assert_eq!(status(&oauth2).state, KeyState::Snapshot);
        }
    }
}

/// Forms that providers publish: with the certificate of the key, with and without thumbprints, and with
/// empty members.
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
                setup.write_and_stop().await;
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
    setup.write_and_stop().await;
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
        // One level down, to find files that are written outside.
        let parent = setup.directory.clone();
        setup.directory = parent.join("inner");
        setup.write_and_stop().await;
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
