//! Keys and documents that are rejected, and how that is reported.

use super::*;

/// Keys that must never verify a token, each with a word of the reason.
fn unusable() -> Vec<(Value, &'static str)> {
    let changed = |algorithm, name: &str, value: Value| {
        let mut jwk = key(algorithm).public_jwk();
        jwk[name] = value;
        jwk
    };
    let (rsa, ec, ed, ed448) =
        (Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA, Algorithm::Ed448);
    let text = |bytes: &[u8]| json!(URL_SAFE_NO_PAD.encode(bytes));
    let small = {
        let pair = openssl::rsa::Rsa::generate(1024).unwrap();
        changed(rsa, "n", text(&pair.n().to_vec()))
    };
    let almost = {
        let modulus = URL_SAFE_NO_PAD.decode(key(rsa).bare_jwk()["n"].as_str().unwrap()).unwrap();
        // 2047 bits, odd.
        let mut modulus = modulus;
        modulus[0] = 0x7f;
        changed(rsa, "n", text(&modulus))
    };
    let mut without_kty = key(ec).public_jwk();
    without_kty.as_object_mut().unwrap().remove("kty");
    let mut without_crv = key(ec).public_jwk();
    without_crv.as_object_mut().unwrap().remove("crv");
    vec![
        (small, "1024 bits"),
        (almost, "2047 bits"),
        (changed(rsa, "n", text(&[0xff; 2049])), "16392 bits"),
        (changed(rsa, "n", text(&[0xfe; 256])), "modulus or exponent"),
        (changed(rsa, "e", text(&[1])), "modulus or exponent"),
        (changed(rsa, "e", text(&[0, 1])), "modulus or exponent"),
        (changed(rsa, "e", text(&[2])), "modulus or exponent"),
        (changed(rsa, "e", text(&[])), "modulus or exponent"),
        (changed(rsa, "e", text(&[0xff; 256])), "modulus or exponent"),
        (changed(rsa, "n", json!("not base64!")), "base64url"),
        (changed(rsa, "n", json!(12)), "not a string"),
        (changed(rsa, "use", json!("enc")), "`use`"),
        (changed(rsa, "use", json!(["sig"])), "`use`"),
        (changed(rsa, "key_ops", json!(["sign"])), "key_ops"),
        (changed(rsa, "key_ops", json!("verify")), "key_ops"),
        (changed(rsa, "alg", json!("RSA-OAEP")), "`alg`"),
        (changed(rsa, "alg", json!("none")), "`alg`"),
        (changed(rsa, "alg", json!("ES256")), "does not fit"),
        (changed(rsa, "alg", json!("HS256")), "does not fit"),
        (changed(rsa, "kty", json!("LWE")), "kty"),
        (changed(rsa, "d", json!("AQAB")), "`d` makes it a private key"),
        (changed(rsa, "qi", json!("")), "`qi` makes it a private key"),
        (changed(rsa, "oth", json!([{"r": "AQAB"}])), "`oth` makes it a private key"),
        (changed(ec, "d", json!("AQAB")), "`d` makes it a private key"),
        (changed(ec, "d", json!("")), "`d` makes it a private key"),
        (changed(ed, "d", json!("AQAB")), "`d` makes it a private key"),
        (changed(ec, "use", json!("")), "`use` is not `sig`"),
        (changed(ec, "use", json!([])), "`use` is not a string"),
        (changed(ec, "use", json!("jwt-svid")), "SPIFFE is not enabled"),
        (changed(ec, "use", json!("x509-svid")), "SPIFFE is not enabled"),
        (changed(ec, "key_ops", json!("")), "`key_ops` does not list"),
        (changed(ec, "kid", json!("x".repeat(1025))), "1025 bytes"),
        (changed(rsa, "n", json!("AQAB===")), "base64url"),
        (changed(ec, "crv", json!("P-384")), "length"),
        (changed(ec, "crv", json!("P-224")), "curve"),
        (changed(ec, "x", text(&[7; 32])), "not a valid key"),
        (changed(ec, "x", text(&[0; 32])), "not a valid key"),
        (changed(ec, "x", text(&[1; 31])), "length"),
        (changed(ec, "y", json!("")), "length"),
        (changed(ed, "x", text(&[0; 32])), "small order"),
        (changed(ed, "x", text(&[1; 31])), "small order"),
        (changed(ed448, "x", text(&[0; 57])), "small order"),
        (changed(ed, "crv", json!("X25519")), "curve"),
        (changed(ec, "kid", json!(5)), "`kid`"),
        (without_kty, "no `kty`"),
        (without_crv, "no `crv`"),
        (json!("text"), "neither a JSON object nor PEM"),
        (json!(null), "not a JSON object"),
        (json!([]), "not a JSON object"),
        (json!({"kty": "oct", "k": "AA"}), ""),
    ]
}

