//! WebSocket sessions and streams that end with an entry.

use std::{
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    body::{BodyStream, MessageBody},
    rt, web,
};
use futures_util::{StreamExt, future::poll_fn, stream};
use oauth2_actix::{
    Algorithm, Claims, ErrorKind, OAuth2, mcp,
    revocation::{DenyList, Revocation, WhenUnavailable},
    testing::{LocalServer, ManualClock},
    until_expiry, ws,
};
use oauth2_actix_tests::{
    client,
    keys::key,
    mcp::{Endpoint, bare_token, policy_of_tokens, tool_call},
    socket::Socket,
    wait::until,
};

use super::{ISSUER, Shared, builder, sign, token, token_at};

const HOUR: Duration = Duration::from_secs(3600);

/// Echoes, and renews.
async fn session(
    request: HttpRequest,
    body: web::Payload,
    oauth2: web::Data<OAuth2>,
) -> actix_web::Result<HttpResponse> {
    let (response, mut session, mut messages) = ws::upgrade(&request, body).start()?;
    rt::spawn(async move {
        while let Some(Ok(message)) = messages.recv().await {
            let ws::Message::Text(text) = message else { continue };
            let answer = match text.strip_prefix("renew ") {
                Some(token) => match session.renew(&oauth2, token).await {
                    Ok(_) => "renewed".to_owned(),
                    Err(error) => error.kind_name().to_owned(),
                },
                None => format!("echo {text}"),
            };
            if session.text(answer).await.is_err() {
                break;
            }
        }
    });
    Ok(response)
}

async fn events(claims: Claims) -> HttpResponse {
    let one = Ok::<_, actix_web::Error>(web::Bytes::from_static(b"data: 1\n\n"));
    let body = BodyStream::new(stream::iter([one]).chain(stream::pending()));
    HttpResponse::Ok().content_type("text/event-stream").body(until_expiry(&claims, body))
}

fn serve(oauth2: &OAuth2) -> LocalServer {
    let oauth2 = oauth2.clone();
    LocalServer::start(move |listener| {
        let app = move || {
            App::new()
                .wrap(oauth2.clone())
                .app_data(web::Data::new(oauth2.clone()))
                .route("/ws", web::get().to(session))
                .route("/events", web::get().to(events))
        };
        Ok(HttpServer::new(app).workers(2).listen(listener)?.run())
    })
    .unwrap()
}

async fn open(server: &LocalServer, token: &str) -> Socket {
    let bearer = format!("Bearer {token}");
    Socket::open(&server.url("/ws"), &[("authorization", &bearer)]).await
}

async fn echo(socket: &mut Socket, text: &str) -> bool {
    socket.send(text).await;
    socket.receive().await == format!("echo {text}")
}

#[tokio::test]
async fn entry_ends_the_sessions_of_its_tokens_and_no_others() {
    let oauth2 = builder().deny_list(DenyList::new()).build().unwrap();
    let server = serve(&oauth2);
    let mut anns = [
        open(&server, &sign(&token().claim("jti", "1"))).await,
        open(&server, &sign(&token().claim("jti", "2"))).await,
    ];
    let mut bobs = open(&server, &sign(&token().claim("sub", "bob").claim("jti", "3"))).await;
    for socket in &mut anns {
        assert!(echo(socket, "before").await);
    }
    oauth2.revoke(Revocation::subject(ISSUER, "ann")).await.unwrap();
    for socket in &mut anns {
        assert_eq!(socket.receive().await, "1008 token revoked");
    }
    assert!(echo(&mut bobs, "still there").await);
    oauth2
        .revoke(Revocation::all(ISSUER).issued_before(super::time(u32::MAX.into())))
        .await
        .unwrap();
    assert_eq!(bobs.receive().await, "1008 token revoked");
}

#[tokio::test]
async fn handshake_with_a_revoked_token_is_closed() {
    let oauth2 = builder().deny_list(DenyList::new()).build().unwrap();
    let server = serve(&oauth2);
    oauth2.revoke(Revocation::session(ISSUER, "session-1")).await.unwrap();
    let mut socket = open(&server, &sign(&token())).await;
    assert_eq!(socket.receive().await, "1008 token revoked");
}

