//! Internal functions for the fuzz targets. Compiled with `--cfg fuzzing` only.

use std::time::Duration;

use actix_web::http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use serde_json::{Map, Value};

use crate::{
    dpop::{
        client_key::{ClientKey, ClientKeys},
        nonce::Nonces,
        proof::{Checked, Presented, ProofChecker},
        target::Targets,
    },
    error::challenge::{Challenge, Scheme},
    jose::{
        algorithm::{Algorithm, AlgorithmSet},
        jwk::Key,
        jws::UnverifiedJws,
        key_document::KeyDocument,
        key_policy::{Budget, CryptoBackend, KeyPolicy, Origin},
        key_set::SignatureCheck,
    },
    json,
    keys::discovery::Issuer,
    mcp,
    request::bearer::Credentials,
    status::KeyInfo,
};

/// Returns the token of these `Authorization` headers.
#[must_use]
pub fn bearer(values: &[&[u8]]) -> Option<String> {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(AUTHORIZATION, HeaderValue::from_bytes(value).ok()?);
    }
    Credentials::from_headers(&headers, 16 * 1024, false)
        .and_then(|(credentials, _)| Ok(credentials.token()?.as_str().to_owned()))
        .ok()
}

/// Returns `kid`, claims, signature and the length of the signed part.
#[must_use]
pub fn jws(token: &str) -> Option<(Option<String>, Map<String, Value>, Vec<u8>, usize)> {
    let jws = UnverifiedJws::parse(token).ok()?;
    Some((jws.header.kid, jws.claims.to_map(), jws.signature, jws.signed_len))
}

/// Parses one strict JSON object.
#[must_use]
pub fn strict_object(document: &[u8]) -> Option<Map<String, Value>> {
    json::parse_object(document).ok()
}

/// Returns the usable keys of a document, after each was tried on a token with this header.
#[must_use]
pub fn key_document(document: &[u8], inline: bool, token: &str) -> Option<Vec<KeyInfo>> {
    let (allowed, origin) = if inline {
        let hmac = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
        (AlgorithmSet::by_default().iter().chain(hmac).collect(), Origin::Inline)
    } else {
        (AlgorithmSet::by_default(), Origin::Fetched)
    };
    let [document, other] = [CryptoBackend::AwsLc, CryptoBackend::OpenSsl].map(|crypto| {
        let (budget, binds_keys) = (Budget::Provider, inline);
        let policy = KeyPolicy { allowed, binds_keys, origin, crypto, spiffe: false, budget };
        KeyDocument::parse(document, policy).ok()
    });
    assert_eq!(document.is_some(), other.is_some(), "accepted by one library only");
    let (document, other) = (document?, other?);
    assert!(document.keys.is_same_as(&other.keys), "{document:?} and {other:?}");
    assert_eq!(document.skipped, other.skipped);
    if let Ok(jws) = UnverifiedJws::parse(token) {
        let signed = &token.as_bytes()[..jws.signed_len];
        let result = document.keys.verify(&jws.header, signed, &jws.signature);
        assert!(
            inline || !matches!(result, SignatureCheck::Verified(_)),
            "a forged signature was accepted"
        );
    }
    Some(KeyInfo::of(&document.keys))
}

/// One key with one algorithm, in both libraries.
#[derive(Debug)]
pub struct BothLibraries {
    algorithm: Algorithm,
    aws_lc: Key,
    openssl: Key,
}

impl BothLibraries {
    /// Returns None if neither library accepts the key.
    #[must_use]
    pub fn new(jwk: &Map<String, Value>, algorithm: Algorithm) -> Option<Self> {
        let allowed = AlgorithmSet::from_iter([algorithm]);
        let origin = Origin::Inline;
        let [aws_lc, openssl] = [CryptoBackend::AwsLc, CryptoBackend::OpenSsl].map(|crypto| {
            let (budget, binds_keys) = (Budget::Provider, false);
            let policy = KeyPolicy { allowed, binds_keys, origin, crypto, spiffe: false, budget };
            Key::from_jwk(jwk, policy).ok()
        });
        assert_eq!(aws_lc.is_some(), openssl.is_some(), "accepted by one library only");
        Some(Self { algorithm, aws_lc: aws_lc?, openssl: openssl? })
    }

    /// Returns whether AWS-LC accepts the signature of this message, and whether OpenSSL does.
    #[must_use]
    pub fn results(&self, message: &[u8], signature: &[u8]) -> (bool, bool) {
        let accepts = |key: &Key| {
            let verifier = key.verifier(self.algorithm);
            verifier.is_some_and(|verifier| verifier.accepts(message, signature))
        };
        (accepts(&self.aws_lc), accepts(&self.openssl))
    }
}

