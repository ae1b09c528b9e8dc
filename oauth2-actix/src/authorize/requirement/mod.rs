//! Requirements on the claims of a token, as values. The attribute macros use them too.
//!
//! - this file: the type `Requirement`, its general constructors and its evaluation.
//! - `authentication`: how and when the subject authenticated, and what a challenge asks of a new authentication.
//! - `delegation`: who acts for the subject.
//! - `details`: authorization details.
//! - `possession`: what the token is bound to.
//! - `rejection`: the error for claims that do not satisfy a requirement.
//! - `scopes`: the scopes that a requirement names.
//! - `text`: the text of a requirement.

mod authentication;
mod delegation;
mod details;
mod possession;
mod rejection;
mod scopes;
mod text;

use std::{borrow::Cow, sync::Arc, time::Duration};

use serde_json::Value;

pub(crate) use self::details::named_authorization_detail;
pub use self::{
    authentication::{acr, auth_age},
    delegation::{actor, actor_of, not_delegated},
    details::authorization_detail,
    possession::dpop,
};
pub use super::values::{ClaimValue, ClaimValues};
use crate::{authorize::policies, token::claims::Claims};

/// A requirement on a token's claims, made by [`claim`], [`scopes`], [`any_scope`], [`acr`], [`auth_age`],
/// [`actor`], [`not_delegated`], [`authorization_detail`], [`dpop`], [`predicate`], [`policy`], [`any`] and [`all`].
///
/// It wraps a scope or resource like any middleware, inside [`OAuth2`](crate::OAuth2), and
/// [`Claims::satisfies`] evaluates it. A claim that is missing or of another type never satisfies a
/// requirement, in any combination; there is no negation, except for [`not_delegated`].
///
/// ```
/// use actix_web::{App, HttpResponse, web};
/// use oauth2_actix::requirement::{self, ClaimValues};
/// # let oauth2 = oauth2_actix::testing::policy();
///
/// let staff = requirement::any([requirement::claim("role", ClaimValues::any_of(["admin", "support"])), requirement::scopes(["staff"])]);
/// let app = App::new()
///     .service(
///         web::scope("/back-office")
///             .wrap(requirement::all([staff, requirement::claim("email_verified", true)]))
///             .route("/", web::get().to(HttpResponse::Ok)),
///     )
///     .wrap(oauth2);
/// ```
#[derive(Clone, Debug)]
#[must_use = "a requirement does nothing until it wraps a service or is checked"]
pub struct Requirement(Arc<Node>);

/// Requirements are equal if they are the same tree. One with a function is equal only to its clones.
impl PartialEq for Requirement {
    fn eq(&self, other: &Self) -> bool {
        match (&*self.0, &*other.0) {
            (Node::Claim { name: a, values: b }, Node::Claim { name: c, values: d }) => {
                a == c && b == d
            }
            (Node::Scopes { required: a, all: b }, Node::Scopes { required: c, all: d }) => {
                a == c && b == d
            }
            (Node::Any(a), Node::Any(b)) | (Node::All(a), Node::All(b)) => a == b,
            (Node::Policy(a), Node::Policy(b)) => a == b,
            (Node::Acr(a), Node::Acr(b)) => a == b,
            (Node::AuthAge(a), Node::AuthAge(b)) => a == b,
            (Node::Actor { subjects: a, issuer: b }, Node::Actor { subjects: c, issuer: d }) => {
                a == c && b == d
            }
            (Node::NotDelegated, Node::NotDelegated) | (Node::Dpop, Node::Dpop) => true,
            _ => Arc::ptr_eq(&self.0, &other.0),
        }
    }
}

