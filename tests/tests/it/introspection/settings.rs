//! Errors of the configuration.

use oauth2_actix::{
    Algorithm, ConfigErrorKind,
    tenants::{Tenant, TenantLookup, Tenants},
    testing::{SigningKey, Token},
};
use oauth2_actix_tests::{keys::key, log};

use super::*;

fn fault(provider: Provider) -> (ConfigErrorKind, String, String) {
    let error = policy::builder().provider("p", provider).build().unwrap_err();
    assert_eq!(error.faults().count(), 1, "{error}");
    (error.kind(), error.field().to_owned(), error.to_string())
}

fn with(authentication: ClientAuthentication) -> Provider {
    introspected(Introspection::at("https://idp.test/introspect").authentication(authentication))
}

#[test]
fn each_fault_names_its_setting_and_shows_no_secret() {
    use ConfigErrorKind::{Conflict, Empty, Invalid, Missing, OutOfRange};
    let base = || Introspection::at("https://idp.test/introspect").authentication(client());
    for (introspection, kind, field) in [
        (Introspection::discover(), Missing, "introspection.client_authentication"),
        (base().token_prefix(""), Empty, "introspection.token_prefix"),
        (base().token_prefix("a b"), Invalid, "introspection.token_prefix"),
        (base().token_prefix("eyJ"), Invalid, "introspection.token_prefix"),
        (base().every_token(true), Conflict, "introspection.every_token"),
        (base().signed(true), Conflict, "introspection.signed"),
        (base().cache(seconds(3601)), OutOfRange, "introspection.cache_seconds"),
        (base().negative_cache(seconds(61)), OutOfRange, "introspection.negative_cache_seconds"),
        (base().max_calls(0), OutOfRange, "introspection.max_calls"),
        (
            Introspection::at("http://idp.test/i").authentication(client()),
            Invalid,
            "introspection.endpoint",
        ),
        (
            Introspection::at("https://u:p@idp.test/i").authentication(client()),
            Invalid,
            "introspection.endpoint",
        ),
        (
            Introspection::at("https://idp.test/i#x").authentication(client()),
            Invalid,
            "introspection.endpoint",
        ),
        (Introspection::at("no URL").authentication(client()), Invalid, "introspection.endpoint"),
    ] {
        let (found, at, text) = fault(introspected(introspection.clone()));
        assert_eq!((found, at.as_str()), (kind, field), "{introspection:?}: {text}");
    }
}

#[test]
fn client_authentication_that_cannot_be_used_is_an_error_without_its_secret() {
    let pem = key(Algorithm::ES256).private_pem();
    let public = key(Algorithm::ES256).public_pem();
    let cut = pem[..pem.len() / 2].to_owned();
    let rsa = SigningKey::generate(Algorithm::RS256, "k").private_pem();
    for (authentication, expected) in [
        (ClientAuthentication::basic("", "s"), "the client id is empty"),
        (ClientAuthentication::basic("c", ""), "the client secret is empty"),
        (ClientAuthentication::post("c", ""), "the client secret is empty"),
        (
            ClientAuthentication::private_key_jwt("c", "secret-text"),
            "the private key cannot be read",
        ),
        (ClientAuthentication::private_key_jwt("c", public), "the private key cannot be read"),
        (ClientAuthentication::private_key_jwt("c", cut), "the private key cannot be read"),
        (
            ClientAuthentication::private_key_jwt("c", "{\"kty\": \"RSA\"}"),
            "the private key cannot be read",
        ),
        (
            ClientAuthentication::private_key_jwt("c", rsa).algorithm(Algorithm::ES256),
            "cannot sign with ES256",
        ),
        (
            ClientAuthentication::private_key_jwt("c", pem.clone()).algorithm(Algorithm::HS256),
            "cannot sign with HS256",
        ),
        (ClientAuthentication::tls("c", "secret-text"), "the client certificate cannot be read"),
        (ClientAuthentication::tls("c", pem), "the client certificate cannot be read"),
    ] {
        let (_, field, text) = fault(with(authentication.clone()));
        assert_eq!(field, "introspection.client_authentication");
        assert!(text.contains(expected), "{text}");
        assert!(!text.contains("secret-text") && !text.contains("PRIVATE"), "{text}");
        assert!(!format!("{authentication:?}").contains("PRIVATE"));
    }
}

