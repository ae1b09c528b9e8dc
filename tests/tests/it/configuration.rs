//! The configuration in code and through serde, and every way to get it wrong.

use std::time::Duration;

use oauth2_actix::{Algorithm, MissingToken, OAuth2, OAuth2Builder, Provider, testing::Token};
use oauth2_actix_tests::keys::key;
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
        "missing_token": "unauthorized",
        "max_token_length": 8192,
    })
}

fn parse(config: &Value) -> Result<OAuth2, String> {
    serde_json::from_value::<OAuth2Builder>(config.clone())
        .map_err(|error| error.to_string())?
        .build()
        .map_err(|error| error.to_string())
}

#[tokio::test]
async fn the_serde_form_does_what_the_builder_does() {
    let oauth2 = parse(&valid()).unwrap();
    for (issuer, audience, algorithm, provider) in [
        ("https://accounts.google.com", "client-1", Algorithm::RS256, "google"),
        ("accounts.google.com", "client-1", Algorithm::RS256, "google"),
        ("https://idp.test", "api-2", Algorithm::HS256, "own"),
    ] {
        // Made before the token, whose time is short.
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
fn toml_and_json_text_are_the_same() {
    let text = toml::to_string(&valid()).unwrap();
    assert!(toml::from_str::<OAuth2Builder>(&text).unwrap().build().is_ok());
    let text = valid().to_string();
    assert!(serde_json::from_str::<OAuth2Builder>(&text).unwrap().build().is_ok());
}

#[test]
fn refresh_for_all() {
    for minutes in [json!(0), json!(30), json!({}), json!({"local": 0})] {
        let mut config = valid();
        config["key_refresh_minutes"] = minutes;
        assert!(parse(&config).is_ok());
    }
}

#[test]
fn a_serde_error_names_provider_and_field() {
    let with = |pointer: &str, value: Value| {
        let mut config = valid();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        config.pointer_mut(parent).unwrap()[name] = value;
        config
    };
    let without = |pointer: &str| {
        let mut config = valid();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        config.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name);
        config
    };
    for (config, words) in [
        (without("/providers"), vec!["providers", "none"]),
        (with("/providers", json!({})), vec!["providers", "none"]),
        (with("/providers", json!([])), vec!["providers"]),
        (with("/providers/own", json!("x")), vec!["\"own\"", "map"]),
        (without("/providers/own/issuer"), vec!["\"own\"", "issuer", "missing"]),
        (without("/providers/own/audience"), vec!["\"own\"", "audience", "missing"]),
        (without("/providers/own/keys"), vec!["\"own\"", "keys", "missing"]),
        (with("/providers/own/issuer", json!(5)), vec!["\"own\"", "issuer", "5"]),
        (with("/providers/own/issuer", json!("")), vec!["\"own\"", "issuer", "empty"]),
        (with("/providers/own/issuer", json!([])), vec!["\"own\"", "issuer", "missing"]),
        (with("/providers/own/issuer", json!("https://x ")), vec!["\"own\"", "white space"]),
        (with("/providers/own/audience", json!("")), vec!["\"own\"", "audience", "empty"]),
        (with("/providers/own/audience", json!(["a", ""])), vec!["\"own\"", "audience", "empty"]),
        (with("/providers/own/audience", json!(null)), vec!["\"own\"", "audience"]),
        (with("/providers/own/audience_claim", json!("")), vec!["\"own\"", "audience_claim"]),
        (with("/providers/own/keys", json!(true)), vec!["\"own\"", "keys"]),
        (with("/providers/own/algorithms", json!([])), vec!["\"own\"", "algorithms", "empty"]),
        (with("/providers/own/algorithms", json!(["none"])), vec!["\"own\"", "algorithms"]),
        (with("/providers/own/algorithms", json!(["RS256"])), vec!["\"own\"", "keys", "usable"]),
        (with("/providers/own/isuer", json!("x")), vec!["\"own\"", "isuer", "issuer"]),
        (with("/providers/google/audience_claim", json!(1)), vec!["\"google\"", "audience_claim"]),
        (
            with("/providers/local/dangerous_allow_http", json!(false)),
            vec!["\"local\"", "keys", "http"],
        ),
        (
            with("/providers/local/dangerous_allow_http", json!("yes")),
            vec!["\"local\"", "dangerous_allow_http"],
        ),
        (
            with("/providers/local/algorithms", json!(["HS256"])),
            vec!["\"local\"", "algorithms", "inline"],
        ),
        (with("/public_path", json!([])), vec!["public_path", "public_paths"]),
        (with("/public_paths", json!("/")), vec!["public_paths"]),
        (with("/public_paths", json!(["docs"])), vec!["public_paths", "docs", "slash"]),
        (with("/public_paths", json!(["/{"])), vec!["public_paths", "pattern"]),
        (with("/public_paths", json!(["/a?b"])), vec!["public_paths", "never match"]),
        (with("/key_refresh_minutes", json!("30")), vec!["key_refresh_minutes"]),
        (with("/key_refresh_minutes", json!(-1)), vec!["key_refresh_minutes"]),
        (with("/key_refresh_minutes", json!(1.5)), vec!["key_refresh_minutes"]),
        (
            with("/key_refresh_minutes", json!({"nobody": 5})),
            vec!["\"nobody\"", "key_refresh_minutes"],
        ),
        (
            with("/key_refresh_minutes", json!({"own": 5})),
            vec!["\"own\"", "key_refresh_minutes", "inline"],
        ),
        (
            with("/key_refresh_minutes", json!({"local": "5"})),
            vec!["\"local\"", "key_refresh_minutes"],
        ),
        (with("/leeway_seconds", json!(-1)), vec!["leeway_seconds"]),
        (with("/leeway_seconds", json!(601)), vec!["leeway_seconds", "600"]),
        (with("/realm", json!("")), vec!["realm"]),
        (with("/realm", json!("a\nb")), vec!["realm", "ASCII"]),
        (with("/missing_token", json!(401)), vec!["missing_token", "unauthorized"]),
        (with("/max_token_length", json!(0)), vec!["max_token_length"]),
        (json!([]), vec!["settings"]),
    ] {
        let error = parse(&config).expect_err(&format!("{words:?}"));
        for word in words {
            assert!(error.contains(word), "{error:?} does not say {word:?}");
        }
    }
}

#[test]
fn names_that_stand_twice_are_refused() {
    for text in [
        r#"{"providers": {}, "providers": {}}"#,
        r#"{"providers": {"a": {"issuer": "x"}, "a": {"issuer": "y"}}}"#,
        r#"{"providers": {"a": {"issuer": "x", "issuer": "y"}}}"#,
    ] {
        let error = serde_json::from_str::<OAuth2Builder>(text).unwrap_err().to_string();
        assert!(error.contains("twice"), "{error}");
    }
}

#[test]
fn a_builder_error_names_provider_and_field() {
    let keys = || key(Algorithm::ES256).jwk_set();
    let full = || Provider::new().issuer("https://idp.test").audience("api").keys(keys());
    let of = |provider: Provider| OAuth2::builder().provider("p", provider);
    let url = |url: &str| of(Provider::new().issuer("i").audience("a").keys(url));
    let good_url = "https://idp.example/jwks";
    for (builder, provider, field) in [
        (OAuth2::builder(), None, "providers"),
        (of(Provider::new()), Some("p"), "issuer"),
        (of(Provider::new().issuer("i")), Some("p"), "audience"),
        (of(Provider::new().issuer("i").audience("a")), Some("p"), "keys"),
        (of(full()).provider("p", full()), Some("p"), "providers"),
        (of(full()).provider("", full()), Some(""), "providers"),
        (of(full()).provider("q", full()), Some("q"), "audience"),
        (of(full().audience("api")), Some("p"), "audience"),
        (of(full().key_refresh_minutes(5)), Some("p"), "key_refresh_minutes"),
        (of(full().audience("tab\t")), Some("p"), "audience"),
        (of(full()).leeway(Duration::from_secs(601)), None, "leeway_seconds"),
        (of(full()).realm("\u{e4}"), None, "realm"),
        (url("http://idp.example/jwks"), Some("p"), "keys"),
        (url("http://10.0.0.1/jwks"), Some("p"), "keys"),
        (url("https://user:secret@idp.example/jwks"), Some("p"), "keys"),
        (url("HTTP://idp.example/jwks"), Some("p"), "keys"),
        (url(good_url).key_refresh(Duration::from_millis(1)), Some("p"), "key_refresh_minutes"),
        (url(good_url).key_refresh(Duration::MAX), Some("p"), "key_refresh_minutes"),
        (url(good_url).key_refresh_minutes(u32::MAX), Some("p"), "key_refresh_minutes"),
        (url("https://"), Some("p"), "keys"),
        (url("ftp://idp.example/jwks"), Some("p"), "keys"),
    ] {
        let error = builder.build().expect_err(field);
        assert_eq!((error.provider(), error.field()), (provider, field), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    assert!(
        of(full()).provider("q", full().issuer("https://b.test").audience("b")).build().is_err()
    );
    assert!(
        of(full())
            .provider("q", Provider::new().issuer("https://idp.test").audience("b").keys(keys()))
            .missing_token(MissingToken::Unauthorized)
            .build()
            .is_ok()
    );
}

#[test]
fn debug_shows_no_secret() {
    let secret = key(Algorithm::HS256);
    let encoded = secret.bare_jwk()["k"].as_str().unwrap().to_owned();
    let provider = Provider::new()
        .issuer("i")
        .audience("a")
        .algorithms([Algorithm::HS256])
        .keys(secret.jwk_set());
    let builder = OAuth2::builder().provider("p", provider);
    assert!(!format!("{builder:?}").contains(&encoded));
    let oauth2 = builder.build().unwrap();
    let shown = format!("{oauth2:?}");
    assert!(!shown.contains(&encoded) && shown.contains("\"p\""), "{shown}");
}

#[test]
fn a_url_without_refresh_warns_once_at_build() {
    oauth2_actix_tests::log::keep();
    let build = |name: &str, refresh: Option<u32>| {
        let mut builder = OAuth2::builder().provider(
            name,
            Provider::new().issuer("i").audience("a").keys("https://idp.test/jwks.json"),
        );
        if let Some(minutes) = refresh {
            builder = builder.key_refresh_minutes(minutes);
        }
        builder.build().unwrap();
        oauth2_actix_tests::log::lines_with(&["WARN", "no key refresh", name]).len()
    };
    assert_eq!(build("warned-about", None), 1);
    assert_eq!(build("silent", Some(30)), 0);
}
