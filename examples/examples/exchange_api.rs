//! The API of the suite `e2e/introspection.test.mjs`: it exchanges the token of the request for one of another service,
//! and shows what it got. An API must not do that: `cargo run --example exchange_api -- FILE`.

use std::error::Error;

use actix_web::{App, HttpResponse, HttpServer, get, web};
use oauth2_actix::{
    Claims, OAuth2, OAuth2Builder,
    exchange::{ExchangeError, ExchangeTarget},
};
use oauth2_actix_examples::program;
use serde::Deserialize;

#[derive(Deserialize)]
struct Settings {
    oauth2: OAuth2Builder,
}

/// The other service.
#[derive(Deserialize)]
struct Asked {
    resource: String,
    scope: String,
}

#[get("/exchange")]
async fn exchange(
    claims: Claims,
    oauth2: web::Data<OAuth2>,
    asked: web::Query<Asked>,
) -> Result<HttpResponse, ExchangeError> {
    let target = ExchangeTarget::resource(&asked.resource).scopes([&asked.scope]);
    let exchanged = oauth2.exchange_for(&claims, &target).await?;
    Ok(HttpResponse::Ok().json(serde_json::json!({
        "token": exchanged.expose_token(),
        "seconds_left": exchanged.time_left().map(|left| left.as_secs()),
    })))
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    program::start_log()?;
    let (port, files) = program::port_and_rest(std::env::args().skip(1))?;
    let file = files.first().ok_or("expected a file with settings")?;
    let settings: Settings = serde_json::from_str(&std::fs::read_to_string(file)?)?;
    let oauth2 = settings.oauth2.build()?;
    let server = HttpServer::new(move || {
        let policy = web::Data::new(oauth2.clone());
        App::new().app_data(policy).service(exchange).wrap(oauth2.clone())
    })
    .workers(1)
    .bind(("127.0.0.1", port))?;
    println!("listening on http://{}", server.addrs()[0]);
    server.run().await?;
    Ok(())
}
