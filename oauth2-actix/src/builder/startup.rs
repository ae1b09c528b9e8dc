//! The log lines of a new policy.

use crate::{config::provider::Provider, public};

/// Logs one line for the policy, and one for each provider whose id_tokens would be accepted as access
/// tokens.
pub(crate) fn log(providers: &[(String, Provider)], public_paths: &[String], has_tenants: bool) {
    let names: Vec<_> = providers.iter().map(|(name, _)| name.as_str()).collect();
    tracing::info!(
        target: "oauth2_actix",
        providers = names.join(", "),
        tenants = has_tenants,
        public_paths = public_paths.len(),
        public_routes = public::routes().count(),
        "OAuth2 is configured"
    );
    for (name, provider) in providers {
        if let Some(audience) = audience_of_id_tokens(provider) {
            tracing::info!(
                target: "oauth2_actix",
                provider = name,
                audience,
                "the audience looks like a client id: an id_token for that client would be accepted \
                 as an access token; if the provider can, set an audience of the API's own or \
                 require_at_jwt, and otherwise require a scope or a role"
            );
        }
    }
}

/// Logs that a policy of the FAPI 2.0 profile lacks what the profile requires, and the developer has accepted.
pub(crate) fn warn_of_revocation_status() {
    tracing::warn!(
        target: "oauth2_actix",
        "the revocation status of tokens is not verified, which FAPI 2.0 §5.3.4 requires: a revoked token is \
         accepted until it expires, unless code of the application rejects it"
    );
}

/// Returns an audience by which an id_token would be accepted: one that looks like a client id, which is the
/// audience of every id_token (OpenID Connect Core §2).
///
/// Only the forms of generated client ids are recognised, so that a name such as `orders` is never
/// reported.
fn audience_of_id_tokens(provider: &Provider) -> Option<&str> {
    // An id_token names the client in `aud`, and often in `azp`. It has no `client_id`.
    let is_in_id_tokens = matches!(provider.audience_claim_name(), "aud" | "azp");
    if provider.require_at_jwt || !is_in_id_tokens {
        return None;
    }
    provider.audiences.iter().map(String::as_str).find(|audience| looks_like_a_client_id(audience))
}

fn looks_like_a_client_id(audience: &str) -> bool {
    let is_google = audience.ends_with(".apps.googleusercontent.com");
    is_google || is_uuid(audience) || is_random(audience)
}

/// Returns whether a text is a UUID: Entra, Zitadel, FusionAuth.
fn is_uuid(text: &str) -> bool {
    let parts: Vec<_> = text.split('-').collect();
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12])
        && parts.iter().all(|part| part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Returns whether a text is a random id: Auth0 (32 characters), AWS Cognito (26), Okta (20) use letters and
/// digits without a separator.
fn is_random(text: &str) -> bool {
    text.len() >= 20
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && text.bytes().filter(u8::is_ascii_digit).count() >= 2
        && text.bytes().any(|byte| byte.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_ids_of_providers_are_recognised_and_names_of_apis_are_not() {
        for audience in [
            "852159111111-0123abc.apps.googleusercontent.com",
            "6e74172b-be56-4843-9ff4-e66a39bb12e3",
            "6E74172B-BE56-4843-9FF4-E66A39BB12E3",
            "kyy5Wr5pQ4Nd3bX0Ou4bG1RrT2vHtQ7p",
            "1h57kf5cpq17m0eml12EXAMPLE",
            "0oa1gjh63g214q0Hq0g4",
        ] {
            let provider = Provider::new().audiences(["https://api.example.com", audience]);
            assert_eq!(audience_of_id_tokens(&provider), Some(audience));
            assert_eq!(audience_of_id_tokens(&provider.clone().require_at_jwt(true)), None);
            let by_client = provider.clone().audience_claim("client_id");
            assert_eq!(audience_of_id_tokens(&by_client), None, "{audience}");
            let by_party = provider.audience_claim("azp");
            assert_eq!(audience_of_id_tokens(&by_party), Some(audience));
        }
        for audience in [
            "",
            "api",
            "account",
            "orders-internal-service-of-the-shop",
            "internationalisationservice",
            "https://api.example.com",
            "api://6e74172b-be56-4843-9ff4-e66a39bb12e3",
            "api://default",
            "urn:example:orders",
            "852159111111",
            "12345678901234567890",
            "my-project-123",
            "6e74172b-be56-4843-9ff4-e66a39bb12eg",
        ] {
            assert_eq!(audience_of_id_tokens(&Provider::new().audience(audience)), None);
        }
    }
}
