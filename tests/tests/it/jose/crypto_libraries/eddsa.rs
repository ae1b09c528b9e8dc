//! Ed25519 (RFC 8032 §5.1.7, RFC 8037): numbers out of range, other encodings, and points of small order.

use oauth2_actix::Algorithm;
use oauth2_actix_tests::{forge::b64, keys::key};
use openssl::hash::{MessageDigest, hash};
use serde_json::{Value, json};

use super::{Both, int::Int, message, reject_key};

const ALGORITHMS: [Algorithm; 2] = [Algorithm::EdDSA, Algorithm::Ed25519];

/// The curve (RFC 8032 §5.1): its prime, the constant d, the order of the base point.
struct Curve {
    p: Int,
    d: Int,
    order: Int,
    base: Point,
}

#[derive(Clone, Debug, PartialEq)]
struct Point {
    x: Int,
    y: Int,
}

impl Point {
    fn encoded(&self) -> Vec<u8> {
        let mut bytes = self.y.bytes_le(32).unwrap();
        bytes[31] |= if self.x.is_odd() { 0x80 } else { 0 };
        bytes
    }
}

impl Curve {
    fn new() -> Self {
        let p = &Int::bit(255) - &Int::from(19);
        let base = Point {
            x: Int::hex("216936d3cd6e53fec0a4e231fdd6dc5c692cc7609525a7b2c9562d608f25d51a"),
            y: &Int::from(4) * &Int::from(5).inverse(&p).unwrap(),
        };
        Self {
            base: Point { y: &base.y % &p, ..base },
            d: Int::hex("52036cee2b6ffe738cc740797779e89800700a4d4141d8ab75eb4dca135978a3"),
            order: &Int::bit(252) + &Int::hex("14def9dea2f79cd65812631a5cf5d3ed"),
            p,
        }
    }

    fn zero() -> Point {
        Point { x: Int::from(0), y: Int::from(1) }
    }

    /// RFC 8032 §5.1.4, but in affine coordinates.
    fn sum(&self, a: &Point, b: &Point) -> Point {
        let p = &self.p;
        let times = |a: &Int, b: &Int| &(a * b) % p;
        let (xx, yy) = (times(&a.x, &b.x), times(&a.y, &b.y));
        let d = times(&self.d, &times(&xx, &yy));
        let one = Int::from(1);
        let x = &times(&a.x, &b.y) + &times(&b.x, &a.y);
        Point {
            x: times(&x, &(&one + &d).inverse(p).unwrap()),
            y: times(&(&xx + &yy), &(&one - &d).inverse(p).unwrap()),
        }
    }

    fn multiple(&self, factor: &Int, point: &Point) -> Point {
        let mut result = Self::zero();
        for bit in (0..factor.bits()).rev() {
            result = self.sum(&result, &result);
            if factor.0.is_bit_set(i32::try_from(bit).unwrap()) {
                result = self.sum(&result, point);
            }
        }
        result
    }

    /// The points of order 1, 2, 4 and 8: the multiples of one of order 8, with those factors.
    fn torsion(&self) -> Vec<Point> {
        let encoded = Int::hex("05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826");
        let one = Int::from(1);
        let y2 = &(&encoded * &encoded) % &self.p;
        let denominator = (&(&self.d * &y2) + &one).inverse(&self.p).unwrap();
        let x2 = &(&(&y2 - &one) * &denominator) % &self.p;
        // RFC 8032 §5.1.3, where the first candidate is not the root.
        let mut x = x2.power(&(&self.p + &Int::from(3)).divided_by(8), &self.p);
        if &(&x * &x) % &self.p != x2 {
            let root = Int::from(2).power(&(&self.p - &one).divided_by(4), &self.p);
            x = &(&x * &root) % &self.p;
        }
        assert_eq!(&(&x * &x) % &self.p, x2);
        let eighth = Point { x, y: encoded };
        let mut points = vec![Self::zero()];
        for _ in 1..8 {
            points.push(self.sum(points.last().unwrap(), &eighth));
        }
        assert_eq!(self.sum(&points[7], &eighth), Self::zero());
        assert!(!points[1..].contains(&Self::zero()));
        points
    }

    /// k of RFC 8032 §5.1.7, before it is reduced: the hash of R, of the key and of the message.
    fn challenge(&self, r: &[u8], key: &[u8], message: &str) -> Int {
        let bytes = [r, key, message.as_bytes()].concat();
        Int::of_le(&hash(MessageDigest::sha512(), &bytes).unwrap())
    }

