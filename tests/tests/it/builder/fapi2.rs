//! What the FAPI 2.0 Security Profile does not allow is an error of `build()`, with the section.

use oauth2_actix::{
    Algorithm, Binding, ClientAuthentication, ConfigErrorKind, OAuth2Builder, Provider,
    TokenRequests, dpop::Dpop, introspection::Introspection, revocation::DenyList,
};
use oauth2_actix_tests::{keys::key, policy};
use serde_json::json;

fn provider() -> Provider {
    let keys = key(Algorithm::ES256).jwk_set();
    Provider::new().issuer("https://idp.test").audience("api").keys(keys).dpop(Binding::Allowed)
}

fn builder(provider: Provider) -> OAuth2Builder {
    policy::builder()
        .provider("bank", provider)
        .dpop(Dpop::new().base_url("https://api.test"))
        .fapi2()
        .dangerous_without_revocation_status(true)
}

/// Asserts that the only fault is one of this setting, and names the section.
fn assert_fault(builder: OAuth2Builder, field: &str, section: &str) {
    let error = builder.build().map(drop).expect_err(field);
    let faults: Vec<_> = error.faults().collect();
    assert_eq!(faults.len(), 1, "{error:#}");
    assert_eq!((faults[0].field(), faults[0].kind()), (field, ConfigErrorKind::Conflict));
    let message = faults[0].message();
    assert!(message.contains(&format!("FAPI 2.0 {section}")), "{message}");
    assert!(message.contains("expected "), "{message}");
}

#[test]
fn setting_that_fapi_does_not_allow_is_a_fault_with_its_section() {
    builder(provider()).build().unwrap();
    let header_only = "§5.3.4 (1 and 2)";
    let cookie = ["https://app.test"];
    for (builder, field) in [
        (builder(provider()).token_from_query(TokenRequests::WebSocket), "token_from_query"),
        (builder(provider()).token_from_query(TokenRequests::EveryRequest), "token_from_query"),
        (builder(provider()).token_from_header("X-Token"), "token_from_header"),
        (builder(provider()).token_from_cookie("c", cookie), "token_from_cookie"),
        (builder(provider()).token_from_cookie_on_every_request("c", cookie), "token_from_cookie"),
        (builder(provider()).token_from_subprotocol(), "token_from_subprotocol"),
    ] {
        assert_fault(builder, field, header_only);
    }
    let http_client = builder(provider()).dangerous_http_client(reqwest::Client::new());
    assert_fault(http_client, "dangerous_http_client", "§5.2.1");
    let http = provider().dangerous_allow_http(true);
    assert_fault(builder(http), "dangerous_allow_http", "§5.2.1");
    let trust_domain = provider().spiffe_trust_domain("example.org");
    assert_fault(builder(trust_domain), "spiffe_trust_domain", "§5.3.4 (5)");
    // Another provider has DPoP on.
    let bearer = provider().audience("other").dpop(Binding::Off);
    let two = builder(provider()).provider("bearer", bearer.clone());
    let error = two.build().map(drop).unwrap_err();
    let of_bearer: Vec<_> =
        error.faults().filter(|fault| fault.provider() == Some("bearer")).collect();
    assert!(of_bearer.iter().any(|fault| fault.field() == "dpop"), "{error:#}");
    let unchecked = bearer.dangerous_accept_bound_tokens(true);
    let error = builder(unchecked).build().map(drop).unwrap_err().to_string();
    assert!(error.contains("dangerous_accept_bound_tokens: ignores"), "{error}");
    assert!(error.contains("FAPI 2.0 §5.3.4 (5)"), "{error}");
}

