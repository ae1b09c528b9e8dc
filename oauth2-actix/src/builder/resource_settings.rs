//! The settings in code for protected resources (RFC 9728), their checks, and what they become.

use std::sync::Arc;

use crate::{
    authorize::{requirement::Requirement, rule::RULED_ROUTES},
    builder::OAuth2Builder,
    config::{
        error::{ConfigError, ConfigErrorKind, Faults},
        keys::Form,
        names::{AUDIENCE, RESOURCE},
        provider::Provider,
        resource::{OFFLINE_ACCESS, OFFLINE_ACCESS_PROBLEM, Resource},
    },
    http::client::Clients,
    keys::discovery::Issuer,
    protected_resource::{
        ProtectedResource, Resources,
        authorization_server::{AuthorizationServer, Comparison},
        document::Facts,
    },
    provider::Defaults,
    request::token_source::TokenRequests,
};

impl OAuth2Builder {
    /// Sets the identifier of the API as a protected resource
    /// ([RFC 9728](https://www.rfc-editor.org/rfc/rfc9728)), as MCP clients require it: a URL, or a [`Resource`]
    /// with more settings. Repeatable; in serde `resource`.
    ///
    /// ```
    /// use actix_web::{App, HttpResponse, web};
    /// use oauth2_actix::{OAuth2, Provider};
    ///
    /// let provider = Provider::new()
    ///     .issuer("https://login.example.com")
    ///     .keys("https://login.example.com/jwks.json");
    /// let oauth2 = OAuth2::builder()
    ///     .provider("login", provider)
    ///     .resource("https://api.example.com/mcp")
    ///     .build()?;
    /// let app = App::new()
    ///     .service(oauth2.resource_metadata())
    ///     .route("/mcp", web::post().to(HttpResponse::Ok))
    ///     .wrap(oauth2);
    /// # Ok::<(), oauth2_actix::ConfigError>(())
    /// ```
    ///
    /// - It is an audience of every provider whose audience is in `aud`
    ///   ([RFC 8707 §2](https://www.rfc-editor.org/rfc/rfc8707#section-2)), which then needs no other.
    /// - A request without a token gets 401 unless [`missing_token_status`](Self::missing_token_status) says
    ///   otherwise.
    /// - Every challenge has `resource_metadata`, the URL of the metadata document.
    /// - [`OAuth2::resource_metadata`](crate::OAuth2::resource_metadata) is a service that sends this document.
    /// - [`OAuth2::warm_up`](crate::OAuth2::warm_up) compares the settings with the metadata of the authorization
    ///   servers, and logs what will fail.
    ///
    /// With one resource, the whole policy is for it. With several, a request is for the one whose path its own
    /// path begins with, the longest if there are several, and only tokens for this one are accepted; a path
    /// outside of all accepts none of their tokens. A path that a handler could resolve to another one, by `..`,
    /// `//` or percent-encoding that the router keeps, needs a token for all of them. Only paths distinguish them:
    /// resources with the same path at several hosts are one, since a client chooses `Host`. A token for a
    /// [`Provider::audience`](crate::Provider::audience) is accepted for all of them and on every path.
    /// [`OAuth2::verify`](crate::OAuth2::verify) knows no path, and accepts tokens for each.
    ///
    /// # Errors
    ///
    /// `build()` rejects an identifier that is not https (or http to a loopback host), has a fragment or is set
    /// twice; one that is also an issuer; a provider without an audience of this API; two providers of one issuer;
    /// with several resources, one that is also an audience of a provider; the scope `offline_access`; and a document
    /// without authorization servers.
    pub fn resource(mut self, resource: impl Into<Resource>) -> Self {
        self.resources.push(resource.into());
        self
    }

