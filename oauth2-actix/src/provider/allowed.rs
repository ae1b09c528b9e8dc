//! The algorithms that the keys of a provider may be used with.

use std::fmt;

use crate::{
    config::{
        error::{ConfigError, ConfigErrorKind},
        keys::{self, Form},
        names,
        provider::Provider,
    },
    jose::{algorithm::AlgorithmSet, key_policy::CryptoBackend},
};

/// The algorithms that keys may be used with, for inline and for fetched keys.
pub(super) struct Allowed {
    pub(super) inline: AlgorithmSet,
    /// Without HMAC: any client could read a published secret and sign with it.
    pub(super) fetched: AlgorithmSet,
}

impl Allowed {
    pub(super) fn check(
        name: &str,
        provider: &Provider,
        crypto: CryptoBackend,
    ) -> Result<Self, ConfigError> {
        let inline = provider.algorithm_set();
        let is_spiffe = provider.spiffe_trust_domain.is_some();
        let (hmac, fetched): (Vec<_>, Vec<_>) =
            inline.iter().partition(|algorithm| algorithm.is_symmetric());
        let is_inline = |source: &keys::Source| matches!(source.form, Form::Inline(_));
        let fault = |problem: &dyn fmt::Display| {
            let error = ConfigError::of_provider(name, names::ALGORITHMS, problem);
            Err(error.of_kind(ConfigErrorKind::Conflict))
        };
        if let (CryptoBackend::OpenSsl, Some(ml_dsa)) =
            (crypto, fetched.iter().find(|algorithm| algorithm.is_ml_dsa()))
        {
            return fault(&format_args!(
                "{ml_dsa} is verified by AWS-LC only, and `crypto_backend` is OpenSSL: expected `aws_lc`, or \
                 algorithms without ML-DSA"
            ));
        }
        match hmac.first() {
            Some(hmac) if is_spiffe => fault(&format_args!(
                "{hmac} is symmetric, and a trust domain signs with asymmetric keys only: name \
                 asymmetric algorithms, or omit the list for those of JWT-SVIDs"
            )),
            Some(hmac) if !provider.keys.iter().any(is_inline) => {
                fault(&format_args!("{hmac} needs an inline secret, and all keys are fetched"))
            }
            Some(_) if fetched.is_empty() && !provider.keys.iter().all(is_inline) => fault(
                &"only HMAC is named, and fetched keys are never used with it: name their algorithms \
                  too",
            ),
            _ => Ok(Self { inline, fetched: fetched.into_iter().collect() }),
        }
    }

    /// Excludes Ed448 keys, also from `EdDSA`.
    pub(super) fn without_ed448(self) -> Self {
        Self { inline: self.inline.without_ed448(), fetched: self.fetched.without_ed448() }
    }
}
