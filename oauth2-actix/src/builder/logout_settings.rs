//! The settings in code for the receivers of logouts.

use std::sync::Arc;

use crate::{
    builder::{OAuth2Builder, deserialize::nearest},
    config::{
        error::{ConfigError, ConfigErrorKind, Faults},
        names,
        provider::Provider,
    },
    jose::algorithm::Algorithm,
    logout::{BackchannelLogout, Receivers, SecurityEvents, Setup},
    provider::{ResolvedProvider, background::KeyThread},
    revocation::Revocations,
};

impl OAuth2Builder {
    /// Receives the logout tokens of providers, and revokes the tokens of the sessions that they identify
    /// ([OpenID Connect Back-Channel Logout 1.0](https://openid.net/specs/openid-connect-backchannel-1_0.html)).
    /// Default: none. Mount the receiver with [`OAuth2::logout_receivers`](crate::OAuth2::logout_receivers). In serde
    /// `backchannel_logout`: a map of `clients`, `path` and `end_all_sessions`.
    ///
    /// ```
    /// use oauth2_actix::{OAuth2, logout::BackchannelLogout, revocation::DenyList};
    ///
    /// let builder = OAuth2::builder()
    ///     .deny_list(DenyList::new())
    ///     .backchannel_logout(BackchannelLogout::new().client("keycloak", "orders-app"));
    /// # drop(builder);
    /// ```
    ///
    /// A logout token with a `sid` revokes the tokens with this `sid`. One with a `sub` alone revokes the tokens of the
    /// subject that were issued until its `iat`, plus the [`leeway`](Self::leeway), the same second included. So a later
    /// login works. The entries are for each issuer of the provider, and end after the
    /// [`token_lifetime`](crate::revocation::DenyList::token_lifetime) of the deny list. A logout token that is received
    /// again changes nothing. The sender gets 200, 400 for a message that is wrong, or 503 while keys or the deny list
    /// are not available.
    ///
    /// The provider's keys verify the message. HMAC is not accepted for it. It needs a `jti` and an `exp` in the future;
    /// its `iat` is at most 1 hour ago and 60 s ahead, or the [`leeway`](Self::leeway) if that is more.
    ///
    /// # Errors
    ///
    /// `build()` fails without a [`deny_list`](Self::deny_list), without a client, for a provider that is not configured
    /// or cannot verify messages, for a client that is listed twice, and for a path that is not plain. Messages are verified
    /// with the `keys` of a provider with an issuer and at least one asymmetric algorithm.
    /// [Tenants](crate::tenants::Tenants) cannot be used.
    pub fn backchannel_logout(mut self, logout: BackchannelLogout) -> Self {
        self.backchannel_logout = Some(logout);
        self
    }

    /// Receives security event tokens that providers push ([RFC 8935](https://www.rfc-editor.org/rfc/rfc8935)), and
    /// revokes the tokens of the sessions or subjects that they identify. Default: none. Mount the receiver with
    /// [`OAuth2::logout_receivers`](crate::OAuth2::logout_receivers). In serde `security_events`: a map of
    /// `audiences`, `path` and `authorization`.
    ///
    /// ```
    /// use oauth2_actix::{OAuth2, logout::SecurityEvents, revocation::DenyList};
    ///
    /// let builder = OAuth2::builder()
    ///     .deny_list(DenyList::new())
    ///     .security_events(SecurityEvents::new().audience("login", "https://api.example.com"));
    /// # drop(builder);
    /// ```
    ///
    /// `session-revoked` of CAEP revokes the tokens of a session or of a subject. `credential-change` revokes the tokens of
    /// a subject, except for a credential that is added. Other events are acknowledged with 202 and ignored. The tokens of
    /// a subject are revoked if they were issued until the event, plus the [`leeway`](Self::leeway). The time of the event
    /// is its `event_timestamp`, or else `toe`, if that is at most 7 days before the `iat`; otherwise it is the `iat`. The
    /// sender gets 202, 400 with a code of RFC 8935 §2.4, or 503 while keys or the deny list are not available.
    ///
    /// # Errors
    ///
    /// As for [`backchannel_logout`](Self::backchannel_logout); also if both have the same path.
    pub fn security_events(mut self, events: SecurityEvents) -> Self {
        self.security_events = Some(events);
        self
    }

