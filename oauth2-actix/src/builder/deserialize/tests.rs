//! Checks that both forms of the configuration have the same settings.

mod odd_values;

use std::{
    collections::BTreeSet,
    fmt::Debug,
    time::{Duration, SystemTime},
};

use serde_json::json;

use self::odd_values::odd_values;
use super::*;
use crate::{
    api_keys::{ApiKey, ApiKeyHash, ApiKeys},
    authorize::requirement::{self, ClaimValues},
    config::{
        binding::Binding,
        client_authentication::ClientAuthentication,
        error::ConfigFault,
        introspection::Introspection,
        resource::Resource,
        status_list::StatusList,
        token_exchange::{ExchangeGrant, RequestedTokenType},
    },
    dpop::settings::Dpop,
    logout::{BackchannelLogout, SecurityEvents},
    mtls::ForwardedCertificate,
    revocation::{DenyList, WhenUnavailable},
    testing::SigningKey,
};

fn builder() -> OAuth2Builder {
    OAuth2Builder::default()
}

/// Returns each setting with a value, and a builder with the same setting in code.
fn settings_of_the_policy() -> Vec<(&'static str, Value, OAuth2Builder)> {
    let seconds = Duration::from_secs;
    vec![
        ("providers", json!({"p": {}}), builder().provider("p", Provider::new())),
        ("public_paths", json!(["/a", "/b"]), builder().public_paths(["/a", "/b"])),
        ("key_refresh_minutes", json!(30), builder().key_refresh_minutes(30)),
        ("leeway_seconds", json!(0.5), builder().leeway(Duration::from_millis(500))),
        ("realm", json!("orders"), builder().realm("orders")),
        (
            "missing_token_status",
            json!("unauthorized"),
            builder().missing_token_status(MissingToken::Unauthorized),
        ),
        ("route_before_rejection", json!(true), builder().route_before_rejection(true)),
        ("max_token_length", json!(8192), builder().max_token_length(8192)),
        ("max_token_age_seconds", json!(60), builder().max_token_age(seconds(60))),
        (
            "token_cache",
            json!({"max_entries": 5, "max_bytes": 7}),
            builder().token_cache(TokenCacheConfig::new().max_entries(5).max_bytes(7)),
        ),
        ("crypto_backend", json!("openssl"), builder().crypto_backend(CryptoBackend::OpenSsl)),
        #[cfg(feature = "websocket")]
        ("token_from_subprotocol", json!(true), builder().token_from_subprotocol()),
        (
            "token_from_query",
            json!("websocket"),
            builder().token_from_query(TokenRequests::WebSocket),
        ),
        ("token_from_header", json!("X-Token"), builder().token_from_header("X-Token")),
        (
            "token_from_cookie",
            json!({"name": "c", "origins": ["https://a", "https://b"]}),
            builder().token_from_cookie("c", ["https://a", "https://b"]),
        ),
        ("stale_window_minutes", json!(90), builder().stale_window(seconds(90 * 60))),
        ("unknown_key_cooldown_seconds", json!(20), builder().unknown_key_cooldown(seconds(20))),
        ("fetch_timeout_seconds", json!(2), builder().fetch_timeout(seconds(2))),
        ("key_snapshot", json!("/var/lib/keys"), builder().key_snapshot("/var/lib/keys")),
        ("scope_implies", json!({"a": ["b", "c"]}), builder().scope_implies("a", ["b", "c"])),
        (
            "policies",
            json!({"p": {"any": [{"claim": "role", "value": "admin"}, {"scopes": ["a"]}]}}),
            builder().policy(
                "p",
                requirement::any([requirement::claim("role", "admin"), requirement::scopes(["a"])]),
            ),
        ),
        ("check_timeout_seconds", json!(2), builder().check_timeout(seconds(2))),
        ("access_report", json!(true), builder().access_report(true)),
        ("principal_lifetime_seconds", json!(20), builder().principal_lifetime(seconds(20))),
        (
            "require",
            json!({"claim": "tenant"}),
            builder().require(requirement::claim("tenant", ClaimValues::present())),
        ),
        (
            "dpop",
            json!({
                "base_urls": ["https://a.example", "https://b.example"],
                "algorithms": ["ES256"],
                "max_age_seconds": 30,
                "clock_skew_seconds": 5,
                "nonce_secret": "0123456789abcdef0123456789abcdef",
                "previous_nonce_secret": "fedcba9876543210fedcba9876543210",
                "nonce_lifetime_seconds": 90,
            }),
            builder().dpop(
                Dpop::new()
                    .base_url("https://a.example")
                    .base_url("https://b.example")
                    .algorithms([Algorithm::ES256])
                    .max_age(seconds(30))
                    .clock_skew(seconds(5))
                    .nonce_secret("0123456789abcdef0123456789abcdef")
                    .previous_nonce_secret("fedcba9876543210fedcba9876543210")
                    .nonce_lifetime(seconds(90)),
            ),
        ),
        (
            "forwarded_certificate",
            json!({
                "format": "nginx",
                "header": "X-SSL-Client-Cert",
                "from_peers": ["10.0.3.0/24"],
                "secret_header": "X-Proxy",
                "secret": "0123456789abcdef0123456789abcdef",
            }),
            builder().forwarded_certificate(
                ForwardedCertificate::nginx("X-SSL-Client-Cert")
                    .from_peers(["10.0.3.0/24"])
                    .with_secret_header("X-Proxy", "0123456789abcdef0123456789abcdef"),
            ),
        ),
        (
            "resource",
            json!([
                "https://a.example",
                {
                    "identifier": "https://b.example",
                    "name": "B",
                    "name#de": "Be",
                    "documentation": "https://d.example",
                    "policy": "https://p.example",
                    "terms_of_service": "https://t.example",
                    "scopes": ["a"],
                    "challenge_scopes": "a",
                    "authorization_servers": ["https://as.example"],
                    "members": {"x": 1},
                },
            ]),
            builder().resource("https://a.example").resource(
                Resource::new("https://b.example")
                    .name("B")
                    .name_in("de", "Be")
                    .documentation("https://d.example")
                    .policy("https://p.example")
                    .terms_of_service("https://t.example")
                    .scopes(["a"])
                    .challenge_scopes(["a"])
                    .authorization_servers(["https://as.example"])
                    .member("x", 1),
            ),
        ),
        (
            "deny_list",
            json!({
                "token_lifetime_seconds": 3600,
                "max_entries": 500,
                "use_last_list_seconds": 60,
            }),
            builder().deny_list(
                DenyList::new()
                    .token_lifetime(seconds(3600))
                    .max_entries(500)
                    .when_unavailable(WhenUnavailable::UseLastList(seconds(60))),
            ),
        ),
        (
            "backchannel_logout",
            json!({
                "clients": {"p": ["a", "b"], "q": "c"},
                "path": "/hooks/logout",
                "end_all_sessions": true,
            }),
            builder().backchannel_logout(
                BackchannelLogout::new()
                    .client("p", "a")
                    .client("p", "b")
                    .client("q", "c")
                    .path("/hooks/logout")
                    .end_all_sessions(true),
            ),
        ),
        (
            "security_events",
            json!({
                "audiences": {"p": "https://api.example"},
                "path": "/hooks/events",
                "authorization": "Bearer 0123456789abcdef",
            }),
            builder().security_events(
                SecurityEvents::new()
                    .audience("p", "https://api.example")
                    .path("/hooks/events")
                    .authorization("Bearer 0123456789abcdef"),
            ),
        ),
        (
            "api_keys",
            json!({
                "shop": {
                    "prefix": "shop_",
                    "keys": {
                        "job": {
                            "hashes": [ApiKeyHash::of("a").to_string(), ApiKeyHash::of("b").to_string()],
                            "claims": {"scope": "a"},
                            "expires_at_unix_seconds": 2_000_000_000,
                        },
                    },
                    "require_checksum": true,
                    "cache_seconds": 30,
                    "negative_cache_seconds": 2,
                    "max_calls": 7,
                    "dangerous_without_binding": true,
                },
            }),
            builder().api_keys(
                "shop",
                ApiKeys::new("shop_")
                    .key(
                        ApiKey::new("job", [ApiKeyHash::of("a"), ApiKeyHash::of("b")])
                            .claims(json!({"scope": "a"}))
                            .expires(SystemTime::UNIX_EPOCH + seconds(2_000_000_000)),
                    )
                    .require_checksum(true)
                    .cache(seconds(30))
                    .negative_cache(seconds(2))
                    .max_calls(7)
                    .dangerous_without_binding(true),
            ),
        ),
        ("fapi2", json!(true), builder().fapi2()),
        (
            "dangerous_without_revocation_status",
            json!(true),
            builder().dangerous_without_revocation_status(true),
        ),
    ]
}

