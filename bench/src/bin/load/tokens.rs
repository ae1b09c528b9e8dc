//! The requests of the load, with signed tokens. They are built beforehand.

use std::iter;

use oauth2_actix::{
    Algorithm,
    testing::{SigningKey, Token},
};
use oauth2_actix_bench::{in_parallel, request};
use serde_json::json;

use crate::{options::Options, rounds::WARM_UP};

pub(crate) struct Tokens {
    pub(crate) algorithm: Algorithm,
    /// The public key that verifies all tokens.
    pub(crate) jwk_set: String,
    /// The length of a token in bytes.
    pub(crate) length: usize,
    repeated: Request,
    new: Vec<Request>,
}

type Request = Box<[u8]>;

impl Tokens {
    /// Signs as many tokens as the fastest contender with a cache can verify in a round.
    pub(crate) fn new(options: &Options) -> Self {
        let key = SigningKey::generate(options.algorithm, "2026-11-signing-key-1");
        let count = WARM_UP + (options.duration.as_secs_f64() * MOST_PER_SECOND) as usize;
        let new = in_parallel(1..count + 1, |index| request(&token(&key, index)).into());
        let repeated = token(&key, 0);
        Self {
            algorithm: options.algorithm,
            jwk_set: key.jwk_set().to_string(),
            length: repeated.len(),
            repeated: request(&repeated).into(),
            new,
        }
    }

    /// Returns requests with the same token, without end.
    pub(crate) fn repeated(&self) -> impl Iterator<Item = &[u8]> {
        iter::repeat(&*self.repeated)
    }

    /// Returns one request for each token.
    pub(crate) fn new_ones(&self) -> impl Iterator<Item = &[u8]> + Clone {
        self.new.iter().map(AsRef::as_ref)
    }
}

/// Returns a token with twelve claims, as providers issue them.
fn token(key: &SigningKey, index: usize) -> String {
    Token::new(ISSUER, AUDIENCE)
        .claim("sub", "auth0|665f1c2ab94")
        .claim("jti", format!("tok-{index:07}"))
        .claim("nbf", 1_790_000_000)
        .expires_in(24 * 60 * 60)
        .claim("client_id", "web-shop")
        .claim("scope", "orders:read orders:write")
        .claim("email", "jane@example.com")
        .claim("name", "Jane Doe")
        .claim("roles", json!(["user", "admin"]))
        .claim("tenant", "acme")
        .sign(key)
}

pub(crate) const ISSUER: &str = "https://idp.example.com/";
pub(crate) const AUDIENCE: &str = "https://api.example.com";
const MOST_PER_SECOND: f64 = 50_000.0;
