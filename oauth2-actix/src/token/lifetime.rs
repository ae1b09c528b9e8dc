//! When a token is valid: `exp`, `nbf` and `iat` with the leeway and the maximum age (RFC 7519 §4.1.4 to §4.1.6).

use std::time::Duration;

use serde_json::Value;

use crate::{
    error::{Error, ErrorKind},
    json::object::Object,
};

/// Checks `exp`, which is mandatory, `nbf`, which is optional, and `iat`, which is mandatory if there is a
/// maximum age. An `iat` in the future is accepted.
pub(crate) fn check_times(
    claims: &Object,
    now: Duration,
    limits: TimeLimits,
) -> Result<Lifetime, Error> {
    if !claims.contains("exp") {
        return Err(ErrorKind::ClaimInvalid { claim: "exp" }.into());
    }
    check_times_of_answer(claims, now, limits)
}

/// Checks the times in an answer of the issuer about a token, as [`check_times`] does. It may have no `exp`
/// (RFC 7662 §2.2): then the token has no end of its own.
pub(crate) fn check_times_of_answer(
    claims: &Object,
    now: Duration,
    limits: TimeLimits,
) -> Result<Lifetime, Error> {
    let now = now.as_secs_f64();
    let leeway = limits.leeway.as_secs_f64();
    let exp = numeric_date(claims, "exp")?.unwrap_or(LAST_SECOND);
    // "on or after which the JWT MUST NOT be accepted" (RFC 7519 §4.1.4). All of these numbers are finite.
    let mut ends = exp + leeway;
    if now >= ends {
        return Err(ErrorKind::Expired { exp, now, leeway }.into());
    }
    let nbf = numeric_date(claims, "nbf")?.unwrap_or(0.0);
    if nbf > now + leeway {
        return Err(ErrorKind::NotYetValid { nbf, now, leeway }.into());
    }
    let iat = numeric_date(claims, "iat")?;
    if let Some(max_age) = limits.max_age {
        let iat = iat.ok_or(ErrorKind::ClaimInvalid { claim: "iat" })?;
        let max_age = max_age.as_secs_f64();
        let too_old = iat + max_age + leeway;
        if now >= too_old {
            return Err(ErrorKind::TokenTooOld { iat, now, max_age }.into());
        }
        ends = ends.min(too_old);
    }
    Ok(Lifetime { nbf, leeway, ends })
}

/// Returns whether the time in a claim is at most `max_age` ago and not in the future, both with the leeway. False
/// for a claim that is missing, of another type or out of range.
pub(crate) fn is_recent(
    claims: &Object,
    name: &'static str,
    max_age: Duration,
    leeway: Duration,
    now: Duration,
) -> bool {
    let Ok(Some(time)) = numeric_date(claims, name) else { return false };
    let (now, leeway) = (now.as_secs_f64(), leeway.as_secs_f64());
    time <= now + leeway && now <= time + max_age.as_secs_f64() + leeway
}

/// The period in which a token's times are valid, in seconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Lifetime {
    nbf: f64,
    leeway: f64,
    /// The first moment at which the token has expired, leeway included.
    ends: f64,
}

impl Lifetime {
    /// Returns whether [`check_times`] would accept the token at `now`.
    pub(crate) fn contains(self, now: Duration) -> bool {
        let now = now.as_secs_f64();
        now < self.ends && self.nbf <= now + self.leeway
    }

    /// Returns why the token is not accepted at `now`, where [`Lifetime::contains`] is false.
    pub(crate) fn reason(self, claims: &Object, now: Duration) -> ErrorKind {
        let Self { nbf, leeway, ends } = self;
        let now = now.as_secs_f64();
        let date = |name| numeric_date(claims, name).ok().flatten().unwrap_or_default();
        let (exp, iat) = (date("exp"), date("iat"));
        if now >= exp + leeway {
            ErrorKind::Expired { exp, now, leeway }
        } else if nbf > now + leeway {
            // The clock was set back.
            ErrorKind::NotYetValid { nbf, now, leeway }
        } else {
            ErrorKind::TokenTooOld { iat, now, max_age: ends - leeway - iat }
        }
    }

