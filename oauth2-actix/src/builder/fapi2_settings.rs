//! The FAPI 2.0 Security Profile: what it requires of the settings, and the defaults that it changes.

use crate::{
    builder::OAuth2Builder,
    config::{
        error::{ConfigError, ConfigErrorKind, Faults},
        fapi2::problem_of_algorithm,
        names,
    },
};

impl OAuth2Builder {
    /// Requires the [FAPI 2.0 Security Profile](https://openid.net/specs/fapi-security-profile-2_0-final.html): what
    /// it requires of a resource server is on, and `build()` fails where a setting contradicts it. In serde
    /// `fapi2: true`. Default: off.
    ///
    /// | The profile requires | Here |
    /// | --- | --- |
    /// | sender-constrained tokens, by DPoP or mutual TLS (§5.3.4, 5) | each provider has [`dpop`](crate::Provider::dpop) or [`certificate_bound`](crate::Provider::certificate_bound), and a token that is bound in neither way is rejected |
    /// | tokens in the `Authorization` header only (§5.3.4, 1 and 2) | no other location may be set: query, cookie, another header, subprotocol |
    /// | validity, integrity and expiry (§5.3.4, 3) | always |
    /// | the revocation status (§5.3.4, 3) | by a [`deny_list`](Self::deny_list), or by [introspection](crate::Provider::introspection) of every token or required [status lists](crate::Provider::status_list) at all providers: see below |
    /// | sufficient authorization, errors of RFC 6750 (§5.3.4, 4) | requirements of your routes; a missing token is 401 unless [`missing_token_status`](Self::missing_token_status) is set |
    /// | PS256, ES256 and EdDSA with Ed25519, for tokens and proofs (§5.4.1) | the default of [`Provider::algorithms`](crate::Provider::algorithms) and [`Dpop::algorithms`](crate::dpop::Dpop::algorithms); others are errors |
    /// | RSA keys of 2,048 bits, elliptic curves of 224 (§5.4.1) | always |
    /// | RFC 8725: other JWTs are not taken for access tokens (§5.4.1) | [`require_at_jwt`](crate::Provider::require_at_jwt) is on |
    /// | TLS (§5.2.1) | keys are fetched by https (http only from a loopback host), and neither `dangerous_allow_http`, `dangerous_accept_bound_tokens` nor `dangerous_http_client` may be set; that a store of used proofs has TLS is not checked |
    ///
    /// The same rules apply to the providers of [`tenants`](Self::tenants), when they are looked up.
    ///
    /// **A signed token carries no revocation status**, so `build()` fails with `fapi2()` alone. One of these verifies the
    /// status:
    ///
    /// - a [`deny_list`](Self::deny_list). Your API must then learn of revocations from its authorization server.
    /// - at all providers, [introspection](crate::Provider::introspection) of every token or required
    ///   [status lists](crate::status_list::StatusList::required). This does not count if [`tenants`](Self::tenants) are
    ///   set.
    ///
    /// Otherwise, declare that the API does not check the status, or checks it in its own code, by
    /// [`dangerous_without_revocation_status`](Self::dangerous_without_revocation_status).
    ///
    /// ```
    /// use std::time::Duration;
    /// use oauth2_actix::{Binding, Keys, OAuth2, Provider, dpop::Dpop};
    ///
    /// let bank = Provider::new()
    ///     .issuer("https://login.bank.example")
    ///     .audience("https://api.bank.example")
    ///     .keys(Keys::discover())
    ///     .dpop(Binding::Required);
    /// let oauth2 = OAuth2::builder()
    ///     .provider("bank", bank)
    ///     .dpop(Dpop::new().base_url("https://api.bank.example"))
    ///     .key_refresh_minutes(30)
    ///     .max_token_age(Duration::from_secs(5 * 60))
    ///     .fapi2()
    ///     .dangerous_without_revocation_status(true)
    ///     .build()?;
    /// # Ok::<(), oauth2_actix::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `build()` reports each setting that contradicts the profile, with the section and what is expected.
    pub fn fapi2(mut self) -> Self {
        self.fapi2 = true;
        self
    }

