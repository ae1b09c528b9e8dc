//! The program of `docs/token-exchange.md`.

use std::error::Error;

use actix_web::{App, HttpServer, error::ErrorBadGateway, get, web};
use oauth2_actix::{
    Claims, ClientAuthentication, OAuth2, Provider, exchange::TokenExchange, require_scope,
    reqwest, testing::IdentityProvider,
};

/// The service that clients call. It needs the other one for its answer.
#[get("/orders")]
#[require_scope("orders:read")]
async fn orders(
    claims: Claims,
    oauth2: web::Data<OAuth2>,
    http: web::Data<reqwest::Client>,
) -> actix_web::Result<String> {
    // Not the token of the client: one for the other service.
    let for_stock = oauth2.exchange(&claims, "stock", ["stock:read"]).await?;
    let request = http.get("http://127.0.0.1:8081/stock").bearer_auth(for_stock.expose_token());
    let response = request.send().await.and_then(reqwest::Response::error_for_status);
    let body = response.map_err(ErrorBadGateway)?.text().await.map_err(ErrorBadGateway)?;
    Ok(format!("3 orders; {body}\n"))
}

/// The other service. It accepts tokens for `stock` only.
#[get("/stock")]
#[require_scope("stock:read")]
async fn stock(claims: Claims) -> String {
    let client = claims.client_id().unwrap_or("an unknown client");
    format!("40 in stock, for {} by {client}", claims.subject().unwrap_or("a service"))
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_env_filter("info,oauth2_actix=debug").init();

    // For development. In production, Keycloak, Entra, Auth0, …
    let idp = IdentityProvider::start("orders")?;
    let provider =
        |audience| Provider::new().issuer(idp.issuer()).audience(audience).keys(idp.jwks_url());
    let authentication = ClientAuthentication::basic("orders-api", idp.client_secret("orders-api"));
    let exchange = TokenExchange::discover().authentication(authentication);
    let at_orders = OAuth2::builder()
        .provider("idp", provider("orders").token_exchange(exchange))
        .key_refresh_minutes(30)
        .build()?;
    let at_stock =
        OAuth2::builder().provider("idp", provider("stock")).key_refresh_minutes(30).build()?;

    let token = idp.token().claim("scope", "orders:read stock:read").sign(&idp.key());
    println!("curl http://127.0.0.1:8080/orders -H 'Authorization: Bearer {token}'");
    println!("curl http://127.0.0.1:8081/stock -H 'Authorization: Bearer {token}'");

    let http = web::Data::new(reqwest::Client::new());
    let policy = web::Data::new(at_orders.clone());
    let orders_server = HttpServer::new(move || {
        let app = App::new().app_data(http.clone()).app_data(policy.clone());
        app.service(orders).wrap(at_orders.clone())
    })
    .bind("127.0.0.1:8080")?
    .run();
    let stock_server = HttpServer::new(move || App::new().service(stock).wrap(at_stock.clone()))
        .bind("127.0.0.1:8081")?
        .run();
    tokio::try_join!(orders_server, stock_server)?;
    Ok(())
}
