//! The clients: `quickstart`, those that register (RFC 7591), and the rules for their metadata.

use std::{collections::VecDeque, sync::Arc};

use actix_web::{HttpResponse, http::header::CACHE_CONTROL, web};
use serde_json::{Map, Value, json};
use url::Url;

use super::{
    IdentityProvider,
    parameters::{Problem, for_any_origin, unguessable},
};
use crate::{http::url::KeyUrl, json::parse_object};

/// A client with what its metadata says.
#[derive(Clone, Debug, Default)]
pub(super) struct Client {
    pub(super) id: String,
    /// None for a public client.
    secret: Option<String>,
    pub(super) name: Option<String>,
    redirect_uris: Vec<String>,
    grant_types: Vec<&'static str>,
}

impl Client {
    /// The client that needs no registration. It cannot ask a user, since it has no redirect URI.
    fn quickstart() -> Self {
        Self {
            id: "quickstart".into(),
            secret: Some("quickstart".into()),
            grant_types: vec![CLIENT_CREDENTIALS, TOKEN_EXCHANGE],
            ..Self::default()
        }
    }

    /// A client of the developer, which acts for itself.
    fn of_developer(id: String) -> Self {
        Self { id, secret: Some(unguessable()), ..Self::quickstart() }
    }

    /// A client with a metadata document, at the token endpoint. The document was read when the client asked for
    /// a user, and the grant names the client.
    pub(super) fn of_document(id: String) -> Self {
        Self { id, ..Self::default() }
    }

    /// Reads client metadata (RFC 7591 §2), without an id.
    pub(super) fn from_metadata(metadata: &Map<String, Value>) -> Result<Self, Problem> {
        let invalid = |description| Problem::new("invalid_client_metadata", description);
        let name = match metadata.get("client_name") {
            None => None,
            Some(Value::String(name)) if name.len() <= MAX_NAME => Some(name.clone()),
            Some(_) => return Err(invalid("client_name is not a string of at most 200 bytes.")),
        };
        let grant_types = match texts(metadata, "grant_types") {
            None => vec![AUTHORIZATION_CODE],
            // Others are left out, as RFC 7591 §2 allows, and the response shows it.
            Some(Ok(asked)) => {
                GRANT_TYPES.into_iter().filter(|grant| asked.contains(grant)).collect()
            }
            Some(Err(())) => Vec::new(),
        };
        if grant_types.is_empty() {
            return Err(invalid("grant_types is not a list with a grant type of this provider."));
        }
        match texts(metadata, "response_types") {
            None => {}
            Some(Ok(types)) if types.contains(&"code") => {}
            Some(Ok(types)) if types.is_empty() && !grant_types.contains(&AUTHORIZATION_CODE) => {}
            Some(_) => return Err(invalid("response_types is not a list with code.")),
        }
        let redirect_uris = texts(metadata, "redirect_uris").unwrap_or(Ok(Vec::new()));
        let redirect_uris = redirect_uris.ok().filter(|uris| {
            uris.len() <= MAX_REDIRECT_URIS && uris.iter().all(|uri| is_redirect_uri(uri))
        });
        let redirect_uris = match redirect_uris {
            Some(uris) if !uris.is_empty() || !grant_types.contains(&AUTHORIZATION_CODE) => uris,
            _ => {
                return Err(Problem::new(
                    "invalid_redirect_uri",
                    "redirect_uris is not a list of 1 to 10 URIs without a fragment, each https, http to a \
                     loopback host, or of an application's own scheme.",
                ));
            }
        };
        Ok(Self {
            name,
            redirect_uris: redirect_uris.into_iter().map(str::to_owned).collect(),
            grant_types,
            ..Self::default()
        })
    }

    /// Returns whether the client may use a grant type.
    pub(super) fn may(&self, grant_type: &str) -> bool {
        self.grant_types.contains(&grant_type)
    }

    /// Returns whether the client has a redirect URI: exactly, or with another port of a loopback host, since
    /// native applications take any free port (RFC 8252 §7.3).
    pub(super) fn has_redirect_uri(&self, asked: &str) -> bool {
        let without_port = without_loopback_port(asked);
        self.redirect_uris.iter().any(|uri| {
            uri == asked || (without_port.is_some() && without_loopback_port(uri) == without_port)
        })
    }

