use oauth2_actix::Claims;

/// Returns the form of a token exchange (RFC 8693 §2.1): a token for `audience`, on behalf of the caller.
fn exchange<'a>(claims: &'a Claims, audience: &'a str) -> [(&'static str, &'a str); 4] {
    [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", claims.expose_token()),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("audience", audience),
    ]
}

mod tests {
    use actix_web::{App, get, http::header::AUTHORIZATION, test};
    use serde_json::json;

    use super::*;
    use crate::kit;

    #[get("/form")]
    async fn form(claims: Claims) -> String {
        exchange(&claims, "billing").map(|(name, value)| format!("{name}={value}")).join("&")
    }

    #[actix_web::test]
    async fn exchange_sends_the_callers_token() {
        let app = test::init_service(App::new().wrap(kit::oauth2()).service(form)).await;
        let request = kit::get_as("/form", &json!({})).to_request();
        let header = request.head().headers().get(AUTHORIZATION).expect("a token").to_str();
        let token =
            header.expect("text").strip_prefix("Bearer ").expect("a bearer token").to_owned();
        let body = test::call_and_read_body(&app, request).await;
        let body = std::str::from_utf8(&body).expect("text");
        assert!(body.contains(&format!("subject_token={token}&")));
        assert!(body.ends_with("audience=billing"));
    }
}
