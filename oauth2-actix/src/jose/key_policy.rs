//! Which keys a provider may have, and what reading them may cost.

use std::time::Duration;

use serde::Deserialize;

use super::algorithm::AlgorithmSet;

/// The library that checks signatures.
///
/// ```
/// use oauth2_actix::{CryptoBackend, OAuth2};
///
/// let builder = OAuth2::builder().crypto_backend(CryptoBackend::OpenSsl);
/// # drop(builder);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum CryptoBackend {
    /// AWS-LC for RS, PS and ES algorithms and Ed25519, where it is faster, and for ML-DSA; OpenSSL for HMAC, ES256K
    /// and Ed448.
    #[default]
    AwsLc,
    /// OpenSSL for all algorithms, for environments that require the system's library. `build()` fails if a provider
    /// names an algorithm of ML-DSA, which this crate verifies by AWS-LC only.
    #[serde(rename = "openssl")]
    OpenSsl,
}

/// Which keys a provider may have, and what reading them may cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyPolicy {
    pub(crate) allowed: AlgorithmSet,
    /// Whether a key without `alg` is used with the algorithm of the first signature that it verifies, and with no
    /// other. Not where the developer has named the algorithms.
    pub(crate) binds_keys: bool,
    pub(crate) origin: Origin,
    pub(crate) crypto: CryptoBackend,
    /// Whether keys with the `use` `jwt-svid` verify tokens (SPIFFE Trust Domain and Bundle §4.2).
    pub(crate) spiffe: bool,
    pub(crate) budget: Budget,
}

/// The origin of a key document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The configuration.
    Inline,
    /// A URL, a file or a custom source.
    Fetched,
}

/// The limits on the cost of one key document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Budget {
    /// The document of a provider known at build time.
    Provider,
    /// The document of a tenant, whose owner may be an attacker.
    Tenant,
}

impl Budget {
    /// Returns the maximum number of keys in a document. Real sets have 1 to 20.
    pub(crate) fn keys(self) -> usize {
        match self {
            Self::Provider => 1024,
            Self::Tenant => 64,
        }
    }

    /// Returns the maximum number of bytes of a document. Real sets have 1 to 20 KiB.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::Provider => MAX_DOCUMENT_LENGTH,
            Self::Tenant => 256 * 1024,
        }
    }

    /// Returns the time limit for reading a fetched document. The maximum number of keys takes some
    /// milliseconds; the limit protects against slower versions of the cryptographic libraries.
    pub(crate) fn time(self) -> Duration {
        match self {
            Self::Provider => Duration::from_secs(2),
            Self::Tenant => Duration::from_secs(1),
        }
    }
}

/// The maximum bytes of a key document, also after each decoding. Real documents have 1 to 20 KiB.
pub(crate) const MAX_DOCUMENT_LENGTH: usize = 1024 * 1024;
