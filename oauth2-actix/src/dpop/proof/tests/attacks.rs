//! What an attacker may try with a proof alone.

use super::*;

#[test]
fn replayed_proof_has_the_same_identity_and_another_proof_has_not() {
    let client = Client::es256();
    let id = |client: &Client| client.check().expect("accepted").used.id;
    let first = id(&client);
    assert_eq!(id(&client), first);
    // ECDSA has another signature each time, and a client can spell the same URI in other ways.
    let client = client.with("htu", json!("https://API.example.com:443/%6frders?page=2"));
    assert_eq!(id(&client), first);
    let client = client.with("jti", json!("0190-second"));
    assert_ne!(id(&client), first);
    assert_ne!(id(&Client::es256()), first, "of another key");
    let check = |method: &str, path: &str| {
        let client =
            Client::es256().with("htm", json!(method)).with("htu", json!(format!("{BASE}{path}")));
        let client = Client { thumbprint: client.thumbprint, ..client };
        let proof = client.proof();
        checker().check(&Presented { method, path, ..client.presented(&proof) })
    };
    assert!(check("DELETE", "/orders").is_ok() && check("GET", "/orders/1").is_ok());
}

#[test]
fn proof_for_another_method_is_refused() {
    for htm in [json!("POST"), json!("get"), json!("GET "), json!(""), json!(["GET"]), json!(null)]
    {
        assert!(Client::es256().with("htm", htm).problem().contains("`htm`"));
    }
    assert!(Client::es256().without("htm").problem().contains("`htm`"));
}

#[test]
fn proof_for_another_uri_is_refused() {
    for htu in [
        json!("https://api.example.com/orders/1"),
        json!("https://api.example.com/orders/"),
        json!("https://evil.example/orders"),
        json!("https://api.example.com:8443/orders"),
        json!("http://api.example.com/orders"),
        json!("wss://api.example.com/orders"),
        json!("/orders"),
        json!(""),
        json!(["https://api.example.com/orders"]),
        json!(null),
    ] {
        assert!(Client::es256().with("htu", htu).problem().contains("`htu`"));
    }
    assert!(Client::es256().without("htu").problem().contains("`htu`"));
}

#[test]
fn proof_for_a_percent_encoded_twin_of_the_uri_is_refused() {
    for htu in ["/orders%2f", "/%252e%252e/orders", "/%6frders/..%2Forders", "/orders%00", "/%zz"] {
        let client = Client::es256().with("htu", json!(format!("{BASE}{htu}")));
        assert!(client.problem().contains("`htu`"), "{htu}");
    }
}

#[test]
fn proof_for_another_token_is_refused() {
    for ath in [
        json!(URL_SAFE_NO_PAD.encode(sha256(b"another token"))),
        json!(format!("{}=", URL_SAFE_NO_PAD.encode(sha256(TOKEN)))),
        json!(URL_SAFE_NO_PAD.encode(TOKEN)),
        json!(""),
        json!(null),
        json!([URL_SAFE_NO_PAD.encode(sha256(TOKEN))]),
    ] {
        assert!(Client::es256().with("ath", ath).problem().contains("`ath`"));
    }
    assert!(Client::es256().without("ath").problem().contains("`ath`"));
}

#[test]
fn proof_of_another_key_is_refused_before_its_signature_is_checked() {
    let (client, attacker) = (Client::es256(), Client::es256());
    let checker = checker();
    let proof = attacker.proof();
    let result = checker.check(&client.presented(&proof));
    assert_eq!(fault(result), ProofFault::OtherKey);
    assert!(checker.keys.get(&attacker.thumbprint, A::ES256).is_none());
    // Even a key that is not one is compared only.
    let mut twin = attacker.header["jwk"].clone();
    twin["y"] = twin["x"].clone();
    let broken = attacker.with_header("jwk", twin).proof();
    assert_eq!(fault(checker.check(&client.presented(&broken))), ProofFault::OtherKey);
}

#[test]
fn signature_of_another_key_is_refused_and_its_key_is_not_cached() {
    let (client, attacker) = (Client::es256(), Client::es256());
    // The attacker knows the public key of the client.
    let forged = Client { key: attacker.key, ..client };
    let checker = checker();
    for _ in 0..2 {
        assert!(problem(forged.check_by(&checker)).contains("signature"));
        assert!(checker.keys.get(&forged.thumbprint, A::ES256).is_none());
    }
}

#[test]
fn proof_with_any_changed_byte_is_refused() {
    let client = Client::es256();
    let proof = client.proof();
    assert!(client.check_bytes(&proof).is_ok());
    for index in 0..proof.len() {
        let mut changed = proof.clone();
        changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
        assert!(client.check_bytes(&changed).is_err(), "{index}");
    }
}

