//! Who acts for the subject of a delegated token (RFC 8693 §4.1).

use std::{fmt, iter};

use serde_json::Value;

use crate::token::claims::Claims;

/// An actor of a delegated token: one `act` claim
/// ([RFC 8693 §4.1](https://www.rfc-editor.org/rfc/rfc8693#section-4.1)), from [`Claims::actor`].
///
/// A subject is unique within one issuer only: use [`Actor::subject`] together with [`Actor::issuer`].
///
/// ```
/// use oauth2_actix::testing;
/// use serde_json::json;
///
/// let act = json!({"sub": "agent", "iss": "https://agents.example", "model": "m1"});
/// let claims = testing::claims(json!({"sub": "ann", "act": act}));
/// let actor = claims.actor().unwrap();
/// assert_eq!((actor.subject(), actor.issuer()), (Some("agent"), Some("https://agents.example")));
/// assert_eq!(actor.get("model"), Some(&json!("m1")));
/// ```
#[derive(Clone, Copy)]
pub struct Actor<'a>(&'a Value);

impl<'a> Actor<'a> {
    /// Returns the actor's `sub`. None if it is missing or no text.
    #[must_use]
    pub fn subject(self) -> Option<&'a str> {
        self.get("sub")?.as_str()
    }

    /// Returns the actor's `iss`. Without one, the actor is a subject of the token's issuer.
    #[must_use]
    pub fn issuer(self) -> Option<&'a str> {
        self.get("iss")?.as_str()
    }

    /// Returns a member of the `act` claim.
    #[must_use]
    pub fn get(self, name: &str) -> Option<&'a Value> {
        // None for a value that is not an object.
        self.0.get(name)
    }
}

/// Shows the names of the members and not their values, which are personal data.
impl fmt::Debug for Actor<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&String> =
            self.0.as_object().into_iter().flat_map(|act| act.keys()).collect();
        formatter.debug_tuple("Actor").field(&names).finish()
    }
}

impl Claims {
    /// Returns who acts for the subject: the outermost `act` claim
    /// ([RFC 8693 §4.1](https://www.rfc-editor.org/rfc/rfc8693#section-4.1)). None if the token has none: then the
    /// subject itself acts, or the issuer does not say who else does.
    ///
    /// ```
    /// # use oauth2_actix::Claims;
    /// fn author(claims: &Claims) -> String {
    ///     let subject = claims.subject().unwrap_or("an unnamed user");
    ///     match claims.actor() {
    ///         Some(actor) => format!("{} for {subject}", actor.subject().unwrap_or("an unnamed agent")),
    ///         None => subject.to_owned(),
    ///     }
    /// }
    ///
    /// let claims = oauth2_actix::testing::claims(serde_json::json!({"sub": "ann", "act": {"sub": "agent"}}));
    /// assert_eq!(author(&claims), "agent for ann");
    /// ```
    ///
    /// An `act` that is null or of another type is an actor without members: such a token is delegated too. Only
    /// this actor counts for decisions, and the actors inside it are history: see [`Claims::actor_chain`].
    #[must_use]
    pub fn actor(&self) -> Option<Actor<'_>> {
        self.get("act").map(Actor)
    }

    /// Returns the present actor, then those that acted before it, each inside the `act` of the one before: for
    /// audit logs, and not for decisions. Empty for a token without `act`. A token is nested at most 32 deep.
    ///
    /// ```
    /// # use oauth2_actix::testing;
    /// let claims = testing::claims(serde_json::json!({"act": {"sub": "b", "act": {"sub": "a"}}}));
    /// let chain: Vec<_> = claims.actor_chain().filter_map(|actor| actor.subject()).collect();
    /// assert_eq!(chain, ["b", "a"]);
    /// ```
    pub fn actor_chain(&self) -> impl Iterator<Item = Actor<'_>> {
        iter::successors(self.actor(), |actor| actor.get("act").map(Actor))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::token::verified::VerifiedToken;

    fn claims(value: Value) -> Claims {
        Claims::new(VerifiedToken::of("p", crate::json::object::Object::of(value)))
    }

    #[test]
    fn chain_begins_with_the_present_actor() {
        let claims = claims(json!({
            "act": {"sub": "c", "iss": "i", "act": {"sub": "b", "act": {"client_id": "a"}}},
        }));
        let actor = claims.actor().expect("an actor");
        assert_eq!((actor.subject(), actor.issuer()), (Some("c"), Some("i")));
        let subjects: Vec<_> = claims.actor_chain().map(Actor::subject).collect();
        assert_eq!(subjects, [Some("c"), Some("b"), None]);
        let last = claims.actor_chain().last().expect("three actors");
        assert_eq!(last.get("client_id"), Some(&json!("a")));
    }

    #[test]
    fn malformed_act_is_an_actor_without_members() {
        for act in [json!(null), json!("agent"), json!(["agent"]), json!(7), json!([{"sub": "x"}])]
        {
            let claims = claims(json!({"sub": "s", "act": act}));
            let actor = claims.actor().expect("an actor");
            assert_eq!((actor.subject(), actor.issuer()), (None, None), "{act}");
            assert_eq!(claims.actor_chain().count(), 1, "{act}");
        }
        assert!(claims(json!({"sub": "s", "may_act": {"sub": "x"}})).actor().is_none());
        assert_eq!(claims(json!({})).actor_chain().count(), 0);
    }

    #[test]
    fn debug_shows_no_values() {
        let claims = claims(json!({"act": {"sub": "a@b.example"}}));
        assert_eq!(format!("{:?}", claims.actor()), r#"Some(Actor(["sub"]))"#);
    }
}
