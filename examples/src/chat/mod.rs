//! A chat over WebSocket. Each room requires its own scope, `chat:lobby` or `chat:staff`, and a session ends
//! with its token unless the client sends a new one.

mod visit;

use actix_web::{HttpRequest, HttpResponse, get, rt, web};
use oauth2_actix::{OAuth2, public, requirement, ws};
use tokio::sync::broadcast;

use crate::pages::{self, Issuer};

/// Registers the page, its scripts, and `/chat/rooms/{room}` for WebSockets.
pub fn configure(config: &mut web::ServiceConfig) {
    config.service(page).service(script).service(live_session).service(room);
}

#[get("/chat/rooms/{room}")]
async fn room(
    request: HttpRequest,
    body: web::Payload,
    name: web::Path<String>,
    rooms: web::Data<Rooms>,
    oauth2: web::Data<OAuth2>,
) -> actix_web::Result<HttpResponse> {
    let Some(line) = rooms.of(&name).cloned() else { return Ok(HttpResponse::NotFound().finish()) };
    let (response, session, messages) = ws::upgrade(&request, body)
        .protocols(["chat"])
        // Required of this token, and of every token that renews the session.
        .require(requirement::scopes([format!("chat:{name}")]))
        // Also ends the session when the key that signed the token is withdrawn.
        .revalidate_on_key_change(&oauth2)
        .start()?;
    rt::spawn(visit::visit(oauth2, session, messages.max_frame_size(MAX_FRAME), line));
    Ok(response)
}

/// The rooms. Their number is fixed, so that clients cannot create more.
#[derive(Debug)]
pub struct Rooms([(&'static str, Line); 2]);

type Line = broadcast::Sender<visit::Said>;

impl Rooms {
    fn of(&self, name: &str) -> Option<&Line> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, line)| line)
    }
}

impl Default for Rooms {
    fn default() -> Self {
        Self(["lobby", "staff"].map(|name| (name, broadcast::channel(BACKLOG).0)))
    }
}

/// The number of lines that are kept for a client that reads slowly, before the oldest is dropped.
const BACKLOG: usize = 256;

/// In bytes. A frame must have room for a token, which the middleware limits to 16 KiB.
const MAX_FRAME: usize = 20 * 1024;

#[public]
#[get("/chat")]
async fn page(issuer: web::Data<Issuer>) -> HttpResponse {
    pages::html(include_str!("page.html"), &issuer)
}

#[public]
#[get("/chat/page.js")]
async fn script() -> HttpResponse {
    pages::script(include_str!("page.js"))
}

#[public]
#[get("/chat/live-session.js")]
async fn live_session() -> HttpResponse {
    pages::script(include_str!("live-session.js"))
}