#[tokio::test]
async fn unusable_key_alone_is_a_build_error() {
    for (jwk, reason) in unusable() {
        let error = policy::builder()
            .provider("p", provider().keys(json!({"keys": [jwk]})))
            .build()
            .expect_err(reason);
        assert_eq!((error.provider(), error.field()), (Some("p"), "keys"));
        assert!(error.to_string().contains(reason), "{error} does not contain {reason}");
    }
}

#[tokio::test]
async fn unusable_key_in_a_fetched_set_is_skipped_and_logged() {
    log::keep();
    let good = key(Algorithm::ES384);
    for (index, (jwk, reason)) in unusable().into_iter().enumerate() {
        let set = json!({"keys": [&jwk, good.public_jwk(), {"kty": "EC"}]});
        let server = KeyServer::start(Answer::json(&set)).unwrap();
        let name = format!("spoiled-{index}-");
        let oauth2 =
            policy::builder().provider(&name, provider().keys(server.url())).build().unwrap();
        assert!(oauth2.verify(&Token::new(ISSUER, "api").sign(good)).await.is_ok(), "{reason}");
        let level = if is_expected(&jwk) { "DEBUG" } else { "WARN" };
        let logged = log::lines_with(&[level, "a key is not used", &name, reason]);
        assert!(!logged.is_empty(), "{reason}");
    }
}

/// Returns whether the key is for encryption. Providers publish such keys beside others.
fn is_expected(jwk: &Value) -> bool {
    jwk["use"] == "enc" || jwk["alg"] == "RSA-OAEP" || jwk["crv"] == "X25519"
}

#[tokio::test]
async fn duplicate_member_makes_its_key_unusable_but_not_the_set() {
    let good = key(Algorithm::ES256);
    let twice = r#"{"kty":"oct","kty":"EC"}"#;
    let set = format!(r#"{{"keys":[{twice},{}]}}"#, good.public_jwk());
    let oauth2 = policy::builder().provider("p", provider().keys(set)).build().unwrap();
    assert!(oauth2.verify(&Token::new(ISSUER, "api").sign(good)).await.is_ok());
    let error = build(format!("[{twice}]")).unwrap_err();
    assert!(error.contains("an object has the same member twice"), "{error}");
}

/// A symmetric key is rejected from every source except the configuration, with the same reason.
#[tokio::test]
async fn fetched_symmetric_key_is_rejected_with_its_reason() {
    struct Fixed(String);
    impl KeySource for Fixed {
        async fn load(&self) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
            Ok(self.0.clone())
        }
    }
    let secret = key(Algorithm::HS256).jwk_set();
    let server = KeyServer::start(Answer::json(&secret)).unwrap();
    let file = std::env::temp_dir().join(format!("oauth2-actix-secret-{}", std::process::id()));
    std::fs::write(&file, secret.to_string()).unwrap();
    for keys in
        [Keys::url(server.url()), Keys::file(&file), Keys::source(Fixed(secret.to_string()))]
    {
        let error = build(keys).unwrap().warm_up().await.unwrap_err();
        let (_, cause) = error.failures().next().unwrap();
        let reason =
            "it is a symmetric key, and symmetric keys are used only if they are given inline";
        assert!(cause.contains(reason), "{cause}");
        assert!(!cause.contains("symmetric key that came from a URL"), "{cause}");
    }
    std::fs::remove_file(file).unwrap();
}

