//! Attacks on a token's header and signature.

use oauth2_actix::{Algorithm, Provider, testing::SigningKey};
use oauth2_actix_tests::{
    forge::{self, b64, by, forge, hmac, sealed},
    key_server::{Answer, KeyServer},
    keys::{EVERY, key},
    policy,
};
use serde_json::{Value, json};

use crate::target::{
    AUDIENCE, ISSUER, Rejection, Target, bearer, builder, es256, good, payload, with_header,
};

/// CVE-2015-2951, CVE-2020-28042, CVE-2022-23540: the token claims to be unsigned, in any spelling, with or
/// without a signature.
#[test]
fn alg_none_in_any_case_is_rejected_cve_2015_2951_cve_2020_28042_cve_2022_23540() {
    let target = Target::start();
    let genuine = good().sign(es256());
    let signature = forge::parts(&genuine)[2].to_owned();
    for alg in
        ["none", "None", "NONE", "nOnE", "noNe", "n\u{f6}ne", "none ", " none", "none\u{0}", ""]
    {
        let header = json!({"alg": alg, "typ": "JWT"}).to_string();
        let signed = format!("{}.{}", b64(header), b64(payload()));
        target.rejects(alg, &format!("{signed}."), Rejection::Malformed);
        target.rejects(alg, &signed, Rejection::Malformed);
        for signature in [signature.as_str(), "AA", "bm9uZQ"] {
            target.rejects(alg, &format!("{signed}.{signature}"), Rejection::Signature);
        }
    }
    for alg in [Value::Null, json!(false), json!(0), json!([]), json!(["none"]), json!({})] {
        let header = json!({"alg": alg}).to_string();
        target.rejects("no text", &forge(header, payload(), |_| vec![0]), Rejection::Malformed);
    }
    target.rejects("no alg", &forge("{}", payload(), by(es256())), Rejection::Malformed);
    // Signed by a valid key.
    for alg in ["none", "None"] {
        target.rejects(alg, &with_header(&json!({"alg": alg})), Rejection::Signature);
    }
    // A genuine token whose signature was taken away, or emptied.
    let [header, claims, _] = forge::parts(&genuine);
    target.rejects("no signature", &format!("{header}.{claims}."), Rejection::Malformed);
    target.rejects("no third part", &format!("{header}.{claims}"), Rejection::Malformed);
    for bytes in [1, 32, 64, 256] {
        let zeros = b64(vec![0; bytes]);
        target.rejects("zeros", &format!("{header}.{claims}.{zeros}"), Rejection::Signature);
    }
}

/// CVE-2026-22817 (GHSA-f67f-6cw9-8mq4), CVE-2026-22818 (GHSA-3vhc-576x-3qv4): a key that names no
/// algorithm, and a verifier that trusts that of the token.
#[test]
fn alg_of_the_token_is_not_trusted_for_a_jwk_without_alg_cve_2026_22817_cve_2026_22818() {
    let bare = |key: &SigningKey| {
        let mut jwk = key.public_jwk();
        jwk.as_object_mut().unwrap().remove("alg");
        jwk
    };
    let (rsa, ec) = (key(Algorithm::RS256), es256());
    let provider = Provider::new()
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .keys(json!({"keys": [bare(rsa), bare(ec)]}));
    let oauth2 = policy::builder().provider("bare", provider).build().unwrap();
    let target = Target::behind(oauth2);
    target.accepts("RSA", &good().sign(rsa));
    for key in [rsa, ec] {
        for (name, secret) in forge::public_texts(key) {
            let header = json!({"alg": "HS256", "kid": key.kid()}).to_string();
            let token = forge(header, payload(), |message| hmac("HS256", &secret, message));
            target.rejects(name, &token, Rejection::Signature);
        }
        for alg in EVERY.iter().map(|key| key.algorithm()).filter(|alg| *alg != key.algorithm()) {
            let token = good().header("alg", alg.name()).sign(key);
            target.rejects(alg.name(), &token, Rejection::Signature);
        }
    }
}

