//! Attacks on keys, their fetching and their caches.

use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use flate2::{Compression, write::GzEncoder};
use oauth2_actix::{
    Algorithm, OAuth2, Provider,
    testing::{ManualClock, SigningKey},
};
use oauth2_actix_tests::{
    forge::{self, b64, forge},
    key_server::{Answer, KeyServer},
    keys::key,
    policy,
};
use serde_json::{Value, json};

use crate::target::{
    AUDIENCE, ISSUER, Rejection, Target, bearer, builder, es256, good, is_rejection,
};

const FETCHED: &str = "https://fetched.test";

fn fetched(url: String) -> Provider {
    Provider::new().issuer(FETCHED).audience(AUDIENCE).keys(url)
}

/// Starts a target with a provider for valid tokens, and another one whose keys are fetched from this server.
fn beside(server: &KeyServer, clock: &ManualClock) -> (Target, OAuth2) {
    let oauth2 = builder()
        .provider("fetched", fetched(server.url()))
        .key_refresh_minutes(60)
        .clock(clock.clone())
        .build()
        .unwrap();
    (Target::behind(oauth2.clone()), oauth2)
}

fn of_fetched(key: &SigningKey) -> String {
    good().claim("iss", FETCHED).expires_in(90 * 86_400).sign(key)
}

/// CVE-2025-59936: two providers have a key of one kid, and a cache by kid confuses them. CVE-2026-35039
/// (GHSA-rp9m-7r4c-75qg): a token that is the beginning of a valid one, or shares parts with it, is confused
/// with it.
#[test]
fn same_kid_at_two_providers_is_not_confused_cve_2025_59936_cve_2026_35039_ghsa_rp9m_7r4c_75qg() {
    let shared = |name| SigningKey::generate(Algorithm::ES256, name);
    let (a, b) = (shared("shared"), shared("shared"));
    let servers = [&a, &b].map(|key| KeyServer::start(Answer::json(&key.jwk_set())).unwrap());
    let of = |issuer: &str, server: &KeyServer| {
        Provider::new().issuer(issuer).audience(AUDIENCE).keys(server.url())
    };
    let oauth2 = policy::builder()
        .provider("a", of("https://a.test", &servers[0]))
        .provider("b", of("https://b.test", &servers[1]))
        .key_refresh_minutes(60)
        .build()
        .unwrap();
    let token = |issuer: &str, key: &SigningKey| good().claim("iss", issuer).sign(key);
    let target = Target::with_good(oauth2, token("https://a.test", &a));
    target.accepts("b's own", &token("https://b.test", &b));
    for round in 0..3 {
        let attack = format!("round {round}");
        target.rejects(&attack, &token("https://b.test", &a), Rejection::Signature);
        target.rejects(&attack, &token("https://a.test", &b), Rejection::Signature);
    }
    // Tokens that share text with a valid one.
    let genuine = token("https://a.test", &a);
    target.accepts("a's own", &genuine);
    let admin = good().claim("iss", "https://a.test").claim("role", "admin").sign(&b);
    let [header, claims, signature] = forge::parts(&genuine);
    // 64 bytes are 86 letters: of 85, 81, 45 and 5, the last one encodes less than a byte.
    for cut in [1, 5, 41, 81] {
        target.rejects("cut off", &genuine[..genuine.len() - cut], Rejection::Malformed);
    }
    target.rejects("without its signature", &format!("{header}.{claims}."), Rejection::Malformed);
    let mixed = format!("{header}.{}.{signature}", forge::parts(&admin)[1]);
    target.rejects("its signature under other claims", &mixed, Rejection::Signature);
    let mut flipped = forge::parts(&genuine).map(str::to_owned);
    for index in 0..8 {
        let byte = signature.as_bytes()[index];
        let other = if byte == b'A' { 'B' } else { 'A' };
        flipped[2] = format!("{}{other}{}", &signature[..index], &signature[index + 1..]);
        target.rejects("one letter", &flipped.join("."), Rejection::Signature);
    }
}