    /// Builds a policy of the [FAPI 2.0 profile](Self::fapi2) although it does not verify the revocation status of tokens,
    /// which §5.3.4 (3) of the profile requires: there is no [`deny_list`](Self::deny_list), and not all providers have
    /// introspection of every token or required status lists, or there are [`tenants`](Self::tenants). In serde
    /// `dangerous_without_revocation_status`. Default false.
    ///
    /// A token that the authorization server has revoked is then accepted until it expires. The API as a whole follows
    /// the profile only if it verifies the status itself, for example in the function of
    /// [`principal`](Self::principal), whose result is cached for
    /// [`principal_lifetime`](Self::principal_lifetime). Otherwise limit the damage by short lifetimes:
    /// [`max_token_age`](Self::max_token_age). An age limit is not a revocation status, so it does not replace this
    /// setting.
    ///
    /// ```
    /// let builder = oauth2_actix::OAuth2::builder().fapi2().dangerous_without_revocation_status(true);
    /// # drop(builder);
    /// ```
    ///
    /// # Errors
    ///
    /// `build()` fails if it is on without [`fapi2`](Self::fapi2), where it would have no effect.
    pub fn dangerous_without_revocation_status(mut self, accept: bool) -> Self {
        self.dangerous_without_revocation_status = accept;
        self
    }

    /// Returns the settings that the profile does not allow.
    pub(super) fn fapi2_faults(&self) -> Faults {
        let mut faults = Faults::default();
        let mut fault = |field: &'static str, problem: &str| {
            let error = ConfigError::of_policy(field, problem).of_kind(ConfigErrorKind::Conflict);
            faults.push(error);
        };
        if !self.fapi2 {
            if self.dangerous_without_revocation_status {
                let problem = "has an effect with `fapi2` only: expected both or neither";
                fault(names::DANGEROUS_WITHOUT_REVOCATION_STATUS, problem);
            }
            return faults;
        }
        if !self.dangerous_without_revocation_status && !self.verifies_revocation_status() {
            fault(
                names::FAPI2,
                "the revocation status of tokens is not verified, which FAPI 2.0 §5.3.4 (3) requires: expected \
                 `deny_list`, `introspection` of every token, required status lists, or \
                 `dangerous_without_revocation_status`, which says that the API does not verify it or verifies it in \
                 its own code",
            );
        }
        let sources = &self.token_sources;
        #[cfg(feature = "websocket")]
        let subprotocol = sources.subprotocol;
        #[cfg(not(feature = "websocket"))]
        let subprotocol = false;
        for (field, is_set) in [
            (names::TOKEN_FROM_SUBPROTOCOL, subprotocol),
            (names::TOKEN_FROM_QUERY, sources.query.is_some()),
            (names::TOKEN_FROM_HEADER, sources.header.is_some()),
            (names::TOKEN_FROM_COOKIE, sources.cookie.is_some()),
        ] {
            if is_set {
                fault(
                    field,
                    "FAPI 2.0 §5.3.4 (1 and 2) has tokens in the `Authorization` header only: expected this to be off",
                );
            }
        }
        for algorithm in self.dpop.iter().flat_map(|dpop| dpop.named_algorithms()) {
            if let Some(problem) = problem_of_algorithm(*algorithm) {
                fault(names::DPOP_ALGORITHMS, &problem);
            }
        }
        if self.ready_client.is_some() {
            fault(
                names::DANGEROUS_HTTP_CLIENT,
                "has TLS settings that cannot be checked, and FAPI 2.0 §5.2.1 requires TLS with checked certificates: \
                 expected `configure_http_client`",
            );
        }
        for (name, provider) in &self.providers {
            faults.push_all(provider.fapi2_faults(Some(name)));
        }
        faults
    }

    /// Changes the defaults to those of the profile, if it is on. The settings have no faults.
    pub(super) fn with_defaults_of_fapi2(mut self) -> Self {
        if !self.fapi2 {
            return self;
        }
        if self.has_dpop() {
            self.dpop = Some(self.dpop.unwrap_or_default().under_fapi2());
        }
        let providers = self.providers.into_iter();
        self.providers = providers.map(|(name, provider)| (name, provider.under_fapi2())).collect();
        self
    }
}
