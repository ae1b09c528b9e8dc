//! Tokens with a `cnf` claim are bound to a key or a certificate. Without a check of the proof of
//! possession they are rejected (RFC 9449 §7.2, RFC 8705 §3).

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use oauth2_actix::{
    Algorithm, ErrorKind, OAuth2, OAuth2Builder, Provider, TokenRequests,
    tenants::{Tenant, TenantLookup, Tenants},
    testing::{LocalServer, Token},
    ws,
};
use oauth2_actix_tests::{
    api::Api,
    client::{self, Answer},
    keys::key,
    log, policy,
    socket::Socket,
};
use serde_json::{Value, json};

const ORIGIN: &str = "https://app.example.com";

fn provider() -> Provider {
    Provider::new().issuer("https://idp.test").audience("api").keys(key(Algorithm::ES256).jwk_set())
}

fn builder() -> OAuth2Builder {
    policy::builder()
        .provider("bound", provider())
        .token_from_header("X-Token")
        .token_from_query(TokenRequests::EveryRequest)
        .token_from_cookie_on_every_request("t", [ORIGIN])
        .token_from_subprotocol()
}

fn bound(confirmation: Value) -> String {
    Token::new("https://idp.test", "api").claim("cnf", confirmation).sign(key(Algorithm::ES256))
}

/// Values of `cnf`, valid and invalid.
fn confirmations() -> Vec<Value> {
    vec![
        json!({"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}),
        json!({"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}),
        json!({"jkt": "a", "x5t#S256": "b"}),
        json!({"jwk": {"kty": "EC"}}),
        json!({}),
        json!(null),
        json!([]),
        json!(""),
        json!("jkt"),
        json!(0),
        json!(false),
    ]
}

fn assert_rejected(answer: &Answer, what: &str) {
    assert_eq!((answer.status, answer.error().as_str()), (401, "invalid_token"), "{what}");
    assert!(answer.challenge().contains("sender-constrained"), "{}", answer.challenge());
}

#[tokio::test]
async fn token_with_any_cnf_is_rejected_in_every_position() {
    log::keep();
    let api = Api::start(builder().build().unwrap());
    for confirmation in confirmations() {
        let token = bound(confirmation.clone());
        let what = confirmation.to_string();
        let url = api.url("/me");
        assert_rejected(&client::get(&url, Some(&token)).await, &what);
        let http = client::client();
        let named = http.get(&url).header("x-token", &token);
        assert_rejected(&client::send(named).await, &what);
        let query = api.url(&format!("/me?access_token={token}"));
        assert_rejected(&client::get(&query, None).await, &what);
        let cookie = http.get(&url).header("cookie", format!("t={token}")).header("origin", ORIGIN);
        assert_rejected(&client::send(cookie).await, &what);
        let pair = format!("bearer, {token}");
        let mut socket =
            Socket::open(&api.url("/ws"), &[("sec-websocket-protocol", pair.as_str())]).await;
        assert_eq!(socket.receive().await, "1008 invalid token", "{what}");
        // Sent again: a rejected token is not cached.
        assert_rejected(&client::get(&url, Some(&token)).await, &what);
    }
    assert_eq!(api.private_calls(), 0);
    let lines = log::lines_with(&["request rejected", "bound", "sender-constrained", "RFC 9449"]);
    assert!(!lines.is_empty());
    // The same API accepts an ordinary token.
    let good = Token::new("https://idp.test", "api").sign(key(Algorithm::ES256));
    assert_eq!(client::get(&api.url("/me"), Some(&good)).await.status, 200);
}

#[tokio::test]
async fn verify_and_tenants_reject_a_token_with_cnf() {
    struct Lookup;
    impl TenantLookup for Lookup {
        async fn find_by_issuer(
            &self,
            issuer: &str,
        ) -> Result<Option<Tenant>, Box<dyn std::error::Error + Send + Sync>> {
            Ok((issuer == "https://idp.test").then(|| Tenant::new("tenant", provider())))
        }
    }
    let configured = builder().build().unwrap();
    let tenants = policy::builder().tenants(Tenants::new(Lookup)).build().unwrap();
    for oauth2 in [configured, tenants] {
        for confirmation in confirmations() {
            let error = oauth2.verify(&bound(confirmation)).await.unwrap_err();
            assert_eq!(error.kind(), &ErrorKind::SenderConstrained);
            assert_eq!(error.kind_name(), "sender_constrained");
        }
    }
}

#[tokio::test]
async fn renewal_by_a_token_with_cnf_is_rejected() {
    async fn session(
        request: HttpRequest,
        body: web::Payload,
        oauth2: web::Data<OAuth2>,
    ) -> actix_web::Result<HttpResponse> {
        let (response, mut session, mut messages) = ws::upgrade(&request, body).start()?;
        actix_web::rt::spawn(async move {
            while let Some(Ok(ws::Message::Text(token))) = messages.recv().await {
                let answer = match session.renew(&oauth2, &token).await {
                    Ok(_) => "renewed".to_owned(),
                    Err(error) => error.kind_name().to_owned(),
                };
                if session.text(answer).await.is_err() {
                    return;
                }
            }
        });
        Ok(response)
    }
    let oauth2 = builder().build().unwrap();
    let server = LocalServer::start(move |listener| {
        let app = move || {
            App::new()
                .app_data(web::Data::new(oauth2.clone()))
                .wrap(oauth2.clone())
                .route("/", web::get().to(session))
        };
        Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
    })
    .unwrap();
    let good = Token::new("https://idp.test", "api").sign(key(Algorithm::ES256));
    let pair = format!("bearer, {good}");
    let mut socket =
        Socket::open(&server.url("/"), &[("sec-websocket-protocol", pair.as_str())]).await;
    for confirmation in confirmations() {
        socket.send(&bound(confirmation)).await;
        assert_eq!(socket.receive().await, "sender_constrained");
    }
    socket.send(&good).await;
    assert_eq!(socket.receive().await, "renewed");
}

#[tokio::test]
async fn token_with_cnf_is_accepted_by_option() {
    let oauth2 = policy::builder()
        .provider("gateway", provider().dangerous_accept_bound_tokens(true))
        .build()
        .unwrap();
    let settings = json!({"providers": {"gateway": {
        "issuer": "https://idp.test",
        "audience": "api",
        "keys": key(Algorithm::ES256).jwk_set(),
        "dangerous_accept_bound_tokens": true,
    }}});
    let by_serde = policy::from_json(settings).unwrap().build().unwrap();
    for oauth2 in [oauth2, by_serde] {
        for confirmation in confirmations() {
            assert!(oauth2.verify(&bound(confirmation)).await.is_ok());
        }
    }
}
