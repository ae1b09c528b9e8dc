//! Which tokens a provider accepts: audience, `cnf`, algorithm, type and trust domain before the signature is
//! checked; clients, subjects and requirements afterwards.

use std::sync::OnceLock;

use serde_json::Value;

use crate::{
    authorize::requirement::Requirement,
    config::{
        binding::Binding,
        error::{ConfigError, ConfigErrorKind},
        names,
    },
    error::{Error, ErrorKind, listed},
    jose::{
        algorithm::Algorithm,
        compact::is_jws,
        jws::{self, TokenType, UnverifiedJws},
    },
    json::object::Object,
    provider::ResolvedProvider,
    token::{
        claims::Claims,
        confirmation::Confirmation,
        lifetime::Lifetime,
        rules::Rules,
        validation,
        verified::{VerifiedBy, VerifiedToken},
    },
    util::clock::Clock,
};

/// Checks what a provider requires of its tokens. A requirement on their age would be checked once only, since a
/// token in the cache is not checked again.
pub(crate) fn check_requirements(
    provider: &str,
    requirements: &[Requirement],
    rules: &Rules,
) -> Result<(), ConfigError> {
    if requirements.iter().any(|requirement| requirement.depends_on_time(rules)) {
        let error = ConfigError::of_provider(provider, names::REQUIRE, NO_AUTH_AGE);
        return Err(error.of_kind(ConfigErrorKind::Conflict));
    }
    Ok(())
}

/// The problem with a requirement on the age of the authentication of every token.
pub(crate) const NO_AUTH_AGE: &str = "must not depend on the age of the authentication, since it is checked only \
     when a token is verified; require it of handlers, or around the app";

impl ResolvedProvider {
    /// Returns whether the token is for one of the provider's audiences.
    pub(crate) fn names_audience(&self, claims: &Object) -> bool {
        validation::names_audience(claims, &self.audience_claim, &self.audiences)
            || self.names_resource(claims)
    }

    /// Returns whether the token's `aud` names one of the protected resources.
    fn names_resource(&self, claims: &Object) -> bool {
        !self.resources.is_empty()
            && validation::has_only_text(claims, "aud")
            && validation::audiences(claims, "aud")
                .any(|audience| self.resources.iter().any(|uri| uri.is(audience)))
    }

    /// Makes the checks of one provider that need no key. Returns what the token is bound to, which is checked with
    /// every request.
    pub(crate) fn check(&self, jws: &UnverifiedJws) -> Result<Option<Box<Confirmation>>, Error> {
        let confirmation = self.check_confirmation(&jws.claims)?;
        if !self.algorithms.contains(jws.header.alg) {
            let allowed = self.algorithms.iter().map(Algorithm::name);
            return Err(Error::from(ErrorKind::AlgorithmNotAllowed).with_expected(listed(allowed)));
        }
        self.check_type(jws.header.typ)?;
        // A JWT-SVID has other claims.
        if self.require_at_jwt && self.trust_domain.is_none() {
            validation::check_access_token(&jws.claims)?;
        }
        self.check_subject(&jws.claims)?;
        Ok(confirmation)
    }

    /// Returns what a token is bound to. Rejects one that is bound to something that is not checked, and one that is
    /// not bound where the provider's tokens must be.
    pub(crate) fn check_confirmation(
        &self,
        claims: &Object,
    ) -> Result<Option<Box<Confirmation>>, Error> {
        let confirmation = if !validation::is_sender_constrained(claims) {
            Confirmation::default()
        } else if self.dangerous_accept_bound_tokens {
            return Ok(None);
        } else {
            Confirmation::read(claims, self.certificate_bound.is_on())
                .filter(|confirmation| !confirmation.is_empty())
                // Such a token is no bearer token, also if its certificate is checked (RFC 9449 §7.2).
                .filter(|confirmation| confirmation.key.is_none() || self.dpop.is_on())
                .ok_or(ErrorKind::SenderConstrained)?
        };
        if confirmation.key.is_none() && self.dpop == Binding::Required {
            return Err(ErrorKind::NotDpopBound.into());
        }
        if confirmation.certificate.is_none() && self.certificate_bound == Binding::Required {
            return Err(ErrorKind::NotCertificateBound.into());
        }
        if confirmation.is_empty() && self.must_be_bound {
            return Err(match self.dpop {
                Binding::Off => ErrorKind::NotCertificateBound,
                Binding::Allowed | Binding::Required => ErrorKind::NotDpopBound,
            }
            .into());
        }
        Ok((!confirmation.is_empty()).then(|| Box::new(confirmation)))
    }

