//! What the FAPI 2.0 Security Profile requires of a provider.

use crate::{
    config::{
        binding::Binding,
        error::{ConfigError, ConfigErrorKind, Faults},
        names,
        provider::Provider,
    },
    jose::algorithm::{Algorithm, AlgorithmSet},
};

impl Provider {
    /// Returns the faults of a provider whose tokens must follow the FAPI 2.0 Security Profile.
    pub(crate) fn fapi2_faults(&self, name: Option<&str>) -> Faults {
        let mut faults = Faults::default();
        let mut fault = |field: &'static str, problem: &str| {
            let error = ConfigError::new(name, field, problem).of_kind(ConfigErrorKind::Conflict);
            faults.push(error);
        };
        if !self.dpop.is_on() && !self.certificate_bound.is_on() {
            fault(
                names::DPOP,
                "neither `dpop` nor `certificate_bound` is on, so that the tokens would be bearer tokens; FAPI 2.0 \
                 §5.3.4 (5) requires sender-constrained ones: expected one of the two to be `required`",
            );
        }
        for algorithm in self.algorithms.iter().flatten() {
            if let Some(problem) = problem_of_algorithm(*algorithm) {
                fault(names::ALGORITHMS, &problem);
            }
        }
        if self.spiffe_trust_domain.is_some() {
            fault(
                names::SPIFFE_TRUST_DOMAIN,
                "a JWT-SVID is bound to no client, and FAPI 2.0 §5.3.4 (5) requires sender-constrained access tokens: \
                 expected no trust domain",
            );
        }
        if self.dangerous_accept_bound_tokens {
            fault(
                names::DANGEROUS_ACCEPT_BOUND_TOKENS,
                "ignores what a token is bound to, which FAPI 2.0 §5.3.4 (5) requires to be verified: expected false",
            );
        }
        if self.dangerous_allow_http {
            fault(
                names::DANGEROUS_ALLOW_HTTP,
                "fetches keys without TLS, which FAPI 2.0 §5.2.1 requires: expected false",
            );
        }
        faults
    }

    /// Returns the provider as the profile has it: its algorithms, access tokens only, and a binding that is the only
    /// one is required. The provider has no faults.
    pub(crate) fn under_fapi2(mut self) -> Self {
        self.algorithms.get_or_insert_with(|| AlgorithmSet::of_fapi2().iter().collect());
        self.require_at_jwt = true;
        match (self.dpop.is_on(), self.certificate_bound.is_on()) {
            (true, false) => self.dpop = Binding::Required,
            (false, true) => self.certificate_bound = Binding::Required,
            _ => {}
        }
        self
    }
}

/// Returns what is wrong with an algorithm that the profile does not have.
pub(crate) fn problem_of_algorithm(algorithm: Algorithm) -> Option<String> {
    (!AlgorithmSet::of_fapi2().contains(algorithm)).then(|| {
        format!(
            "{algorithm} is not an algorithm of FAPI 2.0 (§5.4.1): expected PS256, ES256, EdDSA or Ed25519, or no list"
        )
    })
}