    /// Returns whether the client has no credentials.
    pub(super) fn is_public(&self) -> bool {
        self.secret.is_none()
    }

    /// Returns whether these credentials are the client's. A public client has none.
    pub(super) fn is_authenticated_by(&self, secret: Option<&str>) -> bool {
        match (&self.secret, secret) {
            (None, None) => true,
            (Some(expected), Some(secret)) => {
                expected.len() == secret.len()
                    && openssl::memcmp::eq(expected.as_bytes(), secret.as_bytes())
            }
            _ => false,
        }
    }
}

/// The clients that have registered, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Registered(VecDeque<Arc<Client>>);

impl Registered {
    pub(super) fn find(&self, id: &str) -> Option<Arc<Client>> {
        let quickstart = || Some(Arc::new(Client::quickstart())).filter(|client| client.id == id);
        self.0.iter().find(|client| client.id == id).cloned().or_else(quickstart)
    }

    /// Adds a client. Forgets the oldest one when there are too many.
    fn insert(&mut self, client: Client) {
        if self.0.len() == MAX_CLIENTS {
            self.0.pop_front();
        }
        self.0.push_back(Arc::new(client));
    }
}

impl IdentityProvider {
    /// Returns the secret of a client with this id, and registers the client if it is not known: for an API that
    /// authenticates itself ([`ClientAuthentication`](crate::ClientAuthentication)). It may introspect and exchange
    /// tokens, and use the grant type `client_credentials`. The last 100 clients are known.
    ///
    /// ```
    /// use oauth2_actix::{ClientAuthentication, testing::IdentityProvider};
    ///
    /// let idp = IdentityProvider::new("http://127.0.0.1:8081", "orders");
    /// let secret = idp.client_secret("orders-api");
    /// assert_eq!(idp.client_secret("orders-api"), secret);
    /// let authentication = ClientAuthentication::basic("orders-api", secret);
    /// # drop(authentication);
    /// ```
    #[must_use]
    pub fn client_secret(&self, client_id: &str) -> String {
        let mut clients = self.clients();
        if let Some(secret) = clients.find(client_id).and_then(|client| client.secret.clone()) {
            return secret;
        }
        let client = Client::of_developer(client_id.to_owned());
        let secret = client.secret.clone().unwrap_or_default();
        clients.insert(client);
        secret
    }
}

/// `POST /register` (RFC 7591 §3).
pub(super) async fn register(
    provider: web::Data<IdentityProvider>,
    body: web::Bytes,
) -> HttpResponse {
    match registered(&provider, &body) {
        Ok(response) => for_any_origin(HttpResponse::Created())
            .insert_header((CACHE_CONTROL, "no-store"))
            .json(response),
        Err(problem) => problem.response(),
    }
}

fn registered(provider: &IdentityProvider, body: &[u8]) -> Result<Value, Problem> {
    let invalid = |description| Problem::new("invalid_client_metadata", description);
    if body.len() > MAX_METADATA {
        return Err(invalid("The client metadata has more than 16 KiB."));
    }
    let metadata = parse_object(body)
        .map_err(|_| invalid("The body is not a JSON object with unique member names."))?;
    let mut client = Client::from_metadata(&metadata)?;
    let method = match metadata.get("token_endpoint_auth_method") {
        None => "client_secret_basic",
        Some(Value::String(method)) => method,
        Some(_) => return Err(invalid("token_endpoint_auth_method is not a string.")),
    };
    match method {
        "none" if client.may(CLIENT_CREDENTIALS) => {
            return Err(invalid("A public client cannot use the grant type client_credentials."));
        }
        "none" => {}
        "client_secret_basic" | "client_secret_post" => client.secret = Some(unguessable()),
        _ => {
            return Err(invalid(
                "token_endpoint_auth_method is not none, client_secret_basic or client_secret_post.",
            ));
        }
    }
    client.id = unguessable();
    let code = client.may(AUTHORIZATION_CODE).then_some("code");
    let mut response = json!({
        "client_id": client.id,
        "client_id_issued_at": provider.now().as_secs(),
        "redirect_uris": client.redirect_uris,
        "grant_types": client.grant_types,
        "response_types": Vec::from_iter(code),
        "token_endpoint_auth_method": method,
    });
    if let Some(name) = &client.name {
        response["client_name"] = json!(name);
    }
    if let Some(secret) = &client.secret {
        response["client_secret"] = json!(secret);
        // It does not expire.
        response["client_secret_expires_at"] = json!(0);
    }
    provider.clients().insert(client);
    Ok(response)
}

