//! The receivers of logouts and other security events.
//!
//! - `events`: security event tokens that are pushed
//! - `rejections`: messages and requests that revoke nothing
//! - `services`: which requests reach the receivers, and the responses
//! - `settings`: settings that cannot work
//! - `stores`: messages whose entries the store has not confirmed, and senders that disconnect
//! - `tokens`: the tokens that a logout token revokes

mod events;
mod rejections;
mod services;
mod settings;
mod stores;
mod tokens;

use actix_web::{App, HttpResponse, HttpServer, web};
use oauth2_actix::{
    Algorithm, OAuth2, OAuth2Builder, Provider,
    logout::{BackchannelLogout, SecurityEvents},
    reqwest::RequestBuilder,
    revocation::DenyList,
    testing::{LocalServer, ManualClock, SigningKey, Token},
};
use oauth2_actix_tests::{
    client::{Answer, client, send},
    keys::key,
    policy,
};
use serde_json::{Value, json};

const ISSUER: &str = "https://idp.test";
const OTHER: &str = "https://other.test";
const CLIENT: &str = "orders-app";
const LOGOUT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// Two providers, whose logout tokens are for different clients.
fn builder() -> OAuth2Builder {
    let provider = |issuer: &str, key: &SigningKey| {
        Provider::new().issuer(issuer).audience("api").keys(key.jwk_set())
    };
    policy::builder()
        .provider("idp", provider(ISSUER, key(Algorithm::ES256)))
        .provider("other", provider(OTHER, key(Algorithm::ES384)))
        .deny_list(DenyList::new())
        .backchannel_logout(logout())
        .security_events(SecurityEvents::new().audience("idp", "https://api.test"))
}

fn logout() -> BackchannelLogout {
    BackchannelLogout::new().client("idp", CLIENT).client("other", "other-app")
}

/// A policy with a clock, its app, and an access token that it accepts.
struct Api {
    oauth2: OAuth2,
    clock: ManualClock,
    server: LocalServer,
}

impl Api {
    fn start(builder: OAuth2Builder) -> Self {
        let clock = ManualClock::new();
        let oauth2 = builder.clock(clock.clone()).build().unwrap();
        let app = oauth2.clone();
        let server = LocalServer::start(move |listener| {
            let app = move || {
                App::new()
                    .service(app.logout_receivers())
                    .default_service(web::to(HttpResponse::Ok))
                    .wrap(app.clone())
            };
            Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
        });
        Self { oauth2, clock, server: server.unwrap() }
    }

    /// An access token of a session, issued now.
    fn access_token(&self, subject: &str, session: &str) -> Token {
        let now = self.clock.unix_seconds();
        Token::new(ISSUER, "api")
            .claim("sub", subject)
            .claim("sid", session)
            .claim("iat", now)
            .claim("exp", now + 3600)
    }

    /// A logout token of the session `s-1` of `ann`, issued now.
    fn logout_token(&self) -> Token {
        let now = self.clock.unix_seconds();
        Token::new(ISSUER, CLIENT)
            .header("typ", "logout+jwt")
            .claim("iat", now)
            .claim("exp", now + 120)
            .claim("jti", "logout-1")
            .claim("sub", "ann")
            .claim("sid", "s-1")
            .claim("events", json!({LOGOUT: {}}))
    }

    async fn post(&self, logout_token: &str) -> Answer {
        self.form(&[("logout_token", logout_token)]).await
    }

    async fn form(&self, fields: &[(&str, &str)]) -> Answer {
        send(form(client().post(self.server.url("/backchannel-logout")), fields)).await
    }

    async fn push(&self, event: &str) -> Answer {
        let request = client().post(self.server.url("/security-events"));
        send(request.header("content-type", "application/secevent+jwt").body(event.to_owned()))
            .await
    }

    async fn accepts(&self, token: &str) -> bool {
        match self.oauth2.verify(token).await {
            Ok(_) => true,
            Err(error) if error.kind_name() == "token_revoked" => false,
            Err(error) => panic!("{error}"),
        }
    }

    fn entries(&self) -> usize {
        self.oauth2.deny_list_status().unwrap().entries
    }
}

fn sign(token: &Token) -> String {
    token.sign(key(Algorithm::ES256))
}

/// Adds a form to a request. No value needs an escape.
fn form(request: RequestBuilder, fields: &[(&str, &str)]) -> RequestBuilder {
    let fields: Vec<String> =
        fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
    request.header("content-type", "application/x-www-form-urlencoded").body(fields.join("&"))
}

/// Returns the body of a response, which is JSON.
fn body(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap()
}
