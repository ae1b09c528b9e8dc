//! Attacks by HMAC: with public keys as secrets, and with secrets that are guessed or empty.

use oauth2_actix::{Algorithm, Provider};
use oauth2_actix_tests::{
    forge::{self, b64, forge, hmac},
    keys::key,
    policy,
};
use serde_json::{Value, json};

use crate::target::{AUDIENCE, ISSUER, Rejection, Target, bearer, es256, good, payload};

/// CVE-2016-10555, CVE-2015-9235, CVE-2024-33663, CVE-2024-37568 (GHSA-5357-c2jx-v7qh),
/// CVE-2023-48223, CVE-2026-34950 (GHSA-mvf2-f6gm-w987): the public key of RSA or ECDSA, in any of its
/// textual forms, used as an HMAC secret.
#[test]
fn public_key_as_hmac_secret_is_rejected_cve_2016_10555_cve_2015_9235_cve_2024_33663_cve_2024_37568()
 {
    let target = Target::start();
    for alg in [Algorithm::RS256, Algorithm::PS512, Algorithm::ES256, Algorithm::EdDSA] {
        let key = key(alg);
        for (name, secret) in forge::public_texts(key) {
            for hash in ["HS256", "HS384", "HS512"] {
                let header = json!({"alg": hash, "kid": key.kid(), "typ": "JWT"}).to_string();
                let token = forge(header, payload(), |message| hmac(hash, &secret, message));
                let attack = format!("{hash} with {name} of {alg}");
                if hash == "HS256" {
                    target.rejects(&attack, &token, Rejection::Signature);
                } else {
                    let answer = target.send("/me", &[bearer(&token)]);
                    crate::target::is_rejection(&attack, &answer, Rejection::Signature);
                }
            }
            // Without the kid, and under the algorithm that the key is for.
            for header in [json!({"alg": "HS256"}), json!({"alg": alg.name(), "kid": key.kid()})] {
                let token =
                    forge(header.to_string(), payload(), |message| hmac("HS256", &secret, message));
                let answer = target.send("/me", &[bearer(&token)]);
                crate::target::is_rejection(name, &answer, Rejection::Signature);
            }
        }
    }
    target.still_works("HMAC with public keys");
}

/// The same where the provider allows HMAC, beside keys of other types.
#[test]
fn public_key_as_hmac_secret_is_rejected_where_hmac_is_allowed_cve_2026_34950() {
    let secret = key(Algorithm::HS256);
    let keys = json!({"keys": [
        secret.public_jwk(), es256().public_jwk(), key(Algorithm::RS256).public_jwk(),
    ]});
    let provider = Provider::new()
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .algorithms([Algorithm::HS256, Algorithm::ES256, Algorithm::RS256])
        .keys(keys);
    let oauth2 = policy::builder().provider("mixed", provider).build().unwrap();
    let target = Target::behind(oauth2);
    target.accepts("its own secret", &good().sign(secret));
    for key in [es256(), key(Algorithm::RS256)] {
        for (name, text) in forge::public_texts(key) {
            for kid in [json!(key.kid()), json!(secret.kid()), Value::Null] {
                let mut header = json!({"alg": "HS256", "kid": kid});
                if kid.is_null() {
                    header.as_object_mut().unwrap().remove("kid");
                }
                let token =
                    forge(header.to_string(), payload(), |message| hmac("HS256", &text, message));
                let answer = target.send("/me", &[bearer(&token)]);
                crate::target::is_rejection(name, &answer, Rejection::Signature);
            }
        }
    }
    target.still_works("HMAC with public keys");
}

/// CVE-2026-45363 (GHSA-c32j-vqhx-rx3x), CVE-2026-44351 (GHSA-gmvf-9v4p-v8jc), GHSA-869p-cjfg-cm3x:
/// HMAC under an empty secret, a short one, or one in the token itself.
#[test]
fn empty_or_chosen_hmac_key_is_rejected_cve_2026_45363_cve_2026_44351_ghsa_869p_cjfg_cm3x() {
    let secret = key(Algorithm::HS256);
    let with = |jwk: Value| {
        Provider::new()
            .issuer(ISSUER)
            .audience(AUDIENCE)
            .algorithms([Algorithm::HS256, Algorithm::ES256])
            .keys(json!({"keys": [jwk, es256().public_jwk()]}))
    };
    let policy = |jwk| policy::builder().provider("p", with(jwk)).build().unwrap();
    let target = Target::behind(policy(secret.public_jwk()));
    let guesses: Vec<Vec<u8>> = vec![
        vec![],
        vec![0],
        vec![0; 32],
        b"secret".to_vec(),
        b"null".to_vec(),
        b"undefined".to_vec(),
        b"HS256".to_vec(),
        b"canary-secret-of-attacker-01234567".to_vec(),
    ];
    for guess in &guesses {
        for header in [
            json!({"alg": "HS256"}),
            json!({"alg": "HS256", "kid": secret.kid()}),
            json!({"alg": "HS256", "kid": ""}),
            json!({"alg": "HS256", "kid": "canary-kid", "k": b64(guess)}),
            json!({"alg": "HS256", "kid": secret.kid(), "jwk": {"kty": "oct", "k": b64(guess)}}),
        ] {
            let token =
                forge(header.to_string(), payload(), |message| hmac("HS256", guess, message));
            target.rejects("a guessed secret", &token, Rejection::Signature);
        }
    }
    // A secret is only used where HMAC is listed.
    let unnamed = json!({"keys": [secret.public_jwk(), es256().public_jwk()]});
    let unnamed = Provider::new().issuer(ISSUER).audience(AUDIENCE).keys(unnamed);
    let unnamed = policy::builder().provider("unnamed", unnamed).build().unwrap();
    let target = Target::behind(unnamed);
    for kid in [json!(secret.kid()), Value::Null] {
        target.rejects(
            "HMAC that is not listed",
            &good().header("kid", kid).sign(secret),
            Rejection::Signature,
        );
    }
    // An empty or short secret of the provider is unusable, and its tokens are rejected.
    for short in [&[] as &[u8], &[0], &[7; 31]] {
        let jwk = json!({"kty": "oct", "k": b64(short), "kid": "short", "alg": "HS256"});
        let target = Target::behind(policy(jwk.clone()));
        for kid in [json!("short"), json!("")] {
            let header = json!({"alg": "HS256", "kid": kid}).to_string();
            let token = forge(header, payload(), |message| hmac("HS256", short, message));
            target.rejects("a short secret", &token, Rejection::Signature);
        }
        let alone =
            Provider::new().issuer(ISSUER).audience(AUDIENCE).algorithms([Algorithm::HS256]);
        let built = policy::builder().provider("p", alone.keys(jwk)).build();
        assert!(built.is_err(), "a policy of {} bytes", short.len());
    }
}
