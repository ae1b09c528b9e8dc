//! The settings in code for tokens that are bound to their client.

use crate::{
    builder::OAuth2Builder,
    config::{
        binding::Binding,
        error::{ConfigError, ConfigErrorKind, Faults},
        names,
    },
    dpop::settings::Dpop,
    mtls::ForwardedCertificate,
    policy::possession::DpopChecks,
    provider::Defaults,
};

impl OAuth2Builder {
    /// Sets how DPoP proofs are checked ([RFC 9449](https://www.rfc-editor.org/rfc/rfc9449)): see [`Dpop`]. The tokens
    /// that need a proof are those of the providers with [`Provider::dpop`](crate::Provider::dpop).
    ///
    /// In serde `dpop`: a map. Default: the defaults of [`Dpop`], with the hosts of the
    /// [`resource`s](Self::resource).
    ///
    /// ```
    /// use oauth2_actix::{OAuth2, dpop::Dpop};
    ///
    /// let builder = OAuth2::builder().dpop(Dpop::new().base_url("https://api.example.com"));
    /// # drop(builder);
    /// ```
    ///
    /// # Errors
    ///
    /// `build()` fails if a base URL is not https (or http to a loopback host) or has a query or fragment; if no
    /// algorithm is named, or an unknown or symmetric one; if a duration is out of its range, or a nonce secret has
    /// less than 32 bytes; and if no provider has DPoP on.
    pub fn dpop(mut self, dpop: Dpop) -> Self {
        self.dpop = Some(dpop);
        self
    }

    /// Sets the proxy that ends TLS, and the header in which it sends the certificates of clients: see
    /// [`ForwardedCertificate`]. They are compared with what tokens of the providers with
    /// [`Provider::certificate_bound`](crate::Provider::certificate_bound) are bound to.
    ///
    /// In serde `forwarded_certificate`: a map of `format` (`rfc9440`, `nginx`, `haproxy` or `envoy`), `header` (for
    /// nginx and HAProxy), `from_peers`, `secret_header` and `secret`. Default: none; the certificates are those of the
    /// connections, which [`mtls::on_connect`](crate::mtls::on_connect) finds.
    ///
    /// ```
    /// use oauth2_actix::{OAuth2, mtls::ForwardedCertificate};
    ///
    /// let certificate = ForwardedCertificate::rfc9440().from_peers(["10.0.3.0/24"]);
    /// let builder = OAuth2::builder().forwarded_certificate(certificate);
    /// # drop(builder);
    /// ```
    ///
    /// # Errors
    ///
    /// `build()` fails without a peer and a secret, if a peer is neither an address nor a network, if the secret has
    /// less than 32 bytes, and if no provider has `certificate_bound` on.
    pub fn forwarded_certificate(mut self, forwarded: ForwardedCertificate) -> Self {
        self.forwarded_certificate = Some(forwarded);
        self
    }

    pub(super) fn possession_faults(&self) -> Faults {
        let mut faults = self.dpop.as_ref().map(Dpop::faults).unwrap_or_default();
        if self.dpop.is_some() && !self.has_dpop() {
            let problem = "no provider has DPoP on, so that no proof would be checked; expected `dpop` of a provider \
                           to be `allowed` or `required`";
            let error = ConfigError::of_policy(names::DPOP, problem);
            faults.push(error.of_kind(ConfigErrorKind::Conflict));
        }
        if self.forwarded_certificate.is_some() && !self.has_certificates() {
            let problem = "no provider has certificate-bound tokens, so that no certificate would be compared; \
                           expected `certificate_bound` of a provider to be `allowed` or `required`";
            let error = ConfigError::of_policy(names::FORWARDED_CERTIFICATE, problem);
            faults.push(error.of_kind(ConfigErrorKind::Conflict));
        }
        faults
    }

    /// Returns the checks of proofs, if DPoP is on.
    pub(super) fn dpop_checks(
        &self,
        defaults: &Defaults,
        faults: &mut Faults,
    ) -> Option<DpopChecks> {
        if !self.has_dpop() {
            return None;
        }
        let settings = self.dpop.clone().unwrap_or_default();
        if !settings.faults().is_empty() {
            // They were reported.
            return None;
        }
        let checker = faults.take(settings.checker(&defaults.resources, defaults.crypto))?;
        Some(DpopChecks {
            checker,
            store: settings.store(),
            algorithms: self.proof_algorithms().join(" "),
            is_required: self.requires_dpop(),
        })
    }

    /// Returns whether the tokens of a provider may be bound to a DPoP key. Those of tenants may if proofs are
    /// configured, since the tenants are not known yet.
    pub(super) fn has_dpop(&self) -> bool {
        self.providers.iter().any(|(_, provider)| provider.dpop.is_on())
            || (self.tenants.is_some() && self.dpop.is_some())
    }

    /// Returns the names of the algorithms of proofs. None if DPoP is off.
    pub(super) fn proof_algorithms(&self) -> Vec<String> {
        if !self.has_dpop() {
            return Vec::new();
        }
        let settings = self.dpop.clone().unwrap_or_default();
        settings.algorithm_set().iter().map(|algorithm| algorithm.name().to_owned()).collect()
    }

    /// Returns whether tokens may be bound to a client certificate. Those of tenants may, since the tenants are not
    /// known yet.
    pub(super) fn has_certificates(&self) -> bool {
        self.tenants.is_some() || self.accepts_certificates()
    }

    /// Returns whether tokens of a configured provider may be bound to a client certificate.
    pub(super) fn accepts_certificates(&self) -> bool {
        self.providers.iter().any(|(_, provider)| provider.certificate_bound.is_on())
    }

    /// Returns whether every token must be bound to a DPoP key.
    pub(super) fn requires_dpop(&self) -> bool {
        self.tenants.is_none()
            && self.providers.iter().all(|(_, provider)| provider.dpop == Binding::Required)
    }
}
