//! The parameter sets of ML-DSA (RFC 9964 §3, FIPS 204 §4).

use aws_lc_rs::signature::{ML_DSA_44, ML_DSA_65, ML_DSA_87, PqdsaVerificationAlgorithm};

use crate::jose::algorithm::{Algorithm, KeyKind};

/// One parameter set, with the type of its keys.
pub(crate) struct ParameterSet {
    pub(crate) kind: KeyKind,
    pub(crate) verification: &'static PqdsaVerificationAlgorithm,
    /// The bytes of a public key (FIPS 204 §4, table 2).
    pub(crate) public_length: usize,
    /// The last byte of the object identifier (RFC 9881 §2).
    object_id: u8,
}

impl ParameterSet {
    pub(crate) fn of(algorithm: Algorithm) -> Option<&'static Self> {
        match algorithm {
            Algorithm::MlDsa44 => Some(&SET_44),
            Algorithm::MlDsa65 => Some(&SET_65),
            Algorithm::MlDsa87 => Some(&SET_87),
            _ => None,
        }
    }

    /// Returns a public key as X.509 `SubjectPublicKeyInfo` (RFC 9881 §4). It must have the length of the set.
    pub(crate) fn spki(&self, public: &[u8]) -> Vec<u8> {
        // The lengths of all keys take two bytes.
        let length = |bytes: usize| [0x30, 0x82, (bytes >> 8) as u8, bytes as u8];
        let mut bits = length(public.len() + 1);
        bits[0] = 0x03;
        let algorithm = [
            &[
                0x30,
                0x0b,
                0x06,
                0x09,
                0x60,
                0x86,
                0x48,
                0x01,
                0x65,
                0x03,
                0x04,
                0x03,
                self.object_id,
            ][..],
            &bits,
            &[0],
        ]
        .concat();
        [&length(algorithm.len() + public.len())[..], &algorithm, public].concat()
    }
}

static SET_44: ParameterSet = ParameterSet {
    kind: KeyKind::MlDsa44,
    verification: &ML_DSA_44,
    public_length: 1312,
    object_id: 17,
};

static SET_65: ParameterSet = ParameterSet {
    kind: KeyKind::MlDsa65,
    verification: &ML_DSA_65,
    public_length: 1952,
    object_id: 18,
};

static SET_87: ParameterSet = ParameterSet {
    kind: KeyKind::MlDsa87,
    verification: &ML_DSA_87,
    public_length: 2592,
    object_id: 19,
};

#[cfg(test)]
mod tests {
    use aws_lc_rs::{
        encoding::AsDer,
        signature::{KeyPair, PqdsaKeyPair, PqdsaSigningAlgorithm},
    };
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::{
        jose::{
            algorithm::AlgorithmSet,
            jwk::Key,
            key_policy::{Budget, CryptoBackend, KeyPolicy, Origin},
            unusable::Unusable,
        },
        testing::SigningKey,
    };

    const ALGORITHMS: [Algorithm; 3] = [Algorithm::MlDsa44, Algorithm::MlDsa65, Algorithm::MlDsa87];

    fn read(jwk: &Value, allowed: AlgorithmSet, origin: Origin) -> Result<Key, Unusable> {
        let jwk: &Map<String, Value> = jwk.as_object().expect("an object");
        let (crypto, budget) = (CryptoBackend::AwsLc, Budget::Provider);
        let (binds_keys, spiffe) = (false, false);
        Key::from_jwk(jwk, KeyPolicy { allowed, binds_keys, origin, crypto, spiffe, budget })
    }

    fn all() -> AlgorithmSet {
        Algorithm::all().collect()
    }

    fn problem(jwk: &Value) -> String {
        read(jwk, all(), Origin::Inline).expect_err("refused").to_string()
    }

    /// The keys and signatures of RFC 9964, from the repository of its working group. Their payload is no JSON object,
    /// so that no provider can sign it as a token.
    #[test]
    fn signatures_of_rfc_9964_are_accepted_and_changed_ones_rejected() {
        let vectors: Vec<Value> =
            serde_json::from_str(include_str!("rfc9964.json")).expect("vectors");
        assert_eq!(vectors.len(), ALGORITHMS.len());
        for (vector, algorithm) in vectors.iter().zip(ALGORITHMS) {
            let mut jwk = vector["jwk"].clone();
            assert!(problem(&jwk).contains("`priv`"), "{algorithm}");
            jwk.as_object_mut().expect("an object").remove("priv");
            let key = read(&jwk, all(), Origin::Fetched).expect("a key");
            assert_eq!(key.algorithms().collect::<Vec<_>>(), [algorithm.name()]);
            let verifier = key.verifier(algorithm).expect("a verifier");
            let (message, signature) =
                vector["jws"].as_str().and_then(|jws| jws.rsplit_once('.')).expect("a JWS");
            let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
            let message = message.as_bytes();
            assert!(verifier.accepts(message, &signature), "{algorithm}");
            assert!(!verifier.accepts(&message[1..], &signature));
            assert!(!verifier.accepts(message, &signature[1..]));
            assert!(!verifier.accepts(message, &signature[..signature.len() - 1]));
            assert!(!verifier.accepts(message, &[&signature[..], &[0]].concat()));
            assert!(!verifier.accepts(message, &[]));
            // The parts of a signature: the hash of the commitment, the response, the hint (FIPS 204 §7.2).
            for at in (0..signature.len()).step_by(97).chain([signature.len() - 1]) {
                let mut changed = signature.clone();
                changed[at] ^= 1;
                assert!(!verifier.accepts(message, &changed), "{algorithm}, byte {at}");
            }
        }
    }

