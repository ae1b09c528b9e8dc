//! One identity provider of the configuration: its issuers, audiences and keys.

mod calls;

use std::{fmt, time::Duration};

use crate::{
    authorize::requirement::Requirement,
    config::{
        binding::Binding,
        error::{ConfigError, ConfigErrorKind, Faults},
        introspection::Introspection,
        keys::{self, Keys},
        limits::{COOLDOWN, FETCH_TIMEOUT, KEY_REFRESH, STALE_WINDOW},
        names::{self, AUDIENCE, ISSUER, PROVIDERS},
        status_list::StatusList,
        token_exchange::TokenExchange,
    },
    jose::algorithm::{Algorithm, AlgorithmSet},
    util::spiffe,
};

/// An identity provider: its issuers, audiences and keys.
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
/// # Ok::<(), oauth2_actix::ConfigError>(())
/// ```
///
/// Through serde, it is a member of `providers`. It can also be deserialized alone, for example from JSON in
/// a row of a database. An error names the setting. `Provider::try_from(serde_json::Value)` returns the
/// faults as values.
///
/// ```
/// # use oauth2_actix::Provider;
/// let acme: Provider = serde_json::from_str(
///     r#"{"issuer": "https://sso.acme.example", "audience": "orders", "keys": {"discover": true}}"#,
/// )?;
/// # drop(acme);
/// # Ok::<(), serde_json::Error>(())
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
    /// The names given to `algorithms` that no algorithm has.
    unknown_algorithms: Vec<String>,
    pub(crate) require_at_jwt: bool,
    pub(crate) clients: Option<Vec<String>>,
    pub(crate) subjects: Option<Vec<String>>,
    pub(crate) requirements: Vec<Requirement>,
    pub(crate) spiffe_trust_domain: Option<String>,
    pub(crate) key_refresh: Option<Duration>,
    pub(crate) stale_window: Option<Duration>,
    pub(crate) unknown_key_cooldown: Option<Duration>,
    pub(crate) fetch_timeout: Option<Duration>,
    pub(crate) dpop: Binding,
    pub(crate) certificate_bound: Binding,
    pub(crate) introspection: Option<Introspection>,
    pub(crate) status_list: Option<StatusList>,
    pub(crate) token_exchange: Option<TokenExchange>,
    pub(crate) dangerous_allow_http: bool,
    pub(crate) dangerous_accept_bound_tokens: bool,
}

