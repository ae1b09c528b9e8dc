//! RSASSA-PKCS1-v1_5 and RSASSA-PSS (RFC 8017 §8, §9): invalid paddings and numbers, under keys of many sizes
//! and exponents.

use std::sync::LazyLock;

use oauth2_actix::Algorithm;
use oauth2_actix_tests::forge::b64;
use openssl::{
    bn::BigNum,
    hash::{MessageDigest, hash},
};
use serde_json::{Value, json};

use super::{Both, int::Int, reject_key};

/// A private key of several small primes, which are found quickly.
pub(super) struct Key {
    n: Int,
    e: Int,
    primes: Vec<Prime>,
}

struct Prime {
    p: Int,
    /// The private exponent modulo p - 1.
    d: Int,
    /// 1 modulo p, 0 modulo the other primes.
    lift: Int,
}

impl Key {
    pub(super) fn generate(bits: usize, e: u64) -> Self {
        let e = Int::from(e);
        let (mut n, mut primes) = (Int::from(1), Vec::new());
        while bits - n.bits() > 768 {
            let prime = Self::prime(512, &e);
            n = &n * &prime.0;
            primes.push(prime);
        }
        // Not near a power of 2, so that there are numbers of as many bits below it.
        let least = &Int::from(9) * &Int::bit(bits - 4);
        for longer in [0, 1].into_iter().cycle() {
            let last = Self::prime(bits - n.bits() + longer, &e);
            let product = &n * &last.0;
            if product.bits() == bits && product > least {
                n = product;
                primes.push(last);
                break;
            }
        }
        assert_eq!(n.bits(), bits);
        let primes = primes.into_iter().map(|(p, d)| {
            let mut others = BigNum::new().unwrap();
            let mut context = openssl::bn::BigNumContext::new().unwrap();
            others.checked_div(&n.0, &p.0, &mut context).unwrap();
            let others = Int(others);
            let lift = &others * &(&others % &p).inverse(&p).unwrap();
            Prime { p, d, lift }
        });
        Self { primes: primes.collect(), n, e }
    }

    /// Generates a prime, and its private exponent.
    fn prime(bits: usize, e: &Int) -> (Int, Int) {
        loop {
            let mut p = BigNum::new().unwrap();
            p.generate_prime(i32::try_from(bits).unwrap(), false, None, None).unwrap();
            let p = Int(p);
            if let Some(d) = e.inverse(&(&p - &Int::from(1))) {
                return (p, d);
            }
        }
    }

    /// Returns the length of a signature in bytes.
    pub(super) fn size(&self) -> usize {
        self.n.bits().div_ceil(8)
    }

    pub(super) fn jwk(&self) -> Value {
        json!({"kty": "RSA", "n": b64(self.n.0.to_vec()), "e": b64(self.e.0.to_vec())})
    }

    pub(super) fn power(&self, message: &Int) -> Int {
        let parts = self.primes.iter().map(|Prime { p, d, lift }| {
            let part = (message % p).power(d, p);
            &(&part * lift) % &self.n
        });
        &parts.fold(Int::from(0), |sum, part| &sum + &part) % &self.n
    }

    /// Signs this block (RFC 8017 §5.2.1). Returns `None` if the block is not below n.
    pub(super) fn raw(&self, block: &[u8]) -> Option<Vec<u8>> {
        let message = Int::of(block);
        (message < self.n).then(|| self.power(&message).bytes(self.size()).unwrap())
    }

    fn name(&self) -> String {
        format!("{} bits, e = {}", self.n.bits(), self.e.0)
    }
}

/// Keys of the sizes and exponents that the libraries treat differently: the least and the greatest, those
/// that make the PSS block one byte shorter than the modulus, and common ones.
static KEYS: LazyLock<Vec<Key>> = LazyLock::new(|| {
    [
        (2048, 65537),
        (2048, 3),
        (2048, (1 << 32) + 1),
        (2048, (1 << 33) - 1),
        (2049, 65537),
        (2050, 17),
        (2055, 3),
        (3072, 65537),
        (3073, (1 << 32) + 1),
        (4096, 65537),
        (4097, 3),
        (8191, 65537),
        (8192, 65537),
        (8192, (1 << 33) - 1),
    ]
    .map(|(bits, e)| Key::generate(bits, e))
    .into()
});

