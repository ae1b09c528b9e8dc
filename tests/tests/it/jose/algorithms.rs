//! Every algorithm: a key verifies with its own, and with no other.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use oauth2_actix::{
    Algorithm, ErrorKind, OAuth2, Provider,
    testing::{SigningKey, Token},
};
use oauth2_actix_tests::{
    keys::{EVERY, key},
    policy,
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
