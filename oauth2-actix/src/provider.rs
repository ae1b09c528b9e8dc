//! One identity provider of the configuration: who issues, for whom, and with which keys.

use std::time::Duration;

use crate::{Algorithm, BuildError, Keys, algorithm::AlgorithmSet, keys};

/// An identity provider: who issues, for whom, and with which keys.
///
/// ```
/// use oauth2_actix::{OAuth2, Provider};
///
/// let google = Provider::new()
///     .issuer("https://accounts.google.com")
///     .issuer("accounts.google.com")
///     .audience("1234.apps.googleusercontent.com")
///     .keys("https://www.googleapis.com/oauth2/v3/certs")
///     .key_refresh_minutes(60);
/// let oauth2 = OAuth2::builder().provider("google", google).build()?;
/// # Ok::<(), oauth2_actix::BuildError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use = "a provider does nothing until it is given to a builder"]
pub struct Provider {
    pub(crate) issuers: Vec<String>,
    pub(crate) audiences: Vec<String>,
    pub(crate) audience_claim: Option<String>,
    pub(crate) keys: Vec<keys::Source>,
    pub(crate) initial_keys: Option<Keys>,
    pub(crate) algorithms: Option<Vec<Algorithm>>,
    pub(crate) require_at_jwt: bool,
    pub(crate) key_refresh: Option<Duration>,
    pub(crate) dangerous_allow_http: bool,
}

