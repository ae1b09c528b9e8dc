//! Attacks on an API that accepts JWT-SVIDs: subjects that resemble those of its trust domain, keys that are
//! not for tokens, and tokens of one provider under the rules of another.

use oauth2_actix::{Algorithm, Provider, testing::Token};
use oauth2_actix_tests::{keys::key, policy};
use serde_json::{Value, json};

use crate::target::{AUDIENCE, ISSUER, Rejection, Target, es256, good};

const JWT_SVID: Algorithm = Algorithm::RS256;
const X509_SVID: Algorithm = Algorithm::ES384;

fn bundle() -> Value {
    let entry = |algorithm, usage: &str| {
        let mut jwk = key(algorithm).bare_jwk();
        jwk["kid"] = json!(key(algorithm).kid());
        jwk["use"] = json!(usage);
        jwk
    };
    json!({"keys": [entry(JWT_SVID, "jwt-svid"), entry(X509_SVID, "x509-svid")]})
}

/// The trust domain `example.org`, beside a plain provider with [`ISSUER`] and [`es256`].
fn target() -> Target {
    let spire = Provider::new().spiffe_trust_domain("example.org").audience(AUDIENCE);
    let plain = Provider::new().issuer(ISSUER).audience(AUDIENCE).keys(es256().jwk_set());
    let oauth2 = policy::builder()
        .provider("plain", plain)
        .provider("spire", spire.keys(bundle()))
        .build()
        .unwrap();
    let target = Target::with_good(oauth2, svid().expires_in(86_400).sign(key(JWT_SVID)));
    target.accepts("a plain token", &good().sign(es256()));
    target
}

fn svid() -> Token {
    good().without("iss").claim("sub", "spiffe://example.org/canary").header("typ", "JOSE")
}

#[test]
fn subject_that_resembles_the_trust_domain_is_rejected() {
    let target = target();
    for subject in [
        "spiffe://other.example/canary",
        "spiffe://example.org.evil/canary",
        "spiffe://example.org.evil.example/canary",
        "spiffe://evil.example.org/canary",
        "spiffe://evilexample.org/canary",
        "spiffe://example.or/canary",
        "spiffe://example.org./canary",
        "spiffe://.example.org/canary",
        "spiffe://EXAMPLE.ORG/canary",
        "spiffe://Example.org/canary",
        "SPIFFE://example.org/canary",
        "spiffe://user@example.org/canary",
        "spiffe://example.org@evil.example/canary",
        "spiffe://evil.example@example.org/canary",
        "spiffe://example.org:443/canary",
        "spiffe://example.org:@evil.example/canary",
        "spiffe://example%2eorg/canary",
        "spiffe://ex%61mple.org/canary",
        "spiffe://example.org%2f.evil.example/canary",
        "spiffe://example.org/%63anary",
        "spiffe://example.org/%2e%2e/canary",
        "spiffe://example.org/../canary",
        "spiffe://example.org/./canary",
        "spiffe://example.org//canary",
        "spiffe://example.org/canary/",
        "spiffe://example.org/",
        "spiffe://example.org",
        "spiffe:///canary",
        "spiffe://evil.example/spiffe://example.org/canary",
        "spiffe://evil.example?spiffe://example.org/canary",
        "spiffe://example.org?x/canary",
        "spiffe://example.org/canary?x",
        "spiffe://example.org/canary#x",
        "spiffe://example.org#/canary",
        "spiffe://example.org\\canary",
        "spiffe://evil.example\\@example.org/canary",
        "spiffe://example.org\0/canary",
        "spiffe://example.org /canary",
        " spiffe://example.org/canary",
        "spiffe://example.org/canary\n",
        "spiffe://\u{435}xample.org/canary",
        "https://example.org/canary",
        "example.org/canary",
        "canary",
        "",
    ] {
        let token = svid().claim("sub", subject);
        target.rejects(subject, &token.sign(key(JWT_SVID)), Rejection::Malformed);
    }
    let long = format!("spiffe://example.org/{}", "canary".repeat(400));
    target.rejects(
        "too long",
        &svid().claim("sub", long).sign(key(JWT_SVID)),
        Rejection::Malformed,
    );
    target.rejects("no sub", &svid().without("sub").sign(key(JWT_SVID)), Rejection::Malformed);
    for subject in [
        Value::Null,
        json!(1),
        json!(["spiffe://example.org/canary"]),
        json!({"spiffe://example.org/canary": true}),
    ] {
        let token = svid().claim("sub", subject);
        target.rejects("no text", &token.sign(key(JWT_SVID)), Rejection::Malformed);
    }
}

