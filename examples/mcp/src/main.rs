//! The server on its own: with an identity provider of its own, or with that of `ISSUER`.

use std::process::ExitCode;

use mcp_orders::{serve, server::OrdersServer, settings::Settings};
use tracing_subscriber::EnvFilter;

#[actix_web::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("info,oauth2_actix=debug"));
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).init();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mcp: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    serve(Settings::read(|name| std::env::var(name).ok())?, OrdersServer::default()).await
}
