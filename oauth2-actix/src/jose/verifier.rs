//! The check of a signature: by AWS-LC if it has the algorithm, otherwise by OpenSSL through josekit. ML-DSA is only in
//! AWS-LC.

use std::sync::OnceLock;

use aws_lc_rs::signature::{self as aws_lc, ParsedPublicKey, VerificationAlgorithm};
use josekit::{
    JoseError,
    jws::{self, JwsVerifier},
};
use openssl::pkey::PKey;

use crate::jose::{
    algorithm::{Algorithm, KeyKind},
    hmac::HmacVerifier,
    key_policy::CryptoBackend,
    ml_dsa::ParameterSet,
    unusable::Unusable,
};

/// The verifiers of one key, one for each algorithm that the key may be used with.
///
/// Most verifiers are created on first use: an RSA key without `alg` may be used with six algorithms, of
/// which tokens use one, and OpenSSL takes a quarter of a millisecond to read a key.
#[derive(Debug)]
pub(crate) struct Verifiers {
    by_algorithm: Box<[(Algorithm, OnceLock<Option<Verifier>>)]>,
    /// The key's `SubjectPublicKeyInfo`, for verifiers that are not created yet. Empty if all are created.
    spki: Box<[u8]>,
    backend: CryptoBackend,
}

impl Verifiers {
    /// Creates the verifiers of a public key that passed every check, as X.509 `SubjectPublicKeyInfo` of its
    /// plain type.
    pub(crate) fn public(
        algorithms: impl Iterator<Item = Algorithm>,
        spki: &[u8],
        backend: CryptoBackend,
    ) -> Result<Self, Unusable> {
        let by_algorithm: Box<[_]> =
            algorithms.map(|algorithm| (algorithm, OnceLock::new())).collect();
        let [(algorithm, verifier), others @ ..] = &*by_algorithm else {
            return Err(Unusable::new(NO_ALGORITHM));
        };
        if backend == CryptoBackend::OpenSsl && algorithm.is_ml_dsa() {
            return Err(Unusable::new(ML_DSA_BY_OPENSSL));
        }
        let mut kept: Box<[u8]> = spki.into();
        // This checks that AWS-LC accepts the key. OpenSSL has checked it already.
        if backend == CryptoBackend::AwsLc && of_aws_lc(*algorithm, spki).is_some() {
            let first = Verifier::public(*algorithm, spki, backend)?;
            if others.is_empty() {
                let _ = verifier.set(Some(first));
                kept = Box::default();
            }
        }
        Ok(Self { by_algorithm, spki: kept, backend })
    }

    /// Creates the verifiers of a secret.
    pub(crate) fn hmac(
        algorithms: impl Iterator<Item = Algorithm>,
        secret: &[u8],
    ) -> Result<Self, Unusable> {
        let mut by_algorithm = Vec::new();
        let mut problem = Unusable::new(NO_ALGORITHM);
        for algorithm in algorithms {
            match HmacVerifier::new(algorithm, secret) {
                Ok(verifier) => {
                    by_algorithm.push((algorithm, OnceLock::from(Some(Verifier::Hmac(verifier)))))
                }
                Err(unusable) => problem = unusable,
            }
        }
        if by_algorithm.is_empty() {
            return Err(problem);
        }
        let backend = CryptoBackend::OpenSsl;
        Ok(Self { by_algorithm: by_algorithm.into(), spki: Box::default(), backend })
    }

    /// Returns the verifier for `algorithm`, if the key may be used with it.
    pub(crate) fn get(&self, algorithm: Algorithm) -> Option<&Verifier> {
        let (_, verifier) =
            self.by_algorithm.iter().find(|(candidate, _)| *candidate == algorithm)?;
        // If a verifier cannot be created, the key verifies no signature.
        let make = || Verifier::public(algorithm, &self.spki, self.backend).ok();
        verifier.get_or_init(make).as_ref()
    }

    pub(crate) fn algorithms(&self) -> impl Iterator<Item = Algorithm> {
        self.by_algorithm.iter().map(|(algorithm, _)| *algorithm)
    }
}

const NO_ALGORITHM: &str = "it fits none of the provider's algorithms";

const ML_DSA_BY_OPENSSL: &str = "ML-DSA is verified by AWS-LC only, and OpenSSL is configured";

