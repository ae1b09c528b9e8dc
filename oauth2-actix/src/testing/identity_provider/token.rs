//! The token endpoint: authorization code, refresh token and client credentials (RFC 6749 §4.1.3, §6 and §4.4), and token
//! exchange (RFC 8693). With a DPoP proof, the access token is bound to the key of the proof (RFC 9449 §5).

use std::sync::Arc;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{AUTHORIZATION, CACHE_CONTROL, HeaderValue, WWW_AUTHENTICATE},
    web,
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use openssl::sha::sha256;
use serde_json::{Map, Value, json};
use url::form_urlencoded;

use super::{
    IdentityProvider,
    clients::{AUTHORIZATION_CODE, CLIENT_CREDENTIALS, Client, REFRESH_TOKEN, TOKEN_EXCHANGE},
    documents, exchange,
    grants::Grant,
    parameters::{Parameters, Problem, for_any_origin, unguessable},
    proof,
};
use crate::testing::Token;

/// `POST /token`.
pub(super) async fn token(
    provider: web::Data<IdentityProvider>,
    request: HttpRequest,
    form: web::Form<Vec<(String, String)>>,
) -> HttpResponse {
    match issue(&provider, &request, &Parameters(form.into_inner())) {
        Ok(Issued { body, is_readable }) => {
            let mut response = HttpResponse::Ok();
            if is_readable {
                response = for_any_origin(response);
            }
            response.insert_header((CACHE_CONTROL, "no-store")).json(body)
        }
        Err(problem) => refused(&request, problem),
    }
}

