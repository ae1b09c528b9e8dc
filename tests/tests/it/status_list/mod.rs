//! Status lists.
//!
//! - `decisions`: which tokens a list revokes, and which claims are rejected
//! - `fetches`: lists that are wrong or missing, and how often a list is fetched
//! - `live`: WebSocket sessions that end with a list
//! - `settings`: settings that cannot work

mod decisions;
mod fetches;
mod live;
mod settings;

use std::io::Write;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use flate2::{Compression, write::ZlibEncoder};
use oauth2_actix::{
    Algorithm, OAuth2, OAuth2Builder, Provider,
    status_list::StatusList,
    testing::{ManualClock, Token},
};
use oauth2_actix_tests::{
    key_server::{Answer, KeyServer},
    keys::key,
    policy,
};
use serde_json::{Value, json};

const ISSUER: &str = "https://idp.test";
const PATH: &str = "/lists/1";

/// A policy, its clock, and the server of the status lists.
struct Api {
    oauth2: OAuth2,
    clock: ManualClock,
    server: KeyServer,
}

impl Api {
    /// Starts with a list of four tokens, of which the second is invalid.
    fn start() -> Self {
        Self::with(|lists| lists)
    }

    fn with(settings: impl FnOnce(StatusList) -> StatusList) -> Self {
        let server = KeyServer::start(Answer::status(404)).unwrap();
        let clock = ManualClock::new();
        let lists = settings(StatusList::hosts([authority(&server)]));
        let oauth2 = builder(lists).clock(clock.clone()).build().unwrap();
        let api = Self { oauth2, clock, server };
        api.publish(&[0, 1, 0, 0]);
        api
    }

    /// The URI of the list.
    fn uri(&self) -> String {
        self.server.url_of(PATH)
    }

    /// A token that has an index in the list, and is valid for a day.
    fn token(&self, index: u64) -> String {
        sign(&self.token_with(json!({"status_list": {"idx": index, "uri": self.uri()}})))
    }

    fn token_with(&self, status: Value) -> Token {
        let now = self.clock.unix_seconds();
        let token = Token::new(ISSUER, "api").claim("iat", now).claim("exp", now + 86_400);
        token.claim("status", status)
    }

    /// The Status List Token for these statuses of 8 bits each, for 120 s.
    fn list(&self, statuses: &[u8]) -> Token {
        let now = self.clock.unix_seconds();
        Token::new(ISSUER, "unused")
            .header("typ", "statuslist+jwt")
            .without("aud")
            .claim("sub", self.uri())
            .claim("iat", now)
            .claim("exp", now + 86_400)
            .claim("ttl", 120)
            .claim("status_list", json!({"bits": 8, "lst": deflate(statuses)}))
    }

    /// Publishes these statuses.
    fn publish(&self, statuses: &[u8]) {
        self.serve(&sign(&self.list(statuses)));
    }

    fn serve(&self, list: &str) {
        self.server.answer_at(PATH, answer(list));
    }

    fn fetches(&self) -> u64 {
        self.server.requests_at(PATH)
    }

    /// Returns the name of the error, or `accepted`.
    async fn decide(&self, token: &str) -> &'static str {
        match self.oauth2.verify(token).await {
            Ok(_) => "accepted",
            Err(error) => error.kind_name(),
        }
    }
}

fn builder(lists: StatusList) -> OAuth2Builder {
    let keys = key(Algorithm::ES256).jwk_set();
    let provider = Provider::new().issuer(ISSUER).audience("api").keys(keys);
    policy::builder().provider("idp", provider.status_list(lists))
}

fn authority(server: &KeyServer) -> String {
    server.url_of("").trim_start_matches("http://").to_owned()
}

fn sign(token: &Token) -> String {
    token.sign(key(Algorithm::ES256))
}

fn answer(list: &str) -> Answer {
    Answer::body(200, &[("content-type", "application/statuslist+jwt")], list.as_bytes())
}

fn deflate(bytes: &[u8]) -> String {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    URL_SAFE_NO_PAD.encode(encoder.finish().unwrap())
}
