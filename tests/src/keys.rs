//! Signing keys for every algorithm, generated once, since RSA keys take long.

use std::sync::LazyLock;

use oauth2_actix::{Algorithm, testing::SigningKey};

/// One key for each algorithm but ML-DSA, with the algorithm's name as its kid.
pub static EVERY: LazyLock<Vec<SigningKey>> = LazyLock::new(|| {
    use Algorithm as A;
    [
        A::ES256,
        A::ES256K,
        A::ES384,
        A::ES512,
        A::Ed25519,
        A::Ed448,
        A::EdDSA,
        A::HS256,
        A::HS384,
        A::HS512,
        A::PS256,
        A::PS384,
        A::PS512,
        A::RS256,
        A::RS384,
        A::RS512,
    ]
    .into_iter()
    .map(|algorithm| SigningKey::generate(algorithm, algorithm.name()))
    .collect()
});

/// One key for each algorithm of ML-DSA, which a provider accepts only where it names it, and OpenSSL does not have.
pub static ML_DSA: LazyLock<Vec<SigningKey>> = LazyLock::new(|| {
    [Algorithm::MlDsa44, Algorithm::MlDsa65, Algorithm::MlDsa87]
        .into_iter()
        .map(|algorithm| SigningKey::generate(algorithm, algorithm.name()))
        .collect()
});

/// Returns the key for an algorithm.
#[must_use]
pub fn key(algorithm: Algorithm) -> &'static SigningKey {
    EVERY.iter().chain(ML_DSA.iter()).find(|key| key.algorithm() == algorithm).unwrap()
}
