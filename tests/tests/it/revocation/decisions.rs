//! Which tokens an entry revokes, wherever a token is checked.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::SystemTime,
};

use actix_web::{App, HttpResponse, HttpServer, web};
use oauth2_actix::{
    Algorithm, ErrorKind, PrincipalError, Provider, TokenCacheConfig,
    revocation::{DenyList, Revocation, RevokeError},
    testing::LocalServer,
};
use oauth2_actix_tests::{
    api::{Api, PUBLIC_PATHS},
    client,
    key_server::{Answer, KeyServer},
    keys::key,
    policy,
    wait::until,
};
use serde_json::json;
use tokio::sync::Semaphore;

use super::{ISSUER, OTHER, builder, is_revoked, kind, sign, time, token};

type OfIssuer = fn(&str) -> Revocation;

/// Each kind of entry, and a token that differs in the one claim of the entry.
#[tokio::test]
async fn entry_revokes_the_tokens_that_it_names_and_no_others() {
    let cases: [(&str, OfIssuer, &str, &str); 4] = [
        ("jti", |issuer| Revocation::token_id(issuer, "token-1"), "token-1", "token-2"),
        ("sub", |issuer| Revocation::subject(issuer, "ann"), "ann", "bob"),
        ("sid", |issuer| Revocation::session(issuer, "session-1"), "session-1", "session-2"),
        ("client_id", |issuer| Revocation::client(issuer, "shop"), "shop", "warehouse"),
    ];
    for cache in [TokenCacheConfig::new(), TokenCacheConfig::disabled()] {
        for (claim, revocation, named, another) in cases {
            let oauth2 = builder().token_cache(cache).deny_list(DenyList::new()).build().unwrap();
            let of = |value| sign(&token().claim(claim, value));
            let (named, another) = (of(named), of(another));
            let of_other_issuer = sign(&token().claim("iss", OTHER));
            let without = sign(&token().without(claim));
            // They are cached then, if there is a cache.
            for token in [&named, &another, &of_other_issuer, &without] {
                assert!(!is_revoked(&oauth2, token).await, "{claim}");
            }
            oauth2.revoke(revocation("https://idp.test/")).await.unwrap();
            assert!(!is_revoked(&oauth2, &named).await, "another issuer: {claim}");
            oauth2.revoke(revocation(ISSUER)).await.unwrap();
            assert!(is_revoked(&oauth2, &named).await, "{claim}");
            assert!(is_revoked(&oauth2, &sign(&token().claim("x", 1))).await, "new: {claim}");
            for token in [&another, &of_other_issuer, &without] {
                assert!(!is_revoked(&oauth2, token).await, "{claim}");
            }
        }
    }
}

#[tokio::test]
async fn claim_of_one_kind_is_not_revoked_by_an_entry_of_another_kind() {
    let oauth2 = builder().deny_list(DenyList::new()).build().unwrap();
    for revocation in [
        Revocation::subject(ISSUER, "token-1"),
        Revocation::session(ISSUER, "ann"),
        Revocation::client(ISSUER, "session-1"),
        Revocation::token_id(ISSUER, "shop"),
        Revocation::subject(ISSUER, ""),
    ] {
        oauth2.revoke(revocation).await.unwrap();
    }
    assert!(!is_revoked(&oauth2, &sign(&token())).await);
}

#[tokio::test]
async fn client_is_found_in_the_claim_that_the_provider_has_for_it() {
    let oauth2 = builder().deny_list(DenyList::new()).build().unwrap();
    oauth2.revoke(Revocation::client(ISSUER, "shop")).await.unwrap();
    for claim in ["client_id", "azp", "appid", "cid"] {
        let of = |client| sign(&token().without("client_id").claim(claim, client));
        assert!(is_revoked(&oauth2, &of("shop")).await, "{claim}");
        assert!(!is_revoked(&oauth2, &of("warehouse")).await, "{claim}");
    }
}

