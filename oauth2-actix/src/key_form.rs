//! The forms in which keys come, inline or from a URL: JWK set, single JWK, list of JWKs, PEM
//! public key or certificate, map of kid to PEM (RFC 7517 §5, RFC 7468).

use serde_json::{Map, Value, value::RawValue};

use crate::{
    json,
    jwk::{Key, KeyPolicy, Unusable},
    key_set::KeySet,
    throttle::Throttle,
};

/// The usable keys of a document, and what was passed over.
#[derive(Debug)]
pub(crate) struct KeyDocument {
    pub(crate) keys: KeySet,
    pub(crate) skipped: Vec<Skipped>,
}

/// A key that is not used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Skipped {
    /// Its kid, or its place in the document.
    pub(crate) key: String,
    pub(crate) reason: Unusable,
}

impl KeyDocument {
    /// Reads a document in any of the forms. One unusable key never spoils the others; a document
    /// without any usable key is an error.
    pub(crate) fn parse(document: &[u8], policy: KeyPolicy) -> Result<Self, DocumentError> {
        let text = std::str::from_utf8(document).map_err(|_| DocumentError::NotRecognised)?.trim();
        let mut reader = Reader { policy, keys: Vec::new(), skipped: Vec::new() };
        match text.as_bytes().first() {
            None => return Err(DocumentError::Empty),
            Some(b'[') => reader.jwks(&serde_json::from_str::<Vec<&RawValue>>(text)?)?,
            Some(b'{') => reader.object(text)?,
            Some(_) if text.contains(BEGIN) => reader.pem_blocks(text)?,
            Some(_) => return Err(DocumentError::NotRecognised),
        }
        let Reader { keys, skipped, .. } = reader;
        if keys.is_empty() {
            return Err(match skipped.into_iter().next() {
                None => DocumentError::NoKeys,
                Some(first) => DocumentError::NoneUsable { key: first.key, reason: first.reason },
            });
        }
        Ok(Self { keys: KeySet::new(keys), skipped })
    }
}

impl Skipped {
    /// Says in the log what was passed over; of many, the first few. False if that must wait.
    pub(crate) fn log(skipped: &[Self], provider: &str, rate: &Throttle) -> bool {
        const FEW: usize = 8;
        if skipped.is_empty() {
            return true;
        }
        if !rate.allows() {
            return false;
        }
        for Self { key, reason } in skipped.iter().take(FEW) {
            tracing::warn!(target: "oauth2_actix", provider, %key, %reason, "a key is not used");
        }
        if skipped.len() > FEW {
            let more = skipped.len() - FEW;
            tracing::warn!(target: "oauth2_actix", provider, more, "more keys are not used");
        }
        true
    }
}

/// Why a document gives no keys. Holds no key material.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DocumentError {
    #[error("the document is empty")]
    Empty,
    #[error("the document is neither JSON nor PEM")]
    NotRecognised,
    // serde's own text may quote a part of the document.
    #[error("the document is not valid JSON of its form, at line {line} column {column}")]
    Json { line: usize, column: usize },
    #[error("the document holds {0} keys, more than {MAX_KEYS}")]
    TooMany(usize),
    #[error("the document is neither a JWK set, a JWK nor a map of kid to PEM")]
    UnknownObject,
    #[error("the document holds no keys")]
    NoKeys,
    #[error("the document holds no usable key; of {key}: {reason}")]
    NoneUsable { key: String, reason: Unusable },
}

impl From<serde_json::Error> for DocumentError {
    fn from(error: serde_json::Error) -> Self {
        Self::Json { line: error.line(), column: error.column() }
    }
}

struct Reader {
    policy: KeyPolicy,
    keys: Vec<Key>,
    skipped: Vec<Skipped>,
}

impl Reader {
    fn object(&mut self, text: &str) -> Result<(), DocumentError> {
        // Members stay as text here, so that a bad one spoils only itself.
        let members: std::collections::BTreeMap<String, &RawValue> = serde_json::from_str(text)?;
        if let Some(keys) = members.get("keys") {
            self.jwks(&serde_json::from_str::<Vec<&RawValue>>(keys.get())?)?;
        } else if members.contains_key("kty") {
            self.jwk(text, 0);
        } else if members.values().any(|value| value.get().contains(BEGIN)) {
            bounded(members.len())?;
            for (kid, pem) in members {
                let name = quoted(&kid);
                let key = serde_json::from_str::<String>(pem.get())
                    .map_err(|_| Unusable::new("it is not text"))
                    .and_then(|pem| Key::from_pem(&pem, Some(kid), self.policy));
                self.take(name, key);
            }
        } else {
            return Err(DocumentError::UnknownObject);
        }
        Ok(())
    }

    fn jwks(&mut self, jwks: &[&RawValue]) -> Result<(), DocumentError> {
        bounded(jwks.len())?;
        for (index, jwk) in jwks.iter().enumerate() {
            self.jwk(jwk.get(), index);
        }
        Ok(())
    }

    fn jwk(&mut self, text: &str, index: usize) {
        match json::parse_object(text.as_bytes()) {
            Ok(jwk) => {
                let key = Key::from_jwk(&jwk, self.policy);
                self.take(describe(&jwk, index), key);
            }
            Err(_) => self.take(
                format!("key {index}"),
                Err(Unusable::new("it is not a JSON object, or has a member twice")),
            ),
        }
    }

    /// One block after the other, as in a bundle. A key in PEM has no kid.
    fn pem_blocks(&mut self, text: &str) -> Result<(), DocumentError> {
        const END: &str = "-----END ";
        bounded(text.matches(BEGIN).count())?;
        let mut rest = text;
        let mut index = 0;
        // A block may have a comment before it.
        while let Some(begin) = rest.find(BEGIN) {
            rest = &rest[begin..];
            let Some(end) = rest.find(END) else { break };
            let tail = &rest[end + END.len()..];
            let length = end + END.len() + tail.find("-----").map_or(tail.len(), |at| at + 5);
            let (block, next) = rest.split_at(length);
            self.take(format!("key {index}"), Key::from_pem(block, None, self.policy));
            rest = next;
            index += 1;
        }
        if rest.contains(BEGIN) {
            self.take(format!("key {index}"), Err(Unusable::new("its PEM text has no end")));
        }
        Ok(())
    }

    fn take(&mut self, name: String, key: Result<Key, Unusable>) {
        match key {
            Ok(key) => self.keys.push(key),
            Err(reason) => self.skipped.push(Skipped { key: name, reason }),
        }
    }
}

fn describe(jwk: &Map<String, Value>, index: usize) -> String {
    match jwk.get("kid").and_then(Value::as_str) {
        Some(kid) => quoted(kid),
        None => format!("key {index}"),
    }
}

/// The provider chose it: quoted, and not at any length.
fn quoted(kid: &str) -> String {
    format!("kid {:?}", kid.chars().take(64).collect::<String>())
}

fn bounded(keys: usize) -> Result<(), DocumentError> {
    if keys > MAX_KEYS { Err(DocumentError::TooMany(keys)) } else { Ok(()) }
}

const BEGIN: &str = "-----BEGIN ";

/// Keys in one document. All of them are checked on the engine's thread, while other providers'
/// wait. Real sets have 1 to 20.
const MAX_KEYS: usize = 1024;