/// Returns the `jwks_uri` of an issuer's document.
#[must_use]
pub fn discovery(issuer: &str, document: &[u8]) -> Option<String> {
    let issuer = Issuer::parse(issuer, false).ok()?;
    issuer.read(document, false).ok().map(|url| url.url().to_string())
}

/// Returns a challenge with all its parameters.
#[must_use]
pub fn challenge(realm: &str, error: &str, description: &str, scope: &str) -> HeaderValue {
    Challenge::new(Scheme::Bearer)
        .scope(scope)
        .realm(realm)
        .error(error)
        .description(description)
        .finish()
}

/// A call that the rules of an MCP endpoint are applied to.
#[derive(Debug)]
pub struct McpCall {
    /// The JSON-RPC method.
    pub method: String,
    /// What it names, each with its kind in front.
    pub targets: Vec<String>,
}

/// Returns the calls in the body of an MCP request. None if it is refused.
#[must_use]
pub fn mcp_calls(body: &[u8]) -> Option<Vec<McpCall>> {
    let calls = mcp::calls(body)?;
    Some(calls.into_iter().map(|(method, targets)| McpCall { method, targets }).collect())
}

/// A proof of DPoP, and the request that it comes with.
#[derive(Clone, Copy, Debug)]
pub struct DpopRequest<'a> {
    /// The value of the header.
    pub proof: &'a [u8],
    /// The base URL of the API.
    pub base_url: &'a str,
    /// The method of the request.
    pub method: &'a str,
    /// The path of the request.
    pub path: &'a str,
    /// The access token.
    pub token: &'a [u8],
    /// The thumbprint that the token is bound to.
    pub thumbprint: &'a [u8; 32],
    /// The time since the epoch. A proof may be 60 s old, and 5 s from the future.
    pub now: Duration,
    /// The secret of the nonces that are required, if they are.
    pub nonce_secret: Option<&'a [u8]>,
}

/// Returns the id of the proof and the times between which it is accepted, or the reason why it is refused. Checks that
/// both libraries agree, and that a cached key changes nothing.
pub fn dpop_proof(request: DpopRequest<'_>) -> Result<([u8; 32], Duration, Duration), String> {
    let token_hash = openssl::sha::sha256(request.token);
    let presented = Presented {
        proof: request.proof,
        method: request.method,
        path: request.path,
        is_handshake: false,
        token_hash: &token_hash,
        thumbprint: request.thumbprint,
        now: request.now,
    };
    let [result, other] = [CryptoBackend::AwsLc, CryptoBackend::OpenSsl].map(|crypto| {
        let checker = ProofChecker {
            algorithms: AlgorithmSet::by_default(),
            max_age: Duration::from_secs(60),
            clock_skew: Duration::from_secs(5),
            targets: Targets::new(&[request.base_url.to_owned()])?,
            nonces: request
                .nonce_secret
                .map(|secret| Nonces::new(secret, None, Duration::from_secs(300)))
                .transpose()?,
            keys: ClientKeys::default(),
            crypto,
        };
        let [first, second] = [(); 2].map(|()| match checker.check(&presented) {
            Ok(Checked { used, fresh_nonce }) => {
                assert_eq!(fresh_nonce, None, "the nonce is new");
                assert_eq!((used.key, used.now), (*request.thumbprint, request.now));
                Ok((used.id, used.since, used.until))
            }
            Err(fault) => Err(format!("{fault:?}")),
        });
        assert_eq!(first, second, "a cached key has another result");
        first
    });
    assert_eq!(result, other, "the libraries have other results");
    result
}

/// Returns a nonce of this time.
#[must_use]
pub fn dpop_nonce(secret: &[u8], now: Duration) -> Option<String> {
    Some(Nonces::new(secret, None, Duration::from_secs(300)).ok()?.issue(now))
}

/// Returns the thumbprint of a `jwk` that a proof with this algorithm may have.
#[must_use]
pub fn dpop_thumbprint(jwk: &Map<String, Value>, algorithm: Algorithm) -> Option<[u8; 32]> {
    let jwk = Value::from(jwk.clone()).to_string();
    let key = ClientKey::read(&jwk, algorithm).ok()?;
    let [aws_lc, openssl] = [CryptoBackend::AwsLc, CryptoBackend::OpenSsl]
        .map(|crypto| key.verifier(algorithm, crypto).is_ok());
    assert_eq!(aws_lc, openssl, "accepted by one library only");
    aws_lc.then(|| key.thumbprint())
}
