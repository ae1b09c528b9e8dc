//! The settings of the receivers.

use std::{borrow::Cow, fmt};

use aws_lc_rs::digest::{Digest, SHA256, digest};

use crate::config::{
    error::{ConfigError, ConfigErrorKind, Faults},
    names,
};

/// Receives the logout tokens of providers
/// ([OpenID Connect Back-Channel Logout 1.0](https://openid.net/specs/openid-connect-backchannel-1_0.html)). See
/// [`OAuth2Builder::backchannel_logout`](crate::OAuth2Builder::backchannel_logout).
///
/// ```
/// use oauth2_actix::logout::BackchannelLogout;
///
/// let logout = BackchannelLogout::new()
///     .client("keycloak", "orders-app")
///     .client("okta", "0oa1234")
///     .path("/hooks/logout");
/// # drop(logout);
/// ```
///
/// In serde `backchannel_logout`: a map of `clients`, `path` and `end_all_sessions`.
#[derive(Clone, Debug)]
#[must_use = "it has no effect until it is passed to a builder"]
pub struct BackchannelLogout {
    pub(crate) clients: Vec<(String, String)>,
    pub(crate) path: String,
    pub(crate) end_all_sessions: bool,
}

impl BackchannelLogout {
    /// Returns a receiver at the path `/backchannel-logout`, without clients.
    pub fn new() -> Self {
        Self {
            clients: Vec::new(),
            path: "/backchannel-logout".to_owned(),
            end_all_sessions: false,
        }
    }

    /// Adds a client whose logout tokens are accepted: the name of the provider, and the client's id there, which is
    /// the `aud` of the logout tokens and usually not the audience of this API. Repeatable; at least one is
    /// required. In serde `clients`: a map of provider names to a client id or a list of them.
    ///
    /// The client is the application that users log in to. The provider sends a logout token to the
    /// `backchannel_logout_uri` that is registered for it, which is the URL of this receiver.
    ///
    /// ```
    /// use oauth2_actix::logout::BackchannelLogout;
    ///
    /// let logout = BackchannelLogout::new().client("keycloak", "orders-app");
    /// # drop(logout);
    /// ```
    pub fn client(mut self, provider: impl Into<String>, client_id: impl Into<String>) -> Self {
        self.clients.push((provider.into(), client_id.into()));
        self
    }

    /// Sets the path of the receiver. In a scope of the `App`, its prefix comes before it. Default
    /// `/backchannel-logout`. In serde `path`.
    ///
    /// ```
    /// use oauth2_actix::logout::BackchannelLogout;
    ///
    /// let logout = BackchannelLogout::new().client("keycloak", "orders-app").path("/hooks/logout");
    /// # drop(logout);
    /// ```
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// Revokes the tokens of all sessions of a subject when one of its sessions ends. Use it for providers whose access
    /// tokens have no `sid`: the tokens of one session then look like those of the others. Default false: a logout token
    /// with a `sid` revokes the tokens with this `sid` and no others. In serde `end_all_sessions`.
    ///
    /// ```
    /// use oauth2_actix::logout::BackchannelLogout;
    ///
    /// let logout = BackchannelLogout::new().client("google", "1234").end_all_sessions(true);
    /// # drop(logout);
    /// ```
    pub fn end_all_sessions(mut self, all: bool) -> Self {
        self.end_all_sessions = all;
        self
    }

    pub(crate) fn faults(&self) -> Faults {
        let mut faults = Faults::default();
        check_parties(&mut faults, CLIENTS, &self.clients, "client id");
        faults.take(check_path(names::BACKCHANNEL_LOGOUT_PATH, &self.path));
        faults
    }
}

impl Default for BackchannelLogout {
    fn default() -> Self {
        Self::new()
    }
}

/// Receives security event tokens that are pushed ([RFC 8935](https://www.rfc-editor.org/rfc/rfc8935)), as transmitters
/// of the Shared Signals Framework 1.0 do. See
/// [`OAuth2Builder::security_events`](crate::OAuth2Builder::security_events).
///
/// ```
/// use oauth2_actix::logout::SecurityEvents;
///
/// let events = SecurityEvents::new().audience("login", "https://api.example.com");
/// # drop(events);
/// ```
///
/// In serde `security_events`: a map of `audiences`, `path` and `authorization`.
#[derive(Clone)]
#[must_use = "it has no effect until it is passed to a builder"]
pub struct SecurityEvents {
    pub(crate) audiences: Vec<(String, String)>,
    pub(crate) path: String,
    pub(crate) authorization: Option<Digest>,
    is_authorization_empty: bool,
}

impl SecurityEvents {
    /// Returns a receiver at the path `/security-events`, without transmitters.
    pub fn new() -> Self {
        Self {
            audiences: Vec::new(),
            path: "/security-events".to_owned(),
            authorization: None,
            is_authorization_empty: false,
        }
    }