fn settings_of_a_provider() -> Vec<(&'static str, Value, Provider)> {
    let provider = Provider::new;
    let seconds = Duration::from_secs;
    vec![
        ("issuer", json!(["a", "b"]), provider().issuer("a").issuer("b")),
        ("audience", json!(["a", "b"]), provider().audiences(["a", "b"])),
        ("audience_claim", json!("client_id"), provider().audience_claim("client_id")),
        ("keys", json!({"discover": true}), provider().keys(Keys::discover())),
        ("initial_keys", json!({"keys": []}), provider().initial_keys(json!({"keys": []}))),
        ("algorithms", json!(["RS256"]), provider().algorithms([Algorithm::RS256])),
        ("require_at_jwt", json!(true), provider().require_at_jwt(true)),
        ("clients", json!(["a", "b"]), provider().clients(["a", "b"])),
        ("subjects", json!("a"), provider().subjects(["a"])),
        ("require", json!({"policy": "p"}), provider().require(requirement::policy("p"))),
        (
            "spiffe_trust_domain",
            json!("example.org"),
            provider().spiffe_trust_domain("example.org"),
        ),
        ("key_refresh_minutes", json!(0.5), provider().key_refresh(seconds(30))),
        ("stale_window_minutes", json!(90), provider().stale_window(seconds(90 * 60))),
        ("unknown_key_cooldown_seconds", json!(20), provider().unknown_key_cooldown(seconds(20))),
        ("fetch_timeout_seconds", json!(2), provider().fetch_timeout(seconds(2))),
        ("dpop", json!("required"), provider().dpop(Binding::Required)),
        ("certificate_bound", json!("allowed"), provider().certificate_bound(Binding::Allowed)),
        (
            "introspection",
            json!({
                "endpoint": "https://a.example/introspect",
                "client_authentication": {
                    "method": "private_key_jwt",
                    "client_id": "api",
                    "private_key": "{}",
                    "key_id": "k",
                    "algorithm": "PS256",
                    "assertion_audience": "https://a.example",
                },
                "token_prefix": "at_",
                "every_token": true,
                "signed": true,
                "cache_seconds": 30,
                "negative_cache_seconds": 2,
                "max_calls": 7,
                "dangerous_without_audience": true,
            }),
            provider().introspection(
                Introspection::at("https://a.example/introspect")
                    .authentication(
                        ClientAuthentication::private_key_jwt("api", "{}")
                            .key_id("k")
                            .algorithm(Algorithm::PS256)
                            .assertion_audience("https://a.example"),
                    )
                    .token_prefix("at_")
                    .every_token(true)
                    .signed(true)
                    .cache(seconds(30))
                    .negative_cache(seconds(2))
                    .max_calls(7)
                    .dangerous_without_audience(true),
            ),
        ),
        (
            "token_exchange",
            json!({
                "endpoint": "https://a.example/token",
                "client_authentication": {
                    "method": "client_secret_basic", "client_id": "api", "client_secret": "s",
                },
                "grant": "on_behalf_of",
                "requested_token_type": "jwt",
                "max_calls": 7,
                "max_entries": 9,
            }),
            provider().token_exchange(
                TokenExchange::at("https://a.example/token")
                    .authentication(ClientAuthentication::basic("api", "s"))
                    .grant(ExchangeGrant::OnBehalfOf)
                    .requested_token_type(RequestedTokenType::Jwt)
                    .max_calls(7)
                    .max_entries(9),
            ),
        ),
        (
            "status_list",
            json!({
                "hosts": ["status.example.com", "status.example.org:8443"],
                "required": true,
                "max_age_seconds": 60,
                "max_bytes": 4096,
            }),
            provider().status_list(
                StatusList::hosts(["status.example.com", "status.example.org:8443"])
                    .required(true)
                    .max_age(seconds(60))
                    .max_bytes(4096),
            ),
        ),
        ("dangerous_allow_http", json!(true), provider().dangerous_allow_http(true)),
        (
            "dangerous_accept_bound_tokens",
            json!(true),
            provider().dangerous_accept_bound_tokens(true),
        ),
    ]
}

