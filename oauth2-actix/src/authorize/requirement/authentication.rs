//! Requirements on how and when the subject authenticated, and what a challenge asks of a new authentication
//! (RFC 9470).

use std::time::Duration;

use super::{Node, Requirement};
use crate::{
    authorize::policies,
    error::ErrorKind,
    token::{claims::Claims, lifetime, rules::Rules, scope::is_scope_token},
};

/// Requires that the subject authenticated in one of these ways: `acr` equals one of the values
/// ([RFC 9470 §6.1](https://www.rfc-editor.org/rfc/rfc9470#section-6.1)). They are in the order of preference, in
/// which the challenge names them. A list in `acr` never satisfies it.
///
/// A token that does not satisfy it gets 401 `insufficient_user_authentication`
/// ([RFC 9470 §3](https://www.rfc-editor.org/rfc/rfc9470#section-3)), so that the client steps up. A value is
/// printable ASCII without spaces, quotes and backslashes; another one satisfies no token. Neither does an empty
/// list.
///
/// ```
/// use oauth2_actix::{requirement, testing};
///
/// let strong = requirement::acr(["urn:example:hardware-key", "urn:example:otp"]);
/// let claims = testing::claims(serde_json::json!({"acr": "urn:example:otp"}));
/// assert!(claims.satisfies(&strong));
/// assert_eq!(testing::claims(serde_json::json!({})).require(&strong).unwrap_err().status(), 401);
/// ```
pub fn acr<S: Into<String>>(values: impl IntoIterator<Item = S>) -> Requirement {
    Requirement::new(Node::Acr(values.into_iter().map(Into::into).collect()))
}

/// Requires that the subject authenticated at most this time ago: by `auth_time`
/// ([RFC 9470 §6.1](https://www.rfc-editor.org/rfc/rfc9470#section-6.1)), with the leeway of the policy, at each
/// request. An `auth_time` that is missing, of another type or in the future does not satisfy it.
///
/// A token that does not satisfy it gets 401 `insufficient_user_authentication` with `max_age` in whole seconds,
/// rounded down. An age of zero rejects nearly every token.
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// use oauth2_actix::{requirement, testing};
///
/// let recent = requirement::auth_age(Duration::from_secs(300));
/// let now = UNIX_EPOCH.elapsed().unwrap().as_secs();
/// let of = |auth_time: u64| testing::claims(serde_json::json!({"auth_time": auth_time}));
/// assert!(of(now - 60).satisfies(&recent));
/// assert!(!of(now - 360).satisfies(&recent));
/// ```
///
/// It cannot be part of [`Provider::require`](crate::Provider::require), which is checked only when a token is
/// verified.
pub fn auth_age(max_age: Duration) -> Requirement {
    Requirement::new(Node::AuthAge(max_age))
}

pub(super) fn has_acr(claims: &Claims, values: &[String]) -> bool {
    let acr = claims.get("acr").and_then(|acr| acr.as_str());
    acr.is_some_and(|acr| is_scope_token(acr) && values.iter().any(|value| value == acr))
}

pub(super) fn is_recent(claims: &Claims, max_age: Duration) -> bool {
    let verified = claims.verified();
    let (leeway, now) = (verified.by.rules.leeway, verified.clock.unix_time());
    lifetime::is_recent(&verified.claims, "auth_time", max_age, leeway, now)
}

/// One way to satisfy a requirement: what it needs of the authentication, and what of it the token lacks.
#[derive(Clone, Default)]
struct Alternative<'a> {
    /// The values of `acr` of which one is needed. None if any is accepted.
    acr: Option<Vec<&'a str>>,
    max_age: Option<Duration>,
    lacks_authentication: bool,
    lacks_scope: bool,
    lacks_other: bool,
}