const PKCS1: [(Algorithm, Hash); 3] =
    [(Algorithm::RS256, SHA256), (Algorithm::RS384, SHA384), (Algorithm::RS512, SHA512)];

const PSS: [(Algorithm, Hash); 3] =
    [(Algorithm::PS256, SHA256), (Algorithm::PS384, SHA384), (Algorithm::PS512, SHA512)];

/// A hash function, and the last bytes of its OID.
#[derive(Clone, Copy)]
pub(super) struct Hash {
    name: &'static str,
    digest: fn() -> MessageDigest,
    oid: &'static [u8],
}

impl Hash {
    pub(super) fn of(self, bytes: &[u8]) -> Vec<u8> {
        hash((self.digest)(), bytes).unwrap().to_vec()
    }

    pub(super) fn size(self) -> usize {
        (self.digest)().size()
    }

    /// Returns the DigestInfo of RFC 8017 §9.2.
    pub(super) fn info(self, message: &[u8]) -> Vec<u8> {
        digest_info(self.oid, NULL, &self.of(message))
    }
}

pub(super) const SHA256: Hash = Hash {
    name: "SHA-256",
    digest: MessageDigest::sha256,
    oid: &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1],
};
pub(super) const SHA384: Hash = Hash {
    name: "SHA-384",
    digest: MessageDigest::sha384,
    oid: &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2],
};
pub(super) const SHA512: Hash = Hash {
    name: "SHA-512",
    digest: MessageDigest::sha512,
    oid: &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3],
};
const OTHERS: [Hash; 6] = [
    Hash {
        name: "MD5",
        digest: MessageDigest::md5,
        oid: &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0xd, 2, 5],
    },
    Hash { name: "SHA-1", digest: MessageDigest::sha1, oid: &[0x2b, 0xe, 3, 2, 0x1a] },
    Hash {
        name: "SHA-224",
        digest: MessageDigest::sha224,
        oid: &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 4],
    },
    Hash {
        name: "SHA3-256",
        digest: MessageDigest::sha3_256,
        oid: &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 8],
    },
    Hash {
        name: "SHA3-384",
        digest: MessageDigest::sha3_384,
        oid: &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 9],
    },
    Hash {
        name: "SHA3-512",
        digest: MessageDigest::sha3_512,
        oid: &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 10],
    },
];

const NULL: &[u8] = &[5, 0];

fn digest_info(oid: &[u8], parameters: &[u8], hash: &[u8]) -> Vec<u8> {
    let algorithm = tagged(0x30, &[&tagged(6, oid), parameters].concat());
    tagged(0x30, &[algorithm, tagged(4, hash)].concat())
}

/// Encodes a DER value of less than 128 bytes.
fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    [&[tag, u8::try_from(content.len()).unwrap()], content].concat()
}

/// 00 01 FF ... 00 and the DigestInfo, of `size` bytes (RFC 8017 §9.2).
pub(super) fn pkcs1(info: &[u8], size: usize) -> Vec<u8> {
    [&[0, 1], vec![0xff; size - info.len() - 3].as_slice(), &[0], info].concat()
}

/// The parameters of EMSA-PSS (RFC 8017 §9.1.1).
#[derive(Clone, Copy)]
pub(super) struct Pss<'a> {
    hash: Hash,
    /// The hash of the mask.
    mask: Hash,
    salt: &'a [u8],
    /// Zero bytes before the hash and the salt.
    zeros: usize,
    /// Before the salt.
    separator: u8,
    trailer: u8,
    /// The position of a padding byte that is not zero.
    spoilt: Option<usize>,
}

