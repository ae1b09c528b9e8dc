//! Compares the settings of a policy with the metadata of its authorization servers (RFC 8414, RFC 9728 §4), so that
//! the log says at start what clients would otherwise meet.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures_util::{StreamExt, stream};

use super::{ProtectedResource, Resources};
use crate::{
    http::{client::Clients, fetch::GetError},
    jose::algorithm::{Algorithm, AlgorithmSet},
    keys::discovery::{DiscoveryError, Issuer, IssuerMetadata},
    util::clock::Clock,
};

/// The authorization servers of a policy with a resource, and how they are asked.
#[derive(Debug)]
pub(crate) struct Comparison {
    pub(crate) servers: Vec<AuthorizationServer>,
    /// Separate from those that fetch keys, which run on a thread of their own.
    pub(crate) clients: Arc<Clients>,
    /// The limit for one document.
    pub(crate) timeout: Duration,
    pub(crate) clock: Clock,
}

/// One authorization server.
#[derive(Debug)]
pub(crate) struct AuthorizationServer {
    pub(crate) provider: String,
    pub(crate) issuer: Issuer,
    pub(crate) algorithms: AlgorithmSet,
}

impl Comparison {
    /// Logs each difference at warn, and why a document cannot be compared at info.
    pub(crate) async fn log(&self, resources: &Resources) {
        stream::iter(&self.servers)
            .for_each_concurrent(MAX_CONCURRENT, |server| async move {
                let provider = server.provider.as_str();
                match self.fetch(server).await {
                    Ok((metadata, date)) => {
                        let now = self.clock.unix_time();
                        let findings = findings(&metadata, date, now, server, resources);
                        for problem in findings {
                            tracing::warn!(
                                target: "oauth2_actix", provider, problem,
                                "the authorization server's metadata and the settings differ"
                            );
                        }
                    }
                    Err(cause) => {
                        tracing::info!(
                            target: "oauth2_actix", provider, cause,
                            "the authorization server's metadata cannot be compared with the settings"
                        );
                    }
                }
            })
            .await;
    }

    async fn fetch(
        &self,
        server: &AuthorizationServer,
    ) -> Result<(IssuerMetadata, Option<SystemTime>), String> {
        let url = server.issuer.url();
        let client = self.clients.client(url);
        let client = client.map_err(|error| GetError::Client(error).to_string())?;
        let deadline = self.clock.monotonic() + self.timeout;
        tokio::select! {
            fetched = server.issuer.metadata(&client) => {
                fetched.map_err(|error: DiscoveryError| error.to_string())
            }
            () = self.clock.sleep_until(deadline) => {
                Err(format!("no answer within {} s", self.timeout.as_secs_f64()))
            }
        }
    }
}

/// Returns what will fail, in sentences.
fn findings(
    metadata: &IssuerMetadata,
    date: Option<SystemTime>,
    now: Duration,
    server: &AuthorizationServer,
    resources: &Resources,
) -> Vec<String> {
    let mut findings = Vec::new();
    if let Some(listed) = metadata.texts("protected_resources") {
        for ProtectedResource { uri, .. } in resources.iter() {
            if !listed.iter().any(|identifier| uri.is(identifier)) {
                findings.push(format!(
                    "`protected_resources` does not list {}: the authorization server may refuse to issue \
                     tokens for it",
                    uri.text()
                ));
            }
        }
    }
    if let Some(signed_with) = metadata.texts("id_token_signing_alg_values_supported") {
        let is_allowed = |name: &&str| {
            name.parse().is_ok_and(|algorithm: Algorithm| server.algorithms.contains(algorithm))
        };
        if !signed_with.iter().any(is_allowed) {
            let allowed: Vec<_> = server.algorithms.iter().map(Algorithm::name).collect();
            findings.push(format!(
                "it signs with {}, and the provider's `algorithms` allow {}: its tokens will be rejected",
                signed_with.join(", "),
                allowed.join(", ")
            ));
        }
    }
    if let Some(scopes) = metadata.texts("scopes_supported") {
        let missing: Vec<&str> = resources
            .iter()
            .flat_map(ProtectedResource::scopes)
            .filter(|scope| !scopes.contains(scope))
            .collect();
        if !missing.is_empty() {
            findings.push(format!(
                "`scopes_supported` lacks {}: clients that ask for these scopes may be refused",
                missing.join(", ")
            ));
        }
    }
    if metadata.has("authorization_endpoint") {
        let methods = metadata.texts("code_challenge_methods_supported").unwrap_or_default();
        if !methods.contains(&"S256") {
            findings.push(
                "`code_challenge_methods_supported` lacks S256: MCP clients will refuse to log in"
                    .to_owned(),
            );
        }
    }
    let date = date.and_then(|date| date.duration_since(UNIX_EPOCH).ok());
    if let Some(date) = date {
        let (ahead, seconds) = match now.checked_sub(date) {
            Some(ahead) => (true, ahead.as_secs()),
            None => (false, (date - now).as_secs()),
        };
        if seconds >= MAX_CLOCK_DIFFERENCE.as_secs() {
            findings.push(format!(
                "its clock is {seconds} s {} this one: tokens will be rejected as {}, unless the leeway covers \
                 it",
                if ahead { "behind" } else { "ahead of" },
                if ahead { "expired too early" } else { "not valid yet" },
            ));
        }
    }
    findings
}

/// `Date` has whole seconds, and the document takes time on the way.
const MAX_CLOCK_DIFFERENCE: Duration = Duration::from_secs(5);
const MAX_CONCURRENT: usize = 8;
