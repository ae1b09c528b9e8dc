//! Access rules of handlers: the table, guarded modules, challenges, policies, principals. In a program of its own,
//! since every `OAuth2` of a program must define the policies that its handlers name.
//!
//! - `challenges`: which scopes a 401 and a 403 name
//! - `checks`: asynchronous checks
//! - `coverage`: the assertions for tests of an application
//! - `delegation`: who acts for the subject, and authorization details
//! - `policies`: named policies and the scope hierarchy
//! - `principal`: the caller as a type of the application
//! - `report`: scopes that no route requires, and rules that no token satisfied
//! - `step_up`: another or a more recent authentication
//! - `table`: the rows of handlers, in every form

#![allow(clippy::unwrap_used, missing_docs)]

mod challenges;
mod checks;
mod coverage;
mod delegation;
mod policies;
mod principal;
mod report;
mod step_up;
mod table;

use std::time::Duration;

use actix_web::{
    App, Error,
    body::MessageBody,
    dev::{Service, ServiceResponse},
    test::{self, TestRequest},
    web,
};
use oauth2_actix::{Algorithm, OAuth2, OAuth2Builder, Provider, requirement, testing::Token};
use oauth2_actix_tests::{keys::key, policy};
use serde_json::{Value, json};

/// Returns a builder with the policies that handlers and requirements of this program name.
fn builder() -> OAuth2Builder {
    let provider = Provider::new()
        .issuer("https://idp.test")
        .audience("api")
        .keys(key(Algorithm::ES256).jwk_set());
    policy::builder()
        .provider("test", provider)
        .policy("reports", requirement::scopes(["reports:read"]))
        .policy(
            "back-office",
            requirement::all([requirement::claim("role", "staff"), requirement::policy("reports")]),
        )
        .policy(
            "stepped-up",
            requirement::all([
                requirement::policy("reports"),
                requirement::acr(["urn:otp"]),
                requirement::auth_age(Duration::from_secs(600)),
            ]),
        )
        .policy("partner", requirement::actor_of("https://partner.test", ["robot"]))
}

fn token(claims: Value) -> String {
    let Value::Object(claims) = claims else { panic!("an object") };
    Token::new("https://idp.test", "api").claims(claims).sign(key(Algorithm::ES256))
}

fn scoped(scope: &str) -> String {
    token(json!({"scope": scope}))
}

/// An app with these services, and the policy around them.
async fn app(
    oauth2: OAuth2,
    configure: fn(&mut web::ServiceConfig),
) -> impl Service<actix_http::Request, Response = ServiceResponse<impl MessageBody>, Error = Error>
{
    test::init_service(App::new().configure(configure).wrap(oauth2)).await
}

/// The status, the challenge and the body of a response.
struct Answer {
    status: u16,
    challenge: String,
    body: String,
}

impl Answer {
    /// Returns the `scope` of the challenge.
    fn scope(&self) -> Option<&str> {
        let (_, rest) = self.challenge.split_once("scope=\"")?;
        rest.split_once('"').map(|(scope, _)| scope)
    }
}

async fn send<S, B>(app: &S, method: &str, path: &str, token: Option<&str>) -> Answer
where
    S: Service<actix_http::Request, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
{
    let method = actix_web::http::Method::from_bytes(method.as_bytes()).unwrap();
    let mut request = TestRequest::default().method(method).uri(path);
    if let Some(token) = token {
        request = request.insert_header(("authorization", format!("Bearer {token}")));
    }
    let response = test::call_service(app, request.to_request()).await;
    let status = response.status().as_u16();
    let challenge = response
        .headers()
        .get("www-authenticate")
        .map(|value| value.to_str().unwrap().to_owned())
        .unwrap_or_default();
    let body = test::read_body(response).await;
    Answer { status, challenge, body: String::from_utf8(body.to_vec()).unwrap() }
}