impl<'a> Pss<'a> {
    pub(super) fn new(hash: Hash, salt: &'a [u8]) -> Self {
        let (mask, zeros, separator, trailer) = (hash, 8, 1, 0xbc);
        Self { hash, mask, salt, zeros, separator, trailer, spoilt: None }
    }

    /// Returns the block for a modulus of this many bits, or `None` if the salt does not fit.
    pub(super) fn block(self, message: &[u8], modulus_bits: usize) -> Option<Vec<u8>> {
        let bits = modulus_bits - 1;
        let size = bits.div_ceil(8);
        let zeros = vec![0; self.zeros];
        let hash = self.hash.of(&[&zeros, &self.hash.of(message), self.salt].concat());
        let padding = size.checked_sub(hash.len() + self.salt.len() + 2)?;
        let mut block = [&vec![0; padding], [self.separator].as_slice(), self.salt].concat();
        if let Some(position) = self.spoilt {
            block[position % padding] = 1;
        }
        let mut mask = Vec::new();
        for counter in 0_u32.. {
            if mask.len() >= block.len() {
                break;
            }
            mask.extend(self.mask.of(&[hash.as_slice(), &counter.to_be_bytes()].concat()));
        }
        block.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
        block[0] &= 0xff >> (8 * size - bits);
        block.extend(hash);
        block.push(self.trailer);
        Some(block)
    }
}

#[test]
fn pkcs1_signature_with_another_padding_is_rejected() {
    for key in &*KEYS {
        for (algorithm, hash) in PKCS1 {
            let both = Both::new(&key.jwk(), algorithm);
            let block = pkcs1(&hash.info(both.message.as_bytes()), key.size());
            let signature = key.raw(&block).unwrap();
            let what = format!("{algorithm}, {}", key.name());
            both.accept(&what, &signature);
            reject_numbers(&both, key, &what, &signature);
            for (attack, block) in pkcs1_attacks(hash, both.message.as_bytes(), key.size()) {
                assert_eq!(block.len(), key.size(), "{attack}");
                if let Some(signature) = key.raw(&block) {
                    both.reject(&format!("{what}: {attack}"), &signature);
                }
            }
        }
    }
}

#[test]
fn pss_signature_with_other_parameters_is_rejected() {
    for key in &*KEYS {
        for (algorithm, hash) in PSS {
            let both = Both::new(&key.jwk(), algorithm);
            let message = both.message.as_bytes();
            let what = format!("{algorithm}, {}", key.name());
            let of = |pss: Pss<'_>| key.raw(&pss.block(message, key.n.bits()).unwrap()).unwrap();
            for fill in [0, 0x55, 0xff] {
                let salt = vec![fill; hash.size()];
                both.accept(&what, &of(Pss::new(hash, &salt)));
            }
            let salt: Vec<u8> = (0..=255).cycle().take(1024).collect();
            let good = Pss::new(hash, &salt[..hash.size()]);
            reject_numbers(&both, key, &what, &of(good));
            let longest = (key.n.bits() - 1).div_ceil(8) - hash.size() - 2;
            for length in [0, 1, 20, hash.size() - 1, hash.size() + 1, 28, 32, 48, 64, longest] {
                if length != hash.size() {
                    let signature = of(Pss { salt: &salt[..length], ..good });
                    both.reject(&format!("{what}: salt of {length} bytes"), &signature);
                }
            }
            for other in [SHA256, SHA384, SHA512].into_iter().chain(OTHERS) {
                if other.name != hash.name {
                    let name = other.name;
                    for (attack, pss) in [
                        ("mask", Pss { mask: other, ..good }),
                        ("hash", Pss { hash: other, ..good }),
                        ("hash and mask", Pss { hash: other, mask: other, ..good }),
                        ("all", Pss::new(other, &salt[..other.size()])),
                    ] {
                        both.reject(&format!("{what}: {attack} by {name}"), &of(pss));
                    }
                }
            }
            let padding = longest - hash.size();
            for (attack, pss) in [
                ("trailer CC", Pss { trailer: 0xcc, ..good }),
                ("trailer 00", Pss { trailer: 0, ..good }),
                ("separator 00", Pss { separator: 0, ..good }),
                ("separator 02", Pss { separator: 2, ..good }),
                ("separator 81", Pss { separator: 0x81, ..good }),
                ("first padding byte", Pss { spoilt: Some(0), ..good }),
                ("middle padding byte", Pss { spoilt: Some(padding / 2), ..good }),
                ("last padding byte", Pss { spoilt: Some(padding - 1), ..good }),
                ("seven zeros", Pss { zeros: 7, ..good }),
                ("no zeros", Pss { zeros: 0, ..good }),
            ] {
                both.reject(&format!("{what}: {attack}"), &of(pss));
            }
            // The bits beyond those of the block, where the number with them is still below n.
            let mut seen = false;
            for fill in 0..=255 {
                let salt = vec![fill; hash.size()];
                let block = Pss::new(hash, &salt).block(message, key.n.bits()).unwrap();
                let top = &Int::of(&block) + &Int::bit(key.n.bits() - 1);
                if top < key.n {
                    both.reject(
                        &format!("{what}: top bit set"),
                        &key.power(&top).bytes(key.size()).unwrap(),
                    );
                    seen = true;
                    break;
                }
            }
            assert!(seen, "{what}");
            // Of a message and of its hash.
            let hashed = good.block(&hash.of(message), key.n.bits()).unwrap();
            both.reject(&format!("{what}: hashed twice"), &key.raw(&hashed).unwrap());
        }
    }
}

