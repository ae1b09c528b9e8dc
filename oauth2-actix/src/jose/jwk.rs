//! One verification key. It is read from a JWK, PEM or a certificate, and checked and normalised before a
//! verifier gets it (RFC 7517, RFC 7518 §6, RFC 8037, RFC 9964).

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use base64::{
    Engine, alphabet,
    engine::{
        DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig,
        general_purpose::{STANDARD, URL_SAFE_NO_PAD},
    },
};
use openssl::{
    error::ErrorStack,
    pkey::{PKey, Public},
    rsa::Rsa,
    sha::{sha1, sha256},
    x509::X509,
};
use serde_json::{Map, Value};

use crate::jose::{
    algorithm::{Algorithm, AlgorithmSet},
    algorithm_binding::{AlgorithmBinding, BoundToAnother},
    key_policy::{KeyPolicy, Origin},
    material::Material,
    unusable::Unusable,
    verifier::{Verifier, Verifiers},
};

/// A key that verifies signatures, with one verifier for each algorithm that it may be used with.
#[derive(Debug)]
pub(crate) struct Key {
    /// The key id that tokens name. A key without one matches every key id.
    pub(crate) kid: Option<Arc<str>>,
    /// The hashes of its certificate, in the form of `x5t` and `x5t#S256` (RFC 7517 §4.8 and §4.9).
    thumbprints: Box<[Box<str>]>,
    /// The hash of the key material.
    digest: [u8; 32],
    verifiers: Verifiers,
    /// The algorithm that the key is used with, if it has no `alg` and its type fits several.
    binding: Option<Arc<AlgorithmBinding>>,
}

/// The bindings of keys, by the hash of the key material.
pub(crate) type KeyBindings = HashMap<[u8; 32], Arc<AlgorithmBinding>>;

impl Key {
    /// Returns the verifier for `algorithm`, if this key may be used with it.
    pub(crate) fn verifier(&self, algorithm: Algorithm) -> Option<&Verifier> {
        self.verifiers.get(algorithm)
    }

    /// Returns whether this key may be used with `algorithm`.
    pub(crate) fn fits(&self, algorithm: Algorithm) -> bool {
        self.verifiers.algorithms().any(|candidate| candidate == algorithm)
    }

    /// Returns the key's binding, and the hash that it is known by.
    pub(crate) fn binding(&self) -> Option<([u8; 32], Arc<AlgorithmBinding>)> {
        Some((self.digest, Arc::clone(self.binding.as_ref()?)))
    }

    /// Notes that the key has verified a signature by `algorithm`. Fails if it is bound to another algorithm.
    pub(crate) fn bind(&self, algorithm: Algorithm) -> Result<(), BoundToAnother> {
        self.binding.as_ref().map_or(Ok(()), |binding| binding.bind(algorithm))
    }

    /// Takes the binding of the same key material in `known`, or adds its own.
    pub(crate) fn share_binding(&mut self, known: &mut KeyBindings) {
        if let Some(own) = &mut self.binding {
            let shared = known.entry(self.digest).or_insert_with(|| Arc::clone(own));
            own.clone_from(shared);
        }
    }

    /// Returns whether its certificate has this thumbprint.
    pub(crate) fn has_thumbprint(&self, thumbprint: &str) -> bool {
        self.thumbprints.iter().any(|own| **own == *thumbprint)
    }