/// CVE-2022-23539, CVE-2022-23541: a key used with an algorithm of another type, padding, hash or curve
/// than its own.
#[test]
fn key_with_an_algorithm_of_another_type_is_rejected_cve_2022_23539_cve_2022_23541() {
    let target = Target::start();
    for signer in EVERY.iter() {
        for named in EVERY.iter() {
            for alg in [signer.algorithm(), named.algorithm()] {
                let edwards = |alg| matches!(alg, Algorithm::EdDSA | Algorithm::Ed25519);
                if signer.kid() == named.kid() && alg == signer.algorithm()
                    || alg.is_symmetric() && signer.algorithm().is_symmetric()
                {
                    continue;
                }
                let token =
                    good().header("alg", alg.name()).header("kid", named.kid()).sign(signer);
                let attack = format!(
                    "{} of {}, said to be {alg} of {}",
                    signer.algorithm(),
                    signer.kid(),
                    named.kid()
                );
                let answer = target.send("/me", &[bearer(&token)]);
                assert!(!(edwards(alg) && answer.status == 200), "{attack}");
                crate::target::is_rejection(&attack, &answer, Rejection::Signature);
            }
        }
    }
    target.still_works("swapped algorithms");
    // The same over WebSocket, for the known attacks.
    for (alg, kid, signer) in [
        ("RS256", "PS256", Algorithm::RS256),
        ("PS256", "RS256", Algorithm::PS256),
        ("ES256", "ES256K", Algorithm::ES256),
        ("ES384", "ES256", Algorithm::ES256),
        ("ES256", "RS256", Algorithm::RS256),
        ("EdDSA", "Ed448", Algorithm::Ed25519),
    ] {
        let token = good().header("alg", alg).header("kid", kid).sign(key(signer));
        target.rejects(alg, &token, Rejection::Signature);
    }
}

/// CVE-2018-0114 (`jwk`), CVE-2024-21643 and CVE-2024-1233 (`jku`), `x5u`, `x5c`: the token holds its key, or
/// its address. Nothing may be fetched.
#[test]
fn key_or_address_in_the_token_is_ignored_cve_2018_0114_cve_2024_21643_cve_2024_1233() {
    let forger = SigningKey::generate(Algorithm::ES256, "ES256");
    let listening = KeyServer::start(Answer::json(&forger.jwk_set())).unwrap();
    let idp = KeyServer::start(Answer::json(&crate::target::jwk_set())).unwrap();
    let fetched = Provider::new().issuer("https://fetched.test").audience(AUDIENCE).keys(idp.url());
    let oauth2 = builder().provider("fetched", fetched).key_refresh_minutes(0).build().unwrap();
    let target = Target::behind(oauth2);
    let url = listening.url();
    let der: String =
        forger.certificate_pem().lines().filter(|line| !line.starts_with('-')).collect();
    for issuer in [ISSUER, "https://fetched.test"] {
        let claims = good().claim("iss", issuer);
        for members in [
            json!({"jwk": forger.public_jwk()}),
            json!({"jwk": forger.bare_jwk(), "kid": null}),
            json!({"jwk": forger.jwk_set()}),
            json!({"jwks": forger.jwk_set()}),
            json!({"keys": [forger.public_jwk()]}),
            json!({"jku": url}),
            json!({"jku": url, "kid": "canary-kid"}),
            json!({"jku": format!("https://idp.test@{}", url.trim_start_matches("http://"))}),
            json!({"jku": "http://169.254.169.254/latest/meta-data/"}),
            json!({"jku": "file:///etc/passwd"}),
            json!({"x5u": url}),
            json!({"x5c": [der]}),
            json!({"x5c": [der], "x5t": "canary-thumbprint", "x5t#S256": "canary-thumbprint"}),
            json!({"x5c": forger.certificate_pem()}),
            json!({"kid": url}),
            json!({"iss": url, "aud": url}),
            json!({"zip": "DEF", "cty": "JWT", "url": url, "nonce": url, "epk": forger.public_jwk()}),
        ] {
            let mut token = claims.clone();
            for (name, value) in members.as_object().unwrap() {
                token = token.header(name, value.clone());
            }
            target.rejects(&members.to_string(), &token.sign(&forger), Rejection::Signature);
            // These members are ignored with a genuine signature too.
            if members.get("kid").is_none() {
                target.accepts("a genuine token", &token.sign(es256()));
            }
        }
    }
    assert_eq!(listening.requests(), 0, "{}", listening.last_request());
    let requested = idp.last_request();
    assert!(requested.starts_with("GET /jwks.json HTTP/1.1\r\n"), "{requested}");
    assert!(!requested.contains("canary"), "{requested}");
}

