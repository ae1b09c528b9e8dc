//! Keys in every form, inline and from a URL, and keys that are never used.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use oauth2_actix::{
    Algorithm, KeySource, Keys, OAuth2, Provider,
    testing::{SigningKey, Token},
};
use oauth2_actix_tests::{
    key_server::{Answer, KeyServer},
    keys::{EVERY, key},
    log, policy,
};
use serde_json::{Value, json};

const ISSUER: &str = "https://idp.test";

fn provider() -> Provider {
    Provider::new().issuer(ISSUER).audience("api")
}

pub(crate) fn forms(key: &SigningKey) -> Vec<(&'static str, Value)> {
    let pem = key.public_pem();
    let mut forms = vec![
        ("JWK set", key.jwk_set()),
        ("JWK", key.public_jwk()),
        ("bare JWK", key.bare_jwk()),
        ("list of JWKs", json!([key.public_jwk()])),
        ("kid to PEM", json!({key.kid(): pem})),
        ("kid to certificate", json!({key.kid(): key.certificate_pem(), "other": pem})),
        ("PEM", json!(pem)),
        ("certificate", json!(key.certificate_pem())),
        ("bundle", json!(format!("\n{}{}\n", key.certificate_pem(), pem))),
    ];
    let padded_set = json!({"keys": [key.public_jwk()], "extra": {"any": "thing"}});
    forms.push(("JWK set with more", padded_set));
    forms
}

#[tokio::test]
async fn key_of_every_form_verifies_inline_and_from_a_url() {
    for key in EVERY.iter().filter(|key| !key.algorithm().is_symmetric()) {
        let token = Token::new(ISSUER, "api").sign(key);
        for (name, form) in forms(key) {
            let inline = policy::builder().provider("p", provider().keys(form.clone())).build();
            let accepted = inline.unwrap().verify(&token).await;
            assert!(accepted.is_ok(), "{name} of {} inline: {accepted:?}", key.algorithm());

            let body = match &form {
                Value::String(pem) => pem.clone(),
                json => json.to_string(),
            };
            let server = KeyServer::start(Answer::body(200, &[], body.as_bytes())).unwrap();
            let fetched =
                policy::builder().provider("p", provider().keys(server.url())).build().unwrap();
            let accepted = fetched.verify(&token).await;
            assert!(accepted.is_ok(), "{name} of {} fetched: {accepted:?}", key.algorithm());
        }
    }
}

#[tokio::test]
async fn rsa_key_in_pkcs1_pem_is_read() {
    let rsa = openssl::rsa::Rsa::generate(2048).unwrap();
    let pem = String::from_utf8(rsa.public_key_to_pem_pkcs1().unwrap()).unwrap();
    assert!(pem.starts_with("-----BEGIN RSA PUBLIC KEY-----"));
    assert!(policy::builder().provider("p", provider().keys(pem)).build().is_ok());
}

#[tokio::test]
async fn rsa_modulus_with_leading_zeros_is_read() {
    let key = key(Algorithm::RS256);
    let mut jwk = key.public_jwk();
    let modulus = URL_SAFE_NO_PAD.decode(jwk["n"].as_str().unwrap()).unwrap();
    jwk["n"] = json!(URL_SAFE_NO_PAD.encode([&[0, 0], modulus.as_slice()].concat()));
    let oauth2 = policy::builder().provider("p", provider().keys(jwk)).build().unwrap();
    assert!(oauth2.verify(&Token::new(ISSUER, "api").sign(key)).await.is_ok());
}

/// Keys that must never verify anything, each with a word of the reason.
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
        (changed(rsa, "kty", json!("AKP")), "kty"),
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
        assert!(error.to_string().contains(reason), "{error} does not say {reason}");
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

/// Whether it is for encryption: sound providers publish such keys beside the others.
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

/// What a provider writes into members that are not read does not make a key unusable.
#[tokio::test]
async fn unread_members_of_a_jwk_may_be_invalid() {
    let key = key(Algorithm::ES256);
    let deep = format!("{}{}", "[".repeat(40), "]".repeat(40));
    for unread in [r#""\ud800""#, r#"{"y":1,"y":2}"#, "1e999", &deep] {
        let with = |name: &str| {
            let member = format!("{{\"{name}\":{unread},\"{name}\":{unread},");
            key.public_jwk().to_string().replacen('{', &member, 1)
        };
        for document in [with("x-note"), format!(r#"{{"keys":[{}]}}"#, with("x-note"))] {
            let server = KeyServer::start(Answer::body(200, &[], document.as_bytes())).unwrap();
            assert!(accepts(&build(server.url()).unwrap(), key).await, "{document}");
            assert!(accepts(&build(document).unwrap(), key).await, "{unread}");
        }
        // A member that is read is another matter, and the reason is the true one.
        let read = format!(r#"{{"keys":[{}]}}"#, with("kid"));
        let error = build(read).unwrap_err();
        assert!(error.contains("its JSON is not accepted"), "{error}");
        assert!(!error.contains("JSON object"), "{error}");
    }
}

/// A fetched secret is refused wherever it comes from, with a reason that is true of each.
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
    // Not named.
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
        assert!(error.to_string().contains(reason), "{error} does not say {reason}");
    }
}

