//! Opaque tokens, and the introspection endpoint that says what they stand for (RFC 7662, RFC 9701).

use std::sync::atomic::Ordering;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{ACCEPT, CACHE_CONTROL},
    web,
};
use serde_json::{Map, Value, json};

use super::{
    IdentityProvider,
    parameters::{Parameters, Problem},
    token::{self, client},
};
use crate::testing::{Token, token::compact};

impl IdentityProvider {
    /// Returns the URL of its introspection endpoint ([RFC 7662](https://www.rfc-editor.org/rfc/rfc7662)). Clients
    /// authenticate there by a secret, such as `quickstart`. A request that accepts
    /// `application/token-introspection+jwt` gets a signed response (RFC 9701).
    ///
    /// ```
    /// let idp = oauth2_actix::testing::IdentityProvider::new("http://127.0.0.1:8081", "my-api");
    /// assert_eq!(idp.introspection_url(), "http://127.0.0.1:8081/introspect");
    /// ```
    #[must_use]
    pub fn introspection_url(&self) -> String {
        format!("{}/introspect", self.issuer())
    }

    /// Issues an opaque token: a random text, which stands for the claims of `token` until they expire. Only the
    /// [introspection endpoint](Self::introspection_url) knows it. The last 500 are known.
    ///
    /// ```
    /// use oauth2_actix::testing::IdentityProvider;
    ///
    /// # #[actix_web::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let idp = IdentityProvider::start("my-api")?;
    /// let token = idp.opaque_token(idp.token().claim("scope", "orders:read"));
    ///
    /// // An API does this by itself.
    /// let introspect = || async {
    ///     let http = reqwest::Client::builder().no_proxy().build()?;
    ///     let request = http.post(idp.introspection_url()).basic_auth("quickstart", Some("quickstart"));
    ///     let form = ("content-type", "application/x-www-form-urlencoded");
    ///     request.header(form.0, form.1).body(format!("token={token}")).send().await?.text().await
    /// };
    /// assert!(introspect().await?.contains(r#""scope":"orders:read""#));
    ///
    /// assert!(idp.revoke_opaque(&token));
    /// assert_eq!(introspect().await?, r#"{"active":false}"#);
    /// assert_eq!(idp.introspection_requests(), 2);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn opaque_token(&self, token: Token) -> String {
        self.grants().issue_opaque(token.into_claims())
    }

    /// Revokes an opaque token, and returns whether it was known.
    pub fn revoke_opaque(&self, token: &str) -> bool {
        self.grants().revoke_opaque(token)
    }

    /// Returns how often its introspection endpoint was called, with or without success.
    #[must_use]
    pub fn introspection_requests(&self) -> u64 {
        self.0.introspection_requests.load(Ordering::SeqCst)
    }
}

/// `POST /introspect`. Pages of other origins may not read the answer.
pub(super) async fn introspect(
    provider: web::Data<IdentityProvider>,
    request: HttpRequest,
    form: web::Form<Vec<(String, String)>>,
) -> HttpResponse {
    provider.0.introspection_requests.fetch_add(1, Ordering::SeqCst);
    match answer(&provider, &request, &Parameters(form.into_inner())) {
        Ok(Answer { members, client_id }) => {
            let mut response = HttpResponse::Ok();
            response.insert_header((CACHE_CONTROL, "no-store"));
            if wants_signature(&request) {
                response
                    .content_type("application/token-introspection+jwt")
                    .body(signed(&provider, &members, &client_id))
            } else {
                response.json(members)
            }
        }
        Err(problem) => token::refused(&request, problem),
    }
}

/// What the endpoint says, and to which client.
struct Answer {
    members: Map<String, Value>,
    client_id: String,
}

fn answer(
    provider: &IdentityProvider,
    request: &HttpRequest,
    parameters: &Parameters,
) -> Result<Answer, Problem> {
    let client = client(provider, request, parameters)?;
    // RFC 7662 §2.1, or anyone could scan for tokens.
    if client.is_public() {
        return Err(Problem::client("A client without a secret cannot introspect tokens."));
    }
    let token = parameters.required("token", "token is missing.")?;
    let found = provider.grants().claims_of_opaque(token);
    let members = match found.filter(|claims| is_current(claims, provider.now().as_secs())) {
        // Nothing else is said of such a token (RFC 7662 §2.2).
        None => Map::from_iter([("active".to_owned(), json!(false))]),
        Some(mut claims) => {
            let is_bound = claims.get("cnf").is_some_and(|cnf| cnf.get("jkt").is_some());
            let token_type = if is_bound { "DPoP" } else { "Bearer" };
            claims.entry("token_type").or_insert_with(|| json!(token_type));
            claims.insert("active".into(), json!(true));
            claims
        }
    };
    Ok(Answer { members, client_id: client.id.clone() })
}

/// Returns whether a token is valid now, in seconds since the Unix epoch.
fn is_current(claims: &Map<String, Value>, now: u64) -> bool {
    let time = |name| claims.get(name).and_then(Value::as_i64);
    let now = now.cast_signed();
    time("exp").is_none_or(|exp| now < exp) && time("nbf").is_none_or(|nbf| nbf <= now)
}

/// Returns whether the client requests a signed response (RFC 9701 §4).
fn wants_signature(request: &HttpRequest) -> bool {
    let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.contains("application/token-introspection+jwt"))
}

/// Returns the answer as a JWT (RFC 9701 §5).
fn signed(provider: &IdentityProvider, members: &Map<String, Value>, client_id: &str) -> String {
    let key = provider.key();
    let header = Map::from_iter([
        ("typ".to_owned(), json!("token-introspection+jwt")),
        ("alg".to_owned(), json!(key.algorithm().name())),
        ("kid".to_owned(), json!(key.kid())),
    ]);
    let claims = Map::from_iter([
        ("iss".to_owned(), json!(provider.issuer())),
        ("aud".to_owned(), json!(client_id)),
        ("iat".to_owned(), json!(provider.now().as_secs())),
        ("token_introspection".to_owned(), json!(members)),
    ]);
    compact(header, &claims, &key)
}
