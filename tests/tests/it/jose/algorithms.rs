//! Every algorithm: a key verifies with its own, and with no other.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use oauth2_actix::{
    Algorithm, ErrorKind, OAuth2, Provider,
    testing::{SigningKey, Token},
};
use oauth2_actix_tests::{
    key_server::{Answer, KeyServer},
    keys::{EVERY, key},
    log, policy,
};
use openssl::{
    hash::MessageDigest,
    pkey::PKey,
    rsa::Padding,
    sign::{RsaPssSaltlen, Signer},
};
use serde_json::{Value, json};

const ISSUER: &str = "https://idp.test";

fn policy(keys: Value, algorithms: Option<Vec<Algorithm>>) -> OAuth2 {
    let mut provider = Provider::new().issuer(ISSUER).audience("api").keys(keys);
    if let Some(algorithms) = algorithms {
        provider = provider.algorithms(algorithms);
    }
    policy::builder().provider("test", provider).build().unwrap()
}

fn algorithms_for(key: &SigningKey) -> Option<Vec<Algorithm>> {
    key.algorithm().is_symmetric().then(|| vec![key.algorithm()])
}

async fn kind(oauth2: &OAuth2, token: &str) -> ErrorKind {
    oauth2.verify(token).await.expect_err("rejected").kind().clone()
}

#[tokio::test]
async fn key_verifies_with_and_without_alg_and_kid() {
    for key in &*EVERY {
        for jwk in [key.public_jwk(), key.bare_jwk()] {
            let oauth2 = policy(jwk, algorithms_for(key));
            let token = Token::new(ISSUER, "api");
            for token in [token.clone(), token.header("kid", Value::Null)] {
                let claims = oauth2.verify(&token.sign(key)).await;
                assert!(claims.is_ok(), "{} {claims:?}", key.algorithm());
            }
        }
    }
}

#[tokio::test]
async fn changed_message_or_signature_is_rejected() {
    for key in &*EVERY {
        let oauth2 = policy(key.public_jwk(), algorithms_for(key));
        let token = Token::new(ISSUER, "api").sign(key);
        let other = Token::new(ISSUER, "api").claim("sub", "other").sign(key);
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let (_, other_signature) = other.rsplit_once('.').unwrap();
        let good = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let flipped = |index: usize| {
            let mut bytes = good.clone();
            bytes[index] ^= 1;
            bytes
        };
        for bad in [
            URL_SAFE_NO_PAD.decode(other_signature).unwrap(),
            flipped(0),
            flipped(good.len() / 2),
            flipped(good.len() - 1),
            good[..good.len() - 1].to_vec(),
            [good.as_slice(), &[0]].concat(),
            vec![0; good.len()],
            vec![0],
        ] {
            assert_eq!(
                kind(&oauth2, &format!("{signed}.{}", URL_SAFE_NO_PAD.encode(bad))).await,
                ErrorKind::SignatureInvalid,
                "{}",
                key.algorithm()
            );
        }
    }
}

#[tokio::test]
async fn key_with_another_algorithm_is_rejected() {
    for key in &*EVERY {
        for other in &*EVERY {
            if other.algorithm() == key.algorithm() {
                continue;
            }
            // A genuine signature of another algorithm with the kid of this key, with HMAC allowed.
            let all = EVERY.iter().map(SigningKey::algorithm).collect();
            let oauth2 = policy(json!({"keys": [key.public_jwk()]}), Some(all));
            let token = Token::new(ISSUER, "api").header("kid", key.kid()).sign(other);
            assert_eq!(
                kind(&oauth2, &token).await,
                ErrorKind::AlgorithmNotAllowed,
                "{} under {}",
                other.algorithm(),
                key.algorithm()
            );
        }
    }
}

/// Signs a token of this RSA key by PS256.
fn pss_token(key: &SigningKey, kid: Option<&str>) -> String {
    let private = PKey::private_key_from_pem(key.private_pem().as_bytes()).unwrap();
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let token = Token::new(ISSUER, "api").sign(key);
    let payload = token.split('.').nth(1).unwrap();
    let signed = format!("{}.{payload}", part(json!({"alg": "PS256", "kid": kid})));
    let mut signer = Signer::new(MessageDigest::sha256(), &private).unwrap();
    signer.set_rsa_padding(Padding::PKCS1_PSS).unwrap();
    signer.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH).unwrap();
    let signature = signer.sign_oneshot_to_vec(signed.as_bytes()).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn without_alg(key: &SigningKey) -> Value {
    let mut jwk = key.public_jwk();
    jwk.as_object_mut().unwrap().remove("alg");
    jwk
}

