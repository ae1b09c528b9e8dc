//! The forms in which keys come, inline or from a URL: JWK set, single JWK, list of JWKs, PEM
//! public key or certificate, map of kid to PEM (RFC 7517 §5, RFC 7468).

use serde_json::{Map, Value, value::RawValue};

use crate::{
    json,
    jwk::{Key, KeyPolicy, Unusable},
    key_set::KeySet,
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
            Some(b'-') => reader.pem_blocks(text),
            Some(b'[') => reader.jwks(&serde_json::from_str::<Vec<&RawValue>>(text)?),
            Some(b'{') => reader.object(text)?,
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

/// Why a document gives no keys. Holds no key material.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DocumentError {
    #[error("the document is empty")]
    Empty,
    #[error("the document is neither JSON nor PEM")]
    NotRecognised,
    #[error("the document is not valid JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the document is neither a JWK set, a JWK nor a map of kid to PEM")]
    UnknownObject,
    #[error("the document holds no keys")]
    NoKeys,
    #[error("the document holds no usable key; of {key}: {reason}")]
    NoneUsable { key: String, reason: Unusable },
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
            self.jwks(&serde_json::from_str::<Vec<&RawValue>>(keys.get())?);
        } else if members.contains_key("kty") {
            self.jwk(text, 0);
        } else if !members.is_empty()
            && members.values().all(|value| value.get().trim_start().starts_with("\"-----BEGIN "))
        {
            for (kid, pem) in members {
                let pem: String = serde_json::from_str(pem.get())?;
                let key = Key::from_pem(&pem, Some(kid.clone()), self.policy);
                self.take(format!("kid {kid:?}"), key);
            }
        } else {
            return Err(DocumentError::UnknownObject);
        }
        Ok(())
    }

    fn jwks(&mut self, jwks: &[&RawValue]) {
        for (index, jwk) in jwks.iter().enumerate() {
            self.jwk(jwk.get(), index);
        }
    }

    fn jwk(&mut self, text: &str, index: usize) {
        match json::parse_object(text.as_bytes()) {
            Ok(jwk) => {
                let key = Key::from_jwk(&jwk, self.policy);
                self.take(describe(&jwk, index), key);
            }
            Err(error) => self.take(
                format!("key {index}"),
                Err(Unusable::new(format!("it is not a strict JSON object: {error}"))),
            ),
        }
    }

    /// One block after the other, as in a bundle. A key in PEM has no kid.
    fn pem_blocks(&mut self, text: &str) {
        const END: &str = "-----END ";
        let mut rest = text;
        let mut index = 0;
        while let Some(end) = rest.find(END) {
            let tail = &rest[end + END.len()..];
            let length = end + END.len() + tail.find("-----").map_or(tail.len(), |at| at + 5);
            let (block, next) = rest.split_at(length);
            self.take(format!("key {index}"), Key::from_pem(block, None, self.policy));
            rest = next;
            index += 1;
        }
        if !rest.trim().is_empty() {
            self.take(format!("key {index}"), Err(Unusable::new("its PEM text has no end")));
        }
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
        // The provider chose it: quoted, and not at any length.
        Some(kid) => format!("kid {:?}", kid.chars().take(64).collect::<String>()),
        None => format!("key {index}"),
    }
}
