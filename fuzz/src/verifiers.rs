//! Signatures of any form, and valid ones with edits: AWS-LC and OpenSSL have the same result, and the
//! correct one.
//!
//! The low bits of the first byte select key and algorithm from the table below. If its top bit is clear,
//! these follow: two bytes with the length of a signature, the signature, and the message. If it is set, the
//! message is signed here and edited, and these follow: a byte with the length of the PSS salt, a byte with
//! the number of edits, three bytes for each (a position in two bytes, and the value that is XORed there),
//! and the message. For RSA the edits are in the padded block before it is signed, otherwise in the
//! signature.

use std::sync::LazyLock;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use oauth2_actix::{__fuzz::BothLibraries, Algorithm};
use openssl::{
    bn::{BigNum, BigNumContext},
    ec::{EcGroup, EcPoint},
    error::ErrorStack,
    hash::{MessageDigest, hash},
    nid::Nid,
    pkey::{Id, PKey, Private},
    rsa::{Padding, Rsa, RsaPrivateKeyBuilder},
    sign::Signer,
};
use serde_json::{Map, Value};

/// The message of the signatures in the seeds.
pub const MESSAGE: &[u8] = b"a message";

/// Names of keys in `verifier_keys.json`, each with an algorithm. Their private keys are published on
/// purpose. With a modulus of 2049 bits, the block of PSS is one byte shorter than the modulus.
const TABLE: [(&str, Algorithm); 17] = [
    ("rsa-2048", Algorithm::RS256),
    ("rsa-2048", Algorithm::RS384),
    ("rsa-2048", Algorithm::RS512),
    ("rsa-2048", Algorithm::PS256),
    ("rsa-2048", Algorithm::PS384),
    ("rsa-2048", Algorithm::PS512),
    ("rsa-2049", Algorithm::RS256),
    ("rsa-2049", Algorithm::RS384),
    ("rsa-2049", Algorithm::RS512),
    ("rsa-2049", Algorithm::PS256),
    ("rsa-2049", Algorithm::PS384),
    ("rsa-2049", Algorithm::PS512),
    ("p-256", Algorithm::ES256),
    ("p-384", Algorithm::ES384),
    ("p-521", Algorithm::ES512),
    ("ed25519", Algorithm::EdDSA),
    ("ed25519", Algorithm::Ed25519),
];

struct Case {
    both: BothLibraries,
    secret: Secret,
}

enum Secret {
    Rsa { key: Rsa<Private>, digest: MessageDigest, is_pss: bool },
    Ec { group: EcGroup, d: BigNum, digest: MessageDigest },
    Ed25519(PKey<Private>),
}

static CASES: LazyLock<Vec<Case>> = LazyLock::new(|| {
    let keys: Value = serde_json::from_str(include_str!("verifier_keys.json")).expect("JSON");
    let keys = keys["keys"].as_array().expect("keys");
    TABLE
        .iter()
        .map(|(kid, algorithm)| {
            let pair = keys.iter().find(|key| key["kid"] == *kid).expect("a key");
            let mut jwk = pair.as_object().expect("an object").clone();
            let secret = Secret::read(&jwk, *algorithm).expect("a private key");
            for private in ["d", "p", "q", "dp", "dq", "qi"] {
                jwk.remove(private);
            }
            Case { both: BothLibraries::new(&jwk, *algorithm).expect("a key"), secret }
        })
        .collect()
});

pub fn run(data: &[u8]) {
    is_accepted(data);
}

/// Returns whether both libraries accept. None: the input is too short, or no signature can be created.
pub fn is_accepted(data: &[u8]) -> Option<bool> {
    let (selector, rest) = data.split_first()?;
    let case = &CASES[usize::from(selector & 0x7f) % TABLE.len()];
    let (message, signature, expected) = if selector & 0x80 == 0 {
        let (length, rest) = rest.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (signature, message) = rest.split_at(length.min(rest.len()));
        (message, signature.to_vec(), None)
    } else {
        let (&[salt, edits], rest) = rest.split_first_chunk()?;
        let edits = usize::from(edits).min(rest.len() / 3);
        let (edits, message) = rest.split_at(3 * edits);
        let (signature, is_genuine) = case.secret.sign(message, usize::from(salt), edits)?;
        (message, signature, Some(is_genuine))
    };
    let (aws_lc, openssl) = case.both.results(message, &signature);
    assert_eq!(aws_lc, openssl, "AWS-LC and OpenSSL differ: {signature:x?} of {message:x?}");
    match expected {
        Some(expected) => assert_eq!(aws_lc, expected, "{signature:x?} of {message:x?}"),
        // The seeds have no signature of another message.
        None => assert!(!aws_lc || message == MESSAGE, "{signature:x?} of {message:x?}"),
    }
    Some(aws_lc)
}

impl Secret {
    fn read(jwk: &Map<String, Value>, algorithm: Algorithm) -> Result<Self, ErrorStack> {
        use Algorithm as A;
        let bytes = |name: &str| {
            URL_SAFE_NO_PAD.decode(jwk[name].as_str().expect("text")).expect("base64url")
        };
        let number = |name: &str| BigNum::from_slice(&bytes(name));
        let digest = match algorithm {
            A::RS256 | A::PS256 | A::ES256 => MessageDigest::sha256(),
            A::RS384 | A::PS384 | A::ES384 => MessageDigest::sha384(),
            _ => MessageDigest::sha512(),
        };
        let curve = match algorithm {
            A::ES256 => Nid::X9_62_PRIME256V1,
            A::ES384 => Nid::SECP384R1,
            A::ES512 => Nid::SECP521R1,
            A::EdDSA | A::Ed25519 => {
                let key = PKey::private_key_from_raw_bytes(&bytes("d"), Id::ED25519)?;
                return Ok(Self::Ed25519(key));
            }
            _ => {
                let key = RsaPrivateKeyBuilder::new(number("n")?, number("e")?, number("d")?)?
                    .set_factors(number("p")?, number("q")?)?
                    .set_crt_params(number("dp")?, number("dq")?, number("qi")?)?
                    .build();
                let is_pss = matches!(algorithm, A::PS256 | A::PS384 | A::PS512);
                return Ok(Self::Rsa { key, digest, is_pss });
            }
        };
        Ok(Self::Ec { group: EcGroup::from_curve_name(curve)?, d: number("d")?, digest })
    }

