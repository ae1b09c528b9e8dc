//! Attacks on claims.

use std::time::Duration;

use oauth2_actix::{
    Algorithm, Provider,
    testing::{ManualClock, Token},
};
use oauth2_actix_tests::{
    client,
    forge::{self, by, forge},
    keys::key,
    policy,
};
use serde_json::{Value, json};

use crate::target::{
    AUDIENCE, ISSUER, Rejection, Target, bearer, builder, claims, es256, good, holds_nothing_of,
    payload, provider, with_payload,
};

/// CVE-2026-25537 (GHSA-h395-gr6q-cpjc, Rust's jsonwebtoken) and jsonwebtoken #388: times as text, as other
/// types, negative or huge, that are ignored or crash the process.
#[test]
fn times_of_other_types_are_rejected_cve_2026_25537_ghsa_h395_gr6q_cpjc_jsonwebtoken_388() {
    let target =
        Target::behind(builder().max_token_age(Duration::from_secs(3600)).build().unwrap());
    let future = 4_000_000_000_u64;
    for name in ["exp", "nbf", "iat"] {
        for value in [
            json!(future.to_string()),
            json!("2100-01-01T00:00:00Z"),
            json!(""),
            Value::Null,
            json!(true),
            json!([future]),
            json!({"seconds": future}),
            json!(-1),
            json!(-0.5),
            json!(-1e300),
            json!(1e300),
            json!(f64::MAX),
            json!(u64::MAX),
            json!(i64::MIN),
            json!(253_402_300_800_u64),
        ] {
            let token = good().claim(name, value.clone()).sign(es256());
            target.rejects(&format!("{name}: {value}"), &token, Rejection::Malformed);
        }
        // Values that serde_json does not write.
        for value in ["1e999", "-1e999", "NaN", "Infinity", "0x7fffffff", "1.", ".5", "+1", "01"] {
            let text = payload().replacen('{', &format!("{{\"{name}2\":{value},"), 1);
            target.rejects(value, &with_payload(text), Rejection::Malformed);
            let mut claims = claims();
            claims.remove(name);
            let text = Value::Object(claims).to_string().replacen(
                '{',
                &format!("{{\"{name}\":{value},"),
                1,
            );
            target.rejects(&format!("{name}: {value}"), &with_payload(text), Rejection::Malformed);
        }
    }
    target.rejects("no exp", &good().without("exp").sign(es256()), Rejection::Malformed);
    target.rejects(
        "exp of another case",
        &good().without("exp").claim("EXP", future).sign(es256()),
        Rejection::Malformed,
    );
    target.rejects("exp of 0", &good().claim("exp", 0).sign(es256()), Rejection::Expired);
    target.rejects("exp of -0.0", &good().claim("exp", -0.0).sign(es256()), Rejection::Expired);
    target.rejects("past", &good().expires_in(-1).sign(es256()), Rejection::Expired);
    target.rejects("now", &good().expires_in(0).sign(es256()), Rejection::Expired);
    target.rejects("early", &good().claim("nbf", future).sign(es256()), Rejection::NotYetValid);
    let old = good().claim("iat", 1_700_000_000).sign(es256());
    target.rejects("too old", &old, Rejection::Expired);
    target.rejects("of no age", &good().without("iat").sign(es256()), Rejection::Malformed);
    target.accepts("iat ahead", &good().claim("iat", future).sign(es256()));
    target.accepts("decimals", &good().claim("exp", 3e9).claim("nbf", 0.5).sign(es256()));
}