#[test]
fn algorithm_that_fapi_does_not_have_is_a_fault_for_tokens_and_proofs() {
    use Algorithm as A;
    for algorithm in [A::RS256, A::RS512, A::PS384, A::ES384, A::ES256K, A::Ed448] {
        let tokens = provider().algorithms([A::ES256, algorithm]);
        let error = builder(tokens).build().map(drop).unwrap_err().to_string();
        let problem =
            format!("provider \"bank\": algorithms: {algorithm} is not an algorithm of FAPI 2.0");
        assert!(error.contains(&problem) && error.contains("§5.4.1"), "{error}");
        let proofs = Dpop::new().base_url("https://api.test").algorithms([A::ES256, algorithm]);
        assert_fault(builder(provider()).dpop(proofs), "dpop.algorithms", "(§5.4.1)");
    }
    let allowed = [A::PS256, A::ES256, A::EdDSA, A::Ed25519];
    let proofs = Dpop::new().base_url("https://api.test").algorithms(allowed);
    builder(provider().algorithms(allowed)).dpop(proofs).build().unwrap();
    let hmac = Provider::new()
        .issuer("https://idp.test")
        .audience("api")
        .keys(key(A::HS256).public_jwk())
        .algorithms([A::HS256])
        .dpop(Binding::Required);
    assert_fault(builder(hmac), "algorithms", "(§5.4.1)");
}

#[test]
fn fapi_does_not_build_until_the_missing_revocation_status_is_accepted() {
    let without = || builder(provider()).dangerous_without_revocation_status(false);
    assert_fault(without(), "fapi2", "§5.3.4 (3)");
    // A short life is no status.
    let short = without().max_token_age(std::time::Duration::from_secs(60));
    assert_fault(short, "fapi2", "§5.3.4 (3)");
    // A deny list has the status.
    without().deny_list(DenyList::new()).build().unwrap();
    let error = policy::builder()
        .provider("bank", provider())
        .dpop(Dpop::new().base_url("https://api.test"))
        .dangerous_without_revocation_status(true)
        .build()
        .map(drop)
        .unwrap_err();
    assert_eq!(error.field(), "dangerous_without_revocation_status");
}

#[test]
fn base_url_of_fapi_is_http_on_a_loopback_host_only() {
    for (url, is_accepted) in [
        ("https://api.test", true),
        ("http://127.0.0.1:8080", true),
        ("http://localhost:8080", true),
        ("http://api.test", false),
        ("http://10.0.0.1", false),
    ] {
        let built = builder(provider()).dpop(Dpop::new().base_url(url)).build();
        assert_eq!(built.is_ok(), is_accepted, "{url}");
    }
}

#[test]
fn introspection_of_every_token_is_the_revocation_status_of_fapi() {
    let introspection = || {
        Introspection::at("https://idp.test/introspect")
            .authentication(ClientAuthentication::basic("api", "secret"))
    };
    let build = |provider: Provider| {
        let dpop = Dpop::new().base_url("https://api.test");
        let provider = provider.issuer("https://idp.test").audience("api").dpop(Binding::Required);
        policy::builder().provider("p", provider).dpop(dpop).fapi2().build()
    };
    let keys = || Provider::new().keys(key(Algorithm::ES256).jwk_set());
    assert!(build(Provider::new().introspection(introspection())).is_ok());
    assert!(build(keys().introspection(introspection().every_token(true))).is_ok());
    for without in [keys(), keys().introspection(introspection())] {
        let error = build(without).unwrap_err();
        assert!(error.to_string().contains("revocation status"), "{error}");
    }
}

#[test]
fn fapi_is_read_through_serde() {
    let settings = |fapi2| {
        policy::from_json(json!({
            "providers": {"bank": {
                "issuer": "https://idp.test",
                "audience": "api",
                "keys": key(Algorithm::ES256).jwk_set(),
                "dpop": "required",
            }},
            "dpop": {"base_urls": "https://api.test"},
            "fapi2": fapi2,
            "dangerous_without_revocation_status": fapi2,
            "token_from_header": "X-Token",
        }))
        .unwrap()
        .build()
    };
    assert!(settings(false).is_ok());
    assert!(settings(true).unwrap_err().to_string().starts_with("token_from_header: FAPI 2.0"));
}