    /// Returns the names of the algorithms that this key may be used with.
    pub(crate) fn algorithms(&self) -> impl Iterator<Item = &'static str> {
        self.verifiers.algorithms().map(Algorithm::name)
    }

    /// Returns the identity of the key. Two keys with the same identity verify the same tokens.
    pub(crate) fn identity(&self) -> impl Ord + '_ {
        let algorithms = self.verifiers.algorithms().collect::<AlgorithmSet>();
        (&self.kid, self.digest, algorithms, &self.thumbprints)
    }

    /// Reads a JWK (RFC 7517 §4).
    pub(crate) fn from_jwk(jwk: &Map<String, Value>, policy: KeyPolicy) -> Result<Self, Unusable> {
        let jwk = Jwk(jwk);
        let kid = jwk.text("kid")?;
        if let Some(private) = private_member(jwk.0) {
            return Err(Unusable::new(format!(
                "its member `{private}` makes it a private key: publish the public members only"
            )));
        }
        match jwk.text("use")? {
            None | Some("sig") => {}
            Some("jwt-svid") if policy.spiffe => {}
            Some("x509-svid") if policy.spiffe => {
                return Err(Unusable::expected(
                    "its `use` is `x509-svid`, which is not for tokens",
                ));
            }
            Some("jwt-svid" | "x509-svid") => {
                return Err(Unusable::new(
                    "its `use` is for SPIFFE, and SPIFFE is not enabled for this provider",
                ));
            }
            Some("enc") => return Err(Unusable::expected("its `use` is `enc`, not `sig`")),
            Some(_) => return Err(Unusable::new("its `use` is not `sig`")),
        }
        match jwk.get("key_ops") {
            None => {}
            Some(Value::Array(operations)) if operations.iter().any(|op| op == "verify") => {}
            Some(Value::Array(operations)) if operations.iter().all(is_encryption_operation) => {
                return Err(Unusable::expected("its `key_ops` are for encryption, not `verify`"));
            }
            Some(_) => return Err(Unusable::new("its `key_ops` does not list `verify`")),
        }
        let only = match jwk.text("alg")? {
            None => None,
            Some(alg) if is_encryption_algorithm(alg) => {
                return Err(Unusable::expected("its `alg` is for encryption, not signatures"));
            }
            Some(alg) => Some(
                alg.parse::<Algorithm>()
                    .map_err(|_| Unusable::new("its `alg` is not supported for signatures"))?,
            ),
        };
        let material = match (jwk.required("kty")?, jwk.text("crv")?) {
            ("RSA", _) => Material::rsa(&jwk.public("n")?, &jwk.public("e")?)?,
            ("EC", Some(curve)) => Material::ec(curve, &jwk.public("x")?, &jwk.public("y")?)?,
            ("OKP", Some("X25519" | "X448")) => {
                return Err(Unusable::expected("its curve is for key agreement, not signatures"));
            }
            ("OKP", Some(curve)) => Material::edwards(curve, &jwk.public("x")?)?,
            ("EC" | "OKP", None) => return Err(Unusable::new("it has no `crv`")),
            ("AKP", _) => {
                let only =
                    only.ok_or_else(|| Unusable::new("it has no `alg`, which names its type"))?;
                Material::ml_dsa(only, &jwk.public("pub")?)?
            }
            ("oct", _) if policy.origin == Origin::Inline => Material::Secret(jwk.secret("k")?),
            ("oct", _) => {
                return Err(Unusable::new(
                    "it is a symmetric key, and symmetric keys are used only if they are given inline",
                ));
            }
            _ => return Err(Unusable::new("its `kty` is not RSA, EC, OKP, AKP or oct")),
        };
        Self::build(kid, jwk.thumbprints(), &material, only, policy)
    }

    /// Reads one PEM block: a public key or a certificate.
    pub(crate) fn from_pem(
        pem: &str,
        kid: Option<&str>,
        policy: KeyPolicy,
    ) -> Result<Self, Unusable> {
        let pem = with_real_line_ends(pem);
        let (label, body) = pem_block(&pem).ok_or_else(|| Unusable::new("it is not PEM text"))?;
        // OpenSSL's PEM reader would prompt on the terminal for a pass phrase if a header of the block
        // requires one. Decoding as base64 rejects headers.
        let body: String = body.split_ascii_whitespace().collect();
        let unreadable = || Unusable::new("its PEM text cannot be read");
        let der = STANDARD.decode(&body);
        let read = |parse: fn(&[u8]) -> Result<PKey<Public>, ErrorStack>| {
            let der = der.as_ref().map_err(|_| unreadable())?;
            parse(der).map_err(|_| unreadable())
        };
        let mut thumbprints = Vec::new();
        let pkey = match label {
            "PUBLIC KEY" => read(PKey::public_key_from_der)?,
            "RSA PUBLIC KEY" => {
                read(|der| Rsa::public_key_from_der_pkcs1(der).and_then(PKey::from_rsa))?
            }
            // Only the key is used: neither dates nor chain are checked.
            "CERTIFICATE" => {
                let pkey = read(|der| X509::from_der(der)?.public_key())?;
                thumbprints.extend(der.iter().flat_map(|der| thumbprints_of(der)));
                pkey
            }
            label if label.ends_with("PRIVATE KEY") => {
                return Err(Unusable::new("it is a private key: use the public key"));
            }
            _ => return Err(Unusable::new("it is neither a PUBLIC KEY nor a CERTIFICATE")),
        };
        Self::build(kid, thumbprints, &Material::from_pkey(&pkey)?, None, policy)
    }

    fn build(
        kid: Option<&str>,
        thumbprints: Vec<Box<str>>,
        material: &Material,
        only: Option<Algorithm>,
        policy: KeyPolicy,
    ) -> Result<Self, Unusable> {
        if let Some(kid) = kid.filter(|kid| kid.len() > MAX_KID) {
            return Err(Unusable::new(format!(
                "its `kid` has {} bytes, more than {MAX_KID}",
                kid.len()
            )));
        }
        let kind = material.kind();
        if only.is_some_and(|algorithm| !algorithm.fits(kind)) {
            return Err(Unusable::new("its `alg` does not fit its type"));
        }
        let is_usable = |algorithm: &Algorithm| {
            policy.allowed.fits(*algorithm, kind) && only.is_none_or(|only| only == *algorithm)
        };
        let algorithms = || policy.allowed.iter().filter(is_usable);
        if only.is_some_and(Algorithm::is_ml_dsa) && algorithms().next().is_none() {
            return Err(Unusable::expected(
                "it is a key of ML-DSA, which is used only if the provider's `algorithms` name it",
            ));
        }
        let is_one = |first: Algorithm| algorithms().all(|other| first.is_same_as(other));
        let binds = policy.binds_keys && !algorithms().next().is_none_or(is_one);
        let verifiers = match material {
            Material::Secret(secret) => Verifiers::hmac(algorithms(), secret)?,
            Material::Public { spki, .. } => Verifiers::public(algorithms(), spki, policy.crypto)?,
        };
        Ok(Self {
            kid: kid.map(Arc::from),
            thumbprints: thumbprints.into(),
            digest: material.digest(),
            verifiers,
            binding: binds.then(Arc::default),
        })
    }
}