enum Node {
    Claim {
        name: String,
        values: ClaimValues,
    },
    Scopes {
        required: Vec<String>,
        all: bool,
    },
    Any(Vec<Requirement>),
    All(Vec<Requirement>),
    Policy(Cow<'static, str>),
    Acr(Vec<String>),
    AuthAge(Duration),
    Actor {
        subjects: Vec<String>,
        issuer: Option<String>,
    },
    NotDelegated,
    Dpop,
    Detail {
        detail_type: String,
        accept: Box<dyn Fn(&Value) -> bool + Send + Sync>,
        name: &'static str,
    },
    Custom {
        predicate: Box<dyn Fn(&Claims) -> bool + Send + Sync>,
        name: &'static str,
    },
}

/// Requires a claim that equals `values`, or is a list that contains it. Never a part of a string, never a
/// value of another type.
///
/// `name` is a claim's name or, if it starts with `/`, a JSON pointer
/// ([RFC 6901](https://www.rfc-editor.org/rfc/rfc6901)). Several values are given by [`ClaimValues::any_of`]
/// or [`ClaimValues::all_of`]; [`ClaimValues::present`] requires only that the claim is present and not null.
///
/// ```
/// use oauth2_actix::requirement::{self, ClaimValues};
///
/// let admin = requirement::claim("/realm_access/roles", "admin");
/// let both = requirement::claim("groups", ClaimValues::all_of(["ops", "on-call"]));
/// let second_level = requirement::claim("level", 2);
/// let with_email = requirement::claim("email", ClaimValues::present());
/// # drop((admin, both, second_level, with_email));
/// ```
pub fn claim(name: impl Into<String>, values: impl Into<ClaimValues>) -> Requirement {
    Requirement::new(Node::Claim { name: name.into(), values: values.into() })
}

/// Requires all of these scopes, in `scope` or `scp`
/// ([RFC 6749 §3.3](https://www.rfc-editor.org/rfc/rfc6749#section-3.3)). An empty list rejects every token.
///
/// ```
/// let read_and_write = oauth2_actix::requirement::scopes(["orders:read", "orders:write"]);
/// # drop(read_and_write);
/// ```
pub fn scopes<S: Into<String>>(scopes: impl IntoIterator<Item = S>) -> Requirement {
    Requirement::new(Node::Scopes {
        required: scopes.into_iter().map(Into::into).collect(),
        all: true,
    })
}

/// Requires one of these scopes. An empty list rejects every token.
///
/// ```
/// let either = oauth2_actix::requirement::any_scope(["orders:read", "orders:admin"]);
/// # drop(either);
/// ```
pub fn any_scope<S: Into<String>>(scopes: impl IntoIterator<Item = S>) -> Requirement {
    Requirement::new(Node::Scopes {
        required: scopes.into_iter().map(Into::into).collect(),
        all: false,
    })
}

/// Requires that a function of the application returns true. It must not block.
///
/// ```
/// use oauth2_actix::{Claims, requirement};
///
/// fn of_our_domain(claims: &Claims) -> bool {
///     claims.get("email").and_then(|email| email.as_str()).is_some_and(|email| email.ends_with("@example.com"))
/// }
/// let ours = requirement::predicate(of_our_domain);
/// # drop(ours);
/// ```
pub fn predicate<F>(predicate: F) -> Requirement
where
    F: Fn(&Claims) -> bool + Send + Sync + 'static,
{
    let name = std::any::type_name::<F>();
    Requirement::new(Node::Custom { predicate: Box::new(predicate), name })
}

/// Requires the policy of this name, which [`OAuth2Builder::policy`](crate::OAuth2Builder::policy) defines. If
/// the `OAuth2` that accepted the token has no such policy, the requirement rejects every token.
///
/// ```
/// use oauth2_actix::requirement;
///
/// let either = requirement::any([requirement::policy("back-office"), requirement::scopes(["admin"])]);
/// # drop(either);
/// ```
pub fn policy(name: impl Into<Cow<'static, str>>) -> Requirement {
    Requirement::new(Node::Policy(name.into()))
}

/// Requires one of several requirements. An empty list rejects every token.
///
/// ```
/// use oauth2_actix::requirement::{self, ClaimValues};
///
/// let either = requirement::any([requirement::claim("role", "admin"), requirement::scopes(["admin"])]);
/// # drop(either);
/// ```
pub fn any(requirements: impl IntoIterator<Item = Requirement>) -> Requirement {
    Requirement::new(Node::Any(requirements.into_iter().collect()))
}

/// Requires all of several requirements. An empty list rejects every token.
///
/// ```
/// use oauth2_actix::requirement::{self, ClaimValues};
///
/// let both = requirement::all([requirement::claim("role", "admin"), requirement::scopes(["admin"])]);
/// # drop(both);
/// ```
pub fn all(requirements: impl IntoIterator<Item = Requirement>) -> Requirement {
    Requirement::new(Node::All(requirements.into_iter().collect()))
}

impl Requirement {
    fn new(node: Node) -> Self {
        Self(Arc::new(node))
    }

