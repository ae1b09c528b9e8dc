//! The caller as a type of the application.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use actix_web::{App, HttpResponse, get, test, web};
use futures_util::future::join_all;
use oauth2_actix::{
    Claims, MissingToken, OAuth2, OAuth2Builder, OptionalClaims, Principal, PrincipalError, public,
    testing::ManualClock,
};
use serde_json::json;

use super::{app, builder, send, token};

struct User {
    name: String,
}

#[get("/principal/me")]
async fn me(user: Principal<User>, claims: Claims) -> String {
    format!("{} {}", user.name, claims.subject().unwrap_or_default())
}

#[get("/principal/other")]
async fn other(_: Principal<String>) -> HttpResponse {
    HttpResponse::Ok().finish()
}

#[public]
#[get("/principal/open")]
async fn open(OptionalClaims(claims): OptionalClaims) -> String {
    claims.map_or_else(|| "anonymous".to_owned(), |claims| claims.subject().unwrap().to_owned())
}

fn configure(config: &mut web::ServiceConfig) {
    config.service(me).service(other).service(open);
}

async fn load(calls: Arc<AtomicUsize>, claims: Claims) -> Result<User, PrincipalError> {
    calls.fetch_add(1, SeqCst);
    tokio::time::sleep(Duration::from_millis(2)).await;
    match claims.subject() {
        Some("unknown") => Err(PrincipalError::unauthorized("no user has this subject")),
        Some("blocked") => Err(PrincipalError::forbidden("the user is blocked")),
        Some("down") => Err(std::io::Error::other("the database is down"))?,
        Some("slow") => std::future::pending().await,
        subject => Ok(User { name: format!("user {}", subject.unwrap_or_default()) }),
    }
}

fn with_users(builder: OAuth2Builder) -> (OAuth2, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let shared = Arc::clone(&calls);
    let oauth2 = builder
        .check_timeout(Duration::from_millis(100))
        .principal(move |claims| load(Arc::clone(&shared), claims))
        .build()
        .unwrap();
    (oauth2, calls)
}

fn of(subject: &str) -> String {
    token(json!({"sub": subject, "exp": 4_000_000_000_u64}))
}

#[actix_web::test]
async fn principal_is_loaded_once_for_a_token_and_its_lifetime() {
    let clock = ManualClock::new();
    let builder = builder()
        .token_cache(oauth2_actix::TokenCacheConfig::new())
        .clock(clock.clone())
        .principal_lifetime(Duration::from_secs(30));
    let (oauth2, calls) = with_users(builder);
    let app = app(oauth2, configure).await;
    let (ann, bob) = (of("ann"), of("bob"));
    for _ in 0..3 {
        let answer = send(&app, "GET", "/principal/me", Some(&ann)).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "user ann ann"));
    }
    assert_eq!(calls.load(SeqCst), 1);
    assert_eq!(send(&app, "GET", "/principal/me", Some(&bob)).await.body, "user bob bob");
    assert_eq!(calls.load(SeqCst), 2);
    clock.advance(Duration::from_millis(29_999));
    send(&app, "GET", "/principal/me", Some(&ann)).await;
    assert_eq!(calls.load(SeqCst), 2);
    clock.advance(Duration::from_millis(1));
    send(&app, "GET", "/principal/me", Some(&ann)).await;
    assert_eq!(calls.load(SeqCst), 3);
    // Many requests with one token wait for one call.
    clock.advance(Duration::from_secs(60));
    let answers = join_all((0..20).map(|_| send(&app, "GET", "/principal/me", Some(&ann)))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(calls.load(SeqCst), 4);
}

#[actix_web::test]
async fn principal_is_loaded_for_each_request_with_a_lifetime_of_zero_or_without_the_cache() {
    let zero = builder()
        .token_cache(oauth2_actix::TokenCacheConfig::new())
        .principal_lifetime(Duration::ZERO);
    let uncached = builder().token_cache(oauth2_actix::TokenCacheConfig::disabled());
    for builder in [zero, uncached] {
        let (oauth2, calls) = with_users(builder);
        let app = app(oauth2, configure).await;
        let ann = of("ann");
        for expected in 1..4 {
            assert_eq!(send(&app, "GET", "/principal/me", Some(&ann)).await.status, 200);
            assert_eq!(calls.load(SeqCst), expected);
        }
    }
}

#[actix_web::test]
async fn error_of_the_principal_decides_on_the_status_and_is_not_cached() {
    let (oauth2, calls) = with_users(builder());
    let app = app(oauth2, configure).await;
    for (subject, status, challenge) in [
        ("unknown", 401, "error=\"invalid_token\""),
        ("blocked", 403, "error=\"insufficient_scope\""),
        ("down", 503, ""),
        ("slow", 503, ""),
    ] {
        for _ in 0..2 {
            let before = calls.load(SeqCst);
            let answer = send(&app, "GET", "/principal/me", Some(&of(subject))).await;
            assert_eq!(answer.status, status, "{subject}");
            assert!(answer.challenge.contains(challenge), "{}", answer.challenge);
            let text = format!("{} {}", answer.challenge, answer.body);
            assert!(!text.contains("user") && !text.contains("database"), "{text}");
            assert_eq!(calls.load(SeqCst), before + 1);
        }
    }
}

