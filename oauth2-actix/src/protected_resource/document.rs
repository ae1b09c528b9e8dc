//! The metadata document of a protected resource (RFC 9728 §2).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use openssl::sha::sha256;
use serde_json::{Map, Value, json};

use super::Document;
use crate::config::{resource::Resource, resource_uri::ResourceUri};

/// What the document says beside the settings of the resource.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    /// The issuers of the providers, as far as they are URLs.
    pub(crate) issuers: &'a [String],
    /// The scopes that access rules name.
    pub(crate) scopes: &'a [String],
    /// Where else than in the `Authorization` header a token may be.
    pub(crate) accepts_query: bool,
    /// The types of `authorization_details` that access rules name.
    pub(crate) detail_types: &'a [String],
    /// The algorithms of DPoP proofs. Empty unless DPoP is on.
    pub(crate) proof_algorithms: &'a [String],
    /// Whether every token must be bound to a DPoP key.
    pub(crate) requires_dpop: bool,
    /// Whether tokens may be bound to a client certificate.
    pub(crate) accepts_certificates: bool,
}

impl Document {
    pub(crate) fn new(resource: &Resource, uri: &ResourceUri, facts: &Facts<'_>) -> Self {
        let mut members = Map::new();
        members.insert("resource".to_owned(), json!(uri.text()));
        let mut add_list = |name: &str, values: &[String]| {
            // An empty list is left out (RFC 9728 §3.2).
            if !values.is_empty() {
                members.insert(name.to_owned(), json!(values));
            }
        };
        add_list(
            "authorization_servers",
            resource.authorization_servers.as_deref().unwrap_or(facts.issuers),
        );
        add_list("scopes_supported", resource.scopes.as_deref().unwrap_or(facts.scopes));
        add_list("authorization_details_types_supported", facts.detail_types);
        add_list("dpop_signing_alg_values_supported", facts.proof_algorithms);
        for (name, is_true) in [
            ("dpop_bound_access_tokens_required", facts.requires_dpop),
            ("tls_client_certificate_bound_access_tokens", facts.accepts_certificates),
        ] {
            // False is the default of both.
            if is_true {
                members.insert(name.to_owned(), json!(true));
            }
        }
        let methods: &[&str] = match facts {
            // DPoP is another method.
            Facts { requires_dpop: true, .. } => &[],
            Facts { accepts_query: true, .. } => &["header", "query"],
            _ => &["header"],
        };
        members.insert("bearer_methods_supported".to_owned(), json!(methods));
        for (name, text) in &resource.texts {
            members.insert(name.clone(), json!(text));
        }
        for (name, value) in &resource.members {
            members.entry(name).or_insert_with(|| value.clone());
        }
        let body = Value::Object(members).to_string();
        let hash = sha256(body.as_bytes());
        Self { etag: format!("\"{}\"", URL_SAFE_NO_PAD.encode(&hash[..16])), body: body.into() }
    }
}