    /// Returns whether the claims satisfy this requirement.
    pub(crate) fn is_met(&self, claims: &Claims) -> bool {
        match &*self.0 {
            Node::Claim { name, values } => values.accept(claims.find(name)),
            Node::Scopes { required, all } => {
                let has = |scope: &String| claims.has_scope(scope);
                !required.is_empty()
                    && if *all { required.iter().all(has) } else { required.iter().any(has) }
            }
            Node::Any(parts) => parts.iter().any(|part| part.is_met(claims)),
            Node::All(parts) => !parts.is_empty() && parts.iter().all(|part| part.is_met(claims)),
            Node::Policy(name) => policies::find(&claims.verified().by.rules, name)
                .is_some_and(|policy| policy.is_met(claims)),
            Node::Acr(values) => authentication::has_acr(claims, values),
            Node::AuthAge(max_age) => authentication::is_recent(claims, *max_age),
            Node::Actor { subjects, issuer } => {
                delegation::acts(claims, subjects, issuer.as_deref())
            }
            Node::NotDelegated => claims.actor().is_none(),
            Node::Dpop => claims.verified().is_bound_to_key(),
            Node::Detail { detail_type, accept, .. } => {
                claims.authorization_details(detail_type).any(accept)
            }
            Node::Custom { predicate, .. } => predicate(claims),
        }
    }

