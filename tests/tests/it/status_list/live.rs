//! WebSocket sessions that end with a list.

use std::time::Duration;

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, rt, web};
use oauth2_actix::{testing::LocalServer, ws};
use oauth2_actix_tests::{key_server::Answer, socket::Socket, wait::advance_until};

use super::Api;

async fn session(request: HttpRequest, body: web::Payload) -> actix_web::Result<HttpResponse> {
    let (response, mut session, mut messages) = ws::upgrade(&request, body).start()?;
    rt::spawn(async move {
        while let Some(Ok(ws::Message::Text(text))) = messages.recv().await {
            if session.text(text).await.is_err() {
                break;
            }
        }
    });
    Ok(response)
}

fn serve(api: &Api) -> LocalServer {
    let oauth2 = api.oauth2.clone();
    LocalServer::start(move |listener| {
        let app = move || App::new().wrap(oauth2.clone()).route("/ws", web::get().to(session));
        Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
    })
    .unwrap()
}

async fn open(server: &LocalServer, token: &str) -> Socket {
    let bearer = format!("Bearer {token}");
    let mut socket = Socket::open(&server.url("/ws"), &[("authorization", &bearer)]).await;
    socket.send("hello").await;
    assert_eq!(socket.receive().await, "hello");
    socket
}

#[tokio::test]
async fn session_ends_when_the_next_list_revokes_its_token() {
    let api = Api::start();
    let server = serve(&api);
    let mut revoked = open(&server, &api.token(0)).await;
    let mut other = open(&server, &api.token(2)).await;
    api.publish(&[1, 1, 0, 0]);
    // No request is sent: the session has the list fetched.
    api.clock.advance(Duration::from_secs(97));
    assert_eq!(revoked.receive().await, "1008 token revoked");
    other.send("still there").await;
    assert_eq!(other.receive().await, "still there");
}

#[tokio::test]
async fn session_ends_a_minute_after_a_list_that_cannot_be_fetched_again() {
    let api = Api::start();
    let server = serve(&api);
    let mut socket = open(&server, &api.token(0)).await;
    api.server.answer_at(super::PATH, Answer::status(500));
    let close = tokio::spawn(async move { socket.receive().await });
    advance_until(&api.clock, Duration::from_secs(1), "the end", || close.is_finished()).await;
    assert_eq!(close.await.unwrap(), "1013 try again later");
}
