//! Errors of the configuration.

use std::time::Duration;

use oauth2_actix::{
    Binding, ClientAuthentication, ConfigErrorKind as Kind, introspection::Introspection,
};

use super::*;

fn faults(builder: OAuth2Builder) -> Vec<(Kind, String)> {
    let error = builder.build().expect_err("a fault");
    error.faults().map(|fault| (fault.kind(), fault.field().to_owned())).collect()
}

fn with(keys: ApiKeys) -> OAuth2Builder {
    policy::builder().provider("idp", provider()).api_keys("shop", keys)
}

#[test]
fn keys_with_a_fault_are_reported_by_name() {
    let expect = |keys: ApiKeys, kind: Kind, field: &str| {
        assert_eq!(faults(with(keys)), [(kind, format!("api_keys.shop.{field}"))]);
    };
    expect(ApiKeys::new("eyJ").key(job(&[OLD])), Kind::Invalid, "prefix");
    expect(ApiKeys::new("").key(job(&[OLD])), Kind::Missing, "prefix");
    expect(ApiKeys::new(PREFIX), Kind::Missing, "keys");
    expect(keys(&[]), Kind::Empty, "keys.billing-job");
    expect(keys(&["a", "b", "c"]), Kind::OutOfRange, "keys.billing-job");
    expect(keys(&["a", "a"]), Kind::Duplicate, "keys.billing-job");
    expect(keys(&["a"]).key(job(&["b"])), Kind::Duplicate, "keys.billing-job");
    let other = |text: &str| ApiKey::new("other", [text]);
    expect(
        keys(&["a"]).key(other(&ApiKeyHash::of("a").to_string())),
        Kind::Duplicate,
        "keys.other",
    );
    expect(keys(&["a"]).key(other(NEW)), Kind::Invalid, "keys.other");
    let claims = job(&["a"]).claims(json!({"iss": ISSUER}));
    expect(ApiKeys::new(PREFIX).key(claims), Kind::Invalid, "keys.billing-job");
}

#[test]
fn limit_that_is_out_of_range_is_reported() {
    let hour = Duration::from_secs(60 * 60 + 1);
    for (keys, field) in [
        (keys(&["a"]).cache(hour), "api_keys.cache_seconds"),
        (keys(&["a"]).negative_cache(hour), "api_keys.negative_cache_seconds"),
        (keys(&["a"]).max_calls(0), "api_keys.max_calls"),
    ] {
        assert_eq!(faults(with(keys)), [(Kind::OutOfRange, field.to_owned())]);
    }
}

#[test]
fn prefixes_that_begin_alike_are_a_conflict() {
    let introspected = |prefix: &str| {
        let introspection = Introspection::at("https://idp.test/introspect").token_prefix(prefix);
        let introspection =
            introspection.authentication(ClientAuthentication::basic("orders-api", "a-secret"));
        Provider::new().issuer(ISSUER).audience("api").introspection(introspection)
    };
    let other = |prefix: &str| ApiKeys::new(prefix).key(job(&["other"]));
    for prefix in [PREFIX, "shop_", "shop_live_2", "SHOP_live_"] {
        let two = with(keys(&[OLD])).api_keys("other", other(prefix));
        assert_eq!(faults(two), [(Kind::Conflict, "api_keys.other.prefix".to_owned())]);
        let beside = policy::builder().provider("introspected", introspected(prefix));
        let beside = beside.api_keys("shop", keys(&[OLD]));
        assert_eq!(faults(beside), [(Kind::Conflict, "api_keys.shop.prefix".to_owned())]);
    }
    assert!(with(keys(&[OLD])).api_keys("other", other("shop_test_")).build().is_ok());
    let beside = policy::builder().provider("introspected", introspected("shop_at_"));
    assert!(beside.api_keys("shop", keys(&[OLD])).build().is_ok());
}

#[test]
fn name_of_a_provider_or_of_other_keys_is_a_duplicate() {
    let other = ApiKeys::new("other_").key(job(&["other"]));
    let expected = [(Kind::Duplicate, "api_keys".to_owned())];
    assert_eq!(faults(with(keys(&[OLD])).api_keys("shop", other.clone())), expected);
    assert_eq!(faults(with(keys(&[OLD])).api_keys("idp", other)), expected);
}

#[test]
fn keys_are_a_conflict_with_settings_that_no_key_satisfies() {
    let api_keys = (Kind::Conflict, "api_keys".to_owned());
    let young = with(keys(&[OLD])).max_token_age(Duration::from_secs(60));
    assert_eq!(faults(young), std::slice::from_ref(&api_keys));
    let fapi2 = with(keys(&[OLD])).fapi2().dangerous_without_revocation_status(true);
    assert!(faults(fapi2).contains(&api_keys));
    let bound = |keys: ApiKeys| {
        let provider = provider().certificate_bound(Binding::Required);
        policy::builder().provider("idp", provider).api_keys("shop", keys)
    };
    let shop = (Kind::Conflict, "api_keys.shop".to_owned());
    assert_eq!(faults(bound(keys(&[OLD]))), [shop]);
    assert!(bound(keys(&[OLD]).dangerous_without_binding(true)).build().is_ok());
}

#[test]
fn source_for_a_name_that_has_no_keys_is_an_error() {
    let find = |_| async { Ok::<_, std::io::Error>(None) };
    let builder = with(keys(&[OLD])).api_key_source("shopp", find);
    assert_eq!(faults(builder), [(Kind::Missing, "api_keys.shopp.prefix".to_owned())]);
}
