//! Token exchange at the token endpoint (RFC 8693): an API gets a token for another service.

use std::sync::atomic::Ordering;

use josekit::{
    jwk::Jwk,
    jws::{self, ES256},
};
use serde_json::{Map, Value, json};

use super::{
    IdentityProvider,
    clients::{Client, TOKEN_EXCHANGE},
    parameters::{Parameters, Problem, unguessable},
    token::with_audience,
};

impl IdentityProvider {
    /// Returns how often a token was exchanged at its token endpoint, with or without success
    /// ([RFC 8693](https://www.rfc-editor.org/rfc/rfc8693)).
    ///
    /// ```
    /// let idp = oauth2_actix::testing::IdentityProvider::new("http://127.0.0.1:8081", "my-api");
    /// assert_eq!(idp.exchange_requests(), 0);
    /// ```
    #[must_use]
    pub fn exchange_requests(&self) -> u64 {
        self.0.exchange_requests.load(Ordering::SeqCst)
    }
}

/// Issues a token for the subject of another one. It has the requested audiences and resources, and the requested scopes
/// that are in the subject's token, and does not outlive that token.
pub(super) fn by_exchange(
    provider: &IdentityProvider,
    parameters: &Parameters,
    client: &Client,
) -> Result<Value, Problem> {
    provider.0.exchange_requests.fetch_add(1, Ordering::SeqCst);
    if client.is_public() || !client.may(TOKEN_EXCHANGE) {
        return Err(Problem::new(
            "unauthorized_client",
            "The client has no secret, or has not registered the grant type of token exchange.",
        ));
    }
    let requested = parameters.one("requested_token_type")?.unwrap_or(ACCESS_TOKEN);
    if ![ACCESS_TOKEN, JWT].contains(&requested) {
        return Err(Problem::request(
            "requested_token_type is not that of an access token or JWT.",
        ));
    }
    let subject = token(provider, parameters, "subject_token", "subject_token_type")?
        .ok_or(Problem::request("subject_token is missing."))?;
    let actor = token(provider, parameters, "actor_token", "actor_token_type")?;
    let targets = targets(provider, parameters)?;

    let text = |name: &str| subject.get(name).and_then(Value::as_str);
    let granted: Vec<&str> = text("scope").unwrap_or_default().split(' ').collect();
    let scope = match parameters.list("scope")? {
        None => text("scope").unwrap_or_default().to_owned(),
        Some(requested) if requested.iter().all(|scope| granted.contains(&scope.as_str())) => {
            requested.join(" ")
        }
        Some(_) => {
            return Err(Problem::new(
                "invalid_scope",
                "A scope is not in the token of the subject.",
            ));
        }
    };
    let now = provider.now().as_secs().cast_signed();
    let left = subject.get("exp").and_then(Value::as_i64).map_or(i64::MAX, |exp| exp - now);
    let lifetime = provider.settings().token_lifetime.min(left);
    let mut issued = with_audience(provider.token(), &targets)
        .expires_in(lifetime)
        .claim("client_id", client.id.as_str())
        .claim("jti", unguessable());
    for name in ["sub", "auth_time", "acr", "act"] {
        if let Some(value) = subject.get(name) {
            issued = issued.claim(name, value.clone());
        }
    }
    if let Some(actor) = actor {
        let mut act = Map::from_iter([("sub".to_owned(), json!(actor.get("sub")))]);
        // The actors before are below the present one (RFC 8693 §4.1).
        act.extend(subject.get("act").map(|before| ("act".to_owned(), before.clone())));
        issued = issued.claim("act", act);
    }
    let mut body = json!({
        "issued_token_type": requested,
        "token_type": "Bearer",
        "expires_in": lifetime,
    });
    if !scope.is_empty() {
        issued = issued.claim("scope", scope.as_str());
        body["scope"] = json!(scope);
    }
    body["access_token"] = json!(issued.sign(&provider.key()));
    Ok(body)
}

/// Returns the claims of a token in a parameter, if it is there. It must be valid, and issued here.
fn token(
    provider: &IdentityProvider,
    parameters: &Parameters,
    name: &str,
    type_name: &str,
) -> Result<Option<Map<String, Value>>, Problem> {
    let (token, kind) = match (parameters.one(name)?, parameters.one(type_name)?) {
        (None, None) => return Ok(None),
        (Some(token), Some(kind)) => (token, kind),
        _ => return Err(Problem::request("A token has no type, or a type has no token.")),
    };
    if ![ACCESS_TOKEN, JWT].contains(&kind) {
        return Err(Problem::request("The type of a token is not that of an access token or JWT."));
    }
    let opaque = provider.grants().claims_of_opaque(token);
    let now = provider.now().as_secs().cast_signed();
    opaque
        .or_else(|| verified(provider, token))
        .filter(|claims| claims.get("exp").and_then(Value::as_i64).is_some_and(|exp| now < exp))
        .map(Some)
        // RFC 8693 §2.2.2.
        .ok_or(Problem::request("A token is not one of this provider, or has expired."))
}

/// Returns the claims of a JWT that was signed here.
fn verified(provider: &IdentityProvider, token: &str) -> Option<Map<String, Value>> {
    provider.keys().published.iter().find_map(|key| {
        let jwk = Jwk::from_bytes(key.public_jwk().to_string()).ok()?;
        let verifier = ES256.verifier_from_jwk(&jwk).ok()?;
        let (payload, _) = jws::deserialize_compact(token, &verifier).ok()?;
        serde_json::from_slice(&payload).ok()
    })
}

/// Returns the audiences of the new token: each `audience` and `resource` of the request. Only those that are set as
/// protected resources are issued for, if any are.
fn targets(provider: &IdentityProvider, parameters: &Parameters) -> Result<Vec<String>, Problem> {
    let mut targets = provider.resources(parameters)?;
    let settings = provider.settings();
    for audience in parameters.all("audience") {
        let known = &settings.protected_resources;
        let is_known = audience == provider.0.audience || known.iter().any(|it| it == audience);
        if !known.is_empty() && !is_known {
            return Err(Problem::new(
                "invalid_target",
                "An audience is not one of this provider's protected_resources.",
            ));
        }
        if !targets.iter().any(|target| target == audience) {
            targets.push(audience.to_owned());
        }
    }
    Ok(targets)
}

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