#[tokio::test]
async fn same_kid_at_two_providers_names_two_keys() {
    let (one, two) = (
        SigningKey::generate(Algorithm::ES256, "shared"),
        SigningKey::generate(Algorithm::ES256, "shared"),
    );
    let of = |issuer: &str, key: &SigningKey| {
        Provider::new().issuer(issuer).audience("api").keys(key.jwk_set())
    };
    let oauth2 = policy::builder()
        .provider("one", of("https://one.test", &one))
        .provider("two", of("https://two.test", &two))
        .build()
        .unwrap();
    for (issuer, key, name) in
        [("https://one.test", &one, "one"), ("https://two.test", &two, "two")]
    {
        let claims = oauth2.verify(&Token::new(issuer, "api").sign(key)).await.unwrap();
        assert_eq!(claims.provider(), name);
    }
    assert!(oauth2.verify(&Token::new("https://one.test", "api").sign(&two)).await.is_err());
    assert!(oauth2.verify(&Token::new("https://two.test", "api").sign(&one)).await.is_err());
}

#[tokio::test]
async fn audiences_of_one_issuer_select_the_provider() {
    let (one, two) = (key(Algorithm::ES256), key(Algorithm::RS256));
    let of = |audience: &str, key: &SigningKey| {
        Provider::new().issuer(ISSUER).audience(audience).keys(key.jwk_set())
    };
    let oauth2 = policy::builder()
        .provider("one", of("one-api", one))
        .provider("two", of("two-api", two))
        .build()
        .unwrap();
    let provider = async |audience: Value, key: &SigningKey| {
        let token = Token::new(ISSUER, "").claim("aud", audience).sign(key);
        oauth2.verify(&token).await.map(|claims| claims.provider().to_owned()).ok()
    };
    assert_eq!(provider(json!("one-api"), one).await.as_deref(), Some("one"));
    assert_eq!(provider(json!("two-api"), two).await.as_deref(), Some("two"));
    assert_eq!(provider(json!(["one-api", "two-api"]), two).await.as_deref(), Some("two"));
    assert_eq!(provider(json!("one-api"), two).await, None);
    assert_eq!(provider(json!(["x", "two-api"]), one).await, None);
}

#[tokio::test]
async fn audience_claim_setting_selects_the_claim() {
    let key = key(Algorithm::ES256);
    // Cognito, Clerk, and WorkOS, whose issuer names the client.
    for (claim, own, other) in [
        ("client_id", "client-1", "client-2"),
        ("azp", "https://app.example.com", "https://other.example.com"),
        ("iss", ISSUER, "https://other.test"),
    ] {
        let provider = Provider::new()
            .issuer(ISSUER)
            .issuer("https://other.test")
            .audience(own)
            .audience_claim(claim)
            .keys(key.jwk_set());
        let oauth2 = policy::builder().provider("p", provider).build().unwrap();
        let token = Token::new(ISSUER, "x").without("aud");
        let accepts = async |token: Token| oauth2.verify(&token.sign(key)).await.is_ok();
        assert!(accepts(token.clone().claim(claim, own)).await, "{claim}");
        assert!(accepts(token.clone().claim("aud", "other").claim(claim, own)).await, "{claim}");
        assert!(!accepts(token.clone().claim(claim, other)).await, "{claim}");
        assert!(!accepts(token.clone().claim(claim, Value::Null)).await, "{claim}");
        if claim != "iss" {
            assert!(!accepts(token.clone().claim("aud", own)).await, "{claim}");
            assert!(!accepts(token.clone()).await, "{claim}");
        }
    }
}

