//! Signature algorithms, with one table row for each `alg` (RFC 7518 §3.1, RFC 8037, RFC 8812, RFC 9864, RFC 9964).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, de::Error as _};

/// A JWS signature algorithm that this crate can verify.
///
/// A provider accepts all asymmetric algorithms except ML-DSA, unless [`Provider::algorithms`] has a list. HMAC and
/// ML-DSA are accepted only if they are in that list. A key restricts them further: its type, curve and `alg` must fit
/// the token's `alg`.
///
/// ```
/// use oauth2_actix::Algorithm;
///
/// assert_eq!("RS256".parse::<Algorithm>()?, Algorithm::RS256);
/// assert!("none".parse::<Algorithm>().is_err());
/// # Ok::<(), oauth2_actix::UnknownAlgorithm>(())
/// ```
///
/// [`Provider::algorithms`]: crate::Provider::algorithms
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// ECDSA with P-256 and SHA-256.
    ES256,
    /// ECDSA with secp256k1 and SHA-256 (RFC 8812).
    ES256K,
    /// ECDSA with P-384 and SHA-384.
    ES384,
    /// ECDSA with P-521 and SHA-512.
    ES512,
    /// EdDSA with Ed25519, by its fully specified name (RFC 9864).
    Ed25519,
    /// EdDSA with Ed448, by its fully specified name (RFC 9864).
    Ed448,
    /// EdDSA with the curve of the key (RFC 8037).
    EdDSA,
    /// HMAC with SHA-256. It requires an inline secret.
    HS256,
    /// HMAC with SHA-384. It requires an inline secret.
    HS384,
    /// HMAC with SHA-512. It requires an inline secret.
    HS512,
    /// ML-DSA-44, with signatures of 2,420 bytes ([RFC 9964](https://www.rfc-editor.org/rfc/rfc9964), FIPS 204).
    MlDsa44,
    /// ML-DSA-65, with signatures of 3,309 bytes ([RFC 9964](https://www.rfc-editor.org/rfc/rfc9964), FIPS 204).
    MlDsa65,
    /// ML-DSA-87, with signatures of 4,627 bytes ([RFC 9964](https://www.rfc-editor.org/rfc/rfc9964), FIPS 204).
    MlDsa87,
    /// RSASSA-PSS with SHA-256.
    PS256,
    /// RSASSA-PSS with SHA-384.
    PS384,
    /// RSASSA-PSS with SHA-512.
    PS512,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RS256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    RS384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    RS512,
}

impl Algorithm {
    /// Returns the name, as in a token's `alg` header.
    ///
    /// ```
    /// assert_eq!(oauth2_actix::Algorithm::EdDSA.name(), "EdDSA");
    /// ```
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// Returns whether two names are those of one algorithm: `EdDSA` is that of the key's curve (RFC 9864 §2.2).
    pub(crate) fn is_same_as(self, other: Self) -> bool {
        let is_edwards = |it| matches!(it, Self::EdDSA | Self::Ed25519 | Self::Ed448);
        self == other || (is_edwards(self) && is_edwards(other))
    }

    /// Returns whether signer and verifier share one secret.
    ///
    /// ```
    /// assert!(oauth2_actix::Algorithm::HS256.is_symmetric());
    /// ```
    #[must_use]
    pub fn is_symmetric(self) -> bool {
        self.row().2 == [KeyKind::Secret]
    }

    /// Returns whether this is a parameter set of ML-DSA (RFC 9964).
    pub(crate) fn is_ml_dsa(self) -> bool {
        matches!(self, Self::MlDsa44 | Self::MlDsa65 | Self::MlDsa87)
    }

    /// Returns whether a key of this kind can make such a signature.
    pub(crate) fn fits(self, kind: KeyKind) -> bool {
        self.row().2.contains(&kind)
    }

