//! RFC 7515 to 7518.

pub(crate) mod algorithm;
mod edwards;
pub(crate) mod header;
mod hmac;
pub(crate) mod jwk;
pub(crate) mod jws;
pub(crate) mod key_document;
pub(crate) mod key_policy;
pub(crate) mod key_set;
pub(crate) mod unusable;
pub(crate) mod verifier;
