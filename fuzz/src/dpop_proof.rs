//! Proofs of DPoP of any form: accepted exactly if a second implementation of the rules accepts them.
//!
//! An input has up to five lines. The first one is the request: a digit that selects the key, a digit that is 1 if a
//! nonce is required, and the path. Then come the header and the payload, in which these words are replaced: `JWK` by the
//! members of the key, `ALG` by its algorithm, `ATH` by the hash of the token, `NOW` by the time, and `NONCE` by a nonce.
//! The proof is signed by the key. The fourth line is put in front of the proof, and the fifth behind it.

use std::{collections::BTreeMap, sync::LazyLock, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use oauth2_actix::{
    __fuzz::{self, DpopRequest},
    Algorithm,
    testing::SigningKey,
};
use openssl::sha::sha256;
use serde_json::{Map, Value};

const TOKEN: &[u8] = b"an.access.token";
const NOW: u64 = 1_700_000_000;
const SECRET: [u8; 32] = [7; 32];

static KEYS: LazyLock<Vec<SigningKey>> = LazyLock::new(|| {
    [Algorithm::ES256, Algorithm::EdDSA, Algorithm::PS256, Algorithm::ES512]
        .map(|algorithm| SigningKey::generate(algorithm, "1"))
        .into()
});

pub fn run(data: &[u8]) {
    is_accepted(data);
}

/// Returns whether the proof is accepted. None: the input is too short.
pub fn is_accepted(data: &[u8]) -> Option<bool> {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.splitn(5, '\n');
    let request = lines.next()?;
    let mut digits = request.bytes();
    let key = &KEYS[usize::from(digits.next()?) % KEYS.len()];
    let needs_nonce = digits.next()? == b'1';
    let path = request.get(2..)?;
    let now = Duration::from_secs(NOW);
    let jwk = key.bare_jwk();
    let members = jwk.to_string();
    let nonce = __fuzz::dpop_nonce(&SECRET, now)?;
    let fill = |text: &str| {
        text.replace("JWK", members.trim_matches(['{', '}']))
            .replace("ALG", key.algorithm().name())
            .replace("ATH", &URL_SAFE_NO_PAD.encode(sha256(TOKEN)))
            .replace("NONCE", &nonce)
            .replace("NOW", &NOW.to_string())
    };
    let (header, payload) = (fill(lines.next()?), fill(lines.next()?));
    let signed =
        format!("{}.{}", URL_SAFE_NO_PAD.encode(&header), URL_SAFE_NO_PAD.encode(&payload));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()));
    let (front, behind) = (lines.next().unwrap_or(""), lines.next().unwrap_or(""));
    let proof = format!("{front}{signed}.{signature}{behind}");

    // The token is bound to whatever key the header has.
    let own = serde_json::from_str::<Value>(&header).ok();
    let own = own.as_ref().and_then(|header| header.get("jwk")?.as_object());
    let thumbprint = own.and_then(thumbprint);
    if let (Some(own), Some(expected)) = (own, thumbprint)
        && let Some(found) = __fuzz::dpop_thumbprint(own, key.algorithm())
    {
        assert_eq!(found, expected, "{header}");
    }
    let request = DpopRequest {
        proof: proof.as_bytes(),
        base_url: "https://api.example.com",
        method: "GET",
        path,
        token: TOKEN,
        thumbprint: &thumbprint.unwrap_or_default(),
        now,
        nonce_secret: needs_nonce.then_some(&SECRET),
    };
    let result = __fuzz::dpop_proof(request);
    let expected = front.is_empty()
        && behind.is_empty()
        && proof.len() <= 8_192
        && is_good_header(&header, key, &jwk)
        && is_good_payload(&payload, path, needs_nonce.then_some(&*nonce));
    assert_eq!(result.is_ok(), expected, "{result:?}: {header} {payload} for {path}");
    // The bytes of the input themselves are never a proof.
    let refused = __fuzz::dpop_proof(DpopRequest { proof: data, ..request });
    assert!(refused.is_err());
    Some(expected)
}

/// Returns the thumbprint of a public key with the required members as text.
fn thumbprint(jwk: &Map<String, Value>) -> Option<[u8; 32]> {
    let names: &[&str] = match jwk.get("kty")?.as_str()? {
        "EC" => &["crv", "kty", "x", "y"],
        "RSA" => &["e", "kty", "n"],
        "OKP" => &["crv", "kty", "x"],
        _ => return None,
    };
    let member = |name: &&'static str| Some((*name, jwk.get(*name)?.as_str()?));
    let members: BTreeMap<_, _> = names.iter().map(member).collect::<Option<_>>()?;
    Some(sha256(serde_json::to_string(&members).ok()?.as_bytes()))
}

