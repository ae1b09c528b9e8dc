//! ECDSA (FIPS 186-5 §6.4, RFC 7518 §3.4): r and s at the edges, and keys made for them.

use oauth2_actix::Algorithm;
use oauth2_actix_tests::{
    forge::{b64, der},
    keys::key,
};
use openssl::{
    bn::{BigNum, BigNumContext},
    ec::{EcGroup, EcPoint},
    hash::{MessageDigest, hash},
    nid::Nid,
};
use serde_json::{Value, json};

use super::{Both, int::Int, message};

struct Curve {
    algorithm: Algorithm,
    name: &'static str,
    /// Bytes of r, and of s.
    size: usize,
    digest: MessageDigest,
    group: EcGroup,
    /// The order of the group.
    n: Int,
}

impl Curve {
    fn all() -> [Self; 4] {
        use Algorithm as A;
        [
            (A::ES256, "P-256", 32, MessageDigest::sha256(), Nid::X9_62_PRIME256V1),
            (A::ES256K, "secp256k1", 32, MessageDigest::sha256(), Nid::SECP256K1),
            (A::ES384, "P-384", 48, MessageDigest::sha384(), Nid::SECP384R1),
            (A::ES512, "P-521", 66, MessageDigest::sha512(), Nid::SECP521R1),
        ]
        .map(|(algorithm, name, size, digest, nid)| {
            let group = EcGroup::from_curve_name(nid).unwrap();
            let mut n = BigNum::new().unwrap();
            group.order(&mut n, &mut BigNumContext::new().unwrap()).unwrap();
            Self { algorithm, name, size, digest, group, n: Int(n) }
        })
    }

    /// Encodes r and s as in a token. Returns `None` if they are too long.
    fn pair(&self, r: &Int, s: &Int) -> Option<Vec<u8>> {
        Some([r.bytes(self.size)?, s.bytes(self.size)?].concat())
    }

    /// Returns the hash of the message as a number. No hash is longer than the order of its curve.
    fn hash(&self) -> Int {
        Int::of(&hash(self.digest, message(self.algorithm).as_bytes()).unwrap())
    }

    /// Returns the point with this x, or `None`.
    fn point(&self, x: &Int) -> Option<EcPoint> {
        let bytes = [vec![2], x.bytes(self.size)?].concat();
        EcPoint::from_bytes(&self.group, &bytes, &mut BigNumContext::new().unwrap()).ok()
    }

    /// a·G + b·P.
    fn sum(&self, a: &Int, b: &Int, point: &EcPoint) -> EcPoint {
        let mut sum = EcPoint::new(&self.group).unwrap();
        let mut context = BigNumContext::new().unwrap();
        sum.mul_full(&self.group, &a.0, point, &b.0, &mut context).unwrap();
        sum
    }

    fn multiple(&self, factor: &Int) -> EcPoint {
        let mut point = EcPoint::new(&self.group).unwrap();
        let mut context = BigNumContext::new().unwrap();
        point.mul_generator2(&self.group, &factor.0, &mut context).unwrap();
        point
    }

    fn coordinates(&self, point: &EcPoint) -> [Int; 2] {
        let (mut x, mut y) = (BigNum::new().unwrap(), BigNum::new().unwrap());
        let mut context = BigNumContext::new().unwrap();
        point.affine_coordinates(&self.group, &mut x, &mut y, &mut context).unwrap();
        [Int(x), Int(y)]
    }

    fn both(&self, point: &EcPoint) -> Both {
        let [x, y] = self.coordinates(point).map(|number| b64(number.bytes(self.size).unwrap()));
        let jwk: Value = json!({"kty": "EC", "crv": self.name, "x": x, "y": y});
        Both::new(&jwk, self.algorithm)
    }

    /// Returns the key for which x(R) mod n and s are a signature of the message: (s·R - e·G) / r. Its
    /// private half is unknown.
    fn key_for(&self, point: &EcPoint, s: &Int) -> (EcPoint, Int) {
        let r = &self.coordinates(point)[0] % &self.n;
        let inverse = r.inverse(&self.n).unwrap();
        let minus_hash = &(&self.n - &(&self.hash() % &self.n)) * &inverse;
        let key = self.sum(&(&minus_hash % &self.n), &(&(s * &inverse) % &self.n), point);
        (key, r)
    }

    /// Signs the message with a private key and a nonce.
    fn sign(&self, private: &Int, nonce: &Int) -> [Int; 2] {
        let r = &self.coordinates(&self.multiple(nonce))[0] % &self.n;
        let sum = &self.hash() + &(&r * private);
        let s = &(&sum * &nonce.inverse(&self.n).unwrap()) % &self.n;
        [r, s]
    }

