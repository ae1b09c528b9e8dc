//! An API with `oauth2-actix` and the identity provider that it trusts, both on loopback and without network:
//! `cargo run`, then open the page whose address it prints.

use std::{
    io::{self, ErrorKind, IsTerminal},
    net::TcpListener,
    process::ExitCode,
};

use actix_cors::Cors;
use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer, get,
    http::header::{AUTHORIZATION, HeaderName},
    middleware::from_fn,
    web,
};
use oauth2_actix::{
    Claims, OAuth2, Provider, require_claim,
    testing::{IdentityProvider, ManualClock},
};
use oauth2_actix_examples::{
    chat::{self, Rooms},
    pages::Issuer,
    program, single_page,
};

mod page;
mod test_clock;

const AUDIENCE: &str = "quickstart-api";

/// Requires a valid token.
#[get("/me")]
async fn me(claims: Claims) -> HttpResponse {
    HttpResponse::Ok().json(serde_json::json!({
        "provider": claims.provider(),
        "claims": claims.to_map(),
    }))
}

/// Requires a token with `"role": "admin"`, or with a list of roles that contains it.
#[get("/admin")]
#[require_claim("role", "admin")]
async fn admin(claims: Claims) -> HttpResponse {
    HttpResponse::Ok().json(serde_json::json!({"hello": claims.subject()}))
}

/// An ordinary actix-ws handler, which runs only with a valid token. Returns each message.
#[get("/ws")]
async fn echo(
    claims: Claims,
    request: HttpRequest,
    body: web::Payload,
) -> actix_web::Result<HttpResponse> {
    let (response, mut session, mut messages) = actix_ws::handle(&request, body)?;
    actix_web::rt::spawn(async move {
        let hello = format!("hello {}", claims.subject().unwrap_or("anonymous"));
        if session.text(hello).await.is_err() {
            return;
        }
        while let Some(Ok(message)) = messages.recv().await {
            let sent = match message {
                actix_ws::Message::Text(text) => session.text(text).await,
                actix_ws::Message::Ping(bytes) => session.pong(&bytes).await,
                actix_ws::Message::Close(reason) => {
                    let _ = session.close(reason).await;
                    return;
                }
                _ => Ok(()),
            };
            if sent.is_err() {
                return;
            }
        }
    });
    Ok(response)
}

#[actix_web::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quickstart: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt()
        .with_env_filter(program::log_filter()?)
        .without_time()
        .with_ansi(io::stdout().is_terminal())
        .init();
    let (port, test_clock) = arguments()?;
    let api = listen(port)?;
    let idp = listen(port + 1)?;
    let issuer = format!("http://127.0.0.1:{}", port + 1);

    // The identity provider. Replaces Entra, Auth0, Keycloak, ...
    let provider = IdentityProvider::new(&issuer, AUDIENCE);

    // The policy of the API, which trusts the identity provider. An API needs no more than this.
    let mut oauth2 = OAuth2::builder()
        .provider(
            "quickstart",
            Provider::new().issuer(&issuer).audience(AUDIENCE).keys(provider.jwks_url()),
        )
        .key_refresh_minutes(5)
        // Scripts cannot set a header on a WebSocket.
        .token_from_subprotocol();
    // Only for the end-to-end tests.
    if let Some(clock) = &test_clock {
        provider.set_clock(clock.clone());
        oauth2 = oauth2.clock(clock.clone());
    }
    let oauth2 = oauth2.build()?;

    let page_issuer = web::Data::new(Issuer(issuer.clone()));
    let rooms = web::Data::new(Rooms::default());
    let api = HttpServer::new(move || {
        App::new()
            .wrap(oauth2.clone())
            // CORS is added after OAuth2, and is therefore outside: it responds to preflights, and adds its
            // headers to rejections.
            .wrap(cors())
            .app_data(page_issuer.clone())
            .app_data(rooms.clone())
            .app_data(web::Data::new(oauth2.clone()))
            .configure(page::configure)
            .configure(chat::configure)
            .configure(single_page::configure)
            .service(me)
            .service(admin)
            .service(echo)
    })
    .workers(2)
    .listen(api)?;
    let idp = HttpServer::new(move || {
        App::new()
            .wrap(from_fn(page::no_store))
            .wrap(cors())
            .configure(|config| provider.configure(config))
            .configure(|config| test_clock::configure(test_clock.as_ref(), config))
    })
    .workers(1)
    .listen(idp)?;

    print_lines(port, &issuer);
    futures_util::future::try_join(api.run(), idp.run()).await?;
    Ok(())
}

/// Allows pages from this machine, as `localhost` or as `127.0.0.1`.
fn cors() -> Cors {
    Cors::default()
        .allowed_origin_fn(|origin, _| {
            let host = origin.to_str().unwrap_or_default();
            ["http://127.0.0.1:", "http://localhost:"].iter().any(|start| host.starts_with(start))
        })
        .allowed_methods(["GET", "POST"])
        .allowed_headers([AUTHORIZATION, HeaderName::from_static("dpop")])
        .max_age(60)
}

/// Returns the port, and the clock of `--test-clock`.
fn arguments() -> Result<(u16, Option<ManualClock>), Box<dyn std::error::Error>> {
    const USAGE: &str = "usage: cargo run -- [--port PORT] (1024 to 65534; the identity provider takes the next one)";
    let (mut port, mut test_clock) = (8080, None);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--port" => {
                port = words
                    .next()
                    .and_then(|number| number.parse().ok())
                    .filter(|port| (1024..u16::MAX).contains(port))
                    .ok_or(USAGE)?;
            }
            "--test-clock" => test_clock = Some(ManualClock::new()),
            _ => return Err(USAGE.into()),
        }
    }
    Ok((port, test_clock))
}

fn listen(port: u16) -> Result<TcpListener, String> {
    TcpListener::bind(("127.0.0.1", port)).map_err(|error: io::Error| {
        let problem = match error.kind() {
            ErrorKind::AddrInUse => "is taken".to_owned(),
            _ => format!("cannot be used: {error}"),
        };
        format!("port {port} {problem}; choose two others with: cargo run -- --port 9090")
    })
}

fn print_lines(port: u16, issuer: &str) {
    let api = format!("http://127.0.0.1:{port}");
    println!(
        r#"
An API, and the identity provider that it trusts. Open the page:

    {api}/

or paste these lines:

TOKEN=$(curl -s {issuer}/token -u quickstart:quickstart -d grant_type=client_credentials -d 'claims={{"role":"user"}}' | sed 's/.*"access_token":"\([^"]*\)".*/\1/')
ADMIN=$(curl -s {issuer}/token -u quickstart:quickstart -d grant_type=client_credentials -d 'claims={{"role":"admin"}}' | sed 's/.*"access_token":"\([^"]*\)".*/\1/')

curl -i {api}/                                            # public: 200
curl -i {api}/me                                          # no token: 400
curl -i {api}/me -H "Authorization: Bearer x.y.z"         # not a JWT: 401
curl -i {api}/me -H "Authorization: Bearer $TOKEN"        # 200
curl -i {api}/admin -H "Authorization: Bearer $TOKEN"     # 403
curl -i {api}/admin -H "Authorization: Bearer $ADMIN"     # 200
curl -X POST {issuer}/rotate                              # a new key: $TOKEN and $ADMIN are valid
                                                          # until the API gets a token with it

Ctrl-C ends it.
"#
    );
}
