//! JWT-SVIDs: tokens of a SPIFFE trust domain, verified by the keys of its bundle.

use std::{error::Error, fs, future::Future, time::Duration};

use oauth2_actix::{
    Algorithm, ConfigErrorKind, ErrorKind, Keys, OAuth2, OAuth2Builder, Provider, TokenCacheConfig,
    status::KeyState,
    tenants::{Tenant, TenantLookup, Tenants},
    testing::{ManualClock, SigningKey, Token},
};
use oauth2_actix_tests::{
    key_server::{Answer, KeyServer},
    keys::key,
    log, policy,
    wait::until,
};
use serde_json::{Value, json};

const DOMAIN: &str = "example.org";
const ISSUER: &str = "https://oidc.example.org";
const HOUR: Duration = Duration::from_secs(3600);

/// Returns a bundle with this key for tokens, and another one for X.509 (SPIFFE Trust Domain and Bundle §4).
fn bundle(key: &SigningKey) -> Value {
    let mut jwt = key.bare_jwk();
    jwt["kid"] = json!(key.kid());
    jwt["use"] = json!("jwt-svid");
    let mut x509 = self::key(Algorithm::ES384).bare_jwk();
    x509["use"] = json!("x509-svid");
    x509["x5c"] = json!(["MIIB"]);
    json!({"spiffe_sequence": 1, "spiffe_refresh_hint": 300, "keys": [jwt, x509]})
}

/// Returns a JWT-SVID with the required claims only.
fn svid() -> Token {
    Token::new(ISSUER, "x")
        .without("iss")
        .without("iat")
        .claim("aud", json!(["api"]))
        .claim("sub", "spiffe://example.org/svc")
        .header("typ", "JOSE")
        .expires_in(365 * 86_400)
}

fn es256() -> &'static SigningKey {
    key(Algorithm::ES256)
}

fn provider() -> Provider {
    Provider::new().spiffe_trust_domain(DOMAIN).audience("api").keys(bundle(es256()))
}

fn built(provider: Provider) -> OAuth2 {
    policy::builder().provider("spire", provider).build().unwrap()
}

async fn kind(oauth2: &OAuth2, token: &Token, key: &SigningKey) -> Option<ErrorKind> {
    oauth2.verify(&token.sign(key)).await.err().map(|error| error.kind().clone())
}

/// A published bundle, whose private key is not available.
#[tokio::test]
async fn keys_of_a_published_bundle_are_read() {
    log::keep();
    let published = json!({
        "spiffe_sequence": 1,
        "spiffe_refresh_hint": 300,
        "keys": [
            {
                "kty": "EC", "crv": "P-256", "kid": "k1", "use": "jwt-svid",
                "x": "0_Wpog9LelZnh812r8GxaI-Ir8PoI37hrkE8w1q0a-E",
                "y": "qDF0SNxpFL0NciQxU1pv_yk8LoJNpCWZYqfcWXyFuXY",
            },
            {
                "kty": "EC", "crv": "P-256", "use": "x509-svid", "x5c": ["MIIB"],
                "x": "YPJ0lcI4-qjt42eKx-kIfWPrSBwMLAsjc24McVdmM2M",
                "y": "VxgtF-OtUsCs8YnDpwEvS9C4qL9t4ZeV8es45GgOgGE",
            },
        ],
    });
    let provider = Provider::new().spiffe_trust_domain(DOMAIN).audience("api");
    let oauth2 =
        policy::builder().provider("bundle-15", provider.keys(published.clone())).build().unwrap();
    let kids: Vec<_> = oauth2.key_status()[0].keys.iter().map(|key| key.kid.clone()).collect();
    assert_eq!(kids, [Some("k1".to_owned())]);
    // Every bundle has keys for X.509, which cause no warning.
    assert!(log::lines_with(&["WARN", "bundle-15", "a key is not used"]).is_empty());
    assert_eq!(log::lines_with(&["DEBUG", "bundle-15", "x509-svid"]).len(), 1);
    let forged = svid().header("kid", "k1");
    assert_eq!(kind(&oauth2, &forged, es256()).await, Some(ErrorKind::SignatureInvalid));
    // Only by option.
    let plain = Provider::new().issuer(ISSUER).audience("api").keys(published);
    let error = policy::builder().provider("p", plain).build().unwrap_err();
    assert!(error.to_string().contains("SPIFFE is not enabled for this provider"), "{error}");
}