    /// Returns the algorithms of a list of values or names, and the names that no algorithm has.
    pub(crate) fn known_and_unknown<A>(
        algorithms: impl IntoIterator<Item = A>,
    ) -> (Vec<Self>, Vec<String>)
    where
        A: TryInto<Self> + fmt::Display + Clone,
    {
        let (mut known, mut unknown) = (Vec::new(), Vec::new());
        for algorithm in algorithms {
            match algorithm.clone().try_into() {
                Ok(algorithm) => known.push(algorithm),
                Err(_) => unknown.push(algorithm.to_string()),
            }
        }
        (known, unknown)
    }

    pub(crate) fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.0)
    }

    fn row(self) -> &'static Row {
        // The table has the order of the enum, which a test checks.
        &TABLE[self as usize]
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    /// Accepts only exact names, as in the registry: `rs256` is rejected.
    fn from_str(name: &str) -> Result<Self, UnknownAlgorithm> {
        TABLE.iter().find(|row| row.1 == name).map(|row| row.0).ok_or(UnknownAlgorithm(()))
    }
}

impl TryFrom<&str> for Algorithm {
    type Error = UnknownAlgorithm;

    fn try_from(name: &str) -> Result<Self, UnknownAlgorithm> {
        name.parse()
    }
}

impl TryFrom<String> for Algorithm {
    type Error = UnknownAlgorithm;

    fn try_from(name: String) -> Result<Self, UnknownAlgorithm> {
        name.parse()
    }
}

impl<'de> Deserialize<'de> for Algorithm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// The text is not the name of an [`Algorithm`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a supported signature algorithm of RFC 7518, RFC 8037, RFC 8812 or RFC 9964")]
pub struct UnknownAlgorithm(());

/// The kind of a key, which decides the algorithms that it can be used with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyKind {
    Ed25519,
    Ed448,
    MlDsa44,
    MlDsa65,
    MlDsa87,
    P256,
    P384,
    P521,
    Rsa,
    Secp256k1,
    Secret,
}

/// A set of algorithms, as a bit mask.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct AlgorithmSet(u32);

impl AlgorithmSet {
    /// Returns the algorithms that a provider accepts unless it names others.
    pub(crate) fn by_default() -> Self {
        Algorithm::all().filter(|one| !one.is_symmetric() && !one.is_ml_dsa()).collect()
    }

    /// Returns the algorithms of a JWT-SVID (JWT-SVID §2.1).
    pub(crate) fn of_spiffe() -> Self {
        use Algorithm as A;
        [A::RS256, A::RS384, A::RS512, A::ES256, A::ES384, A::ES512, A::PS256, A::PS384, A::PS512]
            .into_iter()
            .collect()
    }

    /// Returns the algorithms of FAPI 2.0 (Security Profile §5.4.1): both names of EdDSA with Ed25519 are one algorithm.
    pub(crate) fn of_fapi2() -> Self {
        use Algorithm as A;
        [A::PS256, A::ES256, A::EdDSA, A::Ed25519].into_iter().collect::<Self>().without_ed448()
    }

    /// Returns the set with `EdDSA` for Ed25519 keys only.
    pub(crate) fn without_ed448(self) -> Self {
        Self((self.0 | WITHOUT_ED448) & !(1 << Algorithm::Ed448 as u32))
    }

    pub(crate) fn contains(self, algorithm: Algorithm) -> bool {
        self.0 & (1 << algorithm as u32) != 0
    }

    /// Returns whether the set has the algorithm for keys of this kind.
    pub(crate) fn fits(self, algorithm: Algorithm, kind: KeyKind) -> bool {
        let is_excluded = self.0 & WITHOUT_ED448 != 0 && kind == KeyKind::Ed448;
        self.contains(algorithm) && algorithm.fits(kind) && !is_excluded
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = Algorithm> {
        Algorithm::all().filter(move |algorithm| self.contains(*algorithm))
    }
}

impl FromIterator<Algorithm> for AlgorithmSet {
    fn from_iter<I: IntoIterator<Item = Algorithm>>(algorithms: I) -> Self {
        Self(algorithms.into_iter().fold(0, |set, algorithm| set | 1 << algorithm as u32))
    }
}

impl fmt::Debug for AlgorithmSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.iter()).finish()
    }
}