/// Returns a member that is a list of strings; an error if it is something else.
fn texts<'a>(metadata: &'a Map<String, Value>, name: &str) -> Option<Result<Vec<&'a str>, ()>> {
    let list = metadata.get(name)?.as_array();
    let texts = list.and_then(|list| list.iter().map(Value::as_str).collect());
    Some(texts.ok_or(()))
}

/// Returns whether a client may have a redirect URI. `http` is for loopback hosts only, and no browser may take
/// the URI for code or a local file.
fn is_redirect_uri(text: &str) -> bool {
    let Ok(url) = Url::parse(text) else { return false };
    let is_safe = match url.scheme() {
        "https" | "http" => KeyUrl::parse(text, false).is_ok(),
        "javascript" | "data" | "vbscript" | "file" | "blob" | "about" | "ws" | "wss" | "ftp" => {
            false
        }
        _ => true,
    };
    is_safe && url.fragment().is_none() && text.len() <= MAX_REDIRECT_URI
}

/// Returns an http URL of a loopback host without its port.
fn without_loopback_port(text: &str) -> Option<Url> {
    let mut url = Url::parse(text).ok()?;
    if !KeyUrl::parse(text, false).ok()?.is_plain_loopback() {
        return None;
    }
    url.set_port(None).ok()?;
    Some(url)
}

pub(super) const AUTHORIZATION_CODE: &str = "authorization_code";
pub(super) const REFRESH_TOKEN: &str = "refresh_token";
pub(super) const CLIENT_CREDENTIALS: &str = "client_credentials";
pub(super) const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
pub(super) const GRANT_TYPES: [&str; 4] =
    [AUTHORIZATION_CODE, REFRESH_TOKEN, CLIENT_CREDENTIALS, TOKEN_EXCHANGE];

/// The largest number of registered clients.
const MAX_CLIENTS: usize = 100;

/// The largest registration, in bytes.
pub(super) const MAX_METADATA: usize = 16 * 1024;

const MAX_NAME: usize = 200;
const MAX_REDIRECT_URIS: usize = 10;
const MAX_REDIRECT_URI: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirect_uris_that_a_client_may_have() {
        for uri in [
            "https://app.example/cb?x=1",
            "http://127.0.0.1/cb",
            "http://localhost:6274/oauth/callback",
            "http://[::1]:3000/",
            "com.example.app:/cb",
            "cursor://anysphere.cursor-retrieval/oauth/cb",
        ] {
            assert!(is_redirect_uri(uri), "{uri}");
        }
        for uri in [
            "",
            "/cb",
            "http://app.example/cb",
            "http://10.0.0.1/cb",
            "https://user@app.example/cb",
            "https://app.example/cb#x",
            "https://app.example/cb#",
            "javascript:alert(1)",
            " JavaScript:alert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
        ] {
            assert!(!is_redirect_uri(uri), "{uri}");
        }
        assert!(!is_redirect_uri(&format!("https://app.example/{}", "x".repeat(MAX_REDIRECT_URI))));
    }

    #[test]
    fn only_the_port_of_a_loopback_host_may_differ() {
        let client = Client {
            redirect_uris: vec!["http://127.0.0.1/cb".into(), "https://app.example/cb".into()],
            ..Client::default()
        };
        for uri in ["http://127.0.0.1/cb", "http://127.0.0.1:50123/cb", "https://app.example/cb"] {
            assert!(client.has_redirect_uri(uri), "{uri}");
        }
        for uri in [
            "http://127.0.0.1:50123/other",
            "http://127.0.0.1:50123/cb/",
            "http://127.0.0.1:50123/cb?x",
            "http://127.0.0.1:50123/cb#x",
            "http://user@127.0.0.1:50123/cb",
            "https://127.0.0.1:50123/cb",
            "http://127.0.0.2/cb",
            "http://localhost/cb",
            "https://app.example:444/cb",
            "https://app.example/CB",
            "https://app.example/cb/",
        ] {
            assert!(!client.has_redirect_uri(uri), "{uri}");
        }
    }
}