    /// Returns a signature of the message with these edits, and whether it is valid. Deterministic.
    fn sign(&self, message: &[u8], salt: usize, edits: &[u8]) -> Option<(Vec<u8>, bool)> {
        let genuine = match self {
            Self::Rsa { key, digest, is_pss: true } => {
                pss(*digest, message, &vec![0x5a; salt], bits(key))?
            }
            Self::Rsa { key, digest, is_pss: false } => pkcs1(*digest, message, bits(key)),
            Self::Ec { group, d, digest } => {
                ecdsa(group, d, *digest, message).expect("a signature")
            }
            Self::Ed25519(key) => {
                let signer = Signer::new_without_digest(key);
                let signature = signer.and_then(|mut signer| signer.sign_oneshot_to_vec(message));
                signature.expect("a signature")
            }
        };
        let mut edited = genuine.clone();
        for edit in edits.chunks_exact(3) {
            let position = usize::from(u16::from_be_bytes([edit[0], edit[1]])) % edited.len();
            edited[position] ^= edit[2];
        }
        let mut is_genuine = edited == genuine;
        if let Self::Rsa { key, digest, is_pss } = self {
            is_genuine &= !is_pss || salt == digest.size();
            let mut signature = vec![0; edited.len()];
            // Fails if the number is not less than the modulus.
            key.private_encrypt(&edited, &mut signature, Padding::NONE).ok()?;
            edited = signature;
        }
        Some((edited, is_genuine))
    }
}

fn bits(key: &Rsa<Private>) -> usize {
    usize::try_from(key.n().num_bits()).expect("a size")
}

fn sum(digest: MessageDigest, bytes: &[u8]) -> Vec<u8> {
    hash(digest, bytes).expect("a hash").to_vec()
}

/// Encodes a message by RFC 8017 §9.2.
fn pkcs1(digest: MessageDigest, message: &[u8], bits: usize) -> Vec<u8> {
    let size = u8::try_from(digest.size()).expect("short");
    let function = match size {
        32 => 1,
        48 => 2,
        _ => 3,
    };
    let oid = [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, function];
    let mut info = vec![0x30, size + 17, 0x30, 13, 6, 9];
    info.extend(oid);
    info.extend([5, 0, 4, size]);
    info.extend(sum(digest, message));
    let mut block = vec![0, 1];
    block.resize(bits.div_ceil(8) - info.len() - 1, 0xff);
    block.push(0);
    block.extend(info);
    block
}

/// Encodes a message by RFC 8017 §9.1.1, with the length of the modulus. None: the salt is too long.
fn pss(digest: MessageDigest, message: &[u8], salt: &[u8], bits: usize) -> Option<Vec<u8>> {
    let size = (bits - 1).div_ceil(8);
    let hash = sum(digest, &[&[0; 8], sum(digest, message).as_slice(), salt].concat());
    let padding = size.checked_sub(hash.len() + salt.len() + 2)?;
    let mut block = vec![0; padding];
    block.push(1);
    block.extend(salt);
    let mask = (0_u32..)
        .flat_map(|counter| sum(digest, &[hash.as_slice(), &counter.to_be_bytes()].concat()));
    block.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
    block[0] &= 0xff >> (8 * size - (bits - 1));
    block.extend(hash);
    block.push(0xbc);
    let mut padded = vec![0; bits.div_ceil(8) - size];
    padded.extend(block);
    Some(padded)
}

/// Signs by FIPS 186-5 §6.4.1, with a hash of the message as the nonce.
fn ecdsa(
    group: &EcGroup,
    d: &BigNum,
    digest: MessageDigest,
    message: &[u8],
) -> Result<Vec<u8>, ErrorStack> {
    let mut context = BigNumContext::new()?;
    let mut order = BigNum::new()?;
    group.order(&mut order, &mut context)?;
    let secret = [&d.to_vec(), message].concat();
    let nonce = BigNum::from_slice(&sum(MessageDigest::sha512(), &secret))?;
    let mut point = EcPoint::new(group)?;
    point.mul_generator2(group, &nonce, &mut context)?;
    let (mut x, mut y) = (BigNum::new()?, BigNum::new()?);
    point.affine_coordinates(group, &mut x, &mut y, &mut context)?;
    let mut r = BigNum::new()?;
    r.nnmod(&x, &order, &mut context)?;
    let mut product = BigNum::new()?;
    product.mod_mul(&r, d, &order, &mut context)?;
    let mut dividend = BigNum::new()?;
    let hash = BigNum::from_slice(&sum(digest, message))?;
    dividend.mod_add(&product, &hash, &order, &mut context)?;
    let mut inverse = BigNum::new()?;
    inverse.mod_inverse(&nonce, &order, &mut context)?;
    let mut s = BigNum::new()?;
    s.mod_mul(&dividend, &inverse, &order, &mut context)?;
    let size = order.num_bytes();
    Ok([r.to_vec_padded(size)?, s.to_vec_padded(size)?].concat())
}
