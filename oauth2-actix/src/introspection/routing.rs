//! Which provider is asked about a token. It is decided by the form of the token, its prefix or its issuer, and never by
//! trial: a token goes to no provider that has not issued it, and is checked in one way only.

use std::{collections::HashMap, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{Introspector, OnActive};
use crate::{
    jose::jws,
    token::{claims::Claims, validation},
};

/// The providers that are asked about tokens.
#[derive(Debug)]
pub(crate) struct Introspectors {
    all: Vec<Arc<Introspector>>,
    /// The prefixes of opaque tokens, the longest first.
    by_prefix: Vec<(String, Arc<Introspector>)>,
    /// The provider of opaque tokens without a prefix of another one.
    without_prefix: Option<Arc<Introspector>>,
    /// The providers that are asked about JWTs too, by issuer.
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
        let asked_always = all.iter().filter(|one| one.introspects_every_token);
        let by_issuer = asked_always
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

    /// Returns the provider to ask about a token. None: the token is checked by its signature, or rejected.
    pub(crate) fn of_token(&self, token: &str) -> Option<&Arc<Introspector>> {
        if let Some((_, one)) = self.by_prefix.iter().find(|(prefix, _)| token.starts_with(prefix))
        {
            return Some(one);
        }
        if !is_jws(token) {
            return self.without_prefix.as_ref();
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

/// Returns whether a token has the form of a JWS: three parts, of which the first is a JSON object in base64url.
fn is_jws(token: &str) -> bool {
    let mut parts = token.split('.');
    let (Some(header), Some(_), Some(_), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    // A longer header is no opaque token either.
    let decoded = URL_SAFE_NO_PAD.decode(header);
    decoded.is_ok_and(|json| json.trim_ascii_start().starts_with(b"{"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jws_has_three_parts_and_a_header_in_json() {
        for (token, expected) in [
            ("eyJhbGciOiJFUzI1NiJ9.e30.c2ln", true),
            ("eyJhbGciOiJFUzI1NiJ9.e30.", true),
            ("IHsiYWxnIjoiRVMyNTYifQ.e30.c2ln", true),
            ("eyJhbGciOiJFUzI1NiJ9.e30", false),
            ("eyJhbGciOiJFUzI1NiJ9.e30.a.b.c", false),
            ("abc.def.ghi", false),
            ("W10.e30.c2ln", false),
            ("..", false),
            ("opaque", false),
            ("", false),
        ] {
            assert_eq!(is_jws(token), expected, "{token}");
        }
    }
}
