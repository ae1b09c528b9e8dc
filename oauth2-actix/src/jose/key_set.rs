//! An immutable set of keys, and their selection by a token's header (RFC 7517 §5, RFC 7515 §6).

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::jose::{
    algorithm::Algorithm,
    algorithm_binding::BoundToAnother,
    jwk::{Key, KeyBindings},
    jws::Header,
};

/// The usable keys of one provider at one time.
#[derive(Debug)]
pub(crate) struct KeySet {
    key_set_id: KeySetId,
    keys: Vec<Key>,
    by_kid: HashMap<Arc<str>, Vec<usize>>,
    without_kid: Vec<usize>,
}

impl KeySet {
    pub(crate) fn new(mut keys: Vec<Key>) -> Self {
        // One key may be published under two ids.
        let mut bindings = KeyBindings::new();
        keys.iter_mut().for_each(|key| key.share_binding(&mut bindings));
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let key_set_id = KeySetId(NEXT.fetch_add(1, Ordering::Relaxed));
        let (by_kid, without_kid) = (HashMap::new(), Vec::new());
        let mut set = Self { key_set_id, keys, by_kid, without_kid };
        for (index, key) in set.keys.iter().enumerate() {
            match &key.kid {
                Some(kid) => set.by_kid.entry(Arc::clone(kid)).or_default().push(index),
                None => set.without_kid.push(index),
            }
        }
        set
    }

    /// Keeps the algorithms that the same keys of an earlier set are bound to.
    pub(crate) fn keep_bindings_of(&mut self, before: &Self) {
        let mut bindings: KeyBindings = before.keys.iter().filter_map(Key::binding).collect();
        self.keys.iter_mut().for_each(|key| key.share_binding(&mut bindings));
    }

    /// Returns the id of the set, which a cached token keeps to identify the keys that verified it.
    pub(crate) fn id(&self) -> KeySetId {
        self.key_set_id
    }

    /// Returns whether the keys are the same. Their order counts only if it decides which keys are tried.
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
        self.by_kid.keys().map(|kid| &**kid)
    }

    pub(crate) fn has(&self, kid: &str) -> bool {
        self.by_kid.contains_key(kid)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter()
    }

    /// Tries the keys that the header selects, at most [`MAX_TRIED`] of them.
    pub(crate) fn verify(
        &self,
        header: &Header,
        signed: &[u8],
        signature: &[u8],
    ) -> SignatureCheck {
        let named = header.kid.as_ref().and_then(|kid| self.by_kid.get(kid.as_str()));
        // A token without a kid may be signed by any key, and a key without a kid may sign any token.
        let (without_kid, any) = match header.kid {
            Some(_) => (self.without_kid.as_slice(), 0..0),
            None => ([].as_slice(), 0..self.keys.len()),
        };
        let fitting = named
            .into_iter()
            .flatten()
            .chain(without_kid)
            .copied()
            .chain(any)
            .map(|index| &self.keys[index])
            .filter(|key| key.fits(header.alg));
        // The thumbprint of a certificate narrows the selection, if one of these keys has it.
        let has_thumbprint = |key: &&Key| header.thumbprints().any(|text| key.has_thumbprint(text));
        let by_thumbprint = header.thumbprints().next().is_some()
            && fitting.clone().any(|key| has_thumbprint(&key));
        let selected = fitting.filter(|key| !by_thumbprint || has_thumbprint(key));
        let mut tried = 0;
        let verified = selected.clone().take(MAX_TRIED).inspect(|_| tried += 1).find(|key| {
            key.verifier(header.alg).is_some_and(|verifier| verifier.accepts(signed, signature))
        });
        if let Some(key) = verified {
            return match key.bind(header.alg) {
                Ok(()) => SignatureCheck::Verified(self.key_set_id),
                Err(bound) => SignatureCheck::BoundToAnother(bound),
            };
        }
        let fitting = if tried < MAX_TRIED { tried } else { selected.count() };
        let tried = Tried { tried, fitting };
        if named.is_none() && !by_thumbprint {
            // The provider may have a newer key for this token.
            SignatureCheck::UnknownKey(tried)
        } else if fitting == 0 {
            SignatureCheck::AlgorithmNotAllowed
        } else {
            SignatureCheck::SignatureInvalid(tried)
        }
    }

    /// Returns the algorithms with more keys than are tried for one token.
    pub(crate) fn crowded_algorithms(&self) -> impl Iterator<Item = CrowdedAlgorithm> + '_ {
        Algorithm::all().filter_map(|algorithm| {
            let count = |indices: &[usize]| {
                indices.iter().filter(|index| self.keys[**index].fits(algorithm)).count()
            };
            let of_one_kid = self.by_kid.values().map(|indices| count(indices)).max();
            let with_kid = of_one_kid.unwrap_or_default() + count(&self.without_kid);
            let all = self.keys.iter().filter(|key| key.fits(algorithm)).count();
            // If some keys have no kid, the provider's tokens may have no kid either.
            let without_kid = self.without_kid.is_empty();
            let (keys, only_without_kid) =
                if with_kid > MAX_TRIED { (with_kid, false) } else { (all, without_kid) };
            (keys > MAX_TRIED).then_some(CrowdedAlgorithm { algorithm, keys, only_without_kid })
        })
    }
}

/// An algorithm with more keys than are tried for one token.
pub(crate) struct CrowdedAlgorithm {
    pub(crate) algorithm: Algorithm,
    pub(crate) keys: usize,
    /// True if every key has a kid, and no kid has too many keys. The limit then affects only tokens without a
    /// kid.
    pub(crate) only_without_kid: bool,
}

/// The id of a set of keys, which is unique in the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeySetId(u64);

/// The result of checking a signature with a set of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignatureCheck {
    Verified(KeySetId),
    /// No key has the token's kid or thumbprint, and no key without a kid verifies the signature.
    UnknownKey(Tried),
    /// Keys have the token's kid, and none of them may be used with its algorithm.
    AlgorithmNotAllowed,
    /// A key verifies the signature, but it is used with another algorithm.
    BoundToAnother(BoundToAnother),
    SignatureInvalid(Tried),
}

/// The number of keys that were tried without success.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tried {
    pub(crate) tried: usize,
    /// The number of keys that the token's header selects. It is larger than `tried` if the limit was
    /// reached.
    pub(crate) fitting: usize,
}

/// The maximum number of keys of one set that are tried for one token.
pub(crate) const MAX_TRIED: usize = 16;