    /// Returns a lifetime up to the last time that a token may have.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn without_end() -> Self {
        Self { nbf: 0.0, leeway: 0.0, ends: LAST_SECOND }
    }

    /// Returns the first moment at which the token has expired, since the Unix epoch.
    pub(crate) fn ends(self) -> Duration {
        Duration::try_from_secs_f64(self.ends).unwrap_or_default()
    }

    /// Returns the first moment at which no policy with this leeway accepts the token, whatever its maximum age, since the
    /// Unix epoch.
    pub(crate) fn end_of_exp(self, claims: &Object) -> Duration {
        let exp = numeric_date(claims, "exp").ok().flatten().unwrap_or(LAST_SECOND);
        Duration::try_from_secs_f64((exp + self.leeway).max(self.ends)).unwrap_or(Duration::MAX)
    }

    /// Returns the time until the token expires.
    pub(crate) fn remaining(self, now: Duration) -> Duration {
        Duration::try_from_secs_f64(self.ends - now.as_secs_f64()).unwrap_or_default()
    }

    /// Returns the first whole second at which the token has expired.
    pub(crate) fn expires_at(self) -> u64 {
        self.ends.ceil() as u64
    }
}

/// The limits for the times of a token.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TimeLimits {
    /// The tolerated clock skew.
    pub(crate) leeway: Duration,
    /// The time after its `iat` during which a token is accepted.
    pub(crate) max_age: Option<Duration>,
}

/// Parses a NumericDate (RFC 7519 §2): a JSON number of seconds since the epoch, with or without decimals.
pub(crate) fn numeric_date(claims: &Object, name: &'static str) -> Result<Option<f64>, Error> {
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
const LAST_SECOND: f64 = 253_402_300_799.0;

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_time_is_recent_until_the_maximum_age_and_not_in_the_future() {
        let seconds = Duration::from_secs;
        let recent = |value: &str, max_age, leeway| {
            let claims = Object::parse(format!(r#"{{"auth_time":{value}}}"#).as_bytes());
            is_recent(&claims.expect("an object"), "auth_time", max_age, leeway, seconds(NOW))
        };
        for (value, max_age, leeway) in [
            ("1800000000", 0, 0),
            ("1799999700", 300, 0),
            ("1799999700.0", 300, 0),
            ("1799999699.5", 300, 1),
            ("1799999670", 300, 30),
            ("1800000030", 300, 30),
            ("0", NOW, 0),
        ] {
            assert!(recent(value, seconds(max_age), seconds(leeway)), "{value}");
        }
        for (value, max_age, leeway) in [
            ("1799999699", 300, 0),
            ("1799999699.9", 300, 0),
            ("1799999669", 300, 30),
            ("1800000001", 300, 0),
            ("1800000031", 300, 30),
            ("253402300799", NOW, 600),
        ] {
            assert!(!recent(value, seconds(max_age), seconds(leeway)), "{value}");
        }
        for value in [
            "\"1800000000\"",
            "null",
            "true",
            "[1800000000]",
            "{\"now\":1800000000}",
            "-1800000000",
            "1e300",
            "18446744073709551615",
            "1800000000000",
        ] {
            assert!(!recent(value, Duration::MAX, Duration::ZERO), "{value}");
        }
        let missing = Object::parse(b"{}").expect("an object");
        assert!(!is_recent(&missing, "auth_time", Duration::MAX, Duration::MAX, seconds(NOW)));
        // A clock that is set to the end of time is no panic.
        let claims = Object::parse(br#"{"auth_time":1}"#).expect("an object");
        assert!(!is_recent(&claims, "auth_time", seconds(1), Duration::ZERO, Duration::MAX));
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
            let last = lifetime.expires_at();
            assert!(!lifetime.contains(seconds(last)) && lifetime.contains(seconds(last - 1)));
        }
        assert!(!Lifetime::without_end().contains(Duration::MAX));
    }
}