/// `kid` as a path, SQL, a command, a URL, of 10 kB, of control characters, of other types
/// (described by PortSwigger and Invicti): it is only compared.
#[test]
fn kid_of_any_content_is_only_compared() {
    let listening = KeyServer::start(Answer::json(&es256().jwk_set())).unwrap();
    let idp = KeyServer::start(Answer::json(&es256().jwk_set())).unwrap();
    let fetched = Provider::new().issuer("https://fetched.test").audience(AUDIENCE).keys(idp.url());
    let oauth2 = builder().provider("fetched", fetched).key_refresh_minutes(60).build().unwrap();
    let target = Target::behind(oauth2);
    let long = "canary-".repeat(1500);
    let kids = [
        "../../../../../../../dev/null",
        "/dev/null",
        "/proc/sys/kernel/randomize_va_space",
        "..\\..\\windows\\win.ini",
        "file:///etc/passwd",
        "canary' UNION SELECT 'secret' -- ",
        "'; DROP TABLE keys; --",
        "$(touch /tmp/canary)",
        "| id",
        "`id`",
        "ES256\u{0}",
        "ES256 ",
        "es256",
        "ES256\r\nX-Canary: 1",
        "\" canary=\"1",
        "\u{202e}652SE",
        "\u{1f511}\u{10ffff}",
        "${jndi:ldap://127.0.0.1/canary}",
        "{{7*7}}",
        "%s%s%n",
        "__proto__",
        "constructor",
        "*",
        "",
        &listening.url(),
        &long,
    ];
    for issuer in [ISSUER, "https://fetched.test"] {
        for (index, kid) in kids.into_iter().enumerate() {
            for secret in [&[] as &[u8], b"secret", b"0\n", b"2\n"] {
                let header = json!({"alg": "HS256", "kid": kid}).to_string();
                let claims = json!({"iss": issuer, "aud": AUDIENCE, "exp": 4_000_000_000_u64});
                let token = forge(header, claims.to_string(), |m| hmac("HS256", secret, m));
                let answer = target.send("/me", &[bearer(&token)]);
                crate::target::is_rejection(kid, &answer, Rejection::Signature);
            }
            // A genuine signature, but no key has this kid.
            let token = good().claim("iss", issuer).header("kid", kid).sign(es256());
            let is_looked_for = issuer == ISSUER || index == 0;
            let rejection =
                if is_looked_for { Rejection::Signature } else { Rejection::Unavailable };
            target.rejects(kid, &token, rejection);
        }
    }
    for kid in
        [json!(1), json!(1.5), json!(true), json!(["ES256"]), json!({"ES256": 1}), Value::Null]
    {
        target.rejects("no text", &with_header(&json!({"kid": kid})), Rejection::Malformed);
    }
    assert_eq!(listening.requests(), 0);
    assert_eq!(idp.requests(), 2, "the first, and once in 10 s for unknown keys");
    assert!(!idp.last_request().contains("canary"), "{}", idp.last_request());
}

