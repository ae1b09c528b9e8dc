//! Why a key is not used.

use std::borrow::Cow;

/// Why a key is not used. Holds no key material.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct Unusable {
    reason: Cow<'static, str>,
    is_expected: bool,
}

impl Unusable {
    /// A fault in the key set, which is reported as a warning.
    pub(crate) fn new(reason: impl Into<Cow<'static, str>>) -> Self {
        Self { reason: reason.into(), is_expected: false }
    }

    /// A key that sound providers publish beside their signature keys, such as one for encryption.
    pub(crate) fn expected(reason: &'static str) -> Self {
        Self { reason: reason.into(), is_expected: true }
    }

    pub(crate) fn is_expected(&self) -> bool {
        self.is_expected
    }
}