#[test]
fn providers_among_which_the_choice_is_not_certain_are_an_error() {
    let introspection =
        || Introspection::at("https://idp.test/introspect").authentication(client());
    let provider = |issuer: &str, introspection| {
        Provider::new().issuer(issuer).audience("api").introspection(introspection)
    };
    let signed = || {
        let keys = key(Algorithm::ES256).jwk_set();
        Provider::new().issuer(ISSUER).audience("other").keys(keys)
    };
    for (one, other, field) in [
        (
            provider("a", introspection()),
            provider("b", introspection()),
            "introspection.token_prefix",
        ),
        (
            provider("a", introspection().token_prefix("x")),
            provider("b", introspection().token_prefix("x")),
            "introspection.token_prefix",
        ),
        // Its JWT-SVIDs would be accepted without introspection.
        (
            signed()
                .audience("api")
                .spiffe_trust_domain("example.org")
                .introspection(introspection()),
            provider("b", introspection().token_prefix("x")),
            "introspection",
        ),
        (
            Provider::new()
                .spiffe_trust_domain("example.org")
                .audience("api")
                .keys(key(Algorithm::ES256).jwk_set())
                .introspection(introspection().every_token(true)),
            provider("b", introspection().token_prefix("x")),
            "introspection",
        ),
        (provider(ISSUER, introspection()), signed(), "issuer"),
        (signed(), provider(ISSUER, introspection()), "issuer"),
    ] {
        let error = policy::builder().provider("p", one).provider("q", other).build().unwrap_err();
        assert_eq!(error.field(), field, "{error}");
    }
    let both = policy::builder()
        .provider("p", provider("a", introspection().token_prefix("x")))
        .provider("q", provider("b", introspection()))
        .provider("r", signed());
    assert!(both.build().is_ok());
}

#[test]
fn settings_of_a_file_are_read_and_their_faults_named() {
    let read = |introspection: Value| {
        let provider = json!({"issuer": ISSUER, "audience": "api", "introspection": introspection});
        policy::from_json(json!({"providers": {"p": provider}})).map(|builder| builder.build())
    };
    let good = json!({
        "endpoint": "https://idp.test/introspect",
        "client_authentication": {
            "method": "client_secret_basic", "client_id": "c", "client_secret": "s",
        },
    });
    assert!(read(good).unwrap().is_ok());
    for (authentication, expected) in [
        (json!({}), "introspection.client_authentication.method: missing"),
        (json!({"method": "basic"}), "introspection.client_authentication.method: must be"),
        (
            json!({"method": "client_secret_post", "client_id": "c"}),
            "introspection.client_authentication.client_secret: missing",
        ),
        (
            json!({"method": "client_secret_post", "client_secret": "s"}),
            "introspection.client_authentication.client_id: missing",
        ),
        (
            json!({"method": "private_key_jwt", "client_id": "c"}),
            "introspection.client_authentication.private_key: missing",
        ),
        (
            json!({"method": "tls_client_auth", "client_id": "c"}),
            "introspection.client_authentication.certificate: missing",
        ),
        (
            json!({"method": "tls_client_auth", "client_id": "c", "client_secret": "s", "certificate": "x"}),
            "introspection.client_authentication.client_secret: has no effect",
        ),
        (json!({"methods": "x"}), "introspection.client_authentication.methods: unknown setting"),
    ] {
        let error = read(json!({"client_authentication": authentication})).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

/// Finds a tenant with introspection.
struct Introspected;

impl TenantLookup for Introspected {
    async fn find_by_issuer(
        &self,
        _: &str,
    ) -> Result<Option<Tenant>, Box<dyn std::error::Error + Send + Sync>> {
        let introspection = Introspection::discover().authentication(client());
        Ok(Some(Tenant::new("t", introspected(introspection))))
    }
}

/// Such a tenant is none, which the log says: a tenant is built when its first token is received.
#[tokio::test]
async fn tenant_cannot_have_introspection() {
    log::keep();
    let oauth2 = policy::builder().tenants(Tenants::new(Introspected)).build().unwrap();
    let token = Token::new(ISSUER, "api").sign(key(Algorithm::ES256));
    let error = oauth2.verify(&token).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::UnknownIssuer { .. }), "{error:?}");
    assert!(!log::lines_with(&["is not possible for a tenant that is looked up"]).is_empty());
}
