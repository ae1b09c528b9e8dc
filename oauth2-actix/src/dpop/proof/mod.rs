//! The checks of one proof (RFC 9449 §4.3).

use std::{fmt, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{
    client_key::{ClientKey, ClientKeys, sha256},
    members::{Member, read},
    nonce::{NonceCheck, Nonces},
    replay::UsedProof,
    target::Targets,
};
use crate::jose::{
    algorithm::{Algorithm, AlgorithmSet},
    key_policy::CryptoBackend,
    verifier::Verifier,
};

/// Checks proofs. Whether a proof was used before is the question of a store.
#[derive(Debug)]
pub(crate) struct ProofChecker {
    pub(crate) algorithms: AlgorithmSet,
    /// The maximum age of a proof by its `iat`.
    pub(crate) max_age: Duration,
    /// The time by which the clock of a client may be ahead.
    pub(crate) clock_skew: Duration,
    pub(crate) targets: Targets,
    /// If there are some, each proof requires one.
    pub(crate) nonces: Option<Nonces>,
    pub(crate) keys: ClientKeys,
    pub(crate) crypto: CryptoBackend,
}

/// A proof and the request that it came with.
pub(crate) struct Presented<'a> {
    /// The value of the one `DPoP` header.
    pub(crate) proof: &'a [u8],
    pub(crate) method: &'a str,
    /// The path as received, without its query.
    pub(crate) path: &'a str,
    /// Whether the request opens a WebSocket, so that `htu` may have the scheme `wss`.
    pub(crate) is_handshake: bool,
    /// The SHA-256 of the access token as received, which is kept with a cached token.
    pub(crate) token_hash: &'a [u8; 32],
    /// The thumbprint of the key that the token is bound to: its `cnf.jkt`.
    pub(crate) thumbprint: &'a [u8; 32],
    /// The time since the epoch.
    pub(crate) now: Duration,
}

/// A proof that passed every check except that of its first use.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) used: UsedProof,
    /// The nonce for the client's next proof, if the one of this proof is past half of its life.
    pub(crate) fresh_nonce: Option<String>,
}

/// Why a proof is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProofFault {
    /// The text says what is wrong. It contains no text of the proof.
    Invalid(&'static str),
    /// The proof is of another key than the token.
    OtherKey,
    /// The proof has no nonce, or an expired or unknown one. All that can be checked without the signature is right.
    ///
    /// The signature is not checked before this is found: the client has to sign another proof in any case, and a nonce
    /// is no secret, so that it may be given to any client.
    NonceRequired,
}

impl From<&'static str> for ProofFault {
    fn from(problem: &'static str) -> Self {
        Self::Invalid(problem)
    }
}

impl ProofChecker {
    /// Checks a proof, and the signature last, which takes longer than all else.
    pub(crate) fn check(&self, presented: &Presented<'_>) -> Result<Checked, ProofFault> {
        let unverified = self.check_unverified(presented)?;
        if !unverified.verifier.accepts(unverified.signed, &unverified.signature) {
            return Err("the signature is not one of the `jwk`".into());
        }
        if unverified.is_new_key {
            let Unverified { algorithm, verifier, .. } = unverified;
            self.keys.insert(presented.thumbprint, algorithm, verifier);
        }
        Ok(unverified.checked)
    }

