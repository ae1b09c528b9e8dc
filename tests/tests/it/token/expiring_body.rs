//! Streaming bodies that end when their token expires.

use std::time::Duration;

use actix_web::{App, HttpResponse, HttpServer, body::MessageBody, web};
use futures_util::StreamExt;
use oauth2_actix::{
    Algorithm, Provider,
    testing::{LocalServer, ManualClock, Token},
};
use oauth2_actix_tests::{keys::key, policy};

use crate::ws::sessions::{REASONS, with_maximum_age};

const ISSUER: &str = "https://idp.test";
const MINUTE: Duration = Duration::from_secs(60);

fn sign(token: &Token) -> String {
    token.sign(key(Algorithm::ES256))
}

#[tokio::test]
async fn error_says_whether_a_body_ends_by_exp_or_by_the_maximum_age() {
    for (lives, end, reason) in REASONS {
        let clock = ManualClock::new();
        let oauth2 = with_maximum_age().clock(clock.clone()).build().unwrap();
        let now = clock.unix_seconds();
        let token = Token::new(ISSUER, "api").claim("iat", now).claim("exp", now + lives);
        let claims = oauth2.verify(&sign(&token)).await.unwrap();
        let silence = futures_util::stream::pending::<Result<web::Bytes, actix_web::Error>>();
        let body = actix_web::body::BodyStream::new(silence);
        let mut body = Box::pin(oauth2_actix::until_expiry(&claims, body));
        let mut next = std::future::poll_fn(|context| body.as_mut().poll_next(context));
        clock.advance(Duration::from_secs(end - 1));
        assert!(futures_util::poll!(&mut next).is_pending(), "{reason}");
        clock.advance(Duration::from_secs(1));
        let error = next.await.expect("an end").expect_err("broken off");
        assert!(error.to_string().starts_with(reason), "{error}");
    }
}

#[tokio::test]
async fn response_body_ends_at_exp() {
    let clock = ManualClock::new();
    let oauth2 = policy::builder()
        .provider(
            "p",
            Provider::new().issuer(ISSUER).audience("api").keys(key(Algorithm::ES256).jwk_set()),
        )
        .clock(clock.clone())
        .build()
        .unwrap();
    let now = clock.unix_seconds();
    let token = |lives: u64| sign(&Token::new(ISSUER, "api").claim("exp", now + lives));
    let events = |quiet: bool| {
        move |claims: oauth2_actix::Claims| async move {
            // One event, and then none.
            let one = Ok::<_, actix_web::Error>(web::Bytes::from_static(b"data: 1\n\n"));
            let events = futures_util::stream::iter([one]).chain(futures_util::stream::pending());
            let body = actix_web::body::BodyStream::new(events);
            let body = oauth2_actix::until_expiry(&claims, body);
            HttpResponse::Ok().body(if quiet { body.truncate_silently() } else { body })
        }
    };
    let server = LocalServer::start(move |listener| {
        let app = move || {
            App::new()
                .wrap(oauth2.clone())
                .route("/events", web::get().to(events(false)))
                .route("/quiet", web::get().to(events(true)))
        };
        Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
    })
    .unwrap();
    for (path, is_whole) in [("/events", false), ("/quiet", true)] {
        let request = oauth2_actix_tests::client::client()
            .get(server.url(path))
            .bearer_auth(token(if is_whole { 120 } else { 60 }));
        let mut response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.chunk().await.unwrap().unwrap(), "data: 1\n\n");
        clock.advance(MINUTE);
        let rest = response.chunk().await;
        assert_eq!(rest.is_ok_and(|rest| rest.is_none()), is_whole, "{path}");
    }
}
