//! Attacks on tokens that are bound to a DPoP key (RFC 9449).
//!
//! - this file: attacks on proofs and on bound tokens
//! - `nonces`: nonces of another time or service
//! - `replays`: proofs that are used again
//! - `stores`: stores of used proofs that are full, slow or down

mod nonces;
mod replays;
mod stores;

use oauth2_actix::{
    Algorithm, Binding, OAuth2Builder,
    dpop::Dpop,
    testing::{DpopProof, ManualClock, SigningKey},
};
use oauth2_actix_tests::{
    api::{Api, PUBLIC_PATHS},
    client::Answer,
    forge,
    keys::key,
    policy,
};
use serde_json::{Value, json};

use super::target::{bearer, es256, good, holds_nothing_of, provider, request};

const BASE: &str = "https://api.test";
const ME: &str = "https://api.test/me";

fn dpop() -> Dpop {
    use Algorithm as A;
    Dpop::new().base_url(BASE).algorithms([
        A::ES256,
        A::ES384,
        A::PS256,
        A::RS256,
        A::EdDSA,
        A::Ed25519,
    ])
}

fn builder(dpop: Dpop) -> OAuth2Builder {
    policy::builder()
        .provider("test", provider().dpop(Binding::Allowed))
        .dpop(dpop)
        .public_paths(PUBLIC_PATHS)
}

/// A server under attack, and a client with a bound token.
struct Target {
    api: Api,
    client: SigningKey,
    token: String,
}

impl Target {
    fn start() -> Self {
        Self::behind(builder(dpop()))
    }

    fn behind(builder: OAuth2Builder) -> Self {
        let client = SigningKey::generate(Algorithm::ES256, "canary-client");
        let token = good().expires_in(86_400).bound_to(&client).sign(es256());
        Self { api: Api::start(builder.build().unwrap()), client, token }
    }

    fn proof(&self) -> DpopProof {
        DpopProof::new("GET", ME, &self.token)
    }

    fn lines(&self, proof: &str) -> Vec<Vec<u8>> {
        vec![dpop_token(&self.token), header(proof)]
    }

    fn send(&self, lines: &[Vec<u8>]) -> Answer {
        self.send_to("GET", "/me", lines)
    }

    fn send_to(&self, method: &str, path: &str, lines: &[Vec<u8>]) -> Answer {
        oauth2_actix_tests::client::raw(self.api.server().address(), &request(method, path, lines))
    }

    /// Asserts that a client with the right key is still served.
    #[track_caller]
    fn still_works(&self, attack: &str) {
        let answer = self.send(&self.lines(&self.proof().sign(&self.client)));
        assert_eq!(answer.status, 200, "after {attack}: {answer:?}");
    }

    /// Asserts that a proof for `/me` is rejected with this code.
    #[track_caller]
    fn rejects(&self, attack: &str, proof: &str, code: &str) {
        self.rejects_lines(attack, &self.lines(proof), code);
    }

    #[track_caller]
    fn rejects_lines(&self, attack: &str, lines: &[Vec<u8>], code: &str) {
        self.rejects_at(attack, ("GET", "/me"), lines, code);
    }

    /// Asserts that the request gets 401, that the error is in the challenge of the scheme that was used and in no
    /// other, and that nothing of what was sent is in the response.
    #[track_caller]
    fn rejects_at(
        &self,
        attack: &str,
        (method, path): (&str, &str),
        lines: &[Vec<u8>],
        code: &str,
    ) {
        let before = self.api.private_calls();
        let answer = self.send_to(method, path, lines);
        assert_eq!(answer.status, 401, "{attack}: {answer:?}");
        assert_eq!(answer.error(), code, "{attack}");
        let is_dpop = lines.iter().any(|line| line.starts_with(b"Authorization: DPoP"));
        let errors: Vec<bool> = challenges(&answer)
            .iter()
            .map(|challenge| challenge.contains(&format!("error=\"{code}\"")))
            .collect();
        assert_eq!(errors, [!is_dpop, is_dpop], "{attack}: {answer:?}");
        assert_eq!(self.api.private_calls(), before, "{attack}: a handler ran");
        for line in lines {
            holds_nothing_of(attack, &format!("{answer:?}"), line);
        }
        self.still_works(attack);
    }
}

