//! What a provider's keys may be, and what reading them may cost.

use std::time::Duration;

use serde::Deserialize;

use super::algorithm::AlgorithmSet;

/// What checks signatures.
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
    /// AWS-LC for RS, PS and ES algorithms and Ed25519, which it does faster; OpenSSL for HMAC, ES256K and
    /// Ed448.
    #[default]
    AwsLc,
    /// OpenSSL for all: where a policy of yours asks for the system's own.
    #[serde(rename = "openssl")]
    OpenSsl,
}

/// What a provider's keys may be, and what reading them may cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyPolicy {
    pub(crate) allowed: AlgorithmSet,
    pub(crate) origin: Origin,
    pub(crate) crypto: CryptoBackend,
    /// Whether keys with the `use` `jwt-svid` verify tokens (SPIFFE Trust Domain and Bundle §4.2).
    pub(crate) spiffe: bool,
    pub(crate) budget: Budget,
}

/// Where a key document came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The configuration holds it.
    Inline,
    /// From a URL, a file or a custom source.
    Fetched,
}

/// What one key document may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Budget {
    /// The document of a provider known at build time.
    Provider,
    /// The document of a tenant, whose owner may be an attacker.
    Tenant,
}

impl Budget {
    /// How many keys a document may hold. Real sets have 1 to 20.
    pub(crate) fn keys(self) -> usize {
        match self {
            Self::Provider => 1024,
            Self::Tenant => 64,
        }
    }

    /// How many bytes a document may have. Real sets have 1 to 20 KiB.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::Provider => MAX_DOCUMENT_LENGTH,
            Self::Tenant => 256 * 1024,
        }
    }

    /// How long it may take to read a fetched document. The allowed number of keys takes some
    /// milliseconds; this is for what a later version of the cryptographic libraries may take.
    pub(crate) fn time(self) -> Duration {
        match self {
            Self::Provider => Duration::from_secs(2),
            Self::Tenant => Duration::from_secs(1),
        }
    }
}

/// Bytes of a key document, also after each decoding. Real ones have 1 to 20 KiB.
pub(crate) const MAX_DOCUMENT_LENGTH: usize = 1024 * 1024;