/// The bit of a set in which `EdDSA` is for Ed25519 keys only. The algorithms have the bits below.
const WITHOUT_ED448: u32 = 1 << 31;

type Row = (Algorithm, &'static str, &'static [KeyKind]);

const TABLE: &[Row] = &[
    (Algorithm::ES256, "ES256", &[KeyKind::P256]),
    (Algorithm::ES256K, "ES256K", &[KeyKind::Secp256k1]),
    (Algorithm::ES384, "ES384", &[KeyKind::P384]),
    (Algorithm::ES512, "ES512", &[KeyKind::P521]),
    (Algorithm::Ed25519, "Ed25519", &[KeyKind::Ed25519]),
    (Algorithm::Ed448, "Ed448", &[KeyKind::Ed448]),
    (Algorithm::EdDSA, "EdDSA", &[KeyKind::Ed25519, KeyKind::Ed448]),
    (Algorithm::HS256, "HS256", &[KeyKind::Secret]),
    (Algorithm::HS384, "HS384", &[KeyKind::Secret]),
    (Algorithm::HS512, "HS512", &[KeyKind::Secret]),
    (Algorithm::MlDsa44, "ML-DSA-44", &[KeyKind::MlDsa44]),
    (Algorithm::MlDsa65, "ML-DSA-65", &[KeyKind::MlDsa65]),
    (Algorithm::MlDsa87, "ML-DSA-87", &[KeyKind::MlDsa87]),
    (Algorithm::PS256, "PS256", &[KeyKind::Rsa]),
    (Algorithm::PS384, "PS384", &[KeyKind::Rsa]),
    (Algorithm::PS512, "PS512", &[KeyKind::Rsa]),
    (Algorithm::RS256, "RS256", &[KeyKind::Rsa]),
    (Algorithm::RS384, "RS384", &[KeyKind::Rsa]),
    (Algorithm::RS512, "RS512", &[KeyKind::Rsa]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_the_order_of_the_enum() {
        for (index, row) in TABLE.iter().enumerate() {
            assert_eq!(row.0 as usize, index);
            assert_eq!(row.0.name().parse(), Ok(row.0));
        }
    }

    #[test]
    fn names_that_differ_from_the_registry_are_rejected() {
        for name in [
            "none",
            "None",
            "nOnE",
            "",
            "rs256",
            "RS256 ",
            "RSA-OAEP",
            "HS1",
            "ml-dsa-44",
            "ML-DSA",
            "ML-DSA-45",
            "MLDSA44",
            "MlDsa44",
        ] {
            assert!(name.parse::<Algorithm>().is_err(), "{name}");
        }
    }

    #[test]
    fn hmac_and_ml_dsa_are_not_in_the_default() {
        let default = AlgorithmSet::by_default();
        for excluded in
            [Algorithm::HS256, Algorithm::MlDsa44, Algorithm::MlDsa65, Algorithm::MlDsa87]
        {
            assert!(!default.contains(excluded), "{excluded}");
        }
        assert!(default.contains(Algorithm::EdDSA));
        assert_eq!(default.iter().count(), TABLE.len() - 6);
    }

    #[test]
    fn eddsa_of_fapi_is_for_ed25519_keys_only() {
        let fapi = AlgorithmSet::of_fapi2();
        let names: Vec<_> = fapi.iter().map(Algorithm::name).collect();
        assert_eq!(names, ["ES256", "Ed25519", "EdDSA", "PS256"]);
        let named = AlgorithmSet::from_iter([Algorithm::EdDSA, Algorithm::Ed448]);
        assert!(named.fits(Algorithm::EdDSA, KeyKind::Ed448));
        for set in [fapi, named.without_ed448()] {
            assert!(set.fits(Algorithm::EdDSA, KeyKind::Ed25519));
            assert!(!set.fits(Algorithm::EdDSA, KeyKind::Ed448));
            assert!(!set.contains(Algorithm::Ed448));
        }
    }
}
