//! The configuration through serde: one table of settings for the policy, and one for a provider.
//!
//! A setting is one line in its table: its name, the methods that set it in code, and the type that its value
//! is read as. Errors name the provider and the setting, whatever the format.
//!
//! - this file: the tables, the error for an unknown name, and the readers of values that are maps or lists of
//!   settings.
//! - `api_keys`: reads API keys.
//! - `certificate`: reads the header with the certificates of clients.
//! - `client_authentication`: reads how this API authenticates as a client.
//! - `introspection`: reads the settings of introspection.
//! - `input`: the value of one setting, read as the setting's type.
//! - `logout`: reads the receivers of logouts.
//! - `nearest`: the known name that is nearest to an unknown one.
//! - `requirements`: reads requirements.
//! - `resource`: reads protected resources.
//! - `status_list`: reads the settings of status lists.
//! - `tests`: compare both forms of the configuration, and the documentation, with the tables.
//! - `token_exchange`: reads the settings for token exchange.
//! - `tree`: reads any self-describing format into JSON values, and finds duplicate names.

mod certificate;
mod input;
mod nearest;
mod requirements;
mod resource;
mod token_exchange;
mod tree;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::{Map, Value};

pub(crate) use self::nearest::nearest;
use self::{certificate::Forwarded, input::Input, tree::Tree};
use crate::{
    authorize::requirement::Requirement,
    builder::OAuth2Builder,
    config::{
        binding::Binding,
        error::{ConfigError, ConfigErrorKind, Faults},
        keys::{Keys, is_list_of_sources},
        missing_token::MissingToken,
        names::{self, PROVIDERS},
        provider::Provider,
        token_cache::TokenCacheConfig,
        token_exchange::TokenExchange,
    },
    dpop::settings::Dpop,
    jose::{algorithm::Algorithm, key_policy::CryptoBackend},
    request::token_source::{CookieToken, TokenRequests},
    revocation::{DenyList, WhenUnavailable},
};