/// CVE-2026-31837 (Istio): the keys cannot be fetched, and built-in or empty ones are used. An empty set,
/// HTML, an endless body, a slow response, redirects, also to 169.254.169.254, a gzip bomb.
#[test]
fn failed_fetch_accepts_no_token_cve_2026_31837() {
    let forger = SigningKey::generate(Algorithm::ES256, "ES256");
    let elsewhere = KeyServer::start(Answer::json(&forger.jwk_set())).unwrap();
    let gzip = [("content-encoding", "gzip"), ("content-type", "application/json")];
    let mut broken = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xed\xc1\x01\x01".to_vec();
    broken.resize(1000, 0);
    // A key set of the attacker before 64 MiB, which are 64 KiB compressed.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(forger.jwk_set().to_string().as_bytes()).unwrap();
    encoder.write_all(&vec![b' '; 64 << 20]).unwrap();
    let bomb = encoder.finish().unwrap();
    for (attack, answer) in [
        ("an error", Answer::status(500)),
        ("not found", Answer::status(404)),
        ("nothing", Answer::body(200, &[], b"")),
        ("an empty set", Answer::json(&json!({"keys": []}))),
        ("an empty object", Answer::json(&json!({}))),
        ("an empty list", Answer::json(&json!([]))),
        ("null", Answer::json(&Value::Null)),
        ("HTML", Answer::body(200, &[("content-type", "text/html")], b"<html>canary</html>")),
        ("an empty key", Answer::json(&json!({"keys": [{}]}))),
        ("an empty secret", Answer::json(&json!({"keys": [{"kty": "oct", "k": ""}]}))),
        ("a secret", Answer::json(&key(Algorithm::HS256).jwk_set())),
        ("private", Answer::body(200, &[], forger.private_pem().as_bytes())),
        ("a redirect", Answer::redirect(302, &elsewhere.url())),
        ("a permanent redirect", Answer::redirect(308, &elsewhere.url())),
        ("to metadata", Answer::redirect(302, "http://169.254.169.254/latest/meta-data/")),
        ("to a file", Answer::redirect(301, "file:///etc/passwd")),
        ("a bomb", Answer::body(200, &gzip, &bomb)),
        ("broken gzip", Answer::body(200, &gzip, &broken)),
        ("cut off", Answer::json(&forger.jwk_set()).truncated(150)),
        ("no HTTP", Answer::raw(b"SSH-2.0-canary\r\n".to_vec())),
        ("reset", Answer::reset()),
        ("2 MiB", Answer::body(200, &[], &vec![b' '; 2 << 20])),
    ] {
        let server = KeyServer::start(answer).unwrap();
        let (target, oauth2) = beside(&server, &ManualClock::new());
        for alg in ["ES256", "HS256", "none"] {
            let token = match alg {
                "HS256" => forge(
                    json!({"alg": alg}).to_string(),
                    json!({"iss": FETCHED, "aud": AUDIENCE, "exp": 4_000_000_000_u64}).to_string(),
                    |message| forge::hmac(alg, b"", message),
                ),
                _ => good().claim("iss", FETCHED).header("alg", alg).sign(&forger),
            };
            let rejection =
                if alg == "ES256" { Rejection::Unavailable } else { Rejection::Signature };
            let answer = target.send("/me", &[bearer(&token)]);
            is_rejection(&format!("{attack} {alg}"), &answer, rejection);
        }
        target.rejects(attack, &of_fetched(&forger), Rejection::Unavailable);
        assert_eq!(oauth2.key_status()[1].keys.len(), 0, "{attack}");
    }
    assert_eq!(elsewhere.requests(), 0);
    // A slow server, and one that never responds: until the timeout, without delaying others.
    for answer in [Answer::hang(), Answer::json(&forger.jwk_set()).dripping(Duration::from_secs(1))]
    {
        let server = KeyServer::start(answer).unwrap();
        let clock = ManualClock::new();
        let (target, _) = beside(&server, &clock);
        let token = of_fetched(&forger);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| target.send("/me", &[bearer(&token)]));
            server.wait_for_requests(1);
            target.still_works("a fetch that hangs");
            assert!(!waiting.is_finished());
            clock.advance(Duration::from_secs(5));
            is_rejection("a fetch that hangs", &waiting.join().unwrap(), Rejection::Unavailable);
        });
    }
    let gigabyte = gigabyte();
    let clock = ManualClock::new();
    let oauth2 = builder()
        .provider("fetched", fetched(gigabyte.0))
        .key_refresh_minutes(60)
        .clock(clock)
        .build()
        .unwrap();
    let target = Target::behind(oauth2);
    target.rejects("a gigabyte", &of_fetched(&forger), Rejection::Unavailable);
    assert!(gigabyte.1.load(Ordering::SeqCst) < 32 << 20, "the client disconnects");
}