#[tokio::test]
async fn token_is_revoked_by_itself_with_and_without_jti() {
    let oauth2 = builder().deny_list(DenyList::new()).build().unwrap();
    for (own, another) in [
        (token(), token().claim("jti", "token-2")),
        (token().without("jti"), token().without("jti").claim("x", 1)),
        (token().claim("jti", ""), token().claim("jti", "token-3")),
    ] {
        let (own, another) = (sign(&own), sign(&another));
        let claims = oauth2.verify(&own).await.unwrap();
        oauth2.revoke(Revocation::token(&claims)).await.unwrap();
        assert!(is_revoked(&oauth2, &own).await);
        assert!(!is_revoked(&oauth2, &another).await);
    }
}

/// The boundary, in milliseconds, and tokens without a usable `iat`.
#[tokio::test]
async fn tokens_are_revoked_by_the_time_of_their_issue() {
    let oauth2 = builder().deny_list(DenyList::new()).build().unwrap();
    let revocation = Revocation::subject(ISSUER, "ann").issued_before(time(1_000));
    oauth2.revoke(revocation).await.unwrap();
    for (iat, expected) in [
        (json!(999), true),
        (json!(1000), true),
        (json!(1000.001), false),
        (json!(1001), false),
        (json!(0), true),
    ] {
        let token = sign(&token().claim("iat", iat.clone()));
        assert_eq!(is_revoked(&oauth2, &token).await, expected, "{iat}");
    }
    assert!(is_revoked(&oauth2, &sign(&token().without("iat"))).await);
}

#[tokio::test]
async fn everything_of_an_issuer_is_revoked_until_now() {
    let oauth2 = builder().deny_list(DenyList::new()).build().unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let old = sign(&token().claim("iat", now - 1));
    let later = sign(&token().claim("iat", now + 60));
    let other = sign(&token().claim("iss", OTHER).claim("iat", now - 1));
    oauth2.revoke(Revocation::all(ISSUER)).await.unwrap();
    assert!(is_revoked(&oauth2, &old).await);
    assert!(is_revoked(&oauth2, &sign(&token().without("iat").without("sub"))).await);
    assert!(!is_revoked(&oauth2, &later).await);
    assert!(!is_revoked(&oauth2, &other).await);
}

#[tokio::test]
async fn revoked_token_gets_401_invalid_token_on_a_connection_that_is_open() {
    let oauth2 = builder().deny_list(DenyList::new()).build().unwrap();
    let api = Api::start(oauth2.clone());
    let token = sign(&token());
    let mut connection = client::Connection::open(api.server().address());
    for _ in 0..2 {
        connection.get("/me", Some(&token));
        assert_eq!(connection.answer().status, 200);
    }
    oauth2.revoke(Revocation::subject(ISSUER, "ann")).await.unwrap();
    connection.get("/me", Some(&token));
    let answer = connection.answer();
    assert_eq!((answer.status, answer.error().as_str()), (401, "invalid_token"));
    assert!(answer.challenge().contains("error_description=\"The token was revoked.\""));
    assert_eq!(api.private_calls(), 2);
}

#[tokio::test]
async fn request_with_a_revoked_token_is_anonymous_on_a_public_path() {
    let policy = builder().public_paths(PUBLIC_PATHS).deny_list(DenyList::new());
    let oauth2 = policy.build().unwrap();
    let api = Api::start(oauth2.clone());
    let token = sign(&token());
    let (optional, required) = (api.url("/optional"), api.url("/claims-on-public"));
    assert_eq!(client::get(&optional, Some(&token)).await.body, "ann");
    oauth2.revoke(Revocation::token_id(ISSUER, "token-1")).await.unwrap();
    assert_eq!(client::get(&optional, Some(&token)).await.body, "anonymous");
    assert_eq!(client::get(&required, Some(&token)).await.status, 401);
}