/// CVE-2025-30144 (fast-jwt: `iss` as a list), CVE-2024-53861 (PyJWT: as a part of the right one),
/// CVE-2026-22748 (Spring: not checked at all).
#[test]
fn issuer_as_list_or_part_is_rejected_cve_2025_30144_cve_2024_53861_cve_2026_22748() {
    let target = Target::start();
    for issuer in [
        json!([ISSUER]),
        json!([ISSUER, "https://canary.test"]),
        json!(["https://canary.test", ISSUER]),
        json!({"iss": ISSUER}),
        json!(1),
        json!(true),
        Value::Null,
    ] {
        let token = good().claim("iss", issuer.clone()).sign(es256());
        target.rejects(&issuer.to_string(), &token, Rejection::Malformed);
    }
    target.rejects("none", &good().without("iss").sign(es256()), Rejection::Malformed);
    for issuer in [
        "",
        "https://idp.tes",
        "ttps://idp.test",
        "https://",
        "idp.test",
        "https://idp.test/",
        "https://idp.test/canary",
        "https://idp.test.canary.test",
        "https://idp.test@canary.test",
        "https://canary.test/https://idp.test",
        "HTTPS://IDP.TEST",
        "https://IDP.test",
        "http://idp.test",
        "https://idp.test:443",
        "https://idp.test\u{0}",
        " https://idp.test",
        "https://idp.test ",
        "https://idp.test,https://canary.test",
        "https://idp%2etest",
        "https://\u{456}dp.test",
        "test",
    ] {
        let token = good().claim("iss", issuer).sign(es256());
        target.rejects(issuer, &token, Rejection::WrongResource);
    }
    // The key of another provider with this issuer, and this key with the other issuer.
    let other = key(Algorithm::RS256);
    let second = Provider::new().issuer("https://b.test").audience(AUDIENCE).keys(other.jwk_set());
    let first = Provider::new().issuer(ISSUER).audience(AUDIENCE).keys(es256().jwk_set());
    let oauth2 = policy::builder().provider("a", first).provider("b", second).build().unwrap();
    let target = Target::behind(oauth2);
    target.rejects("a's issuer, b's key", &good().sign(other), Rejection::Signature);
    let token = good().claim("iss", "https://b.test").sign(es256());
    target.rejects("b's issuer, a's key", &token, Rejection::Signature);
}

/// CVE-2020-26160, CVE-2025-62610 (GHSA-m732-5p4w-x69g); a token for another API, or an id_token
/// (RFC 9068 §4, ASVS #2049): the audience absent, empty, of other types, or another.
#[test]
fn audience_missing_other_or_of_an_id_token_is_rejected_cve_2020_26160_cve_2025_62610_asvs_2049() {
    let target = Target::start();
    target.rejects("none", &good().without("aud").sign(es256()), Rejection::WrongResource);
    for audience in [
        json!(""),
        json!([]),
        json!([""]),
        json!("other-api"),
        json!("ap"),
        json!("api2"),
        json!("API"),
        json!("api "),
        json!("api,other"),
        json!("api other"),
        json!("*"),
        json!(ISSUER),
        json!(["canary-client"]),
        json!(["ap", "i"]),
        json!(["a", "p", "i"]),
    ] {
        let token = good().claim("aud", audience.clone()).sign(es256());
        target.rejects(&audience.to_string(), &token, Rejection::WrongResource);
    }
    for audience in [
        Value::Null,
        json!(1),
        json!(true),
        json!({"api": true}),
        json!([AUDIENCE, 1]),
        json!([null, AUDIENCE]),
        json!([[AUDIENCE]]),
        json!([{"aud": AUDIENCE}]),
    ] {
        let token = good().claim("aud", audience.clone()).sign(es256());
        target.rejects(&audience.to_string(), &token, Rejection::Malformed);
    }
    target.accepts("one of several", &good().claim("aud", json!(["x", AUDIENCE])).sign(es256()));
    let elsewhere = good().without("aud").claim("client_id", AUDIENCE).claim("azp", AUDIENCE);
    target.rejects("in another claim", &elsewhere.sign(es256()), Rejection::WrongResource);
    for typ in ["id_token+jwt", "logout+jwt", "dpop+jwt", "secevent+jwt", "jwt+at", "JOSE", ""] {
        target.rejects(typ, &good().header("typ", typ).sign(es256()), Rejection::Malformed);
    }
    for typ in [json!(1), json!(["at+jwt"])] {
        target.rejects("no text", &good().header("typ", typ).sign(es256()), Rejection::Malformed);
    }
    // An id_token of a provider whose access tokens have a type.
    let strict = policy::builder().provider("strict", provider().require_at_jwt(true));
    let profile = good().claim("client_id", "canary-client");
    let target = Target::with_good(strict.build().unwrap(), profile.sign(es256()));
    for typ in [json!("JWT"), json!("application/jwt"), Value::Null] {
        let id_token = good().claim("nonce", "canary-nonce").header("typ", typ);
        target.rejects("an id_token", &id_token.sign(es256()), Rejection::Malformed);
    }
    // Where another claim holds the audience, `aud` does not count.
    let cognito = policy::builder().provider("cognito", provider().audience_claim("client_id"));
    let good = good().without("aud").claim("client_id", AUDIENCE).sign(es256());
    let target = Target::with_good(cognito.build().unwrap(), good);
    let token = crate::target::good().claim("client_id", "canary").sign(es256());
    target.rejects("aud instead of client_id", &token, Rejection::WrongResource);
}