/// Starts a server that announces and sends 1 GB, and counts the bytes that the client read.
fn gigabyte() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
    let taken = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&taken);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten().take(4) {
            let _ = stream.set_write_timeout(Some(Duration::from_secs(5)));
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n{");
            let spaces = [b' '; 65_536];
            for _ in 0..16_384 {
                let Ok(count) = stream.write(&spaces) else { break };
                counted.fetch_add(count, Ordering::SeqCst);
            }
        }
    });
    (url, taken)
}

/// CVE-2025-64527 (GHSA-mp85-7mrq-r866), CVE-2024-45809 (GHSA-wqr5-qmq7-3qw3): the process crashes during a
/// fetch, when the client disconnects or the headers are unusual. CVE-2019-12995: by a malformed token.
#[test]
fn process_survives_dropped_fetches_and_malformed_tokens_cve_2025_64527_cve_2024_45809_cve_2019_12995()
 {
    let (answer, release) = Answer::json(&es256().jwk_set()).held();
    let server = KeyServer::start(answer).unwrap();
    let (target, _) = beside(&server, &ManualClock::new());
    let token = of_fetched(es256());
    // Clients that disconnect while they wait, and malformed tokens.
    let address = target.api.server().address();
    for round in 0..20 {
        let mut connection = oauth2_actix_tests::client::Connection::open(address);
        let lines = [bearer(&token), format!("X-Round: {round}").into_bytes()];
        connection.send(&crate::target::request("GET", "/me", &lines));
        drop(connection);
    }
    server.wait_for_requests(1);
    for malformed in [
        ".",
        "..",
        "...",
        "a",
        "a.b",
        "a.b.c",
        "a.b.c.d",
        "eyJ.eyJ.x",
        "e30.e30.e30",
        "e30.e30.",
        "bnVsbA.bnVsbA.AA",
        "W10.W10.AA",
        "IiI.IiI.AA",
        "____.____.____",
        "-.-.-",
        "~.~.~",
    ] {
        target.rejects(malformed, malformed, Rejection::Malformed);
    }
    release.release();
    assert_eq!(target.send("/me", &[bearer(&token)]).status, 200);
    assert_eq!(server.requests(), 1);
}

