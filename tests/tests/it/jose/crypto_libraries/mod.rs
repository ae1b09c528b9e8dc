//! AWS-LC and OpenSSL accept the same signatures: those of RFC 7518, RFC 8017, RFC 8032 and FIPS 186.
//!
//! - `ecdsa`, `eddsa`, `rsa`: edge cases of each family
//! - `int`: integers for signatures that no library makes
//! - `random`: random messages and edited signatures

mod ecdsa;
mod eddsa;
mod int;
mod random;
mod rsa;

use std::sync::LazyLock;

use oauth2_actix::{
    Algorithm, ConfigError, CryptoBackend, ErrorKind, OAuth2, Provider, TokenCacheConfig,
    testing::{ManualClock, SigningKey},
};
use oauth2_actix_tests::{
    forge::b64,
    keys::{EVERY, key},
    policy,
};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

const ISSUER: &str = "https://idp.test";

/// One key behind two policies, and a message to sign with it.
struct Both {
    aws_lc: OAuth2,
    openssl: OAuth2,
    message: String,
}

impl Both {
    fn new(jwk: &Value, algorithm: Algorithm) -> Self {
        let [aws_lc, openssl] = policies(jwk, algorithm);
        Self { aws_lc: aws_lc.unwrap(), openssl: openssl.unwrap(), message: message(algorithm) }
    }

    /// Returns the error of both libraries for a signature of the message, or `None` if they accept it.
    #[track_caller]
    fn error_of(&self, what: &str, signature: &[u8]) -> Option<ErrorKind> {
        self.error_of_token(what, &format!("{}.{}", self.message, b64(signature)))
    }

    #[track_caller]
    fn error_of_token(&self, what: &str, token: &str) -> Option<ErrorKind> {
        let [aws_lc, openssl] = [&self.aws_lc, &self.openssl].map(|policy| {
            RUNTIME.block_on(policy.verify(token)).err().map(|error| error.kind().clone())
        });
        assert_eq!(aws_lc, openssl, "AWS-LC and OpenSSL differ: {what}: {token}");
        aws_lc
    }

    #[track_caller]
    fn accept(&self, what: &str, signature: &[u8]) {
        assert_eq!(self.error_of(what, signature), None, "{what}: {}", b64(signature));
    }

    #[track_caller]
    fn reject(&self, what: &str, signature: &[u8]) {
        let kind = self
            .error_of(what, signature)
            .unwrap_or_else(|| panic!("accepted: {what}: {}", b64(signature)));
        // A token with an empty signature is malformed.
        let expected = match kind {
            ErrorKind::TokenMalformed { .. } => signature.is_empty(),
            kind => kind == ErrorKind::SignatureInvalid && !signature.is_empty(),
        };
        assert!(expected, "{what}: {}", b64(signature));
    }
}

/// Builds a policy for each library, without a cache so that each signature is verified, and with one clock.
fn policies(jwk: &Value, algorithm: Algorithm) -> [Result<OAuth2, ConfigError>; 2] {
    let mut jwk = jwk.clone();
    jwk["kid"] = json!("1");
    let clock = ManualClock::new();
    [CryptoBackend::AwsLc, CryptoBackend::OpenSsl].map(|library| {
        let provider = Provider::new()
            .issuer(ISSUER)
            .audience("api")
            .algorithms([algorithm])
            .keys(json!({"keys": [jwk]}));
        policy::builder()
            .provider("test", provider)
            .token_cache(TokenCacheConfig::disabled())
            .crypto_backend(library)
            .clock(clock.clone())
            .build()
    })
}

/// Asserts that both libraries reject the key, for the same reason.
#[track_caller]
fn reject_key(jwk: &Value, algorithm: Algorithm) {
    assert!(!is_key(jwk, algorithm), "{jwk}");
}

/// Returns whether both accept the key, after asserting that they agree.
#[track_caller]
fn is_key(jwk: &Value, algorithm: Algorithm) -> bool {
    let [aws_lc, openssl] =
        policies(jwk, algorithm).map(|policy| policy.err().map(|error| error.to_string()));
    assert_eq!(aws_lc, openssl, "AWS-LC and OpenSSL differ: {algorithm}: {jwk}");
    aws_lc.is_none()
}