    /// Returns the names of the policies that the requirement refers to.
    pub(crate) fn policy_names(&self) -> Vec<&str> {
        match &*self.0 {
            Node::Policy(name) => vec![name],
            Node::Any(parts) | Node::All(parts) => {
                parts.iter().flat_map(Self::policy_names).collect()
            }
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::error::ErrorKind;

    fn claims(value: Value) -> Claims {
        Claims::new(crate::token::verified::VerifiedToken::of(
            "p",
            crate::json::object::Object::of(value),
        ))
    }

    #[test]
    fn a_claim_equals_or_contains_the_value() {
        let claims = claims(json!({
            "role": "administrator", "roles": ["user", "admin"], "level": 7, "ratio": 7.0,
            "on": true, "null": null, "empty": [], "deep": {"roles": ["x"]}, "nested": [["admin"]],
            "text": "7", "levels": [1, true, null, -3],
        }));
        let met = |name: &str, values: ClaimValues| claim(name, values).is_met(&claims);
        for (name, values) in [
            ("roles", "admin".into()),
            ("role", "administrator".into()),
            ("level", 7.into()),
            ("on", true.into()),
            ("/deep/roles", "x".into()),
            ("roles", ClaimValues::any_of(["x", "user"])),
            ("roles", ClaimValues::all_of(["admin", "user"])),
            ("role", ClaimValues::all_of(["administrator"])),
            ("levels", 1.into()),
            ("levels", true.into()),
            ("levels", (-3).into()),
            ("empty", ClaimValues::present()),
            ("roles", ClaimValues::present()),
        ] {
            assert!(met(name, values.clone()), "{name} {values:?}");
        }
        for (name, values) in [
            ("role", "admin".into()),
            ("roles", "adm".into()),
            ("roles", "user,admin".into()),
            ("level", "7".into()),
            ("text", 7.into()),
            ("on", "true".into()),
            ("on", 1.into()),
            ("null", "null".into()),
            ("levels", 7.into()),
            ("levels", "1".into()),
            ("levels", false.into()),
            ("ratio", 7.into()),
            ("nested", "admin".into()),
            ("deep.roles", "x".into()),
            ("missing", "x".into()),
            ("roles", ClaimValues::any_of(["x", "y"])),
            ("roles", ClaimValues::all_of(["admin", "x"])),
            ("role", ClaimValues::all_of(["administrator", "x"])),
            ("roles", ClaimValues::any_of(Vec::<&str>::new())),
            ("roles", ClaimValues::all_of(Vec::<&str>::new())),
            ("null", ClaimValues::present()),
            ("missing", ClaimValues::present()),
        ] {
            assert!(!met(name, values.clone()), "{name} {values:?}");
        }
    }

    #[test]
    fn nested_requirements_follow_boolean_logic() {
        // All trees of two levels over three leaves, compared with plain boolean logic.
        let leaf = |index: usize| claim(format!("c{index}"), true);
        for bits in 0..8_u8 {
            let truth: Vec<bool> = (0..3).map(|index| bits & (1 << index) != 0).collect();
            let claims = claims(json!({"c0": truth[0], "c1": truth[1], "c2": truth[2]}));
            let (a, b, c) = (truth[0], truth[1], truth[2]);
            for (requirement, expected) in [
                (any([leaf(0), leaf(1), leaf(2)]), a || b || c),
                (all([leaf(0), leaf(1), leaf(2)]), a && b && c),
                (any([leaf(0), all([leaf(1), leaf(2)])]), a || (b && c)),
                (all([leaf(0), any([leaf(1), leaf(2)])]), a && (b || c)),
                (any([any([leaf(0), leaf(1)]), leaf(2)]), (a || b) || c),
                (all([all([leaf(0), leaf(1)]), leaf(2)]), (a && b) && c),
                (all([any([leaf(0), leaf(1)]), leaf(2)]), (a || b) && c),
                (any([all([leaf(0), leaf(1)]), leaf(2)]), (a && b) || c),
                (all([any([leaf(0)]), all([leaf(1)])]), a && b),
                (any([leaf(0), any([])]), a),
                (any([leaf(0), all([])]), a),
                (all([leaf(0), any([])]), false),
                (all([leaf(0), all([])]), false),
                (any([]), false),
                (all([]), false),
                (all([predicate(move |_| a), leaf(1)]), a && b),
                (any([predicate(move |_| a), leaf(1)]), a || b),
            ] {
                assert_eq!(requirement.is_met(&claims), expected, "{requirement:?} of {truth:?}");
                assert_eq!(requirement.check(&claims).is_ok(), expected);
            }
        }
    }

    #[test]
    fn scopes_match_as_whole_words() {
        let claims = claims(json!({"scope": "orders:read read:all", "scp": ["staff"]}));
        assert!(scopes(["orders:read", "staff"]).is_met(&claims));
        assert!(any_scope(["x", "staff"]).is_met(&claims));
        for scope in ["read", "orders", "all", "", "orders:read read:all"] {
            assert!(!scopes([scope]).is_met(&claims), "{scope}");
        }
        assert!(!scopes(["orders:read", "x"]).is_met(&claims));
        assert!(!scopes(Vec::<String>::new()).is_met(&claims));
        assert!(!any_scope(Vec::<String>::new()).is_met(&claims));
    }

    #[test]
    fn the_error_names_the_required_scopes() {
        let claims = claims(json!({}));
        let kind = |requirement: Requirement| {
            requirement.check(&claims).expect_err("rejected").kind().clone()
        };
        let of_scopes = |required: &str| ErrorKind::InsufficientScope { required: required.into() };
        assert_eq!(kind(scopes(["a", "b"])), of_scopes("a b"));
        assert_eq!(kind(any([scopes(["a"]), any_scope(["b", "a"])])), of_scopes("a b"));
        let of_claim =
            |required: &'static str| ErrorKind::InsufficientClaims { required: required.into() };
        assert_eq!(kind(scopes(["a\" x", "\u{e4}"])), of_claim("scope a\" x \u{e4}"));
        assert_eq!(kind(claim("a", 1)), of_claim("claim a = 1"));
    }
}