/// An `iss` that is null or of another type does not count as missing, and one that is present must be
/// configured.
#[test]
fn issuer_that_is_present_is_always_checked() {
    let target = target();
    for issuer in [Value::Null, json!(1), json!(true), json!([]), json!([ISSUER]), json!({})] {
        let token = svid().claim("iss", issuer.clone());
        target.rejects(&issuer.to_string(), &token.sign(key(JWT_SVID)), Rejection::Malformed);
    }
    for issuer in ["", "https://evil.example", "spiffe://example.org", "example.org"] {
        let token = svid().claim("iss", issuer);
        target.rejects(issuer, &token.sign(key(JWT_SVID)), Rejection::WrongResource);
    }
    // The issuer of the plain provider selects its keys and rules only.
    let token = svid().claim("iss", ISSUER);
    target.rejects("iss of another", &token.sign(key(JWT_SVID)), Rejection::Malformed);
    let token = token.header("typ", "JWT");
    target.rejects("iss of another", &token.sign(key(JWT_SVID)), Rejection::Signature);
}

#[test]
fn x509_key_of_a_bundle_is_rejected() {
    let target = target();
    for kid in [json!(key(X509_SVID).kid()), json!(key(JWT_SVID).kid()), Value::Null] {
        let token = svid().header("kid", kid);
        target.rejects("x509-svid", &token.sign(key(X509_SVID)), Rejection::Signature);
        // The keys of the plain provider do not belong to the trust domain.
        target.rejects("another provider's key", &token.sign(es256()), Rejection::Signature);
        target.rejects("HMAC", &token.sign(key(Algorithm::HS256)), Rejection::Signature);
    }
    for hash in [Algorithm::EdDSA, Algorithm::ES256K] {
        target.rejects(hash.name(), &svid().sign(key(hash)), Rejection::Signature);
    }
}

#[test]
fn token_of_one_provider_under_the_rules_of_another_is_rejected() {
    let target = target();
    // `JOSE` and a missing issuer are for JWT-SVIDs only.
    for typ in ["JOSE", "jose", "application/jose"] {
        target.rejects(typ, &good().header("typ", typ).sign(es256()), Rejection::Malformed);
    }
    target.rejects("no iss", &good().without("iss").sign(es256()), Rejection::Malformed);
    let subject = good().claim("sub", "spiffe://example.org/canary");
    target.rejects(
        "a plain key",
        &subject.clone().without("iss").sign(es256()),
        Rejection::Signature,
    );
    target.accepts("a subject decides nothing beside an iss", &subject.sign(es256()));
    for typ in ["JOSE+JSON", "id_token+jwt", "logout+jwt", ""] {
        target.rejects(typ, &svid().header("typ", typ).sign(key(JWT_SVID)), Rejection::Malformed);
    }
    target.rejects("no aud", &svid().without("aud").sign(key(JWT_SVID)), Rejection::WrongResource);
    target.rejects(
        "other aud",
        &svid().claim("aud", "x").sign(key(JWT_SVID)),
        Rejection::WrongResource,
    );
    target.rejects("no exp", &svid().without("exp").sign(key(JWT_SVID)), Rejection::Malformed);
    target.rejects("expired", &svid().expires_in(-1).sign(key(JWT_SVID)), Rejection::Expired);
    // Without a trust domain, a token without `iss` is malformed.
    let plain = Target::start();
    let token = good().without("iss").claim("sub", "spiffe://example.org/canary");
    plain.rejects("no iss", &token.sign(es256()), Rejection::Malformed);
    plain.rejects("JOSE", &good().header("typ", "JOSE").sign(es256()), Rejection::Malformed);
}

/// One issuer at a plain provider and at a trust domain, for different audiences: each keeps its own keys,
/// types and subjects.
#[test]
fn provider_and_trust_domain_of_one_issuer_keep_their_own_rules() {
    let plain = Provider::new().issuer(ISSUER).audience("other").keys(es256().jwk_set());
    let spire = Provider::new().issuer(ISSUER).spiffe_trust_domain("example.org");
    let oauth2 = policy::builder()
        .provider("plain", plain)
        .provider("spire", spire.audience(AUDIENCE).keys(bundle()))
        .build()
        .unwrap();
    let with_issuer = || svid().claim("iss", ISSUER);
    let good = with_issuer().expires_in(86_400).sign(key(JWT_SVID));
    let target = Target::with_good(oauth2, good);
    target.accepts("without iss", &svid().sign(key(JWT_SVID)));
    let both = json!(["other", AUDIENCE]);
    target.accepts("for both", &with_issuer().claim("aud", both.clone()).sign(key(JWT_SVID)));
    let for_other = with_issuer().claim("aud", "other");
    target.rejects("JOSE elsewhere", &for_other.sign(es256()), Rejection::Malformed);
    target.rejects(
        "a bundle's key elsewhere",
        &for_other.sign(key(JWT_SVID)),
        Rejection::Malformed,
    );
    let plain_typ = for_other.header("typ", "JWT");
    target.accepts("the plain provider's", &plain_typ.sign(es256()));
    target.rejects("another's key", &plain_typ.sign(key(JWT_SVID)), Rejection::Signature);
    // Without `iss`, only the trust domain is tried.
    target.rejects(
        "not its audience",
        &svid().claim("aud", "other").sign(es256()),
        Rejection::WrongResource,
    );
    target.rejects("not its key", &svid().claim("aud", both).sign(es256()), Rejection::Signature);
    let other_subject = with_issuer().claim("sub", "canary-user");
    target.rejects("not its subject", &other_subject.sign(key(JWT_SVID)), Rejection::Malformed);
}