#[tokio::test]
async fn symmetric_key_is_used_only_inline_and_if_its_algorithm_is_listed() {
    let secret = key(Algorithm::HS256);
    let token = Token::new(ISSUER, "api").sign(secret);
    let named = || provider().algorithms([Algorithm::HS256]);

    let inline = policy::builder().provider("p", named().keys(secret.jwk_set())).build().unwrap();
    assert!(inline.verify(&token).await.is_ok());
    // Its algorithm is not listed.
    let error = policy::builder().provider("p", provider().keys(secret.jwk_set())).build();
    assert_eq!(error.unwrap_err().field(), "keys");
    // From a URL.
    let error = policy::builder().provider("p", named().keys("https://idp.test/jwks.json")).build();
    assert_eq!(error.unwrap_err().field(), "algorithms");
    // In a fetched set, beside a good key.
    let set = json!({"keys": [secret.public_jwk(), key(Algorithm::ES256).public_jwk()]});
    let server = KeyServer::start(Answer::json(&set)).unwrap();
    let oauth2 = policy::builder().provider("p", provider().keys(server.url())).build().unwrap();
    assert!(oauth2.verify(&token).await.is_err());
    assert!(oauth2.verify(&Token::new(ISSUER, "api").sign(key(Algorithm::ES256))).await.is_ok());
}

#[tokio::test]
async fn document_without_keys_is_an_error_that_says_why() {
    let private = key(Algorithm::ES256).private_pem();
    for (document, reason) in [
        ("", "empty"),
        ("  \n", "empty"),
        ("<html></html>", "neither JSON nor PEM"),
        ("{", "not valid JSON"),
        ("{}", "neither a JWK set"),
        ("{\"keys\": {}}", "not valid JSON"),
        ("{\"keys\": []}", "no keys"),
        ("[]", "no keys"),
        ("{\"a\": 1}", "neither a JWK set"),
        ("{\"a\": \"text\"}", "neither a JWK set"),
        ("jwks.json", "looks like the path of a file"),
        ("<html></html>", "HTML"),
        ("\u{feff}", "empty"),
        ("{'keys': [{'kty': 'EC'}]}", "between double quotes"),
        ("{\"keys\": [],}", "no comma after the last member"),
        ("{\"keys\": null}", "neither a JWK set"),
        ("{\"issuer\": \"https://idp.test\", \"jwks_uri\": \"x\"}", "use `Keys::discover()`"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "cannot be read"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA", "has no END line"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be read"),
        (
            "-----BEGIN DH PARAMETERS-----\nAAAA\n-----END DH PARAMETERS-----\n",
            "neither a PUBLIC KEY",
        ),
        (
            "-----BEGIN PUBLIC KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END PUBLIC KEY-----\n",
            "cannot be read",
        ),
        (private.as_str(), "private key"),
    ] {
        let error =
            policy::builder().provider("p", provider().keys(document)).build().expect_err(document);
        assert_eq!((error.provider(), error.field()), (Some("p"), "keys"));
        assert!(error.to_string().contains(reason), "{error} does not contain {reason}");
    }
}

#[test]
fn errors_hold_no_part_of_the_keys() {
    for document in [json!({"keys": "c3VwZXItc2VjcmV0"}), json!({"keys": {"c3VwZXItc2VjcmV0": 1}})]
    {
        let error = policy::builder().provider("p", provider().keys(document)).build().unwrap_err();
        assert!(!error.to_string().contains("c3VwZXI"), "{error}");
    }
    let url = "https://idp.test/jwks.json?code=secret-code";
    let builder = policy::builder().provider("p", provider().keys(url));
    assert!(!format!("{builder:?}").contains("secret-code"));
}

