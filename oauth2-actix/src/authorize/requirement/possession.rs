//! Requirements on what the token is bound to (RFC 9449 §6).

use super::{Node, Requirement};
use crate::{authorize::policies, token::claims::Claims};

/// Requires a token that is bound to a DPoP key, whose proof the request has
/// ([RFC 9449 §7](https://www.rfc-editor.org/rfc/rfc9449#section-7)). Any other token gets 401 with the challenge of
/// `DPoP` alone, also if its provider accepts bearer tokens: see [`Provider::dpop`](crate::Provider::dpop).
///
/// ```
/// use oauth2_actix::{requirement, testing};
///
/// let bound = requirement::dpop();
/// assert!(!testing::claims(serde_json::json!({"cnf": {"jkt": "not checked"}})).satisfies(&bound));
/// ```
pub fn dpop() -> Requirement {
    Requirement::new(Node::Dpop)
}

impl Requirement {
    /// Returns whether no token that is not bound to a DPoP key satisfies the requirement, and this one is not.
    pub(super) fn lacks_dpop(&self, claims: &Claims) -> bool {
        match &*self.0 {
            Node::Dpop => !self.is_met(claims),
            Node::All(parts) => parts.iter().any(|part| part.lacks_dpop(claims)),
            Node::Any(parts) => {
                !parts.is_empty() && parts.iter().all(|part| part.lacks_dpop(claims))
            }
            Node::Policy(name) => policies::find(&claims.verified().by.rules, name)
                .is_some_and(|policy| policy.lacks_dpop(claims)),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        authorize::requirement::{acr, all, any, scopes},
        json::object::Object,
        token::{confirmation::Confirmation, verified::VerifiedToken},
    };

    fn claims(key: Option<[u8; 32]>) -> Claims {
        let mut verified = VerifiedToken::of("p", Object::of(json!({"scope": "a"})));
        verified.confirmation = Some(Box::new(Confirmation {
            key,
            certificate: Some([1; 32]),
            ..Confirmation::default()
        }));
        Claims::new(verified)
    }

    #[test]
    fn only_a_token_whose_key_is_checked_satisfies_it() {
        assert!(dpop().is_met(&claims(Some([1; 32]))));
        assert!(!dpop().is_met(&claims(None)));
        let unchecked = VerifiedToken::of("p", Object::of(json!({"cnf": {"jkt": "x"}})));
        assert!(!dpop().is_met(&Claims::new(unchecked)));
    }

    #[test]
    fn error_asks_for_dpop_only_if_nothing_else_is_enough() {
        let bearer = claims(None);
        for (requirement, expected) in [
            (dpop(), "not_dpop_bound"),
            (all([scopes(["a"]), dpop()]), "not_dpop_bound"),
            (all([scopes(["b"]), acr(["x"]), dpop()]), "not_dpop_bound"),
            (any([dpop(), all([dpop(), scopes(["b"])])]), "not_dpop_bound"),
            (any([dpop(), scopes(["b"])]), "insufficient_scope"),
            (all([any([dpop(), scopes(["a"])]), scopes(["b"])]), "insufficient_scope"),
        ] {
            let error = requirement.check(&bearer).expect_err("rejected");
            assert_eq!(error.kind_name(), expected, "{requirement}");
        }
        assert!(any([dpop(), scopes(["a"])]).check(&bearer).is_ok());
    }

    #[test]
    fn text_is_stable() {
        assert_eq!(all([dpop(), scopes(["a"])]).to_string(), "(dpop and scope a)");
    }
}