#[test]
fn signature_with_the_padding_of_another_algorithm_is_rejected() {
    for key in &KEYS[..6] {
        for ((pkcs1_algorithm, hash), (pss_algorithm, _)) in PKCS1.into_iter().zip(PSS) {
            let both = Both::new(&key.jwk(), pss_algorithm);
            let block = pkcs1(&hash.info(both.message.as_bytes()), key.size());
            both.reject("PKCS #1 for PSS", &key.raw(&block).unwrap());
            let both = Both::new(&key.jwk(), pkcs1_algorithm);
            let salt = vec![7; hash.size()];
            let block = Pss::new(hash, &salt).block(both.message.as_bytes(), key.n.bits()).unwrap();
            both.reject("PSS for PKCS #1", &key.raw(&block).unwrap());
        }
    }
}

#[test]
fn rsa_key_beyond_the_bounds_is_rejected() {
    let bytes = |number: &Int, zeros: usize| b64([vec![0; zeros], number.0.to_vec()].concat());
    for (algorithm, hash) in PKCS1.into_iter().chain(PSS) {
        let is_pss = PSS.iter().any(|(pss, _)| *pss == algorithm);
        let sign = |key: &Key, both: &Both| {
            let message = both.message.as_bytes();
            let salt = vec![7; hash.size()];
            let block = if is_pss {
                Pss::new(hash, &salt).block(message, key.n.bits()).unwrap()
            } else {
                pkcs1(&hash.info(message), key.size())
            };
            key.raw(&block).unwrap()
        };
        let key = &KEYS[0];
        for zeros in 0..4 {
            for zeros_of_e in [0, 1, 5] {
                let jwk = json!({
                    "kty": "RSA", "n": bytes(&key.n, zeros), "e": bytes(&key.e, zeros_of_e),
                });
                let both = Both::new(&jwk, algorithm);
                let signature = sign(key, &both);
                both.accept(&format!("{zeros} zeros before n, {zeros_of_e} before e"), &signature);
                // The length of a signature is that of the modulus without leading zeros.
                both.reject("a zero in front", &[&[0], signature.as_slice()].concat());
            }
        }
        for e in [0, 1, 2, 65536, (1 << 33) + 1, (1 << 34) + 1, u64::MAX] {
            let jwk = json!({"kty": "RSA", "n": bytes(&key.n, 0), "e": bytes(&Int::from(e), 0)});
            reject_key(&jwk, algorithm);
        }
        for n in [
            Int::from(0),
            &key.n - &Int::from(1),
            &Int::bit(2047) - &Int::from(1),
            &Int::bit(8192) + &Int::from(1),
            &Int::bit(16384) + &Int::from(1),
        ] {
            let jwk = json!({"kty": "RSA", "n": bytes(&n, 0), "e": "AQAB"});
            reject_key(&jwk, algorithm);
        }
        // Another key of the same size.
        let both = Both::new(&KEYS[1].jwk(), algorithm);
        both.reject("another key", &sign(key, &both));
    }
}

