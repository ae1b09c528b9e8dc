//! Live WebSocket sessions and streams: their tokens are introspected again, and they end when a token is no longer active.

use std::{collections::BTreeSet, pin::pin};

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    body::{BodyStream, MessageBody},
    rt, web,
};
use futures_util::{
    future::poll_fn,
    poll,
    stream::{self, FuturesUnordered, StreamExt},
};
use oauth2_actix::{Claims, requirement, testing::LocalServer, until_expiry, ws};
use oauth2_actix_tests::{
    socket::Socket,
    wait::{PATIENCE, until},
};

use super::*;

async fn session(request: HttpRequest, body: web::Payload) -> actix_web::Result<HttpResponse> {
    let (response, mut session, mut messages) = ws::upgrade(&request, body).start()?;
    rt::spawn(async move {
        while let Some(Ok(ws::Message::Text(text))) = messages.recv().await {
            if session.text(text).await.is_err() {
                return;
            }
        }
    });
    Ok(response)
}

/// A session that is checked again, and needs a scope.
async fn checked(
    request: HttpRequest,
    body: web::Payload,
    oauth2: web::Data<OAuth2>,
) -> actix_web::Result<HttpResponse> {
    let upgrade = ws::upgrade(&request, body).require(requirement::scopes(["chat"]));
    let (response, mut session, mut messages) =
        upgrade.revalidate_on_key_change(&oauth2).start()?;
    rt::spawn(async move {
        while let Some(Ok(ws::Message::Text(text))) = messages.recv().await {
            if session.text(text).await.is_err() {
                return;
            }
        }
    });
    Ok(response)
}

fn serve(oauth2: &OAuth2) -> LocalServer {
    let oauth2 = oauth2.clone();
    LocalServer::start(move |listener| {
        let app = move || {
            App::new()
                .app_data(web::Data::new(oauth2.clone()))
                .wrap(oauth2.clone())
                .route("/ws", web::get().to(session))
                .route("/checked", web::get().to(checked))
        };
        Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
    })
    .unwrap()
}

async fn open(server: &LocalServer) -> Socket {
    open_at(server, "/ws").await
}

async fn open_at(server: &LocalServer, path: &str) -> Socket {
    let url = server.url(path).replace("http:", "ws:");
    Socket::open(&url, &[("authorization", "Bearer opaque")]).await
}

async fn echo(socket: &mut Socket, text: &str) -> String {
    socket.send(text).await;
    socket.receive().await
}

/// Advances the clock, and waits for the request that is due then, and for its end. The clock stands still while the
/// request is in progress, so that the speed of the machine decides nothing. Where the session reads the response
/// before only after the clock has been advanced, its next request is due later, and one more step is needed.
async fn introspected_after(setup: &Setup, time: Duration) {
    let before = setup.server.requests();
    let is_done = || {
        setup.server.requests() > before && setup.oauth2.introspection_status()[0].in_progress == 0
    };
    setup.clock.advance(time);
    for _ in 0..4 {
        if tokio::time::timeout(seconds(2), until("a request", is_done)).await.is_ok() {
            return;
        }
        setup.clock.advance(seconds(10));
    }
    until("a request", is_done).await;
}

/// Advances the clock until the session is closed, during an outage.
async fn closed_in_outage(setup: &Setup, socket: &mut Socket) -> String {
    let mut closing = pin!(socket.receive());
    loop {
        setup.clock.advance(seconds(2));
        if let Ok(closed) = tokio::time::timeout(Duration::from_millis(5), closing.as_mut()).await {
            return closed;
        }
    }
}

/// The longest time between two introspections of the token of a live session.
const AGAIN: Duration = seconds(65);
/// The same where the endpoint has failed.
const RETRY: Duration = seconds(10);

#[tokio::test]
async fn session_ends_when_the_provider_says_that_its_token_is_not_active() {
    let setup = Setup::start(Answer::status(500));
    setup.server.answer(setup.active(json!({})));
    let server = serve(&setup.oauth2);
    let mut socket = open(&server).await;
    assert_eq!(echo(&mut socket, "hello").await, "hello");
    // The token is introspected again, and the session continues.
    introspected_after(&setup, AGAIN).await;
    assert_eq!(echo(&mut socket, "again").await, "again");
    setup.server.answer(Answer::json(&json!({"active": false})));
    introspected_after(&setup, AGAIN).await;
    assert_eq!(socket.receive().await, "1008 invalid token");
}

#[tokio::test]
async fn session_survives_a_short_outage_and_ends_after_a_minute() {
    let setup = Setup::start(Answer::status(500));
    setup.server.answer(setup.active(json!({})));
    let server = serve(&setup.oauth2);
    let mut socket = open(&server).await;
    setup.server.answer(Answer::status(500));
    introspected_after(&setup, AGAIN).await;
    assert_eq!(echo(&mut socket, "hello").await, "hello");
    assert_eq!(closed_in_outage(&setup, &mut socket).await, "1013 try again later");
}

