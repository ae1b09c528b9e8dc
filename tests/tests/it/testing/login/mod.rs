//! A user signs in at the development identity provider, over HTTP and as a client and a browser do it.
//!
//! - this file: the client, the user, and the whole login
//! - `authorize`: what the authorization endpoint refuses, its page, and the user's answer
//! - `clients`: registration and client ID metadata documents
//! - `dpop`: tokens that are bound to a key
//! - `introspection`: opaque tokens, which APIs introspect at the identity provider
//! - `metadata`: the documents, and CORS
//! - `token`: codes, refresh tokens, and the claims of the tokens

use oauth2_actix::{
    Claims, Provider,
    testing::{IdentityProvider, RunningIdentityProvider},
};
use oauth2_actix_tests::{
    client::{Answer, client, get, send},
    policy,
};
use reqwest::Url;
use serde_json::{Value, json};

mod authorize;
mod clients;
mod dpop;
mod introspection;
mod metadata;
mod token;

const API: &str = "https://api.test/mcp";
const REDIRECT: &str = "http://127.0.0.1:33418/callback";
const STATE: &str = "a state & more";

/// The example of RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

#[tokio::test]
async fn user_of_a_registered_client_signs_in_and_the_api_accepts_the_token() {
    let idp = start();
    idp.set_scopes(["orders:read", "orders:write"]);
    let metadata = format!("{}/.well-known/oauth-authorization-server", idp.issuer());
    let metadata = json_of(&get(&metadata, None).await);
    let endpoint = |name: &str| metadata[name].as_str().unwrap().to_owned();

    let registration = json!({
        "client_name": "An agent",
        "redirect_uris": [REDIRECT],
        "token_endpoint_auth_method": "none",
        "grant_types": ["authorization_code", "refresh_token"],
    });
    let registered = send(
        client()
            .post(endpoint("registration_endpoint"))
            .header("content-type", "application/json")
            .body(registration.to_string()),
    )
    .await;
    assert_eq!(registered.status, 201, "{}", registered.body);
    let client_id = json_of(&registered)["client_id"].as_str().unwrap().to_owned();

    let asked = ask(&client_id).with("scope", "orders:read").with("resource", API);
    let url = format!("{}?{}", endpoint("authorization_endpoint"), asked.encoded());
    let page = get(&url, None).await;
    assert_eq!(page.status, 200, "{}", page.body);
    let sent_back = press(&idp, &page, "approve", "bob").await;
    assert_eq!(sent_back.get("state"), Some(STATE));
    assert_eq!(sent_back.get("iss"), Some(idp.issuer()));

    let request = exchange(&client_id, sent_back.get("code").unwrap()).with("resource", API);
    let issued = send(
        client()
            .post(endpoint("token_endpoint"))
            .header("content-type", FORM)
            .body(request.encoded()),
    )
    .await;
    assert_eq!(issued.status, 200, "{}", issued.body);
    assert_eq!(issued.header("cache-control"), Some("no-store"));
    let issued = json_of(&issued);
    assert_eq!(issued["token_type"], "Bearer");
    assert_eq!(issued["expires_in"], 300);
    assert_eq!(issued["scope"], "orders:read");
    assert!(issued["refresh_token"].is_string());

    let claims = verified(&idp, API, &issued).await;
    assert_eq!(claims.subject(), Some("bob"));
    assert!(claims.has_scope("orders:read") && !claims.has_scope("orders:write"));
    let claims = claims.to_map();
    assert_eq!(claims["client_id"], client_id);
    assert_eq!(claims["aud"], API);
    assert_eq!(claims["acr"], "1");
    assert_eq!(claims["auth_time"], claims["iat"]);
    assert!(claims["jti"].is_string());
}

/// The parameters of a request.
#[derive(Clone, Debug)]
struct Form(Vec<(String, String)>);

impl Form {
    fn new(pairs: &[(&str, &str)]) -> Self {
        Self(pairs.iter().map(|&(name, value)| (name.into(), value.into())).collect())
    }

    /// Adds a parameter, which may be there already.
    fn with(mut self, name: &str, value: &str) -> Self {
        self.0.push((name.into(), value.into()));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.0.retain(|(found, _)| found != name);
        self
    }

