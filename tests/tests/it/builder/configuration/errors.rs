//! Settings that are wrong, in code and through serde.

use super::*;

#[test]
fn serde_error_names_provider_and_field() {
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
        (without("/providers"), vec!["providers: at least one provider is required"]),
        (with("/providers", json!({})), vec!["providers", "at least one"]),
        (with("/providers", json!(null)), vec!["providers", "at least one"]),
        (with("/providers", json!([])), vec!["providers", "must be a map of settings, not a list"]),
        (with("/providers/own", json!("x")), vec!["\"own\"", "map"]),
        (with("/providers/own", json!(null)), vec!["\"own\": issuer: missing", "audience", "keys"]),
        (with("/providers/", json!({})), vec!["provider \"\": the name of a provider must not be"]),
        (without("/providers/own/issuer"), vec!["\"own\"", "issuer", "missing"]),
        (without("/providers/own/audience"), vec!["\"own\"", "audience", "missing"]),
        (without("/providers/own/keys"), vec!["\"own\"", "keys", "missing"]),
        (with("/providers/own/issuer", json!(5.5)), vec!["\"own\"", "issuer", "text", "5.5"]),
        (with("/providers/own/issuer", json!({"a": 1})), vec!["\"own\"", "issuer", "not a map"]),
        (with("/providers/own/issuer", json!("")), vec!["\"own\"", "issuer", "empty"]),
        (with("/providers/own/issuer", json!([])), vec!["\"own\"", "issuer", "missing"]),
        (with("/providers/own/issuer", json!("https://x ")), vec!["\"own\"", "white space"]),
        (with("/providers/own/audience", json!("")), vec!["\"own\"", "audience", "empty"]),
        (with("/providers/own/audience", json!(["a", ""])), vec!["\"own\"", "audience", "empty"]),
        (with("/providers/own/audience", json!(null)), vec!["\"own\"", "audience"]),
        (with("/providers/own/audience", json!([null])), vec!["\"own\"", "audience", "list"]),
        (with("/providers/own/audience_claim", json!("")), vec!["\"own\"", "audience_claim"]),
        (with("/providers/own/keys", json!(true)), vec!["\"own\"", "keys"]),
        (with("/providers/own/keys", json!(null)), vec!["\"own\"", "keys", "missing"]),
        (with("/providers/own/algorithms", json!([])), vec!["\"own\"", "algorithms", "empty"]),
        (
            with("/providers/own/algorithms", json!(["none", "rs256"])),
            vec!["\"own\": algorithms: \"none\" is not supported", "\"rs256\"", "RS256"],
        ),
        (with("/providers/own/algorithms", json!(["RS256"])), vec!["\"own\"", "keys", "usable"]),
        (with("/providers/own/isuer", json!("x")), vec!["\"own\"", "isuer", "issuer"]),
        (
            with("/providers/google/audience_claim", json!(["a", "b"])),
            vec!["\"google\"", "audience_claim"],
        ),
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
        (with("/public_paths", json!({"/": true})), vec!["public_paths", "not a map"]),
        (with("/public_paths", json!(["docs"])), vec!["public_paths", "docs", "slash"]),
        (with("/public_paths", json!(["/{"])), vec!["public_paths", "pattern"]),
        (with("/public_paths", json!(["/a?b"])), vec!["public_paths", "never match"]),
        (with("/key_refresh_minutes", json!("30 min")), vec!["key_refresh_minutes", "minutes"]),
        (with("/key_refresh_minutes", json!(-1)), vec!["key_refresh_minutes"]),
        (
            with("/key_refresh_minutes", json!(0.01)),
            vec!["key_refresh_minutes", "1 s and 365 days"],
        ),
        (
            with("/key_refresh_minutes", json!({"gogle": 5})),
            vec!["\"gogle\": key_refresh_minutes: no provider has this name", "\"google\"?"],
        ),
        (
            with("/key_refresh_minutes", json!({"own": 5})),
            vec!["\"own\"", "key_refresh_minutes", "inline"],
        ),
        (
            with("/key_refresh_minutes", json!({"local": "five", "google": -1})),
            vec!["\"local\": key_refresh_minutes", "\"google\": key_refresh_minutes"],
        ),
        (
            with("/providers/local/key_refresh_minutes", json!(5)),
            vec!["\"local\": key_refresh_minutes: is set twice"],
        ),
        (
            with("/providers/local/stale_window_minutes", json!(29)),
            vec!["\"local\": stale_window_minutes", "refresh interval"],
        ),
        (
            with("/providers/local/fetch_timeout_seconds", json!("0.05")),
            vec!["\"local\": fetch_timeout_seconds: must be between 100 ms and 60 s"],
        ),
        (
            with("/providers/local/unknown_key_cooldown_seconds", json!(0)),
            vec!["\"local\": unknown_key_cooldown_seconds: must be between 1 s and 3600 s"],
        ),
        (with("/leeway_seconds", json!(-1)), vec!["leeway_seconds"]),
        (with("/leeway_seconds", json!(601)), vec!["leeway_seconds", "600"]),
        (with("/realm", json!("")), vec!["realm"]),
        (with("/realm", json!("a\nb")), vec!["realm", "ASCII"]),
        (with("/realm", json!("orders scope=x")), vec!["realm", "must not contain `scope=`"]),
        (with("/realm", json!("Resource_Metadata=x")), vec!["realm", "`resource_metadata=`"]),
        (with("/realm", json!("ACR_VALUES=")), vec!["realm", "`acr_values=`"]),
        (with("/realm", json!("a,max_age=0")), vec!["realm", "`max_age=`"]),
        (with("/realm", json!("an error=1")), vec!["realm", "`error=`"]),
        (
            with("/missing_token_status", json!(401)),
            vec!["missing_token_status", "unauthorized", "not 401"],
        ),
        (with("/max_token_length", json!(0)), vec!["max_token_length: must be at least 1"]),
        (with("/max_token_age_seconds", json!(0)), vec!["max_token_age_seconds", "365 days"]),
        (with("/token_cache", json!("maybe")), vec!["token_cache", "true, false or a map"]),
        (
            with("/token_cache", json!({"max_entries": 10_000_001})),
            vec!["token_cache.max_entries: must be at most 10000000"],
        ),
        (
            with("/crypto_backend", json!("ring")),
            vec!["crypto_backend", "\"aws_lc\" or \"openssl\""],
        ),
        (json!([]), vec!["settings"]),
    ] {
        let error = parse(&config).expect_err(&format!("{words:?}"));
        for word in words {
            assert!(error.contains(word), "{error:?} does not contain {word:?}");
        }
        assert!(!error.contains("\": providers: "), "{error}");
    }
}