#[tokio::test]
async fn document_over_1024_keys_is_rejected_with_one_log_line() {
    log::keep();
    let good = key(Algorithm::ES256);
    let many = |name: &str, count: usize| {
        let mut keys = vec![good.public_jwk()];
        keys.resize(count, json!(0));
        let server = KeyServer::start(Answer::json(&json!({"keys": keys}))).unwrap();
        let oauth2 =
            policy::builder().provider(name, provider().keys(server.url())).build().unwrap();
        (oauth2, server)
    };
    let token = Token::new(ISSUER, "api").sign(good);
    let (oauth2, _server) = many("many-keys", 1024);
    assert!(oauth2.verify(&token).await.is_ok());
    assert_eq!(log::lines_with(&["WARN", "many-keys", "not used"]).len(), 9);
    let (oauth2, _server) = many("too-many-of-them", 1025);
    assert!(oauth2.verify(&token).await.is_err());
    assert_eq!(log::lines_with(&["WARN", "too-many-of-them", "1025 keys"]).len(), 1);
}

#[tokio::test]
async fn secret_shorter_than_the_hash_is_rejected() {
    let secret = SigningKey::from_secret(Algorithm::HS256, "k", &[7; 32]);
    let both = provider().algorithms([Algorithm::HS256, Algorithm::HS512]).keys(secret.bare_jwk());
    let oauth2 = policy::builder().provider("p", both).build().unwrap();
    assert!(oauth2.verify(&Token::new(ISSUER, "api").sign(&secret)).await.is_ok());
    let long = provider().algorithms([Algorithm::HS512]).keys(secret.bare_jwk());
    let error = policy::builder().provider("p", long).build().unwrap_err();
    assert!(error.to_string().contains("fewer than the 64"), "{error}");
}

#[tokio::test]
async fn unusable_key_after_a_failed_fetch_is_logged() {
    log::keep();
    let server = KeyServer::start(Answer::status(500)).unwrap();
    let provider = Provider::new().issuer(ISSUER).audience("api").keys(server.url());
    let oauth2 = policy::builder().provider("fails-first", provider).build().unwrap();
    assert!(oauth2.warm_up().await.is_err());
    let good = key(Algorithm::ES256).public_jwk();
    server.answer(Answer::json(&json!({"keys": [good, {"kty": "unheard-of", "kid": "odd"}]})));
    oauth2.warm_up().await.unwrap();
    assert!(!log::lines_with(&["WARN", "fails-first", "a key is not used", "odd"]).is_empty());
}

#[tokio::test]
async fn secrets_and_tokens_in_another_alphabet_are_rejected() {
    let secret = SigningKey::from_secret(Algorithm::HS256, "k", &[0xfb; 64]);
    let named = || provider().algorithms([Algorithm::HS256]);
    for k in ["+/v7".repeat(16), format!("{}=", URL_SAFE_NO_PAD.encode([0xfb; 64]))] {
        let jwk = json!({"kty": "oct", "k": k});
        let error = policy::builder().provider("p", named().keys(jwk)).build().unwrap_err();
        assert!(error.to_string().contains("`k` is not base64url"), "{error}");
    }
    let oauth2 =
        policy::builder().provider("p", named().keys(secret.public_jwk())).build().unwrap();
    assert!(accepts(&oauth2, &secret).await);
    let token = Token::new(ISSUER, "api").sign(&secret);
    for token in [format!("{token}="), token.replace('-', "+").replace('_', "/") + "+"] {
        assert!(oauth2.verify(&token).await.is_err());
    }
}