#[actix_web::test]
async fn principal_is_not_loaded_without_a_valid_token() {
    let (oauth2, calls) = with_users(builder().missing_token_status(MissingToken::Unauthorized));
    let app = app(oauth2, configure).await;
    for token in [None, Some("a.b.c")] {
        let answer = send(&app, "GET", "/principal/open", token).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "anonymous"));
        assert_eq!(send(&app, "GET", "/principal/me", token).await.status, 401);
    }
    assert_eq!(calls.load(SeqCst), 0);
    // With a valid token, a public route has claims if the principal could be loaded.
    assert_eq!(send(&app, "GET", "/principal/open", Some(&of("ann"))).await.body, "ann");
    let blocked = send(&app, "GET", "/principal/open", Some(&of("blocked"))).await;
    assert_eq!((blocked.status, blocked.body.as_str()), (200, "anonymous"));
}

#[actix_web::test]
async fn principal_of_another_type_or_none_is_500() {
    let (oauth2, _) = with_users(builder());
    let with_another = app(oauth2, configure).await;
    assert_eq!(send(&with_another, "GET", "/principal/other", Some(&of("ann"))).await.status, 500);
    let without = app(builder().build().unwrap(), configure).await;
    assert_eq!(send(&without, "GET", "/principal/me", Some(&of("ann"))).await.status, 500);
}

/// An inner policy accepts another token than the outer one, whose principal is not its caller.
#[actix_web::test]
async fn principal_of_an_outer_policy_is_not_used_for_other_claims() {
    let (outer, _) = with_users(builder());
    let inner = builder().token_from_header("x-inner").build().unwrap();
    let app = test::init_service(
        App::new().service(web::scope("").configure(configure).wrap(inner)).wrap(outer),
    )
    .await;
    let request = test::TestRequest::get()
        .uri("/principal/me")
        .insert_header(("authorization", format!("Bearer {}", of("ann"))));
    let both = request.to_request();
    let response = test::call_service(&app, both).await;
    assert_eq!(response.status(), 500, "the inner policy has no principal");
}

#[actix_web::test]
async fn requests_that_wait_for_a_call_get_its_error() {
    let (oauth2, calls) = with_users(builder().token_cache(oauth2_actix::TokenCacheConfig::new()));
    let app = app(oauth2, configure).await;
    // The token is in the cache, so that the requests share it.
    let blocked = of("blocked");
    send(&app, "GET", "/principal/me", Some(&blocked)).await;
    let before = calls.load(SeqCst);
    let requests = (0..20).map(|_| send(&app, "GET", "/principal/me", Some(&blocked)));
    let answers = join_all(requests).await;
    assert!(answers.iter().all(|answer| answer.status == 403));
    assert_eq!(calls.load(SeqCst), before + 1);
}

#[actix_web::test]
async fn requests_with_a_lifetime_of_zero_do_not_wait_for_each_other() {
    let builder = builder()
        .token_cache(oauth2_actix::TokenCacheConfig::new())
        .principal_lifetime(Duration::ZERO);
    let (oauth2, calls) = with_users(builder);
    let app = app(oauth2, configure).await;
    let ann = of("ann");
    // Each call takes 2 ms, and all of them more than the time limit.
    let answers = join_all((0..200).map(|_| send(&app, "GET", "/principal/me", Some(&ann)))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(calls.load(SeqCst), 200);
}

/// Counts the values that were dropped.
struct Counted {
    _claims: Claims,
    dropped: Arc<AtomicUsize>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, SeqCst);
    }
}

#[actix_web::test]
async fn principal_that_keeps_its_claims_is_freed_with_the_token() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let shared = Arc::clone(&dropped);
    let oauth2 = builder()
        .token_cache(oauth2_actix::TokenCacheConfig::new())
        .principal(move |claims| {
            let dropped = Arc::clone(&shared);
            async move { Ok::<_, PrincipalError>(Counted { _claims: claims, dropped }) }
        })
        .build()
        .unwrap();
    let app = app(oauth2.clone(), configure).await;
    for subject in ["ann", "bob"] {
        assert_eq!(send(&app, "GET", "/principal/open", Some(&of(subject))).await.body, subject);
    }
    assert_eq!(dropped.load(SeqCst), 0, "the tokens are cached");
    drop((app, oauth2));
    assert_eq!(dropped.load(SeqCst), 2);
}

#[actix_web::test]
async fn token_that_expires_while_the_principal_is_loaded_is_rejected() {
    let clock = ManualClock::new();
    let moved = clock.clone();
    let oauth2 = builder()
        .missing_token_status(MissingToken::Unauthorized)
        .clock(clock.clone())
        .principal(move |claims: Claims| {
            moved.advance(Duration::from_secs(100));
            async move { Ok::<_, PrincipalError>(User { name: claims.provider().to_owned() }) }
        })
        .build()
        .unwrap();
    let app = app(oauth2, configure).await;
    let token = token(json!({"sub": "ann", "exp": clock.unix_seconds() + 50}));
    let answer = send(&app, "GET", "/principal/me", Some(&token)).await;
    assert_eq!(answer.status, 401, "{}", answer.body);
    assert!(answer.challenge.contains("The token has expired."), "{}", answer.challenge);
}
