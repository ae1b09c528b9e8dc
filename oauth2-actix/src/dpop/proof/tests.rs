//! What a proof must have.

mod attacks;

use serde_json::{Map, Value, json};

use super::*;
use crate::testing::SigningKey;
use Algorithm as A;

const NOW: Duration = Duration::from_millis(1_700_000_000_500);
const TOKEN: &[u8] = b"a-token.of~some+kind/==";
const BASE: &str = "https://api.example.com";

/// Returns the hash of a token for the rest of the test.
fn hash_of(token: &[u8]) -> &'static [u8; 32] {
    Box::leak(Box::new(sha256(token)))
}

struct Client {
    key: SigningKey,
    header: Value,
    payload: Value,
    thumbprint: [u8; 32],
}

impl Client {
    fn new(algorithm: A) -> Self {
        let key = SigningKey::generate(algorithm, "1");
        let jwk = key.bare_jwk();
        let thumbprint = thumbprint(&jwk, algorithm);
        Self {
            header: json!({"typ": "dpop+jwt", "alg": algorithm.name(), "jwk": jwk}),
            payload: json!({
                "jti": "0190-first",
                "htm": "GET",
                "htu": "https://api.example.com/orders",
                "iat": 1_700_000_000,
                "ath": URL_SAFE_NO_PAD.encode(sha256(TOKEN)),
            }),
            key,
            thumbprint,
        }
    }

    fn es256() -> Self {
        Self::new(A::ES256)
    }

    fn with(mut self, name: &str, value: Value) -> Self {
        self.payload[name] = value;
        self
    }

    fn without(mut self, name: &str) -> Self {
        members(&mut self.payload).remove(name).expect(name);
        self
    }

    fn with_header(mut self, name: &str, value: Value) -> Self {
        self.header[name] = value;
        self
    }

    fn without_header(mut self, name: &str) -> Self {
        members(&mut self.header).remove(name).expect(name);
        self
    }

    fn proof(&self) -> Vec<u8> {
        self.sign(&self.header.to_string(), &self.payload.to_string())
    }

    fn sign(&self, header: &str, payload: &str) -> Vec<u8> {
        let signed =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(signed.as_bytes()));
        format!("{signed}.{signature}").into_bytes()
    }

    fn presented<'a>(&'a self, proof: &'a [u8]) -> Presented<'a> {
        Presented {
            proof,
            method: "GET",
            path: "/orders",
            is_handshake: false,
            token_hash: hash_of(TOKEN),
            thumbprint: &self.thumbprint,
            now: NOW,
        }
    }

    /// Checks the proof as that of its own request.
    fn check(&self) -> Result<Checked, ProofFault> {
        self.check_by(&checker())
    }

    fn check_by(&self, checker: &ProofChecker) -> Result<Checked, ProofFault> {
        checker.check(&self.presented(&self.proof()))
    }

    fn check_bytes(&self, proof: &[u8]) -> Result<Checked, ProofFault> {
        checker().check(&self.presented(proof))
    }

    fn problem(&self) -> &'static str {
        problem(self.check())
    }
}

fn thumbprint(jwk: &Value, algorithm: A) -> [u8; 32] {
    ClientKey::read(&jwk.to_string(), algorithm).expect("a key").thumbprint()
}

fn members(value: &mut Value) -> &mut Map<String, Value> {
    value.as_object_mut().expect("an object")
}

fn checker() -> ProofChecker {
    ProofChecker {
        algorithms: AlgorithmSet::by_default(),
        max_age: Duration::from_secs(60),
        clock_skew: Duration::from_secs(5),
        targets: Targets::new(&[BASE.to_owned()]).expect("a base URL"),
        nonces: None,
        keys: ClientKeys::default(),
        crypto: CryptoBackend::AwsLc,
    }
}

fn nonces() -> Nonces {
    Nonces::new(&[7; 32], None, Duration::from_secs(100)).expect("nonces")
}

fn problem(result: Result<Checked, ProofFault>) -> &'static str {
    match result {
        Err(ProofFault::Invalid(problem)) => problem,
        other => panic!("{other:?}"),
    }
}

fn fault(result: Result<Checked, ProofFault>) -> ProofFault {
    result.expect_err("refused")
}

#[test]
fn proof_of_each_algorithm_is_accepted_by_both_libraries() {
    for algorithm in AlgorithmSet::by_default().iter() {
        for crypto in [CryptoBackend::AwsLc, CryptoBackend::OpenSsl] {
            let client = Client::new(algorithm);
            let checker = ProofChecker { crypto, ..checker() };
            // The second time, the key is cached.
            for _ in 0..2 {
                let checked = client.check_by(&checker).expect("accepted");
                assert_eq!(checked.used.key, client.thumbprint);
                assert_eq!(checked.fresh_nonce, None);
                assert!(checker.keys.get(&client.thumbprint, algorithm).is_some());
            }
        }
    }
}