    /// Signs with R and S = r + k·a, for a private scalar and any bytes as R.
    fn sign(&self, private: &Int, r: &Int, encoded_r: &[u8], key: &[u8], message: &str) -> Vec<u8> {
        let k = &self.challenge(encoded_r, key, message) % &self.order;
        let s = &(r + &(&k * private)) % &self.order;
        [encoded_r, &s.bytes_le(32).unwrap()].concat()
    }
}

fn jwk(encoded: &[u8]) -> Value {
    json!({"kty": "OKP", "crv": "Ed25519", "x": b64(encoded)})
}

fn private() -> Int {
    Int::hex("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef")
}

#[test]
fn eddsa_s_beyond_the_order_is_rejected() {
    let curve = Curve::new();
    for algorithm in ALGORITHMS {
        let key = key(algorithm);
        let both = Both::new(&key.bare_jwk(), algorithm);
        let genuine = key.sign(both.message.as_bytes());
        both.accept("genuine", &genuine);
        let (r, s) = genuine.split_at(32);
        let s = Int::of_le(s);
        let with = |s: &Int| [r, &s.bytes_le(32).unwrap()].concat();
        let mut sum = s.clone();
        for count in 1..16 {
            sum = &sum + &curve.order;
            if sum.bits() <= 256 {
                both.reject(&format!("S + {count} L"), &with(&sum));
            }
        }
        for bit in 252..256 {
            if !s.0.is_bit_set(bit) {
                let high = &s + &Int::bit(usize::try_from(bit).unwrap());
                both.reject(&format!("S with bit {bit}"), &with(&high));
            }
        }
        let one = Int::from(1);
        for (what, s) in [
            ("0", Int::from(0)),
            ("1", one.clone()),
            ("L - 1", &curve.order - &one),
            ("L", curve.order.clone()),
            ("L + 1", &curve.order + &one),
            ("L - S", &curve.order - &s),
            ("2^252", Int::bit(252)),
            ("2^255 - 1", &Int::bit(255) - &one),
            ("all ones", &Int::bit(256) - &one),
        ] {
            both.reject(what, &with(&s));
            both.reject(what, &[vec![0; 32], s.bytes_le(32).unwrap()].concat());
            both.reject(what, &[Curve::zero().encoded(), s.bytes_le(32).unwrap()].concat());
        }
        both.reject("S in big-endian", &[r, &s.bytes(32).unwrap()].concat());
    }
}

/// R is compared by its bytes, so that only the canonical encoding is accepted.
#[test]
fn eddsa_r_in_another_encoding_is_rejected() {
    let curve = Curve::new();
    let torsion = curve.torsion();
    let (a, zero) = (private(), Int::from(0));
    let public = curve.multiple(&a, &curve.base).encoded();
    let p_plus = |number: u64| (&curve.p + &Int::from(number)).bytes_le(32).unwrap();
    let with_sign = |mut bytes: Vec<u8>| {
        bytes[31] ^= 0x80;
        bytes
    };
    for algorithm in ALGORITHMS {
        let both = Both::new(&jwk(&public), algorithm);
        let sign = |r: &Int, encoded: &[u8]| curve.sign(&a, r, encoded, &public, &both.message);
        for nonce in [1_u64, 2, 3, 0x1234_5678] {
            let nonce = Int::from(nonce);
            let point = curve.multiple(&nonce, &curve.base);
            let encoded = point.encoded();
            both.accept("a nonce of its own", &sign(&nonce, &encoded));
            both.reject("the other sign", &sign(&nonce, &with_sign(encoded.clone())));
            let minus = &curve.order - &nonce;
            both.reject("the nonce's negative", &sign(&minus, &encoded));
            both.accept("both negative", &sign(&minus, &with_sign(encoded)));
            // [S]B = R + [k]A without the factor of 8 (RFC 8032 §5.1.7 leaves the choice).
            for (order, small) in torsion.iter().enumerate().skip(1) {
                let what = format!("R with a part of small order, {order}");
                both.reject(&what, &sign(&nonce, &curve.sum(&point, small).encoded()));
            }
        }
        // R = 0 is a valid point, although an unsafe nonce.
        let identity = Curve::zero().encoded();
        both.accept("identity", &sign(&zero, &identity));
        for (what, encoded) in [
            ("identity, -0", with_sign(identity.clone())),
            ("identity, y = p + 1", p_plus(1)),
            ("identity, y = p + 1, -0", with_sign(p_plus(1))),
            ("y = p", p_plus(0)),
            ("y = p + 18", p_plus(18)),
            ("y = 2^255 - 1, signed", vec![0xff; 32]),
            ("y = 2, of no point", Int::from(2).bytes_le(32).unwrap()),
        ] {
            both.reject(what, &sign(&zero, &encoded));
        }
        for (order, small) in torsion.iter().enumerate().skip(1) {
            both.reject(&format!("R of small order, {order}"), &sign(&zero, &small.encoded()));
            let other = with_sign(small.encoded());
            both.reject(&format!("R of small order, {order}, signed"), &sign(&zero, &other));
        }
    }
}

