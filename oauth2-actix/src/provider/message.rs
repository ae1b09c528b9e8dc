//! Signed messages of an issuer that are no access tokens, such as logout tokens.

use crate::{
    error::{Error, ErrorKind},
    jose::{
        jws::{MessageType, UnverifiedJws},
        key_set::{KeySet, SignatureCheck},
    },
    json::object::Object,
    keys::{
        fetcher::{Fetchers, TokenParts},
        remote::{FetchReason, Refresh},
    },
    provider::{ProviderKeys, ResolvedProvider},
    util::clock::Clock,
};

impl ResolvedProvider {
    /// Verifies a message that the provider has signed, with the keys of its tokens, and waits for keys if it must, as
    /// for a token. Returns its claims, of which nothing else is checked.
    ///
    /// The message has one of the types that the caller expects. Keys are used with the algorithms of the provider,
    /// except HMAC: a secret that others know signs no messages of the provider.
    pub(crate) async fn verify_message(
        &self,
        message: &str,
        typ: MessageType,
        fetchers: Option<&Fetchers>,
        clock: &Clock,
    ) -> Result<Object, Error> {
        let ticket = fetchers.map_or(0, Fetchers::ticket);
        let jws = UnverifiedJws::parse_message(message, typ)?;
        let alg = jws.header.alg;
        if alg.is_symmetric() || !self.algorithms.contains(alg) {
            return Err(ErrorKind::AlgorithmNotAllowed.into());
        }
        let signed = &message.as_bytes()[..jws.signed_len];
        let check = |keys: &KeySet| keys.verify(&jws.header, signed, &jws.signature);
        let mut pending = Vec::new();
        let mut rejection: Option<Error> = None;
        for keys in &self.keys {
            let found = match keys {
                ProviderKeys::Inline(keys) => check(keys),
                ProviderKeys::Remote(remote) => match remote.usable(clock).as_deref() {
                    Some(Some(snapshot)) => {
                        let found = check(&snapshot.keys);
                        if matches!(found, SignatureCheck::UnknownKey(_))
                            && remote.looks_for_unknown_keys()
                        {
                            let parts = (signed, &*jws.signature);
                            let kid = jws.header.kid.as_deref();
                            pending.push((remote, remote.unknown_key(kid, parts)));
                        }
                        found
                    }
                    _ => {
                        let is_fresh = remote.timing.refresh == Refresh::Always;
                        let reason =
                            if is_fresh { FetchReason::Fresh } else { FetchReason::Missing };
                        pending.push((remote, reason));
                        continue;
                    }
                },
            };
            match found {
                SignatureCheck::Verified(_) => return Ok(jws.claims),
                // A source has the key, so that no other one is asked for it.
                SignatureCheck::SignatureInvalid(_) | SignatureCheck::BoundToAnother(_) => {
                    return Err(Error::from(found).with_provider(&self.name));
                }
                _ => rejection = Some(found.into()),
            }
        }
        if let Some(fetchers) = fetchers {
            let kid = jws.header.kid.as_deref();
            for (remote, reason) in pending {
                let token = TokenParts { kid, signed, signature: &jws.signature };
                match fetchers.wait_for_key(remote, reason, ticket, token, check).await {
                    Ok(SignatureCheck::Verified(_)) => return Ok(jws.claims),
                    // Keys that are not available might have verified it.
                    Ok(found) if !rejection.as_ref().is_some_and(is_unavailable) => {
                        rejection = Some(found.into());
                    }
                    Ok(_) => {}
                    Err(error) => rejection = Some(error),
                }
            }
        }
        let rejection = rejection.unwrap_or_else(|| ErrorKind::UnknownKey.into());
        Err(rejection.with_provider(&self.name))
    }
}

fn is_unavailable(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::KeysUnavailable { .. })
}