#[tokio::test]
async fn invalid_member_of_a_key_map_is_skipped() {
    let good = key(Algorithm::ES256);
    let pem = good.public_pem();
    for map in [
        json!({"ES256": pem, "b": null}),
        json!({"ES256": pem, "b": "junk"}),
        json!({"ES256": format!("\n{pem}"), "b": 7, "c": {}}),
    ] {
        let oauth2 =
            policy::builder().provider("p", provider().keys(map.clone())).build().expect("built");
        assert!(oauth2.verify(&Token::new(ISSUER, "api").sign(good)).await.is_ok(), "{map}");
    }
    let lone_surrogate = format!(r#"{{"ES256": {}, "b": "\ud800"}}"#, json!(pem));
    let oauth2 = policy::builder().provider("p", provider().keys(lone_surrogate)).build().unwrap();
    assert!(oauth2.verify(&Token::new(ISSUER, "api").sign(good)).await.is_ok());
}

#[tokio::test]
async fn pem_bundle_with_comments_is_read() {
    let (one, two) = (key(Algorithm::ES256), key(Algorithm::RS256));
    let bundle = format!("# one\n{}\n# two\n{}# end\n", one.certificate_pem(), two.public_pem());
    let oauth2 = policy::builder().provider("p", provider().keys(bundle)).build().unwrap();
    for key in [one, two] {
        assert!(oauth2.verify(&Token::new(ISSUER, "api").sign(key)).await.is_ok());
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
async fn keys_of_each_matching_provider_are_tried() {
    let bare: Vec<Value> =
        (0..4).map(|_| SigningKey::generate(Algorithm::ES256, "x").bare_jwk()).collect();
    let right = key(Algorithm::ES256);
    let of =
        |audience: &str, keys: Value| Provider::new().issuer(ISSUER).audience(audience).keys(keys);
    let oauth2 = policy::builder()
        .provider("a", of("a", json!({"keys": bare})))
        .provider("b", of("b", right.jwk_set()))
        .build()
        .unwrap();
    let token = Token::new(ISSUER, "").claim("aud", json!(["a", "b"])).sign(right);
    assert_eq!(oauth2.verify(&token).await.unwrap().provider(), "b");
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

fn build(keys: impl Into<Keys>) -> Result<OAuth2, String> {
    let provider = provider().keys(keys);
    policy::builder().provider("p", provider).build().map_err(|error| error.to_string())
}

async fn accepts(oauth2: &OAuth2, key: &SigningKey) -> bool {
    oauth2.verify(&Token::new(ISSUER, "api").sign(key)).await.is_ok()
}

/// The public members of a JWK, in the standard alphabet and padded.
fn in_standard_base64(jwk: &Value) -> Value {
    use base64::engine::general_purpose::STANDARD;

    let mut jwk = jwk.clone();
    for name in ["n", "e", "x", "y"] {
        if let Some(text) = jwk[name].as_str().map(str::to_owned) {
            jwk[name] = json!(STANDARD.encode(URL_SAFE_NO_PAD.decode(text).unwrap()));
        }
    }
    jwk
}

#[tokio::test]
async fn public_members_in_the_standard_alphabet_are_read() {
    for key in EVERY.iter().filter(|key| !key.algorithm().is_symmetric()) {
        // Of 32 bytes, most have a character in which the alphabets differ, but not all.
        let (key, jwk) = (0..64)
            .map(|round| {
                if round == 0 {
                    key.clone()
                } else {
                    SigningKey::generate(key.algorithm(), key.kid())
                }
            })
            .map(|key| (in_standard_base64(&key.public_jwk()), key))
            .find(|(jwk, _)| jwk.to_string().contains(['+', '/']))
            .map(|(jwk, key)| (key, jwk))
            .unwrap();
        assert_ne!(jwk, key.public_jwk());
        assert!(accepts(&build(jwk.clone()).unwrap(), &key).await, "{jwk}");
        let server = KeyServer::start(Answer::json(&json!({"keys": [jwk]}))).unwrap();
        assert!(accepts(&build(server.url()).unwrap(), &key).await, "{jwk}");
        // Padded only, and the other alphabet only.
        let padded = jwk.to_string().replace('+', "-").replace('/', "_");
        assert!(accepts(&build(padded).unwrap(), &key).await);
        assert!(accepts(&build(jwk.to_string().replace('=', "")).unwrap(), &key).await);
    }
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
async fn null_and_empty_members_count_as_absent() {
    for algorithm in [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA] {
        let key = key(algorithm);
        let members = [
            "kid", "use", "alg", "key_ops", "x5c", "x5t", "x5t#S256", "x5u", "d", "p", "q", "dp",
            "dq", "qi", "oth", "k", "n", "e", "x", "y", "crv", "ext",
        ];
        let mut nulls = key.bare_jwk();
        for name in members {
            if nulls.get(name).is_none() {
                nulls[name] = Value::Null;
            }
        }
        let mut empty = key.public_jwk();
        for name in ["key_ops", "oth", "x5c"] {
            empty[name] = json!([]);
        }
        for jwk in [nulls, empty] {
            let set = json!({"keys": [jwk], "kty": null});
            assert!(accepts(&build(set.clone()).unwrap(), key).await, "{jwk}");
            let server = KeyServer::start(Answer::json(&set)).unwrap();
            assert!(accepts(&build(server.url()).unwrap(), key).await, "{jwk}");
        }
        let mut alone = key.public_jwk();
        alone["keys"] = Value::Null;
        assert!(accepts(&build(alone).unwrap(), key).await);
        let map = json!({key.kid(): key.public_pem(), "keys": null, "kty": null, "other": null});
        assert!(accepts(&build(map).unwrap(), key).await);
    }
}

#[tokio::test]
async fn pem_with_escaped_or_crlf_line_ends_is_read() {
    let (one, two) = (key(Algorithm::ES256), key(Algorithm::RS256));
    for line_end in ["\\n", "\\r\\n", " ", "\r\n", "\r"] {
        let flat = |pem: String| pem.replace('\n', line_end);
        for pem in [one.public_pem(), one.certificate_pem(), one.public_pem().trim().to_owned()] {
            let pem = flat(pem);
            assert!(accepts(&build(pem.clone()).unwrap(), one).await, "{pem}");
            let quoted = format!("\"{pem}\"");
            assert!(accepts(&build(quoted).unwrap(), one).await, "{pem}");
            let map = json!({one.kid(): pem});
            assert!(accepts(&build(map).unwrap(), one).await, "{pem}");
        }
        let bundle = build(flat(one.public_pem() + &two.certificate_pem())).unwrap();
        assert!(accepts(&bundle, one).await && accepts(&bundle, two).await, "{line_end:?}");
    }
}

#[tokio::test]
async fn list_of_pem_texts_and_jwks_is_read() {
    let keys = [Algorithm::ES256, Algorithm::RS256, Algorithm::ES384, Algorithm::EdDSA].map(key);
    let [one, two, three, four] = keys;
    let bundle = three.public_pem() + &four.certificate_pem();
    let list = json!([one.public_pem(), two.public_jwk(), bundle]);
    for document in [list.clone(), json!({"keys": list})] {
        let server = KeyServer::start(Answer::json(&document)).unwrap();
        let fetched = build(server.url()).unwrap();
        let inline = build(document).unwrap();
        for key in keys {
            assert!(accepts(&inline, key).await && accepts(&fetched, key).await);
        }
    }
    log::keep();
    let list = json!([one.public_pem(), one.private_pem(), "-----BEGIN PUBLIC KEY-----", "junk"]);
    let oauth2 = policy::builder().provider("mixed-list", provider().keys(list)).build().unwrap();
    assert!(accepts(&oauth2, one).await);
    for (key, reason) in [
        ("key 1", "private key"),
        ("key 2", "has no END line"),
        ("key 3", "neither a JSON object nor PEM"),
    ] {
        assert_eq!(log::lines_with(&["WARN", "mixed-list", key, reason]).len(), 1, "{reason}");
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
    // One that holds keys, too, is a key set.
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
    // A fault is named rather than a key that never verifies tokens.
    let error = build(json!({"keys": [encryption]})).unwrap_err();
    assert!(error.contains("no usable key") && error.contains("`enc`"), "{error}");
    let error = build(json!({"keys": [encryption, {"kty": "EC"}]})).unwrap_err();
    assert!(error.contains("no usable key") && error.contains("no `crv`"), "{error}");
}

#[tokio::test]
async fn document_with_byte_order_mark_and_white_space_is_read() {
    let key = key(Algorithm::ES256);
    for text in [key.jwk_set().to_string(), json!([key.public_pem()]).to_string(), key.public_pem()]
    {
        for (before, after) in
            [("\u{feff}", ""), ("\u{feff} \r\n", "\n\n"), ("\n\t ", " \t\r\n"), ("", "\u{a0}")]
        {
            let document = format!("{before}{text}{after}");
            assert!(accepts(&build(document.clone()).unwrap(), key).await, "{document:?}");
            let server = KeyServer::start(Answer::body(200, &[], document.as_bytes())).unwrap();
            assert!(accepts(&build(server.url()).unwrap(), key).await, "{document:?}");
        }
        let utf16 = |bom: u16, bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
            std::iter::once(bom).chain(text.encode_utf16()).flat_map(bytes).collect()
        };
        for document in [utf16(0xfeff, u16::to_le_bytes), utf16(0xfeff, u16::to_be_bytes)] {
            let server = KeyServer::start(Answer::body(200, &[], &document)).unwrap();
            let oauth2 = build(server.url()).unwrap();
            assert!(!accepts(&oauth2, key).await);
            let cause = oauth2.key_status()[0].last_error.clone().unwrap().cause;
            assert!(cause.contains("UTF-16: save it as UTF-8"), "{cause}");
        }
    }
}
