use std::fmt;

use actix_web::{
    HttpResponse, ResponseError,
    http::{
        StatusCode,
        header::{RETRY_AFTER, WWW_AUTHENTICATE},
    },
};
use serde_json::json;

#[derive(Debug)]
enum AppError {
    Auth(oauth2_actix::Error),
    NotFound,
}

impl From<oauth2_actix::Error> for AppError {
    fn from(error: oauth2_actix::Error) -> Self {
        Self::Auth(error)
    }
}

impl fmt::Display for AppError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // For the client. Contains nothing of the token.
            Self::Auth(error) => formatter.write_str(error.description()),
            Self::NotFound => formatter.write_str("not found"),
        }
    }
}

impl ResponseError for AppError {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Auth(error) => error.status(),
            Self::NotFound => StatusCode::NOT_FOUND,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        if let Self::Auth(error) = self {
            let headers = error.error_response();
            for name in [WWW_AUTHENTICATE, RETRY_AFTER] {
                if let Some(value) = headers.headers().get(&name) {
                    response.insert_header((name, value.clone()));
                }
            }
        }
        response.json(json!({"title": self.to_string()}))
    }
}

mod tests {
    use actix_web::{App, get, test};
    use oauth2_actix::Claims;

    use super::*;
    use crate::kit;

    #[get("/orders/1")]
    async fn order(claims: Claims) -> Result<HttpResponse, AppError> {
        claims.require_scope("orders:read")?;
        Err(AppError::NotFound)
    }

    #[actix_web::test]
    async fn own_error_type_keeps_the_challenge() {
        let app = test::init_service(App::new().wrap(kit::oauth2()).service(order)).await;
        let request = kit::get_as("/orders/1", &json!({})).to_request();
        let response = test::call_service(&app, request).await;
        assert_eq!(response.status(), 403);
        let challenge = response.headers().get(WWW_AUTHENTICATE).expect("a challenge").to_str();
        assert!(challenge.expect("text").contains("scope=\"orders:read\""));
        let body: serde_json::Value = test::read_body_json(response).await;
        assert_eq!(body, json!({"title": "The token does not permit this."}));

        let request = kit::get_as("/orders/1", &json!({"scope": "orders:read"})).to_request();
        assert_eq!(test::call_service(&app, request).await.status(), 404);
    }
}
