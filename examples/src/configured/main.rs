//! An API that reads its policy as part of its settings, from a JSON file:
//! `cargo run --bin configured -- examples/settings.json`.

use std::process::ExitCode;

use actix_cors::Cors;
use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer, get,
    http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE},
    web,
};
use oauth2_actix::{Claims, OAuth2Builder, require_scope};
use oauth2_actix_examples::program;
use serde::Deserialize;

/// The settings of the whole service, including the policy.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    oauth2: OAuth2Builder,
    /// The origin of the pages that may call this API.
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
        let _ = session.text(format!("hello {}", claims.subject().unwrap_or("anonymous"))).await;
        let _ = session.close(None).await;
    });
    Ok(response)
}

const USAGE: &str = "usage: cargo run --bin configured -- FILE [--port PORT]";

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
    program::start_log()?;
    let (port, files) = program::port_and_rest(std::env::args().skip(1))
        .map_err(|error| format!("{error}; {USAGE}"))?;
    let [file] = files.as_slice() else { return Err(USAGE.into()) };
    let text = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
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
    .bind(("127.0.0.1", port))
    .map_err(|error| format!("port {port}: {error}"))?;
    for address in server.addrs() {
        println!("listening on http://{address}");
    }
    server.run().await?;
    Ok(())
}

/// Lets pages of one origin call this API, also with cookies, and read every response: see `docs/cors.md`.
fn cors(origin: Option<&str>) -> Cors {
    let cors = Cors::default()
        .allowed_methods(["GET"])
        .allowed_headers([AUTHORIZATION, CONTENT_TYPE, HeaderName::from_static("dpop")])
        .expose_headers([WWW_AUTHENTICATE, RETRY_AFTER, HeaderName::from_static("dpop-nonce")])
        .supports_credentials()
        .max_age(600);
    match origin {
        Some(origin) => cors.allowed_origin(origin),
        None => cors,
    }
}

#[cfg(test)]
mod tests {
    use oauth2_actix::reqwest::{ClientBuilder, Proxy};

    use super::Settings;

    const SETTINGS: &str = include_str!("../../settings.json");

    /// Reads settings and builds their policy. Its fetches go to a closed port of this machine.
    fn check(text: &str) {
        let settings: Settings = serde_json::from_str(text).expect("valid settings");
        let nowhere =
            |client: ClientBuilder| client.proxy(Proxy::all("http://127.0.0.1:9").expect("a URL"));
        settings.oauth2.configure_http_client(nowhere).build().expect("a valid policy");
    }

    #[test]
    fn settings_file_is_accepted() {
        check(SETTINGS);
    }

    #[test]
    fn settings_of_the_deployment_files_are_accepted() {
        let (_, manifest) = include_str!("../../../deploy/kubernetes.yaml")
            .split_once("settings.json: |\n")
            .expect("settings in the manifest");
        let (in_manifest, _) = manifest.split_once("---\n").expect("another document");
        check(in_manifest);
        check(include_str!("../../../deploy/keycloak/settings.json"));
    }

    #[test]
    fn settings_file_is_that_of_the_configuration_page() {
        let page = include_str!("../../../docs/configuration.md");
        assert!(page.contains(&format!("```json\n{SETTINGS}```\n")));
    }
}