/// The members of a JWK that are read.
pub(crate) const MEMBERS: [&str; 23] = [
    "kty", "use", "key_ops", "alg", "kid", "x5c", "x5t", "x5t#S256", "n", "e", "crv", "x", "y",
    "pub", "k", "d", "p", "q", "dp", "dq", "qi", "oth", "priv",
];

/// Returns a member of a JWK. `null`, and an empty `oth`, `key_ops` or `x5c`, count as absent, because
/// serialisers write them for members that are not set. An empty string is a value.
pub(crate) fn member<'a>(jwk: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    jwk.get(name).filter(|value| match value {
        Value::Null => false,
        Value::Array(list) => !(list.is_empty() && matches!(name, "oth" | "key_ops" | "x5c")),
        _ => true,
    })
}

/// Returns the name of a private member of a JWK, if it has one (RFC 7518 §6.2.2 and §6.3.2, RFC 8037 §2,
/// RFC 9964 §3).
pub(crate) fn private_member(jwk: &Map<String, Value>) -> Option<&'static str> {
    PRIVATE_MEMBERS.into_iter().find(|name| member(jwk, name).is_some())
}

/// Returns the DER of the first certificate of a JWK's `x5c` (RFC 7517 §4.7), or `None` if it is malformed or
/// has trailing bytes.
pub(crate) fn certificate(jwk: &Map<String, Value>) -> Option<Vec<u8>> {
    let text = member(jwk, "x5c")?.get(0)?.as_str()?;
    let der = LENIENT.decode(&*url_safe(text)).ok()?;
    let certificate = X509::from_der(&der).ok()?;
    (certificate.to_der().ok()? == der).then_some(der)
}

/// The members of a JWK, without those that count as absent.
struct Jwk<'a>(&'a Map<String, Value>);

impl<'a> Jwk<'a> {
    fn get(&self, name: &str) -> Option<&'a Value> {
        member(self.0, name)
    }

    fn text(&self, name: &'static str) -> Result<Option<&'a str>, Unusable> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Unusable::new(format!("its `{name}` is not a string"))),
        }
    }

    fn required(&self, name: &'static str) -> Result<&'a str, Unusable> {
        self.text(name)?.ok_or_else(|| Unusable::new(format!("it has no `{name}`")))
    }

    /// Decodes a public value. The standard alphabet and padding are accepted too, because providers publish
    /// them and rejecting them gains nothing.
    fn public(&self, name: &'static str) -> Result<Vec<u8>, Unusable> {
        LENIENT
            .decode(&*url_safe(self.required(name)?))
            .map_err(|_| Unusable::new(format!("its `{name}` is not base64url")))
    }

    /// Decodes a secret value, which must be strict base64url (RFC 7515 §2).
    fn secret(&self, name: &'static str) -> Result<Vec<u8>, Unusable> {
        URL_SAFE_NO_PAD
            .decode(self.required(name)?)
            .map_err(|_| Unusable::new(format!("its `{name}` is not base64url")))
    }

    /// Returns the thumbprints in the JWK and those of its first certificate (RFC 7517 §4.7 to §4.9). They
    /// only select a key, so malformed thumbprints are skipped.
    fn thumbprints(&self) -> Vec<Box<str>> {
        let named = ["x5t", "x5t#S256"]
            .into_iter()
            .filter_map(|name| self.get(name)?.as_str())
            .filter(|text| text.len() <= MAX_THUMBPRINT)
            .map(|text| url_safe(text).trim_end_matches('=').into());
        let certificate = certificate(self.0);
        let mut thumbprints: Vec<Box<str>> = named.collect();
        for thumbprint in certificate.iter().flat_map(|der| thumbprints_of(der)) {
            if !thumbprints.contains(&thumbprint) {
                thumbprints.push(thumbprint);
            }
        }
        thumbprints
    }
}

