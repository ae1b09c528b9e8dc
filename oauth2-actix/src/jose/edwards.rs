//! The check that bytes are a sound public key of Ed25519 or Ed448 (RFC 8032 §5.1.3, §5.2.3).
//!
//! OpenSSL accepts any bytes of the right length. With a key of small order, any attacker could forge
//! signatures, as with an RSA exponent of 1.

use openssl::{
    bn::{BigNum, BigNumContext},
    error::ErrorStack,
};

#[derive(Clone, Copy, Debug)]
pub(crate) enum Curve {
    Ed25519,
    Ed448,
}

impl Curve {
    /// Returns whether the bytes are the canonical encoding of a point on the curve that has no small order.
    pub(crate) fn is_sound_public_key(self, encoded: &[u8]) -> bool {
        self.check(encoded).unwrap_or(false)
    }

    fn check(self, encoded: &[u8]) -> Result<bool, ErrorStack> {
        let length = match self {
            Self::Ed25519 => 32,
            Self::Ed448 => 57,
        };
        if encoded.len() != length {
            return Ok(false);
        }
        // The encoding is y in little-endian order. Its top bit is the sign of x.
        let mut bytes: Vec<u8> = encoded.iter().rev().copied().collect();
        bytes[0] &= 0x7f;
        let y = BigNum::from_slice(&bytes)?;
        let (p, d) = self.field()?;
        if y >= p {
            return Ok(false);
        }
        let mut context = BigNumContext::new()?;
        let one = BigNum::from_u32(1)?;
        let mut y2 = BigNum::new()?;
        y2.mod_sqr(&y, &p, &mut context)?;
        // -x² + y² = 1 + d x² y² for Ed25519, x² + y² = 1 + d x² y² for Ed448:
        // x² = numerator / denominator, which is a square exactly if their product is a square.
        let mut numerator = BigNum::new()?;
        numerator.mod_sub(&y2, &one, &p, &mut context)?;
        let mut dy2 = BigNum::new()?;
        dy2.mod_mul(&d, &y2, &p, &mut context)?;
        let mut denominator = BigNum::new()?;
        match self {
            Self::Ed25519 => denominator.mod_add(&dy2, &one, &p, &mut context)?,
            Self::Ed448 => denominator.mod_sub(&dy2, &one, &p, &mut context)?,
        }
        let mut product = BigNum::new()?;
        product.mod_mul(&numerator, &denominator, &p, &mut context)?;
        // x = 0 (y = 1 or -1) and y = 0 are points of order 1, 2 and 4.
        if product.num_bits() == 0 || y.num_bits() == 0 {
            return Ok(false);
        }
        let mut half = BigNum::new()?;
        half.checked_sub(&p, &one)?;
        let mut exponent = BigNum::new()?;
        exponent.rshift1(&half)?;
        let mut euler = BigNum::new()?;
        euler.mod_exp(&product, &exponent, &p, &mut context)?;
        if euler != one {
            return Ok(false);
        }
        // The points of order 8 of Ed25519 are those whose double has y = 0. That is the case if y² is a root
        // of d z² + 2 z - 1. Ed448 has no such points.
        if matches!(self, Self::Ed25519) {
            let mut sum = BigNum::new()?;
            sum.mod_mul(&dy2, &y2, &p, &mut context)?;
            let mut twice = BigNum::new()?;
            twice.mod_add(&y2, &y2, &p, &mut context)?;
            let mut left = BigNum::new()?;
            left.mod_add(&sum, &twice, &p, &mut context)?;
            return Ok(left != one);
        }
        Ok(true)
    }

    /// Returns the prime and the constant d of the curve.
    fn field(self) -> Result<(BigNum, BigNum), ErrorStack> {
        match self {
            Self::Ed25519 => Ok((
                BigNum::from_hex_str(
                    "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffed",
                )?,
                BigNum::from_hex_str(
                    "52036cee2b6ffe738cc740797779e89800700a4d4141d8ab75eb4dca135978a3",
                )?,
            )),
            Self::Ed448 => {
                let p = BigNum::from_hex_str(
                    "fffffffffffffffffffffffffffffffffffffffffffffffffffffffe\
                     ffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
                )?;
                let mut d = BigNum::new()?;
                d.checked_sub(&p, &*BigNum::from_u32(39_081)?)?;
                Ok((p, d))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use openssl::pkey::PKey;

    use super::*;

    fn from_hex(text: &str) -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|index| u8::from_str_radix(&text[index..index + 2], 16).expect("hex"))
            .collect()
    }

    #[test]
    fn generated_keys_are_sound() {
        for _ in 0..64 {
            let key = PKey::generate_ed25519().expect("a key").raw_public_key().expect("bytes");
            assert!(Curve::Ed25519.is_sound_public_key(&key));
            let key = PKey::generate_ed448().expect("a key").raw_public_key().expect("bytes");
            assert!(Curve::Ed448.is_sound_public_key(&key));
        }
    }

    #[test]
    fn keys_of_small_order_are_not_sound() {
        // All points of order 1, 2, 4 and 8 on Ed25519, and their non-canonical encodings.
        for key in [
            "0100000000000000000000000000000000000000000000000000000000000000",
            "0100000000000000000000000000000000000000000000000000000000000080",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
            "0000000000000000000000000000000000000000000000000000000000000000",
            "0000000000000000000000000000000000000000000000000000000000000080",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        ] {
            assert!(!Curve::Ed25519.is_sound_public_key(&from_hex(key)), "{key}");
        }
        let zero = [0; 57];
        let mut one = zero;
        one[0] = 1;
        let mut minus_one = [0xff; 57];
        (minus_one[0], minus_one[28], minus_one[56]) = (0xfe, 0xfe, 0);
        for key in [zero, one, minus_one] {
            assert!(!Curve::Ed448.is_sound_public_key(&key), "{key:?}");
        }
    }

    #[test]
    fn bytes_of_another_length_or_off_the_curve_are_not_sound() {
        for curve in [Curve::Ed25519, Curve::Ed448] {
            for length in [0, 31, 33, 56, 58] {
                assert!(!curve.is_sound_public_key(&vec![9; length]));
            }
        }
        // Half of all y have no point, so about half of these are rejected.
        let sound = (2..=200_u8)
            .filter(|y| {
                let mut key = [0; 32];
                key[0] = *y;
                Curve::Ed25519.is_sound_public_key(&key)
            })
            .count();
        assert!((60..140).contains(&sound), "{sound}");
    }
}
