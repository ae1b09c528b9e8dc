use std::collections::HashMap;

use actix_web::{
    Error, FromRequest, HttpMessage, HttpRequest,
    body::MessageBody,
    dev::{Payload, ServiceRequest, ServiceResponse},
    error::ErrorForbidden,
    middleware::Next,
    web,
};
use futures_util::future::LocalBoxFuture;
use oauth2_actix::Claims;

#[derive(Clone)]
struct User {
    name: String,
}

/// Replaces a database: users by issuer and subject.
struct Users(HashMap<(String, String), User>);

impl Users {
    async fn of(&self, claims: &Claims) -> Result<User, Error> {
        let subject = claims.subject().unwrap_or_default();
        let user = self.0.get(&(claims.issuer().to_owned(), subject.to_owned()));
        user.cloned().ok_or_else(|| ErrorForbidden("unknown user"))
    }
}

impl FromRequest for User {
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self, Error>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let claims = Claims::from_request(request, payload).into_inner();
        let users = web::Data::<Users>::from_request(request, payload).into_inner();
        Box::pin(async move { users?.of(&claims?).await })
    }
}

/// Inserts the user into the request's extensions, for all routes of a scope.
async fn load_user(
    claims: Claims,
    users: web::Data<Users>,
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let user = users.of(&claims).await?;
    request.extensions_mut().insert(user);
    next.call(request).await
}

mod tests {
    use actix_web::{App, get, middleware::from_fn, test};
    use oauth2_actix::public;
    use serde_json::json;

    use super::*;
    use crate::kit;

    #[public]
    #[get("/health")]
    async fn health() -> &'static str {
        "up"
    }

    #[get("/extracted")]
    async fn extracted(user: User) -> String {
        user.name
    }

    #[get("/orders")]
    async fn orders(user: web::ReqData<User>) -> String {
        user.name.clone()
    }

    fn users() -> web::Data<Users> {
        let key = ("https://idp.test".to_owned(), "ann".to_owned());
        web::Data::new(Users(HashMap::from([(key, User { name: "Ann".to_owned() })])))
    }

    #[actix_web::test]
    async fn user_is_loaded_by_extractor_and_by_middleware_beside_public_routes() {
        let (oauth2, users) = (kit::oauth2(), users());
        let app = test::init_service(
            App::new()
                .wrap(oauth2.clone())
                .app_data(users.clone())
                .service(health)
                .service(extracted)
                // The private routes are last, because the empty scope takes every remaining path.
                .service(web::scope("").wrap(from_fn(load_user)).service(orders)),
        )
        .await;

        let public = test::call_service(&app, kit::get("/health").to_request()).await;
        assert_eq!(public.status(), 200);
        for path in ["/extracted", "/orders"] {
            let ann = kit::get_as(path, &json!({"sub": "ann"})).to_request();
            assert_eq!(test::call_and_read_body(&app, ann).await, "Ann", "{path}");
            let missing = test::call_service(&app, kit::get(path).to_request()).await;
            assert_eq!(missing.status(), 400, "{path}");
            let unknown = kit::get_as(path, &json!({"sub": "bob"})).to_request();
            let status = test::try_call_service(&app, unknown)
                .await
                .map_or_else(|error| error.error_response().status(), |response| response.status());
            assert_eq!(status, 403, "{path}");
        }
    }
}
