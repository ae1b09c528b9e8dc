//! The checks on claims that need no key (RFC 7519 §4.1, RFC 9068 §4).
//!
//! They run before the signature check: they are cheaper, and reveal nothing to a client that it could not
//! read in its own token.

use serde_json::Value;

use crate::{
    error::{Error, ErrorKind},
    json::object::Object,
    util::spiffe,
};

/// Returns the token's `iss`. Use it only to select among configured providers.
pub(crate) fn issuer(claims: &Object) -> Result<&str, Error> {
    string(claims, "iss")?.ok_or_else(|| ErrorKind::ClaimInvalid { claim: "iss" }.into())
}

/// Returns the SPIFFE trust domain of the token's `sub`, if that is a well-formed SPIFFE ID.
pub(crate) fn trust_domain(claims: &Object) -> Option<&str> {
    spiffe::trust_domain(claims.get("sub")?.as_str()?)
}

/// Returns the client that the token was issued to.
pub(crate) fn client_id(claims: &Object) -> Option<&str> {
    ["client_id", "azp", "appid", "cid"]
        .into_iter()
        .find_map(|name| claims.get(name).and_then(Value::as_str))
}

/// Checks the claims of an access token of the JWT profile (RFC 9068 §2.2). `check_types` and `check_times`
/// check the types of the others.
pub(crate) fn check_access_token(claims: &Object) -> Result<(), Error> {
    let invalid = |claim| Err(ErrorKind::ClaimInvalid { claim }.into());
    for claim in ["iss", "aud", "sub", "client_id", "iat", "jti"] {
        if !claims.contains(claim) {
            return invalid(claim);
        }
    }
    string(claims, "client_id")?;
    string(claims, "acr")?;
    if claims.get("auth_time").is_some_and(|time| !time.is_number()) {
        return invalid("auth_time");
    }
    if claims.get("amr").is_some_and(|amr| !amr.is_array() || !is_string_or_strings(amr)) {
        return invalid("amr");
    }
    Ok(())
}

/// Checks the types of the claims for which the standard defines one.
pub(crate) fn check_types(claims: &Object) -> Result<(), Error> {
    string(claims, "sub")?;
    string(claims, "jti")?;
    if !claims.get("aud").is_none_or(is_string_or_strings) {
        return Err(ErrorKind::ClaimInvalid { claim: "aud" }.into());
    }
    // The `typ` of a logout token is optional, so that it may look like an access token.
    if reports_an_event(claims) {
        return Err(ErrorKind::TypeNotAllowed.into());
    }
    Ok(())
}

/// Returns whether these are the claims of a message about an event, such as a logout token, and not of an access token.
fn reports_an_event(claims: &Object) -> bool {
    let Some(Value::Object(events)) = claims.get("events") else { return false };
    events.keys().any(|event| event == LOGOUT_EVENT || event.starts_with(EVENT_TYPES))
}

/// The event of a logout token (OpenID Connect Back-Channel Logout 1.0 §2.4).
pub(crate) const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// What the names of all events of CAEP, RISC and the Shared Signals Framework begin with.
pub(crate) const EVENT_TYPES: &str = "https://schemas.openid.net/secevent/";

/// Returns whether the token is bound to a key or a certificate (RFC 7800 §3.1). Any `cnf` counts, whatever
/// its type: the issuer meant to bind the token.
pub(crate) fn is_sender_constrained(claims: &Object) -> bool {
    claims.contains("cnf")
}

/// Returns the audiences in a claim.
pub(crate) fn audiences<'a>(claims: &'a Object, name: &str) -> impl Iterator<Item = &'a str> {
    let (one, list) = match claims.get(name) {
        Some(Value::String(one)) => (Some(one.as_str()), [].as_slice()),
        Some(Value::Array(list)) => (None, list.as_slice()),
        _ => (None, [].as_slice()),
    };
    one.into_iter().chain(list.iter().filter_map(Value::as_str))
}

/// Returns whether a claim is a text or a list of texts.
pub(crate) fn has_only_text(claims: &Object, name: &str) -> bool {
    claims.get(name).is_some_and(is_string_or_strings)
}

/// Returns whether the claim `name` is, or contains, one of `audiences`.
pub(crate) fn names_audience(claims: &Object, name: &str, audiences: &[String]) -> bool {
    match claims.get(name) {
        Some(Value::String(one)) => audiences.contains(one),
        Some(list @ Value::Array(items)) if is_string_or_strings(list) => {
            items.iter().filter_map(Value::as_str).any(|item| audiences.iter().any(|a| a == item))
        }
        _ => false,
    }
}

fn is_string_or_strings(value: &Value) -> bool {
    match value {
        Value::String(_) => true,
        Value::Array(items) => items.iter().all(Value::is_string),
        _ => false,
    }
}

fn string<'a>(claims: &'a Object, name: &'static str) -> Result<Option<&'a str>, Error> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(ErrorKind::ClaimInvalid { claim: name }.into()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_audience_matches_as_a_whole() {
        let audiences = ["a".to_owned(), "b".to_owned()];
        let named = |claims: Value| names_audience(&Object::of(claims), "aud", &audiences);
        assert!(named(json!({"aud": "b"})));
        assert!(named(json!({"aud": ["x", "a"]})));
        for rejected in [
            json!({}),
            json!({"aud": ""}),
            json!({"aud": "ab"}),
            json!({"aud": "A"}),
            json!({"aud": []}),
            json!({"aud": ["x"]}),
            json!({"aud": ["a", 1]}),
            json!({"aud": {"a": true}}),
            json!({"aud": null}),
            json!({"aud": [["a"]]}),
        ] {
            assert!(!named(rejected.clone()), "{rejected}");
        }
    }

    #[test]
    fn a_registered_claim_of_another_type_is_rejected() {
        let check =
            |claims: Value| check_types(&Object::of(claims)).map_err(|error| error.kind().clone());
        assert_eq!(check(json!({"sub": "s", "jti": "j", "aud": ["a"]})), Ok(()));
        assert_eq!(check(json!({})), Ok(()));
        assert_eq!(check(json!({"sub": 1})), Err(ErrorKind::ClaimInvalid { claim: "sub" }));
        assert_eq!(check(json!({"jti": []})), Err(ErrorKind::ClaimInvalid { claim: "jti" }));
        assert_eq!(check(json!({"aud": 1})), Err(ErrorKind::ClaimInvalid { claim: "aud" }));
        assert_eq!(check(json!({"aud": ["a", 1]})), Err(ErrorKind::ClaimInvalid { claim: "aud" }));
    }
}
