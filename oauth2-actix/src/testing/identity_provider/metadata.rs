//! What the provider publishes: its keys, and its metadata (RFC 8414 and OpenID Connect Discovery).

use std::sync::atomic::Ordering;

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use super::{IdentityProvider, clients::GRANT_TYPES, parameters::for_any_origin, proof};
use crate::{jose::algorithm::Algorithm, testing::SigningKey};

/// `GET /jwks.json`.
pub(super) async fn jwks(provider: web::Data<IdentityProvider>) -> HttpResponse {
    provider.0.key_requests.fetch_add(1, Ordering::SeqCst);
    let keys: Vec<Value> = provider.keys().published.iter().map(SigningKey::public_jwk).collect();
    HttpResponse::Ok().json(json!({"keys": keys}))
}

/// `GET /.well-known/oauth-authorization-server`, and the same at `/.well-known/openid-configuration`.
pub(super) async fn metadata(provider: web::Data<IdentityProvider>) -> HttpResponse {
    let issuer = provider.issuer();
    let settings = provider.settings();
    let mut metadata = json!({
        "issuer": issuer,
        "jwks_uri": provider.jwks_url(),
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "registration_endpoint": format!("{issuer}/register"),
        "introspection_endpoint": provider.introspection_url(),
        "introspection_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
        "introspection_signing_alg_values_supported": ["ES256"],
        "grant_types_supported": GRANT_TYPES,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
        "client_id_metadata_document_supported": true,
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "token_endpoint_auth_methods_supported": ["none", "client_secret_post", "client_secret_basic"],
        "dpop_signing_alg_values_supported": proof::ALGORITHMS.map(Algorithm::name),
        "acr_values_supported": settings.acr_values,
    });
    // An empty list is left out (RFC 8414 §3.2).
    for (name, list) in [
        ("scopes_supported", &settings.scopes),
        ("protected_resources", &settings.protected_resources),
    ] {
        if !list.is_empty() {
            metadata[name] = json!(list);
        }
    }
    for_any_origin(HttpResponse::Ok()).json(metadata)
}