#[test]
fn proof_with_a_private_key_is_refused() {
    for name in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
        let client = Client::es256();
        let mut jwk = client.header["jwk"].clone();
        jwk[name] = json!("");
        assert!(client.with_header("jwk", jwk).problem().contains("private"), "{name}");
    }
}

#[test]
fn proof_with_a_symmetric_algorithm_is_refused() {
    for name in ["HS256", "HS384", "HS512"] {
        let client = Client::es256();
        let public = client.key.public_pem();
        let hmac = SigningKey::from_secret(name.parse().expect(name), "1", public.as_bytes());
        let forged = Client { key: hmac, ..client }.with_header("alg", json!(name));
        assert!(forged.problem().contains("`alg`"), "{name}");
        // Not even if the algorithm stands in the list by mistake.
        let algorithms = AlgorithmSet::from_iter([A::HS256, A::HS384, A::HS512]);
        let result = forged.check_by(&ProofChecker { algorithms, ..checker() });
        assert!(problem(result).contains("`alg`"), "{name}");
        let oct = json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode(&public)});
        assert!(forged.with_header("jwk", oct).check().is_err());
    }
}

#[test]
fn unsigned_proof_is_refused() {
    for name in ["none", "None", "NONE", ""] {
        let client = Client::es256().with_header("alg", json!(name));
        assert!(client.problem().contains("`alg`"), "{name}");
        let proof = client.proof();
        let end = proof.iter().rposition(|byte| *byte == b'.').expect("a dot");
        assert!(client.check_bytes(&proof[..=end]).is_err());
        assert!(client.check_bytes(&proof[..end]).is_err());
    }
    let client = Client::es256();
    let proof = client.proof();
    let end = proof.iter().rposition(|byte| *byte == b'.').expect("a dot");
    assert!(problem(client.check_bytes(&proof[..=end])).contains("not signed"));
}

#[test]
fn algorithm_that_is_not_in_the_list_or_is_another_than_that_of_the_key_is_refused() {
    let only = |algorithm| {
        let algorithms = AlgorithmSet::from_iter([algorithm]);
        ProofChecker { algorithms, ..checker() }
    };
    assert!(Client::es256().check_by(&only(A::ES256)).is_ok());
    assert!(problem(Client::es256().check_by(&only(A::PS256))).contains("`alg`"));
    for alg in [
        json!("ES384"),
        json!("EdDSA"),
        json!("RS256"),
        json!("es256"),
        json!(null),
        json!(["ES256"]),
    ] {
        assert!(Client::es256().with_header("alg", alg).problem().contains("`alg`"));
    }
    assert!(Client::es256().without_header("alg").problem().contains("`alg`"));
    // The key is cached with its algorithm only.
    let client = Client::new(A::RS256);
    let checker = checker();
    assert!(client.check_by(&checker).is_ok());
    let other = client.with_header("alg", json!("PS256"));
    assert!(problem(other.check_by(&checker)).contains("signature"));
}

#[test]
fn comma_joined_proofs_are_refused() {
    let client = Client::es256();
    let one = String::from_utf8(client.proof()).expect("text");
    for joined in [
        format!("{one}, {one}"),
        format!("{one},{one}"),
        format!("{one},"),
        format!(",{one}"),
        format!("{one} "),
        format!(" {one}"),
        format!("\"{one}\""),
        format!("DPoP {one}"),
        format!("{one}.{one}"),
        format!("{one}."),
    ] {
        assert!(client.check_bytes(joined.as_bytes()).is_err(), "{joined}");
    }
}

#[test]
fn proof_from_the_past_or_the_future_is_refused() {
    let at = |iat: Value| Client::es256().with("iat", iat).check();
    let now = 1_700_000_000.5;
    for (iat, is_accepted) in [
        (json!(now), true),
        (json!(now - 60.0), true),
        (json!(now - 60.1), false),
        (json!(1_699_999_940), false),
        (json!(1_699_999_941), true),
        (json!(now + 5.0), true),
        (json!(now + 5.1), false),
        (json!(1_700_000_005), true),
        (json!(1_700_000_006), false),
        (json!(0), false),
        (json!(-1), false),
        (json!(-1e300), false),
        (json!(1e300), false),
        (json!(u64::MAX), false),
        (json!(i64::MIN), false),
        // Milliseconds.
        (json!(1_700_000_000_500_u64), false),
    ] {
        let result = at(iat.clone());
        assert_eq!(result.is_ok(), is_accepted, "{iat}");
        if !is_accepted {
            assert!(problem(result).contains("`iat`"), "{iat}");
        }
    }
    for iat in [json!("1700000000"), json!(null), json!([1_700_000_000]), json!(true)] {
        assert!(problem(at(iat)).contains("`iat`"));
    }
    assert!(Client::es256().without("iat").problem().contains("`iat`"));
}

