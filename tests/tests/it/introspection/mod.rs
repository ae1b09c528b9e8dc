//! Introspection of tokens at their provider (RFC 7662, RFC 9701), against scripted endpoints and the embedded provider.
//!
//! - `answers`: which responses accept a token
//! - `bounds`: caches, shared requests and limits
//! - `clients`: how this API authenticates at the endpoint
//! - `day`: a day with outages
//! - `faults`: endpoints that fail, and the circuit breaker
//! - `routing`: the provider that introspects a token
//! - `sessions`: live sessions and streams
//! - `settings`: errors of the configuration
//! - `signed`: signed responses

mod answers;
mod bounds;
mod clients;
mod day;
mod faults;
mod routing;
mod sessions;
mod settings;
mod signed;

use std::time::Duration;

use oauth2_actix::{
    ClientAuthentication, ErrorKind, OAuth2, OAuth2Builder, Provider, introspection::Introspection,
    testing::ManualClock,
};
use oauth2_actix_tests::{
    key_server::{Answer, KeyServer},
    policy,
};
use serde_json::{Value, json};

const ISSUER: &str = "https://idp.test";
const PATH: &str = "/introspect";

/// An endpoint with scripted responses, and a policy that introspects tokens there.
struct Setup {
    server: KeyServer,
    clock: ManualClock,
    oauth2: OAuth2,
}

impl Setup {
    fn start(answer: Answer) -> Self {
        Self::with(answer, |introspection| introspection, |provider| provider)
    }

    fn with(
        answer: Answer,
        introspection: impl FnOnce(Introspection) -> Introspection,
        provider: impl FnOnce(Provider) -> Provider,
    ) -> Self {
        Self::with_clock(ManualClock::new(), answer, introspection, provider)
    }

    fn with_clock(
        clock: ManualClock,
        answer: Answer,
        introspection: impl FnOnce(Introspection) -> Introspection,
        provider: impl FnOnce(Provider) -> Provider,
    ) -> Self {
        let server = KeyServer::start(answer).unwrap();
        let introspection = introspection(at(&server));
        let provider = provider(introspected(introspection));
        let oauth2 = builder(&clock).provider("p", provider).build().unwrap();
        Self { server, clock, oauth2 }
    }

    async fn verify(&self, token: &str) -> Result<(), ErrorKind> {
        self.oauth2.verify(token).await.map(drop).map_err(|error| error.kind().clone())
    }

    /// Returns the response for an active token with these additional members.
    fn active(&self, members: Value) -> Answer {
        active(&self.clock, members)
    }
}

fn builder(clock: &ManualClock) -> OAuth2Builder {
    policy::builder().clock(clock.clone())
}

fn at(server: &KeyServer) -> Introspection {
    Introspection::at(server.url_of(PATH)).authentication(client())
}

fn client() -> ClientAuthentication {
    ClientAuthentication::basic("orders-api", "a-secret")
}

fn introspected(introspection: Introspection) -> Provider {
    Provider::new().issuer(ISSUER).audience("api").introspection(introspection)
}

fn active(clock: &ManualClock, members: Value) -> Answer {
    Answer::json(&members_of(clock, members))
}

fn members_of(clock: &ManualClock, members: Value) -> Value {
    let mut answer = json!({
        "active": true, "iss": ISSUER, "aud": "api", "sub": "ann", "exp": clock.unix_seconds() + 3600,
    });
    for (name, value) in members.as_object().unwrap() {
        match value {
            Value::Null => drop(answer.as_object_mut().unwrap().remove(name)),
            value => answer[name] = value.clone(),
        }
    }
    answer
}

fn is_unavailable(result: &Result<(), ErrorKind>) -> bool {
    matches!(result, Err(ErrorKind::IntrospectionUnavailable { .. }))
}

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}