fn challenges(answer: &Answer) -> Vec<&str> {
    let all = answer.headers.iter().filter(|(name, _)| name == "www-authenticate");
    all.map(|(_, value)| value.as_str()).collect()
}

fn dpop_token(token: &str) -> Vec<u8> {
    format!("Authorization: DPoP {token}").into_bytes()
}

fn header(proof: &str) -> Vec<u8> {
    format!("DPoP: {proof}").into_bytes()
}

const INVALID: &str = "invalid_dpop_proof";

#[actix_web::test]
async fn proof_for_another_method_or_uri_is_rejected() {
    let target = Target::start();
    for (method, uri) in [
        ("POST", ME),
        ("get", ME),
        ("HEAD", ME),
        ("GET", "https://api.test/bare"),
        ("GET", "https://api.test/me/"),
        ("GET", "https://api.test/ME"),
        ("GET", "https://api.test/me%2F"),
        ("GET", "https://api.test/users/..%2Fme"),
        ("GET", "https://api.test/m%2565"),
        ("GET", "http://api.test/me"),
        ("GET", "https://api.test:444/me"),
        ("GET", "https://canary.api.test/me"),
        ("GET", "https://api.test.canary/me"),
        ("GET", "https://canary@api.test/me"),
        ("GET", "https://api.test\\me"),
        ("GET", "https:/api.test/me"),
        ("GET", "https:///api.test/me"),
        ("GET", "//api.test/me"),
        ("GET", "wss://api.test/me"),
        ("GET", "/me"),
        ("GET", ""),
        ("GET", " https://api.test/me"),
        ("GET", "https://api.test/me\u{0}"),
        ("GET", "https://api.te\u{301}st/me"),
    ] {
        let proof = DpopProof::new(method, uri, &target.token).sign(&target.client);
        target.rejects(&format!("{method} {uri:?}"), &proof, INVALID);
    }
    for value in [json!(null), json!(1), json!([ME]), json!({"GET": ME})] {
        for name in ["htm", "htu"] {
            let proof = target.proof().claim(name, value.clone()).sign(&target.client);
            target.rejects(&format!("{name} {value}"), &proof, INVALID);
        }
    }
}

#[actix_web::test]
async fn proof_for_an_equivalent_uri_is_accepted_and_is_the_same_for_replays() {
    let target = Target::start();
    for uri in [
        "HTTPS://API.test/me",
        "https://api.test:443/me",
        "https://api.test/%6De",
        "https://api.test/./me",
        "https://api.test/x/../me",
    ] {
        let proof = |uri: &str| {
            DpopProof::new("GET", uri, &target.token).claim("jti", uri.len()).claim("jti", "j")
        };
        let jti = format!("jti-of-{uri}");
        let first = proof(uri).claim("jti", jti.as_str()).sign(&target.client);
        assert_eq!(target.send(&target.lines(&first)).status, 200, "{uri}");
        let second = proof(ME).claim("jti", jti).sign(&target.client);
        target.rejects(&format!("the same jti for {uri}"), &second, INVALID);
    }
}

#[actix_web::test]
async fn host_and_forwarded_headers_do_not_change_the_uri() {
    let target = Target::start();
    let evil = DpopProof::new("GET", "https://canary.evil/me", &target.token);
    for spoofed in [
        "Host: canary.evil",
        "X-Forwarded-Host: canary.evil",
        "Forwarded: host=canary.evil;proto=https",
        "X-Forwarded-Proto: http",
        "X-Original-URL: /bare",
    ] {
        let mut lines = target.lines(&evil.sign(&target.client));
        lines.push(spoofed.as_bytes().to_vec());
        if spoofed.starts_with("Host") {
            // A second Host is a bad request of HTTP.
            let text = format!(
                "GET /me HTTP/1.1\r\n{spoofed}\r\n{}\r\n{}\r\n\r\n",
                String::from_utf8_lossy(&lines[0]),
                String::from_utf8_lossy(&lines[1])
            );
            let address = target.api.server().address();
            let answer = oauth2_actix_tests::client::raw(address, text.as_bytes());
            assert_eq!((answer.status, answer.error().as_str()), (401, INVALID), "{spoofed}");
        } else {
            target.rejects_lines(spoofed, &lines, INVALID);
        }
    }
    let absolute = DpopProof::new("GET", "https://canary.evil/me", &target.token);
    let lines = target.lines(&absolute.sign(&target.client));
    target.rejects_at("absolute form", ("GET", "http://canary.evil/me"), &lines, INVALID);
}

