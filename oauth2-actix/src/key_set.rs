//! An immutable set of keys, and which of them a token's header selects (RFC 7517 §5, RFC 7515 §6).

use std::collections::HashMap;

use crate::{jwk::Key, jws::Header};

/// The usable keys of one provider at one time.
#[derive(Debug, Default)]
pub(crate) struct KeySet {
    keys: Vec<Key>,
    by_kid: HashMap<String, Vec<usize>>,
    without_kid: Vec<usize>,
}

impl KeySet {
    pub(crate) fn new(keys: Vec<Key>) -> Self {
        let mut set = Self { keys, ..Self::default() };
        for (index, key) in set.keys.iter().enumerate() {
            match &key.kid {
                Some(kid) => set.by_kid.entry(kid.clone()).or_default().push(index),
                None => set.without_kid.push(index),
            }
        }
        set
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Tries the keys that the header selects. Every signature check takes one from `budget`.
    pub(crate) fn verify(
        &self,
        header: &Header,
        signed: &[u8],
        signature: &[u8],
        budget: &mut Budget,
    ) -> Verdict {
        let named = header.kid.as_ref().and_then(|kid| self.by_kid.get(kid));
        let mut fitting = 0;
        let mut tried = |index: &usize| {
            let Some(verifier) = self.keys[*index].verifier(header.alg) else { return false };
            fitting += 1;
            budget.take() && verifier.verify(signed, signature).is_ok()
        };
        // A token that names no key may be of any; a key without a name may be of any token.
        let verified = match (&header.kid, named) {
            (Some(_), Some(named)) => named.iter().chain(&self.without_kid).any(&mut tried),
            (Some(_), None) => self.without_kid.iter().any(&mut tried),
            (None, _) => (0..self.keys.len()).any(|index| tried(&index)),
        };
        if verified {
            Verdict::Verified
        } else if named.is_none() {
            // The keys at hand do not tell: the provider may have a newer one.
            Verdict::KeyUnknown { tried: fitting > 0 }
        } else if fitting == 0 {
            Verdict::AlgorithmNotAllowed
        } else {
            Verdict::SignatureInvalid
        }
    }
}

/// How many signature checks one token may still cause.
#[derive(Debug)]
pub(crate) struct Budget(u8);

impl Budget {
    fn take(&mut self) -> bool {
        match self.0.checked_sub(1) {
            Some(left) => {
                self.0 = left;
                true
            }
            None => false,
        }
    }
}

impl Default for Budget {
    /// Four: enough for a provider in the middle of a rotation that names none of its keys.
    fn default() -> Self {
        Self(4)
    }
}

/// What a set of keys says of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Verified,
    /// No key of the token's kid, and none without a kid that verifies it.
    KeyUnknown {
        tried: bool,
    },
    /// Keys of the token's kid, none of which may be used with its algorithm.
    AlgorithmNotAllowed,
    SignatureInvalid,
}
