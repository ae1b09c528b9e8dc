//! The key of a client, as the `jwk` of its proof has it (RFC 9449 §4.2, RFC 7517 §4, RFC 7638).
//!
//! - `cache.rs`: [`ClientKeys`], the keys of recent proofs

mod cache;

use std::{borrow::Cow, fmt};

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use super::members::{Member, read};
use crate::jose::{
    algorithm::{Algorithm, AlgorithmSet, KeyKind},
    key_policy::CryptoBackend,
    material::PublicValues,
    verifier::Verifier,
};

pub(crate) use self::cache::ClientKeys;

/// A public key with the form of a valid one. Whether its values are those of a key is checked by
/// [`ClientKey::verifier`], since the thumbprint of most wrong keys already differs from that in the token.
pub(crate) struct ClientKey<'a> {
    kind: KeyKind,
    values: Values<'a>,
}

/// The members that the thumbprint covers (RFC 7638 §3.2, RFC 8037 §2). Each value consists of characters of base64url.
enum Values<'a> {
    Rsa { n: Cow<'a, str>, e: Cow<'a, str> },
    Ec { crv: &'static str, x: Cow<'a, str>, y: Cow<'a, str> },
    Okp { crv: &'static str, x: Cow<'a, str> },
}

impl<'a> ClientKey<'a> {
    /// Reads the `jwk` of a proof that is signed with `algorithm`.
    ///
    /// A private member is refused even if it is null or empty: a client that has one here handles its private key
    /// wrongly. `use`, `key_ops` and `alg` must allow the signature, if they are there. Other members decide nothing.
    ///
    /// # Errors
    ///
    /// Returns what is wrong, without text of the proof.
    pub(crate) fn read(jwk: &'a str, algorithm: Algorithm) -> Result<Self, &'static str> {
        let [kty, crv, x, y, n, e, usage, operations, alg, secrets @ ..] =
            read(jwk.as_bytes(), &MEMBERS, None, 1)
                .ok_or("the `jwk` is not a strict JSON object")?;
        if !secrets.iter().all(Member::is_absent) {
            return Err("the `jwk` has a member of a private or symmetric key");
        }
        if !usage.is_absent() && usage.text() != Some("sig") {
            return Err("the `use` of the `jwk` is not `sig`");
        }
        if !operations.is_absent() && !allow_signatures(&operations) {
            return Err("the `key_ops` of the `jwk` do not include `verify`");
        }
        if !alg.is_absent() && alg.text() != Some(algorithm.name()) {
            return Err("the `alg` of the `jwk` is not that of the proof");
        }
        let text = |member| match member {
            Member::Text(text) => text,
            _ => Cow::Borrowed(""),
        };
        let crv = crv.text().unwrap_or_default();
        let (kind, values, lengths) = match (kty.text().unwrap_or_default(), crv) {
            ("RSA", _) => {
                let values = Values::Rsa { n: text(n), e: text(e) };
                (KeyKind::Rsa, values, [MIN_RSA_TEXT..=MAX_RSA_TEXT, 1..=MAX_EXPONENT_TEXT])
            }
            ("EC", crv) => {
                let (kind, crv, length) = match crv {
                    "P-256" => (KeyKind::P256, "P-256", 43),
                    "P-384" => (KeyKind::P384, "P-384", 64),
                    "P-521" => (KeyKind::P521, "P-521", 88),
                    "secp256k1" => (KeyKind::Secp256k1, "secp256k1", 43),
                    _ => return Err("the `crv` of the `jwk` is not a curve of ECDSA"),
                };
                let values = Values::Ec { crv, x: text(x), y: text(y) };
                (kind, values, [length..=length, length..=length])
            }
            ("OKP", crv) => {
                let (kind, crv, length) = match crv {
                    "Ed25519" => (KeyKind::Ed25519, "Ed25519", 43),
                    "Ed448" => (KeyKind::Ed448, "Ed448", 76),
                    _ => return Err("the `crv` of the `jwk` is not a curve of EdDSA"),
                };
                (kind, Values::Okp { crv, x: text(x) }, [length..=length, 0..=0])
            }
            _ => return Err("the `kty` of the `jwk` is not RSA, EC or OKP"),
        };
        for (text, length) in values.texts().into_iter().zip(lengths) {
            if !length.contains(&text.len()) || !is_base64url(text) {
                return Err("a value of the `jwk` is missing, or is not base64url of its length");
            }
        }
        if !algorithm.fits(kind) {
            return Err("the `alg` of the proof does not fit the type of the `jwk`");
        }
        Ok(Self { kind, values })
    }

    /// Returns whether a key of this kind may be used with one of these algorithms.
    pub(crate) fn is_allowed(&self, algorithm: Algorithm, allowed: AlgorithmSet) -> bool {
        allowed.fits(algorithm, self.kind)
    }

    /// Returns the thumbprint (RFC 7638 §3): the SHA-256 of the required members in the order of their names, without
    /// white space. No value has a character that JSON would escape.
    pub(crate) fn thumbprint(&self) -> [u8; 32] {
        let parts: [&str; 7] = match &self.values {
            Values::Rsa { n, e } => [r#"{"e":""#, e, r#"","kty":"RSA","n":""#, n, r#""}"#, "", ""],
            Values::Ec { crv, x, y } => {
                [r#"{"crv":""#, crv, r#"","kty":"EC","x":""#, x, r#"","y":""#, y, r#""}"#]
            }
            Values::Okp { crv, x } => {
                [r#"{"crv":""#, crv, r#"","kty":"OKP","x":""#, x, r#""}"#, "", ""]
            }
        };
        sha256(parts.concat().as_bytes())
    }

    /// Checks the values, and creates the verifier of the key.
    ///
    /// # Errors
    ///
    /// Returns what is wrong, without text of the proof.
    pub(crate) fn verifier(
        &self,
        algorithm: Algorithm,
        crypto: CryptoBackend,
    ) -> Result<Verifier, &'static str> {
        if !algorithm.fits(self.kind) {
            return Err("the `alg` of the proof does not fit the type of the `jwk`");
        }
        let [first, second] = self.values.texts().map(|text| {
            // The decoder refuses padding, and bits that no byte has.
            URL_SAFE_NO_PAD.decode(text).map_err(|_| "a value of the `jwk` is not base64url")
        });
        let (first, second) = (first?, second?);
        let values = match &self.values {
            Values::Rsa { .. } => {
                // Another encoding of the same number would have another thumbprint (RFC 7518 §6.3.1).
                if [&first, &second].iter().any(|number| number.first() == Some(&0)) {
                    return Err("a value of the `jwk` has a leading zero byte");
                }
                PublicValues::Rsa { n: &first, e: &second }
            }
            Values::Ec { crv, .. } => PublicValues::Ec { curve: crv, x: &first, y: &second },
            Values::Okp { crv, .. } => PublicValues::Edwards { curve: crv, x: &first },
        };
        let unusable = |_| "the values of the `jwk` are not those of a usable key";
        let spki = values.checked_spki().map_err(unusable)?;
        Verifier::public(algorithm, &spki, crypto).map_err(unusable)
    }
}

impl Values<'_> {
    fn texts(&self) -> [&str; 2] {
        match self {
            Self::Rsa { n, e } => [n, e],
            Self::Ec { x, y, .. } => [x, y],
            Self::Okp { x, .. } => [x, ""],
        }
    }
}

impl fmt::Debug for ClientKey<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("ClientKey").field(&self.kind).finish()
    }
}

