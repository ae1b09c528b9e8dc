//! HMAC with a comparison in constant time (RFC 7518 §3.2). josekit's own verifier compares with `!=`.

use std::fmt;

use openssl::{
    hash::MessageDigest,
    memcmp,
    pkey::{PKey, Private},
    sign::Signer,
};

use crate::jose::{algorithm::Algorithm, unusable::Unusable};

pub(crate) struct HmacVerifier {
    algorithm: Algorithm,
    digest: MessageDigest,
    secret: PKey<Private>,
}

impl HmacVerifier {
    /// Rejects a secret that is shorter than the hash.
    pub(crate) fn new(algorithm: Algorithm, secret: &[u8]) -> Result<Self, Unusable> {
        let digest = match algorithm {
            Algorithm::HS256 => MessageDigest::sha256(),
            Algorithm::HS384 => MessageDigest::sha384(),
            Algorithm::HS512 => MessageDigest::sha512(),
            _ => return Err(Unusable::new("a secret can be used with HMAC only")),
        };
        if secret.len() < digest.size() {
            return Err(Unusable::new(format!(
                "its secret has {} bytes, fewer than the {} that {} requires",
                secret.len(),
                digest.size(),
                algorithm.name()
            )));
        }
        let secret = PKey::hmac(secret).map_err(|_| Unusable::new("its secret cannot be used"))?;
        Ok(Self { algorithm, digest, secret })
    }
}

impl HmacVerifier {
    /// Compares in constant time.
    pub(crate) fn accepts(&self, message: &[u8], code: &[u8]) -> bool {
        Signer::new(self.digest, &self.secret)
            .and_then(|mut signer| signer.sign_oneshot_to_vec(message))
            .is_ok_and(|expected| expected.len() == code.len() && memcmp::eq(&expected, code))
    }
}

impl fmt::Debug for HmacVerifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "HmacVerifier({})", self.algorithm.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_or_shortened_code_is_rejected() {
        let verifier = HmacVerifier::new(Algorithm::HS256, &[7; 32]).expect("a key");
        let code = Signer::new(MessageDigest::sha256(), &PKey::hmac(&[7; 32]).expect("a key"))
            .and_then(|mut signer| signer.sign_oneshot_to_vec(b"message"))
            .expect("signs");
        assert!(verifier.accepts(b"message", &code));
        for index in 0..32 {
            let mut wrong = code.clone();
            wrong[index] ^= 1;
            assert!(!verifier.accepts(b"message", &wrong));
        }
        assert!(!verifier.accepts(b"message", &code[..31]));
        assert!(!verifier.accepts(b"message", b""));
        assert!(!verifier.accepts(b"massage", &code));
    }

    #[test]
    fn secrets_shorter_than_the_hash_are_rejected() {
        for (algorithm, length) in
            [(Algorithm::HS256, 32), (Algorithm::HS384, 48), (Algorithm::HS512, 64)]
        {
            assert!(HmacVerifier::new(algorithm, &vec![1; length]).is_ok());
            assert!(HmacVerifier::new(algorithm, &vec![1; length - 1]).is_err());
        }
        assert!(HmacVerifier::new(Algorithm::HS256, b"").is_err());
        assert!(HmacVerifier::new(Algorithm::RS256, &[1; 64]).is_err());
    }
}
