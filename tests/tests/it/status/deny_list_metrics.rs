//! The metrics of the deny list.

use metrics_util::debugging::DebugValue;
use oauth2_actix::{
    Algorithm, Provider,
    revocation::{DenyList, MemoryRevocationStore, Revocation},
    testing::{ManualClock, Token},
};
use oauth2_actix_tests::{alone, api::Api, client, keys::key, policy, wait::until};

use super::slow_recorder;

const ISSUER: &str = "https://idp.test";

/// The recorder is global, so that this test needs a process of its own.
#[test]
fn entries_and_loads_of_the_deny_list_are_recorded() {
    alone::run(module_path!(), "alone_entries_and_loads_of_the_deny_list_are_recorded");
}

#[tokio::test]
#[ignore = "in a process of its own, started by `entries_and_loads_of_the_deny_list_are_recorded`"]
async fn alone_entries_and_loads_of_the_deny_list_are_recorded() {
    let snapshotter = slow_recorder::install();
    let es256 = key(Algorithm::ES256);
    let provider = Provider::new().issuer(ISSUER).audience("api").keys(es256.jwk_set());
    let clock = ManualClock::new();
    let oauth2 = policy::builder()
        .provider("idp", provider)
        .clock(clock.clone())
        .deny_list(DenyList::with_store(MemoryRevocationStore::new()).max_entries(2))
        .build()
        .unwrap();
    until("the list is loaded", || oauth2.is_ready()).await;
    let loaded = DebugValue::Gauge((clock.unix_seconds() as f64).into());
    assert_eq!(
        slow_recorder::read(&snapshotter)["oauth2_deny_list_loaded_timestamp_seconds "],
        loaded
    );
    for sub in ["ann", "bob", "cid"] {
        let _ = oauth2.revoke(Revocation::subject(ISSUER, sub)).await;
    }
    let api = Api::start(oauth2);
    let token = Token::new(ISSUER, "api").claim("sub", "ann").sign(es256);
    assert_eq!(client::get(&api.url("/me"), Some(&token)).await.status, 401);
    let seen = slow_recorder::read(&snapshotter);
    for (name, count) in [
        ("oauth2_revocations_total outcome=added", 2),
        ("oauth2_revocations_total outcome=full", 1),
        ("oauth2_requests_total outcome=rejected reason=token_revoked provider=idp", 1),
    ] {
        assert_eq!(seen[name], DebugValue::Counter(count), "{name}");
    }
    assert_eq!(seen["oauth2_deny_list_entries "], DebugValue::Gauge(2.0.into()));
}
