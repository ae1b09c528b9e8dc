//! Checks that bytes are a public key of Ed25519 or Ed448 (RFC 8032 §5.1.3 and §5.2.3) that is safe to use.
//!
//! OpenSSL and AWS-LC accept any bytes of the right length. With a key of small order, as with an RSA exponent of 1,
//! an attacker can forge signatures. There are few such keys, so they are matched against a list of encodings, as in
//! libsodium. Bytes that are no point of the curve verify no signature.

#[derive(Clone, Copy, Debug)]
pub(crate) enum Curve {
    Ed25519,
    Ed448,
}

impl Curve {
    /// Returns whether the bytes encode a y-coordinate canonically, and not that of a point of small order.
    pub(crate) fn is_sound_public_key(self, encoded: &[u8]) -> bool {
        let (prime, small_order) = self.field();
        if encoded.len() != prime.len() {
            return false;
        }
        // Little-endian. The top bit is the sign of x, and the points of small order have both signs.
        let mut y = encoded.to_vec();
        y[prime.len() - 1] &= 0x7f;
        let is_canonical = y.iter().rev().lt(prime.iter().rev());
        is_canonical && !small_order.iter().any(|point| **point == *y)
    }

    /// Returns the prime, and the y-coordinates of the points of small order. All of them are little-endian.
    fn field(self) -> (&'static [u8], &'static [&'static [u8]]) {
        match self {
            Self::Ed25519 => (&P_25519, &SMALL_ORDER_25519),
            Self::Ed448 => (&P_448, &SMALL_ORDER_448),
        }
    }
}

/// 2^255 - 19.
const P_25519: [u8; 32] = with_ends([0xff; 32], 0xed, 0x7f);

/// y of the points of order 1, 2, 4 and 8.
const SMALL_ORDER_25519: [&[u8]; 5] = [
    &with_ends([0; 32], 1, 0),
    &with_ends([0xff; 32], 0xec, 0x7f),
    &[0; 32],
    &[
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ],
    &[
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ],
];

/// 2^448 - 2^224 - 1, with the byte of the sign.
const P_448: [u8; 57] = {
    let mut bytes = with_ends([0xff; 57], 0xff, 0);
    bytes[28] = 0xfe;
    bytes
};

/// y of the points of order 1, 2 and 4.
const SMALL_ORDER_448: [&[u8]; 3] = [
    &with_ends([0; 57], 1, 0),
    &{
        let mut bytes = P_448;
        bytes[0] = 0xfe;
        bytes
    },
    &[0; 57],
];

/// Replaces the first and the last byte.
const fn with_ends<const N: usize>(mut bytes: [u8; N], first: u8, last: u8) -> [u8; N] {
    bytes[0] = first;
    bytes[N - 1] = last;
    bytes
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
    fn bytes_of_another_length_or_of_a_y_beyond_the_prime_are_not_sound() {
        for curve in [Curve::Ed25519, Curve::Ed448] {
            for length in [0, 31, 33, 56, 58] {
                assert!(!curve.is_sound_public_key(&vec![9; length]));
            }
            let (prime, _) = curve.field();
            let mut below = prime.to_vec();
            below[0] -= 9;
            assert!(curve.is_sound_public_key(&below));
            assert!(!curve.is_sound_public_key(prime));
        }
        let mut beyond = P_448;
        beyond[56] = 1;
        assert!(!Curve::Ed448.is_sound_public_key(&beyond));
    }
}