/// CVE-2026-32597 (PyJWT), CVE-2025-59420 (authlib), GHSA-hm7r-c7qw-ghp6 (fast-jwt): extensions that must
/// be understood and are not, and payloads that are not encoded.
#[test]
fn crit_and_b64_are_rejected_cve_2026_32597_cve_2025_59420_ghsa_hm7r_c7qw_ghp6() {
    let target = Target::start();
    for members in [
        json!({"crit": ["canary"], "canary": true}),
        json!({"crit": ["canary"]}),
        json!({"crit": ["exp"], "exp": 1}),
        json!({"crit": ["alg"]}),
        json!({"crit": ["b64"], "b64": true}),
        json!({"crit": ["b64"], "b64": false}),
        json!({"crit": []}),
        json!({"crit": ""}),
        json!({"crit": "canary"}),
        json!({"crit": {}}),
        json!({"crit": null}),
        json!({"crit": false}),
        json!({"crit": [""]}),
        json!({"crit": ["kid", "kid"]}),
        json!({"b64": false}),
        json!({"b64": true}),
        json!({"b64": null}),
    ] {
        target.rejects(&members.to_string(), &with_header(&members), Rejection::Malformed);
    }
    // An unencoded payload, detached or not (RFC 7797 §5).
    let mut header = forge::header(es256());
    header["b64"] = json!(false);
    header["crit"] = json!(["b64"]);
    let header = b64(header.to_string());
    target.rejects("detached", &format!("{header}..{}", b64([7; 64])), Rejection::Malformed);
    target.rejects("raw", &sealed(&header, "canary-payload", by(es256())), Rejection::Malformed);
    // Names are exact: a similar one is an unread member.
    target.accepts("another name", &with_header(&json!({"Crit": ["canary"], "B64": false})));
}

/// CVE-2022-21449 (psychic signatures): ECDSA with r = s = 0 and other values that no signer makes, DER, and
/// other lengths.
#[test]
fn ecdsa_zero_der_or_wrong_length_is_rejected_cve_2022_21449() {
    let target = Target::start();
    for alg in [Algorithm::ES256, Algorithm::ES256K, Algorithm::ES384, Algorithm::ES512] {
        let key = key(alg);
        let size = match alg {
            Algorithm::ES384 => 48,
            Algorithm::ES512 => 66,
            _ => 32,
        };
        let header = forge::header(key).to_string();
        let order = openssl::ec::EcGroup::from_curve_name(match alg {
            Algorithm::ES256 => openssl::nid::Nid::X9_62_PRIME256V1,
            Algorithm::ES256K => openssl::nid::Nid::SECP256K1,
            Algorithm::ES384 => openssl::nid::Nid::SECP384R1,
            _ => openssl::nid::Nid::SECP521R1,
        })
        .and_then(|group| {
            let mut order = openssl::bn::BigNum::new()?;
            let mut context = openssl::bn::BigNumContext::new()?;
            group.order(&mut order, &mut context)?;
            order.to_vec_padded(size)
        })
        .unwrap();
        let number = |value: u8| {
            let mut bytes = vec![0; usize::try_from(size).unwrap()];
            *bytes.last_mut().unwrap() = value;
            bytes
        };
        let all_ones = vec![0xff; usize::try_from(size).unwrap()];
        for (r, s) in [
            (number(0), number(0)),
            (number(0), number(1)),
            (number(1), number(0)),
            (number(1), number(1)),
            (order.clone(), order.clone()),
            (number(1), order.clone()),
            (order.clone(), number(1)),
            (all_ones.clone(), all_ones.clone()),
        ] {
            let token = forge(&header, payload(), |_| [r.clone(), s.clone()].concat());
            target.rejects(alg.name(), &token, Rejection::Signature);
        }
        let genuine = |message: &[u8]| key.sign(message);
        for (attack, token) in [
            ("DER", forge(&header, payload(), |message| forge::der(&genuine(message)))),
            (
                "DER of zeros",
                // r and s as INTEGER 0, as OpenSSL writes it.
                forge(&header, payload(), |_| vec![0x30, 6, 2, 1, 0, 2, 1, 0]),
            ),
            ("one byte fewer", forge(&header, payload(), |message| genuine(message)[1..].to_vec())),
            (
                "one byte more",
                forge(&header, payload(), |message| [genuine(message), vec![0]].concat()),
            ),
            (
                "one byte more in front",
                forge(&header, payload(), |message| [vec![0], genuine(message)].concat()),
            ),
            (
                "both numbers one byte longer",
                forge(&header, payload(), |message| {
                    let raw = genuine(message);
                    let (r, s) = raw.split_at(raw.len() / 2);
                    [&[0], r, &[0], s].concat()
                }),
            ),
            (
                "twice",
                forge(&header, payload(), |message| [genuine(message), genuine(message)].concat()),
            ),
            (
                "the numbers swapped",
                forge(&header, payload(), |message| {
                    let raw = genuine(message);
                    let (r, s) = raw.split_at(raw.len() / 2);
                    [s, r].concat()
                }),
            ),
            ("one byte", forge(&header, payload(), |_| vec![0])),
            ("4096 bytes", forge(&header, payload(), |_| vec![1; 4096])),
        ] {
            target.rejects(&format!("{alg}: {attack}"), &token, Rejection::Signature);
        }
        target.accepts(alg.name(), &good().sign(key));
    }
}