/// Turns the lines of a table into a list of [`Setting`].
macro_rules! settings {
    ($(
        $(#[$attribute:meta])*
        $name:ident: $method:ident $(| $other:ident)*
            $(= $reader:ident($($argument:expr)?))? $(=> $read:expr)?;
    )*) => {
        &[$(
            $(#[$attribute])*
            Setting {
                name: names::$name,
                methods: &[stringify!($method) $(, stringify!($other))*],
                read: settings!(@read $method $(= $reader($($argument)?))? $(=> $read)?),
            },
        )*]
    };
    (@read $method:ident = $reader:ident($($argument:expr)?)) => {
        |target, input| set(target, Self::$method, input.$reader($($argument)?)?)
    };
    (@read $method:ident => $read:expr) => { $read };
}

// They have tables of their own, so they follow the macro.
mod api_keys;
mod client_authentication;
mod introspection;
mod logout;
mod status_list;

/// A type that is configured by a table of settings. Each line has the name of the setting, the methods that
/// set it in code, and the type of its value: a method of [`Input`], whose result is passed to the first of
/// the methods. A function after `=>` reads any other value.
trait Settings: Default + Sized + 'static {
    const SETTINGS: &'static [Setting<Self>];

    /// Returns a hint for a name that is not in the table.
    fn hint(_name: &str) -> Option<String> {
        None
    }
}

impl Settings for OAuth2Builder {
    const SETTINGS: &'static [Setting<Self>] = settings! {
        PROVIDERS: provider => read_providers;
        PUBLIC_PATHS: public_paths = separated();
        KEY_REFRESH_MINUTES: key_refresh | key_refresh_minutes => read_key_refresh;
        LEEWAY_SECONDS: leeway = seconds();
        REALM: realm = text();
        MISSING_TOKEN_STATUS: missing_token_status = choice(MISSING_TOKEN);
        ROUTE_BEFORE_REJECTION: route_before_rejection = flag();
        MAX_TOKEN_LENGTH: max_token_length = number();
        MAX_TOKEN_AGE_SECONDS: max_token_age = seconds();
        TOKEN_CACHE: token_cache = token_cache();
        CRYPTO_BACKEND: crypto_backend = choice(CRYPTO_BACKEND);
        #[cfg(feature = "websocket")]
        TOKEN_FROM_SUBPROTOCOL: token_from_subprotocol => read_token_from_subprotocol;
        TOKEN_FROM_QUERY: token_from_query = choice(TOKEN_REQUESTS);
        TOKEN_FROM_HEADER: token_from_header = text();
        TOKEN_FROM_COOKIE:
            token_from_cookie | token_from_cookie_on_every_request => read_token_from_cookie;
        STALE_WINDOW_MINUTES: stale_window = minutes();
        UNKNOWN_KEY_COOLDOWN_SECONDS: unknown_key_cooldown = seconds();
        FETCH_TIMEOUT_SECONDS: fetch_timeout = seconds();
        KEY_SNAPSHOT: key_snapshot = text();
        SCOPE_IMPLIES: scope_implies => read_scope_implies;
        POLICIES: policy => read_policies;
        CHECK_TIMEOUT_SECONDS: check_timeout = seconds();
        ACCESS_REPORT: access_report = flag();
        PRINCIPAL_LIFETIME_SECONDS: principal_lifetime = seconds();
        REQUIRE: require = requirement();
        DPOP: dpop => read_dpop;
        FORWARDED_CERTIFICATE: forwarded_certificate => certificate::read;
        RESOURCE: resource => resource::read;
        DENY_LIST: deny_list => read_deny_list;
        BACKCHANNEL_LOGOUT: backchannel_logout => logout::read_backchannel_logout;
        SECURITY_EVENTS: security_events => logout::read_security_events;
        API_KEYS: api_keys => api_keys::read;
        FAPI2: fapi2 => |builder, input| input.flag().map(|is_on| builder.fapi2 = is_on);
        DANGEROUS_WITHOUT_REVOCATION_STATUS: dangerous_without_revocation_status = flag();
    };

    fn hint(name: &str) -> Option<String> {
        if NEEDS_WEBSOCKET.contains(&name) {
            return Some("it needs the feature `websocket` of oauth2-actix".to_owned());
        }
        let belongs = || format!("it belongs inside a provider: `providers.NAME.{name}`");
        Provider::SETTINGS.iter().any(|setting| setting.name == name).then(belongs)
    }
}

impl Settings for Provider {
    const SETTINGS: &'static [Setting<Self>] = settings! {
        ISSUER: issuers | issuer = texts();
        AUDIENCE: audiences | audience = texts();
        AUDIENCE_CLAIM: audience_claim = text();
        KEYS: keys = keys();
        INITIAL_KEYS: initial_keys = keys();
        ALGORITHMS: algorithms = algorithms();
        REQUIRE_AT_JWT: require_at_jwt = flag();
        CLIENTS: clients = texts();
        SUBJECTS: subjects = texts();
        REQUIRE: require = requirement();
        SPIFFE_TRUST_DOMAIN: spiffe_trust_domain = text();
        KEY_REFRESH_MINUTES: key_refresh | key_refresh_minutes = minutes();
        STALE_WINDOW_MINUTES: stale_window = minutes();
        UNKNOWN_KEY_COOLDOWN_SECONDS: unknown_key_cooldown = seconds();
        FETCH_TIMEOUT_SECONDS: fetch_timeout = seconds();
        DPOP: dpop = choice(BINDING);
        CERTIFICATE_BOUND: certificate_bound = choice(BINDING);
        INTROSPECTION: introspection => introspection::read;
        TOKEN_EXCHANGE: token_exchange => token_exchange::read;
        STATUS_LIST: status_list => status_list::read;
        DANGEROUS_ALLOW_HTTP: dangerous_allow_http = flag();
        DANGEROUS_ACCEPT_BOUND_TOKENS: dangerous_accept_bound_tokens = flag();
    };

    fn hint(name: &str) -> Option<String> {
        let belongs = || "it is for all providers and belongs beside `providers`".to_owned();
        OAuth2Builder::SETTINGS.iter().any(|setting| setting.name == name).then(belongs)
    }
}