/// Returns whether `key_ops` allow a signature. Clients that remove the private members of an exported key leave `sign`
/// there.
fn allow_signatures(operations: &Member<'_>) -> bool {
    let Member::Other(Value::Array(operations)) = operations else { return false };
    operations.iter().any(|operation| operation == "verify" || operation == "sign")
}

/// Returns the SHA-256. AWS-LC takes half the time of OpenSSL.
pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

/// Returns whether all characters are those of base64url. There is no early end, so that the compiler can look at several
/// bytes at once: a modulus has hundreds.
fn is_base64url(text: &str) -> bool {
    let is_one = |byte: u8| byte.is_ascii_alphanumeric() | (byte == b'-') | (byte == b'_');
    text.bytes().fold(true, |all, byte| all & is_one(byte))
}

/// The members that are used. After `alg` come those of private and symmetric keys (RFC 7518 §6.2.2, §6.3.2 and §6.4.1,
/// RFC 8037 §2, RFC 9964 §3).
const MEMBERS: [&str; 18] = [
    "kty", "crv", "x", "y", "n", "e", "use", "key_ops", "alg", "d", "p", "q", "dp", "dq", "qi",
    "oth", "k", "priv",
];

/// The characters of an RSA modulus of 2048 to 4096 bits. With a larger one, each verification would be slow.
const MIN_RSA_TEXT: usize = 342;
const MAX_RSA_TEXT: usize = 683;

