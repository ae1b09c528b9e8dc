//! Claims that resemble those which a requirement on the authentication, on the actor or on an authorization detail
//! accepts.

use std::time::UNIX_EPOCH;

use serde_json::{Value, json};

use crate::target::{Target, bearer, es256, good, holds_nothing_of};

/// Asserts that a token with this claim is rejected by the route with this challenge, and that no handler runs.
#[track_caller]
fn rejects(target: &Target, path: &str, claim: (&str, Value), status: u16, challenge: &str) {
    let shown = format!("{path} {claim:?}");
    let token = good().claim(claim.0, claim.1).sign(es256());
    let before = target.api.private_calls();
    let answer = target.send(path, &[bearer(&token)]);
    assert_eq!((answer.status, answer.challenge()), (status, challenge), "{shown}");
    holds_nothing_of(&shown, &format!("{answer:?}"), token.as_bytes());
    assert_eq!(target.api.private_calls(), before, "{shown}");
    target.still_works(&shown);
}

#[track_caller]
fn accepts(target: &Target, path: &str, claim: (&str, Value)) {
    let token = good().claim(claim.0, claim.1).sign(es256());
    assert_eq!(target.send(path, &[bearer(&token)]).status, 200, "{path}");
}

const NOT_PERMITTED: &str = "Bearer realm=\"api\", error=\"insufficient_scope\", \
     error_description=\"The token does not permit this.\"";

/// A list for a text, a part of it, another case, another claim.
#[test]
fn acr_that_resembles_the_required_one_is_401() {
    let target = Target::start();
    let challenge = "Bearer realm=\"api\", error=\"insufficient_user_authentication\", \
         acr_values=\"urn:otp\", error_description=\"Another or a more recent authentication is required.\"";
    for (name, value) in [
        ("acr", json!(["urn:otp"])),
        ("acr", json!("urn:pwd urn:otp")),
        ("acr", json!("urn:otp ")),
        ("acr", json!("URN:OTP")),
        ("acr", json!("urn:otp\u{0}")),
        ("acr", json!("urn:ot")),
        ("acr", json!("")),
        ("acr", json!("*")),
        ("acr", json!({"urn:otp": true})),
        ("acr", json!(true)),
        ("acr", Value::Null),
        ("Acr", json!("urn:otp")),
        ("amr", json!(["urn:otp"])),
        ("acrs", json!(["urn:otp"])),
    ] {
        rejects(&target, "/authenticated-by", (name, value), 401, challenge);
    }
    accepts(&target, "/authenticated-by", ("acr", json!("urn:otp")));
}

/// Text, negative, in the future, out of range, or a claim with a time of something else.
#[test]
fn auth_time_of_another_type_or_in_the_future_is_401() {
    let target = Target::start();
    let challenge = "Bearer realm=\"api\", error=\"insufficient_user_authentication\", max_age=\"300\", \
         error_description=\"Another or a more recent authentication is required.\"";
    let now = UNIX_EPOCH.elapsed().unwrap().as_secs();
    for (name, value) in [
        ("auth_time", json!(now.to_string())),
        ("auth_time", json!([now])),
        ("auth_time", json!({"time": now})),
        ("auth_time", json!(true)),
        ("auth_time", Value::Null),
        ("auth_time", json!(now - 400)),
        ("auth_time", json!(now as f64 - 400.5)),
        ("auth_time", json!(0)),
        ("auth_time", json!(-1)),
        ("auth_time", json!(-(now as i64))),
        ("auth_time", json!(now + 3_600)),
        ("auth_time", json!(now * 1_000)),
        ("auth_time", json!(u64::MAX)),
        ("auth_time", json!(1e300)),
        ("auth_time", json!("NaN")),
        ("Auth_Time", json!(now)),
        ("iat", json!(now)),
        ("updated_at", json!(now)),
    ] {
        rejects(&target, "/authenticated-recently", (name, value), 401, challenge);
    }
    accepts(&target, "/authenticated-recently", ("auth_time", json!(now - 100)));
    accepts(&target, "/authenticated-recently", ("auth_time", json!(now as f64 - 100.5)));
}

/// An actor inside another one, a list of actors, another issuer's namesake, or no object at all.
#[test]
fn actor_that_is_hidden_or_resembles_the_required_one_is_403() {
    let target = Target::start();
    for (name, value) in [
        ("act", Value::Null),
        ("act", json!("agent")),
        ("act", json!(["agent"])),
        ("act", json!([{"sub": "agent"}])),
        ("act", json!({})),
        ("act", json!({"act": {"sub": "agent"}})),
        ("act", json!({"sub": "other", "act": {"sub": "agent"}})),
        ("act", json!({"sub": ["agent"]})),
        ("act", json!({"sub": {"agent": true}})),
        ("act", json!({"sub": "Agent"})),
        ("act", json!({"sub": "agent", "iss": "https://other.test"})),
        ("act", json!({"sub": "agent", "iss": ["https://idp.test"]})),
        ("act", json!({"sub": "agent", "iss": null})),
        ("may_act", json!({"sub": "agent"})),
        ("sub", json!("agent")),
        ("azp", json!("agent")),
    ] {
        rejects(&target, "/actor", (name, value), 403, NOT_PERMITTED);
    }
    accepts(&target, "/actor", ("act", json!({"sub": "agent", "act": {"sub": "other"}})));
    accepts(&target, "/actor", ("act", json!({"sub": "agent", "iss": "https://idp.test"})));
}

/// An `act` of every type is a delegation.
#[test]
fn malformed_actor_is_no_subject_in_person() {
    let target = Target::start();
    for value in [
        Value::Null,
        json!(false),
        json!(0),
        json!(""),
        json!([]),
        json!({}),
        json!({"sub": null}),
        json!({"sub": "canary-subject"}),
        json!({"sub": "agent"}),
    ] {
        rejects(&target, "/in-person", ("act", value), 403, NOT_PERMITTED);
    }
    accepts(&target, "/in-person", ("may_act", json!({"sub": "agent"})));
}

/// A list of types, a part of a type, one malformed element beside a good one, locations of other APIs.
#[test]
fn authorization_detail_that_resembles_the_required_one_is_403() {
    let target = Target::start();
    let small = json!({"type": "payment", "amount": 100});
    let with = |name: &str, value: Value| {
        let mut detail = small.clone();
        detail[name] = value;
        json!([detail])
    };
    for details in [
        Value::Null,
        json!([]),
        small.clone(),
        json!([[small]]),
        json!(small.to_string()),
        json!([small.to_string()]),
        with("type", json!(["payment"])),
        with("type", json!("payments")),
        with("type", json!("paymen")),
        with("type", json!("Payment")),
        with("type", json!("payment ")),
        with("type", json!({"payment": true})),
        with("type", Value::Null),
        with("amount", json!(101)),
        with("amount", json!("100")),
        with("amount", json!(1e300)),
        with("amount", json!(-1)),
        with("locations", Value::Null),
        with("locations", json!([])),
        with("locations", json!("https://other.test")),
        with("locations", json!(["https://other.test"])),
        with("locations", json!(["api"])),
        json!([small, null]),
        json!([small, {"amount": 1}]),
        json!([small, {"type": 7}]),
        json!([small, []]),
        json!([{"type": "refund", "payment": small}]),
    ] {
        rejects(&target, "/payment", ("authorization_details", details), 403, NOT_PERMITTED);
    }
    let refund = json!({"type": "refund"});
    accepts(&target, "/payment", ("authorization_details", json!([refund, small])));
    rejects(&target, "/payment", ("authorization_detail", json!([small])), 403, NOT_PERMITTED);
}