/// Such a session goes on for as long as others during an outage, and no longer.
#[tokio::test]
async fn session_that_is_checked_again_survives_a_short_outage_too() {
    let setup = Setup::start(Answer::status(500));
    setup.server.answer(setup.active(json!({"scope": "chat"})));
    let server = serve(&setup.oauth2);
    let mut socket = open_at(&server, "/checked").await;
    setup.server.answer(Answer::status(500));
    introspected_after(&setup, AGAIN).await;
    assert_eq!(echo(&mut socket, "hello").await, "hello");
    setup.server.answer(setup.active(json!({"scope": "chat"})));
    introspected_after(&setup, RETRY).await;
    assert_eq!(echo(&mut socket, "again").await, "again");
    setup.server.answer(Answer::status(500));
    assert_eq!(closed_in_outage(&setup, &mut socket).await, "1013 try again later");
}

#[tokio::test]
async fn session_that_is_checked_again_ends_when_the_answer_has_not_what_it_requires() {
    let setup = Setup::start(Answer::status(500));
    setup.server.answer(setup.active(json!({"scope": "chat"})));
    let server = serve(&setup.oauth2);
    let mut socket = open_at(&server, "/checked").await;
    assert_eq!(echo(&mut socket, "hello").await, "hello");
    setup.server.answer(setup.active(json!({"scope": "other"})));
    introspected_after(&setup, AGAIN).await;
    assert_eq!(socket.receive().await, "1008 insufficient scope");
}

/// With a cache of zero, the session is not checked without end.
#[tokio::test]
async fn session_without_a_cache_time_is_checked_at_its_interval() {
    let setup = Setup::with(
        Answer::status(500),
        |introspection| introspection.cache(Duration::ZERO),
        |provider| provider,
    );
    setup.server.answer(setup.active(json!({"scope": "chat"})));
    let server = serve(&setup.oauth2);
    let mut socket = open_at(&server, "/checked").await;
    for round in 0..20 {
        assert_eq!(echo(&mut socket, "hello").await, "hello", "{round}");
        setup.clock.advance(Duration::from_millis(100));
    }
    assert!(setup.server.requests() < 20, "{}", setup.server.requests());
}

#[tokio::test]
async fn stream_ends_when_its_token_is_not_active_any_more() {
    let setup = Setup::start(Answer::status(500));
    setup.server.answer(setup.active(json!({"exp": null})));
    let claims: Claims = setup.oauth2.verify("opaque").await.unwrap();
    let pending = stream::pending::<Result<web::Bytes, actix_web::Error>>();
    let body = until_expiry(&claims, BodyStream::new(pending));
    let mut body = Box::pin(body);
    setup.server.answer(Answer::json(&json!({"active": false})));
    let next = poll_fn(|context| body.as_mut().poll_next(context));
    let mut next = pin!(next);
    assert!(poll!(next.as_mut()).is_pending());
    setup.clock.advance(AGAIN);
    let ended = tokio::time::timeout(PATIENCE, next).await.unwrap();
    let error = ended.unwrap().unwrap_err();
    assert!(error.to_string().contains("not active"), "{error}");
}

/// Without the floor, each session would send a request every second.
#[tokio::test]
async fn session_with_a_cache_of_zero_is_introspected_every_8_to_10_seconds() {
    let setup = Setup::with(
        Answer::status(500),
        |introspection| introspection.cache(Duration::ZERO),
        |provider| provider,
    );
    setup.server.answer(setup.active(json!({})));
    let server = serve(&setup.oauth2);
    let mut socket = open(&server).await;
    let before = setup.server.requests();
    for _ in 0..7 {
        setup.clock.advance(seconds(1));
        socket.send("hello").await;
        assert_eq!(socket.receive().await, "hello");
    }
    assert_eq!(setup.server.requests(), before);
    setup.server.answer(Answer::json(&json!({"active": false})));
    introspected_after(&setup, seconds(3)).await;
    assert_eq!(socket.receive().await, "1008 invalid token");
    assert_eq!(setup.server.requests(), before + 1);
}

/// There are far more of them than calls. The times of their checks have a random part.
#[tokio::test]
async fn streams_that_began_together_do_not_end_for_want_of_calls() {
    const STREAMS: u64 = 600;
    let setup = Setup::with(
        Answer::status(500),
        |introspection| introspection.max_calls(2),
        |provider| provider,
    );
    setup.server.answer(setup.active(json!({})));
    let mut streams = FuturesUnordered::new();
    for number in 0..STREAMS {
        let claims = setup.oauth2.verify(&format!("token-{number}")).await.unwrap();
        let endless = stream::pending::<Result<web::Bytes, actix_web::Error>>();
        let mut body = Box::pin(until_expiry(&claims, BodyStream::new(endless)));
        streams.push(async move { poll_fn(|context| body.as_mut().poll_next(context)).await });
    }
    let mut busy_seconds = BTreeSet::new();
    // The lifetime of a response, and the minute after it.
    for step in 0..125 * 20 {
        setup.clock.advance(Duration::from_millis(50));
        let before = setup.server.requests();
        let ended = tokio::time::timeout(Duration::from_millis(2), streams.next()).await;
        assert!(ended.is_err(), "{ended:?}");
        if step < 60 * 20 && setup.server.requests() > before {
            busy_seconds.insert(step / 20);
        }
    }
    assert!(busy_seconds.len() >= 8, "{busy_seconds:?}");
    let requests = setup.server.requests();
    assert!((2 * STREAMS..5 * STREAMS).contains(&requests), "{requests}");
}
