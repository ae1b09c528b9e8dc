//! Random messages, edited signatures, and RSA blocks that are edited before they are signed.

use std::cell::Cell;

use oauth2_actix::{Algorithm, ErrorKind, testing::SigningKey};
use oauth2_actix_tests::{forge::b64, keys::EVERY};
use proptest::{
    prelude::*,
    sample::Index,
    test_runner::{Config, TestRunner},
};
use serde_json::json;

use super::{
    Both, ISSUER, is_key,
    rsa::{Hash, Key, Pss, SHA256, SHA384, SHA512, pkcs1},
};

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() })
}

#[derive(Clone, Debug)]
enum Edit {
    Flip(Index, u8),
    Set(Index, u8),
    Fill(Index, Index, u8),
    Swap(Index, Index),
    Copy(Index, Index),
    Insert(Index, u8),
    Remove(Index),
    Cut(Index),
    Extend(Vec<u8>),
    Rotate(Index),
}

impl Edit {
    /// Edits that keep the length.
    fn of_equal_length() -> impl Strategy<Value = Self> {
        let index = any::<Index>;
        let byte = || prop_oneof![any::<u8>(), Just(0), Just(1), Just(0xff), Just(0x80)];
        prop_oneof![
            (index(), 0..8_u8).prop_map(|(at, bit)| Self::Flip(at, bit)),
            (index(), byte()).prop_map(|(at, byte)| Self::Set(at, byte)),
            (index(), index(), byte()).prop_map(|(from, to, byte)| Self::Fill(from, to, byte)),
            (index(), index()).prop_map(|(a, b)| Self::Swap(a, b)),
            (index(), index()).prop_map(|(from, to)| Self::Copy(from, to)),
            index().prop_map(Self::Rotate),
        ]
    }

    fn any() -> impl Strategy<Value = Self> {
        let index = any::<Index>;
        prop_oneof![
            2 => Self::of_equal_length(),
            1 => (index(), any::<u8>()).prop_map(|(at, byte)| Self::Insert(at, byte)),
            1 => index().prop_map(Self::Remove),
            1 => index().prop_map(Self::Cut),
            1 => prop::collection::vec(any::<u8>(), 1..80).prop_map(Self::Extend),
        ]
    }

    fn apply(&self, bytes: &mut Vec<u8>) {
        let length = bytes.len();
        if length == 0 {
            return;
        }
        match self {
            Self::Flip(at, bit) => bytes[at.index(length)] ^= 1 << bit,
            Self::Set(at, byte) => bytes[at.index(length)] = *byte,
            Self::Fill(from, to, byte) => {
                let (from, to) = (from.index(length), to.index(length));
                bytes[from.min(to)..=from.max(to)].fill(*byte);
            }
            Self::Swap(a, b) => bytes.swap(a.index(length), b.index(length)),
            Self::Copy(from, to) => bytes[to.index(length)] = bytes[from.index(length)],
            Self::Insert(at, byte) => bytes.insert(at.index(length + 1), *byte),
            Self::Remove(at) => drop(bytes.remove(at.index(length))),
            Self::Cut(at) => bytes.truncate(at.index(length)),
            Self::Extend(more) => bytes.extend(more),
            Self::Rotate(by) => bytes.rotate_left(by.index(length)),
        }
    }
}

/// The first two parts of a token with a claim of this text.
fn message(algorithm: Algorithm, text: &str) -> String {
    let header = json!({"alg": algorithm.name(), "kid": "1"});
    let claims = json!({"iss": ISSUER, "aud": "api", "exp": 7_000_000_000_u64, "text": text});
    format!("{}.{}", b64(header.to_string()), b64(claims.to_string()))
}

#[test]
fn randomly_edited_signature_is_rejected() {
    let input = (".{0,200}", prop::collection::vec(Edit::any(), 1..4));
    for key in &*EVERY {
        let both = Both::new(&key.bare_jwk(), key.algorithm());
        runner(96)
            .run(&input, |(text, edits)| {
                check(key, &both, &text, &edits);
                Ok(())
            })
            .unwrap();
    }
}