impl Settings for TokenCacheConfig {
    const SETTINGS: &'static [Setting<Self>] = settings! {
        MAX_ENTRIES: max_entries = number();
        MAX_BYTES: max_bytes = number();
    };
}

impl Settings for CookieToken {
    const SETTINGS: &'static [Setting<Self>] = settings! {
        NAME: name => |cookie, input| input.text().map(|name| cookie.name = name);
        ORIGINS: origins => |cookie, input| input.separated().map(|list| cookie.origins = list);
        REQUESTS: requests => |cookie, input| {
            input.choice(TOKEN_REQUESTS).map(|requests| cookie.requests = requests)
        };
    };
}

impl Settings for Dpop {
    const SETTINGS: &'static [Setting<Self>] = settings! {
        BASE_URLS: base_urls | base_url = texts();
        ALGORITHMS: algorithms = algorithms();
        MAX_AGE_SECONDS: max_age = seconds();
        CLOCK_SKEW_SECONDS: clock_skew = seconds();
        NONCE_SECRET: nonce_secret = text();
        PREVIOUS_NONCE_SECRET: previous_nonce_secret = text();
        NONCE_LIFETIME_SECONDS: nonce_lifetime = seconds();
    };
}

impl Settings for TokenExchange {
    const SETTINGS: &'static [Setting<Self>] = settings! {
        ENDPOINT: at | discover => |exchange, input| {
            input.text().map(|url| exchange.endpoint = Some(url))
        };
        CLIENT_AUTHENTICATION: authentication = client_authentication();
        GRANT: grant = choice(token_exchange::GRANTS);
        REQUESTED_TOKEN_TYPE: requested_token_type = choice(token_exchange::TOKEN_TYPES);
        MAX_CALLS: max_calls = number();
        MAX_ENTRIES: max_entries = number();
    };
}

impl Settings for DenyList {
    const SETTINGS: &'static [Setting<Self>] = settings! {
        TOKEN_LIFETIME_SECONDS: token_lifetime = seconds();
        MAX_ENTRIES: max_entries = number();
        USE_LAST_LIST_SECONDS: when_unavailable => |list, input| {
            input.seconds().map(|age| list.when_unavailable = WhenUnavailable::UseLastList(age))
        };
    };
}

impl Settings for Forwarded {
    const SETTINGS: &'static [Setting<Self>] = settings! {
        FORMAT: format => |forwarded, input| input.choice(certificate::FORMATS).map(|format| forwarded.format = Some(format));
        HEADER: header => |forwarded, input| input.text().map(|header: String| forwarded.header = Some(header));
        FROM_PEERS: from_peers => |forwarded, input| input.separated().map(|peers| forwarded.peers = peers);
        SECRET_HEADER: with_secret_header => |forwarded, input| {
            input.text().map(|name: String| forwarded.secret_header = Some(name))
        };
        SECRET: with_secret_header => |forwarded, input| {
            input.text().map(|secret: String| forwarded.secret = Some(secret))
        };
    };
}