#[test]
fn example_of_rfc_9449_is_accepted() {
    const PROOF: &str = concat!(
        "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6Ik",
        "VDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCR",
        "nMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JE",
        "QSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIj",
        "oiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0Z",
        "WRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNF",
        "c05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71E",
        "OptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA",
    );
    let thumbprint = URL_SAFE_NO_PAD.decode("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
    let thumbprint = thumbprint.expect("base64url").try_into().expect("32 bytes");
    let checker = ProofChecker {
        targets: Targets::new(&["https://resource.example.org".to_owned()]).expect("a base URL"),
        ..checker()
    };
    let presented = Presented {
        proof: PROOF.as_bytes(),
        method: "GET",
        path: "/protectedresource",
        is_handshake: false,
        token_hash: hash_of(b"Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"),
        thumbprint: &thumbprint,
        now: Duration::from_secs(1_562_262_618),
    };
    let checked = checker.check(&presented).expect("accepted");
    assert_eq!(checked.used.until, Duration::from_secs(1_562_262_618 + 60 + 1));
    let other = Presented {
        token_hash: hash_of(b"Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxV"),
        ..presented
    };
    assert!(problem(checker.check(&other)).contains("`ath`"));
}

/// It is one for the token endpoint, so that it has no `ath`.
#[test]
fn example_of_rfc_9449_for_the_token_endpoint_is_refused() {
    const PROOF: &str = concat!(
        "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6Ik",
        "VDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCR",
        "nMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JE",
        "QSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIj",
        "oiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwia",
        "WF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg",
        "4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg",
    );
    let thumbprint = URL_SAFE_NO_PAD.decode("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
    let thumbprint = thumbprint.expect("base64url").try_into().expect("32 bytes");
    let checker = ProofChecker {
        targets: Targets::new(&["https://server.example.com".to_owned()]).expect("a base URL"),
        ..checker()
    };
    let presented = Presented {
        proof: PROOF.as_bytes(),
        method: "POST",
        path: "/token",
        is_handshake: false,
        token_hash: hash_of(TOKEN),
        thumbprint: &thumbprint,
        now: Duration::from_secs(1_562_262_616),
    };
    assert!(problem(checker.check(&presented)).contains("`ath`"));
}

/// The parts of the identity are not only joined.
#[test]
fn identity_is_that_of_the_parts_with_their_lengths() {
    let client = Client::es256();
    let checked = client.check().expect("accepted");
    let mut bytes = Vec::new();
    for part in [&client.thumbprint[..], b"GET", b"https://api.example.com/orders", b"0190-first"] {
        bytes.extend((part.len() as u64).to_be_bytes());
        bytes.extend(part);
    }
    assert_eq!(checked.used.id, sha256(&bytes));
}

#[test]
fn proof_is_accepted_between_since_and_until() {
    let client = Client::es256();
    let proof = client.proof();
    let check = |now| checker().check(&Presented { now, ..client.presented(&proof) });
    let used = check(NOW).expect("accepted").used;
    assert_eq!((used.since.as_secs(), used.until.as_secs()), (1_699_999_995, 1_700_000_061));
    assert_eq!(used.now, NOW);
    let moment = Duration::from_millis(1);
    assert!(check(used.since).is_ok() && check(used.since - moment).is_err());
    let last = used.until - MARGIN;
    assert!(check(last).is_ok() && check(last + moment).is_err());
    for now in [Duration::ZERO, Duration::MAX] {
        assert!(check(now).is_err());
    }
}

#[test]
fn proof_longer_than_the_maximum_is_refused() {
    let client = Client::es256().with("x", json!("a".repeat(5_000)));
    let length = client.proof().len();
    let padding = 5_000 + (MAX_LENGTH - length) / 4 * 3;
    let client = client.with("x", json!("a".repeat(padding)));
    assert!((MAX_LENGTH - 4..=MAX_LENGTH).contains(&client.proof().len()));
    assert!(client.check().is_ok());
    let client = client.with("x", json!("a".repeat(padding + 6)));
    assert!(client.problem().contains("8192 bytes"));
}

#[test]
fn other_spellings_of_the_type_are_refused() {
    for typ in ["DPoP+jwt", "dpop+JWT", "application/dpop+jwt", "dpop+jwt ", "dpop", ""] {
        assert!(Client::es256().with_header("typ", json!(typ)).problem().contains("`typ`"));
    }
    assert!(Client::es256().with_header("typ", json!(["dpop+jwt"])).problem().contains("`typ`"));
}

#[test]
fn proof_with_an_extension_is_refused() {
    for (name, value) in [("crit", json!(["exp"])), ("crit", json!([])), ("b64", json!(true))] {
        assert!(Client::es256().with_header(name, value).problem().contains("`crit`"));
    }
    // Other members are ignored (RFC 7515 §4).
    let client = Client::es256().with_header("kid", json!(1)).with_header("jku", json!(BASE));
    assert!(client.with("exp", json!(1)).with("nonce", json!(1)).check().is_ok());
}

#[test]
fn proof_without_a_key_object_is_refused() {
    for jwk in [json!(null), json!("jwk"), json!([]), json!({})] {
        assert!(Client::es256().with_header("jwk", jwk).problem().contains("`jwk`"));
    }
    assert!(Client::es256().without_header("jwk").problem().contains("`jwk`"));
}

#[test]
fn proof_without_a_valid_nonce_gets_the_request_for_one() {
    let checker = ProofChecker { nonces: Some(nonces()), ..checker() };
    let theirs = Nonces::new(&[8; 32], None, Duration::from_secs(100)).expect("nonces");
    let long_ago = nonces().issue(NOW - Duration::from_secs(102));
    for nonce in ["", "x", &theirs.issue(NOW), &long_ago] {
        let client = Client::es256().with("nonce", json!(nonce));
        assert_eq!(fault(client.check_by(&checker)), ProofFault::NonceRequired, "{nonce}");
    }
    assert_eq!(fault(Client::es256().check_by(&checker)), ProofFault::NonceRequired);
    for nonce in [json!(1), json!(null), json!([nonces().issue(NOW)])] {
        let client = Client::es256().with("nonce", nonce);
        assert!(problem(client.check_by(&checker)).contains("`nonce`"));
    }
    // A proof with another fault gets no nonce: it would not be accepted with one.
    for client in [
        Client::es256().with("htm", json!("POST")),
        Client::es256().with("ath", json!("")),
        Client::es256().without("iat"),
        Client::es256().without("jti"),
    ] {
        problem(client.check_by(&checker));
    }
    let mut broken = Client::es256().proof();
    broken.push(b'=');
    let client = Client::es256();
    assert_eq!(fault(checker.check(&client.presented(&broken))), ProofFault::OtherKey);
    let mut broken = client.proof();
    broken.push(b'=');
    problem(checker.check(&client.presented(&broken)));
}

#[test]
fn nonce_decides_the_age_of_a_proof_instead_of_its_iat() {
    let checker = ProofChecker { nonces: Some(nonces()), ..checker() };
    let made = Duration::from_secs(NOW.as_secs());
    let client = Client::es256().with("nonce", json!(nonces().issue(NOW))).with("iat", json!(1));
    let checked = client.check_by(&checker).expect("accepted");
    assert_eq!(checked.used.since, made - Duration::from_secs(5));
    assert_eq!(checked.used.until, made + Duration::from_secs(101));
    assert_eq!(checked.fresh_nonce, None);
    // Past half of its life, the client gets another.
    let proof = client.proof();
    let check = |seconds| {
        let now = made + Duration::from_secs(seconds);
        checker.check(&Presented { now, ..client.presented(&proof) })
    };
    assert_eq!(check(50).expect("accepted").fresh_nonce, None);
    let later = check(100).expect("accepted");
    assert_eq!(later.fresh_nonce, Some(nonces().issue(made + Duration::from_secs(100))));
    assert_eq!((later.used.since, later.used.until), (checked.used.since, checked.used.until));
    assert_eq!(fault(check(101)), ProofFault::NonceRequired);
    // The signature is still checked.
    let forged = Client { key: Client::es256().key, ..client };
    assert!(problem(forged.check_by(&checker)).contains("signature"));
}

#[test]
fn handshake_may_have_the_scheme_of_websockets() {
    let client = Client::es256().with("htu", json!("wss://api.example.com/orders"));
    let proof = client.proof();
    let check =
        |is_handshake| checker().check(&Presented { is_handshake, ..client.presented(&proof) });
    assert!(check(true).is_ok());
    assert!(problem(check(false)).contains("`htu`"));
}

#[test]
fn debug_output_has_no_text_of_the_proof_or_token() {
    let client = Client::es256().with("jti", json!("canary"));
    let proof = client.proof();
    let presented = client.presented(&proof);
    let checked = checker().check(&presented).expect("accepted");
    let shown = format!("{presented:?} {checked:?} {:?}", checker());
    let text = String::from_utf8(proof.clone()).expect("text");
    assert!(!shown.contains("canary") && !shown.contains(&text[..20]) && !shown.contains("~some"));
}
