//! The reason why a key is not used.

use std::borrow::Cow;

/// The reason why a key is not used. It contains no key material.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct Unusable {
    reason: Cow<'static, str>,
    is_expected: bool,
}

impl Unusable {
    /// Creates the reason for a fault in the key set, which is logged as a warning.
    pub(crate) fn new(reason: impl Into<Cow<'static, str>>) -> Self {
        Self { reason: reason.into(), is_expected: false }
    }

    /// Creates the reason for a key that correct providers publish beside their signature keys, such as a key
    /// for encryption.
    pub(crate) fn expected(reason: &'static str) -> Self {
        Self { reason: reason.into(), is_expected: true }
    }

    pub(crate) fn is_expected(&self) -> bool {
        self.is_expected
    }
}