/// A parsed key with one algorithm.
#[derive(Debug)]
pub(crate) enum Verifier {
    AwsLc(ParsedPublicKey),
    OpenSsl {
        verifier: Box<dyn JwsVerifier>,
        /// The length of a signature, if OpenSSL does not check it.
        length: Option<usize>,
    },
    Hmac(HmacVerifier),
}

impl Verifier {
    /// Creates a verifier from a public key that passed every check, as X.509 `SubjectPublicKeyInfo` of its
    /// plain type.
    pub(crate) fn public(
        algorithm: Algorithm,
        spki: &[u8],
        backend: CryptoBackend,
    ) -> Result<Self, Unusable> {
        let verifier = match (backend, of_aws_lc(algorithm, spki)) {
            (CryptoBackend::AwsLc, Some(algorithm)) => {
                ParsedPublicKey::new(algorithm, spki).ok().map(Self::AwsLc)
            }
            _ => {
                let length = rsa_length(algorithm, spki)?;
                of_openssl(algorithm, spki)?.ok().map(|verifier| Self::OpenSsl { verifier, length })
            }
        };
        verifier.ok_or_else(|| Unusable::new("no verifier can be created from it"))
    }

    /// Returns whether `signature` is a signature of `message`, without a reason: an error of josekit
    /// captures a backtrace if `RUST_BACKTRACE` is set, and any client can cause one.
    pub(crate) fn accepts(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::AwsLc(key) => key.verify_sig(message, signature).is_ok(),
            Self::OpenSsl { verifier, length } => {
                length.is_none_or(|length| length == signature.len())
                    && verifier.verify(message, signature).is_ok()
            }
            Self::Hmac(verifier) => verifier.accepts(message, signature),
        }
    }
}

/// Returns the algorithm of AWS-LC, or `None` if AWS-LC does not support it for this key.
fn of_aws_lc(algorithm: Algorithm, spki: &[u8]) -> Option<&'static dyn VerificationAlgorithm> {
    Some(match algorithm {
        Algorithm::ES256 => &aws_lc::ECDSA_P256_SHA256_FIXED,
        Algorithm::ES384 => &aws_lc::ECDSA_P384_SHA384_FIXED,
        Algorithm::ES512 => &aws_lc::ECDSA_P521_SHA512_FIXED,
        Algorithm::EdDSA | Algorithm::Ed25519 if spki.len() == ED25519_SPKI => &aws_lc::ED25519,
        Algorithm::PS256 => &aws_lc::RSA_PSS_2048_8192_SHA256,
        Algorithm::PS384 => &aws_lc::RSA_PSS_2048_8192_SHA384,
        Algorithm::PS512 => &aws_lc::RSA_PSS_2048_8192_SHA512,
        Algorithm::RS256 => &aws_lc::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::RS384 => &aws_lc::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::RS512 => &aws_lc::RSA_PKCS1_2048_8192_SHA512,
        _ => return ParameterSet::of(algorithm).map(|set| set.verification as _),
    })
}

fn of_openssl(
    algorithm: Algorithm,
    spki: &[u8],
) -> Result<Result<Box<dyn JwsVerifier>, JoseError>, Unusable> {
    fn boxed<V: JwsVerifier + 'static>(
        verifier: Result<V, JoseError>,
    ) -> Result<Box<dyn JwsVerifier>, JoseError> {
        verifier.map(|verifier| Box::new(verifier) as Box<dyn JwsVerifier>)
    }
    Ok(match algorithm {
        Algorithm::ES256 => boxed(jws::ES256.verifier_from_der(spki)),
        Algorithm::ES256K => boxed(jws::ES256K.verifier_from_der(spki)),
        Algorithm::ES384 => boxed(jws::ES384.verifier_from_der(spki)),
        Algorithm::ES512 => boxed(jws::ES512.verifier_from_der(spki)),
        Algorithm::Ed25519 | Algorithm::Ed448 | Algorithm::EdDSA => {
            boxed(jws::EdDSA.verifier_from_der(spki))
        }
        Algorithm::PS256 => boxed(jws::PS256.verifier_from_der(spki)),
        Algorithm::PS384 => boxed(jws::PS384.verifier_from_der(spki)),
        Algorithm::PS512 => boxed(jws::PS512.verifier_from_der(spki)),
        Algorithm::RS256 => boxed(jws::RS256.verifier_from_der(spki)),
        Algorithm::RS384 => boxed(jws::RS384.verifier_from_der(spki)),
        Algorithm::RS512 => boxed(jws::RS512.verifier_from_der(spki)),
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => {
            return Err(Unusable::new("a public key cannot be used with HMAC"));
        }
        Algorithm::MlDsa44 | Algorithm::MlDsa65 | Algorithm::MlDsa87 => {
            return Err(Unusable::new(ML_DSA_BY_OPENSSL));
        }
    })
}