fn check(key: &SigningKey, both: &Both, text: &str, edits: &[Edit]) {
    let message = message(key.algorithm(), text);
    let genuine = key.sign(message.as_bytes());
    let error_of = |signature: &[u8]| {
        both.error_of_token(key.algorithm().name(), &format!("{message}.{}", b64(signature)))
    };
    assert_eq!(error_of(&genuine), None);
    let mut edited = genuine.clone();
    edits.iter().for_each(|edit| edit.apply(&mut edited));
    let error = error_of(&edited);
    assert_eq!(error.is_none(), edited == genuine, "{edits:?}: {error:?}");
}

#[test]
fn randomly_edited_rsa_block_is_rejected() {
    let key = Key::generate(2048, 65537);
    let input = (any::<[u8; 64]>(), prop::collection::vec(Edit::of_equal_length(), 0..3));
    for (algorithm, hash) in [
        (Algorithm::RS256, SHA256),
        (Algorithm::RS384, SHA384),
        (Algorithm::RS512, SHA512),
        (Algorithm::PS256, SHA256),
        (Algorithm::PS384, SHA384),
        (Algorithm::PS512, SHA512),
    ] {
        let both = Both::new(&key.jwk(), algorithm);
        let is_pss = matches!(algorithm, Algorithm::PS256 | Algorithm::PS384 | Algorithm::PS512);
        runner(256)
            .run(&input, |(salt, edits)| {
                let genuine = block(&both, hash, is_pss, &salt);
                let mut edited = genuine.clone();
                edits.iter().for_each(|edit| edit.apply(&mut edited));
                if let Some(signature) = key.raw(&edited) {
                    let error = both.error_of(algorithm.name(), &signature);
                    let rejected = Some(ErrorKind::SignatureInvalid);
                    let expected = if edited == genuine { None } else { rejected };
                    assert_eq!(error, expected, "{edits:?}");
                }
                Ok(())
            })
            .unwrap();
    }
}

fn block(both: &Both, hash: Hash, is_pss: bool, salt: &[u8]) -> Vec<u8> {
    let message = both.message.as_bytes();
    if is_pss {
        Pss::new(hash, &salt[..hash.size()]).block(message, 2048).unwrap()
    } else {
        pkcs1(&hash.info(message), 256)
    }
}

/// Random numbers as keys: both libraries accept or reject the same ones.
#[test]
fn random_key_is_accepted_or_rejected_by_both_libraries() {
    let bits = prop_oneof![2040..2060_usize, 8185..8200_usize, 2048..8193_usize];
    let input = (bits, prop::collection::vec(any::<u8>(), 1030), any::<u64>(), 0..40_u32);
    let (taken, rejected) = (Cell::new(0), Cell::new(0));
    let count = |is_key: bool| {
        let counter = if is_key { &taken } else { &rejected };
        counter.set(counter.get() + 1);
    };
    runner(192)
        .run(&input, |(bits, bytes, e, e_bits)| {
            let mut n = bytes[..bits.div_ceil(8)].to_vec();
            let top = (bits - 1) % 8;
            n[0] = n[0] & ((1 << top) - 1) | 1 << top;
            *n.last_mut().unwrap() |= 1;
            let e = (e >> (63 - e_bits) | 1 << e_bits).to_be_bytes();
            let jwk = json!({"kty": "RSA", "n": b64(&n), "e": b64(e)});
            for algorithm in [Algorithm::RS256, Algorithm::PS512] {
                let is_key = is_key(&jwk, algorithm);
                count(is_key);
                if is_key {
                    let both = Both::new(&jwk, algorithm);
                    both.reject("made up", &vec![0x5a; n.len()]);
                    both.reject("made up", &[vec![0; n.len() - 1], vec![1]].concat());
                }
            }
            let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": b64(&bytes[..32])});
            let is_key = is_key(&jwk, Algorithm::EdDSA);
            count(is_key);
            if is_key {
                let both = Both::new(&jwk, Algorithm::EdDSA);
                both.reject("made up", &bytes[32..96]);
                both.reject("made up", &[&bytes[..32], &[0; 32]].concat());
            }
            Ok(())
        })
        .unwrap();
    assert!(taken.get() > 100 && rejected.get() > 100, "{taken:?} and {rejected:?}");
}
