//! Forges tokens from arbitrary bytes, malformed ones included.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use oauth2_actix::testing::SigningKey;
use openssl::{
    bn::BigNum,
    ecdsa::EcdsaSig,
    hash::{MessageDigest, hash},
    pkey::{Id, PKey},
    sign::Signer,
};
use serde_json::{Value, json};

/// Encodes base64url without padding.
#[must_use]
pub fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Builds a token of exactly these bytes, with the signature that `sign` makes of its first two parts.
pub fn forge(
    header: impl AsRef<[u8]>,
    payload: impl AsRef<[u8]>,
    sign: impl FnOnce(&[u8]) -> Vec<u8>,
) -> String {
    sealed(&b64(header), &b64(payload), sign)
}

/// Builds a token of two parts that are text already, in base64url or not.
pub fn sealed(header: &str, payload: &str, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let signed = format!("{header}.{payload}");
    let signature = b64(sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// Returns the signing function of a key, for [`forge`] and [`sealed`].
pub fn by(key: &SigningKey) -> impl Fn(&[u8]) -> Vec<u8> + '_ {
    |message| key.sign(message)
}

/// Returns the header of a token of this key.
#[must_use]
pub fn header(key: &SigningKey) -> Value {
    json!({"alg": key.algorithm().name(), "kid": key.kid(), "typ": "at+jwt"})
}

/// Splits a token into its three parts.
#[must_use]
pub fn parts(token: &str) -> [&str; 3] {
    token.splitn(3, '.').collect::<Vec<_>>().try_into().unwrap()
}

/// Computes an HMAC with any secret, an empty one included. `hash` is `HS256`, `HS384` or `HS512`.
#[must_use]
pub fn hmac(hash: &str, secret: &[u8], message: &[u8]) -> Vec<u8> {
    let digest = match hash {
        "HS256" => MessageDigest::sha256(),
        "HS384" => MessageDigest::sha384(),
        _ => MessageDigest::sha512(),
    };
    // HMAC pads a secret with zero bytes, so that this one is equal to the empty secret, which OpenSSL
    // rejects.
    let secret = if secret.is_empty() { &[0] } else { secret };
    let key = PKey::hmac(secret).unwrap();
    Signer::new(digest, &key).unwrap().sign_oneshot_to_vec(message).unwrap()
}

/// Encodes an ECDSA signature of r and s (RFC 7518 §3.4) as DER.
#[must_use]
pub fn der(raw: &[u8]) -> Vec<u8> {
    let (r, s) = raw.split_at(raw.len() / 2);
    let number = |bytes| BigNum::from_slice(bytes).unwrap();
    EcdsaSig::from_private_components(number(r), number(s)).unwrap().to_der().unwrap()
}

/// Sets a trailing bit of base64url that belongs to no byte. Returns `None` if there is none.
#[must_use]
pub fn with_trailing_bits(part: &str) -> Option<String> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    if part.len().is_multiple_of(4) {
        return None;
    }
    let (rest, last) = part.split_at(part.len() - 1);
    let value = ALPHABET.iter().position(|byte| *byte == last.as_bytes()[0])?;
    Some(format!("{rest}{}", char::from(ALPHABET[value | 1])))
}

/// Returns every public text of a key that could be mistaken for a secret, each with its name.
#[must_use]
pub fn public_texts(key: &SigningKey) -> Vec<(&'static str, Vec<u8>)> {
    let pem = key.public_pem();
    let certificate = key.certificate_pem();
    let body = |pem: &str| pem.lines().filter(|line| !line.starts_with('-')).collect::<String>();
    let public = PKey::public_key_from_pem(pem.as_bytes()).unwrap();
    let jwk = key.bare_jwk();
    let mut texts = vec![
        ("PEM", pem.clone()),
        ("PEM without its last line end", pem.trim_end().to_owned()),
        ("PEM with two line ends", format!("{pem}\n")),
        ("PEM with CRLF", pem.replace('\n', "\r\n")),
        ("PEM in one line", pem.replace('\n', "")),
        ("PEM with escaped line ends", pem.replace('\n', "\\n")),
        ("the base64 in a PEM", body(&pem)),
        ("certificate", certificate.clone()),
        ("certificate without its last line end", certificate.trim_end().to_owned()),
        ("the base64 in a certificate", body(&certificate)),
        ("JWK", key.public_jwk().to_string()),
        ("JWK of numbers only", jwk.to_string()),
        ("JWK in many lines", serde_json::to_string_pretty(&key.public_jwk()).unwrap()),
        ("JWK set", key.jwk_set().to_string()),
        ("kid", key.kid().to_owned()),
    ]
    .into_iter()
    .map(|(name, text)| (name, text.into_bytes()))
    .collect::<Vec<_>>();
    texts.push(("DER", public.public_key_to_der().unwrap()));
    texts.push(("DER of a certificate", STANDARD.decode(body(&certificate)).unwrap()));
    for name in ["n", "e", "x", "y"] {
        if let Some(text) = jwk[name].as_str() {
            texts.push(("a number as text", text.as_bytes().to_vec()));
            texts.push(("a number as bytes", URL_SAFE_NO_PAD.decode(text).unwrap()));
        }
    }
    if public.id() == Id::RSA {
        let rsa = public.rsa().unwrap();
        texts.push(("PKCS #1 PEM", rsa.public_key_to_pem_pkcs1().unwrap()));
        texts.push(("PKCS #1 DER", rsa.public_key_to_der_pkcs1().unwrap()));
    }
    if let (Some(x), Some(y)) = (jwk["x"].as_str(), jwk["y"].as_str()) {
        let point =
            [URL_SAFE_NO_PAD.decode(x).unwrap(), URL_SAFE_NO_PAD.decode(y).unwrap()].concat();
        texts.push(("point", [&[4], point.as_slice()].concat()));
        texts.push(("coordinates", point));
    }
    // serde_json sorts members, as RFC 7638 requires.
    let thumbprint = hash(MessageDigest::sha256(), jwk.to_string().as_bytes()).unwrap().to_vec();
    texts.push(("thumbprint as text", b64(&thumbprint).into_bytes()));
    texts.push(("thumbprint", thumbprint));
    texts
}

/// Signs exactly these bytes with raw RSA, so that the caller chooses the padding.
#[must_use]
pub fn raw_rsa(key: &SigningKey, block: &[u8]) -> Vec<u8> {
    use openssl::rsa::{Padding, Rsa};
    let rsa = Rsa::private_key_from_pem(key.private_pem().as_bytes()).unwrap();
    let mut signature = vec![0; rsa.size() as usize];
    let length = rsa.private_encrypt(block, &mut signature, Padding::NONE).unwrap();
    signature.truncate(length);
    signature
}

/// Nests objects or lists to this depth.
#[must_use]
pub fn nested(open: &str, inner: &str, close: &str, depth: usize) -> String {
    format!("{}{inner}{}", open.repeat(depth), close.repeat(depth))
}
