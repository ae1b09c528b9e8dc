//! Keys that sign tokens, and their public halves in every form.

use aws_lc_rs::signature::{
    KeyPair, ML_DSA_44_SIGNING, ML_DSA_65_SIGNING, ML_DSA_87_SIGNING, PqdsaKeyPair,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use josekit::jws::{self, JwsSigner};
use openssl::{
    asn1::Asn1Time,
    bn::{BigNum, BigNumContext},
    ec::{EcGroup, EcKey},
    hash::MessageDigest,
    nid::Nid,
    pkey::{Id, PKey, Private},
    rsa::Rsa,
    x509::{X509, X509NameBuilder},
};
use serde_json::{Value, json};

use crate::jose::algorithm::Algorithm;

/// A key that signs tokens for a test.
///
/// ```
/// use oauth2_actix::{Algorithm, testing::SigningKey};
///
/// let key = SigningKey::generate(Algorithm::EdDSA, "key-1");
/// assert_eq!(key.public_jwk()["crv"], "Ed25519");
/// ```
#[derive(Clone, Debug)]
pub struct SigningKey {
    algorithm: Algorithm,
    kid: String,
    material: Material,
}

#[derive(Clone, Debug)]
enum Material {
    Pair { pair: PKey<Private>, signer: Box<dyn JwsSigner> },
    Secret { secret: Vec<u8>, signer: Box<dyn JwsSigner> },
    MlDsa(PqdsaKeyPair),
}

impl SigningKey {
    /// Generates a key for `algorithm`: RSA with 2048 bits, Ed25519 for `EdDSA`, a random secret of 64 bytes
    /// for HMAC. A key of ML-DSA has the form of [RFC 9964 §3](https://www.rfc-editor.org/rfc/rfc9964#section-3):
    ///
    /// ```
    /// use oauth2_actix::{Algorithm, testing::SigningKey};
    ///
    /// let key = SigningKey::generate(Algorithm::MlDsa44, "key-1");
    /// assert_eq!(key.public_jwk()["kty"], "AKP");
    /// assert_eq!(key.sign(b"message").len(), 2420);
    /// ```
    #[must_use]
    pub fn generate(algorithm: Algorithm, kid: &str) -> Self {
        let curve = |nid| {
            EcGroup::from_curve_name(nid)
                .and_then(|group| EcKey::generate(&group))
                .and_then(PKey::from_ec_key)
        };
        let pair = match algorithm {
            Algorithm::ES256 => curve(Nid::X9_62_PRIME256V1),
            Algorithm::ES256K => curve(Nid::SECP256K1),
            Algorithm::ES384 => curve(Nid::SECP384R1),
            Algorithm::ES512 => curve(Nid::SECP521R1),
            Algorithm::EdDSA | Algorithm::Ed25519 => PKey::generate_ed25519(),
            Algorithm::Ed448 => PKey::generate_ed448(),
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => {
                let mut secret = vec![0; 64];
                openssl::rand::rand_bytes(&mut secret).expect("random bytes");
                return Self::from_secret(algorithm, kid, &secret);
            }
            Algorithm::MlDsa44 | Algorithm::MlDsa65 | Algorithm::MlDsa87 => {
                let set = match algorithm {
                    Algorithm::MlDsa44 => &ML_DSA_44_SIGNING,
                    Algorithm::MlDsa65 => &ML_DSA_65_SIGNING,
                    _ => &ML_DSA_87_SIGNING,
                };
                let pair = PqdsaKeyPair::generate(set).expect("a key pair");
                return Self { algorithm, kid: kid.into(), material: Material::MlDsa(pair) };
            }
            _ => Rsa::generate(2048).and_then(PKey::from_rsa),
        };
        Self::from_pair(algorithm, kid, pair.expect("a key pair"))
    }

    /// Creates an HMAC key. The secret must be at least as long as the hash.
    #[must_use]
    pub fn from_secret(algorithm: Algorithm, kid: &str, secret: &[u8]) -> Self {
        let hmac = match algorithm {
            Algorithm::HS384 => jws::HS384,
            Algorithm::HS512 => jws::HS512,
            _ => jws::HS256,
        };
        let signer = Box::new(hmac.signer_from_bytes(secret).expect("a secret"));
        let material = Material::Secret { secret: secret.to_vec(), signer };
        Self { algorithm, kid: kid.into(), material }
    }

    fn from_pair(algorithm: Algorithm, kid: &str, pair: PKey<Private>) -> Self {
        let der = pair.private_key_to_pkcs8().expect("DER");
        fn boxed<S: JwsSigner + 'static>(
            signer: Result<S, josekit::JoseError>,
        ) -> Box<dyn JwsSigner> {
            Box::new(signer.expect("a signer"))
        }
        let signer = match algorithm {
            Algorithm::ES256 => boxed(jws::ES256.signer_from_der(der)),
            Algorithm::ES256K => boxed(jws::ES256K.signer_from_der(der)),
            Algorithm::ES384 => boxed(jws::ES384.signer_from_der(der)),
            Algorithm::ES512 => boxed(jws::ES512.signer_from_der(der)),
            Algorithm::PS256 => boxed(jws::PS256.signer_from_der(der)),
            Algorithm::PS384 => boxed(jws::PS384.signer_from_der(der)),
            Algorithm::PS512 => boxed(jws::PS512.signer_from_der(der)),
            Algorithm::RS384 => boxed(jws::RS384.signer_from_der(der)),
            Algorithm::RS512 => boxed(jws::RS512.signer_from_der(der)),
            Algorithm::EdDSA | Algorithm::Ed25519 | Algorithm::Ed448 => {
                boxed(jws::EdDSA.signer_from_der(der))
            }
            _ => boxed(jws::RS256.signer_from_der(der)),
        };
        Self { algorithm, kid: kid.into(), material: Material::Pair { pair, signer } }
    }

    /// Returns the algorithm that it signs with.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Returns its key id.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Sets another key id for the same key.
    #[must_use]
    pub fn with_kid(mut self, kid: &str) -> Self {
        self.kid = kid.into();
        self
    }

    /// Signs exactly these bytes.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        match &self.material {
            Material::Pair { signer, .. } | Material::Secret { signer, .. } => {
                signer.sign(message).expect("signs")
            }
            Material::MlDsa(pair) => {
                let mut signature = vec![0; pair.algorithm().signature_len()];
                pair.sign(message, &mut signature).expect("signs");
                signature
            }
        }
    }

    /// Returns the JWK with `kid`, `alg` and `use` (RFC 7517): the public half, or the secret of an HMAC key.
    #[must_use]
    pub fn public_jwk(&self) -> Value {
        let mut jwk = self.bare_jwk();
        jwk["kid"] = json!(self.kid);
        jwk["alg"] = json!(self.algorithm.name());
        jwk["use"] = json!("sig");
        jwk
    }

    /// Returns the JWK with only its key parameters. One of them is the `alg` of an ML-DSA key.
    #[must_use]
    pub fn bare_jwk(&self) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let pair = match &self.material {
            Material::Secret { secret, .. } => return json!({"kty": "oct", "k": text(secret)}),
            Material::MlDsa(pair) => {
                let public = text(pair.public_key().as_ref());
                return json!({"kty": "AKP", "alg": self.algorithm.name(), "pub": public});
            }
            Material::Pair { pair, .. } => pair,
        };
        match pair.id() {
            Id::RSA => {
                let rsa = pair.rsa().expect("RSA");
                json!({"kty": "RSA", "n": text(&rsa.n().to_vec()), "e": text(&rsa.e().to_vec())})
            }
            Id::EC => {
                let key = pair.ec_key().expect("EC");
                let (curve, length) = match key.group().curve_name() {
                    Some(Nid::SECP384R1) => ("P-384", 48),
                    Some(Nid::SECP521R1) => ("P-521", 66),
                    Some(Nid::SECP256K1) => ("secp256k1", 32),
                    _ => ("P-256", 32),
                };
                let (mut x, mut y) = (BigNum::new().expect("x"), BigNum::new().expect("y"));
                let mut context = BigNumContext::new().expect("context");
                key.public_key()
                    .affine_coordinates(key.group(), &mut x, &mut y, &mut context)
                    .expect("coordinates");
                let padded = |number: BigNum| text(&number.to_vec_padded(length).expect("bytes"));
                json!({"kty": "EC", "crv": curve, "x": padded(x), "y": padded(y)})
            }
            id => {
                let curve = if id == Id::ED448 { "Ed448" } else { "Ed25519" };
                json!({"kty": "OKP", "crv": curve, "x": text(&pair.raw_public_key().expect("bytes"))})
            }
        }
    }

    /// Returns a JWK set with only this key (RFC 7517 §5).
    #[must_use]
    pub fn jwk_set(&self) -> Value {
        json!({"keys": [self.public_jwk()]})
    }

    /// Returns the public half as PEM. Not for HMAC and ML-DSA keys.
    #[must_use]
    pub fn public_pem(&self) -> String {
        let pem = self.pair().public_key_to_pem().expect("PEM");
        String::from_utf8(pem).expect("text")
    }

    /// Returns the private half as PEM, to test that it is rejected. Not for HMAC and ML-DSA keys.
    #[must_use]
    pub fn private_pem(&self) -> String {
        let pem = self.pair().private_key_to_pem_pkcs8().expect("PEM");
        String::from_utf8(pem).expect("text")
    }

    /// Returns a self-signed certificate of the public half, as PEM. Not for HMAC and ML-DSA keys.
    #[must_use]
    pub fn certificate_pem(&self) -> String {
        let pair = self.pair();
        let certificate = || {
            let mut name = X509NameBuilder::new()?;
            name.append_entry_by_nid(Nid::COMMONNAME, "idp.test")?;
            let name = name.build();
            let mut builder = X509::builder()?;
            builder.set_version(2)?;
            builder.set_subject_name(&name)?;
            builder.set_issuer_name(&name)?;
            builder.set_pubkey(pair)?;
            let (from, to) = (Asn1Time::days_from_now(0)?, Asn1Time::days_from_now(30)?);
            builder.set_not_before(&from)?;
            builder.set_not_after(&to)?;
            let digest = match pair.id() {
                Id::ED25519 | Id::ED448 => MessageDigest::null(),
                _ => MessageDigest::sha256(),
            };
            builder.sign(pair, digest)?;
            builder.build().to_pem()
        };
        String::from_utf8(certificate().expect("a certificate")).expect("text")
    }

    fn pair(&self) -> &PKey<Private> {
        match &self.material {
            Material::Pair { pair, .. } => pair,
            Material::Secret { .. } => panic!("an HMAC key has no public half"),
            Material::MlDsa(_) => panic!("an ML-DSA key has no PEM form here: use its JWK"),
        }
    }
}