/// The characters of an RSA exponent: at most 33 bits are allowed.
const MAX_EXPONENT_TEXT: usize = 7;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::SigningKey;
    use Algorithm as A;

    const CASES: [A; 13] = [
        A::ES256,
        A::ES256K,
        A::ES384,
        A::ES512,
        A::Ed25519,
        A::Ed448,
        A::EdDSA,
        A::PS256,
        A::PS384,
        A::PS512,
        A::RS256,
        A::RS384,
        A::RS512,
    ];

    fn jwk(algorithm: A) -> Value {
        SigningKey::generate(algorithm, "1").bare_jwk()
    }

    /// Reads the whole key, in both libraries.
    fn read(jwk: &Value, algorithm: A) -> Result<[u8; 32], &'static str> {
        let jwk = jwk.to_string();
        let key = ClientKey::read(&jwk, algorithm)?;
        let [one, other] = [CryptoBackend::AwsLc, CryptoBackend::OpenSsl]
            .map(|crypto| key.verifier(algorithm, crypto).map(|_| key.thumbprint()));
        assert_eq!(one, other);
        one
    }

    fn with(jwk: &Value, name: &str, value: Value) -> Value {
        let mut jwk = jwk.clone();
        jwk[name] = value;
        jwk
    }

    #[test]
    fn thumbprint_of_rfc_7638_is_the_same() {
        let jwk = json!({
            "kty": "RSA",
            "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
            "e": "AQAB",
            "alg": "RS256",
            "kid": "2011-04-29",
        });
        let thumbprint = read(&jwk, A::RS256).expect("a key");
        assert_eq!(
            URL_SAFE_NO_PAD.encode(thumbprint),
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
        );
    }

    #[test]
    fn thumbprint_of_rfc_8037_is_the_same() {
        let jwk = json!({
            "kty": "OKP",
            "crv": "Ed25519",
            "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        });
        for algorithm in [A::EdDSA, A::Ed25519] {
            let thumbprint = read(&jwk, algorithm).expect("a key");
            let text = URL_SAFE_NO_PAD.encode(thumbprint);
            assert_eq!(text, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        }
    }

    #[test]
    fn keys_of_each_algorithm_have_the_thumbprint_of_a_sorted_object() {
        for algorithm in CASES {
            let jwk = jwk(algorithm);
            // The members of a `serde_json` object are sorted, and it has the required ones only.
            let sorted: std::collections::BTreeMap<_, _> =
                jwk.as_object().expect("an object").iter().collect();
            let text = serde_json::to_string(&sorted).expect("JSON");
            assert_eq!(read(&jwk, algorithm), Ok(openssl::sha::sha256(text.as_bytes())));
            let mut more = with(&jwk, "kid", json!("x"));
            more["use"] = json!("sig");
            more["key_ops"] = json!(["verify"]);
            more["alg"] = json!(algorithm.name());
            more["ext"] = json!(true);
            more["x5c"] = json!(1);
            assert_eq!(read(&more, algorithm), read(&jwk, algorithm));
        }
    }

    /// A proof has its key and its signature in one header, which would have 5,000 to 10,000 characters.
    #[test]
    fn ml_dsa_key_is_refused_with_any_algorithm() {
        for algorithm in [A::MlDsa44, A::MlDsa65, A::MlDsa87] {
            let jwk = jwk(algorithm);
            for named in A::all() {
                assert!(read(&jwk, named).is_err(), "{algorithm} and {named}");
            }
            // A key of another type is not used with the algorithm either.
            for other in CASES {
                assert!(read(&self::jwk(other), algorithm).is_err(), "{other} and {algorithm}");
            }
        }
        let with_seed = with(&jwk(A::ES256), "priv", json!("AAAA"));
        assert!(read(&with_seed, A::ES256).is_err_and(|problem| problem.contains("private")));
    }

    #[test]
    fn algorithm_of_another_type_of_key_is_refused() {
        for algorithm in CASES {
            let jwk = jwk(algorithm);
            for other in CASES {
                let fits = match algorithm {
                    A::EdDSA | A::Ed25519 => matches!(other, A::EdDSA | A::Ed25519),
                    A::Ed448 => matches!(other, A::EdDSA | A::Ed448),
                    A::ES256 | A::ES256K | A::ES384 | A::ES512 => other == algorithm,
                    _ => other.fits(KeyKind::Rsa),
                };
                assert_eq!(read(&jwk, other).is_ok(), fits, "{algorithm} and {other}");
            }
            for hmac in [A::HS256, A::HS384, A::HS512] {
                assert!(read(&jwk, hmac).is_err());
            }
        }
    }

    #[test]
    fn key_with_a_private_member_is_refused_even_if_it_is_empty() {
        for algorithm in [A::ES256, A::Ed25519, A::RS256] {
            for name in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
                for value in [json!("AQAB"), json!(""), json!(null), json!([]), json!(1)] {
                    let jwk = with(&jwk(algorithm), name, value);
                    assert!(read(&jwk, algorithm).is_err(), "{name}");
                }
            }
        }
    }

    #[test]
    fn symmetric_key_is_refused() {
        let secret = json!({"kty": "oct", "k": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"});
        for jwk in [secret, json!({"kty": "oct"})] {
            for algorithm in [A::HS256, A::ES256, A::RS256] {
                assert!(read(&jwk, algorithm).is_err());
            }
        }
    }

    #[test]
    fn members_that_contradict_a_signature_are_refused() {
        let jwk = jwk(A::ES256);
        for (name, value) in [
            ("use", json!("enc")),
            ("use", json!("SIG")),
            ("use", json!("")),
            ("use", json!(1)),
            ("use", json!(["sig"])),
            ("key_ops", json!(["encrypt"])),
            ("key_ops", json!(["deriveKey", "deriveBits"])),
            ("key_ops", json!([])),
            ("key_ops", json!("verify")),
            ("key_ops", json!([["verify"]])),
            ("alg", json!("ES384")),
            ("alg", json!("ECDH-ES")),
            ("alg", json!("es256")),
            ("alg", json!("none")),
            ("alg", json!("")),
            ("alg", json!(256)),
        ] {
            assert!(read(&with(&jwk, name, value.clone()), A::ES256).is_err(), "{name}: {value}");
        }
        for operations in [json!(["verify"]), json!(["sign"]), json!(["sign", "verify"])] {
            assert!(read(&with(&jwk, "key_ops", operations), A::ES256).is_ok());
        }
    }

    #[test]
    fn required_members_of_another_form_are_refused() {
        for algorithm in [A::ES256, A::ES256K, A::ES512, A::Ed25519, A::Ed448, A::RS256] {
            let jwk = jwk(algorithm);
            let names: Vec<_> = jwk.as_object().expect("an object").keys().collect();
            for name in names {
                let mut without = jwk.clone();
                without.as_object_mut().expect("an object").remove(name);
                assert!(read(&without, algorithm).is_err(), "without {name}");
                let text = jwk[name].as_str().expect("text");
                for value in [
                    json!(null),
                    json!(1),
                    json!([text]),
                    json!(""),
                    json!(format!("{text}=")),
                    json!(format!("{text}A")),
                    json!(format!("{text}\n")),
                    json!(format!(" {text}")),
                    json!(format!("AA{text}")),
                    json!(&text[..text.len() - 1]),
                    json!(format!("{}+", &text[..text.len() - 1])),
                    json!(format!("{}\"", &text[..text.len() - 1])),
                ] {
                    if value != jwk[name] {
                        let jwk = with(&jwk, name, value.clone());
                        assert!(read(&jwk, algorithm).is_err(), "{name}: {value}");
                    }
                }
            }
        }
    }

    #[test]
    fn value_with_bits_that_no_byte_has_is_refused() {
        for algorithm in [A::ES256, A::Ed25519] {
            let jwk = jwk(algorithm);
            let x = jwk["x"].as_str().expect("text");
            // 32 bytes take 43 characters, and the last two bits of the last one are zero.
            const ALPHABET: &str =
                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
            let last = ALPHABET.find(&x[42..]).expect("a character");
            let twin = format!("{}{}", &x[..42], &ALPHABET[last + 1..last + 2]);
            assert!(read(&jwk, algorithm).is_ok());
            assert!(read(&with(&jwk, "x", json!(twin)), algorithm).is_err());
        }
    }

    #[test]
    fn point_off_the_curve_is_refused() {
        let text = |bytes: &[u8]| json!(URL_SAFE_NO_PAD.encode(bytes));
        for (algorithm, length) in [(A::ES256, 32), (A::ES384, 48), (A::ES512, 66), (A::ES256K, 32)]
        {
            let jwk = jwk(algorithm);
            let mut y =
                URL_SAFE_NO_PAD.decode(jwk["y"].as_str().expect("text")).expect("base64url");
            y[length - 1] ^= 1;
            assert!(read(&with(&jwk, "y", text(&y)), algorithm).is_err());
            let mut zero = with(&jwk, "x", text(&vec![0; length]));
            zero["y"] = text(&vec![0; length]);
            assert!(read(&zero, algorithm).is_err());
            let ones = with(&jwk, "x", text(&vec![0xff; length]));
            assert!(read(&ones, algorithm).is_err());
        }
    }

    #[test]
    fn edwards_key_of_small_order_is_refused() {
        for (algorithm, crv, length) in [(A::Ed25519, "Ed25519", 32), (A::Ed448, "Ed448", 57)] {
            let mut one = vec![0; length];
            one[0] = 1;
            for bytes in [vec![0; length], one, vec![0xff; length]] {
                let x = URL_SAFE_NO_PAD.encode(bytes);
                assert!(read(&json!({"kty": "OKP", "crv": crv, "x": x}), algorithm).is_err());
            }
        }
    }

    #[test]
    fn rsa_key_that_is_weak_or_costly_is_refused() {
        let text = |bytes: &[u8]| json!(URL_SAFE_NO_PAD.encode(bytes));
        // Only the size counts here: whether a modulus has two primes cannot be seen.
        let modulus = |bits: usize| {
            let mut bytes = vec![0xff; bits.div_ceil(8)];
            bytes[0] = 0xff >> (8 * bytes.len() - bits);
            text(&bytes)
        };
        let key = |n: Value, e: &[u8]| json!({"kty": "RSA", "n": n, "e": text(e)});
        let f4 = [1, 0, 1];
        for (bits, is_ok) in [
            (512, false),
            (1024, false),
            (2047, false),
            (2048, true),
            (3072, true),
            (4096, true),
            (4097, false),
            (8192, false),
        ] {
            assert_eq!(read(&key(modulus(bits), &f4), A::PS256).is_ok(), is_ok, "{bits}");
        }
        assert!(read(&key(modulus(2048), &[3]), A::PS256).is_ok());
        for e in [&[1][..], &[2], &[0], &[0, 1, 0, 1], &[1, 0, 0], &[4, 0, 0, 0, 1], &[1; 8], &[]] {
            assert!(read(&key(modulus(2048), e), A::PS256).is_err(), "{e:?}");
        }
        let mut leading_zero = vec![0xff; 257];
        leading_zero[0] = 0;
        assert!(read(&key(text(&leading_zero), &f4), A::PS256).is_err());
        let mut even = vec![0xff; 256];
        even[255] = 0xfe;
        assert!(read(&key(text(&even), &f4), A::PS256).is_err());
    }
}