#[tokio::test]
async fn session_cannot_be_renewed_by_a_revoked_token_and_outlives_its_first_token() {
    let oauth2 = builder().deny_list(DenyList::new()).build().unwrap();
    let server = serve(&oauth2);
    let of = |jti: &str| sign(&token().claim("jti", jti));
    let revoke = |jti: &str| oauth2.revoke(Revocation::token_id(ISSUER, jti));
    let mut socket = open(&server, &of("first")).await;
    revoke("revoked").await.unwrap();
    socket.send(&format!("renew {}", of("revoked"))).await;
    assert_eq!(socket.receive().await, "token_revoked");
    socket.send(&format!("renew {}", of("second"))).await;
    assert_eq!(socket.receive().await, "renewed");
    revoke("first").await.unwrap();
    assert!(echo(&mut socket, "by the second").await);
    revoke("second").await.unwrap();
    assert_eq!(socket.receive().await, "1008 token revoked");
}

/// The application keeps the handle, and renews the session after its end.
#[tokio::test]
async fn renewal_of_a_session_that_was_revoked_fails_with_the_reason_of_its_end() {
    let oauth2 = builder().deny_list(DenyList::new()).build().unwrap();
    let kept: Arc<Mutex<Option<ws::Session>>> = Arc::default();
    let (app, of_app) = (oauth2.clone(), Arc::clone(&kept));
    let server = LocalServer::start(move |listener| {
        let app = move || {
            let kept = Arc::clone(&of_app);
            let handler = move |request: HttpRequest, body: web::Payload| {
                let kept = Arc::clone(&kept);
                async move {
                    let (response, session, mut messages) = ws::upgrade(&request, body).start()?;
                    *kept.lock().unwrap() = Some(session);
                    rt::spawn(async move { while messages.recv().await.is_some() {} });
                    actix_web::Result::<HttpResponse>::Ok(response)
                }
            };
            App::new().route("/ws", web::get().to(handler)).wrap(app.clone())
        };
        Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
    })
    .unwrap();
    let mut socket = open(&server, &sign(&token())).await;
    oauth2.revoke(Revocation::token_id(ISSUER, "token-1")).await.unwrap();
    assert_eq!(socket.receive().await, "1008 token revoked");
    let session = kept.lock().unwrap().take().unwrap();
    let later = sign(&token().claim("jti", "token-2"));
    let error = session.renew(&oauth2, &later).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::TokenRevoked);
}

#[tokio::test]
async fn stream_of_events_breaks_off_with_an_entry() {
    let oauth2 = builder().deny_list(DenyList::new()).build().unwrap();
    let server = serve(&oauth2);
    let request = client::client().get(server.url("/events")).bearer_auth(sign(&token()));
    let mut response = request.send().await.unwrap();
    assert_eq!(response.chunk().await.unwrap().unwrap(), "data: 1\n\n");
    oauth2.revoke(Revocation::client(ISSUER, "shop")).await.unwrap();
    assert!(response.chunk().await.is_err());
}

#[tokio::test]
async fn body_says_that_its_token_was_revoked() {
    let oauth2 = builder().deny_list(DenyList::new()).build().unwrap();
    let claims = oauth2.verify(&sign(&token())).await.unwrap();
    let silence = BodyStream::new(stream::pending::<Result<web::Bytes, actix_web::Error>>());
    let mut body = pin!(until_expiry(&claims, silence));
    let mut next = poll_fn(|context| body.as_mut().poll_next(context));
    assert!(futures_util::poll!(&mut next).is_pending());
    oauth2.revoke(Revocation::token(&claims)).await.unwrap();
    let error = next.await.expect("an end").expect_err("an error");
    assert_eq!(error.to_string(), ErrorKind::TokenRevoked.to_string());
}

#[tokio::test]
async fn mcp_stream_ends_with_an_entry() {
    let deny_list = DenyList::new();
    // The list is shared with a policy that the endpoint does not have.
    let oauth2 = policy_of_tokens().deny_list(deny_list.clone()).build().unwrap();
    let endpoint =
        Endpoint::behind(policy_of_tokens().deny_list(deny_list), mcp::Access::builder());
    let token = bare_token().claim("sub", "ann").sign(key(Algorithm::ES256));
    let request = endpoint
        .request("POST", &token)
        .header("content-type", "application/json")
        .header("x-content-type", "text/event-stream")
        .body(tool_call("a"));
    let mut response = request.send().await.unwrap();
    assert_eq!(response.chunk().await.unwrap().unwrap(), "data: 1\n\n");
    let claims = oauth2.verify(&token).await.unwrap();
    oauth2.revoke(Revocation::token(&claims)).await.unwrap();
    assert!(response.chunk().await.is_err());
}

