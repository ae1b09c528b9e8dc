//! Random numbers from the standard library.

use std::hash::{BuildHasher, RandomState};

pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(0)
}

/// Returns a key id that is not used twice.
pub(crate) fn made_up() -> String {
    format!("{:016x}", random())
}
