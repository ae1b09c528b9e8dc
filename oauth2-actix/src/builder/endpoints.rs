//! The endpoints of providers that this API calls as a client.

use std::collections::HashMap;

use crate::{
    builder::OAuth2Builder,
    config::{
        client_authentication::ClientAuthentication,
        error::{ConfigError, Faults},
        keys::Form,
        names,
        provider::Provider,
    },
    http::url::KeyUrl,
    keys::discovery::{Issuer, IssuerEndpoint},
    outbound::{
        authentication::Authenticator,
        discovered_url::DiscoveredUrl,
        endpoint::{Endpoint, Location},
    },
    provider::Defaults,
};

/// What the settings of a provider say of an endpoint.
pub(super) struct EndpointSettings<'a> {
    /// None if the issuer's document names it.
    pub(super) url: Option<&'a str>,
    /// A missing one is a fault of the settings, which is reported elsewhere.
    pub(super) authentication: Option<&'a ClientAuthentication>,
    pub(super) endpoint: IssuerEndpoint,
    pub(super) url_field: &'static str,
    pub(super) authentication_field: &'static str,
}

impl OAuth2Builder {
    /// Returns the endpoints of one kind, by the index of the provider.
    pub(super) fn endpoints(
        &self,
        settings_of: fn(&Provider) -> Option<EndpointSettings<'_>>,
        defaults: &Defaults,
        faults: &mut Faults,
    ) -> HashMap<usize, Endpoint> {
        let mut endpoints = HashMap::new();
        for (index, (name, provider)) in self.providers.iter().enumerate() {
            let Some(settings) = settings_of(provider) else { continue };
            if faults.concern(name, names::ISSUER) {
                continue;
            }
            let endpoint = settings.endpoint(name, provider, defaults);
            if let Some(Some(endpoint)) = faults.take(endpoint) {
                endpoints.insert(index, endpoint);
            }
        }
        endpoints
    }
}

impl EndpointSettings<'_> {
    /// Returns the endpoint. None without an authentication.
    fn endpoint(
        &self,
        name: &str,
        provider: &Provider,
        defaults: &Defaults,
    ) -> Result<Option<Endpoint>, ConfigError> {
        let Some(authentication) = self.authentication else { return Ok(None) };
        let Some(issuer) = provider.issuers.first() else {
            let problem = "missing; expected the issuer whose endpoint is called";
            return Err(ConfigError::of_provider(name, names::ISSUER, problem));
        };
        let of = |field: &'static str| {
            move |problem: String| ConfigError::of_provider(name, field, problem)
        };
        let location = match self.url {
            Some(url) => url_of(provider, url).map(Location::Url),
            None => discovered(provider, issuer, self.endpoint),
        };
        let location = location.map_err(of(self.url_field))?;
        let authenticator =
            Authenticator::new(authentication, issuer).map_err(of(self.authentication_field))?;
        let timeout = provider.fetch_timeout.unwrap_or(defaults.timeout);
        Endpoint::new(location, &defaults.clients, authenticator, timeout, &defaults.clock)
            .map(Some)
            .map_err(of(self.authentication_field))
    }
}

/// Returns the URL of an endpoint that secrets are sent to.
fn url_of(provider: &Provider, url: &str) -> Result<KeyUrl, String> {
    let url =
        KeyUrl::parse(url, provider.dangerous_allow_http).map_err(|error| error.to_string())?;
    if url.url().fragment().is_some() {
        return Err("the URL has a fragment; expected none".to_owned());
    }
    Ok(url)
}

/// Returns where the document of an issuer is that names an endpoint: where that of its keys is, or else below the
/// issuer.
fn discovered(
    provider: &Provider,
    issuer: &str,
    endpoint: IssuerEndpoint,
) -> Result<Location, String> {
    let at = provider.keys.iter().find_map(|source| match &source.form {
        Form::Discover(Some(at)) => Some(at),
        _ => None,
    });
    let allow_http = provider.dangerous_allow_http;
    let issuer = match at {
        None => Issuer::parse(issuer, allow_http),
        Some(at) => Issuer::at(issuer, at, allow_http),
    };
    let issuer =
        issuer.map_err(|error| format!("discovery is not possible at the issuer: {error}"))?;
    Ok(Location::Discovered(Box::new(DiscoveredUrl::new(issuer, endpoint))))
}