/// openfga #3101: a flood of random kids, each of which causes a fetch, also while the provider hangs. During
/// a rotation under load, no token of the old or the new key is rejected.
#[test]
fn flood_of_random_kids_causes_one_fetch_and_rotation_under_load_rejects_no_key_openfga_3101() {
    let old = SigningKey::generate(Algorithm::ES256, "old");
    let new = SigningKey::generate(Algorithm::ES256, "new");
    let set = |keys: &[&SigningKey]| {
        let keys: Vec<Value> = keys.iter().map(|key| key.public_jwk()).collect();
        Answer::json(&json!({"keys": keys}))
    };
    let server = KeyServer::start(set(&[&old])).unwrap();
    let clock = ManualClock::new();
    let (target, _) = beside(&server, &clock);
    target.accepts("the first", &of_fetched(&old));
    assert_eq!(server.requests(), 1);
    let made_up = |index: usize| {
        good().claim("iss", FETCHED).header("kid", format!("canary-{index}")).sign(&new)
    };
    // The first kid is searched for. The others are unavailable until the cooldown is over, since one of them
    // may be genuine.
    for index in 0..200 {
        let answer = target.send("/me", &[bearer(&made_up(index))]);
        let rejection = if index == 0 { Rejection::Signature } else { Rejection::Unavailable };
        is_rejection("a made-up kid", &answer, rejection);
    }
    target.rejects("a kid that was searched for", &made_up(0), Rejection::Signature);
    target.rejects("a kid that was not searched for", &made_up(1), Rejection::Unavailable);
    assert_eq!(server.requests(), 2, "one fetch for 200 unknown keys");
    clock.advance(Duration::from_secs(11));
    // The provider hangs: tokens of known keys never wait.
    let (answer, release) = set(&[&old, &new]).held();
    server.answer(answer);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let flood: Vec<_> = (0..8)
            .map(|index| {
                let token = made_up(1000 + index);
                let target = &target;
                scope.spawn(move || target.send("/me", &[bearer(&token)]))
            })
            .collect();
        server.wait_for_requests(3);
        for _ in 0..20 {
            target.accepts("while the provider hangs", &of_fetched(&old));
        }
        // Rotation under load: tokens of either key are accepted.
        let load: Vec<_> = [&old, &new]
            .into_iter()
            .map(|key| {
                let (target, stop, token) = (&target, &stop, of_fetched(key));
                scope.spawn(move || {
                    let mut passed = 0;
                    while !stop.load(Ordering::SeqCst) || passed == 0 {
                        let answer = target.send("/me", &[bearer(&token)]);
                        assert_eq!(answer.status, 200, "{answer:?}");
                        passed += 1;
                    }
                    passed
                })
            })
            .collect();
        release.release();
        for answer in flood {
            let answer = answer.join().unwrap();
            // The fetch decides nothing for tokens that arrived during it.
            let rejection =
                if answer.status == 503 { Rejection::Unavailable } else { Rejection::Signature };
            is_rejection("a made-up kid", &answer, rejection);
        }
        for _ in 0..50 {
            assert_eq!(target.send("/me", &[bearer(&of_fetched(&new))]).status, 200);
        }
        stop.store(true, Ordering::SeqCst);
        for load in load {
            assert!(load.join().unwrap() > 0);
        }
    });
    assert!(server.requests() <= 4, "{} fetches", server.requests());
}

/// CVE-2016-10555 across the sources of one provider: an inline secret makes HMAC an algorithm of the
/// provider, and the keys at its URL are public. No published text and no secret of a key set verifies an
/// HMAC token, and an HMAC token causes no fetch.
#[test]
fn published_keys_as_hmac_secrets_beside_an_inline_secret_are_rejected() {
    let (secret, ec, rsa) = (key(Algorithm::HS256), es256(), key(Algorithm::RS256));
    let planted = SigningKey::generate(Algorithm::HS256, "planted");
    let set = json!({"keys": [ec.public_jwk(), rsa.public_jwk(), planted.public_jwk()]});
    let server = KeyServer::start(Answer::json(&set)).unwrap();
    let provider = fetched(server.url())
        .algorithms([Algorithm::HS256, Algorithm::ES256, Algorithm::RS256])
        .keys(secret.jwk_set());
    let oauth2 = builder().provider("fetched", provider).key_refresh_minutes(60).build().unwrap();
    let target = Target::behind(oauth2.clone());
    for genuine in [secret, ec, rsa] {
        target.accepts("each with its own key", &of_fetched(genuine));
    }
    let kids = ["planted", secret.kid(), ec.kid(), rsa.kid(), "made-up"].map(|kid| json!(kid));
    for (attacked, hash) in [(ec, "HS256"), (rsa, "HS256"), (ec, "HS512")] {
        for (name, text) in forge::public_texts(attacked) {
            for kid in kids.iter().chain([&Value::Null]) {
                let mut header = json!({"alg": hash, "kid": kid});
                if kid.is_null() {
                    header.as_object_mut().unwrap().remove("kid");
                }
                let token = forge(header.to_string(), claims_of_fetched(), |message| {
                    forge::hmac(hash, &text, message)
                });
                let answer = target.send("/me", &[bearer(&token)]);
                is_rejection(&format!("{name} {header}"), &answer, Rejection::Signature);
            }
        }
    }
    // A secret within the published set is not used, under any kid.
    for kid in &kids {
        let header = json!({"alg": "HS256", "kid": kid}).to_string();
        let token = forge(header, claims_of_fetched(), forge::by(&planted));
        target.rejects("a published secret", &token, Rejection::Signature);
    }
    assert_eq!(server.requests(), 1, "no HMAC token causes a fetch");
    // The secret verifies HMAC only, and the published keys their own algorithms.
    for (alg, kid, by) in [
        ("ES256", secret.kid(), secret),
        ("RS256", ec.kid(), secret),
        ("RS256", rsa.kid(), ec),
        ("ES256", ec.kid(), rsa),
        ("none", ec.kid(), ec),
    ] {
        let header = json!({"alg": alg, "kid": kid}).to_string();
        let token = forge(header, claims_of_fetched(), forge::by(by));
        target.rejects_lines(alg, &[bearer(&token)], Rejection::Signature);
    }
    assert_eq!(oauth2.key_status()[1].keys.len(), 2, "without the secret");
}

