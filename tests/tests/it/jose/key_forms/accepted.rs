//! Forms of keys that are read.

use super::*;

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

/// Members that are not read do not make a key unusable.
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
        // An invalid member that is read makes the key unusable, with the exact reason.
        let read = format!(r#"{{"keys":[{}]}}"#, with("kid"));
        let error = build(read).unwrap_err();
        assert!(error.contains("its JSON is not accepted"), "{error}");
        assert!(!error.contains("JSON object"), "{error}");
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
        // Most keys of 32 bytes, but not all, have a character in which the alphabets differ.
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
        // Padded in the URL-safe alphabet, and the standard alphabet without padding.
        let padded = jwk.to_string().replace('+', "-").replace('/', "_");
        assert!(accepts(&build(padded).unwrap(), &key).await);
        assert!(accepts(&build(jwk.to_string().replace('=', "")).unwrap(), &key).await);
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

#[tokio::test]
async fn certificate_is_a_key_alone_but_not_inside_a_jwk() {
    let (one, two) = (key(Algorithm::ES256), key(Algorithm::RS256));
    let bundle = [one.certificate_pem(), two.certificate_pem()].concat();
    let map = json!({one.kid(): one.certificate_pem(), two.kid(): two.certificate_pem()});
    for body in [bundle, map.to_string()] {
        let oauth2 = build(body.as_str()).unwrap();
        for key in [one, two] {
            assert!(accepts(&oauth2, key).await, "{body}");
        }
        assert!(!accepts(&oauth2, key(Algorithm::ES384)).await);
    }
    // The numbers of the JWK count, not its certificate (RFC 7517 §4.7).
    let mut jwk = one.public_jwk();
    let attacker = SigningKey::generate(Algorithm::ES256, one.kid());
    let der: String = attacker.certificate_pem().lines().filter(|l| !l.starts_with('-')).collect();
    jwk["x5c"] = json!([der]);
    let oauth2 = build(json!({"keys": [jwk]})).unwrap();
    assert!(accepts(&oauth2, one).await);
    assert!(!accepts(&oauth2, &attacker).await);
}
