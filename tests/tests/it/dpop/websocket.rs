//! Sessions that a bound token opens.

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, rt, web};
use oauth2_actix::{
    Algorithm, Binding, OAuth2, OAuth2Builder,
    testing::{DpopProof, LocalServer, SigningKey},
    ws::{self, Message},
};
use oauth2_actix_tests::{keys::key, socket::Socket};

use super::{Client, builder, token};

/// Answers `renew TOKEN` with the result.
async fn session(
    request: HttpRequest,
    body: web::Payload,
    oauth2: web::Data<OAuth2>,
) -> Result<HttpResponse, actix_web::Error> {
    let (response, mut session, mut messages) =
        ws::upgrade(&request, body).protocols(["chat"]).start()?;
    rt::spawn(async move {
        while let Some(Ok(message)) = messages.recv().await {
            let Message::Text(text) = message else { continue };
            let answer = match text.strip_prefix("renew ") {
                Some(token) => match session.renew(&oauth2, token).await {
                    Ok(_) => "renewed".to_owned(),
                    Err(error) => error.kind_name().to_owned(),
                },
                None => text.to_string(),
            };
            if session.text(answer).await.is_err() {
                break;
            }
        }
    });
    Ok(response)
}

fn start(builder: OAuth2Builder) -> LocalServer {
    let oauth2 = builder.build().unwrap();
    LocalServer::start(move |listener| {
        let app = move || {
            App::new()
                .app_data(web::Data::new(oauth2.clone()))
                .route("/ws", web::get().to(session))
                .wrap(oauth2.clone())
        };
        Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
    })
    .unwrap()
}

async fn opened(server: &LocalServer, headers: &[(&'static str, &str)]) -> String {
    let mut socket = Socket::open(&server.url("/ws"), headers).await;
    socket.send("hello").await;
    socket.receive().await
}

#[actix_web::test]
async fn bound_token_opens_a_session_with_its_proof_once() {
    let server = start(builder(Binding::Allowed));
    let client = Client::new();
    for uri in ["https://api.test/ws", "wss://api.test/ws"] {
        let proof = DpopProof::new("GET", uri, &client.token).sign(&client.key);
        let authorization = client.authorization();
        let headers = [("authorization", &*authorization), ("dpop", &*proof)];
        assert_eq!(opened(&server, &headers).await, "hello", "{uri}");
        assert_eq!(opened(&server, &headers).await, "1008 invalid proof", "a replay for {uri}");
    }
    let authorization = client.authorization();
    let without = opened(&server, &[("authorization", &*authorization)]).await;
    assert_eq!(without, "1008 invalid proof");
    let bearer = format!("Bearer {}", client.token);
    assert_eq!(opened(&server, &[("authorization", &*bearer)]).await, "1008 invalid token");
}

#[actix_web::test]
async fn browser_offers_token_and_proof_as_subprotocols() {
    let server = start(builder(Binding::Allowed).token_from_subprotocol());
    let client = Client::new();
    let offer = |proof: &str| format!("chat, dpop, {}, {proof}", client.token);
    let proof = client.proof("GET", "/ws");
    let mut socket =
        Socket::open(&server.url("/ws"), &[("sec-websocket-protocol", &offer(&proof))]).await;
    socket.send("hello").await;
    assert_eq!(
        (socket.receive().await.as_str(), socket.protocol.as_deref()),
        ("hello", Some("chat"))
    );
    assert!(!socket.answer.contains(&client.token) && !socket.answer.contains(&proof));
    for (offer, reason) in [
        (offer(&proof), "1008 invalid proof"),
        (format!("dpop, {}", client.token), "1008 invalid proof"),
        ("dpop".to_owned(), "1008 invalid request"),
        (format!("bearer, {}", client.token), "1008 invalid token"),
        (format!("{}, bearer, {}", offer(&proof), client.token), "1008 invalid request"),
    ] {
        let headers = [("sec-websocket-protocol", &*offer)];
        assert_eq!(opened(&server, &headers).await, reason);
    }
    let fresh = offer(&client.proof("GET", "/ws"));
    let twice = [("sec-websocket-protocol", &*fresh), ("dpop", &*proof)];
    assert_eq!(opened(&server, &twice).await, "1008 invalid proof");
}

#[actix_web::test]
async fn session_is_renewed_only_by_a_token_that_is_bound_to_the_same_key() {
    let server = start(builder(Binding::Allowed));
    let client = Client::new();
    let issuer = key(Algorithm::ES256);
    let plain = token().sign(issuer);
    let same = token().claim("jti", "second").bound_to(&client.key).sign(issuer);
    let other = SigningKey::generate(Algorithm::ES256, "other");
    let of_other = token().bound_to(&other).sign(issuer);

    let (authorization, proof) = (client.authorization(), client.proof("GET", "/ws"));
    let headers = [("authorization", &*authorization), ("dpop", &*proof)];
    let mut bound = Socket::open(&server.url("/ws"), &headers).await;
    for (renewal, answer) in
        [(&plain, "subject_mismatch"), (&of_other, "subject_mismatch"), (&same, "renewed")]
    {
        bound.send(&format!("renew {renewal}")).await;
        assert_eq!(bound.receive().await, answer);
    }
    let bearer = format!("Bearer {plain}");
    let mut unbound = Socket::open(&server.url("/ws"), &[("authorization", &*bearer)]).await;
    for (renewal, answer) in [(&same, "subject_mismatch"), (&plain, "renewed")] {
        unbound.send(&format!("renew {renewal}")).await;
        assert_eq!(unbound.receive().await, answer);
    }
}
