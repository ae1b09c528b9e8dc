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

/// Checks the types of the claims for which the standard defines one.
pub(crate) fn check_types(claims: &Object) -> Result<(), Error> {
    string(claims, "sub")?;
    string(claims, "jti")?;
    if !claims.get("aud").is_none_or(is_string_or_strings) {
        return Err(ErrorKind::ClaimInvalid { claim: "aud" }.into());
    }
    Ok(())
}

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

/// Parses a NumericDate (RFC 7519 §2): a JSON number of seconds since the epoch, with or without decimals.
pub(super) fn numeric_date(claims: &Object, name: &'static str) -> Result<Option<f64>, Error> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::Number(number)) => match number.as_f64() {
            Some(seconds) if (0.0..=LAST_SECOND).contains(&seconds) => Ok(Some(seconds)),
            _ => Err(ErrorKind::ClaimInvalid { claim: name }.into()),
        },
        Some(_) => Err(ErrorKind::ClaimInvalid { claim: name }.into()),
    }
}

/// 9999-12-31T23:59:59Z. Later times are rejected.
pub(super) const LAST_SECOND: f64 = 253_402_300_799.0;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use std::time::Duration;

    use super::*;
    use crate::token::lifetime::{Lifetime, TimeLimits, check_times};

    const NOW: u64 = 1_800_000_000;

    fn times(claims: &str, leeway: u64) -> Result<(), ErrorKind> {
        let claims = Object::parse(claims.as_bytes()).expect("an object");
        let limits = TimeLimits { leeway: Duration::from_secs(leeway), max_age: None };
        check_times(&claims, Duration::from_secs(NOW), limits)
            .map(drop)
            .map_err(|error| error.kind().clone())
    }

    #[test]
    fn expiry_is_exclusive_and_has_leeway() {
        assert!(times(r#"{"exp":1800000001}"#, 0).is_ok());
        assert!(times(r#"{"exp":1800000000.5}"#, 0).is_ok());
        assert!(matches!(times(r#"{"exp":1800000000}"#, 0), Err(ErrorKind::Expired { .. })));
        assert!(matches!(times(r#"{"exp":0}"#, 0), Err(ErrorKind::Expired { .. })));
        assert!(times(r#"{"exp":1799999971}"#, 30).is_ok());
        assert!(matches!(times(r#"{"exp":1799999970}"#, 30), Err(ErrorKind::Expired { .. })));
    }

    #[test]
    fn not_before_is_inclusive_and_has_leeway() {
        assert!(times(r#"{"exp":1800000100,"nbf":1800000000}"#, 0).is_ok());
        let early = r#"{"exp":1800000100,"nbf":1800000001}"#;
        assert!(matches!(times(early, 0), Err(ErrorKind::NotYetValid { .. })));
        assert!(times(early, 1).is_ok());
    }

    #[test]
    fn an_issue_time_in_the_future_is_accepted() {
        assert!(times(r#"{"exp":1800000100,"iat":1800000050}"#, 0).is_ok());
    }

    #[test]
    fn a_time_out_of_range_or_of_another_type_is_rejected() {
        assert_eq!(times("{}", 0), Err(ErrorKind::ClaimInvalid { claim: "exp" }));
        for value in [
            "\"1800000100\"",
            "null",
            "true",
            "[1800000100]",
            "{}",
            "-1",
            "-1e300",
            "1e300",
            "1e18",
            "253402300800",
            "18446744073709551615",
            "1.7976931348623157e308",
            "\"NaN\"",
        ] {
            assert_eq!(
                times(&format!(r#"{{"exp":{value}}}"#), 0),
                Err(ErrorKind::ClaimInvalid { claim: "exp" }),
                "{value}"
            );
            for claim in ["nbf", "iat"] {
                assert_eq!(
                    times(&format!(r#"{{"exp":1800000100,"{claim}":{value}}}"#), 0),
                    Err(ErrorKind::ClaimInvalid { claim }),
                    "{claim} {value}"
                );
            }
        }
    }

    #[test]
    fn a_huge_leeway_or_a_broken_clock_does_not_panic() {
        let claims = Object::parse(br#"{"exp":1800000100}"#).expect("an object");
        assert!(check_times(&claims, Duration::MAX, TimeLimits::default()).is_err());
        let limits = TimeLimits { leeway: Duration::MAX, max_age: None };
        assert!(check_times(&claims, Duration::ZERO, limits).is_ok());
    }

    #[test]
    fn the_maximum_age_counts_from_the_issue_time() {
        let limits =
            TimeLimits { leeway: Duration::from_secs(5), max_age: Some(Duration::from_secs(60)) };
        let check = |claims: &str| {
            let claims = Object::parse(claims.as_bytes()).expect("an object");
            check_times(&claims, Duration::from_secs(NOW), limits)
                .map(drop)
                .map_err(|error| error.kind().clone())
        };
        assert_eq!(check(r#"{"exp":1800000100,"iat":1799999936}"#), Ok(()));
        assert_eq!(check(r#"{"exp":1800000100,"iat":1800000050}"#), Ok(()));
        assert!(matches!(
            check(r#"{"exp":1800000100,"iat":1799999935}"#),
            Err(ErrorKind::TokenTooOld { .. })
        ));
        let missing = check(r#"{"exp":1800000100}"#);
        assert_eq!(missing, Err(ErrorKind::ClaimInvalid { claim: "iat" }));
    }

    #[test]
    fn a_lifetime_agrees_with_a_repeated_check() {
        let seconds = Duration::from_secs;
        let limits = TimeLimits { leeway: seconds(5), max_age: Some(seconds(60)) };
        for claims in [
            r#"{"exp":1800000010,"iat":1800000000}"#,
            r#"{"exp":1800000010.25,"iat":1800000000,"nbf":1799999998.5}"#,
            r#"{"exp":1800000900,"iat":1799999950}"#,
            r#"{"exp":1800000900,"iat":1800000000,"nbf":1800000003}"#,
            r#"{"exp":253402300799,"iat":253402300799}"#,
        ] {
            let claims = Object::parse(claims.as_bytes()).expect("an object");
            let lifetime = check_times(&claims, seconds(NOW), limits).expect("valid now");
            for quarter in 0..2000 {
                let now = Duration::from_millis((NOW - 100) * 1000 + quarter * 250);
                let again = check_times(&claims, now, limits);
                assert_eq!(lifetime.contains(now), again.is_ok(), "{claims:?} {now:?} {again:?}");
                if let Err(again) = again {
                    // The maximum age is computed back from the sum, so it may differ in its last bits.
                    let shown = |kind: &ErrorKind| {
                        format!("{} {kind}", Error::from(kind.clone()).kind_name())
                    };
                    assert_eq!(shown(&lifetime.reason(&claims, now)), shown(again.kind()));
                }
            }
            let last = lifetime.last_second();
            assert!(!lifetime.contains(seconds(last)) && lifetime.contains(seconds(last - 1)));
        }
        assert!(!Lifetime::without_end().contains(Duration::MAX));
    }

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
