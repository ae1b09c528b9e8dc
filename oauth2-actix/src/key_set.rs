//! An immutable set of keys, and which of them a token's header selects (RFC 7517 §5, RFC 7515 §6).

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::{KeyInfo, jwk::Key, jws::Header};

/// The usable keys of one provider at one time.
#[derive(Debug)]
pub(crate) struct KeySet {
    generation: Generation,
    keys: Vec<Key>,
    by_kid: HashMap<String, Vec<usize>>,
    without_kid: Vec<usize>,
}

impl KeySet {
    pub(crate) fn new(keys: Vec<Key>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let generation = Generation(NEXT.fetch_add(1, Ordering::Relaxed));
        let (by_kid, without_kid) = (HashMap::new(), Vec::new());
        let mut set = Self { generation, keys, by_kid, without_kid };
        for (index, key) in set.keys.iter().enumerate() {
            match &key.kid {
                Some(kid) => set.by_kid.entry(kid.clone()).or_default().push(index),
                None => set.without_kid.push(index),
            }
        }
        set
    }

    /// By which a token that these keys verified knows them.
    pub(crate) fn generation(&self) -> Generation {
        self.generation
    }

    /// Whether the keys are the same, in whatever order, unless the order says which are tried.
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        self.len() == other.len() && self.identities() == other.identities()
    }

    fn identities(&self) -> Vec<impl Ord + '_> {
        let mut identities: Vec<_> = self.keys.iter().map(Key::identity).collect();
        if identities.len() <= MAX_TRIED {
            identities.sort_unstable();
        }
        identities
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(crate) fn kids(&self) -> impl Iterator<Item = &str> {
        self.by_kid.keys().map(String::as_str)
    }

    pub(crate) fn has(&self, kid: &str) -> bool {
        self.by_kid.contains_key(kid)
    }

    /// What an operator may know of them.
    pub(crate) fn info(&self) -> Vec<KeyInfo> {
        self.keys
            .iter()
            .map(|key| KeyInfo::new(key.kid.as_deref(), key.algorithms().collect()))
            .collect()
    }

    /// Tries the keys that the header selects, at most four of them: enough for a provider in the
    /// middle of a rotation that names none of its keys.
    pub(crate) fn verify(&self, header: &Header, signed: &[u8], signature: &[u8]) -> Verdict {
        let named = header.kid.as_ref().and_then(|kid| self.by_kid.get(kid));
        // A token that names no key may be of any; a key without a name may be of any token.
        let (without_kid, any) = match header.kid {
            Some(_) => (self.without_kid.as_slice(), 0..0),
            None => ([].as_slice(), 0..self.keys.len()),
        };
        let mut fitting = 0;
        let verified = named
            .into_iter()
            .flatten()
            .chain(without_kid)
            .copied()
            .chain(any)
            .filter_map(|index| self.keys[index].verifier(header.alg))
            .take(MAX_TRIED)
            .inspect(|_| fitting += 1)
            .any(|verifier| verifier.accepts(signed, signature));
        if verified {
            Verdict::Verified(self.generation)
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

/// Tells sets of keys apart: no two in a process have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generation(u64);

/// What a set of keys says of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Verified(Generation),
    /// No key of the token's kid, and none without a kid that verifies it.
    KeyUnknown {
        tried: bool,
    },
    /// Keys of the token's kid, none of which may be used with its algorithm.
    AlgorithmNotAllowed,
    SignatureInvalid,
}

/// Signature checks that one set of keys may cost one token.
const MAX_TRIED: usize = 4;