/// Returns the response to a request of a client that gets an error.
pub(super) fn refused(request: &HttpRequest, problem: Problem) -> HttpResponse {
    let mut response = problem.response();
    // RFC 6749 §5.2, for a client that used the header.
    if problem.error == "invalid_client" && request.headers().contains_key(AUTHORIZATION) {
        let challenge = HeaderValue::from_static("Basic realm=\"identity provider\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

/// A response with a token.
struct Issued {
    body: Value,
    /// Whether pages of every origin may read it. Not for the client credentials and token exchange: the
    /// secret of `quickstart` is known, and any page would get a token.
    is_readable: bool,
}

fn issue(
    provider: &IdentityProvider,
    request: &HttpRequest,
    parameters: &Parameters,
) -> Result<Issued, Problem> {
    let grant_type = parameters.required("grant_type", "grant_type is missing.")?;
    let client = client(provider, request, parameters)?;
    let key = proof::thumbprint(provider, request)?;
    let key = key.as_deref();
    let body = match grant_type {
        AUTHORIZATION_CODE => by_code(provider, parameters, &client, key)?,
        REFRESH_TOKEN => by_refresh_token(provider, parameters, &client, key)?,
        CLIENT_CREDENTIALS => by_client_credentials(provider, parameters, &client, key)?,
        TOKEN_EXCHANGE => exchange::by_exchange(provider, parameters, &client)?,
        _ => {
            return Err(Problem::new(
                "unsupported_grant_type",
                "The grant types are authorization_code, refresh_token, client_credentials and token-exchange.",
            ));
        }
    };
    Ok(Issued { body, is_readable: ![CLIENT_CREDENTIALS, TOKEN_EXCHANGE].contains(&grant_type) })
}

/// Authenticates the client: by a secret in the header or in the form, or by its id alone if it is public.
pub(super) fn client(
    provider: &IdentityProvider,
    request: &HttpRequest,
    parameters: &Parameters,
) -> Result<Arc<Client>, Problem> {
    let id = parameters.one("client_id")?;
    let secret = parameters.one("client_secret")?;
    let (id, secret) = match basic_credentials(request) {
        None => (id.unwrap_or_default().to_owned(), secret.map(str::to_owned)),
        Some((header_id, header_secret)) => {
            if secret.is_some() || id.is_some_and(|id| id != header_id) {
                return Err(Problem::request("The client authenticates in two ways."));
            }
            (header_id, Some(header_secret))
        }
    };
    let known = if documents::is_url(&id) {
        Some(Arc::new(Client::of_document(id)))
    } else {
        provider.clients().find(&id)
    };
    let authenticated = known.filter(|client| client.is_authenticated_by(secret.as_deref()));
    authenticated
        .ok_or(Problem::client("The client is unknown, or its secret is missing or wrong."))
}

fn by_code(
    provider: &IdentityProvider,
    parameters: &Parameters,
    client: &Client,
    key: Option<&str>,
) -> Result<Value, Problem> {
    let code = parameters.required("code", "code is missing.")?;
    let verifier = parameters.required("code_verifier", "code_verifier is missing.")?;
    let redirect_uri = parameters.required("redirect_uri", "redirect_uri is missing.")?;
    // Held until the refresh token is issued, so that a second use of the code revokes it.
    let mut grants = provider.grants();
    let found = grants
        .redeem(code, provider.now())
        .filter(|found| found.grant.client_id == client.id)
        .ok_or(Problem::grant("The code is unknown, used, expired, or another client's."))?;
    if redirect_uri != found.redirect_uri {
        return Err(Problem::grant("The redirect_uri is not that of the authorization request."));
    }
    let is_verifier = (43..=128).contains(&verifier.len())
        && verifier.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
    let challenge = URL_SAFE_NO_PAD.encode(sha256(verifier.as_bytes()));
    if !is_verifier || challenge != found.challenge {
        return Err(Problem::grant("The code_verifier does not match the code_challenge."));
    }
    let grant = found.grant;
    let resources = narrowed(provider.resources(parameters)?, &grant)?;
    // RFC 9449 §5: only that of a public client is bound, since any other authenticates itself.
    let bound_to = key.filter(|_| client.is_public()).map(str::to_owned);
    let next = grant.is_refreshable.then(|| grants.issue_refresh(grant.clone(), bound_to, code));
    drop(grants);
    Ok(response(provider, &grant, key, &grant.scopes, &resources, next))
}

fn by_refresh_token(
    provider: &IdentityProvider,
    parameters: &Parameters,
    client: &Client,
    key: Option<&str>,
) -> Result<Value, Problem> {
    let refused =
        Problem::grant("The refresh token is unknown, used, or of another client or DPoP key.");
    let token = parameters.required("refresh_token", "refresh_token is missing.")?;
    let mut grants = provider.grants();
    let grant = grants.refresh(token, &client.id, key).ok_or(refused)?;
    let scopes = match parameters.list("scope")? {
        None => grant.scopes.clone(),
        Some(scopes) if scopes.iter().all(|scope| grant.scopes.contains(scope)) => scopes,
        Some(_) => {
            return Err(Problem::new("invalid_scope", "A scope was not granted by the user."));
        }
    };
    let resources = narrowed(provider.resources(parameters)?, &grant)?;
    // With all the scopes that were granted (RFC 6749 §6).
    let next = grants.rotate(token).ok_or(refused)?;
    drop(grants);
    Ok(response(provider, &grant, key, &scopes, &resources, Some(next)))
}

/// Returns the resources of a token: those of the grant, or the ones of them that the request names (RFC 8707
/// §2.2).
fn narrowed(asked: Vec<String>, grant: &Grant) -> Result<Vec<String>, Problem> {
    if asked.is_empty() {
        return Ok(grant.resources.clone());
    }
    if asked.iter().any(|resource| !grant.resources.contains(resource)) {
        return Err(Problem::new(
            "invalid_target",
            "A resource is not in the authorization request.",
        ));
    }
    Ok(asked)
}

fn response(
    provider: &IdentityProvider,
    grant: &Grant,
    key: Option<&str>,
    scopes: &[String],
    resources: &[String],
    refresh_token: Option<String>,
) -> Value {
    let lifetime = provider.settings().token_lifetime;
    let mut token = with_audience(provider.token(), resources)
        .expires_in(lifetime)
        .claim("sub", grant.user.as_str())
        .claim("client_id", grant.client_id.as_str())
        .claim("jti", unguessable())
        .claim("auth_time", grant.auth_time)
        .claim("acr", grant.acr.as_str());
    let scope = scopes.join(" ");
    if !scope.is_empty() {
        token = token.claim("scope", scope.as_str());
    }
    let mut body = signed(provider, token, key, lifetime);
    if !scope.is_empty() {
        body["scope"] = json!(scope);
    }
    if let Some(refresh_token) = refresh_token {
        body["refresh_token"] = json!(refresh_token);
    }
    body
}

/// RFC 6749 §4.4.2, with two parameters for development: `claims`, a JSON object of claims to put into the
/// token, and `expires_in`, the lifetime in seconds, negative for an expired token.
fn by_client_credentials(
    provider: &IdentityProvider,
    parameters: &Parameters,
    client: &Client,
    key: Option<&str>,
) -> Result<Value, Problem> {
    if !client.may(CLIENT_CREDENTIALS) {
        return Err(Problem::new(
            "unauthorized_client",
            "The client has not registered the grant type client_credentials.",
        ));
    }
    let claims = match parameters.one("claims")?.map(serde_json::from_str::<Map<String, Value>>) {
        None => Map::new(),
        Some(Ok(claims)) => claims,
        Some(Err(_)) => return Err(Problem::request("claims is not a JSON object.")),
    };
    let lifetime = match parameters.one("expires_in")?.map(str::parse::<i64>) {
        None => provider.settings().token_lifetime,
        Some(Ok(seconds)) => seconds.clamp(-86_400, 86_400),
        Some(Err(_)) => return Err(Problem::request("expires_in is not a number of seconds.")),
    };
    let scope = parameters.one("scope")?;
    let mut token = with_audience(provider.token(), &provider.resources(parameters)?)
        .claim("client_id", client.id.as_str())
        .claim("jti", unguessable())
        .expires_in(lifetime);
    if let Some(scope) = scope {
        token = token.claim("scope", scope);
    }
    let mut body = signed(provider, token.claims(claims), key, lifetime);
    if let Some(scope) = scope {
        body["scope"] = json!(scope);
    }
    Ok(body)
}

/// Returns a response with the signed token, which is bound to a DPoP key if there is one (RFC 9449 §6.1).
fn signed(provider: &IdentityProvider, token: Token, key: Option<&str>, lifetime: i64) -> Value {
    let (token, token_type) = match key {
        None => (token, "Bearer"),
        Some(thumbprint) => (token.claim("cnf", json!({"jkt": thumbprint})), "DPoP"),
    };
    json!({
        "access_token": token.sign(&provider.key()),
        "token_type": token_type,
        "expires_in": lifetime,
    })
}

/// Sets the audience, unless there is no resource.
pub(super) fn with_audience(token: Token, resources: &[String]) -> Token {
    match resources {
        [] => token,
        [resource] => token.claim("aud", resource.as_str()),
        resources => token.claim("aud", resources.to_vec()),
    }
}

fn basic_credentials(request: &HttpRequest) -> Option<(String, String)> {
    let header = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    let decoded = STANDARD.decode(header.strip_prefix("Basic ")?).ok()?;
    let (id, secret) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some((form_decoded(id), form_decoded(secret)))
}

/// Decodes a part of the credentials, which a client form-encodes (RFC 6749 §2.3.1). One that is not encoded is
/// returned as it is, unless it has `+` or `%`.
fn form_decoded(text: &str) -> String {
    let value = format!("={}", text.replace('&', "%26"));
    form_urlencoded::parse(value.as_bytes()).map(|(_, value)| value.into_owned()).collect()
}