#[tokio::test]
async fn svid_is_accepted_with_keys_from_every_source() {
    let server = KeyServer::start(Answer::json(&bundle(es256()))).unwrap();
    let file = std::env::temp_dir().join(format!("oauth2-actix-bundle-{}", std::process::id()));
    fs::write(&file, bundle(es256()).to_string()).unwrap();
    let with = |keys: Keys| Provider::new().spiffe_trust_domain(DOMAIN).audience("api").keys(keys);
    let settings: OAuth2Builder = serde_json::from_value(json!({
        "providers": {
            "spire": {"spiffe_trust_domain": DOMAIN, "audience": "api", "keys": server.url()},
        },
    }))
    .unwrap();
    for oauth2 in [
        built(provider()),
        built(with(Keys::url(server.url()))),
        built(with(Keys::file(&file))),
        settings.build().unwrap(),
    ] {
        for typ in
            [json!("JOSE"), json!("JWT"), json!("jose"), json!("application/jose"), Value::Null]
        {
            let token = svid().header("typ", typ.clone()).sign(es256());
            let claims = oauth2.verify(&token).await.unwrap();
            assert_eq!((claims.provider(), claims.issuer()), ("spire", ""), "{typ}");
            assert_eq!(claims.subject(), Some("spiffe://example.org/svc"));
        }
        // `kid` is optional (JWT-SVID §2.2).
        assert_eq!(kind(&oauth2, &svid().header("kid", Value::Null), es256()).await, None);
        let x509 = key(Algorithm::ES384);
        assert!(kind(&oauth2, &svid(), x509).await.is_some());
        assert!(kind(&oauth2, &svid().header("kid", Value::Null), x509).await.is_some());
    }
    fs::remove_file(file).unwrap();
}

#[tokio::test]
async fn svid_without_audience_or_expiry_is_rejected() {
    let oauth2 = built(provider());
    let invalid = |claim| Some(ErrorKind::ClaimInvalid { claim });
    let mismatch = Some(ErrorKind::AudienceMismatch { difference: None });
    assert_eq!(kind(&oauth2, &svid().without("exp"), es256()).await, invalid("exp"));
    assert_eq!(kind(&oauth2, &svid().without("aud"), es256()).await, mismatch);
    assert_eq!(kind(&oauth2, &svid().claim("aud", json!([])), es256()).await, mismatch);
    assert_eq!(kind(&oauth2, &svid().claim("aud", "other"), es256()).await, mismatch);
    let expired = kind(&oauth2, &svid().expires_in(-1), es256()).await;
    assert!(matches!(expired, Some(ErrorKind::Expired { .. })), "{expired:?}");
    let early = kind(&oauth2, &svid().claim("nbf", 4_000_000_000_u64), es256()).await;
    assert!(matches!(early, Some(ErrorKind::NotYetValid { .. })), "{early:?}");
    let bound = svid().claim("cnf", json!({"jkt": "x"}));
    assert_eq!(kind(&oauth2, &bound, es256()).await, Some(ErrorKind::SenderConstrained));
}

