//! JSON Object Signing and Encryption, as far as verification requires it (RFC 7515 to 7518).
//!
//! It imports `error`, `json` and `util`.
//!
//! - `algorithm.rs`: signature algorithms, and sets of them
//! - `algorithm_binding.rs`: the algorithm that a key without `alg` is used with
//! - `compact.rs`: which texts have the form of a JWT
//! - `edwards.rs`: the check of Ed25519 and Ed448 public keys
//! - `header.rs`: the header of an accepted token, for applications
//! - `hmac.rs`: HMAC in constant time, and the least length of its secret
//! - `jwk.rs`: one key, from a JWK, PEM or certificate
//! - `jws.rs`: the parser for tokens
//! - `key_document.rs`: the forms of key documents: a JWK set, a list, a PEM bundle, a map of PEM
//! - `key_policy.rs`: which keys a provider may have, and what reading them may cost
//! - `key_set.rs`: the keys of a provider, and their selection by `kid`, algorithm and thumbprint
//! - `material.rs`: the values of a key, checked and normalised
//! - `ml_dsa.rs`: the parameter sets of ML-DSA
//! - `unusable.rs`: why a key is not used
//! - `verifier.rs`: the check of a signature by AWS-LC or OpenSSL

pub(crate) mod algorithm;
pub(crate) mod algorithm_binding;
pub(crate) mod compact;
mod edwards;
pub(crate) mod header;
mod hmac;
pub(crate) mod jwk;
pub(crate) mod jws;
pub(crate) mod key_document;
pub(crate) mod key_policy;
pub(crate) mod key_set;
pub(crate) mod material;
mod ml_dsa;
pub(crate) mod unusable;
pub(crate) mod verifier;
