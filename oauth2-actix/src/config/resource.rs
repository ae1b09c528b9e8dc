//! The protected resource of RFC 9728: its identifier, and what its metadata document says.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::{
    config::{
        error::{ConfigError, ConfigErrorKind, Faults},
        names::{self, RESOURCE},
        resource_uri::ResourceUri,
    },
    token::scope::is_scope_token,
};

/// A protected resource ([RFC 9728](https://www.rfc-editor.org/rfc/rfc9728)): the identifier of an API, and
/// what its metadata document says.
///
/// ```
/// use oauth2_actix::{OAuth2, Provider, Resource};
///
/// let resource = Resource::new("https://api.example.com/mcp")
///     .name("Orders")
///     .name_in("de", "Bestellungen")
///     .documentation("https://docs.example.com/orders")
///     .documentation_in("de", "https://docs.example.com/de/orders")
///     .policy("https://docs.example.com/policy")
///     .policy_in("de", "https://docs.example.com/de/policy")
///     .terms_of_service("https://docs.example.com/terms")
///     .terms_of_service_in("de", "https://docs.example.com/de/terms")
///     .authorization_servers(["https://login.example.com"])
///     .member("example_contact", "api@example.com")
///     .scopes(["orders:read", "refunds:write"])
///     .challenge_scopes(["orders:read"]);
/// let provider = Provider::new()
///     .issuer("https://login.example.com")
///     .keys("https://login.example.com/jwks.json");
/// let oauth2 = OAuth2::builder().provider("login", provider).resource(resource).build()?;
/// # Ok::<(), oauth2_actix::ConfigError>(())
/// ```
///
/// A text becomes a resource with this identifier. Through serde, it is that text or a map of `identifier` and the
/// other settings; a name for one language is `name#de`, as in the metadata document.
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use = "a resource does nothing until it is given to a builder"]
pub struct Resource {
    pub(crate) identifier: String,
    pub(crate) authorization_servers: Option<Vec<String>>,
    pub(crate) scopes: Option<Vec<String>>,
    pub(crate) challenge_scopes: Option<Vec<String>>,
    /// The members for people, with the language after `#` if there is one.
    pub(crate) texts: BTreeMap<String, String>,
    pub(crate) members: Map<String, Value>,
}

impl Resource {
    /// Creates a resource with an identifier: the URL that clients use, such as `https://api.example.com/mcp`.
    ///
    /// It is https, or http at a loopback host, without a fragment, user name, percent-encoding or braces
    /// ([RFC 9728 §1.2](https://www.rfc-editor.org/rfc/rfc9728#section-1.2)). Scheme and host are compared
    /// without case; the rest is compared exactly, a trailing slash included, except that the URL of a host may
    /// have one or not.
    pub fn new(identifier: impl Into<String>) -> Self {
        Self { identifier: identifier.into(), ..Self::default() }
    }

    /// Sets the authorization servers that issue tokens for the resource, by their issuers. Default: the issuers
    /// of the configured providers, as far as they are URLs. Needed if there are none, as with
    /// [`Tenants`](crate::tenants::Tenants) alone.
    pub fn authorization_servers<I: Into<String>>(
        mut self,
        issuers: impl IntoIterator<Item = I>,
    ) -> Self {
        self.authorization_servers = Some(issuers.into_iter().map(Into::into).collect());
        self
    }

