//! Algorithms, key forms, and the libraries that verify signatures.

mod algorithms;
mod crypto_libraries;
pub(crate) mod key_forms;
mod key_selection;
