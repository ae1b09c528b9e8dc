//! Tokens that are bound to a DPoP key (RFC 9449). What an attacker tries is in `attacks`.
//!
//! - `challenges`: challenges, CORS headers and the metadata document
//! - `fapi2`: tokens and proofs under the FAPI 2.0 Security Profile
//! - `nested`: several middlewares around one handler
//! - `requirement`: `#[require_dpop]`, and providers that require bound tokens
//! - `settings`: the faults of the configuration
//! - `websocket`: sessions that a bound token opens

mod challenges;
mod fapi2;
mod nested;
mod requirement;
mod settings;
mod websocket;

use oauth2_actix::{
    Algorithm, Binding, OAuth2Builder, Provider,
    dpop::Dpop,
    testing::{DpopProof, SigningKey, Token},
};
use oauth2_actix_tests::{
    client::{Answer, client, send},
    keys::key,
    policy,
};

const ISSUER: &str = "https://idp.test";
const BASE: &str = "https://api.test";

fn provider() -> Provider {
    let keys = key(Algorithm::ES256).jwk_set();
    Provider::new().issuer(ISSUER).audience("api").keys(keys)
}

fn builder(binding: Binding) -> OAuth2Builder {
    policy::builder().provider("idp", provider().dpop(binding)).dpop(Dpop::new().base_url(BASE))
}

fn token() -> Token {
    Token::new(ISSUER, "api")
}

/// A client with a bound token.
struct Client {
    key: SigningKey,
    token: String,
}

impl Client {
    fn new() -> Self {
        let key = SigningKey::generate(Algorithm::ES256, "client");
        let token = token().bound_to(&key).sign(oauth2_actix_tests::keys::key(Algorithm::ES256));
        Self { key, token }
    }

    fn proof(&self, method: &str, path: &str) -> String {
        DpopProof::new(method, &format!("{BASE}{path}"), &self.token).sign(&self.key)
    }

    fn authorization(&self) -> String {
        format!("DPoP {}", self.token)
    }

    /// Sends a GET with a fresh proof, to the path of this URL.
    async fn get(&self, url: &str) -> Answer {
        let path = url.splitn(4, '/').last().unwrap();
        self.get_with(url, &self.proof("GET", &format!("/{path}"))).await
    }

    async fn get_with(&self, url: &str, proof: &str) -> Answer {
        let request = client()
            .get(url)
            .header("authorization", self.authorization())
            .header("dpop", proof)
            .header("origin", "https://app.test");
        send(request).await
    }
}

fn challenges(answer: &Answer) -> Vec<&str> {
    let all = answer.headers.iter().filter(|(name, _)| name == "www-authenticate");
    all.map(|(_, value)| value.as_str()).collect()
}