/// Untrustworthy entries of a key set: RSA of 1024 bits, an exponent of 1, a symmetric key in a public set, a
/// private key, one for encryption, one kid twice, a point that is not on its curve. A valid key beside them
/// is used.
#[test]
fn unusable_entries_of_a_key_set_verify_nothing() {
    let weak = openssl::rsa::Rsa::generate(1024).unwrap();
    let small = json!({
        "kty": "RSA", "n": b64(weak.n().to_vec()), "e": b64(weak.e().to_vec()), "kid": "bad",
    });
    let sign_small = |message: &[u8]| {
        let key = openssl::pkey::PKey::from_rsa(weak.clone()).unwrap();
        let mut signer =
            openssl::sign::Signer::new(openssl::hash::MessageDigest::sha256(), &key).unwrap();
        signer.sign_oneshot_to_vec(message).unwrap()
    };
    let rsa = key(Algorithm::RS256);
    let changed = |key: &SigningKey, members: Value| {
        let mut jwk = key.public_jwk();
        let object = jwk.as_object_mut().unwrap();
        object.insert("kid".into(), json!("bad"));
        object.extend(members.as_object().unwrap().clone());
        jwk
    };
    let secret = key(Algorithm::HS256);
    let header = |alg: &str| json!({"alg": alg, "kid": "bad"}).to_string();
    let signed_by = |key: &SigningKey| {
        forge(header(key.algorithm().name()), claims_of_fetched(), forge::by(key))
    };
    let forged_by_one =
        forge(header("RS256"), claims_of_fetched(), |message| padded_digest(message, 256));
    let mut private = changed(es256(), json!({}));
    private["d"] = json!(b64([1; 32]));
    let mut off_curve = changed(es256(), json!({}));
    off_curve["y"] = off_curve["x"].clone();
    let small_order = json!({
        "kty": "OKP", "crv": "Ed25519", "kid": "bad", "alg": "EdDSA",
        "x": b64([&[1_u8] as &[u8], &[0; 31]].concat()),
    });
    // With the neutral element as the key, R = s B holds for any message if s = 0 and R is the neutral
    // element.
    let of_small_order =
        forge(header("EdDSA"), claims_of_fetched(), |_| [&[1_u8] as &[u8], &[0; 63]].concat());
    let even = {
        let mut modulus = rsa_modulus(rsa);
        *modulus.last_mut().unwrap() &= 0xfe;
        b64(modulus)
    };
    for (attack, jwk, token) in [
        ("1024 bits", small, forge(header("RS256"), claims_of_fetched(), sign_small)),
        ("e = 1", changed(rsa, json!({"e": b64([1])})), forged_by_one.clone()),
        ("e = 1 with zeros", changed(rsa, json!({"e": b64([0, 0, 1])})), forged_by_one.clone()),
        ("e = 0", changed(rsa, json!({"e": b64([0])})), signed_by(rsa)),
        ("e = 2", changed(rsa, json!({"e": b64([2])})), signed_by(rsa)),
        ("n even", changed(rsa, json!({"n": even})), signed_by(rsa)),
        ("n = 1", changed(rsa, json!({"n": b64([1])})), signed_by(rsa)),
        ("symmetric", changed(secret, json!({})), signed_by(secret)),
        ("private", private, signed_by(es256())),
        ("use: enc", changed(es256(), json!({"use": "enc"})), signed_by(es256())),
        ("use: another", changed(es256(), json!({"use": "Sig"})), signed_by(es256())),
        ("use: no text", changed(es256(), json!({"use": ["sig"]})), signed_by(es256())),
        ("key_ops", changed(es256(), json!({"key_ops": ["sign"]})), signed_by(es256())),
        ("key_ops, no list", changed(es256(), json!({"key_ops": "verify"})), signed_by(es256())),
        ("alg of another type", changed(es256(), json!({"alg": "RS256"})), signed_by(es256())),
        ("alg for encryption", changed(rsa, json!({"alg": "RSA-OAEP"})), signed_by(rsa)),
        ("not on its curve", off_curve, signed_by(es256())),
        ("another curve", changed(es256(), json!({"crv": "P-384"})), signed_by(es256())),
        ("small order", small_order, of_small_order),
        ("another type", changed(es256(), json!({"kty": "RSA"})), signed_by(es256())),
    ] {
        let set = json!({"keys": [jwk.clone(), key(Algorithm::PS256).public_jwk()]});
        let server = KeyServer::start(Answer::json(&set)).unwrap();
        let (target, oauth2) = beside(&server, &ManualClock::new());
        target.rejects(attack, &token, Rejection::Signature);
        target.accepts("the good one beside it", &of_fetched(key(Algorithm::PS256)));
        assert_eq!(oauth2.key_status()[1].keys.len(), 1, "{attack}");
        // Inline, where an empty policy would be an error.
        if attack != "symmetric" {
            let alone = Provider::new().issuer(ISSUER).audience(AUDIENCE).keys(jwk);
            let built = policy::builder().provider("alone", alone).build();
            assert!(built.is_err(), "{attack} alone");
        }
    }
    // One kid twice: both are tried, and no third.
    let two: Vec<SigningKey> =
        (0..3).map(|_| SigningKey::generate(Algorithm::ES256, "twice")).collect();
    let set = json!({"keys": [two[0].public_jwk(), two[1].public_jwk()]});
    let server = KeyServer::start(Answer::json(&set)).unwrap();
    let (target, _) = beside(&server, &ManualClock::new());
    target.accepts("the first of a kid", &of_fetched(&two[0]));
    target.accepts("the second of a kid", &of_fetched(&two[1]));
    target.rejects("another of that kid", &of_fetched(&two[2]), Rejection::Signature);
}

fn claims_of_fetched() -> String {
    let claims = json!({
        "iss": FETCHED, "aud": AUDIENCE, "exp": 4_000_000_000_u64, "sub": "canary-subject",
    });
    claims.to_string()
}

fn rsa_modulus(key: &SigningKey) -> Vec<u8> {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.decode(key.bare_jwk()["n"].as_str().unwrap()).unwrap()
}

/// PKCS #1 v1.5 padding of a SHA-256 digest (RFC 8017 §9.2): under an exponent of 1, its own signature.
pub(crate) fn padded_digest(message: &[u8], length: usize) -> Vec<u8> {
    let digest = openssl::sha::sha256(message);
    let info = b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20";
    let mut block = vec![0, 1];
    block.resize(length - 1 - info.len() - digest.len(), 0xff);
    block.push(0);
    block.extend(info);
    block.extend(digest);
    block
}
