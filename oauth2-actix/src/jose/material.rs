//! Key material: the values of a key, checked and normalised (RFC 7518 §6, RFC 8037, RFC 9964).

use std::fmt;

use openssl::{
    bn::{BigNum, BigNumContext},
    ec::{EcGroup, EcKey, EcPoint},
    error::ErrorStack,
    nid::Nid,
    pkey::{Id, PKey, Public},
    rsa::Rsa,
    sha::sha256,
};

use crate::jose::{
    algorithm::{Algorithm, KeyKind},
    edwards, ml_dsa,
    unusable::Unusable,
};

/// The decoded values of a public JWK.
#[derive(Clone, Copy)]
pub(crate) enum PublicValues<'a> {
    Rsa { n: &'a [u8], e: &'a [u8] },
    Ec { curve: &'a str, x: &'a [u8], y: &'a [u8] },
    Edwards { curve: &'a str, x: &'a [u8] },
}

impl PublicValues<'_> {
    /// Checks the values as those of a provider's key, and returns them as X.509 `SubjectPublicKeyInfo`.
    pub(crate) fn checked_spki(self) -> Result<Vec<u8>, Unusable> {
        let material = match self {
            Self::Rsa { n, e } => Material::rsa(n, e),
            Self::Ec { curve, x, y } => Material::ec(curve, x, y),
            Self::Edwards { curve, x } => Material::edwards(curve, x),
        };
        match material? {
            Material::Public { spki, .. } => Ok(spki),
            Material::Secret(_) => Err(Unusable::new("it is a symmetric key")),
        }
    }
}

/// Key material that passed every check.
pub(crate) enum Material {
    Public { kind: KeyKind, spki: Vec<u8> },
    Secret(Vec<u8>),
}

impl Material {
    pub(crate) fn kind(&self) -> KeyKind {
        match self {
            Self::Public { kind, .. } => *kind,
            Self::Secret(_) => KeyKind::Secret,
        }
    }

    pub(crate) fn digest(&self) -> [u8; 32] {
        match self {
            Self::Public { spki, .. } => sha256(spki),
            Self::Secret(secret) => sha256(secret),
        }
    }

    /// Checks an RSA key (RFC 7518 §6.3.1). A leading zero byte in the modulus is common, and harmless.
    pub(crate) fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<Self, Unusable> {
        let number = |bytes: &[u8]| {
            BigNum::from_slice(bytes)
                .map_err(|_| Unusable::new("its RSA modulus or exponent is too large"))
        };
        let (n, e) = (number(modulus)?, number(exponent)?);
        if !(MIN_RSA_BITS..=MAX_RSA_BITS).contains(&n.num_bits()) {
            return Err(Unusable::new(format!(
                "its RSA modulus has {} bits, not {MIN_RSA_BITS} to {MAX_RSA_BITS}",
                n.num_bits()
            )));
        }
        // With an exponent of 1, anyone can forge a signature. An even exponent cannot work, and a very
        // large one makes each verification slow.
        if !n.is_bit_set(0) || !e.is_bit_set(0) || !(2..=MAX_EXPONENT_BITS).contains(&e.num_bits())
        {
            return Err(Unusable::new("its RSA modulus or exponent is invalid"));
        }
        let key = Rsa::from_public_components(n, e).and_then(PKey::from_rsa);
        Self::public(KeyKind::Rsa, key)
    }

    /// Checks a key of an elliptic curve (RFC 7518 §6.2.1). Coordinates have the curve's full length.
    pub(crate) fn ec(curve: &str, x: &[u8], y: &[u8]) -> Result<Self, Unusable> {
        let (kind, nid, length) = match curve {
            "P-256" => (KeyKind::P256, Nid::X9_62_PRIME256V1, 32),
            "P-384" => (KeyKind::P384, Nid::SECP384R1, 48),
            "P-521" => (KeyKind::P521, Nid::SECP521R1, 66),
            "secp256k1" => (KeyKind::Secp256k1, Nid::SECP256K1, 32),
            _ => return Err(Unusable::new("its curve is not supported for signatures")),
        };
        if x.len() != length || y.len() != length {
            return Err(Unusable::new("its coordinates do not have the length of its curve"));
        }
        let key = EcGroup::from_curve_name(nid).and_then(|group| {
            // An uncompressed point (SEC 1 §2.3.4). Reading it checks that both coordinates are less
            // than the field's prime and that the point is on the curve. These curves have a prime
            // order, so no such point has a small order. OpenSSL's check of a whole key would
            // multiply the point by that order, which proves nothing more and takes a millisecond.
            let point = [&[4], x, y].concat();
            let mut context = BigNumContext::new()?;
            let point = EcPoint::from_bytes(&group, &point, &mut context)?;
            EcKey::from_public_key(&group, &point).and_then(PKey::from_ec_key)
        });
        Self::public(kind, key)
    }

