//! The authorization endpoint: it checks a client's request, shows the page, and sends the user back with the
//! answer (RFC 6749 §4.1, RFC 7636, RFC 8707, RFC 9207).

use std::sync::Arc;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{CACHE_CONTROL, HOST, LOCATION, REFERRER_POLICY},
    web,
};
use url::Url;

use super::{
    IdentityProvider,
    clients::{AUTHORIZATION_CODE, Client, REFRESH_TOKEN},
    documents,
    grants::{Asked, Code, Grant},
    page,
    parameters::{Parameters, Problem},
};

/// `GET /authorize`.
pub(super) async fn show(
    provider: web::Data<IdentityProvider>,
    request: HttpRequest,
    query: web::Query<Vec<(String, String)>>,
) -> HttpResponse {
    if let Err(text) = is_addressed(&provider, &request) {
        return page::problem(text);
    }
    if request.query_string().len() > MAX_QUERY {
        return page::problem("The query has more than 8 KiB.");
    }
    let parameters = Parameters(query.into_inner());
    let (client, redirect_uri) = match asking(&provider, &parameters).await {
        Ok(asking) => asking,
        Err(text) => return page::problem(text),
    };
    // A state that is sent twice cannot be sent back.
    let state = parameters.one("state").ok().flatten().map(str::to_owned);
    match checked(&provider, &parameters, client, &redirect_uri, state.clone()) {
        Ok(asked) => {
            let form = provider.grants().ask(asked.clone(), provider.now());
            page::sign_in(&asked, &provider.0.audience, &form)
        }
        Err(Problem { error, description }) => {
            let answer = [("error", error), ("error_description", description)];
            send_back(&provider, &redirect_uri, state.as_deref(), &answer)
        }
    }
}

/// `POST /authorize`, the answer to the form.
pub(super) async fn answer(
    provider: web::Data<IdentityProvider>,
    request: HttpRequest,
    form: web::Form<Vec<(String, String)>>,
) -> HttpResponse {
    if let Err(text) = is_addressed(&provider, &request) {
        return page::problem(text);
    }
    let parameters = Parameters(form.into_inner());
    let one = |name| parameters.one(name).ok().flatten().unwrap_or_default();
    let now = provider.now();
    let Some(asked) = provider.grants().answer(one("form"), now) else {
        return page::problem(
            "This form was answered already, is older than 10 minutes, or is not from this page. Start \
             again at the client.",
        );
    };
    let state = asked.state.as_deref();
    if one("answer") != "approve" {
        let denied = [("error", "access_denied"), ("error_description", "The user has denied it.")];
        return send_back(&provider, &asked.redirect_uri, state, &denied);
    }
    let user = one("user").trim();
    let length = user.chars().count();
    if length == 0 || length > page::MAX_USER || user.contains(char::is_control) {
        return page::problem(
            "The user name does not have 1 to 64 characters, or has control characters. Start again at \
             the client.",
        );
    }
    let grant = Grant {
        client_id: asked.client.id.clone(),
        user: user.to_owned(),
        scopes: asked.scopes,
        resources: asked.resources,
        acr: asked.acr,
        auth_time: now.as_secs(),
        is_refreshable: asked.client.may(REFRESH_TOKEN),
    };
    let code = Code { grant, redirect_uri: asked.redirect_uri.clone(), challenge: asked.challenge };
    let code = provider.grants().issue_code(code, now);
    send_back(&provider, &asked.redirect_uri, state, &[("code", &code)])
}

/// Returns the client and its redirect URI. Until both are known, an error is not sent anywhere.
async fn asking(
    provider: &IdentityProvider,
    parameters: &Parameters,
) -> Result<(Arc<Client>, String), &'static str> {
    let one = |name| parameters.one(name).map_err(|problem| problem.description);
    let id = one("client_id")?.ok_or("The client_id is missing.")?;
    let redirect_uri = one("redirect_uri")?.ok_or("The redirect_uri is missing.")?;
    let client = if documents::is_url(id) {
        provider.0.documents.fetch(id).await?
    } else {
        provider.clients().find(id).ok_or(
            "The client is unknown. Clients register at /register, and are forgotten when this provider ends.",
        )?
    };
    if !client.has_redirect_uri(redirect_uri) {
        return Err("The redirect_uri is not one of the client.");
    }
    Ok((client, redirect_uri.to_owned()))
}

