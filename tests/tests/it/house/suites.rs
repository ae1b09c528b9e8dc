//! The suites also run without the token cache, and with OpenSSL for every signature. The switch is in
//! `oauth2_actix_tests::policy`, not in the library.

use std::{fs, path::Path};

use oauth2_actix::{
    Algorithm, OAuth2, OAuth2Builder, Provider,
    testing::{SigningKey, Token},
};
use oauth2_actix_tests::{
    alone,
    keys::key,
    policy::{self, CRYPTO_BACKEND, TOKEN_CACHE},
};
use serde_json::json;

const ISSUER: &str = "https://idp.test";

/// Describes whether a policy caches a token, and the library of its key.
async fn described(builder: OAuth2Builder) -> String {
    let oauth2 = builder.build().unwrap();
    oauth2.verify(&Token::new(ISSUER, "api").sign(signing_key())).await.unwrap();
    let keeps = if oauth2.token_cache_status().entries == 1 { "cache" } else { "no cache" };
    let shown = format!("{oauth2:?}");
    let libraries: Vec<_> =
        ["AwsLc", "OpenSsl"].into_iter().filter(|name| shown.contains(name)).collect();
    format!("{keeps}, {libraries:?}")
}

fn signing_key() -> &'static SigningKey {
    key(Algorithm::RS256)
}

#[tokio::test]
#[ignore = "run by variables_change_policies_of_the_suites_only, in an environment of its own"]
async fn alone_policies_are_described() {
    let provider = || Provider::new().issuer(ISSUER).audience("api").keys(signing_key().jwk_set());
    let settings = json!({"providers": {"p": {
        "issuer": ISSUER, "audience": "api", "keys": signing_key().jwk_set(),
    }}});
    for (of, builder) in [
        ("library", OAuth2::builder().provider("p", provider())),
        ("library, serde", serde_json::from_value(settings.clone()).unwrap()),
        ("suites", policy::builder().provider("p", provider())),
        ("suites, serde", policy::from_json(settings).unwrap()),
    ] {
        println!("of the {of}: {}", described(builder).await);
    }
}

/// Returns what such a child prints, or how it fails.
fn of_a_child(variable: &[(&str, &str)]) -> Result<Vec<String>, String> {
    let output = alone::command(module_path!(), "alone_policies_are_described")
        .env_remove(TOKEN_CACHE)
        .env_remove(CRYPTO_BACKEND)
        .envs(variable.iter().copied())
        .output()
        .unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().filter_map(|line| Some(line.split_once("of the ")?.1.to_owned())).collect())
}

#[test]
fn variables_change_policies_of_the_suites_only() {
    let default = "cache, [\"AwsLc\"]";
    for (variable, of_suites) in [
        (None, default),
        (Some((TOKEN_CACHE, "off")), "no cache, [\"AwsLc\"]"),
        (Some((CRYPTO_BACKEND, "openssl")), "cache, [\"OpenSsl\"]"),
    ] {
        let expected = [
            format!("library: {default}"),
            format!("library, serde: {default}"),
            format!("suites: {of_suites}"),
            format!("suites, serde: {of_suites}"),
        ];
        assert_eq!(of_a_child(variable.as_slice()).unwrap(), expected, "{variable:?}");
    }
    for variable in [(TOKEN_CACHE, "on"), (CRYPTO_BACKEND, "OpenSSL")] {
        let error = of_a_child(&[variable]).unwrap_err();
        assert!(error.contains(variable.0) && error.contains("expected"), "{error}");
    }
}

/// Calls `check` with the path and the text of each Rust file below.
fn each_source(directory: &Path, check: &mut impl FnMut(&str, &str)) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            each_source(&path, check);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            check(&path.to_string_lossy(), &fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn policies_of_the_suites_are_built_by_the_helper() {
    let suites = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut files = 0;
    for suite in ["it", "attacks"] {
        each_source(&suites.join(suite), &mut |path, text| {
            files += 1;
            // This file compares both builders, and `environment.rs` compares settings only.
            if !path.ends_with("suites.rs") && !path.ends_with("environment.rs") {
                assert!(!text.contains("OAuth2::builder()"), "{path}: expected policy::builder()");
            }
        });
    }
    assert!(files > 50, "{files}");
}

#[test]
fn library_reads_no_environment_variable() {
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("../oauth2-actix/src");
    let mut files = 0;
    each_source(&library, &mut |path, text| {
        files += 1;
        for read in ["env::var", "env::vars", "option_env!", "OAUTH2_ACTIX_"] {
            assert!(!text.contains(read), "{path}: {read}");
        }
    });
    assert!(files > 50, "{files}");
}