#[tokio::test]
async fn inner_policy_has_a_list_of_its_own_or_shares_that_of_the_outer_one() {
    let shared = DenyList::new();
    let outer = builder().deny_list(shared.clone()).build().unwrap();
    let sharing = builder().deny_list(shared).build().unwrap();
    let own = builder().deny_list(DenyList::new()).build().unwrap();
    let (app_outer, app_sharing, app_own) = (outer.clone(), sharing.clone(), own.clone());
    let server = LocalServer::start(move |listener| {
        let app = move || {
            let scope = |path| web::scope(path).route("/item", web::get().to(HttpResponse::Ok));
            App::new()
                .service(scope("/own").wrap(app_own.clone()))
                .service(scope("/sharing").wrap(app_sharing.clone()))
                .wrap(app_outer.clone())
        };
        Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
    })
    .unwrap();
    let of = |jti: &str| sign(&token().claim("jti", jti));
    let status =
        async |path: &str, jti| client::get(&server.url(path), Some(&of(jti))).await.status;
    own.revoke(Revocation::token_id(ISSUER, "inner")).await.unwrap();
    sharing.revoke(Revocation::token_id(ISSUER, "shared")).await.unwrap();
    for (jti, in_own, in_sharing) in
        [("other", 200, 200), ("inner", 401, 200), ("shared", 401, 401)]
    {
        assert_eq!(status("/own/item", jti).await, in_own, "{jti}");
        assert_eq!(status("/sharing/item", jti).await, in_sharing, "{jti}");
    }
    assert!(is_revoked(&outer, &of("shared")).await);
    assert!(!is_revoked(&outer, &of("inner")).await);
}

/// The entry is added while the request waits for keys.
#[tokio::test]
async fn token_that_is_revoked_while_it_waits_for_keys_is_rejected() {
    let (keys, release) = Answer::json(&key(Algorithm::ES256).jwk_set()).held();
    let server = KeyServer::start(keys).unwrap();
    let provider = Provider::new().issuer(ISSUER).audience("api").keys(server.url());
    let policy = policy::builder().provider("idp", provider).deny_list(DenyList::new());
    let oauth2 = policy.build().unwrap();
    let waiting = tokio::spawn({
        let (oauth2, token) = (oauth2.clone(), sign(&token()));
        async move { kind(&oauth2, &token).await }
    });
    until("a request waits for keys", || server.requests() == 1).await;
    oauth2.revoke(Revocation::token_id(ISSUER, "token-1")).await.unwrap();
    release.release();
    assert_eq!(waiting.await.unwrap(), Some(ErrorKind::TokenRevoked));
}

/// The entry is added while the application loads the caller.
#[tokio::test]
async fn token_that_is_revoked_while_its_principal_is_loaded_is_rejected() {
    let loading = Arc::new(Semaphore::new(0));
    let (begun, gate) = (Arc::new(AtomicUsize::new(0)), Arc::clone(&loading));
    let calls = Arc::clone(&begun);
    let policy = builder().deny_list(DenyList::new()).principal(move |_| {
        let (calls, gate) = (Arc::clone(&calls), Arc::clone(&gate));
        async move {
            calls.fetch_add(1, Ordering::SeqCst);
            gate.acquire().await.unwrap().forget();
            Ok::<_, PrincipalError>(())
        }
    });
    let oauth2 = policy.build().unwrap();
    let api = Api::start(oauth2.clone());
    let token = sign(&token());
    let (url, bearer) = (api.url("/me"), token.clone());
    let waiting = tokio::spawn(async move { client::get(&url, Some(&bearer)).await.status });
    until("the principal is loaded", || begun.load(Ordering::SeqCst) == 1).await;
    oauth2.revoke(Revocation::token_id(ISSUER, "token-1")).await.unwrap();
    loading.add_permits(1);
    assert_eq!((waiting.await.unwrap(), api.private_calls()), (401, 0));
}

#[tokio::test]
async fn revocation_without_a_list_is_an_error() {
    let oauth2 = builder().build().unwrap();
    let error = oauth2.revoke(Revocation::subject(ISSUER, "ann")).await.unwrap_err();
    assert!(matches!(error, RevokeError::NoDenyList));
    assert!(oauth2.deny_list_status().is_none());
    assert!(!is_revoked(&oauth2, &sign(&token())).await);
}
