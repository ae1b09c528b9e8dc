//! Exchange of tokens at their provider (RFC 8693), against scripted endpoints and the embedded provider.
//!
//! - `bounds`: the cache, shared calls, limits and the circuit breaker
//! - `faults`: endpoints that do not issue a token
//! - `provider`: the embedded provider, and a service that gets the issued token
//! - `requests`: the parameters of requests, and whose tokens are exchanged
//! - `responses`: the responses for the client of this API
//! - `settings`: errors of the configuration

mod bounds;
mod faults;
mod provider;
mod requests;
mod responses;
mod settings;

use std::time::Duration;

use oauth2_actix::{
    Algorithm, Claims, ClientAuthentication, OAuth2, OAuth2Builder, Provider,
    exchange::{ExchangeError, ExchangeErrorKind, ExchangeTarget, ExchangedToken, TokenExchange},
    testing::{ManualClock, Token},
};
use oauth2_actix_tests::{
    key_server::{Answer, KeyServer},
    keys::key,
    policy,
};
use serde_json::{Value, json};

const ISSUER: &str = "https://idp.test";
const PATH: &str = "/token";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// A token endpoint with scripted responses, and a policy that exchanges tokens there.
struct Setup {
    server: KeyServer,
    clock: ManualClock,
    oauth2: OAuth2,
}

impl Setup {
    fn start(answer: Answer) -> Self {
        Self::with(answer, |exchange| exchange)
    }

    fn with(answer: Answer, exchange: impl FnOnce(TokenExchange) -> TokenExchange) -> Self {
        let server = KeyServer::start(answer).unwrap();
        let clock = ManualClock::new();
        let provider = issuer().token_exchange(exchange(at(&server)));
        let oauth2 = builder(&clock).provider("p", provider).build().unwrap();
        Self { server, clock, oauth2 }
    }

    /// Returns the claims of a valid token of this subject.
    async fn claims(&self, subject: &str) -> Claims {
        self.claims_of(&self.token(subject, 3600)).await
    }

    async fn claims_of(&self, token: &str) -> Claims {
        self.oauth2.verify(token).await.unwrap()
    }

    /// Returns a token of this subject that is valid for some seconds from now.
    fn token(&self, subject: &str, lifetime: u64) -> String {
        let now = self.clock.unix_seconds();
        Token::new(ISSUER, "api")
            .claim("sub", subject)
            .claim("iat", now)
            .claim("exp", now + lifetime)
            .sign(key(Algorithm::ES256))
    }

    async fn exchange(&self, claims: &Claims) -> Result<ExchangedToken, ExchangeError> {
        self.oauth2.exchange(claims, "stock", ["stock:read"]).await
    }
}

fn builder(clock: &ManualClock) -> OAuth2Builder {
    policy::builder().clock(clock.clone())
}

fn issuer() -> Provider {
    Provider::new().issuer(ISSUER).audience("api").keys(key(Algorithm::ES256).jwk_set())
}

fn at(server: &KeyServer) -> TokenExchange {
    TokenExchange::at(server.url_of(PATH)).authentication(client())
}

fn client() -> ClientAuthentication {
    ClientAuthentication::basic("orders-api", "a-secret")
}

/// Returns a response with this token and these additional members. Null removes a member.
fn issued(token: &str, members: Value) -> Answer {
    let mut answer = json!({
        "access_token": token,
        "issued_token_type": ACCESS_TOKEN,
        "token_type": "Bearer",
        "expires_in": 600,
    });
    for (name, value) in members.as_object().unwrap() {
        answer[name] = value.clone();
    }
    answer.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    Answer::json(&answer)
}

fn refused(status: u16, code: &str) -> Answer {
    let body = json!({"error": code, "error_description": "Why."}).to_string();
    Answer::body(status, &[("content-type", "application/json")], body.as_bytes())
}

/// Returns the time after which an exchange may be tried again, and the text of the error.
fn unavailable(result: Result<ExchangedToken, ExchangeError>) -> (Duration, String) {
    let error = result.expect_err("no token");
    match error.kind() {
        ExchangeErrorKind::Unavailable { retry_after } => (*retry_after, error.to_string()),
        kind => panic!("{kind:?}"),
    }
}

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}