    /// Checks all but the signature.
    pub(super) fn check_unverified<'a>(
        &self,
        presented: &Presented<'a>,
    ) -> Result<Unverified<'a>, ProofFault> {
        let parts = Parts::split(presented.proof)?;

        let header = decode(parts.header, "the header is not canonical base64url")?;
        let [typ, alg, jwk, crit, b64] =
            read(&header, &["typ", "alg", "jwk", "crit", "b64"], Some("jwk"), 0)
                .ok_or("the header is not a strict JSON object")?;
        // No extension is supported (RFC 7515 §4.1.11), and a JWT has no unencoded payload (RFC 7797 §7).
        if !crit.is_absent() || !b64.is_absent() {
            return Err("the header has `crit` or `b64`, and no extension is supported".into());
        }
        let algorithm = self.algorithm(&typ, &alg)?;
        let Member::Unread(jwk) = jwk else { return Err("the header has no `jwk`".into()) };
        let key = ClientKey::read(jwk, algorithm)?;
        if !key.is_allowed(algorithm, self.algorithms) {
            return Err("the curve of the `jwk` is not allowed".into());
        }
        // This comes before any work on keys, so that only the owner of a token can cause it.
        if key.thumbprint() != *presented.thumbprint {
            return Err(ProofFault::OtherKey);
        }

        let payload = decode(parts.payload, "the payload is not canonical base64url")?;
        let payload = Payload::read(&payload)?;
        let id = self.identify(&payload, presented)?;
        let issued_at = payload.issued_at()?;
        let signature = decode(parts.signature, "the signature is not canonical base64url")?;
        let Validity { since, until, fresh_nonce } =
            self.validity(&payload, issued_at, presented.now)?;

        let cached = self.keys.get(presented.thumbprint, algorithm);
        let is_new_key = cached.is_none();
        let verifier = match cached {
            Some(verifier) => verifier,
            None => Arc::new(key.verifier(algorithm, self.crypto)?),
        };
        let used = UsedProof {
            id,
            key: *presented.thumbprint,
            since,
            now: presented.now,
            until: until.saturating_add(MARGIN),
        };
        let signed = parts.signed;
        let checked = Checked { used, fresh_nonce };
        Ok(Unverified { algorithm, verifier, is_new_key, signed, signature, checked })
    }

    fn algorithm(&self, typ: &Member<'_>, alg: &Member<'_>) -> Result<Algorithm, &'static str> {
        // RFC 9449 §4.2 gives one value. Other spellings of the same media type (RFC 7515 §4.1.9) are refused, since no
        // client sends them, and a value that is compared exactly cannot be taken for that of another kind of JWT.
        if typ.text() != Some("dpop+jwt") {
            return Err("the header's `typ` is not `dpop+jwt`");
        }
        alg.text()
            .and_then(|alg| alg.parse().ok())
            .filter(|algorithm: &Algorithm| {
                !algorithm.is_symmetric() && self.algorithms.contains(*algorithm)
            })
            .ok_or("the header's `alg` is missing or not allowed")
    }

    /// Checks what binds the proof to the request and the token, and returns the identity of the proof.
    fn identify(
        &self,
        payload: &Payload<'_>,
        presented: &Presented<'_>,
    ) -> Result<[u8; 32], &'static str> {
        let Some(jti) = payload.jti.text().filter(|jti| (1..=MAX_JTI).contains(&jti.len())) else {
            return Err("`jti` is not a string of 1 to 1024 bytes");
        };
        if payload.htm.text() != Some(presented.method) {
            return Err("`htm` is not the method of the request");
        }
        let htu = payload.htu.text().ok_or("`htu` is missing or not a string")?;
        let target = self.targets.matches(htu, presented.path, presented.is_handshake);
        let target = target.ok_or("`htu` is not the URI of the request")?;
        let mut hash = [0; HASH_TEXT];
        let encoded = URL_SAFE_NO_PAD.encode_slice(presented.token_hash, &mut hash);
        if encoded != Ok(HASH_TEXT) || payload.ath.text().map(str::as_bytes) != Some(&hash) {
            return Err("`ath` is not the hash of the access token");
        }
        let mut identity = Vec::with_capacity(IDENTITY);
        for part in
            [presented.thumbprint, presented.method.as_bytes(), target.as_bytes(), jti.as_bytes()]
        {
            identity.extend((part.len() as u64).to_be_bytes());
            identity.extend(part);
        }
        Ok(sha256(&identity))
    }

    /// Returns the times between which the proof is accepted, if now is between them.
    ///
    /// With nonces, these are those of the nonce: it says when the proof was made at the earliest, by our clock (RFC 9449
    /// §4.3, check 11).
    fn validity(
        &self,
        payload: &Payload<'_>,
        issued_at: f64,
        now: Duration,
    ) -> Result<Validity, ProofFault> {
        let Some(nonces) = &self.nonces else {
            if issued_at > now.saturating_add(self.clock_skew).as_secs_f64() {
                return Err("`iat` is in the future".into());
            }
            if issued_at < now.saturating_sub(self.max_age).as_secs_f64() {
                return Err("`iat` is too long ago".into());
            }
            let issued_at = Duration::try_from_secs_f64(issued_at)
                .map_err(|_| "`iat` is not a time since the epoch")?;
            return Ok(Validity {
                since: issued_at.saturating_sub(self.clock_skew),
                until: issued_at.saturating_add(self.max_age),
                fresh_nonce: None,
            });
        };
        if payload.nonce.is_absent() {
            return Err(ProofFault::NonceRequired);
        }
        let nonce = payload.nonce.text().ok_or("`nonce` is not a string")?;
        let (made, fresh_nonce) = match nonces.check(nonce, now) {
            NonceCheck::Fresh { made } => (made, None),
            NonceCheck::Old { made } => (made, Some(nonces.issue(now))),
            NonceCheck::Invalid => return Err(ProofFault::NonceRequired),
        };
        let (since, until) = nonces.validity(made);
        Ok(Validity { since, until, fresh_nonce })
    }
}

