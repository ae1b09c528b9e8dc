//! An API whose policy stands in a JSON file: `cargo run --bin configured -- FILE [PORT]`.

use std::process::ExitCode;

use actix_cors::Cors;
use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer, get,
    http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
    web,
};
use oauth2_actix::{Claims, OAuth2Builder, require_scope};
use serde::Deserialize;

/// The settings of the whole service, of which the policy is a part.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    oauth2: OAuth2Builder,
    /// Pages of this origin may call.
    allowed_origin: Option<String>,
}

#[get("/health")]
async fn health() -> &'static str {
    "up"
}

#[get("/me")]
async fn me(claims: Claims) -> HttpResponse {
    HttpResponse::Ok().json(serde_json::json!({
        "provider": claims.provider(),
        "claims": claims.to_map(),
    }))
}

#[get("/orders")]
#[require_scope("orders:read")]
async fn orders() -> &'static str {
    "your orders"
}

#[get("/ws")]
async fn ws(
    claims: Claims,
    request: HttpRequest,
    body: web::Payload,
) -> actix_web::Result<HttpResponse> {
    let (response, mut session, _messages) = actix_ws::handle(&request, body)?;
    actix_web::rt::spawn(async move {
        let _ = session.text(format!("hello {}", claims.subject().unwrap_or("nobody"))).await;
        let _ = session.close(None).await;
    });
    Ok(response)
}

#[actix_web::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("configured: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::DEBUG)
        .with_writer(std::io::stderr)
        .init();
    let mut words = std::env::args().skip(1);
    let file = words.next().ok_or("usage: configured FILE [PORT]")?;
    let port: u16 = words.next().map_or(Ok(8080), |port| port.parse())?;
    let text = std::fs::read_to_string(&file).map_err(|error| format!("{file}: {error}"))?;
    let settings: Settings =
        serde_json::from_str(&text).map_err(|error| format!("{file}: {error}"))?;
    let oauth2 = settings.oauth2.build().map_err(|error| format!("{file}: {error}"))?;

    let server = HttpServer::new(move || {
        App::new()
            .wrap(oauth2.clone())
            .wrap(cors(settings.allowed_origin.as_deref()))
            .service(health)
            .service(me)
            .service(orders)
            .service(ws)
    })
    .bind(("127.0.0.1", port))?;
    for address in server.addrs() {
        println!("listening on http://{address}");
    }
    server.run().await?;
    Ok(())
}

/// Lets pages of one origin call, with cookies if they like, and read every answer: see `docs/cors.md`.
fn cors(origin: Option<&str>) -> Cors {
    let cors = Cors::default()
        .allowed_methods(["GET"])
        .allowed_headers([AUTHORIZATION, CONTENT_TYPE])
        .expose_headers([WWW_AUTHENTICATE, RETRY_AFTER])
        .supports_credentials()
        .max_age(600);
    match origin {
        Some(origin) => cors.allowed_origin(origin),
        None => cors,
    }
}
