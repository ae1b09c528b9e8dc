//! The settings in code for access rules: scope hierarchy, named policies, and the time of asynchronous checks.

use std::{future::Future, sync::Arc, time::Duration};

use crate::{
    authorize::{policies::Policies, requirement::Requirement},
    builder::{OAuth2Builder, deserialize::nearest},
    config::{
        error::{ConfigError, ConfigErrorKind, Faults},
        names,
    },
    policy::principal::PrincipalValue,
    provider::{NO_AUTH_AGE, check_requirements},
    token::{
        claims::Claims,
        principal::PrincipalError,
        rules::{DEFAULT_CHECK_TIMEOUT, Rules, ScopeHierarchy},
        scope::is_scope_token,
    },
};

impl OAuth2Builder {
    /// Declares that a scope implies others: a token with `scope` counts as one with each of `implied`, and with
    /// what they imply. `#[require_scope]`, [`Claims::has_scope`](crate::Claims::has_scope) and all requirements
    /// agree on it. Default: no scope implies another.
    ///
    /// ```
    /// use oauth2_actix::OAuth2;
    ///
    /// let builder = OAuth2::builder()
    ///     .scope_implies("orders:admin", ["orders:write"])
    ///     .scope_implies("orders:write", ["orders:read"]);
    /// # drop(builder);
    /// ```
    ///
    /// [`Claims::scopes`](crate::Claims::scopes) lists what the token itself has. A challenge for a route that
    /// requires both scopes of a pair names only the one that implies the other. `build()` rejects a cycle, and
    /// a text that is not a scope ([RFC 6749 §3.3](https://www.rfc-editor.org/rfc/rfc6749#section-3.3)). In
    /// serde `scope_implies`: a map of a scope to the list of the scopes that it implies.
    pub fn scope_implies<S: Into<String>>(
        mut self,
        scope: impl Into<String>,
        implied: impl IntoIterator<Item = S>,
    ) -> Self {
        self.scope_implies.push((scope.into(), implied.into_iter().map(Into::into).collect()));
        self
    }

    /// Defines a requirement with a name, for [`require_policy`](macro@crate::require_policy) and
    /// [`requirement::policy`](crate::requirement::policy).
    ///
    /// ```
    /// use oauth2_actix::{OAuth2, requirement};
    ///
    /// let builder = OAuth2::builder().policy(
    ///     "back-office",
    ///     requirement::all([requirement::claim("role", "staff"), requirement::scopes(["refunds"])]),
    /// );
    /// # drop(builder);
    /// ```
    ///
    /// `build()` rejects a name that is used and not defined, by a policy or by a handler of the program: each
    /// `OAuth2` of a program defines all policies that its handlers name. It also rejects a policy that refers
    /// to itself. In serde `policies`: a map of names to requirements, such as
    /// `{"back-office": {"all": [{"claim": "role", "value": "staff"}, {"scopes": ["refunds"]}]}}`.
    pub fn policy(mut self, name: impl Into<String>, requirement: Requirement) -> Self {
        self.policies.push((name.into(), requirement));
        self
    }

    /// Requires something of every token of every provider, tenants included: see
    /// [`Provider::require`](crate::Provider::require). In serde `require`.
    ///
    /// ```
    /// use oauth2_actix::{OAuth2, requirement};
    ///
    /// let builder = OAuth2::builder().require(requirement::claim("email_verified", true));
    /// # drop(builder);
    /// ```
    pub fn require(mut self, requirement: Requirement) -> Self {
        self.requirements.push(requirement);
        self
    }

    /// Sets a function that turns the claims of an accepted token into a value of the application, such as the
    /// user from a database. Handlers get it as [`Principal`](crate::Principal). Default: none.
    ///
    /// ```
    /// use actix_web::get;
    /// use oauth2_actix::{Claims, OAuth2, Principal, PrincipalError};
    ///
    /// struct User {
    ///     name: String,
    /// }
    ///
    /// async fn load(claims: Claims) -> Result<User, PrincipalError> {
    ///     // Ask a database here. Its errors become 503 by `?`.
    ///     match claims.subject() {
    ///         Some(name) => Ok(User { name: name.to_owned() }),
    ///         None => Err(PrincipalError::forbidden("the token has no subject")),
    ///     }
    /// }
    ///
    /// #[get("/me")]
    /// async fn me(user: Principal<User>) -> String {
    ///     user.name.clone()
    /// }
    ///
    /// let builder = OAuth2::builder().principal(load);
    /// # drop((builder, me));
    /// ```
    ///
    /// It is called after every check of a token and before the handler, and never for a request without a valid
    /// token. The error says whether the response is 401, 403 or 503; on a public path, the request is served
    /// without claims instead. The result is kept with the token in the cache for
    /// [`principal_lifetime`](Self::principal_lifetime), and never beyond `exp`. Requests with the same token
    /// wait for one call, and for its error. A call that takes longer than [`check_timeout`](Self::check_timeout) gives 503. An error
    /// is not cached. It is not called for [`OAuth2::verify`](crate::OAuth2::verify) and for the renewal of a WebSocket
    /// session. The function runs on an actix worker: it must not block.
    pub fn principal<F, R, T>(mut self, principal: F) -> Self
    where
        F: Fn(Claims) -> R + Send + Sync + 'static,
        R: Future<Output = Result<T, PrincipalError>> + 'static,
        T: Send + Sync + 'static,
    {
        self.principal = Some(Arc::new(move |claims| {
            let result = principal(claims);
            Box::pin(async move { result.await.map(|value| Arc::new(value) as PrincipalValue) })
        }));
        self
    }