impl<'a> Alternative<'a> {
    /// Returns what both need. None if no token has both.
    fn and(&self, other: &Self) -> Option<Self> {
        let acr = match (&self.acr, &other.acr) {
            (Some(one), Some(other)) => {
                let both: Vec<_> = one.iter().copied().filter(|acr| other.contains(acr)).collect();
                (!both.is_empty()).then_some(Some(both))?
            }
            (one, other) => one.clone().or_else(|| other.clone()),
        };
        Some(Self {
            acr,
            max_age: least(self.max_age, other.max_age),
            lacks_authentication: self.lacks_authentication || other.lacks_authentication,
            lacks_scope: self.lacks_scope || other.lacks_scope,
            lacks_other: self.lacks_other || other.lacks_other,
        })
    }

    /// Returns how far the token is from this alternative. A client gets scopes and another authentication by one
    /// request, and other claims by none.
    fn distance(&self) -> u8 {
        let of = |lacks: bool, distance: u8| if lacks { distance } else { 0 };
        of(self.lacks_authentication, 1) + of(self.lacks_scope, 1) + of(self.lacks_other, 4)
    }
}

impl Requirement {
    /// Returns the error that asks for another authentication, if the token lacks one.
    ///
    /// Of the alternatives in [`any`](super::any), only those that the token is nearest to count. A token with what
    /// the challenge names lacks no authentication in any of these, so a client does not step up without end.
    pub(super) fn lacking_authentication(&self, claims: &Claims) -> Option<ErrorKind> {
        // Most requirements need none, and their parts are not evaluated again.
        if !self.needs_authentication(&claims.verified().by.rules) {
            return None;
        }
        let alternatives = self.alternatives(claims);
        let nearest = alternatives.iter().map(Alternative::distance).min()?;
        let mut lacking = alternatives
            .iter()
            .filter(|it| it.distance() == nearest && it.lacks_authentication)
            .peekable();
        lacking.peek()?;
        let (mut acr_values, mut max_age) = (Vec::<String>::new(), None);
        for alternative in lacking {
            max_age = least(max_age, alternative.max_age);
            for acr in alternative.acr.iter().flatten() {
                if !acr_values.iter().any(|value| value == acr) {
                    acr_values.push((*acr).to_owned());
                }
            }
        }
        Some(ErrorKind::InsufficientAuthentication { acr_values, max_age })
    }

    /// Returns whether a part of the requirement is about the authentication.
    pub(crate) fn needs_authentication(&self, rules: &Rules) -> bool {
        self.has_part(rules, &|node| matches!(node, Node::Acr(_) | Node::AuthAge(_)))
    }

    /// Returns whether the same claims satisfy the requirement at one time and not at another.
    pub(crate) fn depends_on_time(&self, rules: &Rules) -> bool {
        self.has_part(rules, &|node| matches!(node, Node::AuthAge(_)))
    }

    fn has_part(&self, rules: &Rules, is_it: &dyn Fn(&Node) -> bool) -> bool {
        match &*self.0 {
            Node::Any(parts) | Node::All(parts) => {
                parts.iter().any(|part| part.has_part(rules, is_it))
            }
            Node::Policy(name) => {
                policies::find(rules, name).is_some_and(|policy| policy.has_part(rules, is_it))
            }
            node => is_it(node),
        }
    }

    /// Returns the first alternatives, each of which is enough. Those that no token satisfies are left out.
    fn alternatives<'a>(&'a self, claims: &'a Claims) -> Vec<Alternative<'a>> {
        let rules = &claims.verified().by.rules;
        let is_lacking = || !self.is_met(claims);
        match &*self.0 {
            Node::Acr(values) => {
                let usable = values.iter().map(String::as_str).filter(|acr| is_scope_token(acr));
                let acr: Vec<_> = usable.collect();
                if acr.is_empty() {
                    return Vec::new();
                }
                let lacks_authentication = is_lacking();
                vec![Alternative { acr: Some(acr), lacks_authentication, ..Alternative::default() }]
            }
            Node::AuthAge(max_age) => {
                let (max_age, lacks_authentication) = (Some(*max_age), is_lacking());
                vec![Alternative { max_age, lacks_authentication, ..Alternative::default() }]
            }
            Node::Scopes { .. } => {
                vec![Alternative { lacks_scope: is_lacking(), ..Alternative::default() }]
            }
            Node::Any(parts) => {
                parts.iter().flat_map(|part| part.alternatives(claims)).take(MOST).collect()
            }
            Node::All(parts) if parts.is_empty() => Vec::new(),
            Node::All(parts) => parts.iter().fold(vec![Alternative::default()], |before, part| {
                let of_part = part.alternatives(claims);
                let pairs = before.iter().flat_map(|one| of_part.iter().map(move |it| one.and(it)));
                pairs.flatten().take(MOST).collect()
            }),
            Node::Policy(name) => policies::find(rules, name)
                .map(|policy| policy.alternatives(claims))
                .unwrap_or_default(),
            _ => vec![Alternative { lacks_other: is_lacking(), ..Alternative::default() }],
        }
    }

