//! The methods of [`Claims`] that check requirements in code, as the attributes do.

use crate::{
    authorize::requirement::{self, ClaimValues, Requirement},
    error::Error,
    token::claims::Claims,
};

impl Claims {
    /// Returns whether the claim equals one of `values` or is a list that contains one; never a part of a
    /// string, never a value of another type. `name` is a name or a JSON pointer, `values` as in
    /// [`requirement::claim`](crate::requirement::claim).
    #[must_use]
    pub fn has_claim(&self, name: &str, values: impl Into<ClaimValues>) -> bool {
        values.into().accept(self.find(name))
    }

    /// Returns whether the claims satisfy a requirement.
    ///
    /// ```
    /// use oauth2_actix::{Claims, requirement};
    ///
    /// fn may_refund(claims: &Claims) -> bool {
    ///     claims.satisfies(&requirement::any([requirement::claim("role", "admin"), requirement::scopes(["refunds"])]))
    /// }
    /// # let _ = may_refund;
    /// ```
    #[must_use]
    pub fn satisfies(&self, requirement: &Requirement) -> bool {
        requirement.is_met(self)
    }

    /// Checks that the claims satisfy a requirement.
    ///
    /// # Errors
    ///
    /// [`InsufficientScope`](crate::ErrorKind::InsufficientScope) if the requirement has scopes, otherwise
    /// [`InsufficientClaims`](crate::ErrorKind::InsufficientClaims): 403, and close 1008 for a WebSocket.
    pub fn require(&self, requirement: &Requirement) -> Result<(), Error> {
        requirement.check(self)
    }

    /// Checks that the token has a scope.
    ///
    /// # Errors
    ///
    /// [`InsufficientScope`](crate::ErrorKind::InsufficientScope), which is 403 `insufficient_scope` with the
    /// scope in the challenge ([RFC 6750 §3.1](https://www.rfc-editor.org/rfc/rfc6750#section-3.1)), and
    /// close 1008 for a WebSocket.
    pub fn require_scope(&self, scope: &str) -> Result<(), Error> {
        if self.has_scope(scope) { Ok(()) } else { requirement::scopes([scope]).check(self) }
    }

    /// Checks that the token has a claim, as [`Claims::has_claim`] does.
    ///
    /// ```
    /// # use oauth2_actix::{Claims, Error};
    /// fn only_admins(claims: &Claims) -> Result<(), Error> {
    ///     claims.require_claim("/realm_access/roles", "admin")
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`InsufficientClaims`](crate::ErrorKind::InsufficientClaims), which is 403 `insufficient_scope`, and
    /// close 1008 for a WebSocket.
    pub fn require_claim(&self, name: &str, values: impl Into<ClaimValues>) -> Result<(), Error> {
        let values = values.into();
        if values.accept(self.find(name)) {
            Ok(())
        } else {
            requirement::claim(name, values).check(self)
        }
    }
}
