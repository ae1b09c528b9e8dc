//! One verification key: read from a JWK, a PEM or a certificate, checked, normalised, and only
//! then given to a verifier (RFC 7517, RFC 7518 §6, RFC 8037).

use std::{borrow::Cow, fmt};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use openssl::{
    bn::{BigNum, BigNumContext},
    ec::{EcGroup, EcKey},
    error::ErrorStack,
    nid::Nid,
    pkey::{Id, PKey, Public},
    rsa::Rsa,
    sha::sha256,
    x509::X509,
};
use serde_json::{Map, Value};

use crate::{
    algorithm::{Algorithm, AlgorithmSet, KeyKind},
    edwards,
    hmac::HmacVerifier,
    verifier::{CryptoLibrary, Verifier},
};

/// A key that verifies signatures: one verifier for each algorithm that it may be used with.
#[derive(Debug)]
pub(crate) struct Key {
    /// Which tokens name it. None fits any.
    pub(crate) kid: Option<String>,
    /// The hash of what it is made of.
    digest: [u8; 32],
    verifiers: Vec<(Algorithm, Verifier)>,
}

impl Key {
    /// The verifier for `algorithm`, if this key may be used with it.
    pub(crate) fn verifier(&self, algorithm: Algorithm) -> Option<&Verifier> {
        self.verifiers
            .iter()
            .find(|(candidate, _)| *candidate == algorithm)
            .map(|(_, verifier)| verifier)
    }

    /// The names of the algorithms that it may be used with.
    pub(crate) fn algorithms(&self) -> impl Iterator<Item = &'static str> {
        self.verifiers.iter().map(|(algorithm, _)| algorithm.name())
    }

    /// Two keys with the same identity verify the same tokens.
    pub(crate) fn identity(&self) -> impl Ord + '_ {
        let algorithms = self.verifiers.iter().map(|(algorithm, _)| *algorithm);
        (&self.kid, self.digest, algorithms.collect::<AlgorithmSet>())
    }

    /// Reads a JWK (RFC 7517 §4).
    pub(crate) fn from_jwk(jwk: &Map<String, Value>, policy: KeyPolicy) -> Result<Self, Unusable> {
        let kid = optional(jwk, "kid")?.map(str::to_owned);
        for private in ["d", "p", "q", "dp", "dq", "qi", "oth"] {
            if jwk.contains_key(private) {
                return Err(Unusable::new(
                    "it is a private key, which nobody should have published",
                ));
            }
        }
        if optional(jwk, "use")?.is_some_and(|value| value != "sig") {
            return Err(Unusable::new("its `use` is not `sig`"));
        }
        match jwk.get("key_ops") {
            None => {}
            Some(Value::Array(operations)) if operations.iter().any(|op| op == "verify") => {}
            Some(_) => return Err(Unusable::new("its `key_ops` does not list `verify`")),
        }
        let only = match optional(jwk, "alg")? {
            None => None,
            Some(alg) => Some(
                alg.parse::<Algorithm>()
                    .map_err(|_| Unusable::new("its `alg` is not one that verifies signatures"))?,
            ),
        };
        let material = match (required(jwk, "kty")?, optional(jwk, "crv")?) {
            ("RSA", _) => Material::rsa(&bytes(jwk, "n")?, &bytes(jwk, "e")?)?,
            ("EC", Some(curve)) => Material::ec(curve, &bytes(jwk, "x")?, &bytes(jwk, "y")?)?,
            ("OKP", Some(curve)) => Material::edwards(curve, &bytes(jwk, "x")?)?,
            ("EC" | "OKP", None) => return Err(Unusable::new("it has no `crv`")),
            ("oct", _) if policy.origin == Origin::Inline => Material::Secret(bytes(jwk, "k")?),
            ("oct", _) => {
                return Err(Unusable::new("it is a symmetric key that came from a URL"));
            }
            _ => return Err(Unusable::new("its `kty` is not RSA, EC, OKP or oct")),
        };
        Self::build(kid, &material, only, policy)
    }

    /// Reads one PEM block: a public key or a certificate.
    pub(crate) fn from_pem(
        pem: &str,
        kid: Option<String>,
        policy: KeyPolicy,
    ) -> Result<Self, Unusable> {
        let (label, body) = pem_block(pem).ok_or_else(|| Unusable::new("it is no PEM text"))?;
        // OpenSSL's own PEM reader would ask at the terminal for the pass phrase that a header of
        // the block may call for. There is none here, and base64 has no place for one.
        let body: String = body.split_ascii_whitespace().collect();
        let read = |parse: fn(&[u8]) -> Result<PKey<Public>, ErrorStack>| {
            let der = STANDARD.decode(&body).ok();
            der.and_then(|der| parse(&der).ok())
                .ok_or_else(|| Unusable::new("its PEM text cannot be read"))
        };
        let pkey = match label {
            "PUBLIC KEY" => read(PKey::public_key_from_der)?,
            "RSA PUBLIC KEY" => {
                read(|der| Rsa::public_key_from_der_pkcs1(der).and_then(PKey::from_rsa))?
            }
            // The key only: neither dates nor chain are checked.
            "CERTIFICATE" => read(|der| X509::from_der(der)?.public_key())?,
            label if label.ends_with("PRIVATE KEY") => {
                return Err(Unusable::new("it is a private key: give the public one"));
            }
            _ => return Err(Unusable::new("it is neither a PUBLIC KEY nor a CERTIFICATE")),
        };
        Self::build(kid, &Material::from_pkey(&pkey)?, None, policy)
    }

    fn build(
        kid: Option<String>,
        material: &Material,
        only: Option<Algorithm>,
        policy: KeyPolicy,
    ) -> Result<Self, Unusable> {
        let kind = material.kind();
        if only.is_some_and(|algorithm| !algorithm.fits(kind)) {
            return Err(Unusable::new("its `alg` does not fit its type"));
        }
        let mut verifiers = Vec::new();
        let mut problem = Unusable::new("none of the provider's algorithms can use it");
        for algorithm in policy.allowed.iter() {
            if algorithm.fits(kind) && only.is_none_or(|only| only == algorithm) {
                match material.verifier(algorithm, policy.crypto) {
                    Ok(verifier) => verifiers.push((algorithm, verifier)),
                    Err(unusable) => problem = unusable,
                }
            }
        }
        if verifiers.is_empty() {
            return Err(problem);
        }
        Ok(Self { kid, digest: material.digest(), verifiers })
    }
}

