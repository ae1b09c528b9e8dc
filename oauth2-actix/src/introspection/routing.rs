//! The provider that introspects a token. The format of the token, its prefix or its issuer decides: a token is sent to no
//! provider that has not issued it, and is validated in one way only.

use std::{collections::HashMap, sync::Arc};

use super::{Introspector, OnActive};
use crate::{
    jose::{compact::is_jws, jws},
    token::{claims::Claims, validation},
};

/// The providers with introspection.
#[derive(Debug)]
pub(crate) struct Introspectors {
    all: Vec<Arc<Introspector>>,
    /// The prefixes of opaque tokens, the longest first.
    by_prefix: Vec<(String, Arc<Introspector>)>,
    /// The provider of opaque tokens without a prefix of another one.
    without_prefix: Option<Arc<Introspector>>,
    /// The providers that introspect JWTs too, by issuer.
    by_issuer: HashMap<String, Arc<Introspector>>,
    /// Whether no token is verified by a signature.
    are_alone: bool,
}

impl Introspectors {
    /// `are_alone`: no provider verifies signatures of tokens.
    pub(crate) fn new(all: Vec<Arc<Introspector>>, are_alone: bool) -> Self {
        let mut by_prefix: Vec<_> = all
            .iter()
            .filter_map(|one| Some((one.token_prefix.clone()?, Arc::clone(one))))
            .collect();
        by_prefix.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        let without_prefix = all.iter().find(|one| one.token_prefix.is_none()).cloned();
        let every_token = all.iter().filter(|one| one.introspects_every_token);
        let by_issuer = every_token
            .flat_map(|one| one.issuers.iter().map(|issuer| (issuer.clone(), Arc::clone(one))))
            .collect();
        Self { all, by_prefix, without_prefix, by_issuer, are_alone }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Introspector>> {
        self.all.iter()
    }

    /// Sets the function that keeps the claims of each active token, also if no request waits for them.
    pub(crate) fn on_active(&self, keep: impl Fn(&Claims) + Send + Sync + 'static) {
        let keep: OnActive = Arc::new(keep);
        for one in &self.all {
            // It is set once, when the policy is built.
            let _ = one.on_active.set(Arc::clone(&keep));
        }
    }

    /// Returns the provider that introspects a token. None: the token is verified by its signature, or rejected.
    pub(crate) fn of_token(&self, token: &str) -> Option<&Arc<Introspector>> {
        if !is_jws(token) {
            let by_prefix = self.by_prefix.iter().find(|(prefix, _)| token.starts_with(prefix));
            return by_prefix.map(|(_, one)| one).or(self.without_prefix.as_ref());
        }
        if self.by_issuer.is_empty() {
            return None;
        }
        let claims = jws::claims_of(token.as_bytes());
        match claims.as_ref().map(validation::issuer) {
            Some(Ok(issuer)) => self.by_issuer.get(issuer),
            // No other provider could accept it.
            _ if self.are_alone => self.without_prefix.as_ref(),
            _ => None,
        }
    }
}
