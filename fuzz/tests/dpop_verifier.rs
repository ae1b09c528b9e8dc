//! Compares our check of DPoP proofs with that of the crate `dpop-verifier`. Each difference is listed with its reason.

use std::{
    sync::LazyLock,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use dpop_verifier::{DpopError, DpopVerifier, ReplayContext, ReplayStore};
use oauth2_actix::{
    __fuzz::{self, DpopRequest},
    Algorithm,
    testing::SigningKey,
};
use openssl::sha::sha256;
use serde_json::{Value, json};

const TOKEN: &str = "an.access.token";
const BASE: &str = "https://api.example.com";

static KEY: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::generate(Algorithm::ES256, "1"));

/// A proof before it is signed, and its request.
#[derive(Clone)]
struct Case {
    key: SigningKey,
    header: String,
    payload: String,
    method: String,
    path: String,
    /// What is changed after the proof was signed.
    edit: fn(String) -> String,
}

/// A change to a good proof, and what follows.
struct Change {
    name: &'static str,
    apply: fn(&mut Case),
    ours: bool,
    theirs: bool,
    /// Why the two differ.
    why: &'static str,
}

/// A change that both accept or both refuse.
fn both(accept: bool, name: &'static str, apply: fn(&mut Case)) -> Change {
    Change { name, apply, ours: accept, theirs: accept, why: "" }
}

/// A change that they accept and we refuse.
fn stricter(name: &'static str, apply: fn(&mut Case), why: &'static str) -> Change {
    Change { name, apply, ours: false, theirs: true, why }
}

/// A change that we accept and they refuse.
fn wider(name: &'static str, apply: fn(&mut Case), why: &'static str) -> Change {
    Change { name, apply, ours: true, theirs: false, why }
}

impl Case {
    fn new() -> Self {
        let jwk = KEY.bare_jwk();
        let payload = json!({
            "jti": "1",
            "htm": "GET",
            "htu": format!("{BASE}/orders"),
            "iat": now().as_secs(),
            "ath": URL_SAFE_NO_PAD.encode(sha256(TOKEN.as_bytes())),
        });
        Self {
            key: KEY.clone(),
            header: json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk}).to_string(),
            payload: payload.to_string(),
            method: "GET".to_owned(),
            path: "/orders".to_owned(),
            edit: |proof| proof,
        }
    }

    fn header(&mut self, name: &str, value: Value) {
        set(&mut self.header, name, value);
    }

    fn jwk(&mut self, name: &str, value: Value) {
        let mut header: Value = serde_json::from_str(&self.header).expect("JSON");
        header["jwk"][name] = value;
        self.header = header.to_string();
    }

    fn payload(&mut self, name: &str, value: Value) {
        set(&mut self.payload, name, value);
    }

    fn htu(&mut self, htu: &str) {
        self.payload("htu", json!(htu));
    }

    /// Sets path and `htu` at once.
    fn target(&mut self, path: &str, htu: &str) {
        self.path = path.to_owned();
        self.htu(&format!("{BASE}{htu}"));
    }

    fn key(&mut self, algorithm: Algorithm) {
        self.key = SigningKey::generate(algorithm, "1");
        self.header("alg", json!(algorithm.name()));
        self.header("jwk", self.key.bare_jwk());
    }

    fn proof(&self) -> String {
        let [header, payload] =
            [&self.header, &self.payload].map(|json| URL_SAFE_NO_PAD.encode(json));
        let signed = format!("{header}.{payload}");
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(signed.as_bytes()));
        (self.edit)(format!("{signed}.{signature}"))
    }

    /// Returns whether we accept the proof, and whether they do.
    fn results(&self) -> (bool, bool) {
        let proof = self.proof();
        // The token is bound to the key that signs.
        let jwk = self.key.bare_jwk();
        let algorithm = self.key.algorithm();
        let thumbprint = __fuzz::dpop_thumbprint(jwk.as_object().expect("an object"), algorithm);
        let thumbprint = thumbprint.expect("a key");
        let ours = __fuzz::dpop_proof(DpopRequest {
            proof: proof.as_bytes(),
            base_url: BASE,
            method: &self.method,
            path: &self.path,
            token: TOKEN.as_bytes(),
            thumbprint: &thumbprint,
            now: now(),
            nonce_secret: None,
        });
        let verifier = DpopVerifier::new().with_max_age_seconds(60).with_future_skew_seconds(5);
        let uri = format!("{BASE}{}", self.path);
        let theirs = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime")
            .block_on(verifier.verify(&mut NoStore, &proof, &uri, &self.method, Some(TOKEN)));
        let theirs = theirs.is_ok_and(|proof| proof.jkt == URL_SAFE_NO_PAD.encode(thumbprint));
        (ours.is_ok(), theirs)
    }
}