    /// Sets the scopes of the metadata document, `scopes_supported`. Default: all scopes that access rules of the
    /// program name. Some clients ask for all of them: leave out those that few users need, which clients ask
    /// for when a response requires them.
    ///
    /// `offline_access` is rejected: it is a matter between the client and the authorization server.
    pub fn scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.scopes = Some(scopes.into_iter().map(Into::into).collect());
        self
    }

    /// Sets the scopes that the challenge of a 401 names, unless the route is known to need others. Default none:
    /// clients ask for those of the metadata document.
    pub fn challenge_scopes<S: Into<String>>(
        mut self,
        scopes: impl IntoIterator<Item = S>,
    ) -> Self {
        self.challenge_scopes = Some(scopes.into_iter().map(Into::into).collect());
        self
    }

    /// Sets the name that users see, `resource_name`.
    pub fn name(self, name: impl Into<String>) -> Self {
        self.text("resource_name", None, name.into())
    }

    /// Sets the name in a language, by its tag ([BCP 47](https://www.rfc-editor.org/info/bcp47)).
    pub fn name_in(self, language: &str, name: impl Into<String>) -> Self {
        self.text("resource_name", Some(language), name.into())
    }

    /// Sets the URL of a page for developers, `resource_documentation`.
    pub fn documentation(self, url: impl Into<String>) -> Self {
        self.text("resource_documentation", None, url.into())
    }

    /// Sets the URL of the page for developers in a language.
    pub fn documentation_in(self, language: &str, url: impl Into<String>) -> Self {
        self.text("resource_documentation", Some(language), url.into())
    }

    /// Sets the URL of a page about what clients may do with the data, `resource_policy_uri`.
    pub fn policy(self, url: impl Into<String>) -> Self {
        self.text("resource_policy_uri", None, url.into())
    }

    /// Sets the URL of the policy page in a language.
    pub fn policy_in(self, language: &str, url: impl Into<String>) -> Self {
        self.text("resource_policy_uri", Some(language), url.into())
    }

    /// Sets the URL of the terms of service, `resource_tos_uri`.
    pub fn terms_of_service(self, url: impl Into<String>) -> Self {
        self.text("resource_tos_uri", None, url.into())
    }

    /// Sets the URL of the terms of service in a language.
    pub fn terms_of_service_in(self, language: &str, url: impl Into<String>) -> Self {
        self.text("resource_tos_uri", Some(language), url.into())
    }

    /// Adds another member to the metadata document, such as a `signed_metadata` that was made elsewhere
    /// ([RFC 9728 §2.2](https://www.rfc-editor.org/rfc/rfc9728#section-2.2)). The members that follow from the
    /// configuration cannot be replaced.
    pub fn member(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.members.insert(name.into(), value.into());
        self
    }

    pub(crate) fn text(mut self, member: &str, language: Option<&str>, text: String) -> Self {
        let name = match language {
            None => member.to_owned(),
            Some(language) => format!("{member}#{language}"),
        };
        self.texts.insert(name, text);
        self
    }

    /// Returns the parsed identifier.
    pub(crate) fn uri(&self) -> Result<ResourceUri, ConfigError> {
        ResourceUri::parse(&self.identifier).map_err(|problem| {
            let kind = if self.identifier.is_empty() {
                ConfigErrorKind::Empty
            } else {
                ConfigErrorKind::Invalid
            };
            ConfigError::of_policy(RESOURCE, format_args!("{:?}: {problem}", self.identifier))
                .of_kind(kind)
        })
    }

    /// Returns the faults that can be found without the rest of the configuration.
    pub(crate) fn faults(&self) -> Faults {
        use ConfigErrorKind::{Conflict, Empty, Invalid};
        let mut faults = Faults::default();
        faults.take(self.uri());
        let mut fault = |kind, problem: String| {
            let problem = format_args!("{:?}: {problem}", self.identifier).to_string();
            faults.push(ConfigError::of_policy(RESOURCE, problem).of_kind(kind));
        };
        for (name, scopes) in
            [(names::SCOPES, &self.scopes), (names::CHALLENGE_SCOPES, &self.challenge_scopes)]
        {
            for scope in scopes.iter().flatten() {
                if scope == OFFLINE_ACCESS {
                    fault(Invalid, format!("`{name}` has {OFFLINE_ACCESS_PROBLEM}"));
                } else if !is_scope_token(scope) {
                    let problem = format!(
                        "`{name}` has {scope:?}, which is not a scope; expected printable ASCII without \
                         spaces, quotes and backslashes"
                    );
                    fault(Invalid, problem);
                }
            }
        }
        if self.authorization_servers.as_ref().is_some_and(Vec::is_empty) {
            let problem = format!(
                "`{}` is empty, so no client could log in; expected at least one issuer",
                names::AUTHORIZATION_SERVERS
            );
            fault(Empty, problem);
        }
        for (name, text) in &self.texts {
            let (member, language) = match name.split_once('#') {
                None => (name.as_str(), None),
                Some((member, language)) => (member, Some(language)),
            };
            let is_tag = |language: &str| {
                !language.is_empty()
                    && language.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            };
            if language.is_some_and(|language| !is_tag(language)) {
                fault(Invalid, format!("`{name}` has no language tag after `#`, such as `de`"));
            }
            if text.is_empty() {
                fault(Empty, format!("`{name}` must not be empty"));
            } else if member != "resource_name" && !is_web_url(text) {
                fault(Invalid, format!("`{name}` is {text:?}; expected an http or https URL"));
            }
        }
        for name in self.members.keys() {
            if OWN_MEMBERS.contains(&name.split('#').next().unwrap_or_default()) {
                let problem =
                    format!("`{name}` follows from other settings and cannot be replaced");
                fault(Conflict, problem);
            }
        }
        faults
    }
}

impl From<&str> for Resource {
    fn from(identifier: &str) -> Self {
        Self::new(identifier)
    }
}

impl From<String> for Resource {
    fn from(identifier: String) -> Self {
        Self::new(identifier)
    }
}

fn is_web_url(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
}

/// The scope that asks for a refresh token (OpenID Connect Core §11).
pub(crate) const OFFLINE_ACCESS: &str = "offline_access";
pub(crate) const OFFLINE_ACCESS_PROBLEM: &str = "`offline_access`, which is no scope of an API: clients ask the authorization server for it themselves";

/// The members of the document that other settings determine.
const OWN_MEMBERS: [&str; 9] = [
    "resource",
    "authorization_servers",
    "scopes_supported",
    "bearer_methods_supported",
    "resource_name",
    "resource_documentation",
    "resource_policy_uri",
    "resource_tos_uri",
    "authorization_details_types_supported",
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problem(resource: Resource) -> Option<String> {
        resource.faults().into_result().err().map(|error| error.to_string())
    }

    #[test]
    fn settings_that_no_client_could_use_are_rejected() {
        let resource = || Resource::new("https://api.example.com/mcp");
        assert_eq!(problem(resource().name("Orders").documentation("https://x.example/a")), None);
        for (wrong, part) in [
            (resource().scopes(["a b"]), "is not a scope"),
            (resource().scopes(["offline_access"]), "is no scope of an API"),
            (resource().challenge_scopes(["offline_access"]), "is no scope of an API"),
            (resource().authorization_servers(Vec::<&str>::new()), "at least one issuer"),
            (resource().name(""), "must not be empty"),
            (resource().name_in("", "x"), "language tag"),
            (resource().name_in("de#x", "x"), "language tag"),
            (resource().documentation("x"), "http or https URL"),
            (resource().policy("javascript:alert(1)"), "http or https URL"),
            (resource().member("resource", json!("https://x")), "cannot be replaced"),
            (resource().member("resource_name#de", json!("x")), "cannot be replaced"),
            (Resource::new(""), "resource: \"\": the URL is malformed"),
        ] {
            let problem = problem(wrong).expect(part);
            assert!(problem.contains(part), "{problem}");
        }
    }
}