    /// Checks a key of an Edwards curve (RFC 8037 §2).
    pub(crate) fn edwards(curve: &str, x: &[u8]) -> Result<Self, Unusable> {
        // The bytes before the key in X.509 `SubjectPublicKeyInfo` (RFC 8410 §4).
        const ED25519: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";
        const ED448: &[u8] = b"\x30\x43\x30\x05\x06\x03\x2b\x65\x71\x03\x3a\x00";
        let (kind, prefix, curve) = match curve {
            "Ed25519" => (KeyKind::Ed25519, ED25519, edwards::Curve::Ed25519),
            "Ed448" => (KeyKind::Ed448, ED448, edwards::Curve::Ed448),
            _ => return Err(Unusable::new("its curve is not supported for signatures")),
        };
        // OpenSSL accepts any bytes as a public key of these curves.
        if !curve.is_sound_public_key(x) {
            return Err(Unusable::new("its point is not on its curve, or has a small order"));
        }
        Ok(Self::Public { kind, spki: [prefix, x].concat() })
    }

    /// Checks a key of ML-DSA (RFC 9964 §3), whose parameter set is its `alg`.
    pub(crate) fn ml_dsa(algorithm: Algorithm, public: &[u8]) -> Result<Self, Unusable> {
        let set = ml_dsa::ParameterSet::of(algorithm).ok_or_else(|| {
            Unusable::new("its `alg` is not one of ML-DSA-44, ML-DSA-65 and ML-DSA-87")
        })?;
        if public.len() != set.public_length {
            return Err(Unusable::new(format!(
                "its `pub` has {} bytes, not the {} of {algorithm}",
                public.len(),
                set.public_length
            )));
        }
        Ok(Self::Public { kind: set.kind, spki: set.spki(public) })
    }

    /// Checks a key that OpenSSL has read, in the same way as a key from a JWK.
    pub(crate) fn from_pkey(pkey: &PKey<Public>) -> Result<Self, Unusable> {
        let unreadable = |_| Unusable::new("its parameters cannot be read");
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
                    _ => return Err(Unusable::new("its curve is not supported for signatures")),
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
            _ => Err(Unusable::new(
                "its type is neither RSA nor a curve that is supported for signatures",
            )),
        }
    }

    fn public(kind: KeyKind, key: Result<PKey<Public>, ErrorStack>) -> Result<Self, Unusable> {
        key.and_then(|key| key.public_key_to_der())
            .map(|spki| Self::Public { kind, spki })
            .map_err(|_| Unusable::new("its parameters are not a valid key of its type"))
    }
}

impl fmt::Debug for Material {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Material({:?})", self.kind())
    }
}

// RFC 7518 §3.3 requires 2048 bits or more. Beyond 8192, a verification takes milliseconds.
const MIN_RSA_BITS: i32 = 2048;
const MAX_RSA_BITS: i32 = 8192;

/// The maximum bits of an RSA exponent, as in other libraries. 65537 has 17 bits.
const MAX_EXPONENT_BITS: i32 = 33;

#[cfg(test)]
mod tests {
    use super::*;

    /// OpenSSL makes both checks when it reads a point.
    #[test]
    fn points_off_the_curve_and_coordinates_beyond_the_field_are_rejected() {
        let prime = BigNum::from_hex_str(
            "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff",
        )
        .expect("a number");
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("a curve");
        let mut context = BigNumContext::new().expect("a context");
        let (mut x, mut y) = (BigNum::new().expect("x"), BigNum::new().expect("y"));
        // The smallest x with a point: x + p still has 32 bytes.
        let found = (0..100).any(|candidate: u8| {
            let encoded = [[2].as_slice(), &[0; 31], &[candidate]].concat();
            let point = EcPoint::from_bytes(&group, &encoded, &mut context);
            point.is_ok_and(|point| {
                point.affine_coordinates(&group, &mut x, &mut y, &mut context).is_ok()
            })
        });
        assert!(found);
        let bytes = |number: &BigNum| number.to_vec_padded(32).expect("32 bytes");
        assert!(Material::ec("P-256", &bytes(&x), &bytes(&y)).is_ok());
        let mut beyond = BigNum::new().expect("a number");
        beyond.checked_add(&x, &prime).expect("a sum");
        assert!(Material::ec("P-256", &bytes(&beyond), &bytes(&y)).is_err());
        let mut off = bytes(&y);
        off[31] ^= 1;
        assert!(Material::ec("P-256", &bytes(&x), &off).is_err());
        assert!(Material::ec("P-256", &[0; 32], &[0; 32]).is_err());
    }
}