#[test]
fn duplicate_setting_is_an_error_that_names_it() {
    for (text, fault) in [
        (r#"{"providers": {}, "providers": {}}"#, "providers: duplicate setting, set twice"),
        (
            r#"{"providers": {"a": {"issuer": "x"}, "a": {"issuer": "y"}}}"#,
            "provider \"a\": duplicate provider name, set twice",
        ),
        (
            r#"{"providers": {"a": {"issuer": "x", "issuer": "y"}}}"#,
            "provider \"a\": issuer: duplicate setting, set twice",
        ),
        (
            r#"{"token_cache": {"max_bytes": 1, "max_bytes": 2}}"#,
            "token_cache.max_bytes: duplicate setting, set twice",
        ),
    ] {
        let error = serde_json::from_str::<OAuth2Builder>(text).unwrap_err().to_string();
        assert!(error.contains(fault), "{error}");
    }
    // As the value of an environment variable.
    let text = r#"{"issuer": "x", "issuer": "y"}"#;
    let error = OAuth2Builder::try_from(json!({"providers": {"a": text}})).unwrap_err();
    assert_eq!((error.kind(), error.provider()), (ConfigErrorKind::Duplicate, Some("a")));
}

/// Returns the kind, the provider and the field of each fault.
fn faults(error: &ConfigError) -> Vec<(ConfigErrorKind, Option<&str>, &str)> {
    error.faults().map(|fault| (fault.kind(), fault.provider(), fault.field())).collect()
}

#[test]
fn faults_of_all_settings_are_in_one_error() {
    use ConfigErrorKind::{Conflict, Empty, Missing, OutOfRange, Unknown, WrongType};
    let error = OAuth2Builder::try_from(json!({
        "providers": {
            "a": {"isuer": "https://a.test", "audience": "", "keys": "https://a.test/jwks"},
            "b": {"issuer": "https://b.test", "algorithms": "RS256,none", "require_at_jwt": 1},
            "c": [],
        },
        "key_refresh_minutes": {"a": "soon", "d": 5},
        "leeway_seconds": 601,
        "nonsense": true,
    }))
    .unwrap_err();
    assert_eq!(
        faults(&error),
        [
            (Unknown, Some("a"), "isuer"),
            (Unknown, Some("b"), "algorithms"),
            (WrongType, Some("b"), "require_at_jwt"),
            (WrongType, Some("c"), "providers"),
            (WrongType, Some("a"), "key_refresh_minutes"),
            (Unknown, None, "nonsense"),
            // Faults that are found after all settings are read.
            (OutOfRange, None, "leeway_seconds"),
            (Unknown, Some("d"), "key_refresh_minutes"),
            (Empty, Some("a"), "audience"),
            (Missing, Some("b"), "audience"),
            (Missing, Some("b"), "keys"),
        ],
        "{error:#}"
    );
    let text = serde_json::from_value::<OAuth2Builder>(json!({"realm": {}, "leeway": 1}));
    let text = text.unwrap_err().to_string();
    assert!(text.contains("realm") && text.contains("leeway_seconds"), "{text}");

    let keys = || key(Algorithm::ES256).jwk_set();
    let error = policy::builder()
        .realm("")
        .leeway(Duration::from_secs(601))
        .public_paths(["docs", "/docs", "/a?b"])
        .provider("a", Provider::new().audience("api").keys("no keys"))
        .provider("b", Provider::new().issuer("https://b.test").audience("api").keys("no keys"))
        .provider("c", Provider::new().issuer("https://c.test").audience("api").keys(keys()))
        .provider("c", Provider::new().issuer("https://d.test").audience("api").keys(keys()))
        .provider("e", Provider::new().issuer("https://c.test").audience("api").keys(keys()))
        .build()
        .unwrap_err();
    assert_eq!(
        faults(&error),
        [
            (ConfigErrorKind::Invalid, None, "public_paths"),
            (ConfigErrorKind::Invalid, None, "public_paths"),
            (OutOfRange, None, "leeway_seconds"),
            (Empty, None, "realm"),
            (Missing, Some("a"), "issuer"),
            (ConfigErrorKind::Duplicate, Some("c"), "providers"),
            (Conflict, Some("e"), "audience"),
            (ConfigErrorKind::Invalid, Some("b"), "keys"),
        ],
        "{error:#}"
    );
}

#[test]
fn provider_is_read_from_its_json() {
    let row = r#"{"issuer": "https://sso.acme.example", "audience": ["a", "b"],
        "keys": {"discover": true}, "algorithms": "ES256", "key_refresh_minutes": 0.5}"#;
    let read: Provider = serde_json::from_str(row).unwrap();
    let in_code = Provider::new()
        .issuer("https://sso.acme.example")
        .audiences(["a", "b"])
        .keys(Keys::discover())
        .algorithms(["ES256"])
        .key_refresh(Duration::from_secs(30));
    assert_eq!(read, in_code);
    for (row, fault) in [
        (r#"{"issuer": {}}"#, "issuer: must be text or a list of texts, not a map"),
        (r#"{"isuer": "x"}"#, "isuer: unknown setting, did you mean `issuer`?"),
        (r#"{"issuer": "x", "issuer": "y"}"#, "issuer: duplicate setting, set twice"),
        (r#"{"leeway_seconds": 1}"#, "leeway_seconds: unknown setting: it is for all providers"),
        (r#"{"algorithms": ["none"]}"#, "algorithms: \"none\" is not supported"),
        (r#"{"keys": 5}"#, "keys: "),
        (r#""text""#, "must be a map of settings"),
    ] {
        let error = serde_json::from_str::<Provider>(row).unwrap_err().to_string();
        assert!(error.starts_with(fault), "{error}");
    }
    // Missing settings are found when the provider is used.
    let error = policy::builder()
        .provider("acme", serde_json::from_str("{}").unwrap())
        .build()
        .unwrap_err();
    assert_eq!(
        faults(&error).iter().map(|fault| fault.2).collect::<Vec<_>>(),
        ["issuer", "audience", "keys"]
    );
}

#[test]
fn main_that_returns_an_io_result_prints_the_faults() {
    fn start() -> io::Result<OAuth2> {
        Ok(policy::builder().realm("").build()?)
    }
    let error = start().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    let text =
        "providers: at least one provider is required, or `api_keys`; realm: must not be empty";
    assert_eq!(error.to_string(), text);
    let error = policy::builder().realm("").build().unwrap_err();
    assert_eq!((error.to_string(), format!("{error:?}")), (text.to_owned(), text.to_owned()));
}

#[tokio::test]
async fn fetch_errors_print_the_same_as_debug_and_as_io_error() {
    let server = KeyServer::start(Answer::status(500)).unwrap();
    let provider = Provider::new().issuer("i").audience("a").keys(server.url());
    let oauth2 = policy::builder().provider("p", provider).build().unwrap();
    let error = oauth2.warm_up().await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("provider \"p\": "), "{text}");
    assert_eq!(format!("{error:?}"), text);
    assert_eq!(io::Error::from(error).to_string(), text);
}

#[test]
fn unknown_name_of_an_algorithm_is_a_build_error() {
    let provider = Provider::new().issuer("i").audience("a").keys(key(Algorithm::ES256).jwk_set());
    let with = |names: [&str; 2]| {
        policy::builder().provider("p", provider.clone().algorithms(names)).build()
    };
    assert!(with(["ES256", "RS256"]).is_ok());
    let error = with(["ES256", "none"]).unwrap_err();
    assert_eq!(faults(&error), [(ConfigErrorKind::Unknown, Some("p"), "algorithms")]);
    let oauth2 = policy::builder().provider("p", provider.algorithms([] as [&str; 0])).build();
    assert_eq!(oauth2.unwrap_err().kind(), ConfigErrorKind::Empty);
}

#[test]
fn builder_error_names_provider_and_field() {
    let keys = || key(Algorithm::ES256).jwk_set();
    let full = || Provider::new().issuer("https://idp.test").audience("api").keys(keys());
    let of = |provider: Provider| policy::builder().provider("p", provider);
    let url = |url: &str| of(Provider::new().issuer("i").audience("a").keys(url));
    let good_url = "https://idp.example/jwks";
    for (builder, provider, field) in [
        (policy::builder(), None, "providers"),
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
        (url(good_url).key_refresh(Duration::from_millis(1)), None, "key_refresh_minutes"),
        (url(good_url).key_refresh(Duration::MAX), None, "key_refresh_minutes"),
        (url(good_url).key_refresh_minutes(u32::MAX), None, "key_refresh_minutes"),
        (of(full().stale_window(Duration::MAX)), Some("p"), "stale_window_minutes"),
        (
            of(full()).token_cache(TokenCacheConfig::new().max_entries(usize::MAX)),
            None,
            "token_cache.max_entries",
        ),
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
            .missing_token_status(MissingToken::Unauthorized)
            .build()
            .is_ok()
    );
}

/// Issuers and audiences are compared exactly, so that a pattern would never match.
#[test]
fn pattern_as_issuer_or_audience_is_an_error_that_says_how_to_write_it() {
    const WILDCARD: &str = "there is no wildcard: name each value as tokens have it";
    const BRACES: &str = "has a placeholder in braces";
    let keys = || key(Algorithm::ES256).jwk_set();
    for (value, words) in [
        ("*", WILDCARD),
        ("**", WILDCARD),
        ("*.example", WILDCARD),
        ("https://*.example.com", WILDCARD),
        ("https://api/*", WILDCARD),
        ("orders-*", WILDCARD),
        ("https://login.microsoftonline.com/*/v2.0", WILDCARD),
        ("https://login.microsoftonline.com/{tenantid}/v2.0", BRACES),
        ("https://sts.windows.net/{tenantid}/", BRACES),
        ("api://{x}", BRACES),
        ("api://{", BRACES),
        ("}", BRACES),
    ] {
        for field in ["issuer", "audience"] {
            let mut settings =
                json!({"issuer": "https://idp.test", "audience": "api", "keys": keys()});
            for list in [json!(value), json!(["a", value])] {
                settings[field] = list;
                let own: Provider = serde_json::from_value(settings.clone()).unwrap();
                let built = policy::builder().provider("p", own).build();
                let read = parse(&json!({"providers": {"p": settings}}));
                let provider = Provider::new().keys(keys());
                let in_code = if field == "issuer" {
                    provider.issuer("a").issuer(value).audience("api")
                } else {
                    provider.issuer("https://idp.test").audiences(["a", value])
                };
                let in_code = policy::builder().provider("p", in_code).build();
                for error in [
                    built.unwrap_err().to_string(),
                    read.unwrap_err(),
                    in_code.unwrap_err().to_string(),
                ] {
                    assert!(error.starts_with(&format!("provider \"p\": {field}: ")), "{error}");
                    assert!(error.contains(words), "{value}: {error}");
                    assert_eq!(error.contains("with Tenants"), field == "issuer", "{error}");
                }
            }
        }
    }
    // The values of other audience claims are compared exactly too.
    let client = Provider::new().issuer("i").audience("client-*").audience_claim("client_id");
    assert!(policy::builder().provider("p", client.keys(keys())).build().is_err());
}

/// An old secret and new keys, as two providers of one issuer.
#[test]
fn two_providers_of_one_issuer_and_audience_are_an_error_that_says_to_merge() {
    let config = json!({"providers": {
        "new": {
            "issuer": "https://p.example/auth/v1",
            "audience": "authenticated",
            "keys": key(Algorithm::ES256).jwk_set(),
        },
        "legacy": {
            "issuer": "https://p.example/auth/v1",
            "audience": "authenticated",
            "algorithms": ["HS256"],
            "keys": {"keys": [{
                "kty": "oct",
                "k": "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tr",
            }]},
        },
    }});
    let error = parse(&config).unwrap_err();
    assert!(error.contains("give one provider both sources, as a list in `keys`"), "{error}");
    assert!(error.contains("already"), "{error}");
}