    /// Adds a provider whose events are accepted, and the `aud` that it gives them, which the stream's configuration
    /// says. They are signed with the keys of its tokens and have the same `iss`. Repeatable; at least one is required.
    /// In serde `audiences`: a map of provider names to an audience or a list of them.
    ///
    /// ```
    /// use oauth2_actix::logout::SecurityEvents;
    ///
    /// let events = SecurityEvents::new().audience("login", "https://api.example.com");
    /// # drop(events);
    /// ```
    pub fn audience(mut self, provider: impl Into<String>, audience: impl Into<String>) -> Self {
        self.audiences.push((provider.into(), audience.into()));
        self
    }

    /// Sets the path of the receiver. In a scope of the `App`, its prefix comes before it. Default
    /// `/security-events`. In serde `path`.
    ///
    /// ```
    /// use oauth2_actix::logout::SecurityEvents;
    ///
    /// let events = SecurityEvents::new().audience("login", "api").path("/hooks/events");
    /// # drop(events);
    /// ```
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// Sets the whole value of the `Authorization` header that each request must have, such as `Bearer` and a secret: the
    /// `authorization_header` of the stream's delivery (SSF 1.0 §6.1.1). Default: none, since the signature
    /// authenticates the sender of an event. Only its hash is stored. In serde `authorization`.
    ///
    /// ```
    /// use oauth2_actix::logout::SecurityEvents;
    ///
    /// let secret = "Bearer 5f0c6b3f8d1e4a7d9b2c";
    /// let events = SecurityEvents::new().audience("login", "api").authorization(secret);
    /// # drop(events);
    /// ```
    pub fn authorization(mut self, value: impl AsRef<str>) -> Self {
        let value = value.as_ref();
        self.is_authorization_empty = value.is_empty();
        self.authorization = Some(digest(&SHA256, value.as_bytes()));
        self
    }

    pub(crate) fn faults(&self) -> Faults {
        let mut faults = Faults::default();
        check_parties(&mut faults, AUDIENCES, &self.audiences, "audience");
        faults.take(check_path(names::SECURITY_EVENTS_PATH, &self.path));
        if self.is_authorization_empty {
            let fault =
                ConfigError::of_policy(AUTHORIZATION, "is empty; expected the value of the header");
            faults.push(fault.of_kind(ConfigErrorKind::Empty));
        }
        faults
    }
}

impl Default for SecurityEvents {
    fn default() -> Self {
        Self::new()
    }
}

/// Shows no part of the authorization.
impl fmt::Debug for SecurityEvents {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SecurityEvents")
            .field("audiences", &self.audiences)
            .field("path", &self.path)
            .field("has_authorization", &self.authorization.is_some())
            .finish_non_exhaustive()
    }
}

fn check_parties(
    faults: &mut Faults,
    field: &'static str,
    parties: &[(String, String)],
    what: &str,
) {
    if parties.is_empty() {
        let problem = format_args!(
            "it is empty; expected at least one {what}, with the name of its provider"
        );
        faults.push(ConfigError::of_policy(field, problem).of_kind(ConfigErrorKind::Missing));
    }
    for (index, (provider, value)) in parties.iter().enumerate() {
        let fault = |kind, problem: Cow<'static, str>| {
            ConfigError::new(Some(provider), field, problem).of_kind(kind)
        };
        if value.is_empty() {
            faults.push(fault(
                ConfigErrorKind::Empty,
                format!("the {what} is empty; expected that of the API at the provider").into(),
            ));
        }
        if parties[..index].iter().any(|earlier| (&earlier.0, &earlier.1) == (provider, value)) {
            let problem = format!("{value:?} is listed twice; expected it once");
            faults.push(fault(ConfigErrorKind::Duplicate, problem.into()));
        }
    }
}

fn check_path(field: &'static str, path: &str) -> Result<(), ConfigError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let has_dots = path.split('/').any(|segment| segment == "." || segment == "..");
    if path.len() > 1
        && path.starts_with('/')
        && !path.ends_with('/')
        && !path.contains("//")
        && path.bytes().all(is_plain)
        && !has_dots
    {
        return Ok(());
    }
    let problem = format_args!(
        "{path:?} is not a plain path; expected one such as \"/hooks/logout\", of letters, digits and -._~/"
    );
    Err(ConfigError::of_policy(field, problem))
}

const CLIENTS: &str = names::BACKCHANNEL_LOGOUT_CLIENTS;
const AUDIENCES: &str = names::SECURITY_EVENTS_AUDIENCES;
const AUTHORIZATION: &str = names::SECURITY_EVENTS_AUTHORIZATION;
