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
fn pss_token(key: &SigningKey) -> String {
    let private = PKey::private_key_from_pem(key.private_pem().as_bytes()).unwrap();
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let token = Token::new(ISSUER, "api").sign(key);
    let payload = token.split('.').nth(1).unwrap();
    let signed = format!("{}.{payload}", part(json!({"alg": "PS256", "kid": key.kid()})));
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

#[tokio::test]
async fn key_without_alg_is_used_with_the_algorithm_of_its_first_token_only() {
    let rsa = key(Algorithm::RS256);
    let (by_rs256, by_ps256) = (Token::new(ISSUER, "api").sign(rsa), pss_token(rsa));
    for (first, other) in [(&by_rs256, &by_ps256), (&by_ps256, &by_rs256)] {
        let oauth2 = policy(without_alg(rsa), None);
        // A signature that is wrong binds nothing.
        let wrong = format!("{}AAAA", &other[..other.len() - 4]);
        assert_eq!(kind(&oauth2, &wrong).await, ErrorKind::SignatureInvalid);
        oauth2.verify(first).await.unwrap();
        assert_eq!(kind(&oauth2, other).await, ErrorKind::AlgorithmNotAllowed);
        oauth2.verify(first).await.unwrap();
    }
    let secret = [7; 64];
    let (sha_256, sha_384) = (
        SigningKey::from_secret(Algorithm::HS256, "k", &secret),
        SigningKey::from_secret(Algorithm::HS384, "k", &secret),
    );
    let algorithms = Some(vec![Algorithm::HS256, Algorithm::HS384]);
    let oauth2 = policy(without_alg(&sha_256), algorithms);
    oauth2.verify(&Token::new(ISSUER, "api").sign(&sha_256)).await.unwrap();
    let other = Token::new(ISSUER, "api").sign(&sha_384);
    assert_eq!(kind(&oauth2, &other).await, ErrorKind::AlgorithmNotAllowed);
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
