//! Tokens and proofs under the FAPI 2.0 Security Profile.

use std::error::Error as StdError;

use actix_web::{App, HttpResponse, HttpServer, web};
use oauth2_actix::{
    Algorithm, Binding, ErrorKind, OAuth2, Provider,
    dpop::Dpop,
    tenants::{Tenant, TenantLookup, Tenants},
    testing::{DpopProof, LocalServer, SigningKey, Token},
};
use oauth2_actix_tests::{
    client::{client, get, send},
    keys::{EVERY, key},
    log, policy,
};
use serde_json::json;

use super::{BASE, ISSUER};

fn provider(dpop: Binding, certificate_bound: Binding) -> Provider {
    let keys: Vec<_> = EVERY.iter().filter(|key| !key.algorithm().is_symmetric()).collect();
    let keys: Vec<_> = keys.into_iter().map(SigningKey::bare_jwk).collect();
    Provider::new()
        .issuer(ISSUER)
        .audience("api")
        .keys(json!({ "keys": keys }))
        .dpop(dpop)
        .certificate_bound(certificate_bound)
}

fn policy(dpop: Binding, certificate_bound: Binding) -> OAuth2 {
    let builder = policy::builder()
        .provider("bank", provider(dpop, certificate_bound))
        .fapi2()
        .dangerous_without_revocation_status(true);
    match dpop {
        Binding::Off => builder,
        _ => builder.dpop(Dpop::new().base_url(BASE)),
    }
    .build()
    .unwrap()
}

/// Returns an access token of RFC 9068.
fn token() -> Token {
    Token::new(ISSUER, "api").claim("client_id", "app").claim("jti", "1")
}