/// Checks all other parameters. An error is sent to the client.
fn checked(
    provider: &IdentityProvider,
    parameters: &Parameters,
    client: Arc<Client>,
    redirect_uri: &str,
    state: Option<String>,
) -> Result<Asked, Problem> {
    parameters.one("state")?;
    if !client.may(AUTHORIZATION_CODE) {
        return Err(Problem::new(
            "unauthorized_client",
            "The client has not registered the grant type authorization_code.",
        ));
    }
    if parameters.required("response_type", "response_type is missing.")? != "code" {
        return Err(Problem::new("unsupported_response_type", "response_type is not code."));
    }
    if parameters.one("response_mode")?.is_some_and(|mode| mode != "query") {
        return Err(Problem::request("response_mode is not query."));
    }
    if parameters.one("code_challenge_method")? != Some("S256") {
        return Err(Problem::request("code_challenge_method is not S256 (PKCE, RFC 7636)."));
    }
    let challenge =
        parameters.required("code_challenge", "code_challenge is missing (PKCE, RFC 7636).")?;
    if challenge.len() != 43 || !challenge.bytes().all(is_base64url) {
        return Err(Problem::request("code_challenge is not a SHA-256 hash in base64url."));
    }
    if let Some(age) = parameters.one("max_age")?
        && age.parse::<u64>().is_err()
    {
        return Err(Problem::request("max_age is not a number of seconds."));
    }
    // The page is always shown, which is fresh enough for every max_age.
    if parameters.one("prompt")? == Some("none") {
        return Err(Problem::new("login_required", "The user must always sign in."));
    }
    let scopes = parameters.list("scope")?.unwrap_or_default();
    provider.settings().check_scopes(&scopes)?;
    let acr = parameters.list("acr_values")?.and_then(|values| values.into_iter().next());
    Ok(Asked {
        client,
        redirect_uri: redirect_uri.to_owned(),
        state,
        challenge: challenge.to_owned(),
        scopes,
        resources: provider.resources(parameters)?,
        acr: acr.unwrap_or_else(|| "1".into()),
    })
}

/// Redirects to the client, with `state` and `iss`.
fn send_back(
    provider: &IdentityProvider,
    redirect_uri: &str,
    state: Option<&str>,
    answer: &[(&str, &str)],
) -> HttpResponse {
    let Ok(mut url) = Url::parse(redirect_uri) else {
        return page::problem("The redirect_uri is not a URI.");
    };
    url.query_pairs_mut()
        .extend_pairs(answer)
        .extend_pairs(state.map(|state| ("state", state)))
        .append_pair("iss", provider.issuer());
    // 303, with which a browser does not repeat the form (RFC 9700 §4.12).
    HttpResponse::SeeOther()
        .insert_header((LOCATION, url.as_str()))
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((REFERRER_POLICY, "no-referrer"))
        .finish()
}

/// Checks that a request was sent to the host of the issuer. A page of another host whose name leads to this
/// machine (DNS rebinding) could read the form otherwise.
fn is_addressed(provider: &IdentityProvider, request: &HttpRequest) -> Result<(), &'static str> {
    let host = match request.uri().authority() {
        Some(authority) => Some(authority.as_str()),
        None => request.headers().get(HOST).and_then(|host| host.to_str().ok()),
    };
    let is_issuer = |host: &str| {
        let issuer = Url::parse(provider.issuer()).ok()?;
        let asked = Url::parse(&format!("{}://{host}", issuer.scheme())).ok()?;
        Some(asked.origin() == issuer.origin())
    };
    match host.and_then(is_issuer) {
        Some(true) => Ok(()),
        _ => Err("The host of this address is not the issuer's."),
    }
}

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// The longest query, in bytes.
const MAX_QUERY: usize = 8 * 1024;
