//! Client ID metadata documents: a client whose id is the URL of its metadata, which is fetched when the client
//! asks for a user.

use std::{sync::Arc, time::Duration};

use reqwest::{Response, StatusCode, header::ACCEPT};
use serde_json::Value;
use tokio::sync::Semaphore;

use super::clients::{CLIENT_CREDENTIALS, Client};
use crate::{
    http::{client::Clients, url::KeyUrl},
    json::parse_object,
};

/// What fetches the documents.
pub(super) struct Documents {
    http: Clients,
    fetches: Semaphore,
}

impl Documents {
    /// Fetches the document at `id`. An error says what is wrong with it.
    pub(super) async fn fetch(&self, id: &str) -> Result<Arc<Client>, &'static str> {
        let url = client_url(id).ok_or(
            "The client_id is no URL of a client ID metadata document: expected is https (or http to a \
             loopback host) with a path, and without user, dot segments and fragment.",
        )?;
        let _permit = self.fetches.try_acquire().map_err(
            |_| "Other client ID metadata documents are being fetched. Try again in a few seconds.",
        )?;
        let client = self.http.client(&url).map_err(|_| "There is no HTTP client.")?;
        let request = client.get(url.url().clone()).header(ACCEPT, "application/json");
        let response = request
            .send()
            .await
            .map_err(|_| "There is no response at the URL that is the client_id.")?;
        if response.status() != StatusCode::OK {
            return Err(
                "The response at the URL that is the client_id has another status than 200.",
            );
        }
        let body = bounded_body(response).await.ok_or(
            "The client ID metadata document broke off, took over 5 seconds, or has over 5 KiB.",
        )?;
        Ok(Arc::new(client_of(id, &body)?))
    }
}

impl Default for Documents {
    fn default() -> Self {
        // Each worker has a runtime of its own, so that no connection is kept for another one.
        let adjust =
            |builder: reqwest::ClientBuilder| builder.timeout(TIMEOUT).pool_max_idle_per_host(0);
        Self { http: Clients::new(Some(Arc::new(adjust))), fetches: Semaphore::new(MAX_FETCHES) }
    }
}

/// Returns whether a client id is a URL and not the id of a registered client.
pub(super) fn is_url(id: &str) -> bool {
    id.starts_with("https://") || id.starts_with("http://")
}

fn client_url(id: &str) -> Option<KeyUrl> {
    let url = KeyUrl::parse(id, false).ok()?;
    let parsed = url.url();
    // A URL with dot segments is not equal to its parsed form.
    let is_plain = parsed.as_str() == id && parsed.path() != "/" && parsed.fragment().is_none();
    is_plain.then_some(url)
}

fn client_of(id: &str, body: &[u8]) -> Result<Client, &'static str> {
    let metadata = parse_object(body).map_err(
        |_| "The client ID metadata document is not a JSON object with unique member names.",
    )?;
    if metadata.get("client_id").and_then(Value::as_str) != Some(id) {
        return Err("The client ID metadata document is of another client_id than its own URL.");
    }
    let method = metadata.get("token_endpoint_auth_method");
    if method.is_some_and(|method| method != "none") || metadata.contains_key("client_secret") {
        return Err(
            "The client of the client ID metadata document is not public: expected is the \
             token_endpoint_auth_method none, and no client_secret.",
        );
    }
    let mut client = Client::from_metadata(&metadata).map_err(|problem| problem.description)?;
    if client.may(CLIENT_CREDENTIALS) {
        return Err("A public client cannot use the grant type client_credentials.");
    }
    client.id = id.to_owned();
    Ok(client)
}

async fn bounded_body(mut response: Response) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        if body.len() + chunk.len() > MAX_DOCUMENT {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    Some(body)
}

/// The largest document, in bytes.
const MAX_DOCUMENT: usize = 5 * 1024;

/// The longest time for a document.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The largest number of fetches at the same time.
const MAX_FETCHES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_can_be_a_client_id() {
        for id in
            ["https://app.example/client.json", "http://127.0.0.1:9/c", "https://a.example/?x"]
        {
            assert_eq!(client_url(id).is_some(), id.ends_with(['n', 'c']), "{id}");
        }
        for id in [
            "https://app.example",
            "https://app.example/",
            "http://app.example/client.json",
            "https://user@app.example/client.json",
            "https://app.example/a/../client.json",
            "https://app.example/./client.json",
            "https://app.example/client.json#x",
            "HTTPS://app.example/client.json",
            "quickstart",
        ] {
            assert!(client_url(id).is_none(), "{id}");
        }
    }
}