fn set(json: &mut String, name: &str, value: Value) {
    let mut object: Value = serde_json::from_str(json).expect("JSON");
    object[name] = value;
    *json = object.to_string();
}

/// Adds a member in front, which may then stand there twice.
fn in_front(json: &mut String, member: &str) {
    *json = format!("{{{member},{}", &json[1..]);
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970")
}

/// Each proof is used once here.
struct NoStore;

#[async_trait::async_trait]
impl ReplayStore for NoStore {
    async fn insert_once(&mut self, _: [u8; 32], _: ReplayContext<'_>) -> Result<bool, DpopError> {
        Ok(true)
    }
}

const UNIQUE: &str = "RFC 7515 §4 and RFC 7519 §4: names are unique, or refused";
const NO_WHATWG: &str = "RFC 3986 has no such form: only parsers for browsers read it so";
const ANY_ALGORITHM: &str = "RFC 9449 §4.2: any asymmetric algorithm that the server supports";

fn changes_of_the_header() -> Vec<Change> {
    vec![
        both(true, "nothing", |_| {}),
        both(true, "unknown members", |case| {
            case.header("kid", json!("x"));
            case.header("jku", json!("https://keys.example"));
            case.jwk("kid", json!(1));
        }),
        both(true, "use, key_ops and alg of the key", |case| {
            case.jwk("use", json!("sig"));
            case.jwk("key_ops", json!(["verify"]));
            case.jwk("alg", json!("ES256"));
        }),
        both(false, "another type", |case| case.header("typ", json!("JWT"))),
        both(false, "the type with its prefix", |case| {
            case.header("typ", json!("application/dpop+jwt"));
        }),
        both(false, "the type in upper case", |case| case.header("typ", json!("DPOP+JWT"))),
        both(false, "alg none", |case| case.header("alg", json!("none"))),
        both(false, "a symmetric alg", |case| case.header("alg", json!("HS256"))),
        both(false, "an alg of another curve", |case| case.header("alg", json!("ES384"))),
        both(false, "no key", |case| case.header("jwk", json!(null))),
        both(false, "a private key", |case| case.jwk("d", json!("AAAA"))),
        both(false, "a private member that is null", |case| case.jwk("d", json!(null))),
        both(false, "a key of another client", |case| {
            case.header("jwk", SigningKey::generate(Algorithm::ES256, "1").bare_jwk());
        }),
        both(false, "a point off the curve", |case| {
            let y = KEY.bare_jwk()["x"].clone();
            case.jwk("y", y);
        }),
        both(false, "a padded coordinate", |case| {
            let x = format!("{}=", KEY.bare_jwk()["x"].as_str().expect("text"));
            case.jwk("x", json!(x));
        }),
        both(false, "another curve", |case| case.jwk("crv", json!("secp256k1"))),
        both(false, "a type of key in lower case", |case| case.jwk("kty", json!("ec"))),
        stricter(
            "a symmetric member",
            |case| case.jwk("k", json!("AAAA")),
            "RFC 9449 §4.3, check 7: the key is public only, whichever member has a secret",
        ),
        stricter(
            "the use of encryption",
            |case| case.jwk("use", json!("enc")),
            "RFC 7517 §4.2: the key is not for signatures",
        ),
        stricter(
            "operations without signatures",
            |case| case.jwk("key_ops", json!(["deriveKey"])),
            "RFC 7517 §4.3: the key is not for signatures",
        ),
        stricter(
            "a key for another alg",
            |case| case.jwk("alg", json!("ES384")),
            "RFC 7517 §4.4: the key is for that alg",
        ),
        stricter(
            "an extension",
            |case| case.header("crit", json!(["x"])),
            "RFC 7515 §4.1.11: one that is not understood must be refused",
        ),
        stricter(
            "an unencoded payload",
            |case| case.header("b64", json!(true)),
            "RFC 7797 §7: a JWT must not have it",
        ),
        stricter("a member twice", |case| in_front(&mut case.header, r#""alg":"none""#), UNIQUE),
        stricter(
            "a member of the key twice",
            |case| case.header = case.header.replacen(r#""jwk":{"#, r#""jwk":{"kty":"oct","#, 1),
            UNIQUE,
        ),
        wider("ES384", |case| case.key(Algorithm::ES384), ANY_ALGORITHM),
        wider("EdDSA", |case| case.key(Algorithm::EdDSA), ANY_ALGORITHM),
        wider("PS256", |case| case.key(Algorithm::PS256), ANY_ALGORITHM),
    ]
}

fn changes_of_the_payload() -> Vec<Change> {
    vec![
        both(true, "nothing", |_| {}),
        both(true, "a query and a fragment", |case| case.htu(&format!("{BASE}/orders?x=1#y"))),
        both(true, "scheme and host in upper case", |case| {
            case.htu("HTTPS://API.Example.COM/orders");
        }),
        both(true, "the default port", |case| case.htu(&format!("{BASE}:443/orders"))),
        both(true, "an empty port", |case| case.htu(&format!("{BASE}:/orders"))),
        both(true, "a dot segment", |case| case.htu(&format!("{BASE}/a/../orders"))),
        both(true, "an escaped dot segment", |case| case.htu(&format!("{BASE}/a/%2e%2E/orders"))),
        both(true, "an empty path", |case| case.target("/", "")),
        both(true, "unknown members", |case| case.payload("exp", json!(1))),
        both(true, "a nonce that was not required", |case| case.payload("nonce", json!("x"))),
        both(false, "another path", |case| case.htu(&format!("{BASE}/orders/1"))),
        both(false, "a path in upper case", |case| case.htu(&format!("{BASE}/Orders"))),
        both(false, "another host", |case| case.htu("https://evil.example/orders")),
        both(false, "another port", |case| case.htu(&format!("{BASE}:8443/orders"))),
        both(false, "another scheme", |case| case.htu("http://api.example.com/orders")),
        both(false, "a user name", |case| case.htu("https://u@api.example.com/orders")),
        both(false, "a host with a final dot", |case| {
            case.htu("https://api.example.com./orders");
        }),
        both(false, "an escaped slash", |case| case.target("/a/b", "/a%2Fb")),
        both(false, "a doubly escaped segment", |case| {
            case.htu(&format!("{BASE}/%252e%252e/orders"));
        }),
        both(false, "a relative URI", |case| case.htu("/orders")),
        both(false, "a list of URIs", |case| {
            case.payload("htu", json!([format!("{BASE}/orders")]))
        }),
        both(false, "another method", |case| case.payload("htm", json!("POST"))),
        both(false, "no method", |case| case.payload("htm", json!(null))),
        both(false, "an old time", |case| case.payload("iat", json!(now().as_secs() - 70))),
        both(false, "a future time", |case| case.payload("iat", json!(now().as_secs() + 30))),
        both(false, "a negative time", |case| case.payload("iat", json!(-1))),
        both(false, "a time as text", |case| case.payload("iat", json!("1700000000"))),
        both(false, "no jti", |case| case.payload("jti", json!(null))),
        both(false, "a jti of 1025 bytes", |case| case.payload("jti", json!("1".repeat(1_025)))),
        both(false, "the hash of another token", |case| {
            case.payload("ath", json!(URL_SAFE_NO_PAD.encode(sha256(b"another"))));
        }),
        both(false, "a padded hash", |case| {
            let hash = URL_SAFE_NO_PAD.encode(sha256(TOKEN.as_bytes()));
            case.payload("ath", json!(format!("{hash}=")));
        }),
        both(false, "no hash", |case| case.payload("ath", json!(null))),
        both(false, "a claim twice", |case| in_front(&mut case.payload, r#""htm":"GET""#)),
        both(false, "text behind the payload", |case| case.payload += "x"),
        stricter(
            "an unknown member twice",
            |case| in_front(&mut case.payload, r#""x":1,"x":2"#),
            UNIQUE,
        ),
        stricter(
            "a method in lower case",
            |case| case.payload("htm", json!("get")),
            "RFC 9110 §9.1: methods are case-sensitive",
        ),
        stricter(
            "a method with white space",
            |case| case.payload("htm", json!(" GET ")),
            "RFC 9449 §4.3, check 8: the claim is the method",
        ),
        stricter(
            "a trailing slash",
            |case| case.htu(&format!("{BASE}/orders/")),
            "RFC 3986 §3.3: an empty segment is a segment, and the router tells the paths apart",
        ),
        stricter(
            "a doubled slash",
            |case| case.htu(&format!("{BASE}//orders")),
            "RFC 3986 §3.3: an empty segment is a segment, and the router tells the paths apart",
        ),
        stricter(
            "a dot segment in the request",
            |case| case.target("/a/../orders", "/orders"),
            "the router does not remove it, so that the proof would be for another route",
        ),
        stricter("a backslash", |case| case.htu(&format!("{BASE}\\orders")), NO_WHATWG),
        stricter("a tab", |case| case.htu("https://api.exam\tple.com/orders"), NO_WHATWG),
        stricter("white space around", |case| case.htu(&format!(" {BASE}/orders ")), NO_WHATWG),
        stricter("one slash", |case| case.htu("https:/api.example.com/orders"), NO_WHATWG),
        stricter(
            "a wide letter",
            |case| case.htu("https://\u{ff41}pi.example.com/orders"),
            NO_WHATWG,
        ),
        stricter(
            "an escaped host",
            |case| case.htu("https://%61pi.example.com/orders"),
            "the name of a TLS host has no escapes, and other readers take it for another host",
        ),
        stricter(
            "a port with a leading zero",
            |case| case.htu(&format!("{BASE}:0443/orders")),
            "RFC 3986 §6.2.3 names the default port as it is written",
        ),
        stricter(
            "an empty jti",
            |case| case.payload("jti", json!("")),
            "RFC 9449 §4.2: it identifies the proof",
        ),
        stricter(
            "a payload of 7,000 bytes",
            |case| case.payload("x", json!("x".repeat(7_000))),
            "the length of a proof is bounded, so that the work for it is",
        ),
        stricter(
            "a deep value",
            |case| {
                let deep = format!("{}{}", "[".repeat(40), "]".repeat(40));
                in_front(&mut case.payload, &format!(r#""x":{deep}"#));
            },
            "the depth of JSON is bounded, as in tokens",
        ),
        wider(
            "another registered method",
            |case| {
                case.method = "PROPFIND".to_owned();
                case.payload("htm", json!("PROPFIND"));
            },
            "RFC 9110 §9.1: the methods are extensible",
        ),
        wider(
            "an escaped letter",
            |case| case.htu(&format!("{BASE}/%6frders")),
            "RFC 3986 §6.2.2.2, as RFC 9449 §4.3 requires",
        ),
        wider(
            "an escape in lower case",
            |case| case.target("/%C3%A4", "/%c3%a4"),
            "RFC 3986 §6.2.2.1, as RFC 9449 §4.3 requires",
        ),
        wider(
            "a time with a fraction",
            |case| case.payload("iat", json!(now().as_secs_f64())),
            "RFC 7519 §2: a time may have one",
        ),
        wider(
            "a jti of 600 bytes",
            |case| case.payload("jti", json!("1".repeat(600))),
            "RFC 9449 §4.2 has no maximum",
        ),
        wider(
            "a nonce that was not required and is a number",
            |case| case.payload("nonce", json!(1)),
            "RFC 9449 §4.3, check 10: the claim is compared if a nonce was issued",
        ),
    ]
}

fn changes_of_the_signed_text() -> Vec<Change> {
    vec![
        both(false, "two proofs", |case| case.edit = |proof| format!("{proof}, {proof}")),
        both(false, "a fourth part", |case| case.edit = |proof| format!("{proof}.x")),
        both(false, "padding", |case| case.edit = |proof| format!("{proof}==")),
        both(false, "a line end", |case| case.edit = |proof| format!("{proof}\n")),
        both(false, "a scheme", |case| case.edit = |proof| format!("DPoP {proof}")),
        both(false, "no signature", |case| {
            case.edit = |proof| proof[..=proof.rfind('.').expect("a dot")].to_owned();
        }),
        both(false, "a signature of another key", |case| {
            case.key = SigningKey::generate(Algorithm::ES256, "1");
            case.header("jwk", KEY.bare_jwk());
        }),
        both(false, "a signature in DER", |case| {
            case.edit = |proof| {
                let (signed, signature) = proof.rsplit_once('.').expect("a dot");
                let bytes = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
                let number = |bytes| openssl::bn::BigNum::from_slice(bytes).expect("a number");
                let der = openssl::ecdsa::EcdsaSig::from_private_components(
                    number(&bytes[..32]),
                    number(&bytes[32..]),
                );
                let der = der.and_then(|signature| signature.to_der()).expect("DER");
                format!("{signed}.{}", URL_SAFE_NO_PAD.encode(der))
            };
        }),
    ]
}

#[test]
fn each_difference_is_listed() {
    let lists = [changes_of_the_header(), changes_of_the_payload(), changes_of_the_signed_text()];
    let mut wrong = Vec::new();
    for change in lists.iter().flatten() {
        let mut case = Case::new();
        (change.apply)(&mut case);
        let results = case.results();
        if results != (change.ours, change.theirs) {
            wrong.push(format!("{}: {results:?}", change.name));
        }
        assert_eq!(change.why.is_empty(), change.ours == change.theirs, "{}", change.name);
    }
    assert!(wrong.is_empty(), "(ours, theirs)\n{}", wrong.join("\n"));
}

/// A header and a payload are accepted together exactly if each is with a good other half.
#[test]
fn halves_of_a_proof_decide_independently() {
    for header in changes_of_the_header() {
        // A second change to the same half of the proof would hide the first.
        for payload in changes_of_the_payload() {
            let mut case = Case::new();
            (header.apply)(&mut case);
            (payload.apply)(&mut case);
            let expected = (header.ours && payload.ours, header.theirs && payload.theirs);
            assert_eq!(case.results(), expected, "{} and {}", header.name, payload.name);
        }
    }
}