/// A proof that passed every check but that of its signature.
pub(super) struct Unverified<'a> {
    algorithm: Algorithm,
    pub(super) verifier: Arc<Verifier>,
    is_new_key: bool,
    pub(super) signed: &'a [u8],
    pub(super) signature: Vec<u8>,
    checked: Checked,
}

/// The claims that are used.
struct Payload<'a> {
    jti: Member<'a>,
    htm: Member<'a>,
    htu: Member<'a>,
    iat: Member<'a>,
    ath: Member<'a>,
    nonce: Member<'a>,
}

impl<'a> Payload<'a> {
    fn read(json: &'a [u8]) -> Result<Self, &'static str> {
        let names = ["jti", "htm", "htu", "iat", "ath", "nonce"];
        let [jti, htm, htu, iat, ath, nonce] =
            read(json, &names, None, 0).ok_or("the payload is not a strict JSON object")?;
        Ok(Self { jti, htm, htu, iat, ath, nonce })
    }

    /// Returns `iat`, a number of seconds that may have a fraction (RFC 7519 §2).
    fn issued_at(&self) -> Result<f64, &'static str> {
        match self.iat {
            Member::Number(seconds) if seconds.is_finite() => Ok(seconds),
            _ => Err("`iat` is missing or not a number"),
        }
    }
}

struct Validity {
    since: Duration,
    until: Duration,
    fresh_nonce: Option<String>,
}

/// The parts of a JWS in compact form (RFC 7515 §7.1).
struct Parts<'a> {
    header: &'a [u8],
    payload: &'a [u8],
    signature: &'a [u8],
    /// Header, dot and payload.
    signed: &'a [u8],
}

impl<'a> Parts<'a> {
    fn split(proof: &'a [u8]) -> Result<Self, &'static str> {
        if proof.len() > MAX_LENGTH {
            return Err("the proof has more than 8192 bytes");
        }
        let mut parts = proof.splitn(4, |byte| *byte == b'.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err("the proof does not have the three parts of a signed JWT");
        };
        if signature.is_empty() {
            return Err("the signature is empty, so that the proof is not signed");
        }
        let signed = &proof[..header.len() + 1 + payload.len()];
        Ok(Self { header, payload, signature, signed })
    }
}

impl fmt::Debug for Presented<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither the proof nor the token may be shown.
        formatter.debug_struct("Presented").field("now", &self.now).finish_non_exhaustive()
    }
}

/// Decodes a part, which must be base64url without padding, white space or set trailing bits (RFC 7515 §2).
fn decode(part: &[u8], problem: &'static str) -> Result<Vec<u8>, &'static str> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| problem)
}

/// The maximum bytes of a proof. One with an RSA key of 4096 bits has about 2,000.
const MAX_LENGTH: usize = 8_192;

/// The maximum bytes of a `jti`. Clients send 16 to 40.
const MAX_JTI: usize = 1_024;

/// The characters of a SHA-256 in base64url.
const HASH_TEXT: usize = 43;

/// The bytes that are hashed for the identity of most proofs.
const IDENTITY: usize = 256;

/// The time for which a store remembers a proof after it was valid, for the rounding of times.
const MARGIN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
