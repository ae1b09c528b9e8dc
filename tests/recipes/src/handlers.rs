use actix_web::get;
use oauth2_actix::{Claims, require_scope};

fn may_refund(claims: &Claims) -> bool {
    claims.has_claim("role", "admin") || claims.has_scope("refunds")
}

#[get("/orders")]
#[require_scope("orders:read")]
async fn orders(claims: Claims) -> String {
    format!("orders of {}", claims.subject().unwrap_or_default())
}

mod tests {
    use actix_web::{App, HttpMessage, test};
    use oauth2_actix::{
        Algorithm, OAuth2, Provider,
        testing::{self, SigningKey, Token},
    };
    use serde_json::json;

    use super::*;

    #[actix_web::test]
    async fn only_admins_and_refunders_may_refund() {
        assert!(may_refund(&testing::claims(json!({"role": "admin"}))));
        assert!(may_refund(&testing::claims(json!({"scope": "orders refunds"}))));
        assert!(!may_refund(&testing::claims(json!({"role": "user"}))));
    }

    #[actix_web::test]
    async fn handler_alone() {
        let app = test::init_service(App::new().service(orders)).await;
        let request = test::TestRequest::get().uri("/orders").to_request();
        let claims = testing::claims(json!({"sub": "ann", "scope": "orders:read"}));
        request.extensions_mut().insert(claims);
        assert_eq!(test::call_and_read_body(&app, request).await, "orders of ann");
    }

    #[actix_web::test]
    async fn whole_app() {
        let key = SigningKey::generate(Algorithm::ES256, "key-1");
        let provider =
            Provider::new().issuer("https://idp.test").audience("api").keys(key.jwk_set());
        let oauth2 = OAuth2::builder().provider("test", provider).build().expect("a valid policy");
        let app = test::init_service(App::new().wrap(oauth2).service(orders)).await;

        let token = Token::new("https://idp.test", "api").claim("scope", "orders:read");
        for (token, status) in [(token.clone(), 200), (token.expires_in(-10), 401)] {
            let request = test::TestRequest::get()
                .uri("/orders")
                .insert_header(("authorization", format!("Bearer {}", token.sign(&key))))
                .to_request();
            assert_eq!(test::call_service(&app, request).await.status(), status);
        }
    }
}
