//! Requirements on who acts for the subject (RFC 8693 §4.1).

use super::{Node, Requirement};
use crate::token::claims::Claims;

/// Requires that one of these subjects acts for the token's subject: `sub` of the outermost `act`
/// ([RFC 8693 §4.1](https://www.rfc-editor.org/rfc/rfc8693#section-4.1)). They are subjects of the token's issuer: an
/// `act` with an `iss` must have the token's. Actors further inside are history and do not count.
///
/// A token without `act`, or whose `act` is malformed, does not satisfy it. Neither does any token if the list is
/// empty.
///
/// ```
/// use oauth2_actix::{requirement, testing};
///
/// let by_the_agent = requirement::actor(["billing-agent"]);
/// let claims = testing::claims(serde_json::json!({"sub": "ann", "act": {"sub": "billing-agent"}}));
/// assert!(claims.satisfies(&by_the_agent));
/// ```
pub fn actor<S: Into<String>>(subjects: impl IntoIterator<Item = S>) -> Requirement {
    let subjects = subjects.into_iter().map(Into::into).collect();
    Requirement::new(Node::Actor { subjects, issuer: None })
}

/// Requires that one of these subjects of another issuer acts for the token's subject, as [`actor`] does for
/// subjects of the token's issuer. The outermost `act` must have this `iss`.
///
/// ```
/// use oauth2_actix::{requirement, testing};
///
/// let by_the_partner = requirement::actor_of("https://idp.partner.example", ["robot"]);
/// let claims = testing::claims(serde_json::json!({
///     "iss": "https://idp.example", "act": {"iss": "https://idp.partner.example", "sub": "robot"},
/// }));
/// assert!(claims.satisfies(&by_the_partner));
/// ```
pub fn actor_of<S: Into<String>>(
    issuer: impl Into<String>,
    subjects: impl IntoIterator<Item = S>,
) -> Requirement {
    let subjects = subjects.into_iter().map(Into::into).collect();
    Requirement::new(Node::Actor { subjects, issuer: Some(issuer.into()) })
}

/// Requires that the subject itself acts: the token has no `act`
/// ([RFC 8693 §4.1](https://www.rfc-editor.org/rfc/rfc8693#section-4.1)). An `act` that is null or of another type
/// counts as one. It says nothing of an issuer that delegates without `act`.
///
/// ```
/// use oauth2_actix::{requirement, testing};
///
/// let in_person = requirement::not_delegated();
/// assert!(testing::claims(serde_json::json!({"sub": "ann"})).satisfies(&in_person));
/// assert!(!testing::claims(serde_json::json!({"sub": "ann", "act": {"sub": "agent"}})).satisfies(&in_person));
/// ```
pub fn not_delegated() -> Requirement {
    Requirement::new(Node::NotDelegated)
}

/// Returns whether one of these subjects of an issuer acts for the token's subject. Without an issuer, that of the
/// token.
pub(super) fn acts(claims: &Claims, subjects: &[String], issuer: Option<&str>) -> bool {
    let Some(actor) = claims.actor() else { return false };
    let Some(subject) = actor.subject() else { return false };
    let own_issuer = claims.issuer();
    // An `iss` of another type is not a missing one.
    let of_issuer = match actor.get("iss") {
        None => Some(own_issuer),
        Some(_) => actor.issuer(),
    };
    of_issuer == Some(issuer.unwrap_or(own_issuer)) && subjects.iter().any(|it| it == subject)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{error::ErrorKind, json::object::Object, token::verified::VerifiedToken};

    fn claims(act: Value) -> Claims {
        let claims = json!({"iss": "https://idp", "sub": "ann", "act": act});
        Claims::new(VerifiedToken::of("p", Object::of(claims)))
    }

    #[test]
    fn only_the_outermost_actor_counts() {
        let agent = actor(["agent", "robot"]);
        for act in [
            json!({"sub": "agent"}),
            json!({"sub": "robot", "iss": "https://idp"}),
            json!({"sub": "agent", "act": {"sub": "other"}}),
        ] {
            assert!(agent.is_met(&claims(act.clone())), "{act}");
        }
        for act in [
            json!({}),
            json!({"sub": "other"}),
            json!({"sub": "AGENT"}),
            json!({"sub": "agent robot"}),
            json!({"sub": ["agent"]}),
            json!({"sub": null}),
            json!({"client_id": "agent"}),
            json!({"sub": "other", "act": {"sub": "agent"}}),
            json!({"act": {"sub": "agent"}}),
            json!({"sub": "agent", "iss": "https://other"}),
            json!({"sub": "agent", "iss": null}),
            json!({"sub": "agent", "iss": ["https://idp"]}),
            json!({"sub": "agent", "iss": ""}),
            json!([{"sub": "agent"}]),
            json!("agent"),
            json!(null),
        ] {
            assert!(!agent.is_met(&claims(act.clone())), "{act}");
        }
        assert!(!actor(Vec::<String>::new()).is_met(&claims(json!({"sub": "agent"}))));
    }

    #[test]
    fn actor_of_another_issuer_has_its_iss() {
        let partner = actor_of("https://partner", ["robot"]);
        assert!(partner.is_met(&claims(json!({"sub": "robot", "iss": "https://partner"}))));
        for act in [
            json!({"sub": "robot"}),
            json!({"sub": "robot", "iss": "https://idp"}),
            json!({"sub": "robot", "iss": "https://partner/"}),
            json!({"sub": "other", "iss": "https://partner"}),
        ] {
            assert!(!partner.is_met(&claims(act.clone())), "{act}");
        }
        // An issuer that is named may be the token's own.
        assert!(actor_of("https://idp", ["robot"]).is_met(&claims(json!({"sub": "robot"}))));
    }

    #[test]
    fn any_act_is_a_delegation() {
        let own = Claims::new(VerifiedToken::of("p", Object::of(json!({"sub": "ann"}))));
        assert!(not_delegated().is_met(&own));
        for act in
            [json!({"sub": "agent"}), json!({}), json!(null), json!(""), json!([]), json!(false)]
        {
            assert!(!not_delegated().is_met(&claims(act.clone())), "{act}");
        }
    }

    #[test]
    fn error_names_what_is_required() {
        for (requirement, text) in [
            (actor(["a"]), "actor = \"a\""),
            (actor(["a", "b"]), "actor is any of \"a\", \"b\""),
            (actor_of("https://x", ["a"]), "actor of \"https://x\" = \"a\""),
            (not_delegated(), "not delegated"),
        ] {
            let error = requirement.check(&claims(json!({"sub": "other"}))).expect_err(text);
            let kind = ErrorKind::InsufficientClaims { required: text.into() };
            assert_eq!((error.kind(), error.status().as_u16()), (&kind, 403));
        }
    }
}