#[tokio::test]
async fn text_that_is_not_a_key_is_an_error_that_says_what_to_write() {
    let base64_of =
        |pem: String| pem.lines().filter(|line| !line.starts_with('-')).collect::<String>();
    let es256 = key(Algorithm::ES256);
    let public = base64_of(es256.public_pem());
    for (text, advice) in [
        ("file:///etc/keys.json", "`file:` URL"),
        ("FILE:/etc/keys.json", "`Keys::file(path)`"),
        ("/etc/keys.json", "path of a file"),
        ("/run/secrets/jwks", "path of a file"),
        ("./keys.pem", "path of a file"),
        ("../keys.pem", "path of a file"),
        ("~/keys.pem", "path of a file"),
        ("C:\\keys\\jwks.json", "path of a file"),
        ("keys.json", "`{\"file\": \"/path\"}`"),
        ("config/keys.PEM", "path of a file"),
        ("idp.example/jwks.json", "write `https://…`"),
        ("localhost:8080/jwks", "URL without its scheme"),
        ("keycloak:8080/realms/x/protocol/openid-connect/certs", "URL without its scheme"),
        ("htps://idp.example/jwks.json", "neither `https` nor `http`"),
        ("ftp://idp.example/jwks.json", "neither `https` nor `http`"),
        ("a-secret-of-at-least-32-characters-long", "an HMAC secret as a JWK"),
        ("c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA==", "an HMAC secret as a JWK"),
        ("two words", "an HMAC secret as a JWK"),
        (&public, "`-----BEGIN PUBLIC KEY-----`"),
        (public.trim_end_matches('='), "`-----BEGIN PUBLIC KEY-----`"),
        (&base64_of(es256.certificate_pem()), "`-----BEGIN CERTIFICATE-----`"),
        (&base64_of(es256.private_pem()), "base64 of a private key"),
    ] {
        let error = build(text).unwrap_err();
        assert!(error.contains(advice), "{text}: {error}");
        assert!(error.len() < text.len() || !error.contains(text), "{error}");
    }
}

#[tokio::test]
async fn discovery_document_instead_of_keys_is_recognised() {
    let document = json!({"issuer": ISSUER, "jwks_uri": "https://idp.test/jwks.json"});
    let error = build(document.clone()).unwrap_err();
    assert!(error.contains("discovery document") && error.contains("Keys::discover()"), "{error}");
    let server = KeyServer::start(Answer::json(&document)).unwrap();
    let oauth2 = build(server.url()).unwrap();
    assert!(!accepts(&oauth2, key(Algorithm::ES256)).await);
    let cause = oauth2.key_status()[0].last_error.clone().unwrap().cause;
    assert!(cause.contains("discovery document"), "{cause}");
    // A document that also holds keys is a key set.
    let mut document = key(Algorithm::ES256).jwk_set();
    document["jwks_uri"] = json!("https://idp.test/jwks.json");
    assert!(accepts(&build(document).unwrap(), key(Algorithm::ES256)).await);
}

#[tokio::test]
async fn encryption_keys_are_logged_as_warnings_only_without_others() {
    log::keep();
    let mut encryption = key(Algorithm::RS256).public_jwk();
    encryption["use"] = json!("enc");
    encryption["alg"] = json!("RSA-OAEP");
    encryption["kid"] = json!("enc-1");
    let agreement = json!({"kty": "OKP", "crv": "X25519", "x": "AA", "kid": "enc-2"});
    let wrapping =
        json!({"kty": "RSA", "n": "AQAB", "e": "AQAB", "key_ops": ["wrapKey"], "kid": "enc-3"});
    let exchange = json!({"kty": "EC", "crv": "P-256", "alg": "ECDH-ES+A256KW", "kid": "enc-4"});
    let good = key(Algorithm::ES256);
    let set = json!({"keys": [encryption, agreement, wrapping, exchange, good.public_jwk()]});
    let oauth2 = policy::builder().provider("realm-keys", provider().keys(set)).build().unwrap();
    assert!(accepts(&oauth2, good).await);
    assert_eq!(log::lines_with(&["WARN", "realm-keys", "not used"]).len(), 0);
    for kid in ["enc-1", "enc-2", "enc-3", "enc-4"] {
        assert_eq!(log::lines_with(&["DEBUG", "realm-keys", "a key is not used", kid]).len(), 1);
    }
    // The error names an invalid key rather than one for encryption.
    let error = build(json!({"keys": [encryption]})).unwrap_err();
    assert!(error.contains("no usable key") && error.contains("`enc`"), "{error}");
    let error = build(json!({"keys": [encryption, {"kty": "EC"}]})).unwrap_err();
    assert!(error.contains("no usable key") && error.contains("no `crv`"), "{error}");
}