/// Checks the header, as a second implementation. Only the key that has signed can be right.
fn is_good_header(header: &str, key: &SigningKey, jwk: &Value) -> bool {
    let Some(header) = __fuzz::strict_object(header.as_bytes()) else { return false };
    let Some(found) = header.get("jwk").and_then(Value::as_object) else { return false };
    if has_too_many(&header, "typ alg jwk crit b64")
        || has_too_many(found, "kty crv x y n e use key_ops alg d p q dp dq qi oth k")
    {
        return false;
    }
    let jwk = jwk.as_object().expect("an object");
    let own = |(name, value)| found.get(name) == Some(value);
    let operations = ["sign", "verify"].map(Value::from);
    header.get("typ") == Some(&"dpop+jwt".into())
        && header.get("alg") == Some(&key.algorithm().name().into())
        && !header.contains_key("crit")
        && !header.contains_key("b64")
        && jwk.iter().all(own)
        && found.keys().all(|name| !"d p q dp dq qi oth k".split(' ').any(|other| other == name))
        && found.get("use").is_none_or(|value| value == "sig")
        && found.get("alg").is_none_or(|value| value == key.algorithm().name())
        && found.get("key_ops").is_none_or(|value| {
            value.as_array().is_some_and(|list| operations.iter().any(|one| list.contains(one)))
        })
}

/// Checks the payload, as a second implementation.
fn is_good_payload(payload: &str, path: &str, nonce: Option<&str>) -> bool {
    let Some(payload) = __fuzz::strict_object(payload.as_bytes()) else { return false };
    if has_too_many(&payload, "jti htm htu iat ath nonce") {
        return false;
    }
    let text = |name: &str| payload.get(name).and_then(Value::as_str);
    let Some(iat) = payload.get("iat").and_then(Value::as_f64) else { return false };
    let is_fresh = match nonce {
        Some(nonce) => text("nonce") == Some(nonce),
        None => (NOW as f64 - 60.0..=NOW as f64 + 5.0).contains(&iat),
    };
    is_fresh
        && text("htm") == Some("GET")
        && text("ath") == Some(&URL_SAFE_NO_PAD.encode(sha256(TOKEN)))
        && text("jti").is_some_and(|jti| !jti.is_empty() && jti.len() <= 1_024)
        && text("htu").is_some_and(|htu| is_target(htu, path))
}

/// Returns whether more than 64 members are not used.
fn has_too_many(object: &Map<String, Value>, used: &str) -> bool {
    object.keys().filter(|name| used.split(' ').all(|used| used != *name)).count() > 64
}

/// Returns whether `htu` is the URI of a request for this path.
fn is_target(htu: &str, path: &str) -> bool {
    let is_text = |text: &str| text.bytes().all(|b| (b'!'..=b'~').contains(&b) && b != b'\\');
    if htu.len() > 2_048 || !is_text(htu) || !is_text(path) || path.contains(['?', '#']) {
        return false;
    }
    let htu = htu.split(['?', '#']).next().unwrap_or_default();
    let lower = htu.to_ascii_lowercase();
    let Some(rest) = lower.strip_prefix("https://api.example.com") else { return false };
    let mut rest = &htu[htu.len() - rest.len()..];
    for port in [":443", ":"] {
        if let Some(after) = rest.strip_prefix(port)
            && (after.is_empty() || after.starts_with('/'))
        {
            rest = after;
            break;
        }
    }
    let named = if rest.is_empty() { "/" } else { rest };
    let (Some(named), Some(requested)) = (segments(named), segments(path)) else { return false };
    let is_dot = |segment: &String| segment == "." || segment == "..";
    !requested.iter().any(is_dot) && without_dots(named) == requested
}

/// Returns the segments after the first slash, with their escapes in the normal form of RFC 3986 §6.2.2.
fn segments(path: &str) -> Option<Vec<String>> {
    let normal = |segment: &str| {
        let mut pieces = segment.split('%');
        let mut text = pieces.next()?.to_owned();
        for piece in pieces {
            let code = piece.get(..2).filter(|code| code.bytes().all(|b| b.is_ascii_hexdigit()))?;
            let byte = u8::from_str_radix(code, 16).ok()?;
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                text.push(byte.into());
            } else {
                text += &format!("%{}", code.to_uppercase());
            }
            text += &piece[2..];
        }
        Some(text)
    };
    path.strip_prefix('/')?.split('/').map(normal).collect()
}

/// Removes dot segments (RFC 3986 §5.2.4).
fn without_dots(segments: Vec<String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    let last = segments.len() - 1;
    for (index, segment) in segments.into_iter().enumerate() {
        let is_dot = segment == "." || segment == "..";
        if segment == ".." {
            kept.pop();
        }
        if !is_dot {
            kept.push(segment);
        } else if index == last {
            kept.push(String::new());
        }
    }
    kept
}
