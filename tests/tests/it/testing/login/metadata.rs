//! The documents, and CORS.

use oauth2_actix_tests::client::{client, get, send};
use reqwest::Method;
use serde_json::json;

use super::{Form, ask, authorize, json_of, register, start, token};

#[tokio::test]
async fn both_metadata_documents_say_the_same() {
    let idp = start();
    let issuer = idp.issuer();
    let document = async |name: &str| {
        let answer = get(&format!("{issuer}/.well-known/{name}"), None).await;
        assert_eq!(answer.header("content-type"), Some("application/json"));
        json_of(&answer)
    };
    let by_default = document("oauth-authorization-server").await;
    assert_eq!(by_default.get("scopes_supported"), None);
    assert_eq!(by_default.get("protected_resources"), None);
    assert_eq!(by_default["acr_values_supported"], json!(["1"]));

    idp.set_scopes(["orders:read"]);
    idp.set_acr_values(["1", "mfa"]);
    idp.set_protected_resources(["https://api.test/mcp"]);
    let metadata = document("oauth-authorization-server").await;
    assert_eq!(metadata, document("openid-configuration").await);
    for (name, value) in [
        ("issuer", json!(issuer)),
        ("jwks_uri", json!(idp.jwks_url())),
        ("authorization_endpoint", json!(format!("{issuer}/authorize"))),
        ("token_endpoint", json!(format!("{issuer}/token"))),
        ("registration_endpoint", json!(format!("{issuer}/register"))),
        ("response_types_supported", json!(["code"])),
        (
            "grant_types_supported",
            json!([
                "authorization_code",
                "refresh_token",
                "client_credentials",
                "urn:ietf:params:oauth:grant-type:token-exchange",
            ]),
        ),
        ("code_challenge_methods_supported", json!(["S256"])),
        (
            "token_endpoint_auth_methods_supported",
            json!(["none", "client_secret_post", "client_secret_basic"]),
        ),
        ("authorization_response_iss_parameter_supported", json!(true)),
        ("client_id_metadata_document_supported", json!(true)),
        (
            "dpop_signing_alg_values_supported",
            json!(["ES256", "EdDSA", "Ed25519", "PS256", "RS256"]),
        ),
        ("scopes_supported", json!(["orders:read"])),
        ("acr_values_supported", json!(["1", "mfa"])),
        ("protected_resources", json!(["https://api.test/mcp"])),
    ] {
        assert_eq!(metadata[name], value, "{name}");
    }
}

#[tokio::test]
async fn pages_of_every_origin_can_read_metadata_registration_and_tokens_but_not_the_form() {
    let idp = start();
    const ALLOWED: &str = "access-control-allow-origin";
    for path in [
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
        "/token",
        "/register",
    ] {
        let url = format!("{}{path}", idp.issuer());
        let preflight = client()
            .request(Method::OPTIONS, &url)
            .header("origin", "http://app.test")
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,mcp-protocol-version");
        let answer = send(preflight).await;
        assert_eq!((answer.status, answer.header(ALLOWED)), (204, Some("*")), "{path}");
        assert_eq!(answer.header("access-control-allow-methods"), Some("GET, POST"));
        assert_eq!(answer.header("access-control-allow-headers"), Some("*, Authorization"));
        if path.starts_with("/.well") {
            assert_eq!(get(&url, None).await.header(ALLOWED), Some("*"));
        }
    }
    let registered = register(&idp, &json!({"redirect_uris": [super::REDIRECT]})).await;
    assert_eq!((registered.status, registered.header(ALLOWED)), (201, Some("*")));
    let refused = register(&idp, &json!({})).await;
    assert_eq!((refused.status, refused.header(ALLOWED)), (400, Some("*")));
    let refused = token(&idp, &Form::new(&[("grant_type", "refresh_token")])).await;
    assert_eq!((refused.status, refused.header(ALLOWED)), (401, Some("*")));

    let id = super::registered(&idp).await;
    let code = super::code(&idp, &ask(&id)).await;
    let issued = token(&idp, &super::exchange(&id, &code)).await;
    assert_eq!((issued.status, issued.header(ALLOWED)), (200, Some("*")));

    let page = authorize(&idp, &ask(&id)).await;
    assert_eq!((page.status, page.header(ALLOWED)), (200, None));
    let preflight = client().request(Method::OPTIONS, format!("{}/authorize", idp.issuer()));
    assert_eq!(send(preflight.header("origin", "http://app.test")).await.header(ALLOWED), None);
}