    /// Sets how long the result of [`principal`](Self::principal) is used for further requests with the same
    /// token. Default 1 minute, at most 24 hours; with 0, it is called for every request. A user whose rights
    /// change keeps the old ones for at most this long. In serde `principal_lifetime_seconds`.
    pub fn principal_lifetime(mut self, lifetime: Duration) -> Self {
        self.principal_lifetime = Some(lifetime);
        self
    }

    /// Sets how long an asynchronous function of [`require`](macro@crate::require), the
    /// [`principal`](Self::principal), or a [`ReplayStore`](crate::dpop::ReplayStore) may take; a request whose check takes
    /// longer gets 503. Default 5 s, at
    /// least 10 ms, at most 60 s. In serde `check_timeout_seconds`.
    pub fn check_timeout(mut self, timeout: Duration) -> Self {
        self.check_timeout = Some(timeout);
        self
    }

    /// Counts the scopes of verified tokens, for [`OAuth2::access_report`](crate::OAuth2::access_report). Default
    /// off. A token in the cache costs nothing more; a new one takes a lock for the time of a few comparisons.
    /// In serde `access_report`.
    pub fn access_report(mut self, is_on: bool) -> Self {
        self.access_report = is_on;
        self
    }

    /// Resolves the scope hierarchy and the named policies. `access_faults` reports their faults.
    pub(crate) fn rules(&self) -> Rules {
        Rules {
            scopes: ScopeHierarchy::resolve(&self.scope_implies).unwrap_or_default(),
            policies: Arc::new(Policies::new(self.policies.iter().cloned())),
            check_timeout: self.check_timeout.unwrap_or(DEFAULT_CHECK_TIMEOUT),
            leeway: self.leeway,
            resources: self.resources.iter().filter_map(|it| Some(it.uri().ok()?.text())).collect(),
        }
    }

    /// Returns the faults of the scope hierarchy and of the policies.
    pub(crate) fn access_faults(&self) -> Faults {
        let mut faults = Faults::default();
        let mut fault = |field, kind, problem: String| {
            faults.push(ConfigError::of_policy(field, problem).of_kind(kind));
        };
        for (scope, implied) in &self.scope_implies {
            for scope in std::iter::once(scope).chain(implied) {
                if !is_scope_token(scope) {
                    let problem = format!(
                        "{scope:?} is not a scope; expected printable ASCII without spaces, quotes and \
                         backslashes"
                    );
                    fault(names::SCOPE_IMPLIES, ConfigErrorKind::Invalid, problem);
                }
            }
        }
        if let Err(scope) = ScopeHierarchy::resolve(&self.scope_implies) {
            let problem = format!("{scope:?} implies itself; expected a hierarchy without cycles");
            fault(names::SCOPE_IMPLIES, ConfigErrorKind::Conflict, problem);
        }
        let mut seen = Vec::new();
        for (name, _) in &self.policies {
            if name.is_empty() {
                let problem = "the name of a policy must not be empty".to_owned();
                fault(names::POLICIES, ConfigErrorKind::Empty, problem);
            } else if seen.contains(&name) {
                let problem = format!("{name:?} is defined twice; expected one definition");
                fault(names::POLICIES, ConfigErrorKind::Duplicate, problem);
            }
            seen.push(name);
        }
        let policies = Policies::new(self.policies.iter().cloned());
        for (name, user) in policies.undefined() {
            let hint = nearest(name, policies.names())
                .map(|meant| format!(", did you mean {meant:?}?"))
                .unwrap_or_default();
            let problem = format!("{name:?} is used by {user} and not defined{hint}");
            fault(names::POLICIES, ConfigErrorKind::Unknown, problem);
        }
        if let Some(name) = policies.cycle() {
            let problem = format!("{name:?} refers to itself; expected policies without cycles");
            fault(names::POLICIES, ConfigErrorKind::Conflict, problem);
            return faults;
        }
        let rules = self.rules();
        if self.requirements.iter().any(|requirement| requirement.depends_on_time(&rules)) {
            fault(names::REQUIRE, ConfigErrorKind::Conflict, NO_AUTH_AGE.to_owned());
        }
        for (name, provider) in &self.providers {
            faults.take(check_requirements(name, &provider.requirements, &rules));
        }
        faults
    }
}
