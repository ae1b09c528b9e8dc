//! DPoP proofs with any header and claims.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use openssl::sha::sha256;
use serde_json::{Map, Value, json};

use super::{SigningKey, Token, token::compact};

/// A DPoP proof to be signed ([RFC 9449 §4.2](https://www.rfc-editor.org/rfc/rfc9449#section-4.2)), which is valid
/// unless a test changes it.
///
/// ```
/// use actix_web::{App, HttpResponse, test, web};
/// use oauth2_actix::{Algorithm, Binding, OAuth2, Provider, dpop::Dpop, testing::{DpopProof, SigningKey, Token}};
///
/// # #[actix_web::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (issuer_key, client_key) =
///     (SigningKey::generate(Algorithm::ES256, "1"), SigningKey::generate(Algorithm::ES256, "2"));
/// let provider = Provider::new().issuer("https://idp.test").audience("api").keys(issuer_key.jwk_set());
/// let oauth2 = OAuth2::builder()
///     .provider("test", provider.dpop(Binding::Required))
///     .dpop(Dpop::new().base_url("https://api.test"))
///     .build()?;
/// let app = App::new().wrap(oauth2).route("/orders", web::get().to(HttpResponse::Ok));
/// let app = test::init_service(app).await;
///
/// let token = Token::new("https://idp.test", "api").bound_to(&client_key).sign(&issuer_key);
/// let proof = DpopProof::new("GET", "https://api.test/orders", &token).sign(&client_key);
/// let request = test::TestRequest::get()
///     .uri("/orders")
///     .insert_header(("authorization", format!("DPoP {token}")))
///     .insert_header(("dpop", proof))
///     .to_request();
/// assert_eq!(test::call_service(&app, request).await.status(), 200);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct DpopProof {
    header: Map<String, Value>,
    claims: Map<String, Value>,
}

impl DpopProof {
    /// Returns a proof for a request with this method, URI and access token, made now, with a random `jti`.
    #[must_use]
    pub fn new(method: &str, uri: &str, token: &str) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut id = [0; 16];
        openssl::rand::rand_bytes(&mut id).expect("random bytes");
        let proof = Self {
            header: Map::from_iter([("typ".to_owned(), json!("dpop+jwt"))]),
            claims: Map::new(),
        };
        proof
            .claim("htm", method)
            .claim("htu", uri)
            .claim("iat", now)
            .claim("jti", URL_SAFE_NO_PAD.encode(id))
            .claim("ath", URL_SAFE_NO_PAD.encode(sha256(token.as_bytes())))
    }

    /// Sets a claim.
    #[must_use]
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims.insert(name.into(), value.into());
        self
    }

    /// Removes a claim.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.claims.remove(name);
        self
    }

    /// Sets a member of the header; the defaults of `alg` and `jwk` are those of the key. `null` removes it.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header.insert(name.into(), value.into());
        self
    }

    /// Signs the proof.
    #[must_use]
    pub fn sign(&self, key: &SigningKey) -> String {
        let mut header = self.header.clone();
        header.entry("alg").or_insert_with(|| json!(key.algorithm().name()));
        header.entry("jwk").or_insert_with(|| key.bare_jwk());
        compact(header, &self.claims, key)
    }
}

impl SigningKey {
    /// Returns the SHA-256 thumbprint of the key ([RFC 7638](https://www.rfc-editor.org/rfc/rfc7638)): the `jkt` of a
    /// token that is bound to it.
    ///
    /// ```
    /// # use oauth2_actix::{Algorithm, testing::SigningKey};
    /// assert_eq!(SigningKey::generate(Algorithm::ES256, "1").thumbprint().len(), 43);
    /// ```
    #[must_use]
    pub fn thumbprint(&self) -> String {
        let jwk = self.bare_jwk();
        // The members of a bare JWK are the required ones, and a map is sorted.
        let members: std::collections::BTreeMap<_, _> =
            jwk.as_object().into_iter().flatten().collect();
        URL_SAFE_NO_PAD.encode(sha256(json!(members).to_string().as_bytes()))
    }
}

impl Token {
    /// Binds the token to a DPoP key: sets `cnf.jkt`
    /// ([RFC 9449 §6.1](https://www.rfc-editor.org/rfc/rfc9449#section-6.1)).
    ///
    /// ```
    /// # use oauth2_actix::{Algorithm, testing::{SigningKey, Token}};
    /// # let key = SigningKey::generate(Algorithm::ES256, "1");
    /// let token = Token::new("https://idp.test", "api").bound_to(&key);
    /// # drop(token);
    /// ```
    #[must_use]
    pub fn bound_to(self, key: &SigningKey) -> Self {
        self.claim("cnf", json!({"jkt": key.thumbprint()}))
    }
}