/// RFC 8725 §3.7: genuinely signed JSON in another encoding than UTF-8, which two readers read differently.
#[test]
fn json_in_another_encoding_than_utf_8_is_rejected_rfc_8725_3_7() {
    let target = Target::start();
    let header = forge::header(es256()).to_string();
    let utf_16: Vec<u8> = payload().encode_utf16().flat_map(u16::to_be_bytes).collect();
    let with_bytes = |bytes: &[u8]| {
        let text = payload();
        let (head, tail) = text.split_at(1);
        [head.as_bytes(), b"\"x\":\"", bytes, b"\",", tail.as_bytes()].concat()
    };
    for (what, claims) in [
        ("UTF-16", utf_16),
        ("with a byte order mark", [b"\xef\xbb\xbf", payload().as_bytes()].concat()),
        ("Latin-1", with_bytes(b"\xe4")),
        ("an overlong slash", with_bytes(b"\xc0\xaf")),
        ("half a surrogate pair", with_bytes(b"\xed\xa0\x80")),
        ("a sequence cut off", with_bytes(b"\xf0\x9f\x94")),
    ] {
        target.rejects(what, &forge(&header, &claims, by(es256())), Rejection::Malformed);
    }
    let bytes = [&header.as_bytes()[..1], b"\"x\":\"\xff\",", &header.as_bytes()[1..]].concat();
    target.rejects("header", &forge(&bytes, payload(), by(es256())), Rejection::Malformed);
}

/// RFC 7519 §4, ruby-jwt #713: two members of one name, of which one reader takes the first and another the
/// last; in the header, in the claims, and deeper, also spelled with escapes.
#[test]
fn duplicate_names_are_rejected_rfc_7519_4_ruby_jwt_713() {
    let target = Target::start();
    let header = forge::header(es256()).to_string();
    for member in [
        r#""alg":"none""#,
        r#""alg":"ES256""#,
        r#""kid":"canary""#,
        r#""kid":"ES256""#,
        r#""typ":"JWT""#,
        r#""\u0061lg":"ES256""#,
        r#""x":1,"x":1"#,
        r#""x":{"y":1,"y":2}"#,
    ] {
        for text in [
            header.replacen('{', &format!("{{{member},"), 1),
            format!("{},{member}}}", header.strip_suffix('}').unwrap()),
        ] {
            target.rejects(member, &forge(&text, payload(), by(es256())), Rejection::Malformed);
        }
    }
    let claims = payload();
    for member in [
        r#""exp":4000000000"#,
        r#""iss":"https://idp.test""#,
        r#""aud":"api""#,
        r#""sub":"canary-admin""#,
        r#""\u0073ub":"canary-admin""#,
        r#""s\u0075\u0062":"canary-admin""#,
        r#""role":"user","role":"admin""#,
        r#""deep":[{"a":{"b":1,"b":1}}]"#,
        r#""":1,"":1"#,
    ] {
        for text in [
            claims.replacen('{', &format!("{{{member},"), 1),
            format!("{},{member}}}", claims.strip_suffix('}').unwrap()),
        ] {
            target.rejects(member, &with_payload(text), Rejection::Malformed);
        }
    }
    // Text that is not exactly one JSON object.
    for text in [
        "",
        "null",
        "[]",
        "\"x\"",
        "1",
        "{}{}",
        "{",
        "{\"exp\":4000000000,}",
        "\u{feff}{}",
        "{'exp':4000000000}",
        "{\"a\":\"\u{1}\"}",
        "{}\u{0}",
        "{\"a\":\"\\ud800\"}",
    ] {
        target.rejects(text, &with_payload(text), Rejection::Malformed);
        target.rejects(text, &forge(text, payload(), by(es256())), Rejection::Malformed);
    }
    let mut latin = claims.replacen('{', "{\"x\":\"?\",", 1).into_bytes();
    let position = latin.iter().position(|byte| *byte == b'?').unwrap();
    latin[position] = 0xe9;
    target.rejects("Latin-1", &with_payload(latin), Rejection::Malformed);
}