    /// Returns a hint if the token has no claim about the authentication at all.
    pub(super) fn authentication_hint(&self, claims: &Claims) -> Option<String> {
        match &*self.0 {
            Node::Acr(_) if claims.get("acr").is_none() => Some("acr"),
            Node::AuthAge(_) if claims.get("auth_time").is_none() => Some("auth_time"),
            Node::Any(parts) | Node::All(parts) => {
                return parts.iter().find_map(|part| part.authentication_hint(claims));
            }
            Node::Policy(name) => {
                return policies::find(&claims.verified().by.rules, name)
                    .and_then(|policy| policy.authentication_hint(claims));
            }
            _ => None,
        }
        .map(|claim| {
            format!("the token has no claim `{claim}`: let the provider add it to access tokens")
        })
    }
}

fn least(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    one.into_iter().chain(other).min()
}

/// The most alternatives of a requirement that are compared. Each is a whole one, so a challenge for some of them
/// is right too.
const MOST: usize = 64;

#[cfg(test)]
mod tests {
    use std::sync::{Arc, LazyLock};

    use serde_json::{Value, json};

    use super::*;
    use crate::{
        authorize::requirement::{all, any, claim, predicate, scopes},
        error::Error,
        json::object::Object,
        token::verified::VerifiedToken,
        util::{clock::Clock, manual_clock::ManualClock},
    };

    /// A clock that no test advances.
    static STOPPED: LazyLock<ManualClock> = LazyLock::new(ManualClock::new);
    static NOW: LazyLock<u64> = LazyLock::new(|| STOPPED.unix_seconds());

    fn claims(value: Value) -> Claims {
        let mut verified = VerifiedToken::of("p", Object::of(value));
        verified.clock = Clock::Manual(STOPPED.clone());
        Claims::new(verified)
    }

    fn within(seconds: u64) -> Requirement {
        auth_age(Duration::from_secs(seconds))
    }

    fn error(requirement: &Requirement, value: Value) -> Error {
        requirement.check(&claims(value)).expect_err("rejected")
    }

    /// Returns `acr_values` and `max_age` of the challenge, or the name of another error.
    fn step_up(requirement: &Requirement, value: Value) -> String {
        let error = error(requirement, value);
        match error.kind() {
            ErrorKind::InsufficientAuthentication { acr_values, max_age } => {
                let age = max_age.map(|age| format!(" {}", age.as_secs())).unwrap_or_default();
                format!("{}{age}", acr_values.join(" "))
            }
            _ => error.kind_name().to_owned(),
        }
    }

    #[test]
    fn acr_equals_one_of_the_values() {
        let strong = acr(["urn:a", "urn:b"]);
        for value in ["urn:a", "urn:b"] {
            assert!(strong.is_met(&claims(json!({"acr": value}))), "{value}");
        }
        for value in [
            json!("urn:c"),
            json!("urn:A"),
            json!("urn:a urn:b"),
            json!("urn:a "),
            json!("urn"),
            json!(""),
            json!(["urn:a"]),
            json!({"urn:a": true}),
            json!(1),
            json!(null),
        ] {
            assert!(!strong.is_met(&claims(json!({"acr": value}))), "{value}");
        }
        assert!(!strong.is_met(&claims(json!({"amr": ["urn:a"], "acrs": "urn:a"}))));
        // No challenge can ask for these values.
        for value in ["", "a b", "a\"", "\u{e4}"] {
            assert!(!acr([value]).is_met(&claims(json!({"acr": value}))), "{value}");
        }
        assert!(!acr(Vec::<String>::new()).is_met(&claims(json!({"acr": ""}))));
    }

