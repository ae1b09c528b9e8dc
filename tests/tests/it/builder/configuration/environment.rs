//! Settings from environment variables, through `config`, `figment` and readers of flat variables. The
//! variables are those of the documentation, as a map.

use std::{collections::HashMap, time::Duration};

use config::{Config, Environment};
use figment::{
    Figment, Metadata, Profile, Provider as Source,
    util::nest,
    value::{Dict, Map},
};
use oauth2_actix::{Keys, OAuth2, OAuth2Builder, Provider};
use oauth2_actix_tests::policy;
use serde::{
    Deserialize,
    de::value::{Error as FlatError, MapDeserializer},
};
use serde_json::json;

#[derive(Deserialize)]
struct Settings {
    oauth2: OAuth2Builder,
}

/// Returns the variables of `docs/configuration.md`.
fn documented() -> HashMap<String, String> {
    let page = include_str!("../../../../../docs/configuration.md");
    let block = page.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    let pairs = block.lines().map(|line| line.split_once('=').unwrap());
    pairs.map(|(name, value)| (name.to_owned(), value.trim_matches('\'').to_owned())).collect()
}

/// Returns the same settings in code.
fn in_code(order: [usize; 2]) -> OAuth2Builder {
    let auth0 = Provider::new()
        .issuer("https://tenant.eu.auth0.com/")
        .audience("852159111111")
        .keys(Keys::discover())
        .algorithms(["RS256", "ES256"]);
    let partner = Provider::new()
        .issuers(["https://a.partner.example", "https://b.partner.example"])
        .audience("orders")
        .keys("https://partner.example/jwks.json")
        .key_refresh(Duration::from_secs(90));
    let providers = [("auth0", auth0), ("partner", partner)];
    let add = |builder: OAuth2Builder, index: usize| {
        let (name, provider) = providers[index].clone();
        builder.provider(name, provider)
    };
    order
        .into_iter()
        .fold(OAuth2::builder(), add)
        .public_paths(["/health", r"/docs/{page:\d{1,3}}"])
        .key_refresh_minutes(30)
        .leeway(Duration::from_secs(30))
        .fetch_timeout(Duration::from_millis(2500))
        .token_from_subprotocol()
}

/// Asserts that the settings are equal in either order, since readers of variables may not keep it.
fn assert_equal(
    builder: &OAuth2Builder,
    in_code: impl Fn([usize; 2]) -> OAuth2Builder,
    mode: &str,
) {
    let shown = [[0, 1], [1, 0]].map(|order| format!("{:?}", in_code(order)));
    assert!(shown.contains(&format!("{builder:?}")), "{mode}: {builder:?}");
}

fn variables() -> Environment {
    Environment::with_prefix("APP").separator("__").source(Some(documented()))
}

fn by_config(variables: Environment) -> Result<OAuth2Builder, config::ConfigError> {
    let config = Config::builder().add_source(variables).build()?;
    Ok(config.try_deserialize::<Settings>()?.oauth2)
}

#[test]
fn config_reads_the_documented_variables_in_every_mode() {
    for (mode, variables) in [
        ("text", variables()),
        ("parsed", variables().try_parsing(true)),
        (
            "parsed, one list",
            variables()
                .try_parsing(true)
                .list_separator(",")
                .with_list_parse_key("oauth2.providers.auth0.algorithms"),
        ),
    ] {
        let builder = by_config(variables).expect(mode);
        assert_equal(&builder, in_code, mode);
        policy::offline(builder).build().expect(mode);
    }
}

#[test]
fn config_that_splits_every_text_into_a_list_is_read() {
    let mut all = documented();
    // A list separator splits these.
    all.remove("APP__OAUTH2__PUBLIC_PATHS");
    // The order of two providers is not kept.
    all.retain(|name, _| !name.contains("__PROVIDERS__PARTNER__"));
    let keys = "https://tenant.eu.auth0.com/.well-known/jwks.json".to_owned();
    all.remove("APP__OAUTH2__PROVIDERS__AUTH0__KEYS__DISCOVER");
    all.insert("APP__OAUTH2__PROVIDERS__AUTH0__KEYS".to_owned(), keys);
    let environment = || Environment::with_prefix("APP").separator("__").source(Some(all.clone()));
    let text = by_config(environment().try_parsing(true)).unwrap();
    let lists = by_config(environment().try_parsing(true).list_separator(",")).unwrap();
    assert_eq!(format!("{lists:?}"), format!("{text:?}"));
    assert!(format!("{lists:?}").contains("keys: [https://tenant"), "{lists:?}");
}

#[test]
fn config_error_names_the_provider_and_the_setting() {
    let mut all = documented();
    all.insert("APP__OAUTH2__LEEWAY_SECONDS".to_owned(), "30s".to_owned());
    all.insert("APP__OAUTH2__PROVIDERS__AUTH0__AUDIENCES".to_owned(), "a".to_owned());
    let environment = Environment::with_prefix("APP").separator("__").source(Some(all));
    let error = by_config(environment).map(drop).unwrap_err().to_string();
    for part in [
        "leeway_seconds: must be a number of seconds, not \"30s\"",
        "provider \"auth0\": audiences: unknown setting, did you mean `audience`?",
    ] {
        assert!(error.contains(part), "{error}");
    }
}