/// Wycheproof's `json_web_signature_test`: base64url that is not canonical (padding, white space, the
/// other alphabet, set trailing bits) in any of the parts, even where the signature is over just that
/// text; and a second signature.
#[test]
fn non_canonical_base64url_or_second_signature_is_rejected_wycheproof_json_web_signature() {
    let target = Target::start();
    // Parts of each length modulo 4, for all cases of padding.
    for filler in ["", "x", "xx"] {
        let mut header = forge::header(es256());
        header["filler"] = json!(filler);
        let mut claims = crate::target::claims();
        claims.insert("filler".into(), json!(filler));
        let (header, claims) = (b64(header.to_string()), b64(Value::Object(claims).to_string()));
        let plain = sealed(&header, &claims, by(es256()));
        target.accepts("the plain form", &plain);
        let spoil = |part: &str| -> Vec<(&'static str, String)> {
            let mut spoiled = vec![
                ("one =", format!("{part}=")),
                ("two =", format!("{part}==")),
                ("~ in it", format!("{}~{}", &part[..9], &part[9..])),
                ("+ in it", format!("{}+{}", &part[..9], &part[9..])),
                ("/ in it", format!("{}/{}", &part[..9], &part[9..])),
                ("one letter more", format!("{part}A")),
                ("one letter fewer", part[..part.len() - 1].to_owned()),
            ];
            if let Some(part) = forge::with_trailing_bits(part) {
                spoiled.push(("trailing bits", part));
            }
            spoiled
        };
        let white = |part: &str| -> Vec<(&'static str, String)> {
            [("space", " "), ("tab", "\t"), ("=", "="), ("quote", "\""), ("percent", "%3D")]
                .into_iter()
                .map(|(name, text)| (name, format!("{}{text}{}", &part[..9], &part[9..])))
                .collect()
        };
        let [_, _, signature] = forge::parts(&plain);
        for (attack, header) in spoil(&header) {
            // `=` is invalid within a bearer token, and permitted at its end.
            let rejection = if header.contains('=') {
                Rejection::MalformedHeader
            } else {
                Rejection::Malformed
            };
            target.rejects(attack, &sealed(&header, &claims, by(es256())), rejection);
        }
        for (attack, claims) in spoil(&claims) {
            let rejection = if claims.contains('=') {
                Rejection::MalformedHeader
            } else {
                Rejection::Malformed
            };
            target.rejects(attack, &sealed(&header, &claims, by(es256())), rejection);
        }
        for (attack, signature) in spoil(signature) {
            // 86 letters are 64 bytes, and 87 are 65.
            let rejection = if attack == "one letter more" {
                Rejection::Signature
            } else {
                Rejection::Malformed
            };
            target.rejects(attack, &format!("{header}.{claims}.{signature}"), rejection);
        }
        for (attack, header) in white(&header) {
            target.rejects(
                attack,
                &sealed(&header, &claims, by(es256())),
                Rejection::MalformedHeader,
            );
        }
        for (attack, signature) in white(signature) {
            target.rejects(
                attack,
                &format!("{header}.{claims}.{signature}"),
                Rejection::MalformedHeader,
            );
        }
        let other = good().sign(key(Algorithm::RS256));
        let second = forge::parts(&other)[2];
        for (attack, token) in [
            ("a second signature", format!("{plain}.{second}")),
            ("the same twice", format!("{plain}.{signature}")),
            ("a second token", format!("{plain}.{other}")),
            ("a dot behind", format!("{plain}.")),
            ("a dot in front", format!(".{plain}")),
            ("two dots within", plain.replacen('.', "..", 1)),
            ("the parts turned round", format!("{signature}.{claims}.{header}")),
            ("no header", format!(".{claims}.{signature}")),
            ("no payload", format!("{header}..{signature}")),
            ("the header alone", header.clone()),
        ] {
            target.rejects(attack, &token, Rejection::Malformed);
        }
    }
}