    #[test]
    fn age_is_judged_by_the_time_of_each_check() {
        let clock = ManualClock::new();
        let auth_time = clock.unix_seconds() - 100;
        let mut verified = VerifiedToken::of("p", Object::of(json!({"auth_time": auth_time})));
        verified.clock = Clock::Manual(clock.clone());
        let leeway = Duration::from_secs(30);
        verified.by.rules = Arc::new(Rules { leeway, ..Rules::default() });
        let (claims, recent) = (Claims::new(verified), within(300));
        assert!(recent.is_met(&claims));
        clock.advance(Duration::from_secs(230));
        assert!(recent.is_met(&claims), "the leeway counts");
        clock.advance(Duration::from_secs(1));
        assert!(!recent.is_met(&claims));
    }

    #[test]
    fn authentication_is_required_before_scopes_and_claims() {
        let rule = all([acr(["gold", "silver"]), within(300), scopes(["pay"]), claim("role", "x")]);
        for value in [
            json!({}),
            json!({"acr": "bronze", "auth_time": *NOW}),
            json!({"acr": "gold", "auth_time": *NOW - 301}),
            json!({"acr": "gold", "auth_time": *NOW + 1, "scope": "pay", "role": "x"}),
        ] {
            let error = error(&rule, value.clone());
            assert_eq!(step_up(&rule, value), "gold silver 300");
            assert_eq!(
                (error.status().as_u16(), error.code()),
                (401, Some("insufficient_user_authentication"))
            );
        }
        let authenticated = json!({"acr": "silver", "auth_time": *NOW});
        assert_eq!(step_up(&rule, authenticated), "insufficient_scope");
        let scoped = json!({"acr": "silver", "auth_time": *NOW, "scope": "pay"});
        assert_eq!(step_up(&rule, scoped), "insufficient_claims");
    }

    #[test]
    fn stacked_requirements_are_joined_to_what_satisfies_all() {
        let rule = all([acr(["a", "b", "c"]), acr(["c", "b"]), within(300), within(60)]);
        assert_eq!(step_up(&rule, json!({"acr": "a"})), "b c 60");
        // No step-up helps, so none is asked for.
        let impossible = all([acr(["a"]), acr(["b"])]);
        for value in [json!({}), json!({"acr": "a"}), json!({"acr": "b"})] {
            assert_eq!(step_up(&impossible, value), "insufficient_claims");
        }
        assert_eq!(step_up(&acr(["a b", ""]), json!({})), "insufficient_claims");
        assert_eq!(step_up(&all([acr(["a"]), any([])]), json!({})), "insufficient_claims");
    }

    #[test]
    fn alternatives_that_the_token_is_nearest_to_are_challenged() {
        let either = any([acr(["gold"]), all([acr(["silver"]), within(60)])]);
        assert_eq!(step_up(&either, json!({})), "gold silver 60");
        // Another authentication is enough for the second alternative only.
        let staff_or_gold = any([
            all([claim("role", "admin"), acr(["gold"])]),
            all([claim("role", "staff"), acr(["silver"])]),
        ]);
        assert_eq!(step_up(&staff_or_gold, json!({"role": "staff"})), "silver");
        assert_eq!(step_up(&staff_or_gold, json!({"role": "staff", "acr": "gold"})), "silver");
        assert_eq!(step_up(&staff_or_gold, json!({})), "gold silver");
        // It has what the challenge asked for, and lacks the claim alone.
        assert_eq!(step_up(&staff_or_gold, json!({"acr": "gold"})), "insufficient_claims");
        let scope_or_gold = any([scopes(["admin"]), acr(["gold"])]);
        assert_eq!(step_up(&scope_or_gold, json!({})), "gold");
        let scope_is_nearer = any([scopes(["admin"]), all([acr(["gold"]), claim("role", "x")])]);
        assert_eq!(step_up(&scope_is_nearer, json!({})), "insufficient_scope");
    }