/// What a provider's keys may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyPolicy {
    pub(crate) allowed: AlgorithmSet,
    pub(crate) origin: Origin,
    pub(crate) crypto: CryptoLibrary,
}

/// Where a key document came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// From our user's own configuration.
    Inline,
    /// From a URL.
    Fetched,
}

/// Why a key is not used. Holds no key material.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unusable(Cow<'static, str>);

impl Unusable {
    pub(crate) fn new(reason: impl Into<Cow<'static, str>>) -> Self {
        Self(reason.into())
    }
}

/// Key material that passed every check.
enum Material {
    Public { kind: KeyKind, spki: Vec<u8> },
    Secret(Vec<u8>),
}

impl Material {
    fn kind(&self) -> KeyKind {
        match self {
            Self::Public { kind, .. } => *kind,
            Self::Secret(_) => KeyKind::Secret,
        }
    }

    fn digest(&self) -> [u8; 32] {
        match self {
            Self::Public { spki, .. } => sha256(spki),
            Self::Secret(secret) => sha256(secret),
        }
    }

    /// RSA (RFC 7518 §6.3.1). A leading zero byte in the modulus is common, and harmless.
    fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<Self, Unusable> {
        let number = |bytes: &[u8]| {
            BigNum::from_slice(bytes).map_err(|_| Unusable::new("a number of it is too large"))
        };
        let (n, e) = (number(modulus)?, number(exponent)?);
        if !(MIN_RSA_BITS..=MAX_RSA_BITS).contains(&n.num_bits()) {
            return Err(Unusable::new(format!(
                "its RSA modulus has {} bits, not {MIN_RSA_BITS} to {MAX_RSA_BITS}",
                n.num_bits()
            )));
        }
        // An exponent of 1 makes every signature its own forgery, an even one cannot work, and a
        // huge one makes each verification slow.
        if !n.is_bit_set(0) || !e.is_bit_set(0) || !(2..=MAX_EXPONENT_BITS).contains(&e.num_bits())
        {
            return Err(Unusable::new("its RSA modulus or exponent cannot be one"));
        }
        let key = Rsa::from_public_components(n, e).and_then(PKey::from_rsa);
        Self::public(KeyKind::Rsa, key)
    }

    /// Elliptic curves (RFC 7518 §6.2.1). Coordinates have the curve's full length.
    fn ec(curve: &str, x: &[u8], y: &[u8]) -> Result<Self, Unusable> {
        let (kind, nid, length) = match curve {
            "P-256" => (KeyKind::P256, Nid::X9_62_PRIME256V1, 32),
            "P-384" => (KeyKind::P384, Nid::SECP384R1, 48),
            "P-521" => (KeyKind::P521, Nid::SECP521R1, 66),
            "secp256k1" => (KeyKind::Secp256k1, Nid::SECP256K1, 32),
            _ => return Err(Unusable::new("its curve is not one for signatures")),
        };
        if x.len() != length || y.len() != length {
            return Err(Unusable::new("its coordinates do not have the length of its curve"));
        }
        let key = EcGroup::from_curve_name(nid).and_then(|group| {
            let (x, y) = (BigNum::from_slice(x)?, BigNum::from_slice(y)?);
            // This checks that the point is on the curve. The curves have a prime order, so no
            // point but infinity is of small order, and infinity has no coordinates.
            EcKey::from_public_key_affine_coordinates(&group, &x, &y).and_then(PKey::from_ec_key)
        });
        Self::public(kind, key)
    }