/// CVE-2026-29000 (a JWE around a JWT that is not signed), dvsekhvalnov/jose-jwt #237 (signing and
/// encryption confused), and the JSON serialisations, alone or in one text with the compact form:
/// everything but the compact form is rejected.
#[test]
fn json_serialisations_polyglots_and_jwe_are_rejected_cve_2026_29000_jose_jwt_237() {
    let target = Target::start();
    let token = good().sign(es256());
    let [header, claims, signature] = forge::parts(&token);
    let flattened = json!({"protected": header, "payload": claims, "signature": signature});
    let general = json!({
        "payload": claims,
        "signatures": [{"protected": header, "signature": signature, "header": {"kid": "canary"}}],
    });
    for (attack, text) in [
        ("flattened", flattened.to_string()),
        ("general", general.to_string()),
        ("a polyglot", format!("{{\"x\":\"{token}\"}}")),
        ("a comment", format!("{token}/*{flattened}*/")),
        ("quoted", format!("\"{token}\"")),
    ] {
        target.rejects(attack, &text, Rejection::MalformedHeader);
        target.rejects(attack, &b64(&text), Rejection::Malformed);
        target.rejects(
            attack,
            &format!("{}.{claims}.{signature}", b64(&text)),
            Rejection::Malformed,
        );
        target.rejects(
            attack,
            &forge(forge::header(es256()).to_string(), &text, by(es256())),
            Rejection::Malformed,
        );
    }
    // A JWE of five parts, whatever it holds; and its header over three.
    let unsigned = format!("{}.{}.", b64(r#"{"alg":"none"}"#), b64(payload()));
    for alg in ["dir", "RSA-OAEP", "RSA1_5", "ECDH-ES", "A128KW", "PBES2-HS256+A128KW"] {
        let header =
            json!({"alg": alg, "enc": "A128GCM", "cty": "JWT", "kid": "RS256"}).to_string();
        for inner in [unsigned.as_str(), token.as_str()] {
            let jwe = format!("{}..{}.{}.{}", b64(&header), b64([1; 12]), b64(inner), b64([2; 16]));
            target.rejects(alg, &jwe, Rejection::Malformed);
        }
        for key in [es256(), key(Algorithm::RS256)] {
            target.rejects(alg, &forge(&header, payload(), by(key)), Rejection::Signature);
        }
    }
    // A nested token.
    let inner = with_header(&json!({"cty": "JWT"}));
    target.accepts("cty is not read", &inner);
    target.rejects(
        "nested",
        &forge(forge::header(es256()).to_string(), &token, by(es256())),
        Rejection::Malformed,
    );
}
