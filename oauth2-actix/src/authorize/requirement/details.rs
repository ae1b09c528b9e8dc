//! Requirements on authorization details (RFC 9396).

use std::any::type_name;

use serde_json::Value;

use super::{Node, Requirement};
use crate::{authorize::policies, token::rules::Rules};

/// Requires an object of this `type` in `authorization_details`
/// ([RFC 9396 §9.1](https://www.rfc-editor.org/rfc/rfc9396#section-9.1)) that a function of the application accepts.
/// The function must not block.
///
/// It gets the objects that [`Claims::authorization_details`](crate::Claims::authorization_details) returns: those
/// of the whole `type`, in a well-formed claim, whose `locations`, if there are any, name this API: any of its
/// resources, if it has several.
///
/// ```
/// use oauth2_actix::{requirement, testing};
///
/// let in_euros = requirement::authorization_detail("payment_initiation", |detail| {
///     detail["instructedAmount"]["currency"] == "EUR"
/// });
/// let claims = testing::claims(serde_json::json!({
///     "authorization_details": [{"type": "payment_initiation", "instructedAmount": {"currency": "EUR"}}],
/// }));
/// assert!(claims.satisfies(&in_euros));
/// ```
pub fn authorization_detail<F>(detail_type: impl Into<String>, accept: F) -> Requirement
where
    F: Fn(&Value) -> bool + Send + Sync + 'static,
{
    named_authorization_detail(detail_type, accept, type_name::<F>())
}

/// Requires an authorization detail that the function of this name accepts.
pub(crate) fn named_authorization_detail<F>(
    detail_type: impl Into<String>,
    accept: F,
    name: &'static str,
) -> Requirement
where
    F: Fn(&Value) -> bool + Send + Sync + 'static,
{
    let detail_type = detail_type.into();
    Requirement::new(Node::Detail { detail_type, accept: Box::new(accept), name })
}

impl Requirement {
    /// Returns all types of authorization details that the requirement names, for the lists of types that an API
    /// uses.
    pub(crate) fn named_detail_types(&self, rules: &Rules) -> Vec<String> {
        match &*self.0 {
            Node::Detail { detail_type, .. } => vec![detail_type.clone()],
            Node::Any(parts) | Node::All(parts) => {
                parts.iter().flat_map(|part| part.named_detail_types(rules)).collect()
            }
            Node::Policy(name) => policies::find(rules, name)
                .map(|policy| policy.named_detail_types(rules))
                .unwrap_or_default(),
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        authorize::requirement::{all, any, scopes},
        error::ErrorKind,
        json::object::Object,
        token::{claims::Claims, verified::VerifiedToken},
    };

    fn claims(details: Value) -> Claims {
        let claims = json!({"scope": "pay", "authorization_details": details});
        Claims::new(VerifiedToken::of("p", Object::of(claims)))
    }

    fn small(detail: &Value) -> bool {
        detail["amount"].as_u64().is_some_and(|amount| amount <= 100)
    }

    #[test]
    fn one_detail_that_is_accepted_is_enough() {
        let payment = authorization_detail("pay", small);
        for details in [
            json!([{"type": "pay", "amount": 100}]),
            json!([{"type": "pay", "amount": 900}, {"type": "pay", "amount": 1}]),
            json!([{"type": "other"}, {"type": "pay", "amount": 1}]),
        ] {
            assert!(payment.is_met(&claims(details.clone())), "{details}");
        }
        for details in [
            json!([]),
            json!([{"type": "pay"}]),
            json!([{"type": "pay", "amount": 101}]),
            json!([{"type": "pay2", "amount": 1}]),
            json!([{"type": ["pay"], "amount": 1}]),
            json!([{"type": "pay", "amount": 1, "locations": ["https://api"]}]),
            json!([{"type": "pay", "amount": 1}, {"amount": 1}]),
            json!({"type": "pay", "amount": 1}),
        ] {
            assert!(!payment.is_met(&claims(details.clone())), "{details}");
        }
    }

    #[test]
    fn error_names_the_type_and_the_function() {
        let payment = named_authorization_detail("pay", small, "small");
        let required = "authorization detail pay that small accepts";
        let kind = |requirement: &Requirement| {
            requirement.check(&claims(json!([]))).expect_err("rejected").kind().clone()
        };
        let unmet = ErrorKind::InsufficientClaims { required: required.into() };
        assert_eq!(kind(&payment), unmet);
        // With scopes both must hold, and a scope that the token has is not asked for.
        assert_eq!(kind(&all([scopes(["pay"]), payment])), unmet);
    }

    #[test]
    fn types_are_listed() {
        let detail = |name: &'static str| authorization_detail(name, small);
        let both = all([detail("a"), any([detail("b"), scopes(["c"])])]);
        assert_eq!(both.named_detail_types(&Rules::default()), ["a", "b"]);
    }
}
