//! Which keys of a provider are tried for a token: by key id, by the thumbprint of a certificate, or all
//! within a limit.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use oauth2_actix::{
    Algorithm, Error, ErrorKind, OAuth2, Provider,
    testing::{ManualClock, SigningKey, Token},
};
use oauth2_actix_tests::{
    key_server::{Answer, KeyServer},
    keys::key,
    log, policy,
};
use openssl::sha::{sha1, sha256};
use serde_json::{Value, json};

const ISSUER: &str = "https://idp.test";

fn new_keys(count: usize) -> Vec<SigningKey> {
    (0..count)
        .map(|index| SigningKey::generate(Algorithm::ES256, &format!("key-{index}")))
        .collect()
}

fn policy(name: &str, keys: impl Into<oauth2_actix::Keys>) -> OAuth2 {
    let provider = Provider::new().issuer(ISSUER).audience("api").keys(keys);
    policy::builder().provider(name, provider).build().unwrap()
}

async fn verify(oauth2: &OAuth2, token: &str) -> Result<(), ErrorKind> {
    oauth2.verify(token).await.map(drop).map_err(|error| error.kind().clone())
}

fn token(key: &SigningKey) -> String {
    Token::new(ISSUER, "api").sign(key)
}

fn without_kid() -> Token {
    Token::new(ISSUER, "api").header("kid", Value::Null)
}

/// Decodes a certificate in PEM to DER.
fn der(pem: &str) -> Vec<u8> {
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    STANDARD.decode(body).unwrap()
}

fn x5t(certificate: &str) -> String {
    URL_SAFE_NO_PAD.encode(sha1(&der(certificate)))
}

fn x5t_s256(certificate: &str) -> String {
    URL_SAFE_NO_PAD.encode(sha256(&der(certificate)))
}

const UNTRIED: ErrorKind = ErrorKind::KeysUntried { tried: 16, fitting: 20 };

#[tokio::test]
async fn sixteen_keys_without_kid_are_tried_and_more_are_logged() {
    log::keep();
    let keys = new_keys(20);
    let bundle = |keys: &[SigningKey]| keys.iter().map(SigningKey::public_pem).collect::<String>();
    let oauth2 = policy("sixteen-keys", bundle(&keys[..16]));
    for key in &keys[..16] {
        assert_eq!(verify(&oauth2, &Token::new(ISSUER, "api").sign(key)).await, Ok(()));
        assert_eq!(verify(&oauth2, &without_kid().sign(key)).await, Ok(()));
    }
    let unknown = verify(&oauth2, &Token::new(ISSUER, "api").sign(&keys[16])).await;
    assert_eq!(unknown, Err(ErrorKind::SignatureInvalid), "all keys were tried");
    assert_eq!(log::lines_with(&["sixteen-keys", "some of the keys only"]).len(), 0);

    let oauth2 = policy("twenty-keys", bundle(&keys));
    let warning = ["WARN", "twenty-keys", "some of the keys only", "ES256", "keys=20", "tried=16"];
    assert_eq!(log::lines_with(&warning).len(), 1);
    for key in &keys[..16] {
        assert_eq!(verify(&oauth2, &Token::new(ISSUER, "api").sign(key)).await, Ok(()));
    }
    for key in &keys[16..] {
        let error = oauth2.verify(&Token::new(ISSUER, "api").sign(key)).await.unwrap_err();
        assert_eq!(error.kind(), &UNTRIED);
        assert!(error.to_string().contains("only 16 of the 20 keys"), "{error}");
        assert!(!error.to_string().contains("signature is invalid"), "{error}");
        assert_eq!(error.kind_name(), "keys_untried");
        // The response is that to an invalid signature.
        let invalid = Error::from(ErrorKind::SignatureInvalid);
        assert_eq!((error.status(), error.code()), (invalid.status(), invalid.code()));
        assert_eq!(error.description(), invalid.description());
    }
}

#[tokio::test]
async fn keys_with_kids_of_their_own_are_not_logged_as_a_warning() {
    log::keep();
    let keys = new_keys(20);
    let jwks: Vec<Value> = keys.iter().map(SigningKey::public_jwk).collect();
    let oauth2 = policy("named-keys", json!({"keys": jwks}));
    for key in &keys {
        assert_eq!(verify(&oauth2, &Token::new(ISSUER, "api").sign(key)).await, Ok(()));
    }
    let last = without_kid().sign(&keys[19]);
    assert_eq!(verify(&oauth2, &last).await, Err(UNTRIED));
    assert_eq!(log::lines_with(&["WARN", "named-keys"]).len(), 0);
    let note = ["DEBUG", "named-keys", "a token without a kid", "keys=20", "tried=16"];
    assert_eq!(log::lines_with(&note).len(), 1);
}