    /// The `kid` of the keys in RFC 9964 is their thumbprint, over `alg`, `kty` and `pub` (§6).
    #[test]
    fn thumbprint_covers_alg_kty_and_pub() {
        let vectors: Vec<Value> =
            serde_json::from_str(include_str!("rfc9964.json")).expect("vectors");
        for vector in &vectors {
            let jwk = &vector["jwk"];
            let text = |name: &str| jwk[name].as_str().expect("text");
            assert_eq!(text("kid"), thumbprint(text("alg"), text("pub")));
        }
        let key = SigningKey::generate(Algorithm::MlDsa44, "1");
        let public = key.public_jwk()["pub"].as_str().expect("text").to_owned();
        assert_eq!(key.thumbprint(), thumbprint("ML-DSA-44", &public));
    }

    fn thumbprint(alg: &str, public: &str) -> String {
        let members = format!(r#"{{"alg":"{alg}","kty":"AKP","pub":"{public}"}}"#);
        URL_SAFE_NO_PAD.encode(openssl::sha::sha256(members.as_bytes()))
    }

    #[test]
    fn subject_public_key_info_is_that_of_aws_lc() {
        use aws_lc_rs::signature::{ML_DSA_44_SIGNING, ML_DSA_65_SIGNING, ML_DSA_87_SIGNING};
        let signing: [&'static PqdsaSigningAlgorithm; 3] =
            [&ML_DSA_44_SIGNING, &ML_DSA_65_SIGNING, &ML_DSA_87_SIGNING];
        for (signing, algorithm) in signing.into_iter().zip(ALGORITHMS) {
            let pair = PqdsaKeyPair::generate(signing).expect("a key pair");
            let set = ParameterSet::of(algorithm).expect("a set");
            let public = pair.public_key();
            assert_eq!(public.as_ref().len(), set.public_length);
            assert_eq!(set.spki(public.as_ref()), public.as_der().expect("DER").as_ref());
        }
    }

    #[test]
    fn key_with_a_wrong_length_alg_or_type_is_refused() {
        for algorithm in ALGORITHMS {
            let jwk = SigningKey::generate(algorithm, "1").public_jwk();
            assert!(read(&jwk, all(), Origin::Inline).is_ok());
            let with = |name: &str, value: Value| {
                let mut jwk = jwk.clone();
                jwk[name] = value;
                problem(&jwk)
            };
            let public = URL_SAFE_NO_PAD.decode(jwk["pub"].as_str().expect("text")).expect("bytes");
            for public in [&public[1..], &[&public[..], &[0]].concat(), &[]] {
                assert!(with("pub", json!(URL_SAFE_NO_PAD.encode(public))).contains("bytes"));
            }
            // A key in X.509 form is not a raw key.
            let set = ParameterSet::of(algorithm).expect("a set");
            assert!(
                with("pub", json!(URL_SAFE_NO_PAD.encode(set.spki(&public)))).contains("bytes")
            );
            assert!(with("pub", json!("=?=")).contains("`pub` is not base64url"));
            assert!(with("pub", Value::Null).contains("no `pub`"));
            assert!(with("alg", Value::Null).contains("no `alg`"));
            for other in Algorithm::all().filter(|other| *other != algorithm) {
                let problem = with("alg", json!(other.name()));
                assert!(
                    problem.contains("`pub` has") || problem.contains("`alg` is not"),
                    "{problem}"
                );
            }
            assert!(with("alg", json!("SLH-DSA-SHA2-128s")).contains("not supported"));
            assert!(with("priv", json!("AAAA")).contains("private key"));
            for kty in ["RSA", "EC", "OKP", "oct", "akp"] {
                with("kty", json!(kty));
            }
        }
        // The key of another type does not become one of ML-DSA by its `alg`.
        for algorithm in [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA] {
            let mut jwk = SigningKey::generate(algorithm, "1").public_jwk();
            jwk["alg"] = json!("ML-DSA-44");
            assert!(problem(&jwk).contains("does not fit its type"));
        }
    }

    #[test]
    fn key_is_unusable_but_expected_where_no_algorithm_names_it() {
        for algorithm in ALGORITHMS {
            let jwk = SigningKey::generate(algorithm, "1").public_jwk();
            let problem =
                read(&jwk, AlgorithmSet::by_default(), Origin::Fetched).expect_err("refused");
            assert!(problem.is_expected() && problem.to_string().contains("`algorithms`"));
            for named in ALGORITHMS {
                let result = read(&jwk, AlgorithmSet::from_iter([named]), Origin::Fetched);
                assert_eq!(result.is_ok(), named == algorithm);
            }
        }
    }

    #[test]
    fn openssl_as_library_for_signatures_refuses_the_key() {
        let jwk = SigningKey::generate(Algorithm::MlDsa44, "1").public_jwk();
        let crypto = CryptoBackend::OpenSsl;
        let (binds_keys, spiffe, budget) = (false, false, Budget::Provider);
        let origin = Origin::Inline;
        let policy = KeyPolicy { allowed: all(), binds_keys, origin, crypto, spiffe, budget };
        let problem =
            Key::from_jwk(jwk.as_object().expect("an object"), policy).expect_err("refused");
        assert!(problem.to_string().contains("AWS-LC only"));
    }
}
