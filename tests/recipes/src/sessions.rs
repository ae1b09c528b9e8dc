mod tests {
    use actix_session::{Session, SessionMiddleware, storage::CookieSessionStore};
    use actix_web::{App, cookie::Key, get, test};
    use oauth2_actix::{Claims, public};
    use serde_json::json;

    use crate::kit;

    #[public]
    #[get("/health")]
    async fn health() -> &'static str {
        "up"
    }

    #[get("/visits")]
    async fn visits(claims: Claims, session: Session) -> actix_web::Result<String> {
        let visits = session.get::<u32>("visits")?.unwrap_or(0) + 1;
        session.insert("visits", visits)?;
        Ok(format!("{} was here {visits} times", claims.subject().unwrap_or_default()))
    }

    #[actix_web::test]
    async fn sessions_outside_leave_public_routes_public() {
        let (oauth2, key) = (kit::oauth2(), Key::generate());
        let app = test::init_service(
            App::new()
                .wrap(oauth2.clone())
                // After OAuth2, and therefore outside of it.
                .wrap(SessionMiddleware::new(CookieSessionStore::default(), key.clone()))
                .service(health)
                .service(visits),
        )
        .await;
        let public = test::call_service(&app, kit::get("/health").to_request()).await;
        assert_eq!(public.status(), 200);
        let request = kit::get_as("/visits", &json!({"sub": "ann"})).to_request();
        assert_eq!(test::call_and_read_body(&app, request).await, "ann was here 1 times");
    }
}