#[actix_web::test]
async fn proof_for_another_token_is_rejected() {
    let target = Target::start();
    let other = good().claim("jti", "canary-other").bound_to(&target.client).sign(es256());
    let proof = DpopProof::new("GET", ME, &other).sign(&target.client);
    target.rejects("ath of another token", &proof, INVALID);
    for (what, proof) in [
        ("no ath", target.proof().without("ath")),
        ("ath of another type", target.proof().claim("ath", json!([1]))),
        ("empty ath", target.proof().claim("ath", "")),
        ("ath of nothing", DpopProof::new("GET", ME, "")),
    ] {
        target.rejects(what, &proof.sign(&target.client), INVALID);
    }
}

#[actix_web::test]
async fn proof_by_another_key_is_rejected() {
    let target = Target::start();
    let other = SigningKey::generate(Algorithm::ES256, "canary-other");
    let proof = target.proof().sign(&other);
    target.rejects("another key", &proof, "invalid_token");
    let claimed = target.proof().header("jwk", target.client.bare_jwk()).sign(&other);
    target.rejects("signature of another key under the right jwk", &claimed, INVALID);
    // The signature is checked only for the key that the token names.
    let token = good().bound_to(&other).sign(es256());
    let proof = DpopProof::new("GET", ME, &token).sign(&target.client);
    target.rejects_lines(
        "token of another client",
        &[dpop_token(&token), header(&proof)],
        "invalid_token",
    );
}

#[actix_web::test]
async fn private_or_symmetric_key_in_a_proof_is_rejected() {
    let target = Target::start();
    for member in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
        for value in [json!("canary"), json!(""), json!(null), json!([])] {
            let mut jwk = target.client.bare_jwk();
            jwk[member] = value.clone();
            let proof = target.proof().header("jwk", jwk).sign(&target.client);
            target.rejects(&format!("{member} {value}"), &proof, INVALID);
        }
    }
    let secret = SigningKey::from_secret(Algorithm::HS256, "canary", &[7; 32]);
    target.rejects("oct", &target.proof().sign(&secret), INVALID);
    let jwk = target.client.bare_jwk();
    let public = target.proof().header("jwk", jwk).header("alg", "HS256").sign(&secret);
    target.rejects("HMAC under the public key", &public, INVALID);
}

#[actix_web::test]
async fn proof_without_an_accepted_algorithm_is_rejected() {
    let target = Target::start();
    for alg in ["none", "None", "NONE", "HS256", "ES512", "RS1", "es256", "", "ES384", "EdDSA"] {
        let proof = target.proof().header("alg", alg).sign(&target.client);
        target.rejects(alg, &proof, INVALID);
    }
    let proof = target.proof().header("alg", "none").sign(&target.client);
    let unsigned = format!("{}.", &proof[..proof.rfind('.').unwrap()]);
    target.rejects("none without a signature", &unsigned, INVALID);
    target.rejects(
        "no alg",
        &target.proof().header("alg", Value::Null).sign(&target.client),
        INVALID,
    );
}

#[actix_web::test]
async fn missing_second_or_joined_proof_is_rejected() {
    let target = Target::start();
    let proof = || target.proof().sign(&target.client);
    target.rejects_lines("no proof", &[dpop_token(&target.token)], INVALID);
    let lines = [dpop_token(&target.token), header(&proof()), header(&proof())];
    target.rejects_lines("two headers", &lines, INVALID);
    target.rejects("comma-joined", &format!("{}, {}", proof(), proof()), INVALID);
    target.rejects("comma-joined without a space", &format!("{},{}", proof(), proof()), INVALID);
    target.rejects("an empty header", "", INVALID);
    target.rejects("in quotes", &format!("\"{}\"", proof()), INVALID);
    target.rejects("with a scheme", &format!("DPoP {}", proof()), INVALID);
}