#[tokio::test]
async fn thumbprint_of_a_certificate_selects_its_key() {
    let keys = new_keys(40);
    let certificates: Vec<String> = keys.iter().map(SigningKey::certificate_pem).collect();
    let standard = |text: &str| STANDARD.encode(URL_SAFE_NO_PAD.decode(text).unwrap());
    let jwks = |members: &dyn Fn(&str) -> Value| -> Value {
        let keys = keys.iter().zip(&certificates).map(|(key, certificate)| {
            let mut jwk = key.bare_jwk();
            jwk.as_object_mut().unwrap().extend(members(certificate).as_object().unwrap().clone());
            jwk
        });
        json!({"keys": keys.collect::<Vec<_>>()})
    };
    let key_sets = [
        jwks(&|certificate| json!({"x5t": x5t(certificate), "x5t#S256": x5t_s256(certificate)})),
        jwks(
            &|certificate| json!({"x5t": standard(&x5t(certificate)), "x5t#S256": standard(&x5t_s256(certificate))}),
        ),
        jwks(&|certificate| json!({"x5c": [STANDARD.encode(der(certificate)), "AAAA"]})),
        json!(certificates.concat()),
    ];
    for (index, document) in key_sets.into_iter().enumerate() {
        let oauth2 = policy("thumbprints", document);
        for position in [0, 20, 39] {
            let (key, certificate) = (&keys[position], &certificates[position]);
            for (name, value) in [("x5t", x5t(certificate)), ("x5t#S256", x5t_s256(certificate))] {
                let what = format!("{name} of key {position} in set {index}");
                let token = without_kid().header(name, value.clone());
                assert_eq!(verify(&oauth2, &token.sign(key)).await, Ok(()), "{what}");
                // Only the selected key is tried.
                let forged = token.sign(&keys[5]);
                let rejected = verify(&oauth2, &forged).await;
                assert_eq!(rejected, Err(ErrorKind::SignatureInvalid), "{what}");
            }
        }
        // An unknown thumbprint selects nothing.
        for unknown in
            [json!(x5t(&keys[0].certificate_pem()) + "A"), json!(7), json!(""), json!([])]
        {
            let token = without_kid().header("x5t", unknown.clone());
            assert_eq!(verify(&oauth2, &token.sign(&keys[0])).await, Ok(()), "{unknown}");
            let last = verify(&oauth2, &token.sign(&keys[39])).await;
            assert_eq!(last, Err(ErrorKind::KeysUntried { tried: 16, fitting: 40 }), "{unknown}");
        }
    }
}

#[tokio::test]
async fn thumbprint_selects_among_keys_of_the_kid_and_provider() {
    let [one, two, attacker] = [(); 3].map(|()| SigningKey::generate(Algorithm::ES256, "shared"));
    let with_x5t = |key: &SigningKey, kid: &str| {
        let mut jwk = key.clone().with_kid(kid).public_jwk();
        jwk["x5t"] = json!(format!("thumbprint-of-{kid}"));
        jwk
    };
    let oauth2 = policy("p", json!({"keys": [with_x5t(&one, "one"), with_x5t(&two, "two")]}));
    // The kid decides.
    let token =
        |kid: &str, x5t: &str| Token::new(ISSUER, "api").header("kid", kid).header("x5t", x5t);
    assert_eq!(verify(&oauth2, &token("one", "thumbprint-of-one").sign(&one)).await, Ok(()));
    assert_eq!(verify(&oauth2, &token("one", "thumbprint-of-two").sign(&one)).await, Ok(()));
    let other = verify(&oauth2, &token("one", "thumbprint-of-two").sign(&two)).await;
    assert_eq!(other, Err(ErrorKind::SignatureInvalid));
    let unknown = verify(&oauth2, &token("three", "thumbprint-of-one").sign(&one)).await;
    assert_eq!(unknown, Err(ErrorKind::UnknownKey));
    // A certificate in the token itself is not a key of the provider.
    let certificate = attacker.certificate_pem();
    let forged = Token::new(ISSUER, "api")
        .header("kid", Value::Null)
        .header("x5t", x5t(&certificate))
        .header("x5c", json!([STANDARD.encode(der(&certificate))]));
    let forged = verify(&oauth2, &forged.sign(&attacker)).await;
    assert_eq!(forged, Err(ErrorKind::SignatureInvalid));
}