#[tokio::test]
async fn issuer_of_an_svid_is_optional_and_checked() {
    let with_issuer = svid().claim("iss", ISSUER);
    let without = built(provider());
    let unknown = Some(ErrorKind::UnknownIssuer { difference: None });
    assert_eq!(kind(&without, &with_issuer, es256()).await, unknown);
    let error = without.verify(&with_issuer.sign(es256())).await.unwrap_err();
    assert_eq!(error.expected(), Some("no `iss`"));
    assert!(error.hint().is_some_and(|hint| hint.contains("set it as `issuer`")), "{error:?}");
    let both = built(provider().issuer(ISSUER));
    assert_eq!(kind(&both, &with_issuer, es256()).await, None);
    assert_eq!(kind(&both, &svid(), es256()).await, None);
    for issuer in ["https://other.example", "", "spiffe://example.org", DOMAIN] {
        let token = svid().claim("iss", issuer);
        assert_eq!(kind(&both, &token, es256()).await, unknown, "{issuer}");
    }
    for issuer in [Value::Null, json!(1), json!([ISSUER]), json!({}), json!(false)] {
        let token = svid().claim("iss", issuer.clone());
        for oauth2 in [&both, &without] {
            let rejected = kind(oauth2, &token, es256()).await;
            assert_eq!(rejected, Some(ErrorKind::ClaimInvalid { claim: "iss" }), "{issuer}");
        }
    }
    // The keys of a trust domain verify its own subjects only, for any issuer.
    for subject in
        [json!("user-1"), json!("spiffe://other.example/svc"), json!("spiffe://example.org")]
    {
        let error = both.verify(&with_issuer.clone().claim("sub", subject).sign(es256())).await;
        let error = error.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::ClaimInvalid { claim: "sub" });
        assert_eq!(error.expected(), Some("a SPIFFE ID of the trust domain example.org"));
    }
    let rejected = kind(&both, &with_issuer.without("sub"), es256()).await;
    assert_eq!(rejected, Some(ErrorKind::ClaimInvalid { claim: "sub" }));
}

#[tokio::test]
async fn require_at_jwt_applies_to_a_trust_domain() {
    let strict = built(provider().require_at_jwt(true));
    for typ in [json!("JOSE"), json!("JWT"), Value::Null] {
        let error = strict.verify(&svid().header("typ", typ).sign(es256())).await.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::TypeNotAllowed);
        assert_eq!(error.expected(), Some("at+jwt"));
    }
    assert_eq!(kind(&strict, &svid().header("typ", "at+jwt"), es256()).await, None);
}

#[tokio::test]
async fn algorithms_of_svids_are_the_default_of_a_trust_domain() {
    for (algorithm, is_default) in [
        (Algorithm::RS256, true),
        (Algorithm::RS512, true),
        (Algorithm::PS384, true),
        (Algorithm::ES512, true),
        (Algorithm::EdDSA, false),
        (Algorithm::ES256K, false),
    ] {
        let key = key(algorithm);
        let provider = || Provider::new().spiffe_trust_domain(DOMAIN).audience("api");
        let keys = json!({"keys": [bundle(key)["keys"][0], bundle(es256())["keys"][0]]});
        let default = built(provider().keys(keys.clone()));
        let rejected = (!is_default).then_some(ErrorKind::AlgorithmNotAllowed);
        assert_eq!(kind(&default, &svid(), key).await, rejected, "{algorithm}");
        let named = built(provider().keys(keys).algorithms([algorithm]));
        assert_eq!(kind(&named, &svid(), key).await, None, "{algorithm}");
    }
}