#[test]
fn jti_of_a_megabyte_is_refused() {
    let with = |jti: Value| Client::es256().with("jti", jti);
    assert!(with(json!("a".repeat(1_024))).check().is_ok());
    assert!(with(json!("a".repeat(1_025))).problem().contains("`jti`"));
    assert!(with(json!("a".repeat(1 << 20))).problem().contains("8192 bytes"));
    for jti in [json!(""), json!(1), json!(null), json!(["a"]), json!({})] {
        assert!(with(jti).problem().contains("`jti`"));
    }
    assert!(Client::es256().without("jti").problem().contains("`jti`"));
}

/// The tokens could also be read as proofs of a key that the attacker chooses.
#[test]
fn access_token_is_no_proof() {
    for typ in [json!("at+jwt"), json!("JWT"), json!("application/at+jwt"), json!(null)] {
        let client = Client::es256().with_header("typ", typ);
        assert!(client.problem().contains("`typ`"));
    }
    assert!(Client::es256().without_header("typ").problem().contains("`typ`"));
}

#[test]
fn proof_whose_json_two_parsers_could_read_differently_is_refused() {
    let client = Client::es256();
    let (header, payload) = (client.header.to_string(), client.payload.to_string());
    assert!(client.check_bytes(&client.sign(&header, &payload)).is_ok());
    let twice = |json: &str, member: &str| format!("{{{member},{}", &json[1..]);
    for (header, payload) in [
        (twice(&header, r#""alg":"ES256""#), payload.clone()),
        (twice(&header, r#""alg":"none""#), payload.clone()),
        (twice(&header, r#""t\u0079p":"dpop+jwt""#), payload.clone()),
        (header.replacen(r#""jwk":{"#, r#""jwk":{"kty":"EC","#, 1), payload.clone()),
        (header.clone(), twice(&payload, r#""jti":"0190-first""#)),
        (header.clone(), twice(&payload, r#""htm":"GET""#)),
        (header.clone(), twice(&payload, r#""iat":1700000000"#)),
        (header.clone(), format!("{payload} x")),
        (header.clone(), format!("[{payload}]")),
        (header.clone(), String::new()),
        (format!("{header}{header}"), payload.clone()),
        ("\"header\"".to_owned(), payload.clone()),
    ] {
        let result = client.check_bytes(&client.sign(&header, &payload));
        assert!(problem(result).contains("JSON"), "{header} {payload}");
    }
}

#[test]
fn proof_that_is_not_canonical_base64url_is_refused() {
    let client = Client::es256();
    let proof = String::from_utf8(client.proof()).expect("text");
    let parts: Vec<_> = proof.split('.').collect();
    for index in 0..3 {
        for edit in ["=", "\n", "+", "\u{e4}"] {
            let mut parts: Vec<_> = parts.iter().map(|&part| part.to_owned()).collect();
            parts[index] += edit;
            assert!(client.check_bytes(parts.join(".").as_bytes()).is_err(), "{index} {edit:?}");
        }
    }
    // The last character of 86 for a signature of 64 bytes has four bits that no byte has.
    let twin = format!(
        "{}{}",
        &proof[..proof.len() - 1],
        match &proof[proof.len() - 1..] {
            "A" => "B",
            "Q" => "R",
            "g" => "h",
            _ => "x",
        }
    );
    assert!(problem(client.check_bytes(twin.as_bytes())).contains("signature"));
}

#[test]
fn weak_key_is_refused_even_if_a_token_is_bound_to_it() {
    let bound = |jwk: Value, algorithm: A| {
        let client = Client::new(algorithm).with_header("jwk", jwk.clone());
        let thumbprint = thumbprint(&jwk, algorithm);
        Client { thumbprint, ..client }.problem()
    };
    let mut off_curve = SigningKey::generate(A::ES256, "1").bare_jwk();
    off_curve["y"] = off_curve["x"].clone();
    assert!(bound(off_curve, A::ES256).contains("usable key"));
    let x = URL_SAFE_NO_PAD.encode([0; 32]);
    let small_order = json!({"kty": "OKP", "crv": "Ed25519", "x": x});
    assert!(bound(small_order, A::EdDSA).contains("usable key"));
    let mut exponent = SigningKey::generate(A::PS256, "1").bare_jwk();
    exponent["e"] = json!("AQ");
    assert!(bound(exponent, A::PS256).contains("usable key"));
    let mut short = SigningKey::generate(A::PS256, "1").bare_jwk();
    let n = short["n"].as_str().expect("text");
    short["n"] = json!(&n[..171]);
    let client = Client::new(A::PS256).with_header("jwk", short);
    assert!(client.problem().contains("its length"));
}