#[actix_web::test]
async fn bound_token_as_a_bearer_token_is_rejected() {
    let target = Target::start();
    let proof = target.proof().sign(&target.client);
    for lines in [vec![bearer(&target.token)], vec![bearer(&target.token), header(&proof)]] {
        target.rejects_lines("stripped scheme", &lines, "invalid_token");
    }
    // With other members beside the thumbprint.
    let cnf = json!({"jkt": target.client.thumbprint(), "kid": "canary", "x5t#S256": null});
    let token = good().claim("cnf", cnf).sign(es256());
    target.rejects_lines("beside others", &[bearer(&token)], "invalid_token");
    let proof = DpopProof::new("GET", ME, &token).sign(&target.client);
    let answer = target.send(&[dpop_token(&token), header(&proof)]);
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[actix_web::test]
async fn token_bound_in_two_ways_is_rejected_where_only_its_certificate_is_checked() {
    use oauth2_actix::mtls::{ClientCertificate, ForwardedCertificate};

    let der = [0x30, 0x03, 0x02, 0x01, 0x07];
    let certificate = ClientCertificate::from_der(&der).unwrap();
    let forwarded = ForwardedCertificate::haproxy("X-Client-Der").from_peers(["127.0.0.1"]);
    let target = Target::behind(
        policy::builder()
            .provider("test", provider().certificate_bound(Binding::Allowed))
            .forwarded_certificate(forwarded)
            .public_paths(PUBLIC_PATHS),
    );
    let send = |cnf: Value| {
        let token = good().claim("cnf", cnf).sign(es256());
        let proof = DpopProof::new("GET", ME, &token).sign(&target.client);
        let sent = b"X-Client-Der: MAMCAQc=".to_vec();
        target.send(&[bearer(&token), header(&proof), sent]).status
    };
    let x5t = certificate.x5t_s256();
    assert_eq!(send(json!({"x5t#S256": x5t})), 200);
    assert_eq!(send(json!({"x5t#S256": x5t, "jkt": null})), 200);
    assert_eq!(send(json!({"x5t#S256": x5t, "jkt": target.client.thumbprint()})), 401);
}

#[actix_web::test]
async fn token_that_is_not_bound_to_the_key_is_rejected_with_the_scheme_dpop() {
    let target = Target::start();
    let unbound = good().sign(es256());
    let proof = DpopProof::new("GET", ME, &unbound).sign(&target.client);
    let answer = target.send(&[dpop_token(&unbound), header(&proof)]);
    assert_eq!((answer.status, answer.error().as_str()), (401, "invalid_token"));
    assert_eq!(target.send(&[bearer(&unbound)]).status, 200, "as a bearer token");
    for cnf in [
        json!({}),
        json!(null),
        json!("canary"),
        json!({"jkt": null}),
        json!({"jkt": null, "x5t#S256": null}),
        json!({"jkt": 1}),
        json!({"jkt": ""}),
        json!({"jkt": [target.client.thumbprint()]}),
        json!({"jkt": format!("{}=", target.client.thumbprint())}),
        json!({"JKT": target.client.thumbprint()}),
        json!({"jwk": target.client.bare_jwk()}),
        json!({"x5t#S256": target.client.thumbprint()}),
        json!([{"jkt": target.client.thumbprint()}]),
    ] {
        let token = good().claim("cnf", cnf.clone()).sign(es256());
        let proof = DpopProof::new("GET", ME, &token).sign(&target.client);
        let lines = [dpop_token(&token), header(&proof)];
        target.rejects_lines(&cnf.to_string(), &lines, "invalid_token");
        target.rejects_lines(&cnf.to_string(), &[bearer(&token)], "invalid_token");
    }
}

#[actix_web::test]
async fn both_schemes_in_one_request_are_400() {
    let target = Target::start();
    let proof = target.proof().sign(&target.client);
    for (first, second) in [
        (dpop_token(&target.token), bearer(&target.token)),
        (bearer(&target.token), dpop_token(&target.token)),
        (dpop_token(&target.token), dpop_token(&target.token)),
    ] {
        let answer = target.send(&[first, second, header(&proof)]);
        assert_eq!((answer.status, answer.error().as_str()), (400, "invalid_request"));
        assert_eq!(challenges(&answer).len(), 2);
        assert!(challenges(&answer).iter().all(|it| it.contains("error=\"invalid_request\"")));
    }
    let joined = format!("Authorization: DPoP {0}, Bearer {0}", target.token).into_bytes();
    assert_eq!(target.send(&[joined, header(&proof)]).status, 400);
    target.still_works("both schemes");
}

#[actix_web::test]
async fn old_or_future_proof_is_rejected() {
    let clock = ManualClock::new();
    let target = Target::behind(builder(dpop()).clock(clock.clone()));
    let at = |offset: i64| {
        let iat = i64::try_from(clock.unix_seconds()).unwrap() + offset;
        target.proof().claim("iat", iat).sign(&target.client)
    };
    for offset in [-59, -30, 0, 9] {
        assert_eq!(target.send(&target.lines(&at(offset))).status, 200, "{offset}");
    }
    for offset in [-62, -3_600, 12, 3_600] {
        let answer = target.send(&target.lines(&at(offset)));
        assert_eq!((answer.status, answer.error().as_str()), (401, INVALID), "{offset}");
    }
    for iat in [json!(null), json!("1"), json!(1e300), json!(-1e300), json!([]), json!({})] {
        let proof = target.proof().claim("iat", iat.clone()).sign(&target.client);
        let answer = target.send(&target.lines(&proof));
        assert_eq!((answer.status, answer.error().as_str()), (401, INVALID), "{iat}");
    }
    let missing = target.proof().without("iat").sign(&target.client);
    assert_eq!(target.send(&target.lines(&missing)).status, 401);
}

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

#[actix_web::test]
async fn jti_that_is_missing_or_large_is_rejected() {
    let target = Target::start();
    for jti in [json!(null), json!(""), json!(1), json!(["canary"]), json!("canary".repeat(400))] {
        let proof = target.proof().claim("jti", jti).sign(&target.client);
        target.rejects("jti", &proof, INVALID);
    }
    target.rejects("no jti", &target.proof().without("jti").sign(&target.client), INVALID);
    // Beyond the limit on proofs. actix rejects a head that is much larger.
    let proof = target.proof().claim("jti", "canary".repeat(1 << 12)).sign(&target.client);
    target.rejects("jti of 24 KiB", &proof, INVALID);
}

#[actix_web::test]
async fn weak_or_invalid_key_in_a_proof_is_rejected() {
    let target = Target::start();
    let rsa = key(Algorithm::RS256).bare_jwk();
    let weak = json!({"kty": "RSA", "n": &rsa["n"].as_str().unwrap()[..170], "e": "AQAB"});
    let exponent = json!({"kty": "RSA", "n": rsa["n"], "e": "AQ"});
    let mut off_curve = target.client.bare_jwk();
    off_curve["y"] = off_curve["x"].clone();
    let infinity = json!({"kty": "EC", "crv": "P-256", "x": "", "y": ""});
    let zero = "A".repeat(43);
    let zeros = json!({"kty": "EC", "crv": "P-256", "x": zero, "y": zero});
    let small_order = json!({"kty": "OKP", "crv": "Ed25519", "x": zero});
    for (what, alg, jwk) in [
        ("RSA of 1,020 bits", "RS256", weak),
        ("an exponent of 1", "RS256", exponent),
        ("a point off the curve", "ES256", off_curve),
        ("the point at infinity", "ES256", infinity),
        ("a point of zeros", "ES256", zeros),
        ("a point of small order", "EdDSA", small_order),
        ("another curve", "ES256", json!({"kty": "EC", "crv": "P-384", "x": "AA", "y": "AA"})),
        ("no key", "ES256", json!(null)),
        ("text", "ES256", json!("canary")),
        ("an array", "ES256", json!([target.client.bare_jwk()])),
        ("a key without kty", "ES256", json!({"crv": "P-256"})),
    ] {
        // The token is bound to this very key, so that nothing else is wrong.
        let jkt = thumbprint(&jwk);
        let token = good().claim("cnf", json!({"jkt": jkt})).sign(es256());
        let proof = DpopProof::new("GET", ME, &token).header("alg", alg).header("jwk", jwk.clone());
        let lines = [dpop_token(&token), header(&proof.sign(&target.client))];
        let answer = target.send(&lines);
        assert_eq!((answer.status, answer.error().as_str()), (401, INVALID), "{what}");
        target.still_works(what);
    }
}

/// Returns the thumbprint of any JSON object (RFC 7638), as if all of its members counted.
fn thumbprint(jwk: &Value) -> String {
    let members: std::collections::BTreeMap<_, _> = jwk.as_object().into_iter().flatten().collect();
    let hash = openssl::sha::sha256(json!(members).to_string().as_bytes());
    base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, hash)
}

