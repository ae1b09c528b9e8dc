//! ML-DSA (RFC 9964) beside other algorithms: confusion of types, cut and extended signatures.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use oauth2_actix::{Algorithm, CryptoBackend, testing::SigningKey};
use oauth2_actix_tests::{
    forge::b64,
    keys::{EVERY, ML_DSA, key},
    policy,
};
use serde_json::{Value, json};

use crate::target::{AUDIENCE, ISSUER, Rejection, Target, es256, good};

/// All keys, of which `alg` and `kid` say which one a token is for.
fn target() -> Target {
    let signers =
        || EVERY.iter().filter(|key| !key.algorithm().is_symmetric()).chain(ML_DSA.iter());
    let provider = oauth2_actix::Provider::new()
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .keys(json!({"keys": signers().map(SigningKey::public_jwk).collect::<Vec<_>>()}))
        .algorithms(signers().map(SigningKey::algorithm));
    let builder = policy::builder().crypto_backend(CryptoBackend::AwsLc);
    Target::behind(builder.provider("test", provider).build().unwrap())
}

#[test]
fn ml_dsa_key_with_the_alg_of_another_type_is_rejected() {
    let target = target();
    for signer in ML_DSA.iter() {
        target.accepts(signer.kid(), &good().sign(signer));
        for other in EVERY.iter().chain(ML_DSA.iter()) {
            if other.algorithm() == signer.algorithm() {
                continue;
            }
            let (own, named) = (signer.algorithm().name(), other.algorithm().name());
            for (alg, kid) in [(named, own), (own, named), (named, named)] {
                // Signed by the key of ML-DSA.
                let token = good().header("alg", alg).header("kid", kid).sign(signer);
                target.rejects(&format!("{own} as {alg} of {kid}"), &token, Rejection::Signature);
            }
            for (alg, kid) in [(own, own), (own, named), (named, own)] {
                // Signed by the key of another type.
                let token = good().header("alg", alg).header("kid", kid).sign(other);
                target.rejects(&format!("{named} as {alg} of {kid}"), &token, Rejection::Signature);
            }
        }
    }
}

/// The public key as the secret of HMAC, and as the signature.
#[test]
fn ml_dsa_public_key_as_secret_or_signature_is_rejected() {
    let target = target();
    for signer in ML_DSA.iter() {
        let public = signer.public_jwk()["pub"].as_str().unwrap().to_owned();
        let bytes = URL_SAFE_NO_PAD.decode(&public).unwrap();
        for secret in [public.as_bytes(), &bytes] {
            let hmac = SigningKey::from_secret(Algorithm::HS256, signer.kid(), secret);
            target.rejects("the public key as a secret", &good().sign(&hmac), Rejection::Signature);
        }
        let token = good().sign(signer);
        let (signed, _) = token.rsplit_once('.').unwrap();
        target.rejects(
            "the public key as a signature",
            &format!("{signed}.{public}"),
            Rejection::Signature,
        );
        // The key is in the token, as `jwk`.
        let other = SigningKey::generate(signer.algorithm(), signer.kid());
        let token = good().header("jwk", other.public_jwk()).sign(&other);
        target.rejects("a key in the token", &token, Rejection::Signature);
    }
}

#[test]
fn ml_dsa_signature_that_is_cut_extended_or_of_another_token_is_rejected() {
    let target = target();
    for signer in ML_DSA.iter() {
        let token = good().sign(signer);
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let other = good().claim("sub", "canary-other").sign(signer);
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let length = signature.len();
        let es256 = es256().sign(signed.as_bytes());
        for (attack, bytes) in [
            ("cut at the end", signature[..length - 1].to_vec()),
            ("cut at the front", signature[1..].to_vec()),
            ("half", signature[..length / 2].to_vec()),
            ("one byte", signature[..1].to_vec()),
            ("extended", [&signature[..], &[0]].concat()),
            ("twice", signature.repeat(2)),
            ("zeros", vec![0; length]),
            ("ones", vec![0xff; length]),
            ("with one of ES256 behind it", [&signature[..], &es256].concat()),
            ("of ES256", es256.clone()),
        ] {
            let token = format!("{signed}.{}", b64(&bytes));
            target.rejects(&format!("{attack}, {}", signer.kid()), &token, Rejection::Signature);
        }
        let (_, of_another) = other.rsplit_once('.').unwrap();
        target.rejects("of another token", &format!("{signed}.{of_another}"), Rejection::Signature);
        // Bits that no byte has, at the end of the base64url text.
        target.rejects("padding", &format!("{token}="), Rejection::Malformed);
    }
}

/// A proof of DPoP is not signed by ML-DSA: see the unit test of the reader of its key.
#[test]
fn ml_dsa_key_without_a_name_in_the_settings_is_rejected() {
    let mut keys: Vec<Value> = ML_DSA.iter().map(SigningKey::public_jwk).collect();
    keys.push(key(Algorithm::ES256).public_jwk());
    let provider = crate::target::provider().keys(json!({ "keys": keys }));
    let target = Target::behind(policy::builder().provider("test", provider).build().unwrap());
    for signer in ML_DSA.iter() {
        target.rejects(signer.kid(), &good().sign(signer), Rejection::Signature);
    }
}
