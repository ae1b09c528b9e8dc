//! The policy: all settings, resolved, and the decision on one token.
//!
//! Owns the path of a token from bytes to claims: cheap checks, the signature check with cached keys, the
//! wait for keys or for a tenant, and the cache of verified tokens. It imports `access`, `api_keys`, `config`, `dpop`, `error`,
//! `exchange`, `introspection`, `jose`, `json`, `keys`, `logout`, `mtls`, `provider`, `public`, `request`, `revocation`,
//! `token` and `util`.
//!
//! - `decide.rs`: the decision with cached keys, which does not wait, and whether a cached token is still
//!   accepted; selects providers by issuer, or by trust domain for tokens without `iss`. What one provider
//!   accepts is decided in `provider/checks.rs`
//! - `wait.rs`: the decision that waits for keys or for a tenant
//! - `possession.rs`: whether a request proves that its client has what its token is bound to
//! - `principal.rs`: the principal of a token, cached or loaded by the application
//! - `rank.rs`: the errors for an unknown issuer or audience, with the configured one that is similar, and which error is
//!   reported when several providers reject a token

mod decide;
pub(crate) mod possession;
pub(crate) mod principal;
mod rank;
mod wait;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, atomic::AtomicBool},
};

use actix_web::{HttpRequest, HttpResponse, dev::RequestHead};

use crate::{
    access::report::ScopeCounts,
    api_keys::ApiKeySets,
    error::Error,
    exchange::Exchangers,
    introspection::Introspectors,
    logout::Receivers,
    mtls::TrustedProxy,
    protected_resource::{Resources, authorization_server::Comparison},
    provider::{ResolvedProvider, background::KeyThread},
    public::{HiddenRoutes, PublicPaths},
    request::{
        bearer::{Credentials, TokenSource},
        token_source::TokenSources,
    },
    revocation::Revocations,
    status_list::StatusLists,
    token::{cache::VerifiedTokens, lifetime::TimeLimits, rules::Rules},
    util::clock::Clock,
};

pub(crate) use self::{decide::Decision, wait::Pending};
use self::{possession::DpopChecks, principal::PrincipalSource};

/// Everything that was configured, checked and resolved. Only its keys, its caches and its records of logged
/// warnings change.
pub(crate) struct Policy {
    pub(crate) providers: Vec<Arc<ResolvedProvider>>,
    /// The indexes of the providers that may accept a token of an issuer, in the order of the configuration.
    pub(crate) by_issuer: HashMap<String, Vec<usize>>,
    /// The index of the provider that accepts tokens without an issuer, by the trust domain of their subject.
    pub(crate) by_trust_domain: HashMap<String, usize>,
    /// The keys of `by_issuer`, in the order of the configuration.
    pub(crate) issuers: Vec<String>,
    pub(crate) time_limits: TimeLimits,
    pub(crate) max_token_length: usize,
    /// The locations of a token besides the `Authorization` header. None if there are none.
    pub(crate) token_sources: Option<TokenSources>,
    pub(crate) realm: String,
    pub(crate) missing_token: crate::config::missing_token::MissingToken,
    pub(crate) public: PublicPaths,
    /// The protected resources. Empty unless one is configured.
    pub(crate) resources: Resources,
    /// Compares them with the metadata of the authorization servers. None without a resource.
    pub(crate) comparison: Option<Comparison>,
    pub(crate) rules: Arc<Rules>,
    pub(crate) principal: Option<PrincipalSource>,
    /// The checks of DPoP proofs. None unless DPoP is on for a provider or for tenants.
    pub(crate) dpop: Option<DpopChecks>,
    /// The proxy that sends the certificates of clients. None if they are those of the connection.
    pub(crate) certificate_proxy: Option<TrustedProxy>,
    /// Counts the scopes of tokens for the report. None if that is off.
    pub(crate) scope_counts: Option<ScopeCounts>,
    /// The cache of verified tokens. None if it is disabled.
    pub(crate) verified: Option<VerifiedTokens>,
    /// The deny list. None unless it is configured.
    pub(crate) revocations: Option<Arc<Revocations>>,
    /// The receivers of logouts. Empty unless one is configured.
    pub(crate) receivers: Receivers,
    /// The status lists of the providers, by the index of the provider. Empty if none has any.
    pub(crate) status_lists: Vec<Option<Arc<StatusLists>>>,
    pub(crate) on_rejection: Option<RejectionHook>,
    pub(crate) clock: Clock,
    /// The API keys, by prefix. None if there are none.
    pub(crate) api_keys: Option<ApiKeySets>,
    /// The providers with introspection. None if there is none.
    pub(crate) introspectors: Option<Introspectors>,
    /// The providers at which tokens are exchanged.
    pub(crate) exchangers: Exchangers,
    /// The thread that fetches keys. None if there is nothing to fetch or look up.
    pub(crate) keys: Option<KeyThread>,
    pub(crate) preflight_warned: AtomicBool,
    /// Whether the app was searched for the routes of the metadata documents.
    pub(crate) documents_checked: AtomicBool,
    pub(crate) hidden_routes: HiddenRoutes,
    /// Whether each request without a valid token is routed before it is rejected.
    pub(crate) routes_all: bool,
    /// Whether an accepted token is not enough: its resource or the scheme of DPoP is checked, or a
    /// principal is loaded. What a token is bound to is checked in any case.
    pub(crate) decides_further: bool,
}

pub(crate) type RejectionHook =
    Arc<dyn Fn(&HttpRequest, &Error, HttpResponse) -> HttpResponse + Send + Sync>;

impl Policy {
    /// Returns whether DPoP is on.
    #[inline]
    pub(crate) fn has_dpop(&self) -> bool {
        self.dpop.is_some()
    }

    /// Returns whether a request may be for a service of this crate that needs no token: a metadata document, or a
    /// receiver of logouts.
    pub(crate) fn may_be_for_own_service(&self, path: &str) -> bool {
        self.resources.has_document_at(path) || self.receivers.may_be_at(path)
    }

    /// Returns the token of a request, unverified, and its location.
    #[inline]
    pub(crate) fn credentials<'a>(
        &self,
        head: &'a RequestHead,
    ) -> Result<(Credentials<'a>, TokenSource), Error> {
        if let Some(sources) = &self.token_sources {
            return sources.credentials(head, self.max_token_length);
        }
        Credentials::from_headers(head.headers(), self.max_token_length, self.has_dpop())
    }
}

/// Returns the issuers in the order of their providers.
pub(crate) fn in_order(by_issuer: &HashMap<String, Vec<usize>>) -> Vec<String> {
    let mut issuers: Vec<(&Vec<usize>, &String)> =
        by_issuer.iter().map(|(issuer, indices)| (indices, issuer)).collect();
    issuers.sort();
    issuers.into_iter().map(|(_, issuer)| issuer.clone()).collect()
}

impl fmt::Debug for Policy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Policy")
            .field("providers", &self.providers)
            .field("time_limits", &self.time_limits)
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}