/// The names of the values of an enumeration. The first name of each is the documented one.
type Choices<T> = &'static [(&'static [&'static str], T)];

const MISSING_TOKEN: Choices<MissingToken> = &[
    (&["bad_request"], MissingToken::BadRequest),
    (&["unauthorized"], MissingToken::Unauthorized),
];
const CRYPTO_BACKEND: Choices<CryptoBackend> =
    &[(&["aws_lc"], CryptoBackend::AwsLc), (&["openssl"], CryptoBackend::OpenSsl)];
const BINDING: Choices<Binding> = &[
    (&["off"], Binding::Off),
    (&["allowed"], Binding::Allowed),
    (&["required"], Binding::Required),
];
const TOKEN_REQUESTS: Choices<TokenRequests> = &[
    (&["websocket", "web_socket"], TokenRequests::WebSocket),
    (&["every_request"], TokenRequests::EveryRequest),
];

/// One setting of `T`.
struct Setting<T> {
    name: &'static str,
    /// The methods that set it in code.
    methods: &'static [&'static str],
    read: fn(&mut T, Input<'_>) -> Result<(), ConfigError>,
}

/// Sets a value by the method that sets it in code.
fn set<T: Default, V>(target: &mut T, method: fn(T, V) -> T, value: V) -> Result<(), ConfigError> {
    *target = method(std::mem::take(target), value);
    Ok(())
}

/// Reads JSON, TOML, YAML, environment variables or any other self-describing format: see
/// `docs/configuration.md`.
impl<'de> Deserialize<'de> for OAuth2Builder {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_policy(Tree::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// Reads the same settings as `Deserialize`, with an error whose faults a program can read.
///
/// ```
/// use oauth2_actix::{ConfigErrorKind, OAuth2Builder};
/// use serde_json::json;
///
/// let error = OAuth2Builder::try_from(json!({"leeway": 30})).unwrap_err();
/// assert_eq!((error.kind(), error.field()), (ConfigErrorKind::Unknown, "leeway"));
/// assert_eq!(error.to_string(), "leeway: unknown setting, did you mean `leeway_seconds`?");
/// ```
impl TryFrom<Value> for OAuth2Builder {
    type Error = ConfigError;

    fn try_from(value: Value) -> Result<Self, ConfigError> {
        read_policy(Tree::from(value))
    }
}

/// Reads the settings of one provider, without a name: as a member of `providers`.
impl<'de> Deserialize<'de> for Provider {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_one_provider(Tree::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// Reads the same settings as `Deserialize`, with an error whose faults a program can read.
impl TryFrom<Value> for Provider {
    type Error = ConfigError;

    fn try_from(value: Value) -> Result<Self, ConfigError> {
        read_one_provider(Tree::from(value))
    }
}

fn read_policy(tree: Tree) -> Result<OAuth2Builder, ConfigError> {
    let mut builder = OAuth2Builder::default();
    let mut faults = Faults::default();
    for path in &tree.duplicates {
        faults.push(match path.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [PROVIDERS, provider] => duplicate(Some(provider), &[]),
            [PROVIDERS, provider, ref rest @ ..] => duplicate(Some(provider), rest),
            ref path => duplicate(None, path),
        });
    }
    let input = Input { provider: None, field: "".into(), value: tree.value };
    faults.take(read_map(&mut builder, input));
    if !faults.is_empty() {
        // All other faults are reported too, so that they need no further attempts.
        faults.push_uncovered(builder.faults());
    }
    faults.into_result().map(|()| builder)
}

fn read_one_provider(tree: Tree) -> Result<Provider, ConfigError> {
    let mut faults = Faults::default();
    for path in &tree.duplicates {
        faults.push(duplicate(None, &path.iter().map(String::as_str).collect::<Vec<_>>()));
    }
    let mut provider = Provider::new();
    let input = Input { provider: None, field: "".into(), value: tree.value };
    faults.take(read_map(&mut provider, input));
    if !faults.is_empty() {
        faults.push_uncovered(provider.faults(None, false));
    }
    faults.into_result().map(|()| provider)
}

fn read_providers(builder: &mut OAuth2Builder, input: Input<'_>) -> Result<(), ConfigError> {
    let mut faults = Faults::default();
    for (name, value) in input.map()? {
        let mut provider = Provider::new();
        let input = Input { provider: Some(&name), field: PROVIDERS.into(), value };
        faults.take(read_map(&mut provider, input));
        builder.providers.push((name, provider));
    }
    faults.into_result()
}

/// Reads minutes for all providers, or for each by name.
fn read_key_refresh(builder: &mut OAuth2Builder, mut input: Input<'_>) -> Result<(), ConfigError> {
    input.parse_text_that_begins_with('{')?;
    let Value::Object(by_name) = input.value else {
        return set(builder, OAuth2Builder::key_refresh, input.minutes()?);
    };
    let mut faults = Faults::default();
    for (name, value) in by_name {
        if !value.is_null() {
            let input = Input { provider: Some(&name), field: input.field.clone(), value };
            if let Some(interval) = faults.take(input.minutes()) {
                builder.key_refresh_of.insert(name, interval);
            }
        }
    }
    faults.into_result()
}

#[cfg(feature = "websocket")]
fn read_token_from_subprotocol(
    builder: &mut OAuth2Builder,
    input: Input<'_>,
) -> Result<(), ConfigError> {
    builder.token_sources.subprotocol = input.flag()?;
    Ok(())
}

fn read_token_from_cookie(
    builder: &mut OAuth2Builder,
    input: Input<'_>,
) -> Result<(), ConfigError> {
    let mut cookie = CookieToken::default();
    read_map(&mut cookie, input)?;
    builder.token_sources.cookie = Some(cookie);
    Ok(())
}

fn read_deny_list(builder: &mut OAuth2Builder, input: Input<'_>) -> Result<(), ConfigError> {
    let mut deny_list = DenyList::new();
    read_map(&mut deny_list, input)?;
    builder.deny_list = Some(deny_list);
    Ok(())
}

fn read_dpop(builder: &mut OAuth2Builder, input: Input<'_>) -> Result<(), ConfigError> {
    let mut dpop = Dpop::new();
    read_map(&mut dpop, input)?;
    builder.dpop = Some(dpop);
    Ok(())
}

fn read_scope_implies(builder: &mut OAuth2Builder, input: Input<'_>) -> Result<(), ConfigError> {
    let mut faults = Faults::default();
    let field = input.field.clone();
    for (scope, value) in input.map()? {
        let input = Input { provider: None, field: field.clone(), value };
        if let Some(implied) = faults.take(input.texts()) {
            builder.scope_implies.push((scope, implied));
        }
    }
    faults.into_result()
}

fn read_policies(builder: &mut OAuth2Builder, input: Input<'_>) -> Result<(), ConfigError> {
    let mut faults = Faults::default();
    let field = input.field.clone();
    for (name, value) in input.map()? {
        let field = format!("{field}.{name}").into();
        let read = requirements::read(Input { provider: None, field, value });
        if let Some(requirement) = faults.take(read) {
            builder.policies.push((name, requirement));
        }
    }
    faults.into_result()
}

impl Input<'_> {
    /// Reads `false`, `true` or the limits.
    fn token_cache(mut self) -> Result<TokenCacheConfig, ConfigError> {
        self.parse_text_that_begins_with('{')?;
        if let Value::Object(_) = self.value {
            let mut cache = TokenCacheConfig::new();
            read_map(&mut cache, self)?;
            return Ok(cache);
        }
        let expected = self.wrong_type("true, false or a map of limits");
        let is_on = self.flag().map_err(|_| expected)?;
        Ok(if is_on { TokenCacheConfig::new() } else { TokenCacheConfig::disabled() })
    }

    fn requirement(self) -> Result<Requirement, ConfigError> {
        requirements::read(self)
    }

    fn algorithms(self) -> Result<Vec<Algorithm>, ConfigError> {
        let provider = self.provider;
        let mut faults = Faults::default();
        let mut algorithms = Vec::new();
        for name in self.separated()? {
            algorithms.extend(faults.take(Algorithm::named(&name, provider)));
        }
        faults.into_result().map(|()| algorithms)
    }

    fn keys(mut self) -> Result<Keys, ConfigError> {
        parse_environment_text(&mut self);
        let (provider, field) = (self.provider, self.field);
        Keys::read(self.value).map_err(|problem| ConfigError::new(provider, field, problem))
    }
}

/// Parses a key source that is text, as in environment variables.
fn parse_environment_text(input: &mut Input<'_>) {
    // Some readers turn every text into a list.
    if let Value::Array(items) = &mut input.value
        && let [Value::String(text)] = &mut items[..]
    {
        input.value = Value::String(std::mem::take(text));
    }
    if let Value::String(text) = &input.value
        && text.trim_start().starts_with(['{', '['])
        && let Ok(Tree { value, duplicates }) = Tree::from_json(text)
        && duplicates.is_empty()
        && (is_list_of_sources(&value) || KEY_SOURCES.iter().any(|name| value.get(*name).is_some()))
    {
        input.value = value;
    }
    if let Value::Object(members) = &mut input.value
        && KEY_SOURCES.iter().any(|name| members.get(*name).is_some_and(|source| !source.is_null()))
    {
        members.retain(|_, value| !value.is_null());
        if let Some(Value::String(text)) = members.get("discover") {
            let text = text.trim().to_ascii_lowercase();
            if let Ok(flag) = text.parse::<bool>() {
                members.insert("discover".to_owned(), Value::Bool(flag));
            }
        }
    }
}

/// Reads all settings of a map, so that all faults are found. Null is the default.
fn read_map<T: Settings>(target: &mut T, mut input: Input<'_>) -> Result<(), ConfigError> {
    let mut faults = Faults::default();
    let (provider, field) = (input.provider, input.field.clone());
    // An empty section of YAML is null.
    if input.value.is_null() {
        input.value = Value::Object(Map::new());
    }
    for (name, value) in input.map()? {
        let path = match &*field {
            "" | PROVIDERS => name.clone(),
            field => format!("{field}.{name}"),
        };
        match T::SETTINGS.iter().find(|setting| setting.name == name) {
            Some(_) if value.is_null() => {}
            Some(setting) => {
                let input = Input { provider, field: path.into(), value };
                faults.take((setting.read)(target, input));
            }
            None => faults.push(unknown::<T>(&name, path, provider)),
        }
    }
    faults.into_result()
}

/// Returns the error for a name that is not in the table of `T`.
fn unknown<T: Settings>(name: &str, path: String, provider: Option<&str>) -> ConfigError {
    let names = || T::SETTINGS.iter().map(|setting| setting.name);
    let fault = |hint: &str| {
        ConfigError::new(provider, path.clone(), format_args!("unknown setting{hint}"))
            .of_kind(ConfigErrorKind::Unknown)
    };
    if let Some(hint) = T::hint(name) {
        return fault(&format!(": {hint}"));
    }
    let by_method = T::SETTINGS.iter().find(|setting| setting.methods.contains(&name));
    match by_method.map(|setting| setting.name).or_else(|| nearest(name, names())) {
        Some(meant) => fault(&format!(", did you mean `{meant}`?")).meant(meant),
        None => fault(&format!(": expected one of {}", names().collect::<Vec<_>>().join(", "))),
    }
}

/// Returns the error for a duplicate name at this path of the policy or of the provider.
fn duplicate(provider: Option<&str>, path: &[&str]) -> ConfigError {
    let (field, error) = match (provider, path) {
        (Some(_), []) => (PROVIDERS.to_owned(), "duplicate provider name, set twice"),
        (_, path) => (path.join("."), "duplicate setting, set twice"),
    };
    ConfigError::new(provider, field, error).of_kind(ConfigErrorKind::Duplicate)
}

/// The members of a map that describes a key source.
const KEY_SOURCES: &[&str] = &["discover", "file", "inline", "url"];

/// The settings that need the feature `websocket`.
const NEEDS_WEBSOCKET: &[&str] =
    if cfg!(feature = "websocket") { &[] } else { &[names::TOKEN_FROM_SUBPROTOCOL] };