/// Sessions last as long as the last known list may be used.
#[tokio::test]
async fn session_ends_with_1013_when_the_list_is_too_old() {
    for (when, seconds) in
        [(WhenUnavailable::Refuse, 3), (WhenUnavailable::UseLastList(Duration::from_secs(60)), 60)]
    {
        let (store, clock) = (Shared::default(), ManualClock::new());
        let deny_list = DenyList::with_store(store.clone()).when_unavailable(when);
        let oauth2 = builder().clock(clock.clone()).deny_list(deny_list).build().unwrap();
        until("the list is loaded", || oauth2.is_ready()).await;
        let server = serve(&oauth2);
        let mut socket = open(&server, &sign(&token_at(&clock, HOUR))).await;
        store.set_down(true);
        clock.advance(Duration::from_millis(seconds * 1000 - 1));
        assert!(echo(&mut socket, "on the old list").await, "{when:?}");
        clock.advance(Duration::from_millis(1));
        assert_eq!(socket.receive().await, "1013 try again later", "{when:?}");
    }
}

#[tokio::test]
async fn session_goes_on_when_the_list_is_loaded_again_in_time() {
    let (store, clock) = (Shared::default(), ManualClock::new());
    let deny_list = DenyList::with_store(store.clone());
    let oauth2 = builder().clock(clock.clone()).deny_list(deny_list).build().unwrap();
    until("the list is loaded", || oauth2.is_ready()).await;
    let server = serve(&oauth2);
    let mut socket = open(&server, &sign(&token_at(&clock, HOUR))).await;
    for _ in 0..10 {
        store.set_down(true);
        clock.advance(Duration::from_secs(2));
        store.set_down(false);
        let loads = store.loads();
        clock.advance(Duration::from_millis(500));
        until("the list is loaded", || store.loads() > loads).await;
        until("it is used", || oauth2.deny_list_status().unwrap().age_seconds < Some(0.1)).await;
    }
    assert!(echo(&mut socket, "after 25 s").await);
}

/// An entry wakes the streams that it ends and no others. Prints how long that takes.
#[tokio::test]
async fn ten_thousand_streams_end_with_one_entry_and_sleep_through_others() {
    const STREAMS: usize = 10_000;
    let oauth2 = builder().deny_list(DenyList::new()).build().unwrap();
    let (polls, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let count = |of: &Arc<AtomicUsize>| of.load(Ordering::SeqCst);
    let streams = async {
        for index in 0..STREAMS {
            let own = token().claim("jti", format!("token-{index}"));
            let claims = oauth2.verify(&sign(&own)).await.unwrap();
            let (polls, ended) = (Arc::clone(&polls), Arc::clone(&ended));
            tokio::task::spawn_local(async move {
                let silence = stream::pending::<Result<web::Bytes, actix_web::Error>>();
                let mut body = pin!(until_expiry(&claims, BodyStream::new(silence)));
                let end = poll_fn(|context| {
                    polls.fetch_add(1, Ordering::SeqCst);
                    body.as_mut().poll_next(context)
                });
                assert!(end.await.is_some_and(|end| end.is_err()));
                ended.fetch_add(1, Ordering::SeqCst);
            });
        }
        until("all streams wait", || count(&polls) == STREAMS).await;
        let others = Instant::now();
        for index in 0..1000 {
            let other = Revocation::token_id(ISSUER, &format!("other-{index}"));
            oauth2.revoke(other).await.unwrap();
            tokio::task::yield_now().await;
        }
        let others = others.elapsed();
        assert_eq!((count(&polls), count(&ended)), (STREAMS, 0), "a stream was woken");
        oauth2.revoke(Revocation::token_id(ISSUER, "token-17")).await.unwrap();
        until("one has ended", || count(&ended) == 1).await;
        assert_eq!(count(&polls), STREAMS + 1, "another stream was woken");
        let all = Instant::now();
        oauth2.revoke(Revocation::subject(ISSUER, "ann")).await.unwrap();
        until("all have ended", || count(&ended) == STREAMS).await;
        println!(
            "{STREAMS} streams ended within {:?}; 1,000 entries of other tokens took {others:?}",
            all.elapsed()
        );
    };
    tokio::task::LocalSet::new().run_until(streams).await;
}
