//! The configuration in code and through serde.
//!
//! - this file: the serde form and its defaults
//! - `environment`: environment variables
//! - `errors`: wrong settings, and the text of each error

mod environment;
mod errors;

use std::{io, time::Duration};

use oauth2_actix::{
    Algorithm, ConfigError, ConfigErrorKind, Keys, MissingToken, OAuth2, OAuth2Builder, Provider,
    TokenCacheConfig,
    testing::{ManualClock, Token},
};
use oauth2_actix_tests::{
    key_server::{Answer, KeyServer},
    keys::key,
    log, policy,
};
use serde_json::{Value, json};

fn valid() -> Value {
    json!({
        "providers": {
            "google": {
                "issuer": ["https://accounts.google.com", "accounts.google.com"],
                "audience": "client-1",
                "keys": key(Algorithm::RS256).jwk_set(),
            },
            "own": {
                "issuer": "https://idp.test",
                "audience": ["api", "api-2"],
                "audience_claim": "aud",
                "keys": key(Algorithm::HS256).public_jwk(),
                "algorithms": ["HS256"],
            },
            "local": {
                "issuer": "http://keycloak:8080/realms/x",
                "audience": "api",
                "keys": "http://keycloak:8080/realms/x/certs",
                "dangerous_allow_http": true,
            },
        },
        "public_paths": ["/", "/docs/{tail:.*}"],
        "key_refresh_minutes": {"local": 30},
        "leeway_seconds": 30,
        "realm": "orders",
        "missing_token_status": "unauthorized",
        "max_token_length": 8192,
    })
}

fn parse(config: &Value) -> Result<OAuth2, String> {
    let builder = policy::from_json(config.clone()).map_err(|error| error.to_string())?;
    policy::offline(builder).build().map_err(|error| error.to_string())
}

#[tokio::test]
async fn serde_settings_configure_the_same_policy() {
    let oauth2 = parse(&valid()).unwrap();
    for (issuer, audience, algorithm, provider) in [
        ("https://accounts.google.com", "client-1", Algorithm::RS256, "google"),
        ("accounts.google.com", "client-1", Algorithm::RS256, "google"),
        ("https://idp.test", "api-2", Algorithm::HS256, "own"),
    ] {
        // Generated before the token, which expires soon.
        let key = key(algorithm);
        let token = Token::new(issuer, audience).expires_in(-29).sign(key);
        assert_eq!(oauth2.verify(&token).await.unwrap().provider(), provider);
        let token = Token::new(issuer, audience).expires_in(-31).sign(key);
        assert!(oauth2.verify(&token).await.is_err());
        let token = Token::new(issuer, "other").sign(key);
        assert!(oauth2.verify(&token).await.is_err());
    }
}

#[test]
fn toml_and_json_text_are_both_read() {
    let text = toml::to_string(&valid()).unwrap();
    assert!(policy::offline(toml::from_str(&text).unwrap()).build().is_ok());
    let text = valid().to_string();
    assert!(policy::offline(serde_json::from_str(&text).unwrap()).build().is_ok());
}

#[test]
fn refresh_setting_takes_a_number_text_or_map() {
    for minutes in [
        json!(0),
        json!(30),
        json!(0.5),
        json!("0.5"),
        json!(null),
        json!({}),
        json!({"local": 0}),
        json!({"local": "5"}),
        json!({"local": null}),
    ] {
        let mut config = valid();
        config["key_refresh_minutes"] = minutes;
        assert!(parse(&config).is_ok());
    }
}

