//! The error for claims that do not satisfy a requirement.

use serde_json::Value;

use super::{Node, Requirement};
use crate::{
    authorize::policies,
    error::{Error, ErrorKind},
    token::claims::Claims,
};

impl Requirement {
    /// Checks the claims. The error is the 401 that asks for a bound token, or names the authentication that is
    /// required, if the token lacks it (RFC 9449 §7.1, RFC 9470 §3), and otherwise the 403 that names what is required.
    pub(crate) fn check(&self, claims: &Claims) -> Result<(), Error> {
        if self.is_met(claims) {
            return Ok(());
        }
        let rules = &claims.verified().by.rules;
        let unmet = self.unmet(claims);
        let kind = if self.lacks_dpop(claims) {
            Some(ErrorKind::NotDpopBound)
        } else {
            self.lacking_authentication(claims)
        };
        let error = match kind {
            Some(kind) => {
                let error = Error::from(kind);
                // The client makes a new authorization request, which names all scopes.
                match self.challenged_scopes(rules) {
                    None => error,
                    Some(scopes) => error.with_scopes(scopes),
                }
            }
            None => Error::from(match self.lacking_scopes(claims) {
                None => ErrorKind::InsufficientClaims { required: unmet.clone().into() },
                Some(required) => ErrorKind::InsufficientScope { required },
            }),
        };
        let error = error.with_provider(&claims.verified().by.name).with_expected(unmet);
        let hint = self.authentication_hint(claims).or_else(|| self.pointer_hint(claims));
        Err(match hint {
            None => error,
            Some(hint) => error.with_hint(hint),
        })
    }

    /// Returns all scopes of the requirement if the token lacks one. A client that has all scopes would ask for
    /// them without end.
    fn lacking_scopes(&self, claims: &Claims) -> Option<String> {
        let rules = &claims.verified().by.rules;
        if self.lacks_scope(claims) { self.challenged_scopes(rules) } else { None }
    }

    /// Describes the parts that these claims do not satisfy, for the log.
    fn unmet(&self, claims: &Claims) -> String {
        match &*self.0 {
            Node::All(parts) => {
                let unmet: Vec<String> = parts
                    .iter()
                    .filter(|part| !part.is_met(claims))
                    .map(|part| part.unmet(claims))
                    .collect();
                if unmet.is_empty() { self.to_string() } else { unmet.join(" and ") }
            }
            _ => self.to_string(),
        }
    }

    /// Returns a hint for a name with dots such as `a.b`, if the token has no claim `a.b` but an object `a`.
    fn pointer_hint(&self, claims: &Claims) -> Option<String> {
        match &*self.0 {
            Node::Claim { name, .. } => {
                let (first, _) = name.split_once('.')?;
                let is_path = !name.contains('/')
                    && claims.get(name).is_none()
                    && claims.get(first).is_some_and(Value::is_object);
                is_path.then(|| {
                    let pointer = name.replace('.', "/");
                    format!("a nested claim is named by a JSON pointer: \"/{pointer}\"")
                })
            }
            Node::Any(parts) | Node::All(parts) => {
                parts.iter().find_map(|part| part.pointer_hint(claims))
            }
            Node::Policy(name) => policies::find(&claims.verified().by.rules, name)
                .and_then(|policy| policy.pointer_hint(claims)),
            _ => None,
        }
    }
}
