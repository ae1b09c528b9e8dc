//! A service of twelve routes whose access rules are checked by the compiler, by tests, and in its OpenAPI document.

pub mod database;
mod document;
mod routes;

use actix_web::web;
use oauth2_actix::{ConfigError, MissingToken, OAuth2, Provider, requirement};

use crate::database::Database;

/// The audience of the service.
pub const AUDIENCE: &str = "orders";

/// Builds the policy of the service, which trusts one issuer.
///
/// # Errors
///
/// The faults of the configuration.
pub fn policy(issuer: &str, keys: &str, database: &Database) -> Result<OAuth2, ConfigError> {
    let users = database.clone();
    OAuth2::builder()
        .provider("idp", Provider::new().issuer(issuer).audience(AUDIENCE).keys(keys))
        .key_refresh_minutes(30)
        // As OpenAPI clients expect.
        .missing_token_status(MissingToken::Unauthorized)
        .scope_implies("orders:write", ["orders:read"])
        .policy(
            "back-office",
            requirement::all([
                requirement::claim("department", "finance"),
                requirement::scopes(["refunds"]),
            ]),
        )
        // The user of each token, from the database.
        .principal(move |claims| database::load_user(users.clone(), claims))
        .access_report(true)
        .build()
}

/// Registers the routes.
pub fn configure(config: &mut web::ServiceConfig) {
    use routes::{orders, refunds, users};
    config
        .service(routes::health)
        .service(routes::openapi)
        .service(users::me)
        .service(users::list)
        .service(users::one)
        .service(orders::list)
        .service(orders::one)
        .service(orders::create)
        .service(orders::replace)
        .service(orders::delete)
        .service(refunds::list)
        .service(refunds::create);
}
