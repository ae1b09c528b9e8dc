//! A client with the login of `rmcp`, for the end-to-end tests, which play the user:
//! `client URL REDIRECT_URI initialize|discover`.
//!
//! It reads one line for each call from standard input, `{"name": …, "arguments": …}`, and writes one JSON object a
//! line: `{"authorize": URL}` when the user must log in, to which the answer is the URL that the login redirects to,
//! then `{"connected": VERSION}`, and for each call `{"result": …}` or `{"error": …}`. A call that needs a further
//! scope writes `{"challenge": HEADER}` and `{"authorize": URL}`, and is then repeated.

use std::io::{self, Write};

use rmcp::{
    RoleClient, ServiceError,
    model::{CallToolRequestParams, ProtocolVersion},
    service::{ClientLifecycleMode, ClientServiceExt, RunningService},
    transport::{
        StreamableHttpClientTransport,
        auth::{
            AuthClient, AuthorizationCallback, AuthorizationRequest, OAuthState,
            WWWAuthenticateParams,
        },
        streamable_http_client::StreamableHttpClientTransportConfig,
    },
};
use serde_json::{Value, json};

type Error = Box<dyn std::error::Error>;
type Login = AuthClient<reqwest::Client>;

#[tokio::main(worker_threads = 1)]
async fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, redirect_uri, lifecycle] = &arguments[..] else {
        return Err("expected three arguments: URL REDIRECT_URI initialize|discover".into());
    };
    let lifecycle = match lifecycle.as_str() {
        "initialize" => ClientLifecycleMode::Initialize,
        "discover" => ClientLifecycleMode::Discover {
            preferred_versions: vec![ProtocolVersion::V_2026_07_28],
        },
        other => return Err(format!("{other:?}; expected initialize or discover").into()),
    };

    // Without a token first: the response says how to get one.
    let anonymous = StreamableHttpClientTransport::from_uri(url.as_str());
    let challenge = match ().serve_with_lifecycle(anonymous, lifecycle.clone()).await {
        Ok(_) => return Err("the server accepted a client without a token".into()),
        Err(error) => error.auth_challenge().ok_or_else(|| error.to_string())?.to_owned(),
    };
    write(json!({"challenge": challenge}))?;
    let mut state = OAuthState::new(url.as_str(), None).await?;
    let request = AuthorizationRequest::new(redirect_uri.as_str())
        .with_client_name("rmcp")
        .with_initial_scope_selection()
        .with_challenge(challenge);
    state.start_authorization(request).await?;
    state.handle_callback_url(&authorize(&state.get_authorization_url().await?)?).await?;
    let manager = state.into_authorization_manager().ok_or("there is no token")?;
    let login = AuthClient::new(reqwest::Client::default(), manager);
    let transport = StreamableHttpClientTransport::with_client(
        login.clone(),
        StreamableHttpClientTransportConfig::with_uri(url.as_str()),
    );
    let client = ().serve_with_lifecycle(transport, lifecycle).await?;
    let version = client.peer_info().map(|info| info.protocol_version.to_string());
    write(json!({"connected": version}))?;

    while let Some(line) = read()? {
        let call: CallToolRequestParams = serde_json::from_str(&line)?;
        match call_tool(&client, &login, call).await {
            Ok(result) => write(json!({"result": result}))?,
            Err(error) => write(json!({"error": error.to_string()}))?,
        }
    }
    client.cancel().await?;
    Ok(())
}

/// Calls a tool. If the response requires further scopes, the user logs in again, and the call is repeated.
async fn call_tool(
    client: &RunningService<RoleClient, ()>,
    login: &Login,
    call: CallToolRequestParams,
) -> Result<Value, Error> {
    let result = match client.call_tool(call.clone()).await {
        Err(error) if error.auth_challenge().is_some() => {
            step_up(login, &error).await?;
            client.call_tool(call).await?
        }
        result => result?,
    };
    Ok(serde_json::to_value(result)?)
}

async fn step_up(login: &Login, error: &ServiceError) -> Result<(), Error> {
    let challenge = error.auth_challenge().unwrap_or_default();
    write(json!({"challenge": challenge}))?;
    let base = "http://127.0.0.1/".parse()?;
    let challenge = WWWAuthenticateParams::parse(challenge, &base);
    let scope = challenge.scope.ok_or("the challenge names no scope")?;
    let manager = login.auth_manager.lock().await;
    let callback = authorize(&manager.request_scope_upgrade(&scope).await?)?;
    let AuthorizationCallback { code, csrf_token, issuer, .. } =
        AuthorizationCallback::from_redirect_url(&callback)?;
    manager.exchange_code_for_token_with_issuer(&code, &csrf_token, issuer.as_deref()).await?;
    Ok(())
}

/// Sends the user to a page, and returns the URL that the page redirects to.
fn authorize(url: &str) -> Result<String, Error> {
    write(json!({"authorize": url}))?;
    Ok(read()?.ok_or("the login was not answered")?)
}

fn write(line: Value) -> io::Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{line}")?;
    output.flush()
}

fn read() -> io::Result<Option<String>> {
    io::stdin().lines().next().transpose()
}
