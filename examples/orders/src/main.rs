//! The service with an identity provider of its own, both on loopback and without network.

use std::{io, net::TcpListener, process::ExitCode};

use actix_web::{App, HttpServer, web};
use oauth2_actix::testing::IdentityProvider;
use orders::{AUDIENCE, configure, database::Database, policy};
use tracing_subscriber::EnvFilter;

#[actix_web::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("orders: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("info,oauth2_actix=debug"));
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).init();
    let port = port()?;
    let (api, idp) = (listen(port)?, listen(port + 1)?);

    let issuer = format!("http://127.0.0.1:{}", port + 1);
    let provider = IdentityProvider::new(&issuer, AUDIENCE);
    let database = Database::new()?;
    let oauth2 = policy(&issuer, &provider.jwks_url(), &database)?;
    // The token of a user with all rights, for the lines below.
    let token = provider
        .token()
        .claim("sub", "ann")
        .claim("role", "admin")
        .claim("department", "finance")
        .claim("scope", "orders:write orders:delete refunds")
        .expires_in(86_400)
        .sign(&provider.key());

    println!("{}", oauth2.access_routes());
    println!("TOKEN={token}");
    println!("curl -i http://127.0.0.1:{port}/me -H \"Authorization: Bearer $TOKEN\"   # 200");
    println!("curl -i http://127.0.0.1:{port}/openapi.json   # 200");
    println!("Ctrl-C ends it.");

    let shared = (web::Data::new(database), web::Data::new(oauth2.clone()));
    let api = HttpServer::new(move || {
        App::new()
            .app_data(shared.0.clone())
            .app_data(shared.1.clone())
            .configure(configure)
            .wrap(oauth2.clone())
    })
    .workers(2)
    .listen(api)?
    .run();
    let idp = HttpServer::new(move || {
        let provider = provider.clone();
        App::new().configure(move |config| provider.configure(config))
    })
    .workers(1)
    .listen(idp)?
    .run();
    serve(api, idp).await?;
    Ok(())
}

/// Runs both servers until Ctrl-C.
async fn serve(api: actix_web::dev::Server, idp: actix_web::dev::Server) -> io::Result<()> {
    let idp = actix_web::rt::spawn(idp);
    api.await?;
    idp.await.map_err(io::Error::other)?
}

/// Returns the port of `--port`, 8080 by default. The identity provider uses the next port.
fn port() -> Result<u16, String> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let port = match &arguments[..] {
        [] => return Ok(8080),
        [option, port] if option == "--port" => port.parse().ok(),
        _ => None,
    };
    port.filter(|port| (1..u16::MAX).contains(port)).ok_or_else(|| {
        format!("wrong arguments {arguments:?}; expected none, or --port and a number")
    })
}

fn listen(port: u16) -> Result<TcpListener, String> {
    TcpListener::bind(("127.0.0.1", port)).map_err(|error| {
        format!("port {port} cannot be used: {error}; choose another by --port PORT")
    })
}
