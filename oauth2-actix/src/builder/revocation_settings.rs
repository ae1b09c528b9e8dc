//! The settings in code for revoked tokens.

use std::{io, sync::Arc};

use crate::{
    builder::OAuth2Builder,
    config::{
        error::{ConfigError, ConfigErrorKind, Faults},
        limits::{DENY_LIST_ENTRIES, DENY_LIST_TOKEN_LIFETIME, DENY_LIST_USE_LAST_LIST},
        names,
        provider::Provider,
    },
    revocation::{DenyList, RevocationStore, Revocations, WhenUnavailable},
};

impl OAuth2Builder {
    /// Rejects tokens that were revoked before they expire: see [`OAuth2::revoke`](crate::OAuth2::revoke) and
    /// [`DenyList`]. Default: none, and a token is accepted until it expires.
    ///
    /// Every request is checked, even if its token is cached. A request with a revoked token gets 401 `invalid_token`
    /// ([RFC 6750 §3.1](https://www.rfc-editor.org/rfc/rfc6750#section-3.1)), and live WebSocket sessions and streams
    /// end. In serde `deny_list`: a map of `token_lifetime_seconds`, `max_entries` and `use_last_list_seconds`, which may
    /// be empty.
    ///
    /// ```
    /// use oauth2_actix::{OAuth2, revocation::DenyList};
    ///
    /// let builder = OAuth2::builder().deny_list(DenyList::new());
    /// # drop(builder);
    /// ```
    ///
    /// # Errors
    ///
    /// `build()` fails if a duration or a number is out of its range, if `when_unavailable` is set and there is no store,
    /// and if the thread that loads the list cannot start.
    pub fn deny_list(mut self, deny_list: DenyList) -> Self {
        self.deny_list = Some(deny_list);
        self
    }

    /// Sets the store of the deny list, which several processes share, and keeps the other settings of
    /// [`deny_list`](Self::deny_list), which may be from serde. Default: none; the list is in the memory of the process.
    ///
    /// ```
    /// use oauth2_actix::{OAuth2Builder, revocation::MemoryRevocationStore};
    ///
    /// let builder: OAuth2Builder = toml::from_str("deny_list = { use_last_list_seconds = 300 }")?;
    /// let builder = builder.revocation_store(MemoryRevocationStore::new());
    /// # drop(builder);
    /// # Ok::<(), toml::de::Error>(())
    /// ```
    pub fn revocation_store(mut self, store: impl RevocationStore) -> Self {
        self.deny_list = Some(self.deny_list.take().unwrap_or_default().with(store));
        self
    }

    pub(super) fn revocation_faults(&self) -> Faults {
        let mut faults = Faults::default();
        let Some(deny_list) = &self.deny_list else { return faults };
        faults.take(DENY_LIST_TOKEN_LIFETIME.check(None, deny_list.token_lifetime));
        faults.take(DENY_LIST_ENTRIES.check(None, deny_list.max_entries));
        if let WhenUnavailable::UseLastList(age) = deny_list.when_unavailable {
            faults.take(DENY_LIST_USE_LAST_LIST.check(None, age));
            if !deny_list.has_store() {
                let problem = "it has no effect without a store; expected `revocation_store`, or no such setting";
                let error = ConfigError::of_policy(names::DENY_LIST_USE_LAST_LIST, problem);
                faults.push(error.of_kind(ConfigErrorKind::Conflict));
            }
        }
        faults
    }

    /// Starts the deny list.
    pub(super) fn revocations(&self) -> Result<Option<Arc<Revocations>>, ConfigError> {
        let started = self.deny_list.as_ref().map(|list| list.start(&self.clock)).transpose();
        started.map_err(|error: io::Error| {
            let problem = format_args!("the thread that loads it cannot start: {error}");
            ConfigError::of_policy(names::DENY_LIST, problem).of_kind(ConfigErrorKind::System)
        })
    }

    /// Returns whether the policy learns that a token was revoked before it has expired.
    pub(super) fn verifies_revocation_status(&self) -> bool {
        let is_checked = |provider: &Provider| {
            let lists = provider.status_list.as_ref();
            provider.introspects_every_token() || lists.is_some_and(|lists| lists.required)
        };
        let are_checked = || self.providers.iter().all(|(_, provider)| is_checked(provider));
        self.deny_list.is_some()
            || (self.tenants.is_none() && !self.providers.is_empty() && are_checked())
    }
}