fn bound_to_certificate() -> Token {
    token().claim("cnf", json!({"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}))
}

async fn kind(oauth2: &OAuth2, token: &Token, key: &SigningKey) -> ErrorKind {
    // A bound token that is accepted has no proof here, so this is its error.
    oauth2.verify(&token.sign(key)).await.expect_err("no proof").kind().clone()
}

#[tokio::test]
async fn token_that_is_bound_in_neither_way_is_rejected() {
    use Binding::{Allowed, Off, Required};
    let (client, signer) = (SigningKey::generate(Algorithm::ES256, "c"), key(Algorithm::ES256));
    for (dpop, certificate, unbound) in [
        (Allowed, Off, ErrorKind::NotDpopBound),
        (Required, Off, ErrorKind::NotDpopBound),
        (Off, Allowed, ErrorKind::NotCertificateBound),
        (Off, Required, ErrorKind::NotCertificateBound),
        (Allowed, Allowed, ErrorKind::NotDpopBound),
    ] {
        let oauth2 = policy(dpop, certificate);
        assert_eq!(kind(&oauth2, &token(), signer).await, unbound);
        if dpop != Off {
            let bound = token().bound_to(&client);
            assert_eq!(kind(&oauth2, &bound, signer).await, ErrorKind::SenderConstrained);
        }
        if certificate != Off {
            let bound = bound_to_certificate();
            assert_eq!(kind(&oauth2, &bound, signer).await, ErrorKind::SenderConstrained);
        }
    }
}

#[tokio::test]
async fn token_by_an_algorithm_of_fapi_alone_is_accepted() {
    use Algorithm as A;
    let oauth2 = policy(Binding::Required, Binding::Off);
    let client = SigningKey::generate(A::ES256, "c");
    let bound = token().bound_to(&client);
    for key in EVERY.iter() {
        let is_allowed = matches!(key.algorithm(), A::PS256 | A::ES256 | A::Ed25519 | A::EdDSA);
        let found = kind(&oauth2, &bound, key).await;
        let expected = match is_allowed {
            true => ErrorKind::SenderConstrained,
            false => ErrorKind::AlgorithmNotAllowed,
        };
        assert_eq!(found, expected, "{}", key.algorithm());
    }
    // The name EdDSA, with an Ed448 key: such a key is not used.
    let (ed448, es256) = (key(A::Ed448), key(A::ES256));
    let keys = json!({"keys": [ed448.bare_jwk(), es256.bare_jwk()]});
    let by_eddsa = bound.header("alg", "EdDSA");
    for algorithms in [None, Some(["EdDSA", "ES256"])] {
        let mut provider = Provider::new()
            .issuer(ISSUER)
            .audience("api")
            .keys(keys.clone())
            .certificate_bound(Binding::Allowed)
            .dpop(Binding::Allowed);
        if let Some(algorithms) = algorithms {
            provider = provider.algorithms(algorithms);
        }
        let builder = policy::builder().provider("bank", provider).dpop(Dpop::new().base_url(BASE));
        let profiled = builder.clone().fapi2().dangerous_without_revocation_status(true);
        assert_eq!(kind(&profiled.build().unwrap(), &by_eddsa, ed448).await, ErrorKind::UnknownKey);
        let without = builder.build().unwrap();
        assert_eq!(kind(&without, &by_eddsa, ed448).await, ErrorKind::SenderConstrained);
    }
}

#[tokio::test]
async fn token_that_is_no_access_token_of_rfc_9068_is_rejected_by_fapi() {
    let oauth2 = policy(Binding::Required, Binding::Off);
    let client = SigningKey::generate(Algorithm::ES256, "c");
    let plain = token().bound_to(&client).header("typ", "JWT");
    let found = kind(&oauth2, &plain, key(Algorithm::ES256)).await;
    assert_eq!(found, ErrorKind::TypeNotAllowed);
}

fn start(oauth2: OAuth2) -> LocalServer {
    LocalServer::start(move |listener| {
        let app =
            move || App::new().default_service(web::to(HttpResponse::Ok)).wrap(oauth2.clone());
        Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
    })
    .unwrap()
}

#[actix_web::test]
async fn proof_by_an_algorithm_of_fapi_alone_is_accepted() {
    use Algorithm as A;
    let server = start(policy(Binding::Allowed, Binding::Off));
    for (algorithm, status) in
        [(A::ES256, 200), (A::PS256, 200), (A::Ed25519, 200), (A::ES384, 401), (A::RS256, 401)]
    {
        let client_key = SigningKey::generate(algorithm, "c");
        let token = token().bound_to(&client_key).sign(key(A::PS256));
        let proof = DpopProof::new("GET", &format!("{BASE}/a"), &token).sign(&client_key);
        let request = client().get(server.url("/a"));
        let request = request.header("authorization", format!("DPoP {token}"));
        let answer = send(request.header("dpop", proof)).await;
        assert_eq!(answer.status, status, "{algorithm}: {}", answer.body);
    }
    // A missing token is 401, and the challenge has the algorithms of the profile.
    let answer = get(&server.url("/a"), None).await;
    assert_eq!(answer.status, 401);
    assert!(answer.challenge().contains(r#"algs="ES256 Ed25519 EdDSA PS256""#), "{answer:?}");
    assert!(!answer.challenge().contains("Bearer"), "{answer:?}");
}

/// A lookup that finds this provider for its issuer.
struct Found(Provider);

impl TenantLookup for Found {
    async fn find_by_issuer(
        &self,
        _issuer: &str,
    ) -> Result<Option<Tenant>, Box<dyn StdError + Send + Sync>> {
        Ok(Some(Tenant::new("tenant", self.0.clone())))
    }
}

#[tokio::test]
async fn tenant_that_fapi_does_not_allow_is_not_used() {
    log::keep();
    let client = SigningKey::generate(Algorithm::ES256, "c");
    let bound = token().bound_to(&client);
    let signer = key(Algorithm::ES256);
    let of_tenant = |provider| {
        policy::builder()
            .tenants(Tenants::new(Found(provider)))
            .dpop(Dpop::new().base_url(BASE))
            .fapi2()
            .dangerous_without_revocation_status(true)
            .build()
            .unwrap()
    };
    let oauth2 = of_tenant(provider(Binding::Allowed, Binding::Allowed));
    assert_eq!(kind(&oauth2, &token(), signer).await, ErrorKind::NotDpopBound);
    assert_eq!(kind(&oauth2, &bound, signer).await, ErrorKind::SenderConstrained);
    let rs256 = kind(&oauth2, &bound, key(Algorithm::RS256)).await;
    assert_eq!(rs256, ErrorKind::AlgorithmNotAllowed);
    for provider in [
        provider(Binding::Off, Binding::Off),
        provider(Binding::Allowed, Binding::Off).algorithms(["RS256"]),
        provider(Binding::Off, Binding::Off).dangerous_accept_bound_tokens(true),
    ] {
        let found = kind(&of_tenant(provider), &bound, signer).await;
        assert!(matches!(found, ErrorKind::UnknownIssuer { .. }), "{found:?}");
    }
    let unusable = log::lines_with(&["the provider of a tenant cannot be used", "FAPI 2.0 §5."]);
    assert!(!unusable.is_empty(), "{}", log::text());
}