#[tokio::test]
async fn invalid_signature_of_a_known_thumbprint_causes_no_fetch() {
    let (key, other) =
        (SigningKey::generate(Algorithm::ES256, "1"), SigningKey::generate(Algorithm::ES256, "2"));
    let of = |key: &SigningKey, thumbprint: &str| {
        let mut jwk = key.bare_jwk();
        jwk["x5t"] = json!(thumbprint);
        Answer::json(&jwk)
    };
    let server = KeyServer::start(of(&key, "first")).unwrap();
    let provider = Provider::new().issuer(ISSUER).audience("api").keys(server.url());
    let oauth2 = policy::builder()
        .provider("p", provider)
        .key_refresh_minutes(60)
        .clock(ManualClock::new())
        .build()
        .unwrap();
    let token = |thumbprint: &str| without_kid().header("x5t", thumbprint);
    assert_eq!(verify(&oauth2, &token("first").sign(&key)).await, Ok(()));
    let forged = verify(&oauth2, &token("first").sign(&other)).await;
    assert_eq!((forged, server.requests()), (Err(ErrorKind::SignatureInvalid), 1));
    // An unknown thumbprint may belong to a new key.
    server.answer(of(&other, "second"));
    assert_eq!(verify(&oauth2, &token("second").sign(&other)).await, Ok(()));
    assert_eq!(server.requests(), 2);
}

/// The keys are the same, but a thumbprint changes.
#[tokio::test]
async fn new_thumbprint_of_a_known_key_is_used_after_a_refresh() {
    let keys = new_keys(20);
    let set = |last: &str| {
        let mut jwks: Vec<Value> = keys.iter().map(SigningKey::bare_jwk).collect();
        jwks[19]["x5t"] = json!(last);
        Answer::json(&json!({"keys": jwks}))
    };
    let server = KeyServer::start(set("old")).unwrap();
    let oauth2 = policy("renewed-certificate", server.url());
    let token = |thumbprint: &str| without_kid().header("x5t", thumbprint).sign(&keys[19]);
    assert_eq!(verify(&oauth2, &token("old")).await, Ok(()));
    assert_eq!(verify(&oauth2, &token("new")).await, Err(UNTRIED));
    server.answer(set("new"));
    oauth2.refresh_keys().await.unwrap();
    assert_eq!(verify(&oauth2, &token("new")).await, Ok(()));
    assert_eq!(verify(&oauth2, &token("old")).await, Err(UNTRIED));
}

#[tokio::test]
async fn keys_of_one_kid_are_all_tried_up_to_16() {
    let keys: Vec<SigningKey> =
        (0..17).map(|_| SigningKey::generate(Algorithm::ES256, "shared")).collect();
    let rsa = key(Algorithm::RS256).clone().with_kid("shared");
    let set = |keys: &[&SigningKey]| {
        let keys: Vec<Value> = keys.iter().map(|key| key.public_jwk()).collect();
        json!({"keys": keys})
    };
    let oauth2 = policy("p", set(&[&keys[0], &rsa, &keys[1]]));
    for key in [&keys[0], &rsa, &keys[1]] {
        assert_eq!(verify(&oauth2, &token(key)).await, Ok(()));
    }
    assert_eq!(verify(&oauth2, &token(&keys[2])).await, Err(ErrorKind::SignatureInvalid));
    // At most 16 keys are tried, to bound the cost. Keys of other algorithms do not count.
    let all: Vec<&SigningKey> = std::iter::once(&rsa).chain(&keys).collect();
    let oauth2 = policy("p", set(&all));
    for key in &keys[..16] {
        assert_eq!(verify(&oauth2, &token(key)).await, Ok(()));
    }
    let untried = ErrorKind::KeysUntried { tried: 16, fitting: 17 };
    assert_eq!(verify(&oauth2, &token(&keys[16])).await, Err(untried));
}

#[tokio::test]
async fn key_without_alg_verifies_the_algorithms_of_its_type() {
    let (rsa, pss, ec) = (key(Algorithm::RS256), key(Algorithm::PS384), key(Algorithm::ES384));
    let without_alg = |key: &SigningKey| {
        let mut jwk = key.public_jwk();
        jwk.as_object_mut().unwrap().remove("alg");
        jwk
    };
    let set = json!({"keys": [without_alg(rsa), without_alg(pss), without_alg(ec)]});
    let oauth2 = policy("p", set);
    for key in [rsa, pss, ec] {
        assert_eq!(verify(&oauth2, &token(key)).await, Ok(()), "{}", key.algorithm());
    }
    // No other algorithms, whatever the header of the token names.
    for alg in ["ES256", "EdDSA", "PS384"] {
        let lying = Token::new(ISSUER, "api").header("alg", alg).sign(ec);
        assert!(verify(&oauth2, &lying).await.is_err(), "{alg}");
    }
    let secret = SigningKey::from_secret(Algorithm::HS256, rsa.kid(), rsa.public_pem().as_bytes());
    assert!(verify(&oauth2, &token(&secret)).await.is_err(), "the public key is not a secret");
}
