//! Runs the command `api-key`: what it prints, and its exit codes.

#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};

use oauth2_actix::api_keys::ApiKeyHash;

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_oauth2-actix")).args(arguments).output().unwrap()
}

#[test]
fn new_key_is_printed_with_its_hash_and_is_another_one_each_time() {
    let lines = || {
        let output = run(&["api-key", "new", "--prefix", "shop_live_"]);
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), b"".as_slice()));
        String::from_utf8(output.stdout).unwrap()
    };
    let text = lines();
    let (key, hash) = text.trim().split_once("\nhash: ").unwrap();
    let key = key.strip_prefix("key: ").unwrap();
    assert!(key.starts_with("shop_live_") && key.len() == 10 + 46, "{key}");
    assert_eq!(hash.parse(), Ok(ApiKeyHash::of(key)));
    assert_ne!(lines(), text);
}

#[test]
fn wrong_arguments_are_an_error_that_says_what_is_expected() {
    for arguments in [
        &["api-key"][..],
        &["api-key", "new"],
        &["api-key", "new", "--prefix"],
        &["api-key", "--prefix", "shop_live_"],
        &["api-key", "new", "new", "--prefix=shop_live_"],
        &["api-key", "new", "--prefix=a_b", "--prefix=c_d"],
        &["api-key", "new", "--prefix=eyJ"],
        &["api-key", "new", "--prefix=a b"],
        &["api-key", "new", "--fail-on", "any"],
    ] {
        let output = run(arguments);
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(2), b"".as_slice()));
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.starts_with("error: ") && error.lines().count() == 1, "{error}");
    }
}