/// Returns the SHA-1 and SHA-256 thumbprints of a certificate in DER (RFC 7515 §4.1.7 and §4.1.8).
fn thumbprints_of(der: &[u8]) -> [Box<str>; 2] {
    [URL_SAFE_NO_PAD.encode(sha1(der)).into(), URL_SAFE_NO_PAD.encode(sha256(der)).into()]
}

/// Converts base64 of either alphabet to the alphabet of base64url.
fn url_safe(text: &str) -> Cow<'_, str> {
    if text.contains(['+', '/']) {
        text.replace('+', "-").replace('/', "_").into()
    } else {
        text.into()
    }
}

/// Returns whether a JWK with this `alg` is for encryption (RFC 7518 §4.1).
fn is_encryption_algorithm(alg: &str) -> bool {
    const FAMILIES: [&str; 6] = ["RSA-OAEP", "ECDH-ES", "PBES2-", "A128", "A192", "A256"];
    alg == "RSA1_5" || alg == "dir" || FAMILIES.iter().any(|family| alg.starts_with(family))
}

/// Returns whether a `key_ops` entry is for encryption (RFC 7517 §4.3).
fn is_encryption_operation(operation: &Value) -> bool {
    matches!(
        operation.as_str(),
        Some("encrypt" | "decrypt" | "wrapKey" | "unwrapKey" | "deriveKey" | "deriveBits")
    )
}

/// Returns the label of a PEM block (RFC 7468 §2), and the text between its BEGIN and END lines.
///
/// The reader of `rustls-pki-types` skips blocks with `RSA PUBLIC KEY` and every other label that it does not support,
/// so that no error could name them, and it needs real line ends.
fn pem_block(pem: &str) -> Option<(&str, &str)> {
    let (label, rest) = pem.trim().strip_prefix("-----BEGIN ")?.split_once("-----")?;
    let body = rest.strip_suffix("-----")?.strip_suffix(label)?.strip_suffix("-----END ")?;
    Some((label, body))
}

/// Replaces the two characters `\n` by a line end, since PEM text in environment variables and JSON-like
/// formats often has them. PEM itself has no backslash.
fn with_real_line_ends(pem: &str) -> Cow<'_, str> {
    if pem.contains('\\') {
        pem.replace("\\r", "\n").replace("\\n", "\n").into()
    } else {
        pem.into()
    }
}

/// Base64url with or without padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The private members of RSA, EC, OKP and AKP keys (RFC 7518 §6.2.2 and §6.3.2, RFC 8037 §2, RFC 9964 §3).
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "priv"];

/// The maximum bytes of a key id. No token can name a much longer one.
const MAX_KID: usize = 1024;

/// The maximum characters of a thumbprint. Some providers encode its hexadecimal form.
const MAX_THUMBPRINT: usize = 128;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::jose::key_policy::{Budget, CryptoBackend};

    #[test]
    fn a_fetched_secret_is_rejected_even_if_hmac_is_allowed() {
        let jwk = json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode([7; 32])});
        let jwk = jwk.as_object().expect("an object");
        let allowed = AlgorithmSet::from_iter([Algorithm::HS256]);
        let crypto = CryptoBackend::default();
        let read = |origin| {
            let budget = Budget::Provider;
            let spiffe = false;
            let binds_keys = false;
            Key::from_jwk(jwk, KeyPolicy { allowed, binds_keys, origin, crypto, spiffe, budget })
        };
        assert!(read(Origin::Inline).is_ok());
        assert!(read(Origin::Fetched).is_err());
    }

    fn policy(spiffe: bool) -> KeyPolicy {
        KeyPolicy {
            allowed: AlgorithmSet::by_default(),
            binds_keys: true,
            origin: Origin::Fetched,
            crypto: CryptoBackend::default(),
            spiffe,
            budget: Budget::Provider,
        }
    }

    #[test]
    fn keys_of_a_spiffe_bundle_require_the_spiffe_option() {
        let jwk = |usage: &str| {
            let mut jwk = crate::testing::SigningKey::generate(Algorithm::ES256, "1").public_jwk();
            jwk["use"] = json!(usage);
            jwk.as_object().expect("an object").clone()
        };
        let read = |usage, spiffe| Key::from_jwk(&jwk(usage), policy(spiffe));
        assert!(read("jwt-svid", true).is_ok());
        assert!(read("sig", true).is_ok());
        // Every bundle has keys for X.509 beside its keys for tokens.
        assert!(read("x509-svid", true).unwrap_err().is_expected());
        for usage in ["jwt-svid", "x509-svid"] {
            assert!(!read(usage, false).unwrap_err().is_expected());
        }
        for usage in ["JWT-SVID", "jwt-svid ", "svid", ""] {
            assert!(read(usage, true).is_err(), "{usage}");
        }
    }
}