    /// Returns the point with the first possible x from this one on.
    fn point_from(&self, x: Int) -> Option<EcPoint> {
        let mut x = x;
        (0..64).find_map(|_| {
            let point = self.point(&x);
            x = &x + &Int::from(1);
            point
        })
    }

    /// Asserts that r and s plus multiples of the order are rejected.
    fn reject_longer(&self, both: &Both, what: &str, r: &Int, s: &Int) {
        let mut sum = self.n.clone();
        let mut count = 0;
        while count < 130 {
            count += 1;
            let longer = [(&sum + r, s.clone()), (r.clone(), &sum + s), (&sum + r, &sum + s)];
            let fitting: Vec<_> = longer.iter().filter_map(|(r, s)| self.pair(r, s)).collect();
            if fitting.is_empty() {
                break;
            }
            for signature in fitting {
                both.reject(&format!("{}: {what} plus {count} n", self.name), &signature);
            }
            sum = &sum + &self.n;
        }
    }
}

#[test]
fn ecdsa_numbers_at_the_edges_are_rejected() {
    for curve in Curve::all() {
        let name = curve.name;
        let key = key(curve.algorithm);
        let both = Both::new(&key.bare_jwk(), curve.algorithm);
        let genuine = key.sign(both.message.as_bytes());
        let (r, s) = genuine.split_at(curve.size);
        let (r, s, n) = (Int::of(r), Int::of(s), &curve.n);
        let negative = n - &s;
        both.accept(name, &genuine);
        // Neither RFC 7518 nor FIPS 186-5 requires the lower of the two.
        both.accept(&format!("{name}: n - s"), &curve.pair(&r, &negative).unwrap());

        let one = Int::from(1);
        let all_ones = Int::of(&vec![0xff; curve.size]);
        let edges = [
            ("0", Int::from(0)),
            ("1", one.clone()),
            ("2", Int::from(2)),
            ("n - 1", n - &one),
            ("n", n.clone()),
            ("n + 1", n + &one),
            ("all ones", all_ones),
            ("1 / 2", Int::from(2).inverse(n).unwrap()),
            ("r", r.clone()),
            ("n - r", n - &r),
            ("s", s.clone()),
            ("n - s", negative),
            ("1 / s", s.inverse(n).unwrap()),
            ("the hash", &curve.hash() % n),
        ];
        for (first, r) in &edges {
            for (second, s) in &edges {
                if *first != "r" || !["s", "n - s"].contains(second) {
                    let what = format!("{name}: {first} and {second}");
                    both.reject(&what, &curve.pair(r, s).unwrap());
                }
            }
        }
        curve.reject_longer(&both, "r and s", &r, &s);
    }
}

#[test]
fn ecdsa_signature_in_another_encoding_is_rejected() {
    for curve in Curve::all() {
        let name = curve.name;
        let key = key(curve.algorithm);
        let both = Both::new(&key.bare_jwk(), curve.algorithm);
        let genuine = key.sign(both.message.as_bytes());
        let (r, s) = genuine.split_at(curve.size);
        let without_zeros = |bytes: &[u8]| Int::of(bytes).0.to_vec();
        let in_der = der(&genuine);
        // DER is longer: cut to the length of a signature, or of the same length with a small s.
        both.reject(&format!("{name}: DER"), &in_der);
        both.reject(&format!("{name}: DER cut"), &in_der[..2 * curve.size]);
        both.reject(&format!("{name}: DER cut in front"), &in_der[in_der.len() - 2 * curve.size..]);
        let short = [r, &vec![0; curve.size]].concat();
        let mut padded = der(&short);
        padded.resize(2 * curve.size, 0);
        both.reject(&format!("{name}: DER of the right length"), &padded);
        for (what, parts) in [
            ("a zero before both", [&[0], r, &[0], s].concat()),
            ("a zero before r", [&[0], r, s].concat()),
            ("a zero before s", [r, &[0], s].concat()),
            ("a zero after both", [r, &[0], s, &[0]].concat()),
            ("no leading bytes", [&r[1..], &s[1..]].concat()),
            ("no leading zeros", [without_zeros(&r[1..]), without_zeros(&s[1..])].concat()),
            ("a compressed point", [&[2], r, s].concat()),
            ("s and r", [s, r].concat()),
            ("little-endian", {
                let [mut r, mut s] = [r.to_vec(), s.to_vec()];
                r.reverse();
                s.reverse();
                [r, s].concat()
            }),
        ] {
            both.reject(&format!("{name}: {what}"), &parts);
        }
        // The lengths of the other curves.
        for other in Curve::all().iter().filter(|other| other.size > curve.size) {
            let longer = other.pair(&Int::of(r), &Int::of(s)).unwrap();
            both.reject(&format!("{name}: as long as {}", other.name), &longer);
        }
    }
}