/// Returns the length of an RSA signature, which is that of the modulus (RFC 8017 §8.1.2 and §8.2.2, step 1),
/// or `None` for other keys. OpenSSL also accepts a PSS signature without its leading zeros.
fn rsa_length(algorithm: Algorithm, spki: &[u8]) -> Result<Option<usize>, Unusable> {
    if !algorithm.fits(KeyKind::Rsa) {
        return Ok(None);
    }
    let key = PKey::public_key_from_der(spki);
    key.map(|key| Some(key.size())).map_err(|_| Unusable::new("its length cannot be read"))
}

/// The length of an Ed25519 key as `SubjectPublicKeyInfo` (RFC 8410 §4). An Ed448 key has 69 bytes.
const ED25519_SPKI: usize = 44;

#[cfg(test)]
mod tests {
    use super::*;

    /// Tests that compare the two libraries would also pass if one library checked everything.
    #[test]
    fn each_algorithm_is_checked_by_the_expected_library() {
        use crate::testing::SigningKey;
        use Algorithm as A;
        for (algorithm, by_aws_lc) in [
            (A::ES256, true),
            (A::ES256K, false),
            (A::ES384, true),
            (A::ES512, true),
            (A::Ed25519, true),
            (A::Ed448, false),
            (A::EdDSA, true),
            (A::PS256, true),
            (A::PS384, true),
            (A::PS512, true),
            (A::RS256, true),
            (A::RS384, true),
            (A::RS512, true),
        ] {
            let pem = SigningKey::generate(algorithm, "1").public_pem();
            let key = PKey::public_key_from_pem(pem.as_bytes()).expect("a key");
            let spki = key.public_key_to_der().expect("DER");
            let by = |backend| Verifier::public(algorithm, &spki, backend).expect("a verifier");
            assert_eq!(matches!(by(CryptoBackend::AwsLc), Verifier::AwsLc(_)), by_aws_lc);
            assert!(matches!(by(CryptoBackend::OpenSsl), Verifier::OpenSsl { .. }));
        }
    }

    #[test]
    fn verifiers_of_a_key_for_several_algorithms_are_made_when_needed() {
        use crate::{jose::algorithm::AlgorithmSet, testing::SigningKey};

        let pem = SigningKey::generate(Algorithm::PS256, "1").public_pem();
        let spki = PKey::public_key_from_pem(pem.as_bytes())
            .and_then(|key| key.public_key_to_der())
            .expect("DER");
        let made = |verifiers: &Verifiers| {
            verifiers.by_algorithm.iter().filter(|(_, verifier)| verifier.get().is_some()).count()
        };
        for backend in [CryptoBackend::AwsLc, CryptoBackend::OpenSsl] {
            let all = || {
                let all = AlgorithmSet::by_default();
                Algorithm::all().filter(move |one| all.contains(*one) && one.fits(KeyKind::Rsa))
            };
            let verifiers = Verifiers::public(all(), &spki, backend).expect("verifiers");
            assert_eq!((verifiers.algorithms().count(), made(&verifiers)), (6, 0));
            for (index, algorithm) in all().enumerate() {
                assert!(verifiers.get(algorithm).is_some());
                assert_eq!(made(&verifiers), index + 1);
            }
            assert!(verifiers.get(Algorithm::ES256).is_none());
            assert!(Verifiers::public(std::iter::empty(), &spki, backend).is_err());
            let one = [Algorithm::RS256].into_iter();
            let one = Verifiers::public(one, &spki, backend).expect("verifiers");
            let is_made = usize::from(backend == CryptoBackend::AwsLc);
            assert_eq!((made(&one), one.spki.is_empty()), (is_made, is_made == 1));
            // Bytes that are not a key verify nothing, at the latest on first use.
            let broken = Verifiers::public(all(), &spki[1..], backend);
            assert!(broken.is_err() == (backend == CryptoBackend::AwsLc));
            assert!(
                broken.is_ok_and(|broken| broken.get(Algorithm::RS256).is_none()) == (is_made == 0)
            );
        }
    }
}
