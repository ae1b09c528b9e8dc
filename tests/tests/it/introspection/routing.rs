//! The provider that introspects a token: by the form of the token, its prefix or its issuer.

use oauth2_actix::{
    Algorithm,
    testing::{SigningKey, Token},
};
use oauth2_actix_tests::keys::key;

use super::*;

const OTHER: &str = "https://other.test";

fn token(issuer: &str, signed_by: &SigningKey) -> String {
    Token::new(issuer, "api").sign(signed_by)
}

async fn kind(oauth2: &OAuth2, token: &str) -> Option<&'static str> {
    oauth2.verify(token).await.err().map(|error| error.kind_name())
}

#[tokio::test]
async fn provider_with_keys_introspects_opaque_tokens_only() {
    let signing = key(Algorithm::ES256);
    let setup = Setup::with(
        Answer::json(&json!({"active": false})),
        |introspection| introspection,
        |provider| provider.keys(signing.jwk_set()),
    );
    assert_eq!(kind(&setup.oauth2, &token(ISSUER, signing)).await, None);
    assert_eq!(setup.server.requests(), 0);
    // A forged JWT is rejected by its signature and not introspected: the provider might know the token.
    let forged = SigningKey::generate(Algorithm::ES256, signing.kid());
    assert_eq!(kind(&setup.oauth2, &token(ISSUER, &forged)).await, Some("signature_invalid"));
    assert_eq!(kind(&setup.oauth2, &token(OTHER, signing)).await, Some("unknown_issuer"));
    assert_eq!(setup.server.requests(), 0);
    for opaque in
        ["opaque", "a.b.c", "a.b.c.d.e", "eyJhbGciOiJub25lIn0", "eyJhbGciOiJkaXIifQ.a.b.c.d"]
    {
        let before = setup.server.requests();
        assert_eq!(kind(&setup.oauth2, opaque).await, Some("token_inactive"), "{opaque}");
        assert_eq!(setup.server.requests(), before + 1, "{opaque}");
    }
    // The provider decides on tokens that its keys do not verify.
    setup.server.answer(setup.active(json!({})));
    assert_eq!(kind(&setup.oauth2, "another").await, None);
}

#[tokio::test]
async fn provider_without_keys_introspects_its_jwts_and_no_others() {
    let signing = key(Algorithm::ES256);
    let setup = Setup::start(Answer::status(500));
    setup.server.answer(setup.active(json!({})));
    assert_eq!(kind(&setup.oauth2, &token(ISSUER, signing)).await, None);
    assert_eq!(setup.server.requests(), 1);
    assert_eq!(kind(&setup.oauth2, &token(OTHER, signing)).await, Some("unknown_issuer"));
    assert_eq!(setup.server.requests(), 1);
    assert_eq!(kind(&setup.oauth2, "opaque").await, None);
    assert_eq!(setup.server.requests(), 2);
}

#[tokio::test]
async fn provider_with_keys_may_introspect_every_token() {
    let signing = key(Algorithm::ES256);
    let setup = Setup::with(
        Answer::json(&json!({"active": false})),
        |introspection| introspection.every_token(true),
        |provider| provider.keys(signing.jwk_set()),
    );
    // Its signature is good, and it was revoked.
    assert_eq!(kind(&setup.oauth2, &token(ISSUER, signing)).await, Some("token_inactive"));
    assert_eq!(setup.server.requests(), 1);
}

/// An id_token of the same provider has another `typ`.
#[tokio::test]
async fn introspected_jwt_must_be_an_access_token_where_the_profile_is_required() {
    let signing = key(Algorithm::ES256);
    let setup = Setup::with(
        Answer::status(500),
        |introspection| introspection.every_token(true),
        |provider| provider.keys(signing.jwk_set()).require_at_jwt(true),
    );
    setup.server.answer(setup.active(json!({})));
    let id_token = Token::new(ISSUER, "api").header("typ", "JWT").sign(signing);
    assert_eq!(kind(&setup.oauth2, &id_token).await, Some("type_not_allowed"));
    let access = |id: &str| {
        Token::new(ISSUER, "api")
            .header("typ", "at+jwt")
            .claim("iat", setup.clock.unix_seconds())
            .claim("client_id", "app")
            .claim("jti", id)
    };
    assert_eq!(kind(&setup.oauth2, &access("one").sign(signing)).await, None);
    let missing = access("two").without("client_id").sign(signing);
    assert_eq!(kind(&setup.oauth2, &missing).await, Some("claim_invalid"));
    assert_eq!(kind(&setup.oauth2, "opaque").await, None);
}

#[tokio::test]
async fn prefix_that_may_begin_a_jwt_is_an_error() {
    for (prefix, is_valid) in
        [("e", false), ("ew", false), ("IHs", false), ("eA", true), ("x", true)]
    {
        let introspection =
            Introspection::at("https://idp.test/introspect").authentication(client());
        let provider = introspected(introspection.token_prefix(prefix));
        let built = policy::builder().provider("p", provider).build();
        assert_eq!(built.is_ok(), is_valid, "{prefix}");
    }
}

#[tokio::test]
async fn longest_prefix_decides_among_several_providers() {
    let clock = ManualClock::new();
    let servers: Vec<_> = (0..3)
        .map(|_| KeyServer::start(Answer::json(&json!({"active": false}))).unwrap())
        .collect();
    let provider = |index: usize, prefix: Option<&str>| {
        let introspection = at(&servers[index]);
        let introspection = match prefix {
            Some(prefix) => introspection.token_prefix(prefix),
            None => introspection,
        };
        let issuer = format!("https://idp-{index}.test");
        Provider::new().issuer(issuer).audience("api").introspection(introspection)
    };
    let oauth2 = builder(&clock)
        .provider("short", provider(0, Some("at_")))
        .provider("long", provider(1, Some("at_x_")))
        .provider("rest", provider(2, None))
        .build()
        .unwrap();
    for (token, expected) in [
        ("at_1", [1, 0, 0]),
        ("at_x_1", [1, 1, 0]),
        ("at_X_1", [2, 1, 0]),
        ("AT_1", [2, 1, 1]),
        ("other", [2, 1, 2]),
        ("xat_1", [2, 1, 3]),
    ] {
        let error = oauth2.verify(token).await.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::TokenInactive);
        let requests: Vec<_> = servers.iter().map(KeyServer::requests).collect();
        assert_eq!(requests, expected, "{token}");
    }
}

#[tokio::test]
async fn jwt_goes_to_the_provider_of_its_issuer_and_an_opaque_token_to_that_of_its_prefix() {
    let signing = key(Algorithm::ES256);
    let clock = ManualClock::new();
    let [one, two] =
        [0, 1].map(|_| KeyServer::start(Answer::json(&json!({"active": false}))).unwrap());
    let oauth2 = builder(&clock)
        .provider("one", introspected(at(&one).token_prefix("one_")))
        .provider(
            "two",
            Provider::new()
                .issuer(OTHER)
                .audience("api")
                .introspection(at(&two).token_prefix("two_")),
        )
        .build()
        .unwrap();
    assert!(oauth2.verify(&token(OTHER, signing)).await.is_err());
    assert_eq!((one.requests(), two.requests()), (0, 1));
    assert!(oauth2.verify(&token(ISSUER, signing)).await.is_err());
    assert_eq!((one.requests(), two.requests()), (1, 1));
    let error = oauth2.verify("neither").await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::TokenMalformed { .. }), "{error}");
    assert_eq!((one.requests(), two.requests()), (1, 1));
}
