//! How this API authenticates at the endpoint (RFC 6749 §2.3, RFC 7523 §2.2, RFC 8705 §2).

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use oauth2_actix::{Algorithm, testing::SigningKey};
use reqwest::Url;

use super::*;

/// Sends one introspection request, and returns the headers and the form of the request.
async fn request(authentication: ClientAuthentication) -> (String, Vec<(String, String)>) {
    let server = KeyServer::start(Answer::json(&json!({"active": false}))).unwrap();
    let introspection = Introspection::at(server.url_of(PATH)).authentication(authentication);
    let oauth2 =
        builder(&ManualClock::new()).provider("p", introspected(introspection)).build().unwrap();
    assert!(oauth2.verify("a+token/~with=").await.is_err());
    let request = server.last_request();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let form = Url::parse(&format!("http://x/?{body}")).unwrap();
    let form = form.query_pairs().into_owned().collect();
    (head.to_owned(), form)
}

fn get<'a>(form: &'a [(String, String)], name: &str) -> Option<&'a str> {
    form.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
}

#[tokio::test]
async fn basic_encodes_id_and_secret_as_a_form_first() {
    let authentication = ClientAuthentication::basic("api:orders", "sä%+ & =cret");
    let (head, form) = request(authentication).await;
    let line = head.lines().find_map(|line| line.strip_prefix("authorization: Basic ")).unwrap();
    let credentials = String::from_utf8(STANDARD.decode(line).unwrap()).unwrap();
    assert_eq!(credentials, "api%3Aorders:s%C3%A4%25%2B+%26+%3Dcret");
    assert_eq!(get(&form, "token"), Some("a+token/~with="));
    assert_eq!(get(&form, "client_id"), None);
}

#[tokio::test]
async fn post_sends_id_and_secret_in_the_form() {
    let (head, form) = request(ClientAuthentication::post("api:orders", "s&=cret")).await;
    assert!(!head.contains("authorization:"));
    assert_eq!(get(&form, "client_id"), Some("api:orders"));
    assert_eq!(get(&form, "client_secret"), Some("s&=cret"));
}

#[tokio::test]
async fn assertion_is_signed_for_the_issuer_and_short_lived() {
    for (algorithm, expected) in [
        (Algorithm::RS256, "RS256"),
        (Algorithm::ES256, "ES256"),
        (Algorithm::ES384, "ES384"),
        (Algorithm::ES512, "ES512"),
        (Algorithm::EdDSA, "EdDSA"),
    ] {
        let key = SigningKey::generate(algorithm, "k");
        let authentication = ClientAuthentication::private_key_jwt("orders-api", key.private_pem())
            .key_id(key.kid());
        let (head, form) = request(authentication).await;
        assert!(!head.contains("authorization:"));
        assert_eq!(get(&form, "client_id"), Some("orders-api"));
        assert_eq!(
            get(&form, "client_assertion_type"),
            Some("urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
        );
        let assertion = get(&form, "client_assertion").unwrap();
        let part = |index: usize| -> Value {
            let part = assertion.split('.').nth(index).unwrap();
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
        };
        let (header, claims) = (part(0), part(1));
        assert_eq!(
            (&header["alg"], &header["kid"], &header["typ"]),
            (&json!(expected), &json!(key.kid()), &json!("JWT"))
        );
        assert_eq!((&claims["iss"], &claims["sub"]), (&json!("orders-api"), &json!("orders-api")));
        assert_eq!(claims["aud"], ISSUER);
        assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 60);
        assert!(claims["jti"].as_str().unwrap().len() >= 20);
        // The library signs assertions with josekit, and verifies tokens with another implementation.
        let provider = Provider::new().issuer("orders-api").audience(ISSUER).keys(key.jwk_set());
        let verifier = policy::builder().provider("p", provider).build().unwrap();
        verifier.verify(assertion).await.unwrap();
        let (signed, _) = assertion.rsplit_once('.').unwrap();
        assert!(verifier.verify(&format!("{signed}.AAAA")).await.is_err());
    }
}

#[tokio::test]
async fn assertion_may_have_another_algorithm_and_audience_and_each_is_new() {
    let key = SigningKey::generate(Algorithm::PS256, "k");
    let authentication = ClientAuthentication::private_key_jwt("orders-api", key.private_pem())
        .algorithm(Algorithm::PS256)
        .assertion_audience("https://idp.test/introspect");
    let mut ids = Vec::new();
    for _ in 0..2 {
        let (_, form) = request(authentication.clone()).await;
        let assertion = get(&form, "client_assertion").unwrap().to_owned();
        let decode = |index: usize| -> Value {
            let part = assertion.split('.').nth(index).unwrap();
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
        };
        assert_eq!(decode(0)["alg"], "PS256");
        assert_eq!(decode(1)["aud"], "https://idp.test/introspect");
        ids.push(decode(1)["jti"].clone());
    }
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test]
async fn certificate_is_sent_to_the_endpoint_only() {
    use oauth2_actix_tests::tls::{Authority, TlsFront};
    let authority = Authority::new("test CA");
    let (server_identity, client_identity) =
        (authority.issue("localhost", 30), authority.issue("orders-api", 30));
    let issued = KeyServer::start(Answer::json(&json!({"active": false}))).unwrap();
    let tls = TlsFront::start(&issued, &server_identity, Some(&authority));
    let introspection = Introspection::at(tls.url_of(PATH))
        .authentication(ClientAuthentication::tls("orders-api", client_identity.pem()));
    let ca = authority.pem();
    let with_ca = move |client: reqwest::ClientBuilder| {
        client.tls_certs_only([reqwest::Certificate::from_pem(&ca).unwrap()]).no_proxy()
    };
    let clock = ManualClock::new();
    let oauth2 = builder(&clock)
        .provider("p", introspected(introspection))
        .configure_http_client(with_ca.clone())
        .build()
        .unwrap();
    let error = oauth2.verify("token").await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::TokenInactive, "{error:?}");
    assert!(issued.last_request().contains("client_id=orders-api"));
    // Without the certificate, the handshake fails.
    let introspection = Introspection::at(tls.url_of(PATH))
        .authentication(ClientAuthentication::post("orders-api", "x"));
    let oauth2 = builder(&clock)
        .provider("p", introspected(introspection))
        .configure_http_client(with_ca)
        .build()
        .unwrap();
    let error = oauth2.verify("token").await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::IntrospectionUnavailable { .. }), "{error:?}");
}