    pub(super) fn resource_faults(&self) -> Faults {
        use ConfigErrorKind::{Conflict, Duplicate, Invalid, Missing};
        let mut faults = Faults::default();
        if self.resources.is_empty() {
            return faults;
        }
        let fault = |kind, problem: String| ConfigError::of_policy(RESOURCE, problem).of_kind(kind);
        let has_issuer = !self.issuers().is_empty();
        let mut seen = Vec::new();
        for resource in &self.resources {
            faults.push_all(resource.faults());
            let Ok(uri) = resource.uri() else { continue };
            let text = uri.text();
            let mut issuers = self.providers.iter().flat_map(|(_, provider)| &provider.issuers);
            if issuers.any(|issuer| uri.is(issuer)) {
                let problem = format!(
                    "{text:?} is the issuer of a provider too; expected the URL of this API, since other \
                     tokens of the issuer may have the issuer as their audience"
                );
                faults.push(fault(Conflict, problem));
            }
            if self.resources.len() > 1 {
                for (name, provider) in &self.providers {
                    if provider.audiences.iter().any(|audience| uri.is(audience)) {
                        let problem = format!(
                            "{text:?} is an audience of the provider too, which is one for all resources: remove \
                             it there, since a resource is an audience already"
                        );
                        let error = ConfigError::of_provider(name, AUDIENCE, problem);
                        faults.push(error.of_kind(Conflict));
                    }
                }
            }
            if !has_issuer && resource.authorization_servers.is_none() {
                let problem = format!(
                    "{text:?}: no provider has an issuer that is a URL, so no client could log in; set \
                     `authorization_servers`"
                );
                faults.push(fault(Missing, problem));
            }
            if seen.contains(&text) {
                faults.push(fault(Duplicate, format!("{text:?} is set twice")));
            }
            seen.push(text);
        }
        // The first provider would decide which requirements apply to a token for the resource.
        let mut of_issuers: Vec<(&str, &str)> = Vec::new();
        for (name, provider) in &self.providers {
            if provider.audience_claim_name() != "aud" {
                continue;
            }
            for issuer in &provider.issuers {
                match of_issuers.iter().find(|(known, _)| known == issuer) {
                    Some((_, earlier)) if earlier != name => {
                        let problem = format!(
                            "tokens of {issuer:?} for the resource would be accepted by providers {earlier:?} and \
                             {name:?}: make them one provider, with both audiences"
                        );
                        faults.push(fault(Conflict, problem));
                    }
                    Some(_) => {}
                    None => of_issuers.push((issuer, name)),
                }
            }
        }
        let rules = self.rules();
        let scopes = self.named_by_rules(|requirement| requirement.named_scopes(&rules));
        if scopes.iter().any(|scope| scope == OFFLINE_ACCESS) {
            let problem = format!("an access rule requires {OFFLINE_ACCESS_PROBLEM}");
            faults.push(fault(Invalid, problem));
        }
        faults
    }

    /// Returns the resources, and the comparison with their authorization servers. The settings were checked.
    pub(super) fn protected_resources(
        &self,
        defaults: &Defaults,
    ) -> (Resources, Option<Comparison>) {
        if self.resources.is_empty() {
            return (Resources::default(), None);
        }
        let rules = &defaults.rules;
        let scopes = self.named_by_rules(|requirement| requirement.named_scopes(rules));
        let detail_types = self.named_by_rules(|requirement| requirement.named_detail_types(rules));
        let issuers = self.issuers();
        let proof_algorithms = self.proof_algorithms();
        let facts = Facts {
            issuers: &issuers,
            scopes: &scopes,
            accepts_query: self.token_sources.query == Some(TokenRequests::EveryRequest),
            detail_types: &detail_types,
            proof_algorithms: &proof_algorithms,
            requires_dpop: self.requires_dpop(),
            accepts_certificates: self.accepts_certificates(),
        };
        let resources = self.resources.iter().filter_map(|resource| {
            Some(ProtectedResource::new(resource, resource.uri().ok()?, &facts))
        });
        let servers = self.providers.iter().filter_map(|(name, provider)| {
            Some(AuthorizationServer {
                provider: name.clone(),
                issuer: metadata_of(provider)?,
                algorithms: provider.algorithm_set(),
            })
        });
        let clients = match &self.ready_client {
            Some(client) => Clients::ready_made(client.clone()),
            None => Clients::new(self.adjust_client.clone()),
        };
        let comparison = Comparison {
            servers: servers.collect(),
            clients: Arc::new(clients),
            timeout: defaults.timeout,
            clock: self.clock.clone(),
        };
        (Resources::new(resources.collect()), Some(comparison))
    }

    /// Returns the issuers at which clients can log in, in the order of the configuration.
    fn issuers(&self) -> Vec<String> {
        let mut issuers: Vec<String> = Vec::new();
        for (_, provider) in &self.providers {
            for issuer in &provider.issuers {
                let is_url = Issuer::parse(issuer, provider.dangerous_allow_http).is_ok();
                if is_url && !issuers.contains(issuer) {
                    issuers.push(issuer.clone());
                }
            }
        }
        issuers
    }

    /// Returns all names of one kind in the access rules of the program and the requirements of the configuration,
    /// sorted.
    fn named_by_rules(&self, named: impl Fn(&Requirement) -> Vec<String>) -> Vec<String> {
        let of_routes = RULED_ROUTES.iter().filter_map(|row| (row.rule)().requirement());
        let of_providers = self.providers.iter().flat_map(|(_, provider)| &provider.requirements);
        let mut names: Vec<String> =
            of_routes.chain(of_providers).chain(&self.requirements).flat_map(named).collect();
        names.sort();
        names.dedup();
        names
    }
}

/// Returns where the metadata of a provider is, if its keys are fetched.
fn metadata_of(provider: &Provider) -> Option<Issuer> {
    let issuer = provider.issuers.first()?;
    let allow_http = provider.dangerous_allow_http;
    let is_inline = |form: &Form| matches!(form, Form::Inline(_));
    if provider.keys.iter().all(|source| is_inline(&source.form)) {
        return None;
    }
    let at = provider.keys.iter().find_map(|source| match &source.form {
        Form::Discover(at) => at.as_deref(),
        _ => None,
    });
    match at {
        Some(at) => Issuer::at(issuer, at, allow_http).ok(),
        None => Issuer::parse(issuer, allow_http).ok(),
    }
}