#[test]
fn contradictory_spiffe_settings_are_build_errors() {
    use ConfigErrorKind::{Conflict, Empty, Invalid, Missing};
    let of = |provider: Provider| policy::builder().provider("p", provider);
    let named = |name: &str| of(provider().spiffe_trust_domain(name));
    let bare = || Provider::new().spiffe_trust_domain(DOMAIN).audience("api");
    let second = Provider::new().spiffe_trust_domain(DOMAIN).audience("b").keys(bundle(es256()));
    for (builder, field, kind, words) in [
        (named(""), "spiffe_trust_domain", Empty, "empty"),
        (named("Example.org"), "spiffe_trust_domain", Invalid, "lower-case"),
        (named("example.org:443"), "spiffe_trust_domain", Invalid, "lower-case"),
        (named("user@example.org"), "spiffe_trust_domain", Invalid, "lower-case"),
        (named("example.org/"), "spiffe_trust_domain", Invalid, "lower-case"),
        (named("*.example.org"), "spiffe_trust_domain", Invalid, "lower-case"),
        (named("ex%61mple.org"), "spiffe_trust_domain", Invalid, "lower-case"),
        (named(" example.org"), "spiffe_trust_domain", Invalid, "lower-case"),
        (named("spiffe://example.org"), "spiffe_trust_domain", Invalid, "without `spiffe://`"),
        (named(&"a".repeat(256)), "spiffe_trust_domain", Invalid, "255"),
        (
            of(provider()).provider("q", second),
            "spiffe_trust_domain",
            Conflict,
            "of provider \"p\"",
        ),
        (of(provider().audience_claim("azp")), "audience_claim", Conflict, "must be `aud`"),
        (of(provider().algorithms(["HS256"])), "algorithms", Conflict, "HS256 is symmetric"),
        (of(provider().algorithms(["ES256", "HS512"])), "algorithms", Conflict, "symmetric"),
        (of(bare().keys(Keys::discover())), "keys", Invalid, "discovery needs an `issuer`"),
        (
            of(bare().keys(Keys::discover_at("https://idp.example"))),
            "keys",
            Invalid,
            "discovery needs an `issuer`",
        ),
        (of(bare().keys(key(Algorithm::HS256).public_jwk())), "keys", Invalid, "usable"),
        (of(bare()), "keys", Missing, "missing"),
        (of(Provider::new().spiffe_trust_domain(DOMAIN)), "audience", Missing, "missing"),
    ] {
        let error = builder.build().expect_err(words);
        let fault = error.faults().find(|fault| fault.field() == field).expect(words);
        assert_eq!(fault.kind(), kind, "{error}");
        assert!(fault.to_string().contains(words), "{error} does not contain {words}");
        assert!(!error.to_string().contains("issuer: missing"), "{error}");
    }
    for good in [
        of(provider().audience_claim("aud")),
        of(provider()).provider("q", provider().spiffe_trust_domain("b.example")),
        of(bare().issuer(ISSUER).keys(Keys::discover())),
    ] {
        assert!(good.build().is_ok());
    }
    // Without a trust domain, an issuer is mandatory.
    let plain = of(Provider::new().audience("api").keys(es256().jwk_set())).build().unwrap_err();
    assert_eq!((plain.kind(), plain.field()), (Missing, "issuer"));
}

#[tokio::test]
async fn svid_is_verified_by_keys_of_its_trust_domain_only() {
    let (one, two) = (es256(), key(Algorithm::RS256));
    let other = Provider::new().spiffe_trust_domain("other.example").audience("api");
    let oauth2 = policy::builder()
        .provider("one", provider())
        .provider("two", other.keys(bundle(two)))
        .build()
        .unwrap();
    let of_other = svid().claim("sub", "spiffe://other.example/svc");
    assert_eq!(oauth2.verify(&svid().sign(one)).await.unwrap().provider(), "one");
    assert_eq!(oauth2.verify(&of_other.sign(two)).await.unwrap().provider(), "two");
    assert!(kind(&oauth2, &svid(), two).await.is_some());
    assert!(kind(&oauth2, &of_other, one).await.is_some());
    let neither = oauth2.verify(&svid().claim("sub", "spiffe://third.example/x").sign(one)).await;
    let neither = neither.unwrap_err();
    assert_eq!(neither.kind(), &ErrorKind::ClaimInvalid { claim: "iss" });
    let expected = neither.expected().unwrap();
    assert!(expected.contains("SPIFFE ID of a configured trust domain"), "{expected}");
}

