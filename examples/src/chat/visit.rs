//! One client in a room.

use std::time::Duration;

use actix_web::{
    rt::time::{Instant, interval},
    web::Data,
};
use oauth2_actix::{
    Claims, OAuth2,
    ws::{CloseCode, Closed, Message, MessageStream, Session},
};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::{Sender, error::RecvError};

/// A message from the client: `{"say": "hello"}` or `{"renew": "eyJ..."}`.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum FromClient {
    Say(String),
    Renew(String),
}

/// A message to the client: `{"welcome": {"name": "alice", "seconds": 60}}`, ...
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum ToClient {
    /// The subject of the session, and the seconds until it ends.
    Welcome {
        name: String,
        seconds: u64,
    },
    Said(Said),
    Renewed {
        seconds: u64,
    },
    /// The session keeps its token.
    NotRenewed(&'static str),
    /// The number of lines that were dropped because the client reads slowly.
    Missed(u64),
    /// The message has no known form, or is too long.
    NotUnderstood,
}

/// A line of the chat.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Said {
    name: String,
    text: String,
}

/// Runs until the client disconnects, or the token expires.
pub(super) async fn visit(
    oauth2: Data<OAuth2>,
    mut session: Session,
    mut messages: MessageStream,
    room: Sender<Said>,
) {
    let mut lines = room.subscribe();
    let mut pings = interval(PING_INTERVAL);
    let mut received_at = Instant::now();
    let welcome = ToClient::Welcome {
        name: name(&session.claims()),
        seconds: seconds_left(&session.claims()),
    };
    let mut sent = send(&mut session, &welcome).await;
    while sent.is_ok() {
        sent = tokio::select! {
            message = messages.recv() => {
                received_at = Instant::now();
                match message {
                    Some(Ok(Message::Text(text))) => {
                        respond(&oauth2, &mut session, &room, &text).await
                    }
                    Some(Ok(Message::Ping(bytes))) => session.pong(&bytes).await,
                    Some(Ok(Message::Pong(_))) => Ok(()),
                    Some(Ok(Message::Close(reason))) => return drop(session.close(reason).await),
                    Some(Ok(_)) => send(&mut session, &ToClient::NotUnderstood).await,
                    Some(Err(_)) => {
                        return drop(session.close(Some(CloseCode::Protocol.into())).await);
                    }
                    None => return,
                }
            }
            line = lines.recv() => match line {
                Ok(said) => send(&mut session, &ToClient::Said(said)).await,
                Err(RecvError::Lagged(lines)) => send(&mut session, &ToClient::Missed(lines)).await,
                Err(RecvError::Closed) => return drop(session.close(None).await),
            },
            _ = pings.tick() => {
                if received_at.elapsed() > 2 * PING_INTERVAL + PING_INTERVAL / 2 {
                    // The client is gone without a close frame.
                    return drop(session.close(None).await);
                }
                session.ping(b"").await
            }
        };
    }
}

async fn respond(
    oauth2: &OAuth2,
    session: &mut Session,
    room: &Sender<Said>,
    text: &str,
) -> Result<(), Closed> {
    match serde_json::from_str(text) {
        Ok(FromClient::Say(text)) if text.chars().count() <= MAX_LINE => {
            // An error means that the room has no receiver, but this client is one.
            let _ = room.send(Said { name: name(&session.claims()), text });
            Ok(())
        }
        Ok(FromClient::Renew(token)) => {
            let message = match session.renew(oauth2, &token).await {
                Ok(claims) => ToClient::Renewed { seconds: seconds_left(&claims) },
                Err(error) => ToClient::NotRenewed(error.description()),
            };
            send(session, &message).await
        }
        Ok(FromClient::Say(_)) | Err(_) => send(session, &ToClient::NotUnderstood).await,
    }
}

async fn send(session: &mut Session, message: &ToClient) -> Result<(), Closed> {
    session.text(serde_json::to_string(message).expect("text")).await
}

fn name(claims: &Claims) -> String {
    claims.subject().unwrap_or("anonymous").to_owned()
}

fn seconds_left(claims: &Claims) -> u64 {
    claims.time_left().as_secs()
}

/// The time between two pings.
const PING_INTERVAL: Duration = Duration::from_secs(30);

/// In characters.
const MAX_LINE: usize = 500;
