//! The time of a new token, against the check of its signature alone: by AWS-LC, with a parsed key and a
//! decoded signature.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ML_DSA_44, ML_DSA_65, ML_DSA_87, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use oauth2_actix::{Algorithm, CryptoBackend, TokenCacheConfig, testing::SigningKey};

use crate::{
    policies::{builder, distinct_of, policy, verify},
    report::Report,
    turns::{Arm, medians, micros},
};

pub(crate) fn run(report: &mut Report, _: &[String]) {
    for (algorithm, length) in [
        (Algorithm::RS256, LENGTH),
        (Algorithm::ES256, LENGTH),
        (Algorithm::EdDSA, LENGTH),
        // AWS-LC alone has ML-DSA.
        (Algorithm::MlDsa44, 4_000),
        (Algorithm::MlDsa65, 5_200),
        (Algorithm::MlDsa87, 7_000),
    ] {
        report.heading(format_args!("{algorithm}, tokens of {length} bytes with 12 claims"));
        let key = SigningKey::generate(algorithm, "key-1");
        let tokens = distinct_of(&key, TOKENS, length);
        let parsed = parsed(&key);
        let signed: Vec<(&str, Vec<u8>)> = tokens.iter().map(|token| split(token)).collect();
        let caches = [
            TokenCacheConfig::disabled(),
            TokenCacheConfig::new(),
            TokenCacheConfig::new().max_entries(TOKENS / 8),
        ];
        let policies = caches.map(|cache| policy(&key, cache));
        let openssl = (length == LENGTH).then(|| {
            let builder = builder(&key).crypto_backend(CryptoBackend::OpenSsl);
            builder.token_cache(TokenCacheConfig::disabled()).build().unwrap()
        });
        let mut arms: Vec<Arm<'_>> = vec![Box::new(|index| {
            let (message, signature) = &signed[index];
            parsed.verify_sig(message.as_bytes(), signature).unwrap();
        })];
        for policy in policies.iter().chain(&openssl) {
            arms.push(Box::new(|index| drop(verify(policy, &tokens[index]).unwrap())));
        }
        let times = medians(TOKENS, &mut arms);
        report.figure("the signature", format_args!("{:.2} us", micros(times[0])));
        let kinds = ["without a cache", "with a cache that has room", "with a full cache"];
        for (what, time) in kinds.iter().zip(&times[1..]) {
            let ratio = time.div_duration_f64(times[0]);
            let value = format!("{:.2} us, ratio {ratio:.3}", micros(*time));
            // The text of a long signature is decoded too, which the first arm does not.
            match length {
                LENGTH => report.bound(what, value, "at most 1.2", ratio <= 1.2),
                _ => report.bound(what, value, "at most 1.4", ratio <= 1.4),
            }
        }
        if let Some(time) = times.get(4) {
            report.figure("by OpenSSL, without a cache", format_args!("{:.2} us", micros(*time)));
        }
    }
}

fn parsed(key: &SigningKey) -> ParsedPublicKey {
    let jwk = key.bare_jwk();
    let bytes = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
    match key.algorithm() {
        Algorithm::RS256 => RsaPublicKeyComponents { n: bytes("n"), e: bytes("e") }
            .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256),
        Algorithm::ES256 => {
            let point = [vec![4], bytes("x"), bytes("y")].concat();
            ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
        }
        Algorithm::MlDsa44 => ParsedPublicKey::new(&ML_DSA_44, bytes("pub")),
        Algorithm::MlDsa65 => ParsedPublicKey::new(&ML_DSA_65, bytes("pub")),
        Algorithm::MlDsa87 => ParsedPublicKey::new(&ML_DSA_87, bytes("pub")),
        _ => ParsedPublicKey::new(&ED25519, bytes("x")),
    }
    .unwrap()
}

/// Returns the signed part of a token, and the signature.
fn split(token: &str) -> (&str, Vec<u8>) {
    let (message, signature) = token.rsplit_once('.').unwrap();
    (message, URL_SAFE_NO_PAD.decode(signature).unwrap())
}

/// The bytes of a token with a short signature.
const LENGTH: usize = 800;

/// The number of tokens. Each policy verifies each token once, as a new one.
const TOKENS: usize = 3000;
