//! The metrics of endpoints that requests call, and of receivers.

use actix_web::{App, HttpServer};
use metrics_util::debugging::DebugValue;
use oauth2_actix::{
    Algorithm, ClientAuthentication, Provider,
    api_keys::{ApiKeyClaims, ApiKeyHash, ApiKeys},
    exchange::TokenExchange,
    introspection::Introspection,
    logout::BackchannelLogout,
    revocation::DenyList,
    status_list::StatusList,
    testing::{LocalServer, ManualClock, Token},
};
use oauth2_actix_tests::{
    alone,
    client::{client as http, send},
    key_server::{Answer, KeyServer},
    keys::key,
    policy,
};
use serde_json::json;

use super::slow_recorder;

const ISSUER: &str = "https://idp.test";

/// The recorder is global, so that this test needs a process of its own.
#[test]
fn calls_of_endpoints_and_sources_are_counted_by_outcome() {
    alone::run(module_path!(), "alone_calls_of_endpoints_and_sources_are_counted_by_outcome");
}

#[tokio::test]
#[ignore = "in a process of its own, started by `calls_of_endpoints_and_sources_are_counted_by_outcome`"]
async fn alone_calls_of_endpoints_and_sources_are_counted_by_outcome() {
    let snapshotter = slow_recorder::install();
    let server = KeyServer::start(Answer::status(500)).unwrap();
    let client = || ClientAuthentication::basic("orders-api", "a-secret");
    let provider = Provider::new()
        .issuer(ISSUER)
        .audience("api")
        .keys(key(Algorithm::ES256).jwk_set())
        .introspection(Introspection::at(server.url_of("/introspect")).authentication(client()))
        .token_exchange(TokenExchange::at(server.url_of("/token")).authentication(client()))
        .status_list(StatusList::hosts([server.url_of("").trim_start_matches("http://")]));
    let known = ApiKeyHash::of("shop_live_known");
    let api_keys = ApiKeys::new("shop_live_").source(move |hash| async move {
        if hash == ApiKeyHash::of("shop_live_fails") {
            return Err("the database is down");
        }
        Ok((hash == known).then(|| ApiKeyClaims::new("job")))
    });
    let oauth2 = policy::builder()
        .provider("idp", provider)
        .api_keys("shop-keys", api_keys)
        .deny_list(DenyList::new())
        .backchannel_logout(BackchannelLogout::new().client("idp", "orders-app"))
        .clock(ManualClock::new())
        .build()
        .unwrap();
    for key in ["known", "unknown", "fails"] {
        let _ = oauth2.verify(&format!("shop_live_{key}")).await;
    }
    let active = json!({"active": true, "aud": "api", "sub": "ann"});
    for (token, answer) in [
        ("active", Answer::json(&active)),
        ("inactive", Answer::json(&json!({"active": false}))),
        ("of another API", Answer::json(&json!({"active": true, "aud": "other"}))),
        ("failed", Answer::status(500)),
    ] {
        server.answer_at("/introspect", answer);
        let _ = oauth2.verify(&token.replace(' ', "-")).await;
    }
    let claims =
        oauth2.verify(&Token::new(ISSUER, "api").sign(key(Algorithm::ES256))).await.unwrap();
    let issued = json!({
        "access_token": "a", "token_type": "Bearer", "expires_in": 600,
        "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
    });
    let rejected = Answer::body(400, &[], br#"{"error":"invalid_target"}"#);
    for (audience, answer) in [
        ("stock", Answer::json(&issued)),
        ("stock", Answer::status(500)),
        ("rejected", rejected),
        ("failed", Answer::status(500)),
    ] {
        server.answer_at("/token", answer);
        let _ = oauth2.exchange(&claims, audience, ["x"]).await;
    }
    let listed = json!({"status_list": {"idx": 0, "uri": server.url_of("/list")}});
    let listed = Token::new(ISSUER, "api").claim("status", listed).sign(key(Algorithm::ES256));
    assert!(oauth2.verify(&listed).await.is_err());
    let api = LocalServer::start(move |listener| {
        let app = move || App::new().service(oauth2.logout_receivers()).wrap(oauth2.clone());
        Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
    })
    .unwrap();
    let logout = http().post(api.url("/backchannel-logout"));
    let logout = logout.header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(send(logout.body("logout_token=a.b.c")).await.status, 400);
    let seen = slow_recorder::read(&snapshotter);
    for name in [
        "oauth2_api_key_lookups_total api_keys=shop-keys outcome=found",
        "oauth2_api_key_lookups_total api_keys=shop-keys outcome=unknown",
        "oauth2_api_key_lookups_total api_keys=shop-keys outcome=failed",
        "oauth2_status_list_fetches_total provider=idp outcome=failed",
        "oauth2_logout_messages_total receiver=backchannel_logout outcome=rejected",
        "oauth2_introspections_total provider=idp outcome=active",
        "oauth2_introspections_total provider=idp outcome=inactive",
        "oauth2_introspections_total provider=idp outcome=rejected",
        "oauth2_introspections_total provider=idp outcome=failed",
        "oauth2_token_exchanges_total provider=idp outcome=exchanged",
        "oauth2_token_exchanges_total provider=idp outcome=cached",
        "oauth2_token_exchanges_total provider=idp outcome=rejected",
        "oauth2_token_exchanges_total provider=idp outcome=failed",
    ] {
        assert_eq!(seen.get(name), Some(&DebugValue::Counter(1)), "{name} in {seen:?}");
    }
}