/// Returns a token with another signature.
fn with_wrong_signature(token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let mut signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    signature[20] ^= 1;
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[tokio::test]
async fn key_without_alg_is_used_with_the_algorithm_of_its_first_token_only() {
    let rsa = key(Algorithm::RS256);
    let by_rs256 = Token::new(ISSUER, "api").sign(rsa);
    let by_ps256 = pss_token(rsa, Some(rsa.kid()));
    for keys in [without_alg(rsa), rsa.bare_jwk(), json!(rsa.public_pem())] {
        for (first, used, other) in
            [(&by_rs256, "RS256", &by_ps256), (&by_ps256, "PS256", &by_rs256)]
        {
            let oauth2 = policy(keys.clone(), None);
            // A signature that is wrong binds nothing.
            let wrong = with_wrong_signature(other);
            assert_eq!(kind(&oauth2, &wrong).await, ErrorKind::SignatureInvalid);
            oauth2.verify(first).await.unwrap();
            let error = oauth2.verify(other).await.unwrap_err();
            assert_eq!(error.kind(), &ErrorKind::AlgorithmNotAllowed);
            assert_eq!(error.expected(), Some(used));
            assert!(error.hint().unwrap().contains("`algorithms` of the provider"));
            oauth2.verify(first).await.unwrap();
            assert_eq!(kind(&oauth2, &wrong).await, ErrorKind::SignatureInvalid);
        }
    }
}

#[tokio::test]
async fn token_that_is_rejected_before_its_signature_binds_no_key() {
    let rsa = key(Algorithm::RS256);
    let oauth2 = policy(without_alg(rsa), None);
    let for_another_api = Token::new(ISSUER, "other").sign(rsa);
    assert!(oauth2.verify(&for_another_api).await.is_err());
    oauth2.verify(&pss_token(rsa, Some(rsa.kid()))).await.unwrap();
}

#[tokio::test]
async fn one_key_with_two_ids_is_used_with_one_algorithm() {
    let rsa = key(Algorithm::RS256);
    let mut other = without_alg(rsa);
    other["kid"] = json!("other");
    let oauth2 = policy(json!({"keys": [without_alg(rsa), other]}), None);
    oauth2.verify(&Token::new(ISSUER, "api").sign(rsa)).await.unwrap();
    let by_ps256 = pss_token(rsa, Some("other"));
    assert_eq!(kind(&oauth2, &by_ps256).await, ErrorKind::AlgorithmNotAllowed);
}

#[tokio::test]
async fn key_without_alg_is_used_with_every_algorithm_that_is_named() {
    let rsa = key(Algorithm::RS256);
    let by_rs256 = Token::new(ISSUER, "api").sign(rsa);
    let by_ps256 = pss_token(rsa, Some(rsa.kid()));
    let named = policy(without_alg(rsa), Some(vec![Algorithm::RS256, Algorithm::PS256]));
    for token in [&by_rs256, &by_ps256, &by_rs256] {
        named.verify(token).await.unwrap();
    }
    let one = policy(without_alg(rsa), Some(vec![Algorithm::RS256, Algorithm::ES256]));
    assert_eq!(kind(&one, &by_ps256).await, ErrorKind::AlgorithmNotAllowed);
    one.verify(&by_rs256).await.unwrap();
}

#[tokio::test]
async fn names_of_one_edwards_algorithm_are_accepted_for_a_key_without_alg() {
    for key in [key(Algorithm::Ed25519), key(Algorithm::EdDSA), key(Algorithm::Ed448)] {
        let oauth2 = policy(key.bare_jwk(), None);
        for name in [key.algorithm().name(), "EdDSA", key.algorithm().name()] {
            let token = Token::new(ISSUER, "api").header("alg", name).sign(key);
            assert!(oauth2.verify(&token).await.is_ok(), "{name}");
        }
    }
}

#[tokio::test]
async fn key_that_is_fetched_again_keeps_its_algorithm_and_one_warning_is_logged() {
    log::keep();
    let (rsa, added) = (key(Algorithm::RS256), key(Algorithm::ES256));
    let server = KeyServer::start(Answer::json(&json!({"keys": [without_alg(rsa)]}))).unwrap();
    let provider = Provider::new().issuer(ISSUER).audience("api").keys(server.url());
    let builder = policy::builder().provider("two-algorithms", provider);
    let oauth2 = builder.key_refresh_minutes(60).build().unwrap();
    oauth2.verify(&Token::new(ISSUER, "api").sign(rsa)).await.unwrap();
    let by_ps256 = pss_token(rsa, Some(rsa.kid()));
    for answer in [
        // Unchanged, with another key, and with its own key at another position.
        json!({"keys": [without_alg(rsa)]}),
        json!({"keys": [added.public_jwk(), without_alg(rsa)]}),
        json!({"keys": [without_alg(rsa)]}),
    ] {
        server.answer(Answer::json(&answer));
        oauth2.refresh_keys().await.unwrap();
        assert_eq!(kind(&oauth2, &by_ps256).await, ErrorKind::AlgorithmNotAllowed);
        oauth2.verify(&Token::new(ISSUER, "api").sign(rsa)).await.unwrap();
    }
    let words = ["WARN", "is used with two algorithms", "two-algorithms", "used=RS256"];
    let warnings = log::lines_with(&words);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("algorithm=PS256"), "{warnings:?}");
    // With an `alg`, the published one decides.
    let mut published = without_alg(rsa);
    published["alg"] = json!("PS256");
    server.answer(Answer::json(&json!({"keys": [published]})));
    oauth2.refresh_keys().await.unwrap();
    oauth2.verify(&by_ps256).await.unwrap();
}