impl Provider {
    /// A provider of which nothing is known yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an issuer: exactly the text of the `iss` claim, trailing slash included. Mandatory
    /// ([RFC 7519 §4.1.1](https://www.rfc-editor.org/rfc/rfc7519#section-4.1.1)).
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuers.push(issuer.into());
        self
    }

    /// Adds an audience: a token must name at least one, exactly. Mandatory: without it, a token
    /// that the provider issued for any other API would be accepted here
    /// ([RFC 8725 §3.9](https://www.rfc-editor.org/rfc/rfc8725#section-3.9)).
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// Sets the claim that holds the audience. Default `aud`. AWS Cognito's access tokens have none
    /// and carry `client_id` instead.
    pub fn audience_claim(mut self, claim: impl Into<String>) -> Self {
        self.audience_claim = Some(claim.into());
        self
    }

    /// Adds where the keys come from: one source, or an array of them. Mandatory. See [`Keys`] for the
    /// forms, and for what several sources mean.
    pub fn keys(mut self, keys: impl Into<Keys>) -> Self {
        self.keys.extend(keys.into().0);
        self
    }

    /// Sets keys that are used until the first fetch succeeds, so that a service can start while its
    /// provider cannot be reached. In serde `initial_keys`.
    ///
    /// They are given inline, in any form that [`Keys::inline`] takes. The rules for fetched keys apply:
    /// no HMAC secrets. Each source that is fetched starts with them, and its first successful fetch
    /// replaces them, also if a key is missing from it. That fetch begins when the policy is built,
    /// whether or not a refresh is set. With a refresh, they are trusted for the stale window
    /// ([`OAuth2Builder::stale_window`](crate::OAuth2Builder::stale_window)) from the start of the process.
    /// [`OAuth2::status`](crate::OAuth2::status) reports them as
    /// [`KeyState::Initial`](crate::KeyState::Initial). A usable snapshot
    /// ([`OAuth2Builder::key_snapshot`](crate::OAuth2Builder::key_snapshot)) has precedence.
    ///
    /// Default: none. A key that the provider has withdrawn since you deployed them is accepted until the
    /// provider can be reached, so keep them up to date.
    ///
    /// ```
    /// use oauth2_actix::{KeyState, OAuth2, Provider};
    /// # use oauth2_actix::{Algorithm, testing::SigningKey};
    ///
    /// # let published = SigningKey::generate(Algorithm::ES256, "1").jwk_set();
    /// let keycloak = Provider::new()
    ///     .issuer("https://sso.example.com/realms/shop")
    ///     .audience("orders")
    ///     .keys("https://sso.example.com/realms/shop/protocol/openid-connect/certs")
    ///     .initial_keys(published);
    /// let oauth2 = OAuth2::builder().provider("keycloak", keycloak).key_refresh_minutes(30).build()?;
    /// assert_eq!(oauth2.status()[0].state, KeyState::Initial);
    /// # Ok::<(), oauth2_actix::BuildError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `build()` reports keys that are not inline or of which none is usable, and initial keys beside
    /// keys that are all inline or fetched for every request.
    pub fn initial_keys(mut self, keys: impl Into<Keys>) -> Self {
        self.initial_keys = Some(keys.into());
        self
    }

    /// Sets the algorithms that a token may be signed with. Default: all asymmetric ones.
    ///
    /// HMAC works only if it is named here and the secret is given inline, at least as long as the
    /// hash ([RFC 7518 §3.2](https://www.rfc-editor.org/rfc/rfc7518#section-3.2)). Beside keys that are
    /// fetched, name their algorithms too: those keys are never used with HMAC.
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = Some(algorithms.into_iter().collect());
        self
    }

    /// Accepts only tokens whose `typ` says that they are access tokens: `at+jwt`
    /// ([RFC 9068 §2.1](https://www.rfc-editor.org/rfc/rfc9068#section-2.1)). In serde `require_at_jwt`.
    ///
    /// Default false: `JWT` and no `typ` are accepted too, since many providers write no other (Entra,
    /// Keycloak, Cognito; Auth0 writes `at+jwt` for APIs with the RFC 9068 profile). Where it can be
    /// set, no id_token or other JWT of the provider is ever taken for an access token.
    pub fn require_at_jwt(mut self, require: bool) -> Self {
        self.require_at_jwt = require;
        self
    }

    /// Sets how often this provider's keys are fetched again, in minutes; as
    /// [`OAuth2Builder::key_refresh`](crate::OAuth2Builder::key_refresh).
    pub fn key_refresh_minutes(self, minutes: u32) -> Self {
        self.key_refresh(Duration::from_secs(60 * u64::from(minutes)))
    }

    /// Sets how often this provider's keys are fetched again; as [`OAuth2Builder::key_refresh`](crate::OAuth2Builder::key_refresh).
    pub fn key_refresh(mut self, interval: Duration) -> Self {
        self.key_refresh = Some(interval);
        self
    }

    /// Lets keys be fetched over http from a host that is not this one.
    ///
    /// Whoever can answer in the provider's place can then make tokens that are accepted here. For
    /// a provider inside a private network that you trust, such as one of `docker compose`.
    pub fn dangerous_allow_http(mut self, allow: bool) -> Self {
        self.dangerous_allow_http = allow;
        self
    }

    pub(crate) fn audience_claim_name(&self) -> &str {
        self.audience_claim.as_deref().unwrap_or("aud")
    }

    pub(crate) fn algorithm_set(&self) -> AlgorithmSet {
        match &self.algorithms {
            Some(algorithms) => algorithms.iter().copied().collect(),
            None => AlgorithmSet::asymmetric(),
        }
    }

    /// What can be said of it alone.
    pub(crate) fn check(&self, name: &str) -> Result<(), BuildError> {
        let fault = |field, problem: &str| Err(BuildError::of_provider(name, field, problem));
        if name.is_empty() {
            return fault("providers", "its name is empty");
        }
        for (field, values) in [("issuer", &self.issuers), ("audience", &self.audiences)] {
            if values.is_empty() {
                return fault(field, "it is missing");
            }
            for value in values {
                if value.is_empty() {
                    return fault(field, "it is empty");
                }
                if value.trim() != value || value.contains(char::is_control) {
                    return fault(field, "it has white space around it, or control characters");
                }
                if value == "*" || value.contains("*.") {
                    return fault(field, "there is no wildcard: name each value as tokens have it");
                }
                if field == "issuer" && value.contains(['{', '}']) {
                    return fault(
                        field,
                        "it has a placeholder in braces, and is compared with the token's `iss` as it \
                         stands: name one tenant's issuer, or look issuers up with Tenants",
                    );
                }
            }
        }
        if self.audience_claim.as_deref() == Some("") {
            return fault("audience_claim", "it is empty");
        }
        if self.algorithms.as_ref().is_some_and(Vec::is_empty) {
            return fault("algorithms", "the list is empty, so no token could be accepted");
        }
        Ok(())
    }
}