/// `"role":"administrator"`, numbers instead of text, `read` in `read:all`, a nested name with a dot: values
/// that a requirement must not accept.
#[test]
fn claim_that_resembles_the_required_value_is_403() {
    let target = Target::start();
    let scope = |token: Token| {
        let token = token.sign(es256());
        let answer = target.send("/scope", &[bearer(&token)]);
        holds_nothing_of("scope", &format!("{answer:?}"), token.as_bytes());
        (answer.status, answer.challenge().to_owned(), answer.body)
    };
    let required = "Bearer scope=\"orders:read\", realm=\"api\", error=\"insufficient_scope\", \
         error_description=\"The token does not permit this.\"";
    let body = json!({
        "error": "insufficient_scope", "error_description": "The token does not permit this.",
    });
    for (name, value) in [
        ("scope", json!("orders:read:all")),
        ("scope", json!("orders")),
        ("scope", json!("read")),
        ("scope", json!("xorders:read")),
        ("scope", json!("ORDERS:READ")),
        ("scope", json!("orders:read,orders:write")),
        ("scope", json!("orders:write\torders:read")),
        ("scope", json!("orders:write\norders:read")),
        ("scope", json!("orders:write\u{a0}orders:read")),
        ("scope", json!(["orders:read orders:write"])),
        ("scope", json!([["orders:read"]])),
        ("scope", json!({"orders:read": true})),
        ("scope", json!(true)),
        ("scope", json!("*")),
        ("scope", json!("orders:*")),
        ("scope", Value::Null),
        ("Scope", json!("orders:read")),
        ("scopes", json!("orders:read")),
        ("permissions", json!(["orders:read"])),
    ] {
        let rejected = (403, required.to_owned(), body.to_string());
        assert_eq!(scope(good().claim(name, value.clone())), rejected, "{name}: {value}");
    }
    for (name, value) in [
        ("scope", json!("a orders:read b")),
        ("scope", json!(["a", "orders:read"])),
        ("scp", json!("orders:read")),
    ] {
        assert_eq!(scope(good().claim(name, value)).0, 200);
    }
    // `/realm_access/roles` must be, or contain, `admin`.
    for (name, value) in [
        ("realm_access", json!({"roles": ["user", "administrator"]})),
        ("realm_access", json!({"roles": "administrator"})),
        ("realm_access", json!({"roles": "user,admin"})),
        ("realm_access", json!({"roles": "user admin"})),
        ("realm_access", json!({"roles": ["ADMIN", "Admin", "admin "]})),
        ("realm_access", json!({"roles": [["admin"]]})),
        ("realm_access", json!({"roles": [{"name": "admin"}]})),
        ("realm_access", json!({"roles": {"admin": true}})),
        ("realm_access", json!({"roles": [1, true, null]})),
        ("realm_access", json!({"roles": Value::Null})),
        ("realm_access", json!({"roles/0": "admin"})),
        ("realm_access", json!("admin")),
        ("realm_access", json!(["admin"])),
        ("realm_access.roles", json!("admin")),
        ("/realm_access/roles", json!("admin")),
        ("realm_access/roles", json!("admin")),
        ("roles", json!(["admin"])),
        ("role", json!("admin")),
    ] {
        let token = good().claim(name, value.clone()).sign(es256());
        let lines = [bearer(&token)];
        let attack = format!("{name}: {value}");
        let before = target.api.private_calls();
        let answer = target.send("/role", &lines);
        crate::target::is_rejection(&attack, &answer, Rejection::NotPermitted);
        holds_nothing_of(&attack, &format!("{answer:?}"), &lines[0]);
        assert_eq!(target.api.private_calls(), before, "{attack}");
    }
    let admin = good().claim("realm_access", json!({"roles": ["user", "admin"]})).sign(es256());
    assert_eq!(target.send("/role", &[bearer(&admin)]).status, 200);
    // A WebSocket handler that requires `role`.
    for (name, value) in [
        ("role", json!("administrator")),
        ("role", json!(["user"])),
        ("role", json!(0)),
        ("roles", json!("admin")),
    ] {
        let token = good().claim(name, value).claim("canary", "canary").sign(es256());
        target.rejects_at(name, "/role", "/ws-role", &[bearer(&token)], Rejection::NotPermitted);
    }
}

/// On a manual clock, to the second.
#[test]
fn token_is_rejected_from_exp_plus_leeway_on() {
    let clock = ManualClock::new();
    let oauth2 = builder().leeway(Duration::from_secs(5)).clock(clock.clone()).build().unwrap();
    let long = good().expires_in(86_400).sign(es256());
    let target = Target::with_good(oauth2, long);
    let short = good().claim("exp", clock.unix_seconds() + 60).sign(es256());
    clock.advance(Duration::from_secs(64));
    target.accepts("in its last second", &short);
    clock.advance(Duration::from_secs(1));
    target.rejects("after it", &short, Rejection::Expired);
    assert!(
        client::raw(target.api.server().address(), &crate::target::request("GET", "/public", &[]))
            .body
            .contains("public")
    );
}
