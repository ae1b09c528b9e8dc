//! Algorithms, key forms, and the libraries that verify signatures.
//!
//! - `algorithms`: a key verifies with its own algorithm only
//! - `crypto_libraries`: AWS-LC and OpenSSL accept the same signatures
//! - `key_forms`: which forms of keys are read, and which keys are unusable
//! - `key_selection`: which keys are tried for a token
//! - `ml_dsa`: ML-DSA (RFC 9964), only where it is named, against a second implementation
//! - the Ed25519 points of small order, the parser of tokens and HMAC are tested in their own files

mod algorithms;
mod crypto_libraries;
pub(crate) mod key_forms;
mod key_selection;
mod ml_dsa;
