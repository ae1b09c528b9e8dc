use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, dev::Payload};
use oauth2_actix::{Error, TypedClaims};
use serde::Deserialize;

#[derive(Deserialize)]
struct User {
    sub: String,
    email: Option<String>,
}

impl FromRequest for User {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let claims = TypedClaims::from_request(request, payload).into_inner();
        ready(claims.map(|TypedClaims(user)| user))
    }
}

mod tests {
    use actix_web::{App, get, test};
    use serde_json::json;

    use super::*;
    use crate::kit;

    #[get("/me")]
    async fn me(user: User) -> String {
        user.email.unwrap_or(user.sub)
    }

    #[actix_web::test]
    async fn user_is_what_the_claims_say() {
        let app = test::init_service(App::new().wrap(kit::oauth2()).service(me)).await;
        for (claims, name) in [
            (json!({"sub": "ann"}), "ann"),
            (json!({"sub": "ann", "email": "ann@example.com"}), "ann@example.com"),
        ] {
            let request = kit::get_as("/me", &claims).to_request();
            assert_eq!(test::call_and_read_body(&app, request).await, name);
        }
        let request = kit::get_as("/me", &json!({"email": 7})).to_request();
        assert_eq!(test::call_service(&app, request).await.status(), 403);
    }
}
