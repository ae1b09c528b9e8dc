//! Checks of signatures: by AWS-LC where it has the algorithm, otherwise by OpenSSL through josekit.

use aws_lc_rs::signature::{self as aws_lc, ParsedPublicKey, VerificationAlgorithm};
use josekit::{
    JoseError,
    jws::{self, JwsVerifier},
};
use serde::Deserialize;

use crate::{algorithm::Algorithm, hmac::HmacVerifier, jwk::Unusable};

/// What checks signatures.
///
/// ```
/// use oauth2_actix::{CryptoLibrary, OAuth2};
///
/// let builder = OAuth2::builder().crypto_library(CryptoLibrary::OpenSsl);
/// # drop(builder);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum CryptoLibrary {
    /// AWS-LC for RS, PS and ES algorithms and Ed25519, which it does faster; OpenSSL for HMAC, ES256K and
    /// Ed448.
    #[default]
    AwsLc,
    /// OpenSSL for all: where a policy of yours asks for the system's own.
    #[serde(rename = "openssl")]
    OpenSsl,
}

impl CryptoLibrary {
    /// What a policy uses for which nothing is set.
    pub(crate) fn by_default() -> Self {
        #[cfg(feature = "testing")]
        if crate::testing::says("OAUTH2_ACTIX_CRYPTO_LIBRARY", "openssl") {
            return Self::OpenSsl;
        }
        Self::AwsLc
    }
}

/// A key, parsed, with one algorithm.
#[derive(Debug)]
pub(crate) enum Verifier {
    AwsLc(ParsedPublicKey),
    OpenSsl(Box<dyn JwsVerifier>),
    Hmac(HmacVerifier),
}

impl Verifier {
    /// From a public key that passed every check, as X.509 `SubjectPublicKeyInfo` of its plain type.
    pub(crate) fn public(
        algorithm: Algorithm,
        spki: &[u8],
        library: CryptoLibrary,
    ) -> Result<Self, Unusable> {
        let verifier = match (library, of_aws_lc(algorithm, spki)) {
            (CryptoLibrary::AwsLc, Some(algorithm)) => {
                ParsedPublicKey::new(algorithm, spki).ok().map(Self::AwsLc)
            }
            _ => of_openssl(algorithm, spki)?.ok().map(Self::OpenSsl),
        };
        verifier.ok_or_else(|| Unusable::new("no verifier can be made of it"))
    }

    /// Whether it is a signature of this message. The one answer there is: errors of josekit would
    /// capture a backtrace where `RUST_BACKTRACE` is set, at a stranger's will.
    pub(crate) fn accepts(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::AwsLc(key) => key.verify_sig(message, signature).is_ok(),
            Self::OpenSsl(verifier) => verifier.verify(message, signature).is_ok(),
            Self::Hmac(verifier) => verifier.accepts(message, signature),
        }
    }
}

/// None: it has none for that.
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
        _ => return None,
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
            return Err(Unusable::new("a public key is no HMAC secret"));
        }
    })
}

/// The length of an Ed25519 key in that form (RFC 8410 §4); one of Ed448 has 69 bytes.
const ED25519_SPKI: usize = 44;