    pub(super) fn logout_faults(&self) -> Faults {
        let mut faults = Faults::default();
        if let Some(logout) = &self.backchannel_logout {
            faults.push_all(logout.faults());
            self.check_deny_list(&mut faults, names::BACKCHANNEL_LOGOUT);
            self.check_providers(&mut faults, names::BACKCHANNEL_LOGOUT_CLIENTS, &logout.clients);
        }
        if let Some(events) = &self.security_events {
            faults.push_all(events.faults());
            self.check_deny_list(&mut faults, names::SECURITY_EVENTS);
            self.check_providers(&mut faults, names::SECURITY_EVENTS_AUDIENCES, &events.audiences);
        }
        if let (Some(logout), Some(events)) = (&self.backchannel_logout, &self.security_events)
            && logout.path == events.path
        {
            let problem = format_args!(
                "{:?} is also the path of `backchannel_logout`; expected a different path",
                events.path
            );
            let fault = ConfigError::of_policy(names::SECURITY_EVENTS_PATH, problem);
            faults.push(fault.of_kind(ConfigErrorKind::Conflict));
        }
        faults
    }

    fn check_deny_list(&self, faults: &mut Faults, field: &'static str) {
        if self.deny_list.is_none() {
            let problem = "no deny list is configured; expected `deny_list`";
            let fault = ConfigError::of_policy(field, problem);
            faults.push(fault.of_kind(ConfigErrorKind::Missing));
        }
    }

    fn check_providers(
        &self,
        faults: &mut Faults,
        field: &'static str,
        parties: &[(String, String)],
    ) {
        for (index, (name, _)) in parties.iter().enumerate() {
            if parties[..index].iter().any(|(earlier, _)| earlier == name) {
                continue;
            }
            let fault =
                |kind, problem: String| ConfigError::new(Some(name), field, problem).of_kind(kind);
            match self.providers.iter().find(|(known, _)| known == name) {
                Some((_, provider)) => {
                    if let Some(problem) = cannot_verify(provider) {
                        faults.push(fault(ConfigErrorKind::Conflict, problem.to_owned()));
                    }
                }
                None => {
                    let names = self.providers.iter().map(|(name, _)| name.as_str());
                    let hint = nearest(name, names)
                        .map(|meant| format!(", did you mean {meant:?}?"))
                        .unwrap_or_default();
                    let problem = format!("no provider has this name{hint}");
                    faults.push(fault(ConfigErrorKind::Unknown, problem));
                }
            }
        }
    }

    /// Returns the receivers. The settings were checked.
    pub(super) fn receivers(
        &self,
        providers: &[Arc<ResolvedProvider>],
        revocations: Option<&Arc<Revocations>>,
        keys: Option<&KeyThread>,
    ) -> Receivers {
        let Some(revocations) = revocations else { return Receivers::default() };
        let configured = self.providers.iter().zip(providers);
        let setup = Setup {
            providers: configured
                .map(|((name, provider), resolved)| {
                    (name.clone(), Arc::clone(resolved), provider.issuers.clone())
                })
                .collect(),
            fetchers: keys.map(|keys| keys.fetchers.clone()),
            revocations: Arc::clone(revocations),
            leeway: self.leeway,
            clock: self.clock.clone(),
        };
        let (logout, events) = (self.backchannel_logout.as_ref(), self.security_events.as_ref());
        Receivers::new(logout, events, &setup)
    }
}

/// Returns why no message of a provider can be accepted, if none can.
fn cannot_verify(provider: &Provider) -> Option<&'static str> {
    if provider.issuers.is_empty() {
        return Some("the provider has no `issuer`; expected the `iss` of its messages");
    }
    if provider.keys.is_empty() && provider.introspection.is_some() {
        return Some("the provider has no `keys`; expected the keys that sign its messages");
    }
    // HMAC verifies no message: others know the secret too.
    let is_symmetric = |algorithm: Algorithm| algorithm.is_symmetric();
    let symmetric_only = provider.algorithm_set().iter().all(is_symmetric);
    symmetric_only
        .then_some("the provider has symmetric `algorithms` only; expected an asymmetric one")
}
