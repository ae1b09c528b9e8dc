//! Live WebSocket sessions that a key has opened: the key is looked up again, and they end when the source no longer has it.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, rt, web};
use oauth2_actix::{api_keys::ApiKeyClaims, testing::LocalServer, ws};
use oauth2_actix_tests::socket::Socket;

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

#[tokio::test]
async fn session_ends_when_the_source_has_no_such_key_any_more() {
    let clock = ManualClock::new();
    let is_known = Arc::new(AtomicBool::new(true));
    let known = Arc::clone(&is_known);
    let keys = ApiKeys::new(PREFIX).source(move |_| {
        let found = known.load(Ordering::SeqCst).then(|| ApiKeyClaims::new("billing-job"));
        async move { Ok::<_, String>(found) }
    });
    let oauth2 = builder(&clock).api_keys("shop-keys", keys).build().unwrap();
    let server = LocalServer::start(move |listener| {
        let app = move || App::new().wrap(oauth2.clone()).route("/ws", web::get().to(session));
        Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
    })
    .unwrap();
    let url = server.url("/ws").replace("http:", "ws:");
    let authorization = format!("Bearer {OLD}");
    let mut socket = Socket::open(&url, &[("authorization", &authorization)]).await;
    socket.send("hello").await;
    assert_eq!(socket.receive().await, "hello");
    is_known.store(false, Ordering::SeqCst);
    // The next lookup is due after at most 65 s, or later if the session has read the clock only after this step. The
    // clock stands still during the lookup.
    clock.advance(Duration::from_secs(65));
    let mut closed = pin!(socket.receive());
    for _ in 0..4 {
        let wait = tokio::time::timeout(Duration::from_secs(2), closed.as_mut()).await;
        if let Ok(close) = wait {
            assert_eq!(close, "1008 invalid token");
            return;
        }
        clock.advance(Duration::from_secs(10));
    }
    assert_eq!(closed.await, "1008 invalid token");
}