/// A signature is a number below the modulus, of the modulus's length (RFC 8017 §8.1.2, §8.2.2, step 1 and
/// 2).
#[track_caller]
fn reject_numbers(both: &Both, key: &Key, what: &str, signature: &[u8]) {
    let (n, size, one) = (&key.n, key.size(), Int::from(1));
    let s = Int::of(signature);
    for (number, value) in [
        ("0", Int::from(0)),
        ("1", one.clone()),
        ("2", Int::from(2)),
        ("n - 1", n - &one),
        ("n", n.clone()),
        ("n + 1", n + &one),
        ("n - s", n - &s),
        ("all ones", &Int::bit(8 * size) - &one),
        ("the power", key.power(&s)),
    ] {
        if let Some(bytes) = value.bytes(size) {
            both.reject(&format!("{what}: {number}"), &bytes);
        }
    }
    let mut sum = &s + n;
    for count in 1..4 {
        for size in [size, size + 1] {
            if let Some(bytes) = sum.bytes(size) {
                both.reject(&format!("{what}: s + {count} n in {size} bytes"), &bytes);
            }
        }
        sum = &sum + n;
    }
    for zeros in [1, 2, 8] {
        both.reject(what, &[vec![0; zeros], signature.to_vec()].concat());
    }
    let minimal = s.0.to_vec();
    if minimal.len() < size {
        both.reject(&format!("{what}: without leading zeros"), &minimal);
    }
}