/// r and s may have any value from 1 to n - 1, and x may be beyond n.
#[test]
fn ecdsa_rare_numbers_are_accepted() {
    for curve in Curve::all() {
        let (n, one) = (&curve.n, Int::from(1));
        let middle = &(&curve.hash() * &Int::from(3)) % n;
        let points = [
            ("small x", curve.point_from(one.clone())),
            ("x around n", curve.point_from(n - &Int::from(32))),
            ("x beyond n", curve.point_from(n + &one)),
            ("any x", Some(curve.multiple(&middle))),
        ];
        for (which, point) in points {
            let point = point.unwrap_or_else(|| panic!("{}: {which}", curve.name));
            for s in [
                one.clone(),
                Int::from(2),
                Int::from(0x80),
                Int::from(0xff00),
                n - &one,
                n - &Int::from(2),
                middle.clone(),
            ] {
                let (key, r) = curve.key_for(&point, &s);
                let both = curve.both(&key);
                let what = format!("{}: {which}, s = {}", curve.name, s.0);
                both.accept(&what, &curve.pair(&r, &s).unwrap());
                both.accept(&what, &curve.pair(&r, &(n - &s)).unwrap());
                let beyond = &curve.coordinates(&point)[0];
                if *beyond != r {
                    both.reject(&what, &curve.pair(beyond, &s).unwrap());
                }
                for (r, s) in [
                    (&r + &one, s.clone()),
                    (r.clone(), &s + &one),
                    (n - &r, s.clone()),
                    (r.clone(), Int::from(0)),
                    (Int::from(0), s.clone()),
                ] {
                    both.reject(&what, &curve.pair(&r, &s).unwrap());
                }
                curve.reject_longer(&both, &what, &r, &s);
            }
        }
    }
}

/// The sum that a verifier computes is the point at infinity, or a doubling.
#[test]
fn ecdsa_sum_at_infinity_is_rejected_and_a_double_is_accepted() {
    for curve in Curve::all() {
        let (n, name) = (&curve.n, curve.name);
        let hash = &curve.hash() % n;
        for factor in [3_u64, 5, 0xffff_ffff_ffff_ffff] {
            let s = &(&hash * &Int::from(factor)) % n;
            let r = &curve.coordinates(&curve.multiple(&Int::from(factor)))[0] % n;
            // u1·G = -u2·Q: the sum is infinity, which has no x (FIPS 186-5 §6.4.2).
            let opposite = &(&(n - &hash) * &r.inverse(n).unwrap()) % n;
            let both = curve.both(&curve.multiple(&opposite));
            for r in [r.clone(), Int::from(0), n.clone()] {
                both.reject(&format!("{name}: infinity"), &curve.pair(&r, &s).unwrap());
            }
            // u1·G = u2·Q: the sum is a double.
            let nonce = &(&hash * &Int::from(2)) * &s.inverse(n).unwrap();
            let r = &curve.coordinates(&curve.multiple(&(&nonce % n)))[0] % n;
            let same = &(&hash * &r.inverse(n).unwrap()) % n;
            let both = curve.both(&curve.multiple(&same));
            both.accept(&format!("{name}: a double"), &curve.pair(&r, &s).unwrap());
        }
    }
}

#[test]
fn ecdsa_private_keys_and_nonces_at_the_edges_are_accepted() {
    for curve in Curve::all() {
        let (n, one) = (&curve.n, Int::from(1));
        let edges = [
            one.clone(),
            Int::from(2),
            Int::from(3),
            n - &one,
            n - &Int::from(2),
            Int::from(2).inverse(n).unwrap(),
            &Int::bit(curve.n.bits() - 1) % n,
        ];
        for private in &edges {
            let both = curve.both(&curve.multiple(private));
            for nonce in &edges {
                let what = format!("{}: d = {}, k = {}", curve.name, private.0, nonce.0);
                let [r, s] = curve.sign(private, nonce);
                assert!(!s.is_zero());
                both.accept(&what, &curve.pair(&r, &s).unwrap());
                both.accept(&what, &curve.pair(&r, &(n - &s)).unwrap());
                both.reject(&what, &curve.pair(&s, &r).unwrap());
            }
        }
    }
}