/// Reads variables as `figment::providers::Env` does, but from a map instead of the process.
struct Variables(HashMap<String, String>);

impl Source for Variables {
    fn metadata(&self) -> Metadata {
        Metadata::named("variables")
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let mut figment = Dict::new();
        for (name, value) in &self.0 {
            let path = name.strip_prefix("APP__").unwrap().to_lowercase().replace("__", ".");
            let value = value.parse().expect("any text is a value");
            merge(&mut figment, nest(&path, value).into_dict().unwrap());
        }
        Ok(Profile::Default.collect(figment))
    }
}

fn merge(into: &mut Dict, from: Dict) {
    for (name, value) in from {
        match (into.get_mut(&name), value) {
            (Some(figment::value::Value::Dict(_, into)), figment::value::Value::Dict(_, from)) => {
                merge(into, from);
            }
            (_, value) => {
                into.insert(name, value);
            }
        }
    }
}

#[test]
fn figment_reads_the_documented_variables() {
    let settings: Settings = Figment::from(Variables(documented())).extract().unwrap();
    assert_equal(&settings.oauth2, in_code, "figment");
}

#[test]
fn figment_error_names_the_provider_and_the_setting() {
    let mut all = documented();
    all.insert("APP__OAUTH2__PROVIDERS__AUTH0__REQUIRE_AT_JWT".to_owned(), "1".to_owned());
    let error = Figment::from(Variables(all)).extract::<Settings>().map(drop).unwrap_err();
    let error = error.to_string();
    assert!(error.contains("provider \"auth0\": require_at_jwt: must be true or false"), "{error}");
}

/// Reads variables as `envy` does: one level, and all of them text.
fn by_flat_variables<T: for<'de> Deserialize<'de>>(
    variables: &[(&str, &str)],
) -> Result<T, FlatError> {
    let pairs = variables.iter().map(|(name, value)| (name.to_lowercase(), (*value).to_owned()));
    T::deserialize(MapDeserializer::new(pairs))
}

#[test]
fn flat_variables_hold_maps_as_json() {
    let providers = r#"{
        "auth0": {"issuer": "https://tenant.eu.auth0.com/", "audience": 852159111111,
            "keys": {"discover": true}, "algorithms": ["RS256", "ES256"]},
        "partner": {"issuer": ["https://a.partner.example", "https://b.partner.example"],
            "audience": "orders", "keys": "https://partner.example/jwks.json",
            "key_refresh_minutes": 1.5}
    }"#;
    let builder: OAuth2Builder = by_flat_variables(&[
        ("PROVIDERS", providers),
        ("PUBLIC_PATHS", r"/health, /docs/{page:\d{1,3}}"),
        ("KEY_REFRESH_MINUTES", "30"),
        ("LEEWAY_SECONDS", "30"),
        ("FETCH_TIMEOUT_SECONDS", "2.5"),
        ("TOKEN_FROM_SUBPROTOCOL", "true"),
    ])
    .unwrap();
    assert_equal(&builder, in_code, "flat");

    // All settings in one variable, or one provider in each.
    let all = format!(r#"{{"providers": {providers}, "leeway_seconds": 30}}"#);
    let settings: Settings = by_flat_variables(&[("OAUTH2", &all)]).unwrap();
    assert!(policy::offline(settings.oauth2).build().is_ok());
    let providers: HashMap<String, Provider> = by_flat_variables(&[(
        "AUTH0",
        r#"{"issuer": "i", "audience": "a", "keys": {"discover": true}}"#,
    )])
    .unwrap();
    let in_code = Provider::new().issuer("i").audience("a").keys(Keys::discover());
    assert_eq!(providers["auth0"], in_code);
    for wrong in ["", "text", "[]", "{", r#"{"issuer": "x", "issuer": "y"}"#] {
        assert!(by_flat_variables::<HashMap<String, Provider>>(&[("AUTH0", wrong)]).is_err());
    }
}

#[test]
fn provider_named_twice_in_another_case_is_explained() {
    let file = json!({"oauth2": {"providers": {"Auth0": {
        "issuer": "https://tenant.eu.auth0.com/", "audience": "api", "keys": {"discover": true},
    }}}});
    let variable = [("APP__OAUTH2__PROVIDERS__AUTH0__ALGORITHMS".to_owned(), "RS256".to_owned())];
    let config = Config::builder()
        .add_source(Config::try_from(&file).unwrap())
        .add_source(Environment::with_prefix("APP").separator("__").source(Some(variable.into())))
        .build()
        .unwrap();
    let error = config.try_deserialize::<Settings>().unwrap().oauth2.build().unwrap_err();
    let missing = "provider \"auth0\": issuer: missing";
    let hint = "provider \"Auth0\" differs in case only";
    let error = error.to_string();
    assert!(error.contains(missing) && error.contains(hint), "{error}");
}