impl Provider {
    /// Creates a provider without any settings.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an issuer: exactly the text of the `iss` claim, including a trailing slash. Mandatory,
    /// except with a [`spiffe_trust_domain`](Self::spiffe_trust_domain)
    /// ([RFC 7519 §4.1.1](https://www.rfc-editor.org/rfc/rfc7519#section-4.1.1)).
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuers.push(issuer.into());
        self
    }

    /// Adds several issuers, as [`issuer`](Self::issuer) adds one.
    ///
    /// ```
    /// # use oauth2_actix::Provider;
    /// let google = Provider::new().issuers(["https://accounts.google.com", "accounts.google.com"]);
    /// # drop(google);
    /// ```
    pub fn issuers<I: Into<String>>(mut self, issuers: impl IntoIterator<Item = I>) -> Self {
        self.issuers.extend(issuers.into_iter().map(Into::into));
        self
    }

    /// Adds an audience. A token must have at least one audience exactly; there are no wildcards. Mandatory:
    /// without it, a token that the provider issued for any other API would be accepted here
    /// ([RFC 8725 §3.9](https://www.rfc-editor.org/rfc/rfc8725#section-3.9)).
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// Adds several audiences, as [`audience`](Self::audience) adds one.
    ///
    /// ```
    /// # use oauth2_actix::Provider;
    /// let provider = Provider::new().audiences(["orders", "orders-internal"]);
    /// # drop(provider);
    /// ```
    pub fn audiences<A: Into<String>>(mut self, audiences: impl IntoIterator<Item = A>) -> Self {
        self.audiences.extend(audiences.into_iter().map(Into::into));
        self
    }

    /// Sets the claim that holds the audience, for providers whose tokens have no `aud`. Default `aud`.
    ///
    /// | Provider | Claim | Audience |
    /// | --- | --- | --- |
    /// | AWS Cognito, access tokens | `client_id` | the app client id |
    /// | Clerk, session tokens | `azp` | the origin of your site, such as `https://app.example.com` |
    /// | WorkOS without a JWT template | `iss` | the issuer, which names your client |
    ///
    /// With `iss`, *every* token of that issuer is accepted, including tokens that were issued for another
    /// API ([RFC 8725 §3.9](https://www.rfc-editor.org/rfc/rfc8725#section-3.9)): use it only where the
    /// issuer has no other audience.
    ///
    /// ```
    /// use oauth2_actix::{Keys, Provider};
    ///
    /// let clerk = Provider::new()
    ///     .issuer("https://clerk.example.com")
    ///     .audience("https://app.example.com")
    ///     .audience_claim("azp")
    ///     .keys(Keys::discover());
    /// # drop(clerk);
    /// ```
    pub fn audience_claim(mut self, claim: impl Into<String>) -> Self {
        self.audience_claim = Some(claim.into());
        self
    }

    /// Adds one source of keys, or an array of sources. Mandatory. See [`Keys`] for the forms, and for the
    /// meaning of several sources.
    pub fn keys(mut self, keys: impl Into<Keys>) -> Self {
        self.keys.extend(keys.into().0);
        self
    }

    /// Sets keys that are used until the first fetch succeeds, so that a service can start while its
    /// provider cannot be reached. In serde `initial_keys`.
    ///
    /// They are given inline, in any form of [`Keys::inline`]. The rules for fetched keys apply: HMAC secrets
    /// are not used. Each source that is fetched starts with them, and its first successful fetch replaces
    /// them, also if it lacks some of them. That fetch begins when the policy is built, with or without a
    /// refresh interval. With a refresh interval, they are trusted for the stale window
    /// ([`OAuth2Builder::stale_window`](crate::OAuth2Builder::stale_window)) from the start of the process.
    /// [`OAuth2::key_status`](crate::OAuth2::key_status) reports them as
    /// [`KeyState::Initial`](crate::status::KeyState::Initial). A usable snapshot
    /// ([`OAuth2Builder::key_snapshot`](crate::OAuth2Builder::key_snapshot)) has precedence.
    ///
    /// Default: none. A key that the provider has withdrawn since the deployment is accepted until the
    /// provider can be reached, so keep these keys up to date.
    ///
    /// ```
    /// use oauth2_actix::{OAuth2, Provider, status::KeyState};
    /// # use oauth2_actix::{Algorithm, testing::SigningKey};
    ///
    /// # let published = SigningKey::generate(Algorithm::ES256, "1").jwk_set();
    /// let keycloak = Provider::new()
    ///     .issuer("https://sso.example.com/realms/shop")
    ///     .audience("orders")
    ///     .keys("https://sso.example.com/realms/shop/protocol/openid-connect/certs")
    ///     .initial_keys(published);
    /// let oauth2 = OAuth2::builder().provider("keycloak", keycloak).key_refresh_minutes(30).build()?;
    /// assert_eq!(oauth2.key_status()[0].state, KeyState::Initial);
    /// # Ok::<(), oauth2_actix::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `build()` reports initial keys that are not inline or have no usable key. It also reports initial keys
    /// for a provider whose keys are all inline, or are fetched for every request.
    pub fn initial_keys(mut self, keys: impl Into<Keys>) -> Self {
        self.initial_keys = Some(keys.into());
        self
    }

    /// Sets the algorithms that a token may be signed with, as values or names. Default: all asymmetric
    /// algorithms except ML-DSA; with a [`spiffe_trust_domain`](Self::spiffe_trust_domain), those of JWT-SVIDs.
    ///
    /// A key is used with exactly one algorithm ([RFC 8725 §3.1](https://www.rfc-editor.org/rfc/rfc8725#section-3.1)):
    /// its `alg`, or without one, as in PEM, that of the first token that it verifies. A later token by another
    /// algorithm is rejected, and a warning is logged once. The first algorithm holds for this process, until the
    /// provider withdraws the key. With this list, the choice is yours: a key without `alg` is used with each of
    /// the algorithms that fits its type. Name several only for a provider that signs with one RSA key in several
    /// ways.
    ///
    /// HMAC is used only if it is in this list and the secret is given inline, at least as long as the hash
    /// ([RFC 7518 §3.2](https://www.rfc-editor.org/rfc/rfc7518#section-3.2)). If the provider also has keys
    /// that are fetched, list their algorithms too: those keys are never used with HMAC.
    ///
    /// ML-DSA ([RFC 9964](https://www.rfc-editor.org/rfc/rfc9964)) is used only if `ML-DSA-44`, `ML-DSA-65` or
    /// `ML-DSA-87` is in this list. Name the algorithms of the provider's other keys too, as in
    /// `["ES256", "ML-DSA-65"]`. A token is then 4,000 to 7,000 characters long, so that proxies in front of the API
    /// must accept headers of that length.
    ///
    /// ```
    /// use oauth2_actix::{Algorithm, Provider};
    ///
    /// let provider = Provider::new().algorithms([Algorithm::RS256, Algorithm::ES256]);
    /// assert_eq!(provider, Provider::new().algorithms(["RS256", "ES256"]));
    /// ```
    ///
    /// # Errors
    ///
    /// `build()` fails if a name is not that of an [`Algorithm`], if HMAC has no inline secret, and if ML-DSA is named
    /// beside [`CryptoBackend::OpenSsl`](crate::CryptoBackend::OpenSsl).
    pub fn algorithms<A>(mut self, algorithms: impl IntoIterator<Item = A>) -> Self
    where
        A: TryInto<Algorithm> + fmt::Display + Clone,
    {
        let (known, unknown) = Algorithm::known_and_unknown(algorithms);
        (self.algorithms, self.unknown_algorithms) = (Some(known), unknown);
        self
    }

    /// Accepts only access tokens of the JWT profile
    /// ([RFC 9068 §4](https://www.rfc-editor.org/rfc/rfc9068#section-4)). In serde `require_at_jwt`.
    ///
    /// The `typ` must be `at+jwt`, and `iss`, `exp`, `aud`, `sub`, `client_id`, `iat` and `jti` must be present
    /// (§2.2). If present, `auth_time` must be a number, `acr` text, and `amr` a list of texts (§2.2.1).
    ///
    /// Default false: `JWT` and a missing `typ` are accepted too, because many providers do not set `at+jwt`
    /// (Entra, Keycloak, Cognito; Auth0 sets it for APIs with the RFC 9068 profile). With this setting, an
    /// id_token or another JWT of the provider is never accepted as an access token.
    pub fn require_at_jwt(mut self, require: bool) -> Self {
        self.require_at_jwt = require;
        self
    }

    /// Accepts only tokens that were issued to one of these clients: by `client_id`, `azp`, `appid` or `cid`, the
    /// first that a token has ([`Claims::client_id`](crate::Claims::client_id)). A token of another client, or
    /// without one, is rejected with 401. Default: any client. In serde `clients`: a list, or one text.
    ///
    /// ```
    /// use oauth2_actix::Provider;
    ///
    /// let provider = Provider::new().clients(["web-shop", "mobile-app"]);
    /// # drop(provider);
    /// ```
    pub fn clients<C: Into<String>>(mut self, clients: impl IntoIterator<Item = C>) -> Self {
        self.clients = Some(clients.into_iter().map(Into::into).collect());
        self
    }

    /// Accepts only tokens with one of these subjects (`sub`), such as the accounts of services. A token of
    /// another subject is rejected with 401. Default: any subject. In serde `subjects`: a list, or one text.
    ///
    /// ```
    /// use oauth2_actix::Provider;
    ///
    /// let provider = Provider::new().subjects(["billing-job", "report-job"]);
    /// # drop(provider);
    /// ```
    pub fn subjects<S: Into<String>>(mut self, subjects: impl IntoIterator<Item = S>) -> Self {
        self.subjects = Some(subjects.into_iter().map(Into::into).collect());
        self
    }

    /// Requires something of every token of this provider, whatever route it is for. A token that does not
    /// satisfy it is rejected with 401. Several requirements must all be met. In serde `require`: a
    /// requirement, as in `policies`.
    ///
    /// ```
    /// use oauth2_actix::{Provider, requirement};
    ///
    /// let provider = Provider::new().require(requirement::claim("tenant", "ours"));
    /// # drop(provider);
    /// ```
    ///
    /// It is checked when a token is verified. A token in the cache was checked, and is not checked again: for
    /// what changes while a token is valid, use [`require`](macro@crate::require) on a handler.
    pub fn require(mut self, requirement: Requirement) -> Self {
        self.requirements.push(requirement);
        self
    }

    /// Makes this the provider of a SPIFFE trust domain: its tokens are
    /// [JWT-SVIDs](https://github.com/spiffe/spiffe/blob/main/standards/JWT-SVID.md). In serde
    /// `spiffe_trust_domain`.
    ///
    /// For this provider only,
    ///
    /// - `sub` must be a SPIFFE ID of exactly this trust domain with a path, `spiffe://example.org/…`;
    /// - a token without `iss` is accepted, and an [`issuer`](Self::issuer) is not mandatory. A token with
    ///   `iss` is accepted only if it is a configured issuer;
    /// - the keys of a SPIFFE bundle with the `use` `jwt-svid` are used, and those with `x509-svid` never;
    /// - the `typ` `JOSE` is accepted besides `JWT`, `at+jwt` and none (JWT-SVID §2.3);
    /// - the algorithms are by default those of JWT-SVID §2.1: RS, ES and PS with 256, 384 and 512. HMAC is
    ///   an error.
    ///
    /// `exp` and an [`audience`](Self::audience) in `aud` remain mandatory (JWT-SVID §3). Without `iss`, the
    /// provider is selected by the trust domain of `sub`, so each trust domain may have only one provider. A
    /// [`Tenant`](crate::tenants::Tenant) is selected by `iss`, so its tokens must have one.
    /// [`Keys::discover`] requires an issuer.
    ///
    /// Default: none.
    ///
    /// ```
    /// use oauth2_actix::{OAuth2, Provider};
    ///
    /// let spire = Provider::new()
    ///     .spiffe_trust_domain("example.org")
    ///     .audience("orders")
    ///     .keys("https://spire.example.org/bundle");
    /// let oauth2 = OAuth2::builder().provider("spire", spire).key_refresh_minutes(5).build()?;
    /// # Ok::<(), oauth2_actix::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `build()` reports a text that is not the name of a trust domain (SPIFFE-ID §2.1: lower-case letters,
    /// digits, dots, hyphens and underscores, at most 255 bytes), two providers with the same trust domain,
    /// an [`audience_claim`](Self::audience_claim) other than `aud`, and HMAC among the algorithms.
    pub fn spiffe_trust_domain(mut self, trust_domain: impl Into<String>) -> Self {
        self.spiffe_trust_domain = Some(trust_domain.into());
        self
    }

    /// Sets the refresh interval of this provider's keys in minutes, as
    /// [`OAuth2Builder::key_refresh`](crate::OAuth2Builder::key_refresh).
    pub fn key_refresh_minutes(self, minutes: u32) -> Self {
        self.key_refresh(Duration::from_secs(60 * u64::from(minutes)))
    }

    /// Sets the refresh interval of this provider's keys, as
    /// [`OAuth2Builder::key_refresh`](crate::OAuth2Builder::key_refresh).
    pub fn key_refresh(mut self, interval: Duration) -> Self {
        self.key_refresh = Some(interval);
        self
    }

    /// Sets how long this provider's keys are used after the last successful fetch, as
    /// [`OAuth2Builder::stale_window`](crate::OAuth2Builder::stale_window).
    pub fn stale_window(mut self, window: Duration) -> Self {
        self.stale_window = Some(window);
        self
    }

    /// Sets the least time between two fetches that unknown key ids cause at this provider, as
    /// [`OAuth2Builder::unknown_key_cooldown`](crate::OAuth2Builder::unknown_key_cooldown).
    pub fn unknown_key_cooldown(mut self, cooldown: Duration) -> Self {
        self.unknown_key_cooldown = Some(cooldown);
        self
    }

    /// Sets the time limit for a fetch from this provider, as
    /// [`OAuth2Builder::fetch_timeout`](crate::OAuth2Builder::fetch_timeout).
    pub fn fetch_timeout(mut self, timeout: Duration) -> Self {
        self.fetch_timeout = Some(timeout);
        self
    }

    /// Sets whether tokens of this provider are bound to a key of the client by DPoP
    /// ([RFC 9449](https://www.rfc-editor.org/rfc/rfc9449)). Default [`Binding::Off`]; in serde `dpop`: `"off"`,
    /// `"allowed"` or `"required"`.
    ///
    /// A token with `cnf.jkt` is then accepted only as `Authorization: DPoP TOKEN`, with a proof for exactly this
    /// request in the header `DPoP`. The settings for proofs are those of
    /// [`OAuth2Builder::dpop`](crate::OAuth2Builder::dpop).
    ///
    /// ```
    /// use oauth2_actix::{Binding, Keys, OAuth2, Provider, dpop::Dpop};
    ///
    /// let provider = Provider::new()
    ///     .issuer("https://login.example.com")
    ///     .audience("orders")
    ///     .keys(Keys::discover())
    ///     .dpop(Binding::Required);
    /// let oauth2 = OAuth2::builder()
    ///     .provider("login", provider)
    ///     .dpop(Dpop::new().base_url("https://api.example.com"))
    ///     .key_refresh_minutes(30)
    ///     .build()?;
    /// # Ok::<(), oauth2_actix::ConfigError>(())
    /// ```
    ///
    /// For a tenant that is looked up, set [`OAuth2Builder::dpop`](crate::OAuth2Builder::dpop) too: without it, its bound
    /// tokens are rejected.
    ///
    /// # Errors
    ///
    /// `build()` fails without a [`resource`](crate::OAuth2Builder::resource) or a
    /// [`base_url`](crate::dpop::Dpop::base_url), and together with
    /// [`dangerous_accept_bound_tokens`](Self::dangerous_accept_bound_tokens).
    pub fn dpop(mut self, binding: Binding) -> Self {
        self.dpop = binding;
        self
    }

    /// Sets whether tokens of this provider are bound to a certificate of the client
    /// ([RFC 8705 §3](https://www.rfc-editor.org/rfc/rfc8705#section-3)). Default [`Binding::Off`]; in serde
    /// `certificate_bound`: `"off"`, `"allowed"` or `"required"`.
    ///
    /// A token with `cnf.x5t#S256` is then accepted only from the client whose certificate it names. For where the
    /// certificate comes from, see [`mtls`](crate::mtls).
    ///
    /// # Errors
    ///
    /// `build()` fails together with [`dangerous_accept_bound_tokens`](Self::dangerous_accept_bound_tokens).
    pub fn certificate_bound(mut self, binding: Binding) -> Self {
        self.certificate_bound = binding;
        self
    }

    /// Returns whether the provider has no issuer and needs none.
    fn lacks_issuer(&self) -> bool {
        self.issuers.is_empty() && self.spiffe_trust_domain.is_some()
    }

    /// Allows fetching keys over http from a host that is not a loopback host.
    ///
    /// An attacker who can respond instead of the provider can then create tokens that are accepted here. Use
    /// it for a provider inside a private network that you trust, such as that of `docker compose`.
    pub fn dangerous_allow_http(mut self, allow: bool) -> Self {
        self.dangerous_allow_http = allow;
        self
    }

    /// Accepts this provider's sender-constrained tokens as plain bearer tokens.
    ///
    /// Such a token has a `cnf` claim: it is bound to a DPoP key ([RFC 9449
    /// §7.2](https://www.rfc-editor.org/rfc/rfc9449#section-7.2)) or to a client certificate ([RFC 8705
    /// §3](https://www.rfc-editor.org/rfc/rfc8705#section-3)), so that it is useless to an attacker who has
    /// stolen it. With this option, the binding is ignored, and a stolen token is accepted. It is for a
    /// service behind a gateway that has checked the proof of possession.
    ///
    /// In serde `dangerous_accept_bound_tokens`. Default false: a token with any `cnf`, including null and
    /// values of another type, is rejected with 401 `invalid_token`, wherever the request has the token, and
    /// at the renewal of a WebSocket session.
    ///
    /// ```
    /// let behind_a_gateway = oauth2_actix::Provider::new().dangerous_accept_bound_tokens(true);
    /// # drop(behind_a_gateway);
    /// ```
    pub fn dangerous_accept_bound_tokens(mut self, accept: bool) -> Self {
        self.dangerous_accept_bound_tokens = accept;
        self
    }

    pub(crate) fn audience_claim_name(&self) -> &str {
        self.audience_claim.as_deref().unwrap_or("aud")
    }

    pub(crate) fn algorithm_set(&self) -> AlgorithmSet {
        match &self.algorithms {
            Some(algorithms) => algorithms.iter().copied().collect(),
            None if self.spiffe_trust_domain.is_some() => AlgorithmSet::of_spiffe(),
            None => AlgorithmSet::by_default(),
        }
    }

    /// Returns the faults that can be found without the keys and the rest of the configuration. A provider
    /// that is deserialized alone has no name. `has_resource`: the policy has a protected resource, which is an
    /// audience.
    pub(crate) fn faults(&self, name: Option<&str>, has_resource: bool) -> Faults {
        use ConfigErrorKind::{Conflict, Empty, Invalid, Missing};
        let mut faults = Faults::default();
        let mut fault = |field: &'static str, kind, message: &str| {
            faults.push(ConfigError::new(name, field, message).of_kind(kind));
        };
        if name == Some("") {
            fault(PROVIDERS, Empty, "the name of a provider must not be empty");
        }
        for (field, values, missing) in [
            (ISSUER, &self.issuers, "missing: the `iss` of the provider's tokens is mandatory"),
            (AUDIENCE, &self.audiences, "missing: the `aud` of tokens for this API is mandatory"),
        ] {
            let is_optional = match field {
                // A JWT-SVID may lack `iss`.
                ISSUER => self.spiffe_trust_domain.is_some(),
                // A protected resource is an audience.
                _ => has_resource && self.audience_claim_name() == "aud",
            };
            if values.is_empty() && !is_optional {
                fault(field, Missing, missing);
            }
            for value in values {
                if value.is_empty() {
                    fault(field, Empty, "must not be empty");
                } else if value.trim() != value || value.contains(char::is_control) {
                    let problem = "must not have white space around it or control characters";
                    fault(field, Invalid, problem);
                } else if value.contains('*') {
                    let problem = if field == ISSUER {
                        "has a `*`, and there is no wildcard: name each value as tokens have it, or look \
                         up issuers with Tenants"
                    } else {
                        "has a `*`, and there is no wildcard: name each value as tokens have it"
                    };
                    fault(field, Invalid, problem);
                } else if value.contains(['{', '}']) {
                    let problem = if field == ISSUER {
                        "has a placeholder in braces, but is compared with the token's `iss` as it is: \
                         name the issuer of one tenant, or look up issuers with Tenants"
                    } else {
                        "has a placeholder in braces, but is compared with the token's audience as it \
                         is: write the value that tokens have"
                    };
                    fault(field, Invalid, problem);
                }
            }
        }
        if has_resource && self.audience_claim.as_deref() == Some("iss") {
            let problem = "is `iss`, so that every token of the issuer would be accepted; with a `resource`, \
                           expected a claim that names this API";
            fault(names::AUDIENCE_CLAIM, Conflict, problem);
        }
        if self.audience_claim.as_deref() == Some("") {
            fault(names::AUDIENCE_CLAIM, Empty, "must not be empty");
        }
        if let Some(trust_domain) = &self.spiffe_trust_domain {
            if let Some(problem) = spiffe::problem_of_trust_domain(trust_domain) {
                let kind = if trust_domain.is_empty() { Empty } else { Invalid };
                fault(names::SPIFFE_TRUST_DOMAIN, kind, problem);
            }
            if !matches!(self.audience_claim_name(), "aud" | "") {
                let problem = "must be `aud`, or left out, with a `spiffe_trust_domain`: a JWT-SVID has its \
                               audience there";
                fault(names::AUDIENCE_CLAIM, Conflict, problem);
            }
        }
        for (field, list) in [(names::CLIENTS, &self.clients), (names::SUBJECTS, &self.subjects)] {
            let Some(list) = list else { continue };
            if list.is_empty() {
                fault(field, Empty, "the list is empty, so no token could be accepted");
            } else if list.iter().any(String::is_empty) {
                fault(field, Empty, "must not have an empty value");
            }
        }
        if self.dangerous_accept_bound_tokens
            && (self.dpop.is_on() || self.certificate_bound.is_on())
        {
            let problem = "contradicts `dpop` and `certificate_bound`, which check the proofs of bound tokens; \
                           expected one or the other";
            fault(names::DANGEROUS_ACCEPT_BOUND_TOKENS, Conflict, problem);
        }
        if self.keys.is_empty() && self.introspection.is_none() {
            fault(names::KEYS, Missing, "missing: a source of the provider's keys is mandatory");
        }
        if self.algorithms.as_ref().is_some_and(Vec::is_empty) && self.unknown_algorithms.is_empty()
        {
            let problem =
                "the list is empty, so no token could be accepted: name at least one algorithm";
            fault(names::ALGORITHMS, Empty, problem);
        }
        for unknown in &self.unknown_algorithms {
            faults.take(Algorithm::named(unknown, name));
        }
        faults.push_all(self.introspection_faults(name));
        faults.push_all(self.status_list_faults(name));
        if let Some(exchange) = &self.token_exchange {
            faults.push_all(exchange.faults(name, self.lacks_issuer()));
        }
        for (limit, value) in [
            (KEY_REFRESH, self.key_refresh),
            (STALE_WINDOW, self.stale_window),
            (COOLDOWN, self.unknown_key_cooldown),
            (FETCH_TIMEOUT, self.fetch_timeout),
        ] {
            faults.take(limit.check_if_set(name, value));
        }
        faults
    }
}

impl Algorithm {
    /// Returns the algorithm with this name, from the setting `algorithms` of a provider.
    pub(crate) fn named(name: &str, provider: Option<&str>) -> Result<Self, ConfigError> {
        name.parse().map_err(|_| {
            let known: Vec<_> = Self::all().map(Self::name).collect();
            let problem =
                format_args!("{name:?} is not supported: expected one of {}", known.join(", "));
            ConfigError::new(provider, names::ALGORITHMS, problem).of_kind(ConfigErrorKind::Unknown)
        })
    }
}