#[tokio::test]
async fn cached_svid_ends_with_its_key() {
    let clock = ManualClock::new();
    let server = KeyServer::start(Answer::json(&bundle(es256()))).unwrap();
    let provider = Provider::new().spiffe_trust_domain(DOMAIN).audience("api").keys(server.url());
    let oauth2 = policy::builder()
        .provider("spire", provider)
        .key_refresh(HOUR)
        .clock(clock.clone())
        .token_cache(TokenCacheConfig::new())
        .build()
        .unwrap();
    let token = svid().sign(es256());
    let [first, second] =
        [oauth2.verify(&token).await.unwrap(), oauth2.verify(&token).await.unwrap()];
    assert!(std::ptr::eq(first.get("sub").unwrap(), second.get("sub").unwrap()));
    assert_eq!(oauth2.token_cache_status().entries, 1);
    // A key whose use becomes X.509 verifies no more tokens.
    let mut revoked = bundle(es256());
    revoked["keys"][0]["use"] = json!("x509-svid");
    revoked["keys"].as_array_mut().unwrap().push(bundle(key(Algorithm::RS256))["keys"][0].clone());
    server.answer(Answer::json(&revoked));
    oauth2.refresh_keys().await.unwrap();
    assert!(oauth2.verify(&token).await.is_err());
    assert_eq!(kind(&oauth2, &svid(), key(Algorithm::RS256)).await, None);
    // A cached token expires.
    let short = svid().claim("exp", clock.unix_seconds() + 60).sign(key(Algorithm::RS256));
    assert!(oauth2.verify(&short).await.is_ok());
    clock.advance(Duration::from_secs(60));
    assert!(oauth2.verify(&short).await.is_err());
}

#[tokio::test]
async fn snapshot_of_a_bundle_is_used_by_a_trust_domain_only() {
    let directory =
        std::env::temp_dir().join(format!("oauth2-actix-spiffe-{}", std::process::id()));
    let _ = fs::remove_dir_all(&directory);
    let server = KeyServer::start(Answer::json(&bundle(es256()))).unwrap();
    let start = |provider: Provider| {
        policy::builder()
            .provider("spire", provider.audience("api").keys(server.url()))
            .key_refresh(HOUR)
            .key_snapshot(&directory)
            .build()
            .unwrap()
    };
    let spiffe = || Provider::new().spiffe_trust_domain(DOMAIN);
    let oauth2 = start(spiffe());
    oauth2.warm_up().await.unwrap();
    let is_written = || {
        let mut files = fs::read_dir(&directory).unwrap().map(|file| file.unwrap().file_name());
        files.any(|name| !name.to_str().unwrap().starts_with('.'))
    };
    until("the snapshot is written", is_written).await;
    drop(oauth2);
    server.answer(Answer::status(503));
    let restarted = start(spiffe());
    assert_eq!(restarted.key_status()[0].state, KeyState::Snapshot);
    assert_eq!(kind(&restarted, &svid(), es256()).await, None);
    assert!(kind(&restarted, &svid(), key(Algorithm::ES384)).await.is_some());
    // Without the option, the snapshot of the same source is not used.
    let plain = start(Provider::new().issuer(ISSUER));
    let token = svid().claim("iss", ISSUER).header("typ", "JWT");
    let rejected = kind(&plain, &token, es256()).await;
    assert!(matches!(rejected, Some(ErrorKind::KeysUnavailable { .. })), "{rejected:?}");
    fs::remove_dir_all(&directory).unwrap();
}

#[tokio::test]
async fn tenant_may_be_a_trust_domain_with_an_issuer() {
    struct One;
    impl TenantLookup for One {
        fn find_by_issuer(
            &self,
            issuer: &str,
        ) -> impl Future<Output = Result<Option<Tenant>, Box<dyn Error + Send + Sync>>> + Send
        {
            let found = issuer == ISSUER;
            async move { Ok(found.then(|| Tenant::new("customer", provider().issuer(ISSUER)))) }
        }
    }
    let oauth2 =
        policy::builder().tenants(Tenants::new(One)).key_refresh_minutes(60).build().unwrap();
    let token = svid().claim("iss", ISSUER);
    for _ in 0..2 {
        assert_eq!(kind(&oauth2, &token, es256()).await, None);
    }
    let other_subject = token.claim("sub", "spiffe://other.example/svc");
    let rejected = kind(&oauth2, &other_subject, es256()).await;
    assert_eq!(rejected, Some(ErrorKind::ClaimInvalid { claim: "sub" }));
    // There is no lookup by subject.
    let rejected = kind(&oauth2, &svid(), es256()).await;
    assert_eq!(rejected, Some(ErrorKind::ClaimInvalid { claim: "iss" }));
}