#[tokio::test]
async fn public_key_as_hmac_secret_is_rejected() {
    let rsa = key(Algorithm::RS256);
    let all: Vec<_> = EVERY.iter().map(SigningKey::algorithm).collect();
    let secrets = [
        rsa.public_pem().into_bytes(),
        rsa.public_pem().trim().as_bytes().to_vec(),
        rsa.bare_jwk()["n"].as_str().unwrap().as_bytes().to_vec(),
    ];
    for keys in [json!(rsa.public_pem()), rsa.bare_jwk(), rsa.jwk_set()] {
        for algorithms in [None, Some(all.clone())] {
            let oauth2 = policy(keys.clone(), algorithms);
            for secret in &secrets {
                for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
                    let forged = SigningKey::from_secret(algorithm, rsa.kid(), secret);
                    let token = Token::new(ISSUER, "api");
                    for token in [token.clone(), token.header("kid", Value::Null)] {
                        assert!(oauth2.verify(&token.sign(&forged)).await.is_err());
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn algorithm_that_is_not_listed_is_rejected() {
    let key = key(Algorithm::RS256);
    let oauth2 = policy(key.bare_jwk(), Some(vec![Algorithm::RS512, Algorithm::RS256]));
    assert!(oauth2.verify(&Token::new(ISSUER, "api").sign(key)).await.is_ok());
    let oauth2 = policy(key.bare_jwk(), Some(vec![Algorithm::RS512, Algorithm::PS256]));
    assert_eq!(
        kind(&oauth2, &Token::new(ISSUER, "api").sign(key)).await,
        ErrorKind::AlgorithmNotAllowed
    );
}

#[tokio::test]
async fn keys_beyond_16_are_not_tried() {
    let keys: Vec<SigningKey> =
        (0..18).map(|_| SigningKey::generate(Algorithm::ES256, "same")).collect();
    for jwks in [
        keys.iter().map(SigningKey::public_jwk).collect::<Vec<_>>(),
        keys.iter().map(SigningKey::bare_jwk).collect::<Vec<_>>(),
    ] {
        let oauth2 = policy(json!({"keys": jwks}), None);
        for (index, key) in keys.iter().enumerate() {
            let accepted = oauth2.verify(&Token::new(ISSUER, "api").sign(key)).await.is_ok();
            assert_eq!(accepted, index < 16, "key {index}");
        }
    }
}