fn assert_both_forms_are_equal<T>(cases: Vec<(&'static str, Value, T)>)
where
    T: Settings + Debug + TryFrom<Value, Error = ConfigError>,
{
    let cases_of: Vec<_> = cases.iter().map(|(name, ..)| *name).collect();
    let names: Vec<_> = T::SETTINGS.iter().map(|setting| setting.name).collect();
    assert_eq!(cases_of, names, "a setting without a case, or a case without a setting");
    let default = format!("{:?}", T::default());
    for (name, value, in_code) in cases {
        let in_code = format!("{in_code:?}");
        assert_ne!(in_code, default, "{name} is not in the debug output");
        let read = T::try_from(json!({name: value})).expect(name);
        assert_eq!(format!("{read:?}"), in_code, "{name}");
        let null = T::try_from(json!({name: null})).expect(name);
        assert_eq!(format!("{null:?}"), default, "{name}");
    }
}

#[test]
fn every_setting_of_the_policy_equals_its_method() {
    assert_both_forms_are_equal(settings_of_the_policy());
}

#[test]
fn every_setting_of_a_provider_equals_its_method() {
    assert_both_forms_are_equal(settings_of_a_provider());
}

/// Returns the methods that return a changed `Self`.
fn setters(source: &str) -> impl Iterator<Item = &str> {
    let signatures =
        source.split("\n    pub fn ").skip(1).filter_map(|rest| rest.split('{').next());
    signatures
        .filter(|signature| signature.contains("self") && signature.contains("-> Self"))
        .filter_map(|signature| signature.split(['(', '<']).next())
}

fn assert_every_setter_has_a_setting<T: Settings>(sources: &[&str], in_code_only: &[&str]) {
    let setters: BTreeSet<_> = sources.iter().flat_map(|source| setters(source)).collect();
    let methods = T::SETTINGS.iter().flat_map(|setting| setting.methods);
    let known: BTreeSet<_> = methods.chain(in_code_only).copied().collect();
    assert_eq!(setters, known);
}

#[cfg(feature = "websocket")]
#[test]
fn every_method_of_the_builder_has_a_setting() {
    // The arguments of these methods are code.
    let in_code_only = [
        "api_key_source",
        "clock",
        "configure_http_client",
        "dangerous_http_client",
        "on_rejection",
        "principal",
        "revocation_store",
        "tenants",
    ];
    let sources = [
        include_str!("../mod.rs"),
        include_str!("../api_key_settings.rs"),
        include_str!("../fapi2_settings.rs"),
        include_str!("../key_settings.rs"),
        include_str!("../resource_settings.rs"),
        include_str!("../possession_settings.rs"),
        include_str!("../revocation_settings.rs"),
        include_str!("../logout_settings.rs"),
        include_str!("../access_settings.rs"),
    ];
    assert_every_setter_has_a_setting::<OAuth2Builder>(&sources, &in_code_only);
}

#[test]
fn every_method_of_a_provider_has_a_setting() {
    let sources = [
        include_str!("../../config/provider.rs"),
        include_str!("../../config/provider/calls.rs"),
        include_str!("../../config/status_list.rs"),
    ];
    // The second file has those of the lists too.
    let of_lists = ["max_age", "max_bytes", "required"];
    assert_every_setter_has_a_setting::<Provider>(&sources, &of_lists);
}

/// Returns whether a row of a table has the setting in its first column, and its methods in the second.
#[cfg(feature = "websocket")]
fn documents<T>(page: &str, setting: &Setting<T>) -> bool {
    page.lines().filter(|line| line.starts_with("| ")).any(|line| {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [_, name, methods, ..] = cells[..] else { return false };
        name.contains(&format!("`{}`", setting.name))
            && setting.methods.iter().all(|method| methods.contains(&format!("`{method}(")))
    })
}

#[cfg(feature = "websocket")]
#[test]
fn every_setting_is_documented_in_both_forms() {
    fn undocumented<T: Settings>(page: &str) -> Vec<&'static str> {
        let missing = T::SETTINGS.iter().filter(|setting| !documents(page, setting));
        missing.map(|setting| setting.name).collect()
    }
    let page = include_str!("../../../docs/configuration.md");
    assert_eq!(undocumented::<OAuth2Builder>(page), [""; 0]);
    assert_eq!(undocumented::<Provider>(page), [""; 0]);
}

#[test]
fn unknown_setting_gets_a_suggestion() {
    for (settings, message) in [
        (json!({"public_path": []}), "public_path: unknown setting, did you mean `public_paths`?"),
        (json!({"leeway": 30}), "leeway: unknown setting, did you mean `leeway_seconds`?"),
        (
            json!({"keyRefreshMinutes": 30}),
            "keyRefreshMinutes: unknown setting, did you mean `key_refresh_minutes`?",
        ),
        (
            json!({"issuer": "x"}),
            "issuer: unknown setting: it belongs inside a provider: `providers.NAME.issuer`",
        ),
        (
            json!({"providers": {"p": {"isuer": "x", "audience": "a", "keys": "https://x"}}}),
            "provider \"p\": isuer: unknown setting, did you mean `issuer`?",
        ),
        (
            json!({"providers": {"p": {
                "leeway_seconds": 30, "issuer": "i", "audience": "a", "keys": "https://x",
            }}}),
            "provider \"p\": leeway_seconds: unknown setting: it is for all providers and belongs \
             beside `providers`",
        ),
        (
            json!({"token_cache": {"entries": 5}}),
            "token_cache.entries: unknown setting: expected one of max_entries, max_bytes",
        ),
    ] {
        let error = OAuth2Builder::try_from(settings).expect_err(message);
        assert_eq!(error.faults().next().map(ToString::to_string).as_deref(), Some(message));
        assert_eq!(error.kind(), ConfigErrorKind::Unknown);
    }
    let error = Provider::try_from(json!({"uri": "https://x"})).expect_err("unknown");
    assert!(
        error.to_string().starts_with("uri: unknown setting: expected one of issuer, audience")
    );
}

#[test]
fn text_of_a_variable_is_parsed_as_a_key_source() {
    let keys = |value: Value| {
        let provider = Provider::try_from(json!({"keys": value})).expect("keys");
        Some(Keys(provider.keys))
    };
    for value in [
        json!({"discover": true}),
        json!({"discover": "true"}),
        json!({"discover": "TRUE\n"}),
        json!({"discover": true, "file": null}),
        json!(r#"{"discover": true}"#),
    ] {
        assert_eq!(keys(value.clone()), Some(Keys::discover()), "{value}");
    }
    assert_eq!(keys(json!(r#"{"file": "/k"}"#)), Some(Keys::file("/k")));
    let sources = json!(["https://idp.example/jwks", {"file": "/k"}, {"inline": "x"}]);
    let expected =
        Keys::from([Keys::url("https://idp.example/jwks"), Keys::file("/k"), Keys::inline("x")]);
    assert_eq!(keys(sources.clone()), Some(expected.clone()));
    assert_eq!(keys(json!(sources.to_string())), Some(expected));
    let initial = Provider::try_from(json!({"initial_keys": "[]"})).expect("initial keys");
    assert_eq!(initial.initial_keys, Some(Keys::inline("[]")));
    // Key documents are not parsed here.
    let document = SigningKey::generate(Algorithm::ES256, "1").jwk_set();
    assert_eq!(keys(json!(document.to_string())), Some(Keys::from(document.to_string())));
    for value in [json!({"discover": "yes"}), json!({"discover": false}), json!(7)] {
        let error = Provider::try_from(json!({"keys": value})).expect_err("no keys");
        assert_eq!((error.provider(), error.field()), (None, "keys"));
    }
}

#[test]
fn wrong_value_is_reported_under_its_setting() {
    // The keys are inline, so nothing is fetched.
    let keys = SigningKey::generate(Algorithm::ES256, "k").jwk_set();
    let full = || Provider::new().issuer("i").audience("a").keys(keys.clone());
    let check = |name: &str, builder: OAuth2Builder| {
        let builder = builder.provider("p", full());
        // `build` would create the directory that the value names.
        if name == "key_snapshot" {
            builder.faults().into_result()
        } else {
            builder.build().map(drop)
        }
    };
    for name in OAuth2Builder::SETTINGS.iter().map(|setting| setting.name) {
        for value in odd_values() {
            let read = OAuth2Builder::try_from(json!({name: value}));
            match read.and_then(|builder| check(name, builder)) {
                Ok(()) => {}
                Err(error) if matches!(name, PROVIDERS | "key_refresh_minutes" | "fapi2") => {
                    let of_provider = |fault: &ConfigFault| fault.provider().is_some();
                    let of_setting = |fault: &ConfigFault| fault.field() == name;
                    assert!(error.faults().all(|f| of_provider(f) || of_setting(f)), "{error}");
                }
                Err(error) => {
                    let of_setting = |fault: &ConfigFault| fault.field().starts_with(name);
                    assert!(error.faults().all(of_setting), "{name}: {value}: {error}");
                }
            }
        }
    }
    for name in Provider::SETTINGS.iter().map(|setting| setting.name) {
        for value in odd_values() {
            let mut settings = json!({"issuer": "i", "audience": "a", "keys": {"discover": true}});
            settings[name] = value;
            if let Err(error) = Provider::try_from(settings) {
                let of_setting = |fault: &ConfigFault| fault.field().starts_with(name);
                assert!(error.faults().all(of_setting), "{name}: {error}");
            }
        }
    }
}