#[actix_web::test]
async fn proof_as_a_token_and_token_as_a_proof_are_rejected() {
    let target = Target::start();
    let proof = target.proof().sign(&target.client);
    for lines in [[bearer(&proof), header(&proof)], [dpop_token(&proof), header(&proof)]] {
        target.rejects_lines("a proof as a token", &lines, "invalid_token");
    }
    target.rejects("a token as a proof", &target.token, INVALID);
    for typ in [json!("at+jwt"), json!("JWT"), json!(null), json!("dpop+jwt "), json!(1)] {
        let proof = target.proof().header("typ", typ.clone()).sign(&target.client);
        target.rejects(&format!("typ {typ}"), &proof, INVALID);
    }
    // A proof that has all claims of a token, signed by a key of the provider.
    let claims = good().header("typ", "dpop+jwt").sign(es256());
    target.rejects_lines("typ of a proof on a token", &[bearer(&claims)], "invalid_token");
}

#[actix_web::test]
async fn malformed_proof_is_rejected() {
    let target = Target::start();
    let proof = target.proof().sign(&target.client);
    let parts: Vec<&str> = proof.split('.').collect();
    for malformed in [
        "canary".to_owned(),
        "..".to_owned(),
        format!("{}.{}", parts[0], parts[1]),
        format!("{proof}.{}", parts[2]),
        format!("{proof}="),
        format!("{}.{}.", parts[0], parts[1]),
        format!(".{}.{}", parts[1], parts[2]),
        format!("{}..{}", parts[0], parts[2]),
        proof.replace('.', "%2E"),
        proof.to_uppercase(),
        ".".repeat(10_000),
        "A".repeat(100_000),
    ] {
        target.rejects("a malformed proof", &malformed, INVALID);
    }
    let duplicate = format!(
        r#"{{"htm":"POST","htm":"GET","htu":"{ME}","jti":"canary","iat":{},"ath":"x"}}"#,
        now()
    );
    let header = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": target.client.bare_jwk()});
    let signed = forge::forge(header.to_string(), duplicate, forge::by(&target.client));
    target.rejects("duplicate members", &signed, INVALID);
    for (name, value) in [("crit", json!(["canary"])), ("b64", json!(false)), ("crit", json!([]))] {
        let proof = target.proof().header(name, value).sign(&target.client);
        target.rejects(name, &proof, INVALID);
    }
}

#[actix_web::test]
async fn proof_beside_dpop_that_is_off_changes_nothing() {
    let target =
        Target::behind(policy::builder().provider("test", provider()).public_paths(PUBLIC_PATHS));
    let proof = target.proof().sign(&target.client);
    let answer = target.send(&target.lines(&proof));
    assert_eq!((answer.status, answer.error().as_str()), (400, "invalid_request"));
    assert_eq!(challenges(&answer), [r#"Bearer realm="api""#]);
    let answer = target.send(&[bearer(&target.token), header(&proof)]);
    assert_eq!((answer.status, answer.error().as_str()), (401, "invalid_token"));
}