/// Returns PKCS #1 blocks that a verifier must reject, each with its name.
fn pkcs1_attacks(hash: Hash, message: &[u8], size: usize) -> Vec<(String, Vec<u8>)> {
    let digest = hash.of(message);
    let info = hash.info(message);
    let mut attacks: Vec<(String, Vec<u8>)> = Vec::new();
    let mut add = |name: &str, block: Vec<u8>| attacks.push((name.to_owned(), block));

    // Changes of the DigestInfo.
    for other in [SHA256, SHA384, SHA512].into_iter().chain(OTHERS) {
        if other.name != hash.name {
            add(&format!("DigestInfo of {}", other.name), pkcs1(&other.info(message), size));
            let mixed = digest_info(other.oid, NULL, &digest);
            add(&format!("DigestInfo of {} with the right hash", other.name), pkcs1(&mixed, size));
        }
    }
    let long_form = {
        let mut long = info.clone();
        long.insert(1, 0x81);
        long
    };
    let indefinite = [&[0x30, 0x80], &info[2..], &[0, 0]].concat();
    let null_long = digest_info(hash.oid, &[5, 0x81, 0], &digest);
    let inner = tagged(0x30, &[&tagged(6, hash.oid), NULL].concat());
    let constructed = tagged(0x30, &[inner.clone(), tagged(0x24, &tagged(4, &digest))].concat());
    let unused = tagged(0x30, &[inner.clone(), tagged(4, &digest), NULL.to_vec()].concat());
    let without_octets = tagged(0x30, &[inner, digest.clone()].concat());
    for (name, inside) in [
        ("no NULL", digest_info(hash.oid, &[], &digest)),
        ("two NULLs", digest_info(hash.oid, &[5, 0, 5, 0], &digest)),
        ("OCTET STRING for NULL", digest_info(hash.oid, &[4, 0], &digest)),
        (
            "garbage in the parameters",
            digest_info(hash.oid, &[4, 8, 1, 2, 3, 4, 5, 6, 7, 8], &digest),
        ),
        ("long form of a length", long_form),
        ("long form of the NULL's length", null_long),
        ("indefinite length", indefinite),
        ("constructed OCTET STRING", constructed),
        ("garbage within the DigestInfo", unused),
        ("no OCTET STRING", without_octets),
        ("garbage after the DigestInfo", [info.as_slice(), &[0]].concat()),
        ("much garbage after the DigestInfo", [info.clone(), vec![0x55; 64]].concat()),
        ("bare hash", digest.clone()),
        ("hash as OCTET STRING", tagged(4, &digest)),
        ("hash one byte short", digest_info(hash.oid, NULL, &digest[1..])),
        ("hash one byte long", digest_info(hash.oid, NULL, &[digest.as_slice(), &[0]].concat())),
        ("hash of the hash", digest_info(hash.oid, NULL, &hash.of(&digest))),
        ("nothing", vec![]),
        ("DigestInfo twice", [info.as_slice(), &info].concat()),
    ] {
        add(name, pkcs1(&inside, size));
    }

    // Changes of the padding.
    let good = pkcs1(&info, size);
    let padding = size - info.len() - 3;
    for (name, position, byte) in [
        ("block type 00", 1, 0),
        ("block type 02", 1, 2),
        ("block type FF", 1, 0xff),
        ("first byte 01", 0, 1),
        ("first padding byte FE", 2, 0xfe),
        ("first padding byte 00", 2, 0),
        ("middle padding byte 7F", 2 + padding / 2, 0x7f),
        ("middle padding byte 00", 2 + padding / 2, 0),
        ("last padding byte 00", 1 + padding, 0),
        ("last padding byte FE", 1 + padding, 0xfe),
        ("no separator", 2 + padding, 0xff),
        ("separator 01", 2 + padding, 1),
    ] {
        let mut block = good.clone();
        block[position] = byte;
        add(name, block);
    }
    let zeros = |count: usize| vec![0; count];
    let ones = |count: usize| vec![0xff; count];
    for (name, parts) in [
        ("zero padding of block type 00", [zeros(size - info.len()), info.clone(), vec![], vec![]]),
        ("no padding", [vec![0, 1, 0], info.clone(), zeros(padding), vec![]]),
        ("one padding byte", [vec![0, 1, 0xff, 0], info.clone(), ones(padding - 1), vec![]]),
        (
            "seven padding bytes",
            [[vec![0, 1], ones(7), vec![0]].concat(), info.clone(), zeros(padding - 7), vec![]],
        ),
        // Bleichenbacher's forgery of 2006.
        (
            "eight padding bytes",
            [[vec![0, 1], ones(8), vec![0]].concat(), info.clone(), zeros(padding - 8), vec![]],
        ),
        (
            "one byte further left",
            [vec![1], ones(padding), zeros(1), [info.clone(), zeros(1)].concat()],
        ),
        ("one byte further right", [vec![0, 0, 1], ones(padding - 1), zeros(1), info.clone()]),
        ("two separators", [vec![0, 1], ones(padding - 1), zeros(2), info.clone()]),
        ("all ones", [vec![0], ones(size - 1), vec![], vec![]]),
    ] {
        let block = parts.concat();
        assert!(block.len() >= size, "{name}");
        add(name, block[..size].to_vec());
    }
    // Each bit of the DigestInfo, each byte of the padding.
    for bit in 0..info.len() * 8 {
        let mut block = good.clone();
        block[size - info.len() + bit / 8] ^= 1 << (bit % 8);
        if size == 256 {
            add(&format!("bit {bit} of the DigestInfo"), block);
        }
    }
    for position in 0..size - info.len() {
        let mut block = good.clone();
        block[position] ^= 1 << (position % 8);
        if size == 256 {
            add(&format!("byte {position} of the padding"), block);
        }
    }
    attacks
}