    /// Checks the type of a JWT that was introspected. Its signature is not verified: the issuer has confirmed this very text.
    pub(crate) fn check_introspected_type(&self, token: &str) -> Result<(), Error> {
        if !self.require_at_jwt || !is_jws(token) {
            return Ok(());
        }
        let jws = UnverifiedJws::parse(token)?;
        self.check_type(jws.header.typ)?;
        validation::check_access_token(&jws.claims)
    }

    /// Checks whether the provider's tokens may have this type.
    fn check_type(&self, typ: TokenType) -> Result<(), Error> {
        let expected = match typ {
            TokenType::AccessToken => return Ok(()),
            _ if self.require_at_jwt => "at+jwt",
            TokenType::Jwt => return Ok(()),
            TokenType::Jose if self.trust_domain.is_some() => return Ok(()),
            TokenType::Jose => jws::TYPES,
        };
        Err(Error::from(ErrorKind::TypeNotAllowed).with_expected(expected))
    }

    /// Checks what is required of every token of the provider, after its signature: the result tells of clients
    /// and subjects that are allowed.
    pub(crate) fn check_verified(
        &self,
        claims: &Object,
        verified_by: (VerifiedBy, Lifetime),
        confirmation: &Option<Box<Confirmation>>,
        clock: &Clock,
    ) -> Result<(), Error> {
        let is_allowed = |allowed: &Option<Vec<String>>, value: Option<&str>| {
            allowed.as_ref().is_none_or(|allowed| {
                value.is_some_and(|value| allowed.iter().any(|allowed| allowed == value))
            })
        };
        if !is_allowed(&self.clients, validation::client_id(claims)) {
            return Err(ErrorKind::ClientNotAllowed.into());
        }
        let subject = claims.get("sub").and_then(Value::as_str);
        if !is_allowed(&self.subjects, subject) {
            return Err(ErrorKind::SubjectNotAllowed.into());
        }
        if self.requirements.is_empty() {
            return Ok(());
        }
        let (verified_by, lifetime) = verified_by;
        let claims = Claims::new(VerifiedToken {
            by: self.accepted_by(),
            verified_by,
            lifetime,
            // A copy, since the claims of the token move into the accepted one.
            claims: claims.clone(),
            token: Box::default(),
            confirmation: confirmation.clone(),
            principal: OnceLock::new(),
            revocable: None,
            status: None,
            clock: clock.clone(),
        });
        match self.requirements.iter().find(|requirement| !requirement.is_met(&claims)) {
            None => Ok(()),
            Some(unmet) => {
                let required = unmet.to_string();
                let error = ErrorKind::RequirementNotMet { required: required.clone() };
                Err(Error::from(error).with_expected(required))
            }
        }
    }

    /// Checks whether the provider's tokens may have this subject: a JWT-SVID is verified by the keys of the
    /// trust domain that its subject is in, and by no others (SPIFFE Trust Domain and Bundle §3).
    fn check_subject(&self, claims: &Object) -> Result<(), Error> {
        let Some(own) = &self.trust_domain else { return Ok(()) };
        if validation::trust_domain(claims) == Some(own) {
            return Ok(());
        }
        let error = Error::from(ErrorKind::ClaimInvalid { claim: "sub" });
        Err(error.with_expected(format!("a SPIFFE ID of the trust domain {own}")))
    }
}