    fn set(self, name: &str, value: &str) -> Self {
        self.without(name).with(name, value)
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    fn encoded(&self) -> String {
        let url = Url::parse_with_params("http://unused.test/", &self.0).unwrap();
        url.query().unwrap_or_default().to_owned()
    }
}

const FORM: &str = "application/x-www-form-urlencoded";

fn start() -> RunningIdentityProvider {
    IdentityProvider::start("api").unwrap()
}

/// Registers a public client that gets refresh tokens, and returns its id.
async fn registered(idp: &IdentityProvider) -> String {
    let answer = register(
        idp,
        &json!({
            "client_name": "An agent",
            "redirect_uris": [REDIRECT],
            "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code", "refresh_token"],
        }),
    )
    .await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    json_of(&answer)["client_id"].as_str().unwrap().to_owned()
}

async fn register(idp: &IdentityProvider, metadata: &Value) -> Answer {
    let request = client().post(format!("{}/register", idp.issuer()));
    send(request.header("content-type", "application/json").body(metadata.to_string())).await
}

/// A valid authorization request.
fn ask(client_id: &str) -> Form {
    Form::new(&[
        ("client_id", client_id),
        ("redirect_uri", REDIRECT),
        ("response_type", "code"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("state", STATE),
    ])
}

/// A valid request of tokens for a code.
fn exchange(client_id: &str, code: &str) -> Form {
    Form::new(&[
        ("grant_type", "authorization_code"),
        ("client_id", client_id),
        ("redirect_uri", REDIRECT),
        ("code", code),
        ("code_verifier", VERIFIER),
    ])
}

fn refresh(client_id: &str, issued: &Value) -> Form {
    let token = issued["refresh_token"].as_str().unwrap();
    Form::new(&[
        ("grant_type", "refresh_token"),
        ("client_id", client_id),
        ("refresh_token", token),
    ])
}

async fn authorize(idp: &IdentityProvider, asked: &Form) -> Answer {
    get(&format!("{}/authorize?{}", idp.issuer(), asked.encoded()), None).await
}

async fn post(idp: &IdentityProvider, path: &str, form: &Form) -> Answer {
    let request = client().post(format!("{}{path}", idp.issuer()));
    send(request.header("content-type", FORM).body(form.encoded())).await
}

async fn token(idp: &IdentityProvider, form: &Form) -> Answer {
    post(idp, "/token", form).await
}

/// The value that binds the form of a page to its request.
fn form_value(page: &Answer) -> &str {
    let (_, rest) = page.body.split_once("name=\"form\" value=\"").expect(&page.body);
    rest.split('"').next().unwrap()
}

/// Answers the form of a page as a user, and returns what the client gets.
async fn press(idp: &IdentityProvider, page: &Answer, answer: &str, user: &str) -> Form {
    let form = Form::new(&[("form", form_value(page)), ("user", user), ("answer", answer)]);
    sent_back(&post(idp, "/authorize", &form).await)
}

/// Returns the parameters of a redirect to the client.
fn sent_back(answer: &Answer) -> Form {
    assert_eq!(answer.status, 303, "{}", answer.body);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let url = Url::parse(answer.header("location").unwrap()).unwrap();
    assert_eq!(url.path(), "/callback");
    Form(url.query_pairs().into_owned().collect())
}

/// Signs `ann` in, and returns the code.
async fn code(idp: &IdentityProvider, asked: &Form) -> String {
    let page = authorize(idp, asked).await;
    assert_eq!(page.status, 200, "{} {:?}", page.body, page.header("location"));
    press(idp, &page, "approve", "ann").await.get("code").unwrap().to_owned()
}

/// Signs `ann` in, and returns the tokens.
async fn signed_in(idp: &IdentityProvider, asked: &Form) -> Value {
    let code = code(idp, asked).await;
    let answer = token(idp, &exchange(asked.get("client_id").unwrap(), &code)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    json_of(&answer)
}

/// Verifies the access token of a response as an API does that is strict about RFC 9068.
async fn verified(idp: &IdentityProvider, audience: &str, issued: &Value) -> Claims {
    let provider = Provider::new()
        .issuer(idp.issuer())
        .audience(audience)
        .keys(idp.jwks_url())
        .require_at_jwt(true);
    let oauth2 =
        policy::builder().provider("idp", provider).key_refresh_minutes(5).build().unwrap();
    oauth2.verify(issued["access_token"].as_str().unwrap()).await.unwrap()
}

fn json_of(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).expect(&answer.body)
}