#[test]
fn eddsa_private_keys_at_the_edges_are_accepted() {
    let curve = Curve::new();
    let one = Int::from(1);
    for a in [
        one.clone(),
        Int::from(2),
        Int::from(8),
        &curve.order - &one,
        Int::bit(251),
        &curve.order - &Int::bit(128),
    ] {
        let public = curve.multiple(&a, &curve.base).encoded();
        for algorithm in ALGORITHMS {
            let both = Both::new(&jwk(&public), algorithm);
            for nonce in [one.clone(), Int::from(8), &curve.order - &one] {
                let r = curve.multiple(&nonce, &curve.base).encoded();
                let what = format!("a = {}, r = {}", a.0, nonce.0);
                let genuine = curve.sign(&a, &nonce, &r, &public, &both.message);
                both.accept(&what, &genuine);
                let (r, s) = genuine.split_at(32);
                both.reject(&what, &[s, r].concat());
                if public != r {
                    both.reject(&what, &[public.as_slice(), s].concat());
                }
            }
        }
    }
}

/// The owner of a key can add a part of small order to it. RFC 8032 permits a verifier to multiply by 8;
/// neither library does.
#[test]
fn eddsa_key_with_a_part_of_small_order_verifies_without_the_cofactor() {
    let curve = Curve::new();
    let torsion = curve.torsion();
    let a = private();
    let main = curve.multiple(&a, &curve.base);
    let mut accepted = 0;
    for part in [1, 2, 4, 6, 7] {
        let public = curve.sum(&main, &torsion[part]).encoded();
        for algorithm in ALGORITHMS {
            let both = Both::new(&jwk(&public), algorithm);
            for nonce in 1..4_u64 {
                let nonce = Int::from(nonce);
                let point = curve.multiple(&nonce, &curve.base);
                for (added, small) in torsion.iter().enumerate() {
                    let r = curve.sum(&point, small).encoded();
                    // R + [k]A has no part of small order left. k is reduced first (RFC 8032 §5.1.7).
                    let k = &curve.challenge(&r, &public, &message(algorithm)) % &curve.order;
                    let rest = (usize::from(k.bytes_le(32).unwrap()[0]) * part + added) % 8;
                    let signature = curve.sign(&a, &nonce, &r, &public, &both.message);
                    let what = format!("{part} and {added}, {rest}");
                    if rest == 0 {
                        accepted += 1;
                        both.accept(&what, &signature);
                    } else {
                        both.reject(&what, &signature);
                    }
                }
            }
        }
    }
    assert!(accepted > 0);
}

/// Both libraries would verify forgeries under such keys, so that the crate rejects the keys.
#[test]
fn eddsa_key_of_small_order_or_in_another_encoding_is_rejected() {
    let curve = Curve::new();
    for algorithm in ALGORITHMS {
        for point in curve.torsion() {
            let mut encoded = point.encoded();
            for _ in 0..2 {
                reject_key(&jwk(&encoded), algorithm);
                encoded[31] ^= 0x80;
            }
        }
        for number in 0..19_u64 {
            let mut encoded = (&curve.p + &Int::from(number)).bytes_le(32).unwrap();
            for _ in 0..2 {
                reject_key(&jwk(&encoded), algorithm);
                encoded[31] ^= 0x80;
            }
        }
        let good = curve.multiple(&private(), &curve.base).encoded();
        Both::new(&jwk(&good), algorithm);
        for wrong in [&good[1..], &[good.as_slice(), &[0]].concat(), &[]] {
            reject_key(&jwk(wrong), algorithm);
        }
    }
}