    #[test]
    fn challenge_that_is_met_is_not_repeated() {
        // All trees of two levels over these leaves: a client that gets what the challenge names, with all scopes
        // or none, is never asked for the same again.
        let leaves: [fn() -> Requirement; 6] = [
            || acr(["a"]),
            || acr(["b", "a"]),
            || acr(["c"]),
            || within(60),
            || scopes(["s"]),
            || claim("role", "x"),
        ];
        let pair = |kind: usize, one: Requirement, other: Requirement| {
            if kind == 0 { any([one, other]) } else { all([one, other]) }
        };
        let mut challenges = 0;
        for index in 0..leaves.len().pow(4) * 8 {
            let (kinds, leaf) = (index % 8, index / 8);
            let leaf = |position: u32| leaves[leaf / leaves.len().pow(position) % leaves.len()]();
            let requirement = pair(
                kinds & 1,
                pair(kinds >> 1 & 1, leaf(0), leaf(1)),
                pair(kinds >> 2 & 1, leaf(2), leaf(3)),
            );
            for (scope, role) in [("", ""), ("s", ""), ("", "x"), ("s", "x")] {
                let mut token = json!({"scope": scope, "role": role});
                // A first challenge, and those for the alternatives that were further away.
                for round in 0.. {
                    assert!(round < 4, "{requirement} is challenged without end");
                    let rejected = requirement.check(&claims(token.clone()));
                    let Err(error) = rejected else { break };
                    let ErrorKind::InsufficientAuthentication { acr_values, max_age } =
                        error.kind()
                    else {
                        break;
                    };
                    challenges += 1;
                    assert!(!acr_values.is_empty() || max_age.is_some(), "{requirement}");
                    let before = token.clone();
                    let chosen =
                        if index % 3 == 0 { acr_values.last() } else { acr_values.first() };
                    if let Some(chosen) = chosen {
                        token["acr"] = json!(chosen);
                    }
                    let age = max_age.map_or(1_000, |age| age.as_secs());
                    token["auth_time"] = json!(*NOW - age);
                    assert_ne!(token, before, "{requirement} asks for what the token has");
                }
            }
        }
        assert!(challenges > 10_000, "{challenges}");
    }

    #[test]
    fn challenge_has_the_scopes_of_the_route() {
        let error = error(&all([acr(["a"]), scopes(["s", "t"])]), json!({"scope": "s t"}));
        let response = actix_web::ResponseError::error_response(&error);
        let challenge = response.headers().get("www-authenticate").expect("a challenge");
        assert_eq!(
            challenge.to_str().expect("ASCII"),
            "Bearer scope=\"s t\", realm=\"api\", error=\"insufficient_user_authentication\", \
             acr_values=\"a\", error_description=\"Another or a more recent authentication is required.\""
        );
    }

    #[test]
    fn missing_claim_has_a_hint() {
        let hint = |requirement: Requirement, value| {
            error(&requirement, value).hint().map(ToOwned::to_owned)
        };
        assert_eq!(
            hint(any([acr(["a"])]), json!({})).as_deref(),
            Some("the token has no claim `acr`: let the provider add it to access tokens")
        );
        assert_eq!(
            hint(within(60), json!({"acr": "a"})).as_deref(),
            Some("the token has no claim `auth_time`: let the provider add it to access tokens")
        );
        assert_eq!(hint(acr(["a"]), json!({"acr": "b"})), None);
    }

    #[test]
    fn many_alternatives_are_bounded() {
        let choice = |index: usize| any([acr([format!("a{index}")]), predicate(|_| false)]);
        let rule = all((0..40).map(choice).chain([acr(["z"])]));
        assert_eq!(step_up(&rule, json!({})), "z");
        // The only alternative that a token can satisfy comes after the last one that is compared.
        let rule = all((0..2 * MOST).map(choice).chain([acr(["z"])]));
        assert_eq!(step_up(&rule, json!({})), "insufficient_claims");
        let ways = any((0..1_000).map(|index| acr([format!("a{index}")])));
        let ErrorKind::InsufficientAuthentication { acr_values, .. } =
            error(&ways, json!({})).kind().clone()
        else {
            panic!("another kind")
        };
        assert_eq!(acr_values.len(), MOST);
    }
}