/// Returns the first two parts of a token, the same in every run.
fn message(algorithm: Algorithm) -> String {
    let header = json!({"alg": algorithm.name(), "kid": "1", "typ": "at+jwt"});
    let claims = json!({"iss": ISSUER, "aud": "api", "exp": 7_000_000_000_u64, "sub": "user-1"});
    format!("{}.{}", b64(header.to_string()), b64(claims.to_string()))
}

/// Returns each algorithm with its key, those of OpenSSL alone included.
fn every() -> impl Iterator<Item = (String, &'static SigningKey, Both)> {
    let own = EVERY.iter().map(|key| (key, key.algorithm()));
    // EdDSA has two curves, of which AWS-LC has one.
    own.chain([(key(Algorithm::Ed448), Algorithm::EdDSA)]).map(|(key, algorithm)| {
        let name = format!("{algorithm} with a key for {}", key.algorithm());
        (name, key, Both::new(&key.bare_jwk(), algorithm))
    })
}

#[test]
fn signature_with_a_flipped_bit_is_rejected() {
    for (name, key, both) in every() {
        let genuine = key.sign(both.message.as_bytes());
        both.accept(&name, &genuine);
        for bit in 0..genuine.len() * 8 {
            let mut flipped = genuine.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            both.reject(&format!("{name}, bit {bit}"), &flipped);
        }
    }
}

#[test]
fn message_with_a_flipped_bit_is_rejected() {
    for (name, key, both) in every() {
        let is_rsa = key.bare_jwk()["kty"] == "RSA";
        let genuine = b64(key.sign(both.message.as_bytes()));
        for bit in 0..both.message.len() * 8 {
            let what = format!("{name}, bit {bit}");
            let mut flipped = both.message.clone().into_bytes();
            flipped[bit / 8] ^= 1 << (bit % 8);
            // Signing with RSA takes long: one bit of each byte.
            if !is_rsa || bit % 8 == bit / 8 % 8 {
                both.reject(&what, &key.sign(&flipped));
            }
            // Changed in the token itself, which may make it malformed.
            let text: String = flipped.into_iter().map(char::from).collect();
            assert!(both.error_of_token(&what, &format!("{text}.{genuine}")).is_some(), "{what}");
        }
        both.reject(&format!("{name}, no message"), &key.sign(b""));
        for cut in [1, 4, both.message.len() / 2] {
            let shorter = &both.message.as_bytes()[..both.message.len() - cut];
            both.reject(&format!("{name}, {cut} bytes fewer"), &key.sign(shorter));
        }
    }
}

#[test]
fn signature_of_another_length_is_rejected() {
    for (name, key, both) in every() {
        let genuine = key.sign(both.message.as_bytes());
        let length = genuine.len();
        let twice = [genuine.as_slice(), &genuine].concat();
        let zeros = vec![0; length];
        for other in (0..=2 * length).filter(|other| *other != length) {
            let what = format!("{name}, {other} bytes");
            both.reject(&what, &twice[..other]);
            both.reject(&what, &twice[2 * length - other..]);
            both.reject(&what, &[genuine.as_slice(), &zeros].concat()[..other]);
            both.reject(&what, &[zeros.as_slice(), &genuine].concat()[2 * length - other..]);
        }
        for fill in [0, 1, 0x7f, 0x80, 0xff] {
            for length in [1, length - 1, length, length + 1, 2 * length, 4096] {
                both.reject(&format!("{name}, {length} times {fill}"), &vec![fill; length]);
            }
        }
        let (first, second) = genuine.split_at(length / 2);
        both.reject(&format!("{name}, halves swapped"), &[second, first].concat());
        both.reject(&format!("{name}, first half twice"), &[first, first].concat());
        let backwards: Vec<u8> = genuine.iter().rev().copied().collect();
        both.reject(&format!("{name}, backwards"), &backwards);
        both.accept(&name, &genuine);
    }
}

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(1).build().unwrap());