#[tokio::test]
async fn settings_of_a_provider_take_precedence_over_those_for_all() {
    let server = KeyServer::start(Answer::json(&key(Algorithm::ES256).jwk_set())).unwrap();
    let clock = ManualClock::new();
    let provider =
        |issuer: &str| json!({"issuer": issuer, "audience": "api", "keys": server.url()});
    let mut own = provider("https://own.test");
    own["key_refresh_minutes"] = json!(30);
    own["stale_window_minutes"] = json!("60");
    own["unknown_key_cooldown_seconds"] = json!(60);
    let settings = json!({
        "providers": {"own": own, "other": provider("https://other.test")},
        "key_refresh_minutes": 120,
        "stale_window_minutes": 240,
        "unknown_key_cooldown_seconds": 3600,
    });
    let builder = policy::from_json(settings).unwrap();
    let oauth2 = builder.clock(clock.clone()).build().unwrap();
    oauth2.warm_up().await.unwrap();
    let stale_in = |provider: usize| {
        serde_json::to_value(oauth2.key_status()).unwrap()[provider]["stale_in_seconds"].as_u64()
    };
    assert_eq!((stale_in(0), stale_in(1)), (Some(60 * 60), Some(240 * 60)));
    let token = |issuer: &str, kid: &str| {
        let key = oauth2_actix::testing::SigningKey::generate(Algorithm::ES256, kid);
        Token::new(issuer, "api").expires_in(86_400).sign(&key)
    };
    for kid in ["one", "two"] {
        for issuer in ["https://own.test", "https://other.test"] {
            assert!(oauth2.verify(&token(issuer, kid)).await.is_err());
        }
        clock.advance(Duration::from_secs(61));
    }
    // Both were fetched at the start and for the first unknown key; only the one with the short cooldown was
    // fetched for the second.
    assert_eq!(server.requests(), 5);
}

#[tokio::test]
async fn fetch_timeout_of_a_provider_ends_its_fetches() {
    let server = KeyServer::start(Answer::hang()).unwrap();
    let provider = Provider::new()
        .issuer("i")
        .audience("a")
        .keys(server.url())
        .fetch_timeout(Duration::from_millis(100));
    let oauth2 = policy::builder()
        .provider("p", provider)
        .fetch_timeout(Duration::from_secs(60))
        .build()
        .unwrap();
    let error = oauth2.warm_up().await.unwrap_err();
    assert!(error.to_string().contains("no complete answer within 100 ms"), "{error}");
}

#[test]
fn build_logs_one_line_with_providers_and_public_counts() {
    log::keep();
    let provider = |issuer: &str| {
        Provider::new().issuer(issuer).audience("api").keys(key(Algorithm::ES256).jwk_set())
    };
    policy::builder()
        .provider("summary-a", provider("https://a.test"))
        .provider("summary-b", provider("https://b.test"))
        .public_paths(["/health", "/docs"])
        .build()
        .unwrap();
    let lines = log::lines_with(&["summary-a"]);
    let routes = format!("public_routes={} ", oauth2_actix::public::routes().count());
    let [line] = &lines[..] else { panic!("{lines:?}") };
    for part in [
        "INFO oauth2_actix: OAuth2 is configured ",
        "providers=\"summary-a, summary-b\" ",
        "public_paths=2 ",
        &routes,
    ] {
        assert!(format!("{line} ").contains(part), "{line} lacks {part}");
    }
}

#[test]
fn audience_that_looks_like_a_client_id_is_logged_once() {
    log::keep();
    let provider = || {
        Provider::new()
            .issuer("https://accounts.google.com")
            .audience("1234.apps.googleusercontent.com")
            .keys(key(Algorithm::ES256).jwk_set())
    };
    let build = |name: &str, provider: Provider| {
        policy::builder().provider(name, provider).build().unwrap();
        log::lines_with(&["INFO", "id_token", name]).len()
    };
    assert_eq!(build("takes-id-tokens", provider()), 1);
    assert_eq!(build("takes-typed-tokens", provider().require_at_jwt(true)), 0);
}

#[test]
fn debug_output_holds_no_secret() {
    let secret = key(Algorithm::HS256);
    let encoded = secret.bare_jwk()["k"].as_str().unwrap().to_owned();
    let provider = Provider::new()
        .issuer("i")
        .audience("a")
        .algorithms([Algorithm::HS256])
        .keys(secret.jwk_set());
    let builder = policy::builder().provider("p", provider);
    assert!(!format!("{builder:?}").contains(&encoded));
    let oauth2 = builder.build().unwrap();
    let shown = format!("{oauth2:?}");
    assert!(!shown.contains(&encoded) && shown.contains("\"p\""), "{shown}");
}

#[test]
fn url_without_refresh_is_logged_once_at_build() {
    log::keep();
    let build = |name: &str, refresh: Option<u32>| {
        let mut builder = policy::builder().provider(
            name,
            Provider::new().issuer("i").audience("a").keys("https://idp.test/jwks.json"),
        );
        if let Some(minutes) = refresh {
            builder = builder.key_refresh_minutes(minutes);
        }
        builder.build().unwrap();
        log::lines_with(&["WARN", "no key refresh", name]).len()
    };
    assert_eq!(build("warned-about", None), 1);
    assert_eq!(build("silent", Some(30)), 0);
}