    /// Edwards curves (RFC 8037 §2).
    fn edwards(curve: &str, x: &[u8]) -> Result<Self, Unusable> {
        let (kind, id, curve) = match curve {
            "Ed25519" => (KeyKind::Ed25519, Id::ED25519, edwards::Curve::Ed25519),
            "Ed448" => (KeyKind::Ed448, Id::ED448, edwards::Curve::Ed448),
            _ => return Err(Unusable::new("its curve is not one for signatures")),
        };
        // OpenSSL takes any bytes for a public key of these curves.
        if !curve.is_sound_public_key(x) {
            return Err(Unusable::new("its point is not on its curve, or of small order"));
        }
        Self::public(kind, PKey::public_key_from_raw_bytes(x, id))
    }

    /// A key that OpenSSL has read goes through the same checks as one from a JWK.
    fn from_pkey(pkey: &PKey<Public>) -> Result<Self, Unusable> {
        let unreadable = |_| Unusable::new("its parts cannot be read");
        match pkey.id() {
            Id::RSA => {
                let rsa = pkey.rsa().map_err(unreadable)?;
                Self::rsa(&rsa.n().to_vec(), &rsa.e().to_vec())
            }
            Id::EC => {
                let key = pkey.ec_key().map_err(unreadable)?;
                let (curve, length) = match key.group().curve_name() {
                    Some(Nid::X9_62_PRIME256V1) => ("P-256", 32),
                    Some(Nid::SECP384R1) => ("P-384", 48),
                    Some(Nid::SECP521R1) => ("P-521", 66),
                    Some(Nid::SECP256K1) => ("secp256k1", 32),
                    _ => return Err(Unusable::new("its curve is not one for signatures")),
                };
                let coordinates = || {
                    let (mut x, mut y) = (BigNum::new()?, BigNum::new()?);
                    let mut context = BigNumContext::new()?;
                    key.public_key().affine_coordinates(
                        key.group(),
                        &mut x,
                        &mut y,
                        &mut context,
                    )?;
                    Ok((x.to_vec_padded(length)?, y.to_vec_padded(length)?))
                };
                let (x, y) = coordinates().map_err(unreadable)?;
                Self::ec(curve, &x, &y)
            }
            Id::ED25519 => Self::edwards("Ed25519", &pkey.raw_public_key().map_err(unreadable)?),
            Id::ED448 => Self::edwards("Ed448", &pkey.raw_public_key().map_err(unreadable)?),
            _ => Err(Unusable::new("it is neither RSA nor on a curve for signatures")),
        }
    }

    fn public(kind: KeyKind, key: Result<PKey<Public>, ErrorStack>) -> Result<Self, Unusable> {
        key.and_then(|key| key.public_key_to_der())
            .map(|spki| Self::Public { kind, spki })
            .map_err(|_| Unusable::new("its numbers do not make a key of its type"))
    }

    fn verifier(&self, algorithm: Algorithm, library: CryptoLibrary) -> Result<Verifier, Unusable> {
        match self {
            Self::Secret(secret) => HmacVerifier::new(algorithm, secret).map(Verifier::Hmac),
            Self::Public { spki, .. } => Verifier::public(algorithm, spki, library),
        }
    }
}

impl fmt::Debug for Material {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Material({:?})", self.kind())
    }
}

/// The label of a PEM block (RFC 7468 §2), and what stands between its two lines.
fn pem_block(pem: &str) -> Option<(&str, &str)> {
    let (label, rest) = pem.trim().strip_prefix("-----BEGIN ")?.split_once("-----")?;
    let body = rest.strip_suffix("-----")?.strip_suffix(label)?.strip_suffix("-----END ")?;
    Some((label, body))
}

fn required<'a>(jwk: &'a Map<String, Value>, name: &'static str) -> Result<&'a str, Unusable> {
    optional(jwk, name)?.ok_or_else(|| Unusable::new(format!("it has no `{name}`")))
}

fn optional<'a>(
    jwk: &'a Map<String, Value>,
    name: &'static str,
) -> Result<Option<&'a str>, Unusable> {
    match jwk.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Unusable::new(format!("its `{name}` is not a string"))),
    }
}

fn bytes(jwk: &Map<String, Value>, name: &'static str) -> Result<Vec<u8>, Unusable> {
    URL_SAFE_NO_PAD
        .decode(required(jwk, name)?)
        .map_err(|_| Unusable::new(format!("its `{name}` is not base64url")))
}

/// RFC 7518 §3.3 wants 2048 bits or more; beyond 8192 a verification takes milliseconds.
const MIN_RSA_BITS: i32 = 2048;
const MAX_RSA_BITS: i32 = 8192;

/// 65537 has 17 bits. The bound is that of other libraries.
const MAX_EXPONENT_BITS: i32 = 33;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_fetched_secret_is_no_key_even_where_hmac_is_allowed() {
        let jwk = json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode([7; 32])});
        let jwk = jwk.as_object().expect("an object");
        let allowed = AlgorithmSet::from_iter([Algorithm::HS256]);
        let crypto = CryptoLibrary::default();
        let read = |origin| Key::from_jwk(jwk, KeyPolicy { allowed, origin, crypto });
        assert!(read(Origin::Inline).is_ok());
        assert!(read(Origin::Fetched).is_err());
    }
}
